//! The notary: writes down what the supervisor saw, off the path of the held calls.
//!
//! Owns: the thread that does it. Does not own: any answer, what waits for it (`pile.rs`), counting (`tally.rs`), what is written
//! (`book.rs`). Nothing is dropped: when the recorder is behind, the notary waits, and then the supervisor, and then the agent.

mod book;
mod pile;
mod tally;

use crate::bell::Alarm;
use crate::supervisor::bare::Names;
use crate::view::Found;
use admission::{Admission, LedgerClosed};
use book::Book;
use ledger::{Access, Denied, ExitEntry, NameAct, OsText, Reach};
use pile::Pile;
use policy::Reason;
use rustix::fd::OwnedFd;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

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
    pile: Arc<Pile<Seen>>,
    thread: Option<JoinHandle<Result<(), LedgerClosed>>>,
}

/// The notary's end: who waits for it is told when it goes, however it goes.
struct Taker(Arc<Pile<Seen>>);

impl Drop for Taker {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl Notary {
    /// Starts the notary. `root` is the view's root, where programs are found.
    /// `alarm` rings if the notary ends before it is told to.
    pub(crate) fn start(
        admission: Admission,
        (root, names): (OwnedFd, Names),
        alarm: Alarm,
    ) -> std::io::Result<Self> {
        let pile = Arc::new(Pile::default());
        let taker = Taker(Arc::clone(&pile));
        let thread = std::thread::Builder::new().name("notary".into()).spawn(move || {
            let mut book = Book::new(admission, root, names);
            while let Some(batch) = taker.0.take() {
                // A ledger that is closed takes no more evidence, and what leaves no evidence must end.
                book.enter(batch)?;
            }
            book.close()?;
            alarm.all_is_well();
            Ok(())
        })?;
        Ok(Self { pile, thread: Some(thread) })
    }

    /// A file was opened, or with `act`, its name changed.
    pub(crate) fn opened(&mut self, pid: i32, access: Access, act: Option<NameAct>, path: PathBuf) {
        self.push(Seen::Opened { pid, access, act, path });
    }

    /// A process ended.
    pub(crate) fn exited(&mut self, end: ExitEntry) {
        self.push(Seen::Exited(end));
    }

    /// A process tried to connect: `127.0.0.1:8080`, `api.example.com:443`, `unix:/path`, `unix:@name`.
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
        let denied = Denied {
            pid: u32::try_from(pid).ok(),
            what: what.to_owned(),
            target: OsText::from(target),
            reasons: reasons.iter().map(ledger::Reason::from).collect(),
            errno,
            spoken,
        };
        self.pile.put(Seen::Denied(denied), true);
    }

    fn push(&mut self, seen: Seen) {
        self.pile.put(seen, false);
    }

    /// Waits until everything that was seen so far is with the recorder, so that what crosses next comes after it.
    pub(crate) fn settle(&mut self) {
        let (told, reached) = sync_channel(1);
        self.pile.put(Seen::Reached(told), true);
        // A notary that is gone tells nothing, and is known by that.
        let _ = reached.recv();
    }

    /// Whether the notary ended: then nothing that was seen is written down any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.pile.is_left()
    }

    /// Waits until the rest is written; whether everything was.
    pub(crate) fn finish(&mut self) -> bool {
        self.pile.close();
        let ended = self.thread.take().map(JoinHandle::join);
        matches!(ended, Some(Ok(Ok(()))))
    }
}

impl Drop for Notary {
    fn drop(&mut self) {
        self.pile.close();
    }
}
