//! The whole path once, with real parts: a folder goes into a repository, its log is anchored on a development chain, a
//! file is verified against that chain by somebody who has no repository, and what was tampered with is refused.
//!
//! Each step is checked; the first thing that is not as expected ends the demo with an error. It leaves nothing behind.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    build, omni,
    process::{self, Background, Scratch},
    test::BIN_DIR_ENV,
    text::{bytes, duration},
};

/// Time for one command of `pakit`: storing a large folder is the longest.
const COMMAND_MAX: Duration = Duration::from_secs(3600);
/// Time for the node to come up; it compiles its Wasm first.
pub(crate) const NODE_START_MAX: Duration = Duration::from_secs(120);
/// What the node says when it is ready, before the address.
pub(crate) const NODE_READY: &str = "pakit-dev-node listening on ";

/// Exit codes of `pakit`: a proof is refused; the repository and the chain do not fit.
const EXIT_REFUSED: i32 = 1;
const EXIT_ENVIRONMENT: i32 = 3;

/// Whose node the chain is on.
#[derive(Debug)]
pub(crate) enum Host {
    /// `pakit-dev-node`.
    Own,
    /// A stock `polkadot-omni-node`, which is here.
    Omni(PathBuf),
}

/// The recipe `demo`.
pub(crate) fn run(folder: Option<PathBuf>) -> Result<()> {
    run_on(Host::Own, folder)
}

/// The demo, on a chain of that node.
pub(crate) fn run_on(host: Host, folder: Option<PathBuf>) -> Result<()> {
    // Relative to where the user is, which the commands below are not.
    let folder =
        folder.map(|folder| folder.canonicalize().with_context(|| format!("cannot open {}", folder.display())));
    let folder = folder.transpose()?;
    ensure!(folder.as_ref().is_none_or(|folder| folder.is_dir()), "not a folder: give the demo a folder to store");
    let binaries = binaries()?;
    process::clean_up_when_interrupted()?;

    let start = Instant::now();
    let scratch = Scratch::new()?;
    let folder = match folder {
        Some(folder) => folder,
        None => copy_tracked_files(&scratch.path().join("checkout"))?,
    };
    let demo = Demo { scratch: scratch.path(), folder, binaries, host };
    demo.play()?;
    drop(scratch);
    println!("\nAll as expected, in {}. Nothing was left running.", duration(start.elapsed()));
    Ok(())
}

/// The folder with the node and `pakit`: the one the environment names, or that of a build.
fn binaries() -> Result<PathBuf> {
    if let Some(folder) = env::var_os(BIN_DIR_ENV) {
        println!("With the pakit and the development node in {BIN_DIR_ENV}.");
        return Ok(PathBuf::from(folder));
    }
    build::binaries()
}

/// Copies what git tracks in this checkout, so that build outputs and git's own data stay out of the demo.
fn copy_tracked_files(to: &Path) -> Result<PathBuf> {
    let said = process::said(process::command("git").args(["ls-files", "-z"]), COMMAND_MAX);
    let said = said.ok().filter(|said| said.status.success());
    let said = said.context("this is not a git checkout; name a folder: cargo xtask demo FOLDER")?;
    for name in said.stdout.split_terminator('\0') {
        let (from, to) = (process::checkout().join(name), to.join(name));
        // Removed and not committed yet, or a symlink.
        if !fs::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {name}"))?;
        let modified = fs::metadata(&from)?.modified()?;
        fs::File::options().write(true).open(&to)?.set_modified(modified)?;
    }
    Ok(to.to_path_buf())
}

struct Demo<'a> {
    scratch: &'a Path,
    folder: PathBuf,
    binaries: PathBuf,
    host: Host,
}

/// A file of the stored folder, as `pakit put` told about it.
struct Kept {
    path: PathBuf,
    block: String,
    size: u64,
}

/// The chain's side: where it listens, and the DAG on it.
struct Chain {
    url: String,
    dag: String,
}

impl Demo<'_> {
    fn play(&self) -> Result<()> {
        let archive = self.scratch.join("archive");
        fs::create_dir(&archive)?;
        let repository = archive.join(".pakit");

        title("The archive: a repository, and a DAG on a chain");
        let genesis = self.init(&repository)?;
        let (node, url) = match &self.host {
            Host::Own => self.start_node()?,
            Host::Omni(program) => omni::start(program, &self.binaries, self.scratch)?,
        };
        let dag = self.create_dag(&repository, &url)?;
        row("DAG on the chain", &format!("{dag}, genesis {}", short(&genesis)));
        let chain = Chain { url, dag };
        // The rewriter's starting point: the same genesis and the same DAG, with no history yet.
        let rewritten = self.scratch.join("rewritten");
        copy_folder(&repository, &rewritten)?;

        title("Store and anchor");
        let kept = self.put(&repository)?;
        self.anchor(&repository, &chain)?;

        title("Prove one file");
        let proof = self.record_and_prove(&repository, &chain, &kept, &archive)?;

        title("Verify it against the chain, in an empty folder, without the repository");
        let verifier = self.scratch.join("verifier");
        self.hand_over(&kept, &proof, &verifier)?;
        // Out of reach, so that nobody has to believe that it is not used.
        let away = self.scratch.join("out-of-reach");
        fs::rename(&repository, &away)?;
        self.verify(&verifier, &chain)?;

        title("Tamper");
        self.changed_byte_is_refused(&verifier, &chain)?;
        self.changed_proof_is_refused(&verifier, &chain)?;
        self.rewritten_history_is_refused(&rewritten, &kept, &chain)?;
        drop(node);
        Ok(())
    }

    fn init(&self, repository: &Path) -> Result<String> {
        let answer = self.pakit(self.scratch, Some(repository), &["init", "--name", "demo"])?.succeeded()?;
        text_of(&answer, "genesis")
    }

    /// Starts the node on a free port, with a finality that takes its time as a real one does.
    fn start_node(&self) -> Result<(Background, String)> {
        let start = Instant::now();
        let log_path = self.scratch.join("node.log");
        let mut command = process::command(&self.binaries.join("pakit-dev-node").to_string_lossy());
        command.args(["--tmp", "--rpc-port", "0", "--seal", "interval=500", "--finalize-after", "3"]);
        command.stdout(Stdio::piped()).stderr(fs::File::create(&log_path)?);
        let mut node = Background::spawn(&mut command)?;
        let ready = |line: &str| line.strip_prefix(NODE_READY).map(|url| url.trim().to_owned());
        let url = process::await_line(node.stdout()?, ready, NODE_START_MAX).with_context(|| {
            format!("the node did not start; its log:\n{}", fs::read_to_string(&log_path).unwrap_or_default())
        })?;
        row("development chain", &format!("{url}, up in {}", duration(start.elapsed())));
        Ok((node, url))
    }

    fn create_dag(&self, repository: &Path, url: &str) -> Result<String> {
        let said = self.pakit(self.scratch, Some(repository), &["dag", "create", "--dev", "--url", url])?;
        let answer = said.succeeded()?;
        Ok(number_of(&answer, "dag")?.to_string())
    }

    /// Stores the folder and chooses the file to prove.
    fn put(&self, repository: &Path) -> Result<Kept> {
        let start = Instant::now();
        let folder = self.folder.to_str().context("the demo's own commands need a folder with a UTF-8 name")?;
        let said = self.pakit(self.scratch, Some(repository), &["put", folder])?;
        said.succeeded()?;
        let elapsed = start.elapsed();
        let mut files = Vec::new();
        let mut sum = 0;
        for item in &said.answers {
            let path = PathBuf::from(text_of(item, "path")?);
            let size = number_of(item, "size")?;
            if path.is_file() {
                sum += size;
                files.push(Kept { path, block: text_of(item, "block")?, size });
            }
        }
        let rate = sum as f64 / 1e6 / elapsed.as_secs_f64();
        row("stored", &format!("{} files, {} in {} ({rate:.0} MB/s)", files.len(), bytes(sum), duration(elapsed)));
        row("repository", &bytes(folder_size(repository)?));
        choose(files).context("the folder has no file that is not empty")
    }

    fn anchor(&self, repository: &Path, chain: &Chain) -> Result<()> {
        let start = Instant::now();
        let arguments = ["anchor", "--watch", "--dev", "--url", &chain.url];
        let answer = self.pakit(self.scratch, Some(repository), &arguments)?.succeeded()?;
        let status = text_of(&answer, "status")?;
        ensure!(status == "finalized", "the anchor was to be finalized, and is {status}");
        let (size, root) = (number_of(&answer, "size")?, text_of(&answer, "root")?);
        row("anchored head", &format!("{size} blocks, root {}", short(&root)));
        let block = number_of(&answer, "block_number")?;
        row("finalized", &format!("in chain block {block}, after {}", duration(start.elapsed())));
        Ok(())
    }

    fn record_and_prove(&self, repository: &Path, chain: &Chain, kept: &Kept, folder: &Path) -> Result<PathBuf> {
        let name = kept.path.strip_prefix(&self.folder).unwrap_or(&kept.path);
        row("file", &format!("{} ({}), block {}", name.display(), bytes(kept.size), short(&kept.block)));
        let start = Instant::now();
        let arguments = ["record", &kept.block, "--dev", "--url", &chain.url];
        self.pakit(self.scratch, Some(repository), &arguments)?.succeeded()?;
        row("recorded on the chain", &format!("in {}", duration(start.elapsed())));
        let proof = folder.join("proof.json");
        let path = proof.to_str().context("the temporary folder has a UTF-8 name")?;
        let start = Instant::now();
        self.pakit(self.scratch, Some(repository), &["prove", &kept.block, "--lineage", "-o", path])?.succeeded()?;
        let size = fs::metadata(&proof)?.len();
        row("proof with lineage", &format!("{} of JSON, in {}", bytes(size), duration(start.elapsed())));
        Ok(proof)
    }

    /// Gives the verifier the file and the proof, and nothing else.
    fn hand_over(&self, kept: &Kept, proof: &Path, verifier: &Path) -> Result<()> {
        fs::create_dir(verifier)?;
        fs::copy(&kept.path, verifier.join("file"))?;
        fs::copy(proof, verifier.join("proof.json"))?;
        Ok(())
    }

    fn ask(&self, verifier: &Path, proof: &str, file: &str, chain: &Chain) -> Result<Answered> {
        let arguments = ["verify", proof, file, "--url", &chain.url, "--dag", &chain.dag, "--finalized"];
        self.pakit(verifier, None, &arguments)
    }

    fn verify(&self, verifier: &Path, chain: &Chain) -> Result<()> {
        let start = Instant::now();
        let answer = self.ask(verifier, "proof.json", "file", chain)?.succeeded()?;
        ensure!(answer["valid"] == true, "the proof was to be valid: {answer}");
        ensure!(answer["head"] == "chain", "the head was to come from the chain: {answer}");
        let checked: Vec<_> = answer["checked"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        row("valid", &format!("yes, in {}", duration(start.elapsed())));
        row("checked", &checked.join(", "));
        row("the DAG's owner", answer["owner"].as_str().unwrap_or("not told"));
        Ok(())
    }

    fn changed_byte_is_refused(&self, verifier: &Path, chain: &Chain) -> Result<()> {
        let mut content = fs::read(verifier.join("file"))?;
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(verifier.join("changed"), content)?;
        let refusal = self.ask(verifier, "proof.json", "changed", chain)?.refused(EXIT_REFUSED)?;
        row("one bit of the file changed", &refusal);
        Ok(())
    }

    fn changed_proof_is_refused(&self, verifier: &Path, chain: &Chain) -> Result<()> {
        let mut proof: Value = serde_json::from_slice(&fs::read(verifier.join("proof.json"))?)?;
        let step = proof.pointer_mut("/inclusion/path/0").context("the proof has an inclusion path")?;
        let changed = with_last_digit_changed(step.as_str().context("a step of the path is text")?);
        *step = changed.into();
        fs::write(verifier.join("changed.json"), serde_json::to_vec(&proof)?)?;
        let refusal = self.ask(verifier, "changed.json", "file", chain)?.refused(EXIT_REFUSED)?;
        row("one digit of the proof changed", &refusal);
        Ok(())
    }

    /// Builds the history anew from the same genesis, with one old file changed, longer than the anchored one; and asks
    /// the chain to take it.
    fn rewritten_history_is_refused(&self, rewritten: &Path, kept: &Kept, chain: &Chain) -> Result<()> {
        let folder = self.scratch.join("rewritten-files");
        copy_folder(&self.folder, &folder)?;
        let name = kept.path.strip_prefix(&self.folder).context("the file is in the folder")?;
        let mut content = fs::read(folder.join(name))?;
        content[0] ^= 1;
        // Written anew, since the original may be read-only.
        fs::remove_file(folder.join(name))?;
        fs::write(folder.join(name), content)?;
        fs::write(folder.join("one-more-file"), "makes the log longer than the anchored one")?;
        let folder = folder.to_str().context("the temporary folder has a UTF-8 name")?;
        self.pakit(self.scratch, Some(rewritten), &["put", folder])?.succeeded()?;
        let arguments = ["anchor", "--watch", "--dev", "--url", &chain.url];
        let refusal = self.pakit(self.scratch, Some(rewritten), &arguments)?.refused(EXIT_ENVIRONMENT)?;
        row("history rewritten", &refusal);
        Ok(())
    }

    /// Runs `pakit --json` in the folder, on the repository if one is named.
    fn pakit(&self, folder: &Path, repository: Option<&Path>, arguments: &[&str]) -> Result<Answered> {
        let mut command = process::command(&self.binaries.join("pakit").to_string_lossy());
        command.current_dir(folder).arg("--json");
        // The user's own settings are not the demo's.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PAKIT_")) {
            command.env_remove(name);
        }
        if let Some(repository) = repository {
            command.arg("--repo").arg(repository);
        }
        command.args(arguments);
        let said = process::said(&mut command, COMMAND_MAX)?;
        let mut answers = Vec::new();
        for line in said.stdout.lines().filter(|line| !line.trim().is_empty()) {
            let answer = serde_json::from_str(line).with_context(|| format!("not JSON from pakit: {line}"))?;
            answers.push(answer);
        }
        let typed = format!("pakit {}", arguments.join(" "));
        Ok(Answered { typed, code: said.status.code(), answers, stderr: said.stderr.trim().to_owned() })
    }
}

/// What `pakit --json` answered.
#[derive(Debug)]
struct Answered {
    typed: String,
    code: Option<i32>,
    answers: Vec<Value>,
    stderr: String,
}

impl Answered {
    /// The last answer of a command that succeeded.
    fn succeeded(&self) -> Result<Value> {
        ensure!(self.code == Some(0), "`{}` failed (exit code {:?}): {}", self.typed, self.code, self.stderr);
        Ok(self.answers.last().cloned().unwrap_or(Value::Null))
    }

    /// Why it was refused; an error unless it ended with this very exit code and a reason.
    fn refused(&self, code: i32) -> Result<String> {
        let ended = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        if self.code == Some(0) {
            bail!("`{}` was to be refused, and succeeded: {:?}", self.typed, self.answers);
        }
        ensure!(
            self.code == Some(code),
            "`{}` was to end with exit code {code}, not {ended}: {}",
            self.typed,
            self.stderr
        );
        let valid = self.answers.last().is_some_and(|answer| answer["valid"] == true);
        ensure!(!valid, "`{}` was refused, and yet says valid", self.typed);
        // A verdict is a result and says its reason there; everything else is the last line on standard error,
        // after notes on how things went.
        let verdict = self.answers.last().and_then(|answer| answer["refusal"].as_str());
        let reason = verdict.or_else(|| self.stderr.lines().rfind(|line| !line.trim().is_empty()));
        let reason = reason.with_context(|| format!("`{}` was refused without a reason", self.typed))?;
        Ok(format!("refused ({ended}): {}", reason.trim_start_matches("pakit: ")))
    }
}

/// A file people know if there is one, else the largest below 1 MiB, else any; never an empty one.
fn choose(mut files: Vec<Kept>) -> Option<Kept> {
    files.retain(|file| file.size > 0);
    files.sort_by_key(|file| {
        let is_readme = file.path.file_name().is_some_and(|name| name == "README.md");
        // The shallowest of several.
        (
            !is_readme,
            if is_readme { file.path.components().count() } else { 0 },
            file.size > 1 << 20,
            u64::MAX - file.size,
        )
    });
    files.into_iter().next()
}

fn with_last_digit_changed(hex: &str) -> String {
    let mut changed = hex.to_owned();
    let last = changed.pop();
    changed.push(if last == Some('0') { '1' } else { '0' });
    changed
}

/// Copies files, folders and modification times; a symlink or a special file has no part in the demo's copies.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let mut folders = vec![(from.to_path_buf(), to.to_path_buf())];
    while let Some((from, to)) = folders.pop() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push((entry.path(), target));
            } else if kind.is_file() {
                fs::copy(entry.path(), &target).with_context(|| format!("cannot copy {}", entry.path().display()))?;
            }
        }
    }
    Ok(())
}

fn folder_size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                sum += metadata.len();
            }
        }
    }
    Ok(sum)
}

fn text_of(answer: &Value, key: &str) -> Result<String> {
    let text = answer[key].as_str().with_context(|| format!("no text `{key}` in {answer}"))?;
    Ok(text.to_owned())
}

fn number_of(answer: &Value, key: &str) -> Result<u64> {
    answer[key].as_u64().with_context(|| format!("no number `{key}` in {answer}"))
}

/// The ends of a hash: enough for people to compare.
fn short(hash: &str) -> String {
    match (hash.get(..10), hash.get(hash.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if hash.len() > 20 => format!("{head}..{tail}"),
        _ => hash.to_owned(),
    }
}

fn title(text: &str) {
    println!("\n{text}");
}

fn row(what: &str, value: &str) {
    println!("  {what:<30} {value}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn kept(path: &str, size: u64) -> Kept {
        Kept { path: path.into(), block: String::new(), size }
    }

    fn answered(code: i32, answers: Vec<Value>, stderr: &str) -> Answered {
        Answered { typed: "pakit verify".into(), code: Some(code), answers, stderr: stderr.into() }
    }

    #[test]
    fn the_file_to_prove_is_one_people_know() {
        let files = vec![kept("a/b/README.md", 9), kept("a/README.md", 5), kept("a/big", 90)];
        assert_eq!(choose(files).unwrap().path, Path::new("a/README.md"));
        let files = vec![kept("a", 0), kept("b", 7), kept("c", 8), kept("d", 2 << 20)];
        assert_eq!(choose(files).unwrap().path, Path::new("c"));
        assert_eq!(choose(vec![kept("b", 2 << 20)]).unwrap().size, 2 << 20);
        assert!(choose(vec![kept("README.md", 0)]).is_none());
    }

    #[test]
    fn a_changed_digit_is_another_digit() {
        assert_eq!(with_last_digit_changed("0xa0"), "0xa1");
        assert_eq!(with_last_digit_changed("0x0f"), "0x00");
    }

    #[test]
    fn only_a_refusal_with_its_exit_code_and_a_reason_counts() {
        let invalid = serde_json::json!({"valid": false});
        let refusal = answered(1, vec![invalid], "pakit: the content is another").refused(1).unwrap();
        assert_eq!(refusal, "refused (exit code 1): the content is another");
        assert!(answered(0, vec![], "").refused(1).is_err());
        assert!(answered(101, vec![], "panicked").refused(1).is_err());
        assert!(answered(1, vec![], "").refused(1).is_err());
        assert!(answered(1, vec![serde_json::json!({"valid": true})], "no").refused(1).is_err());
    }

    #[test]
    fn a_folder_is_copied_whole() {
        let scratch = Scratch::new().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "12345").unwrap();
        copy_folder(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("sub/file")).unwrap(), "12345");
        assert_eq!(folder_size(&to).unwrap(), folder_size(&from).unwrap());
    }

    #[test]
    fn hashes_are_shortened_at_both_ends() {
        assert_eq!(short("0x0123456789abcdef0123456789abcdef"), "0x01234567..cdef");
        assert_eq!(short("0x01"), "0x01");
    }
}
