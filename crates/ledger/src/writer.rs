//! Writing a run's ledger.

use std::io;

use crate::event::{Body, Trust};
use crate::host::RunId;

/// A ledger that is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// How many events it has.
    pub size: u64,
    /// The Merkle root over them.
    pub root: [u8; 32],
}

/// A moment by both clocks of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970-01-01 UTC.
    pub ts: u64,
    /// Nanoseconds by the monotonic clock.
    pub mono: u64,
}

/// The ledger could not be written. It takes nothing more after that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk refused.
    #[error("the ledger could not be written")]
    Io(#[from] io::Error),
}

/// The one who writes a run's ledger.
#[derive(Debug)]
pub struct Writer {
    run: RunId,
    next: u64,
}

impl Writer {
    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The `seq` of the next event.
    pub fn next_seq(&self) -> u64 {
        self.next
    }

    /// Appends an event, stamped now; not yet durable. Gives its `seq`.
    pub fn append(
        &mut self,
        body: impl Into<Body>,
        trust: Trust,
        cause: Option<u64>,
    ) -> Result<u64, WriteError> {
        self.append_at(Stamp::default(), body.into(), trust, cause)
    }

    /// Appends an event with a stamp taken earlier.
    pub fn append_at(&mut self, _: Stamp, _: Body, _: Trust, _: Option<u64>) -> Result<u64, WriteError> {
        Err(WriteError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Makes everything appended so far durable.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        Err(WriteError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Makes everything durable and destroys the run's key.
    pub fn seal(self) -> Result<Sealed, WriteError> {
        Err(WriteError::Io(io::ErrorKind::Unsupported.into()))
    }
}
