//! The notary: writes down what the supervisor saw, off the path of the held calls.
//!
//! Owns: batching what was seen. Does not own: any answer, counting (`tally.rs`), what is written of it (`book.rs`). A batch
//! is never dropped: when the recorder is behind, the notary waits, and then the supervisor, and then the agent.

mod book;
mod tally;

use crate::bell::Alarm;
use crate::supervisor::bare::Names;
use crate::view::Found;
use admission::{Admission, LedgerClosed};
use book::Book;
use ledger::{Access, Denied, ExitEntry, NameAct, OsText, Reach};
use policy::Reason;
use rustix::fd::OwnedFd;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One thing that was seen.
#[derive(Debug)]
enum Seen {
    /// What was opened, or what was done to a name.
    Opened {
        pid: i32,
        access: Access,
        act: Option<NameAct>,
        path: PathBuf,
    },
    Exited(ExitEntry),
    Connected {
        pid: i32,
        target: OsText,
        how: Reach,
    },
    Denied(Denied),
    Program(Found),
    /// Everything before this is to be with the recorder; told here once it is.
    Reached(SyncSender<()>),
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Notary {
    unsent: Vec<Seen>,
    since: Instant,
    channel: Option<SyncSender<Vec<Seen>>>,
    thread: Option<JoinHandle<Result<(), LedgerClosed>>>,
    /// Whether the notary was found gone.
    gone: bool,
}

const BATCH: usize = 512;
const PATIENCE: Duration = Duration::from_millis(10);

impl Notary {
    /// Starts the notary. `root` is the view's root, where programs are found.
    /// `alarm` rings if the notary ends before it is told to.
    pub(crate) fn start(
        admission: Admission,
        (root, names): (OwnedFd, Names),
        alarm: Alarm,
    ) -> std::io::Result<Self> {
        let (channel, batches) = sync_channel::<Vec<Seen>>(64);
        let thread = std::thread::Builder::new().name("notary".into()).spawn(move || {
            let mut book = Book::new(admission, root, names);
            for batch in batches {
                // A ledger that is closed takes no more evidence, and what leaves no evidence must end.
                book.enter(batch)?;
            }
            book.close()?;
            alarm.all_is_well();
            Ok(())
        })?;
        Ok(Self {
            unsent: Vec::new(),
            since: Instant::now(),
            channel: Some(channel),
            thread: Some(thread),
            gone: false,
        })
    }

    /// A file was opened, or with `act`, its name changed.
    pub(crate) fn opened(&mut self, pid: i32, access: Access, act: Option<NameAct>, path: PathBuf) {
        self.push(Seen::Opened { pid, access, act, path });
    }

    /// A process ended.
    pub(crate) fn exited(&mut self, end: ExitEntry) {
        self.push(Seen::Exited(end));
    }

    /// A process tried to connect: `127.0.0.1:8080`, `api.example.com:443`, `unix:/path`.
    pub(crate) fn connected(&mut self, pid: i32, target: impl Into<OsText>, how: Reach) {
        self.push(Seen::Connected { pid, target: target.into(), how });
    }

    pub(crate) fn program(&mut self, found: Option<Found>) {
        if let Some(found) = found {
            self.push(Seen::Program(found));
        }
    }

    /// A denial is sent at once, so that it stands in order with what was allowed before it.
    pub(crate) fn denied(
        &mut self,
        pid: i32,
        what: &str,
        target: &OsStr,
        reasons: &[Reason],
        errno: Option<i32>,
        spoken: bool,
    ) {
        self.push(Seen::Denied(Denied {
            pid: u32::try_from(pid).ok(),
            what: what.to_owned(),
            target: OsText::from(target),
            reasons: reasons.iter().map(ledger::Reason::from).collect(),
            errno,
            spoken,
        }));
        self.send();
    }

    fn push(&mut self, seen: Seen) {
        if self.unsent.is_empty() {
            self.since = Instant::now();
        }
        self.unsent.push(seen);
        if self.unsent.len() >= BATCH || self.since.elapsed() > PATIENCE {
            self.send();
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Hands over what was seen. A notary that is gone wrote down nothing of it.
    pub(crate) fn send(&mut self) {
        if let (Some(channel), false) = (&self.channel, self.unsent.is_empty()) {
            self.gone |= channel.send(std::mem::take(&mut self.unsent)).is_err();
        }
    }

    /// Waits until everything that was seen so far is with the recorder, so that what crosses next comes after it.
    pub(crate) fn settle(&mut self) {
        let (told, reached) = sync_channel(1);
        self.push(Seen::Reached(told));
        self.send();
        self.gone |= reached.recv().is_err();
    }

    /// Whether everything that was handed over was taken.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Sends the rest and waits until it is written; whether it was.
    pub(crate) fn finish(&mut self) -> bool {
        self.send();
        self.channel = None;
        let ended = self.thread.take().map(JoinHandle::join);
        matches!(ended, Some(Ok(Ok(())))) && !self.gone
    }
}
