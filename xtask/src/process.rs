//! Running other programs: found from the checkout, with a clean environment, and never left behind.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The exit code of a program ended by Ctrl-C, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);

/// The root of the checkout.
pub(crate) fn checkout() -> PathBuf {
    // Cargo says at run time where the manifest is; the compiled-in path is for a binary that is called directly.
    let manifest = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let manifest = PathBuf::from(manifest);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_path_buf)
}

/// A command that runs in the root of the checkout, without what `cargo run` has put into this process's environment.
///
/// Some build scripts (ring's) run anew when `CARGO_PKG_NAME` and its like change: inherited from here, they would make
/// `cargo test` and `cargo xtask test` rebuild each other's artifacts in turn.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(checkout());
    for (name, _) in env::vars_os() {
        let name_text = name.to_string_lossy();
        let per_package = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
        if per_package.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// The command as one would type it.
pub(crate) fn typed(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs the command with this process's terminal; an error names it and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", typed(command)))?;
    ended_well(command, status)
}

fn ended_well(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("`{}` failed ({status})", typed(command));
    }
    Ok(())
}

/// Runs the command, passes each line of its output on to this process's, and shows each to `see`.
pub(crate) fn run_seen(command: &mut Command, mut see: impl FnMut(&str)) -> Result<()> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{}`", typed(command)))?;
    let mut stdout = BufReader::new(child.stdout.take().context("the output is piped")?);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        see(&text);
        line.clear();
    }
    let status = child.wait()?;
    ended_well(command, status)
}

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// Runs the command to its end or to the limit, and returns what it said. At the limit it is killed, which is an error.
pub(crate) fn said(command: &mut Command, limit: Duration) -> Result<Said> {
    let mut child = Background::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let (stdout, stderr) = (child.stdout()?, child.stderr()?);
    // Both are read at once: a program that fills one pipe while the other is being read would wait for ever.
    let stderr = thread::spawn(move || read_all(stderr));
    let stdout = thread::spawn(move || read_all(stdout));
    let status = child.wait(limit).with_context(|| format!("`{}`", typed(command)))?;
    let text = |thread: thread::JoinHandle<_>| thread.join().unwrap_or_else(|_| String::new());
    Ok(Said { status, stdout: text(stdout), stderr: text(stderr) })
}

fn read_all(mut from: impl Read) -> String {
    let mut bytes = Vec::new();
    // A pipe that breaks ends the text; the exit status tells the rest.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the program is found on PATH.
pub(crate) fn is_on_path(program: &str) -> bool {
    path_of(program).is_some()
}

/// Where on PATH the program is.
pub(crate) fn path_of(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Children and folders to be gone when this process is.
#[derive(Default)]
struct Remains {
    children: Vec<(u64, Child)>,
    folders: Vec<PathBuf>,
    next_id: u64,
}

static REMAINS: Mutex<Option<Remains>> = Mutex::new(None);

fn remains() -> MutexGuard<'static, Option<Remains>> {
    // A panic elsewhere must not keep the children alive.
    REMAINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on Ctrl-C, a hang-up and a polite kill end the background programs and remove the scratch folders too.
pub(crate) fn clean_up_when_interrupted() -> Result<()> {
    ctrlc::set_handler(|| {
        if let Some(remains) = remains().as_mut() {
            for (_, child) in &mut remains.children {
                let _ = child.kill();
                let _ = child.wait();
            }
            for folder in &remains.folders {
                let _ = fs::remove_dir_all(folder);
            }
        }
        eprintln!("\ninterrupted; nothing was left running");
        std::process::exit(EXIT_INTERRUPTED);
    })
    .context("cannot handle Ctrl-C")
}

/// A program in the background, killed when this value goes: by a return, an error, a panic or Ctrl-C.
#[derive(Debug)]
pub(crate) struct Background {
    id: u64,
    stdout: Option<std::process::ChildStdout>,
    stderr: Option<std::process::ChildStderr>,
}

impl Background {
    /// Starts the command, with no standard input.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let mut guard = remains();
        let remains = guard.get_or_insert_default();
        let mut child =
            command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start `{}`", typed(command)))?;
        let id = remains.next_id;
        remains.next_id += 1;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        remains.children.push((id, child));
        Ok(Self { id, stdout, stderr })
    }

    /// Its standard output, where that is piped; once.
    pub(crate) fn stdout(&mut self) -> Result<std::process::ChildStdout> {
        self.stdout.take().context("the standard output is not piped, or was taken")
    }

    /// Its standard error, where that is piped; once.
    pub(crate) fn stderr(&mut self) -> Result<std::process::ChildStderr> {
        self.stderr.take().context("the standard error is not piped, or was taken")
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let mut guard = remains();
        let remains = guard.get_or_insert_default();
        let child = remains.children.iter_mut().find(|(id, _)| *id == self.id);
        let (_, child) = child.context("the program was already ended")?;
        Ok(child.try_wait()?)
    }

    /// Waits for its end, at most so long.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("not done after {} s", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let mut guard = remains();
        let Some(remains) = guard.as_mut() else { return };
        if let Some(place) = remains.children.iter().position(|(id, _)| *id == self.id) {
            let (_, mut child) = remains.children.swap_remove(place);
            // Fails only where the program has already ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a line for which `wanted` has an answer, at most so long, and goes on emptying the pipe after it.
pub(crate) fn await_line<T: Send + 'static>(
    from: impl Read + Send + 'static,
    wanted: impl Fn(&str) -> Option<T> + Send + 'static,
    limit: Duration,
) -> Result<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if let Some(answer) = wanted(&line) {
                // Nobody listens after the first answer, or after the limit.
                let _ = sender.send(answer);
            }
        }
    });
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => anyhow::anyhow!("not said within {} s", limit.as_secs()),
        RecvTimeoutError::Disconnected => anyhow::anyhow!("the program ended without saying it"),
    })
}

/// A folder that goes with this value: by a return, an error, a panic or Ctrl-C.
#[derive(Debug)]
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new, empty folder among the system's temporary files.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("pakit-").tempdir().context("cannot make a temporary folder")?;
        remains().get_or_insert_default().folders.push(folder.path().to_path_buf());
        Ok(Self(folder))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(remains) = remains().as_mut() {
            remains.folders.retain(|folder| folder != self.0.path());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_checkout_is_where_the_workspace_is() {
        assert!(fs::read_to_string(checkout().join("Cargo.toml")).unwrap().contains("[workspace]"));
    }

    #[test]
    fn a_command_does_not_inherit_this_packages_variables() {
        let command = command("cargo");
        let removed = command.get_envs().any(|(name, value)| name == "CARGO_MANIFEST_DIR" && value.is_none());
        assert!(removed, "cargo sets it for tests");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_at_the_limit() {
        let start = Instant::now();
        let error = said(Command::new("sleep").arg("60"), Duration::from_millis(100)).unwrap_err();
        assert!(format!("{error:#}").contains("not done"), "{error:#}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn both_outputs_and_the_exit_code_are_returned() {
        let said =
            said(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), Duration::from_secs(30)).unwrap();
        assert_eq!((said.status.code(), said.stdout.as_str(), said.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn a_background_program_is_gone_when_its_value_is() {
        let mut child =
            Background::spawn(Command::new("sh").args(["-c", "echo $$; exec sleep 60"]).stdout(Stdio::piped()))
                .unwrap();
        let stdout = child.stdout().unwrap();
        let id: u32 = await_line(stdout, |line| line.parse().ok(), Duration::from_secs(30)).unwrap();
        let alive =
            || Command::new("kill").args(["-0", &id.to_string()]).stderr(Stdio::null()).status().unwrap().success();
        assert!(alive());
        drop(child);
        assert!(!alive());
    }

    #[test]
    fn an_awaited_line_that_never_comes_is_an_error() {
        let wanted = |line: &str| (line == "c").then_some(());
        let error = await_line(&b"a\nb\n"[..], wanted, Duration::from_secs(30)).unwrap_err();
        assert!(error.to_string().contains("ended without saying it"));
    }

    #[test]
    fn a_scratch_folder_goes_with_its_value() {
        let scratch = Scratch::new().unwrap();
        let path = scratch.path().to_path_buf();
        fs::write(path.join("file"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
