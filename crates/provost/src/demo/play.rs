//! The run of the demo: a `provost run` of its own, read from both sides.
//!
//! Owns that child, turn by turn: what its agent says comes from its output, what was seen from the ledger while it is
//! written. Does not own what either means.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger::{Event, Reader};
use rustix::process::{Pid, Signal, kill_process};

use super::scene::Scene;
use super::stop::Stop;
use crate::failure::Failure;

/// The agent.
const AGENT: &str = include_str!("agent.sh");
/// What the agent prints when an act is over.
const MARK: &str = "\u{1e}";
/// How long an act may take, a question to the person included.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a signal to us is looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// The run.
#[derive(Debug)]
pub(super) struct Play {
    child: Child,
    go: Option<ChildStdin>,
    said: Receiver<String>,
    complained: Option<JoinHandle<String>>,
    reader: Option<Reader>,
}

/// How a turn of the agent ended.
#[derive(Debug)]
pub(super) enum Turn {
    /// It waits.
    Waits(Vec<String>),
    /// It is gone.
    Gone(Vec<String>),
}

impl Play {
    /// Starts the run; nothing of the agent's acts happens yet.
    pub(super) fn start(scene: &Scene, attended: bool) -> Result<Play, Failure> {
        let attends = if attended { "--attended" } else { "--unattended" };
        let task = "mend the typo in greet.sh and publish it";
        let mut command = scene.provost([
            "run",
            "--format",
            "json",
            attends,
            "--timeout",
            "3m",
            "--task",
            task,
            "--policy",
        ]);
        command.arg(scene.policy()).args(["--", "/bin/sh", "-c", AGENT, "agent"]).arg(&scene.program);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| Failure::of(&error).during("could not start `provost run`");
        let mut child = command.spawn().map_err(failed)?;
        let (go, mut errors) = (child.stdin.take(), child.stderr.take());
        let said = lines(child.stdout.take());
        let complained = thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(errors) = &mut errors {
                // What could be read of it is shown.
                let _ = errors.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Play { child, go, said, complained: Some(complained), reader: None })
    }

    /// Lets the agent go on.
    pub(super) fn go_on(&mut self) {
        // An agent that is gone is found so in the turn that follows.
        let _ = self.go.as_mut().map(|go| go.write_all(b"\n"));
    }

    /// What the agent says until it waits again.
    pub(super) fn turn(&mut self, stop: &Stop) -> Result<Turn, Failure> {
        let end = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        loop {
            match self.said.recv_timeout(GLANCE) {
                Ok(line) if line == MARK => return Ok(Turn::Waits(said)),
                Ok(line) => said.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(Turn::Gone(said)),
                Err(RecvTimeoutError::Timeout) => stop.heed()?,
            }
            if Instant::now() > end {
                return Err(Failure::new("the run of the demo stands still")
                    .hint("`provost doctor` says what this machine can enforce"));
            }
        }
    }

    /// What was recorded since the last look.
    pub(super) fn seen(&mut self, scene: &Scene) -> Result<Vec<Event>, Failure> {
        let failed = |error: ledger::reader::ReadError| {
            Failure::of(&error).during("could not read the ledger of the demo")
        };
        if self.reader.is_none() {
            let Some((_, ledger)) = scene.ledger() else { return Ok(Vec::new()) };
            self.reader = Some(Reader::open(&ledger).map_err(failed)?);
        }
        let mut seen = Vec::new();
        while let Some(event) = self.reader.as_mut().map(Reader::read).transpose().map_err(failed)?.flatten()
        {
            seen.push(event);
        }
        Ok(seen)
    }

    /// Waits for the end; what stands on standard error beside.
    pub(super) fn end(&mut self) -> Result<(ExitStatus, String), Failure> {
        self.go = None;
        let failed = |error: std::io::Error| Failure::of(&error).during("lost the run of the demo");
        let status = self.child.wait().map_err(failed)?;
        let complained = self.complained.take().and_then(|thread| thread.join().ok());
        Ok((status, complained.unwrap_or_default()))
    }
}

fn lines(from: Option<ChildStdout>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in from.map(BufReader::new).into_iter().flat_map(|from| from.lines().map_while(Result::ok)) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Drop for Play {
    /// Ends the run if it is still there.
    fn drop(&mut self) {
        self.go = None;
        if let (Ok(None), Some(pid)) = (self.child.try_wait(), Pid::from_raw(self.child.id() as i32)) {
            // One that ended just now is what is wanted.
            let _ = kill_process(pid, Signal::TERM);
            let _ = self.child.wait();
        }
    }
}
