//! Writing a run's ledger.
//!
//! Owns numbering and stamping of events, and the lock that tells a running run from one that died: a process holds it from
//! the first event until the end is in the register. Does not own when to sync: whoever lets effects happen does.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use rustix::time::{ClockId, clock_gettime};

use crate::event::{Body, Event, Trust, VERSION};
use crate::log::Log;
use crate::run::{Head, RunId};
use crate::scan::Place;
use crate::tree::Hash;

/// A ledger that is finished. While this lives, nobody takes the run for a dead one: keep it until the register knows.
#[derive(Debug)]
pub struct Sealed {
    /// How many events it has.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    _lock: File,
}

/// A moment by both clocks of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970-01-01 UTC.
    pub ts: u64,
    /// Nanoseconds by the monotonic clock.
    pub mono: u64,
}

impl Stamp {
    /// This moment.
    pub fn now() -> Stamp {
        // A clock before 1970 is written as 1970.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mono = clock_gettime(ClockId::Monotonic);
        let mono = (mono.tv_sec as u64).saturating_mul(1_000_000_000).saturating_add(mono.tv_nsec as u64);
        Stamp { ts: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX), mono }
    }
}

/// The ledger could not be written. It takes nothing more after that.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk refused: it is full, or failing.
    #[error("the disk refused")]
    Io(#[from] io::Error),
    /// An earlier write was refused.
    #[error("an earlier write was refused")]
    Dead,
    /// What is there already is not what was written.
    #[error("damaged in segment {} at byte {}", .0.segment, .0.offset)]
    Damaged(Place),
}

/// The one who writes a run's ledger.
#[derive(Debug)]
pub struct Writer {
    run: RunId,
    log: Log,
    lock: File,
}

impl Writer {
    pub(crate) fn new(run: RunId, log: Log, lock: File) -> Writer {
        Writer { run, log, lock }
    }

    /// The run.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The `seq` of the next event.
    pub fn next_seq(&self) -> u64 {
        self.log.tree().size()
    }

    /// How long the ledger is now, and the root over it.
    pub fn head(&self) -> Head {
        Head { size: self.log.tree().size(), root: self.log.tree().root() }
    }

    /// Appends an event, stamped now; not yet durable. Gives its `seq`.
    ///
    /// # Errors
    /// The disk has no room for it; nothing of it was accepted.
    pub fn append(
        &mut self,
        body: impl Into<Body>,
        trust: Trust,
        cause: Option<u64>,
    ) -> Result<u64, WriteError> {
        self.append_at(Stamp::now(), body.into(), trust, cause)
    }

    /// Appends an event with a stamp taken earlier.
    ///
    /// # Errors
    /// As [`Writer::append`].
    pub fn append_at(
        &mut self,
        stamp: Stamp,
        body: Body,
        trust: Trust,
        cause: Option<u64>,
    ) -> Result<u64, WriteError> {
        let Stamp { ts, mono } = stamp;
        let (seq, run) = (self.next_seq(), self.run.to_string());
        let event = Event { v: VERSION, seq, ts, mono, run, trust, cause, cut: false, body };
        self.log.push(&event.leaf())?;
        Ok(seq)
    }

    /// Hands everything appended so far to the kernel: it outlives this process, not the machine.
    ///
    /// # Errors
    /// The disk refused.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        self.log.flush()
    }

    /// Makes everything appended so far durable, with a checkpoint over it.
    ///
    /// # Errors
    /// The disk refused; what was appended since the last sync may be lost.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.log.sync()
    }

    /// Makes everything durable and destroys the run's key: nobody can go on with this ledger unnoticed.
    ///
    /// # Errors
    /// The disk refused; the run then looks interrupted, which it is.
    pub fn seal(self) -> Result<Sealed, WriteError> {
        let tree = self.log.finish()?.tree;
        Ok(Sealed { size: tree.size(), root: tree.root(), _lock: self.lock })
    }
}
