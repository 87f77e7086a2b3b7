//! A process with a time limit.

use crate::{PATIENCE, POLL};
use serde_json::Value;
use std::{
    fs,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// What a process has said on one of its outputs so far.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Reads all that comes, on a thread of its own: a process whose pipe is full would wait for ever.
    fn listen(&self, mut from: impl Read + Send + 'static) -> JoinHandle<()> {
        let heard = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            loop {
                match from.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => heard.bytes().extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })
    }
}

/// A process that runs. It is killed when the value goes.
#[derive(Debug)]
pub struct Running {
    typed: String,
    child: Child,
    stdout: Heard,
    stderr: Heard,
    listeners: Vec<JoinHandle<()>>,
    limit: Duration,
}

impl Running {
    /// Starts the command with both outputs listened to, unless `stdout` goes elsewhere.
    pub fn start_with(mut command: Command, stdin: Stdio, stdout: Stdio) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let typed = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {typed}: {error}"));
        let (stdout, stderr) = (Heard::default(), Heard::default());
        let mut listeners = Vec::new();
        listeners.extend(child.stdout.take().map(|pipe| stdout.listen(pipe)));
        listeners.extend(child.stderr.take().map(|pipe| stderr.listen(pipe)));
        Self { typed, child, stdout, stderr, listeners, limit: PATIENCE }
    }

    /// Starts the command without input and with both outputs listened to.
    pub fn start(command: Command) -> Self {
        Self::start_with(command, Stdio::null(), Stdio::piped())
    }

    /// Waits longer, or not as long, as usual.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The other end of its standard input, where that is piped; once. To drop it ends the input.
    pub fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap_or_else(|| panic!("{}: the input is not piped, or was taken", self.typed))
    }

    /// What it has said on standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has said on standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until `holds` of the process that still runs; a process that ends before is a failure.
    pub fn until<T>(&mut self, what: &str, mut holds: impl FnMut(&Self) -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = holds(self) {
                return found;
            }
            if let Some(status) = self.ended() {
                panic!("{} ended ({status}) before {what}:\n{}{}", self.typed, self.stdout(), self.stderr());
            }
            assert!(start.elapsed() < self.limit, "{}: never {what}:\n{}{}", self.typed, self.stdout(), self.stderr());
            thread::sleep(POLL);
        }
    }

    /// Waits for the first line on standard output, by which a service says that it is ready. Where none comes, what was said
    /// instead.
    pub fn ready(mut self) -> Result<(Self, String), String> {
        let start = Instant::now();
        loop {
            if let Some((line, _)) = self.stdout().split_once('\n') {
                let line = line.to_owned();
                return Ok((self, line));
            }
            if let Some(status) = self.ended() {
                return Err(format!("{status}: {}", self.stderr()));
            }
            if start.elapsed() > self.limit {
                return Err(format!("not ready after {:?}: {}", self.limit, self.stderr()));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until standard error holds a text.
    pub fn until_stderr(&mut self, text: &str) {
        self.until(&format!("it said {text:?}"), |running| running.stderr().contains(text).then_some(()));
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Done {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return self.done(status);
            }
            assert!(
                start.elapsed() < self.limit,
                "{} did not end within {:?}:\n{}{}",
                self.typed,
                self.limit,
                self.stdout(),
                self.stderr()
            );
            thread::sleep(POLL);
        }
    }

    /// Waits for its end, and for at most so long; then it is killed with SIGKILL. For a kill at a chosen moment.
    pub fn wait_or_kill(mut self, moment: Duration) -> Done {
        let start = Instant::now();
        while start.elapsed() < moment {
            if let Some(status) = self.ended() {
                return self.done(status);
            }
            thread::sleep(Duration::from_millis(1).min(moment));
        }
        self.kill9()
    }

    /// Kills it with SIGKILL and returns when it is gone. It may have ended by itself just before.
    pub fn kill9(mut self) -> Done {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        self.done(status)
    }

    fn done(&mut self, status: ExitStatus) -> Done {
        for listener in self.listeners.drain(..) {
            listener.join().unwrap();
        }
        Done {
            typed: self.typed.clone(),
            code: status.code(),
            signal: status.signal(),
            stdout: std::mem::take(&mut *self.stdout.bytes()),
            stderr: self.stderr(),
        }
    }

    /// The most memory it has had resident so far, in bytes; `None` once it has ended.
    pub fn peak_resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().unwrap();
        Some(kib << 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts something in a place where it was before. That may take more than one try: its port was free to be taken by anybody
/// meanwhile.
#[track_caller]
pub fn started_again<T>(what: &str, start: impl Fn() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match start() {
            Ok(started) => return started,
            Err(said) => assert!(begin.elapsed() < PATIENCE, "the {what} does not come back: {said}"),
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// The command as one would type it.
    pub typed: String,
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: String,
}

impl Done {
    /// Its standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Itself, if it ended with that exit code.
    #[track_caller]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "{}\n-- signal: {:?}\n-- stdout:\n{}\n-- stderr:\n{}",
            self.typed,
            self.signal,
            self.text(),
            self.stderr
        );
        self
    }

    /// Itself, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.with_code(0)
    }

    /// The JSON objects that it printed, one a line.
    #[track_caller]
    pub fn objects(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| {
                let value: Value =
                    serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", self.typed));
                assert!(value.is_object(), "{}: not an object: {line}", self.typed);
                value
            })
            .collect()
    }

    /// The one JSON object that it printed.
    #[track_caller]
    pub fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{}: one object expected:\n{}{}", self.typed, self.text(), self.stderr);
        objects.remove(0)
    }

    /// What a command that failed with that exit code says: one line on standard error, and nothing on standard output.
    #[track_caller]
    pub fn complaint(self, code: i32) -> String {
        let done = self.with_code(code);
        assert_eq!(done.text(), "", "{}: a result in spite of the failure", done.typed);
        let lines: Vec<&str> = done.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{}: one line expected:\n{}", done.typed, done.stderr);
        let complaint = lines[0].strip_prefix("pakit: ");
        complaint.unwrap_or_else(|| panic!("{}: whose line is this? {}", done.typed, lines[0])).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn both_outputs_and_the_exit_code_are_kept() {
        let done = Running::start(shell("echo out; echo err >&2; exit 3")).wait();
        assert_eq!((done.code, done.text().as_str(), done.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_process_that_does_not_end_fails_the_test_and_is_killed() {
        let _ = Running::start(shell("exec sleep 600")).within(Duration::from_millis(50)).wait();
    }

    #[test]
    #[should_panic(expected = "before it said")]
    fn a_process_that_ends_before_it_says_what_is_awaited_fails_the_test() {
        Running::start(shell("echo other >&2")).until_stderr("this");
    }

    #[test]
    fn a_killed_process_tells_the_signal_and_what_it_had_said() {
        let mut running = Running::start(shell("echo up >&2; exec sleep 600"));
        running.until_stderr("up");
        assert!(running.peak_resident_bytes().unwrap() > 0);
        let done = running.kill9();
        assert_eq!((done.code, done.signal, done.stderr.as_str()), (None, Some(9), "up\n"));
    }

    #[test]
    fn a_process_that_ends_before_its_moment_is_not_killed() {
        assert_eq!(Running::start(shell("exit 0")).wait_or_kill(PATIENCE).code, Some(0));
        assert_eq!(Running::start(shell("exec sleep 600")).wait_or_kill(Duration::ZERO).signal, Some(9));
    }
}
