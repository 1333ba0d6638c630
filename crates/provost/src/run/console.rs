//! The person's terminal during a run.
//!
//! Owns which of our standard streams are the run's terminal, and the thread that joins the two. Does not own the joining
//! (`sandbox::terminal`).

use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use sandbox::terminal::{Control, Filtered, Relayed, TerminalError, relay};

use crate::failure::Failure;

/// Which of stdin, stdout and stderr are a terminal: those the agent gets as its own terminal.
pub(crate) fn terminals() -> [bool; 3] {
    [stdin().is_terminal(), stdout().is_terminal(), stderr().is_terminal()]
}

/// The person's terminal, before the run's is there.
#[derive(Debug)]
pub(super) struct Console {
    control: Control,
}

/// Both terminals, joined; or none.
#[derive(Debug)]
pub(super) struct Joined {
    control: Control,
    thread: Option<JoinHandle<Result<Relayed, TerminalError>>>,
    stop: UnixStream,
}

impl Console {
    pub(super) fn open() -> Result<Console, Failure> {
        Ok(Console { control: Control::new()? })
    }

    /// Joins the person's terminal to the agent's, if there is one.
    pub(super) fn join(self, master: Option<OwnedFd>) -> Result<Joined, Failure> {
        let failed = |error: std::io::Error| Failure::of(&error).during("could not join the terminals");
        let (stop, stopped) = UnixStream::pair().map_err(failed)?;
        let Some(master) = master else {
            return Ok(Joined { control: self.control, thread: None, stop });
        };
        let control = self.control.clone();
        let [keys, screen, _] = terminals();
        let carry = move || {
            let input = stdin();
            let input = keys.then(|| input.as_fd());
            if screen {
                relay(input, stdout(), master, &stopped, &control)
            } else {
                relay(input, stderr(), master, &stopped, &control)
            }
        };
        let thread =
            thread::Builder::new().name("provost-terminal".to_owned()).spawn(carry).map_err(failed)?;
        Ok(Joined { control: self.control, thread: Some(thread), stop })
    }
}

impl Joined {
    /// The handle by which a question gets the terminal.
    pub(super) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Carries what is left, gives the terminal back, and says what was kept from it.
    pub(super) fn leave(mut self) -> Filtered {
        // Its other end is watched by the relay: an end of the stream is readable too.
        let _ = self.stop.shutdown(std::net::Shutdown::Both);
        let relayed = self.thread.take().and_then(|thread| thread.join().ok()).and_then(Result::ok);
        relayed.unwrap_or_default().filtered
    }
}
