//! The program `pakit`, run in a folder.

use crate::{
    binary,
    process::{Done, Running},
};
use serde_json::Value;
use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// `pakit` as somebody would use it who stands in a folder: the repository is `.pakit` in there, and nothing of this
/// process's environment is seen.
#[derive(Clone, Debug)]
pub struct Pakit {
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Pakit {
    /// Stands in `folder`, which is made where it is missing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        fs::create_dir_all(&folder).unwrap();
        Self { folder, environment: Vec::new() }
    }

    /// Sets a variable for all later commands.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The folder it stands in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A path in that folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Its repository's folder.
    pub fn repository(&self) -> PathBuf {
        self.path(".pakit")
    }

    /// Writes a file in the folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A copy of everything in the folder, somewhere else: what a backup is. Nobody may write meanwhile.
    pub fn copy_to(&self, folder: &Path) -> Self {
        let status = Command::new("cp").arg("-a").arg(&self.folder).arg(folder).status().unwrap();
        assert!(status.success());
        Self { folder: folder.to_owned(), environment: self.environment.clone() }
    }

    /// The command, ready to be started.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary("pakit"));
        command.args(arguments).env_clear().current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts a command, for one that is to be killed or watched.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(arguments))
    }

    /// Runs a command to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Done {
        self.start(arguments).wait()
    }

    /// Runs a command with `--json` that has to succeed, and gives the objects it printed.
    #[track_caller]
    pub fn objects<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Vec<Value> {
        let mut command = self.command(arguments);
        command.arg("--json");
        Running::start(command).wait().ok().objects()
    }

    /// Runs a command with `--json` that has to succeed, and gives the one object it printed.
    #[track_caller]
    pub fn object<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        let mut objects = self.objects(arguments);
        assert_eq!(objects.len(), 1, "one object expected: {objects:?}");
        objects.remove(0)
    }

    /// Runs a command that has to fail with that exit code and one line on standard error, which is given without its
    /// prefix.
    #[track_caller]
    pub fn complaint<S: AsRef<OsStr>>(&self, code: i32, arguments: impl IntoIterator<Item = S>) -> String {
        let mut command = self.command(arguments);
        command.arg("--quiet");
        Running::start(command).wait().complaint(code)
    }

    /// Starts a command whose input is piped and whose output goes to a file.
    pub fn start_piped<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>, stdout: Stdio) -> Running {
        Running::start_with(self.command(arguments), Stdio::piped(), stdout)
    }

    /// Makes a repository with the defaults and gives the hash of its genesis.
    #[track_caller]
    pub fn init(&self) -> String {
        text(&self.object(["init", "--name", "tests"]), "genesis")
    }

    /// Puts a content as a file of that name, and gives its block's hash.
    #[track_caller]
    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.write(name, content);
        text(&self.object(["put", name]), "block")
    }

    /// Creates the DAG on a development chain, and gives its number.
    #[track_caller]
    pub fn create_dag(&self, url: &str) -> u32 {
        let dag = number(&self.object(["dag", "create", "--dev", "--url", url]), "dag");
        u32::try_from(dag).unwrap()
    }

    /// Anchors, waits until that is final, and gives what is said of it.
    #[track_caller]
    pub fn anchor(&self) -> Value {
        self.object(["anchor", "--watch", "--dev"])
    }

    /// Size and root of the log.
    #[track_caller]
    pub fn head(&self) -> (u64, String) {
        let head = self.object(["head"]);
        (number(&head, "size"), text(&head, "root"))
    }

    /// How many rows the outbox has in a state.
    #[track_caller]
    pub fn outbox(&self, state: &str) -> u64 {
        self.object(["status"])["outbox"][state].as_u64().unwrap_or(0)
    }
}

/// The text of that name in an object.
#[track_caller]
pub fn text(object: &Value, name: &str) -> String {
    object[name].as_str().unwrap_or_else(|| panic!("no text {name} in {object}")).to_owned()
}

/// The number of that name in an object.
#[track_caller]
pub fn number(object: &Value, name: &str) -> u64 {
    object[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {object}"))
}
