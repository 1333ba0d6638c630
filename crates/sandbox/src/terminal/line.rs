//! A descriptor of a terminal that never makes its user wait.
//!
//! Owns: reading and writing without blocking, and without changing how others who share the descriptor see it. Does not
//! own: what is carried.

use super::TerminalError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::io;
use std::time::{Duration, Instant};

/// What came of a read or a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    Bytes(usize),
    /// Not now.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// A terminal, opened so that reads and writes return at once.
#[derive(Debug)]
pub(super) struct Line {
    fd: OwnedFd,
    /// The flags to give back, where the open file is shared with others.
    shared: Option<OFlags>,
}

impl Line {
    /// Opens the terminal a second time: the flag that makes calls return at once belongs to the open file, and the one
    /// we were started with is the shell's too. Where the terminal belongs to somebody else (after `su`) it cannot be
    /// opened; then the flag is set on the shared one and taken back at the end.
    pub(super) fn open(terminal: BorrowedFd<'_>) -> Result<Self, TerminalError> {
        let path = format!("/proc/self/fd/{}", terminal.as_raw_fd());
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::open(path, flags, Mode::empty()) {
            return Ok(Self { fd, shared: None });
        }
        let fd = terminal.try_clone_to_owned().map_err(TerminalError::Lost)?;
        let before = fcntl_getfl(&fd).map_err(lost)?;
        fcntl_setfl(&fd, before | OFlags::NONBLOCK).map_err(lost)?;
        Ok(Self { fd, shared: (!before.contains(OFlags::NONBLOCK)).then_some(before) })
    }

    /// Takes over a descriptor that nobody else uses.
    pub(super) fn own(fd: OwnedFd) -> Result<Self, TerminalError> {
        let before = fcntl_getfl(&fd).map_err(lost)?;
        fcntl_setfl(&fd, before | OFlags::NONBLOCK).map_err(lost)?;
        Ok(Self { fd, shared: None })
    }

    pub(super) fn read(&self, into: &mut [u8]) -> Result<Moved, TerminalError> {
        moved(rustix::io::read(&self.fd, into))
    }

    pub(super) fn write(&self, bytes: &[u8]) -> Result<Moved, TerminalError> {
        moved(rustix::io::write(&self.fd, bytes))
    }

    /// Writes all of it before the time is up; a terminal that takes no more gives [`TerminalError::Stuck`].
    pub(super) fn write_all(&self, mut bytes: &[u8], time: Duration) -> Result<(), TerminalError> {
        let deadline = Instant::now() + time;
        while !bytes.is_empty() {
            match self.write(bytes)? {
                Moved::Bytes(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Moved::Gone => return Err(TerminalError::Lost(io::ErrorKind::BrokenPipe.into())),
                Moved::Nothing => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(TerminalError::Stuck);
                    }
                    wait(&mut [PollFd::new(&self.fd, PollFlags::OUT)], left)?;
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(before) = self.shared {
            // The shell's own descriptor: it must find it as it was. Nothing can be done if even that fails.
            let _ = fcntl_setfl(&self.fd, before);
        }
    }
}

fn moved(result: Result<usize, Errno>) -> Result<Moved, TerminalError> {
    match result {
        Ok(0) => Ok(Moved::Gone),
        Ok(count) => Ok(Moved::Bytes(count)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(Moved::Nothing),
        // A terminal whose other side is closed, or that hung up.
        Err(Errno::IO | Errno::PIPE | Errno::NXIO) => Ok(Moved::Gone),
        Err(error) => Err(lost(error)),
    }
}

/// Waits until one of them has something, or the time is up. An interrupted wait counts as over.
pub(super) fn wait(watched: &mut [PollFd<'_>], time: Duration) -> Result<(), TerminalError> {
    let time = Timespec::try_from(time).ok();
    match poll(watched, time.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(lost(error)),
    }
}

pub(super) fn lost(error: Errno) -> TerminalError {
    TerminalError::Lost(error.into())
}
