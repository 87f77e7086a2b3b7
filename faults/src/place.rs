//! A place for one experiment: a folder that a repository is made in, and files to put.

use anyhow::{Context, Result, ensure};
use pakit_tests::{
    binary,
    process::{Done, Running},
};
use std::{
    env, fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// What the layer is asked for.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// Whether a journal is written.
    pub journal: bool,
    /// `CLASS:NUMBER:WHAT:TIMES`, as the layer's documentation tells.
    pub fail: Option<String>,
}

/// A folder that goes with this value. Below it, `disk` is what the layer watches, and `source` holds the files to put.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
    source: PathBuf,
}

/// In memory where there is room for it: what counts here is which calls were made, not how long a disk takes over them.
pub(crate) fn scratch() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let is_usable = memory.is_dir() && tempfile::tempfile_in(memory).is_ok();
    if is_usable { memory.to_owned() } else { env::temp_dir() }
}

impl Place {
    /// An empty place.
    pub fn new() -> Result<Self> {
        Self::below(&scratch())
    }

    /// An empty place in a folder, such as one where a file system is mounted.
    pub fn below(folder: &Path) -> Result<Self> {
        let root = tempfile::Builder::new().prefix("pakit-faults-").tempdir_in(folder.canonicalize()?)?;
        fs::create_dir(root.path().join("disk"))?;
        let source = root.path().join("source");
        fs::create_dir(&source)?;
        Ok(Self { root, source })
    }

    /// What the layer watches, and what a power cut strikes.
    pub fn disk(&self) -> PathBuf {
        self.root.path().join("disk")
    }

    /// The repository's folder.
    pub fn repository(&self) -> PathBuf {
        self.disk().join("repository")
    }

    /// Files to put; shared by all copies of a place.
    pub fn source(&self) -> PathBuf {
        self.source.clone()
    }

    /// Another place with the same on its disk, and the same files to put; not to outlive this one.
    pub fn copy(&self) -> Result<Self> {
        let copy = Self { source: self.source.clone(), ..Self::new()? };
        copy.take_disk_of(self)?;
        Ok(copy)
    }

    /// The same place with the files of another.
    #[must_use]
    pub fn with_source_of(self, other: &Self) -> Self {
        Self { source: other.source.clone(), ..self }
    }

    /// Leaves the folder where it is, for somebody to look at, and says where that is.
    pub fn kept_for(&mut self, what: String) -> String {
        self.root.disable_cleanup(true);
        format!("{what}; left as it was found by the next writer in {}", self.root.path().display())
    }

    fn journal(&self) -> PathBuf {
        self.root.path().join("journal")
    }

    /// Puts what another place has on its disk onto this one's, in place of what is there.
    pub fn take_disk_of(&self, other: &Self) -> Result<()> {
        fs::remove_dir_all(self.disk())?;
        copy(&other.disk(), &self.disk())
    }

    /// `pakit` on the repository, with JSON and nothing of this process's environment.
    pub fn pakit(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(binary("pakit"));
        command.env_clear().current_dir(self.root.path());
        command.arg("--repo").arg(self.repository()).args(["--json", "--quiet"]).args(arguments);
        command
    }

    /// The driver of a handle that goes on after errors; see `main.rs`.
    pub fn handle(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(faults_binary());
        command.env_clear().current_dir(self.root.path());
        command.arg("handle").arg(self.repository()).args(arguments);
        command
    }

    /// Loads the layer into the command.
    pub fn with_layer(&self, mut command: Command, layer: &Layer) -> Result<Command> {
        command.env("LD_PRELOAD", layer_file()?).env("PAKIT_FAULTS_FOLDER", self.disk());
        let journal = if layer.journal { self.journal() } else { PathBuf::from("/dev/null") };
        command.env("PAKIT_FAULTS_JOURNAL", journal);
        if let Some(fail) = &layer.fail {
            command.env("PAKIT_FAULTS_FAIL", fail);
        }
        Ok(command)
    }

    /// What the layer wrote down of the last program.
    pub fn events(&self) -> Result<Vec<crate::journal::Event>> {
        crate::journal::read(&self.journal())
    }
}

/// Starts a command, with a file as its input if it wants one.
pub fn start(command: Command, input: Option<&Path>) -> Result<Running> {
    let input = match input {
        Some(path) => Stdio::from(File::open(path).with_context(|| path.display().to_string())?),
        None => Stdio::null(),
    };
    Ok(Running::start_with(command, input, Stdio::piped()))
}

/// Runs a command that has to succeed.
pub fn run(command: Command, input: Option<&Path>) -> Result<Done> {
    let done = start(command, input)?.wait();
    ensure!(done.code == Some(0), "{} ended with {:?}: {}{}", done.typed, done.code, done.text(), done.stderr);
    Ok(done)
}

/// Copies a folder and all in it.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// What cargo built beside this program, or beside the test that runs.
fn built(name: &str) -> Option<PathBuf> {
    let here = env::current_exe().ok()?;
    let folders = here.ancestors().skip(1).take(2).flat_map(|folder| [folder.to_owned(), folder.join("deps")]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn layer_file() -> Result<PathBuf> {
    let hint = "libpakit_faults_layer.so is not built; `cargo build --package pakit-faults` does it";
    built("libpakit_faults_layer.so").context(hint)
}

/// The program of this crate.
pub fn faults_binary() -> PathBuf {
    built("pakit-faults").unwrap_or_else(|| binary("pakit-faults"))
}
