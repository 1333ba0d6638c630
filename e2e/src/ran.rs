//! A command that ended, or was ended because it took too long.

use serde_json::Value;
use std::fmt;
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a command may take before it counts as stuck.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The command, for messages.
    pub command: String,
    /// Its status as a shell gives it: 128 and the signal's number if a signal ended it.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs a command to its end, with nothing to read.
pub fn run(command: &mut Command) -> Ran {
    run_with(command, b"")
}

/// Runs a command to its end, with this to read.
pub fn run_with(command: &mut Command, input: &[u8]) -> Ran {
    let name = format!("{command:?}");
    let began = Instant::now();
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let (stdout, its_stdout) = pipe();
    let (stderr, its_stderr) = pipe();
    let child = command.stdin(stdin).stdout(its_stdout).stderr(its_stderr).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
    // The command holds the other ends of the pipes until it is given other ones.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (stdout, stderr) = (drained(stdout), drained(stderr));
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read is its own matter.
        drop(stdin.write_all(input));
    }
    let in_time = wait_until(PATIENCE, || child.try_wait().expect("a child can be waited for").is_some());
    if !in_time {
        drop(child.kill());
    }
    let status = child.wait().expect("a child can be waited for");
    let ran = Ran {
        command: name,
        status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
        stdout: text(stdout),
        stderr: text(stderr),
        took: began.elapsed(),
    };
    assert!(in_time, "took longer than {PATIENCE:?}: {ran}");
    ran
}

/// A command that runs beside the test; it is killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it, with nothing to read and its words thrown away.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Kills it, as the kernel would where memory runs out, and waits for its end.
    pub fn kill(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until something is so; whether it came to be in time.
pub fn wait_until(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    while !so() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    true
}

/// A pipe that is not the tests' own but everybody's, as that of whoever starts a command is theirs.
fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("the system gives a pipe");
    rustix::fs::fchmod(&writer, rustix::fs::Mode::from_raw_mode(0o666)).expect("a pipe has a mode");
    (reader, writer)
}

fn drained(mut from: PipeReader) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        drop(from.read_to_end(&mut all));
        all
    })
}

fn text(from: JoinHandle<Vec<u8>>) -> String {
    let bytes = from.join().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Ran {
    /// Holds it to a status.
    #[track_caller]
    pub fn ended(self, status: i32) -> Self {
        assert_eq!(self.status, status, "another status than promised: {self}");
        self
    }

    /// Holds it to having printed this.
    #[track_caller]
    pub fn printed(self, words: &str) -> Self {
        assert!(self.stdout.contains(words), "`{words}` was not printed: {self}");
        self
    }

    /// Holds it to having complained with this.
    #[track_caller]
    pub fn complained(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "`{words}` is not on standard error: {self}");
        self
    }

    /// What it printed, as lines of JSON.
    #[track_caller]
    pub fn json(&self) -> Vec<Value> {
        let read =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {self}"));
        self.stdout.lines().map(read).collect()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, status, stdout, stderr, took } = self;
        write!(
            to,
            "\n{command}\nended with {status} after {took:?}\n-- stdout\n{stdout}\n-- stderr\n{stderr}"
        )
    }
}

/// A command that runs beside the test, and what it says so far; it is killed when dropped.
#[derive(Debug)]
pub struct Beside {
    child: Child,
    name: String,
    began: Instant,
    said: [std::sync::Arc<std::sync::Mutex<Vec<u8>>>; 2],
    readers: Vec<JoinHandle<()>>,
}

impl Beside {
    /// Starts it, with nothing to read.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        let (stdout, its_stdout) = pipe();
        let (stderr, its_stderr) = pipe();
        let child = command.stdin(Stdio::null()).stdout(its_stdout).stderr(its_stderr).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let said: [std::sync::Arc<std::sync::Mutex<Vec<u8>>>; 2] = Default::default();
        let read = |mut from: PipeReader, to: &std::sync::Arc<std::sync::Mutex<Vec<u8>>>| {
            let to = std::sync::Arc::clone(to);
            std::thread::spawn(move || {
                let mut some = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut some) {
                    to.lock().expect("nobody panics with this").extend_from_slice(&some[..count]);
                }
            })
        };
        let readers = vec![read(stdout, &said[0]), read(stderr, &said[1])];
        Self { child, name, began: Instant::now(), said, readers }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.text(0)
    }

    fn text(&self, which: usize) -> String {
        String::from_utf8_lossy(&self.said[which].lock().expect("nobody panics with this")).into_owned()
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn prints(&self, words: &str) {
        let there = wait_until(PATIENCE, || self.text(0).contains(words));
        assert!(there, "`{words}` was not printed by {}: {}\n{}", self.name, self.text(0), self.text(1));
    }

    /// Waits for its end.
    #[must_use]
    pub fn end(mut self) -> Ran {
        let in_time =
            wait_until(PATIENCE, || self.child.try_wait().expect("a child can be waited for").is_some());
        if !in_time {
            drop(self.child.kill());
        }
        let status = self.child.wait().expect("a child can be waited for");
        let took = self.began.elapsed();
        self.readers.drain(..).for_each(|reader| drop(reader.join()));
        let ran = Ran {
            command: self.name.clone(),
            status: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout: self.text(0),
            stderr: self.text(1),
            took,
        };
        assert!(in_time, "took longer than {PATIENCE:?}: {ran}");
        ran
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
