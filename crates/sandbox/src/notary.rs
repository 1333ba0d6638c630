//! The notary: writes down what the supervisor saw, off the path of the held calls.
//!
//! Owns: batching what was opened, telling attempts that found something from those that did not, digests of programs.
//! Does not own: any answer. A batch is never dropped: when the recorder is behind, the notary waits, and then the
//! supervisor, and then the agent.

use crate::bell::Alarm;
use crate::image::{CHAIN_MAX, LINE_MAX, interpreter};
use crate::supervisor::bare::Names;
use crate::view::{Found, View, read_some};
use admission::{Admission, LedgerClosed};
use ledger::{
    Access, ConnectEntry, Connected, Denied, ExitEntry, Exited, NameAct, OpenEntry, Opened, OsText, Program,
    Reach, Trust,
};
use policy::Reason;
use rustix::fd::{AsRawFd as _, OwnedFd};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One thing that was seen.
#[derive(Debug)]
pub(crate) enum Seen {
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
    /// Starts the notary. `root` is the view's root, to see whether an attempt found anything.
    /// `alarm` rings if the notary ends before it is told to.
    pub(crate) fn start(
        admission: Admission,
        (root, names): (OwnedFd, Names),
        alarm: Alarm,
    ) -> std::io::Result<Self> {
        let (channel, batches) = sync_channel::<Vec<Seen>>(64);
        let thread = std::thread::Builder::new().name("notary".into()).spawn(move || {
            let mut book = Book {
                admission,
                view: View::new(root),
                names,
                known: HashSet::new(),
                system: HashMap::new(),
                counts: HashMap::new(),
                reached: HashMap::new(),
                ends: Vec::new(),
            };
            for batch in batches {
                // A ledger that is closed takes no more evidence, and what leaves no evidence must end.
                book.enter(batch)?;
            }
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

/// Places that are shown read-only in every view, or not at all.
const SYSTEM: [&str; 4] = ["/usr", "/etc", "/lib", "/lib64"];

struct Book {
    admission: Admission,
    view: View,
    /// By which names it is spoken of what lies elsewhere.
    names: Names,
    /// Programs whose digest is in the ledger, by device, inode, size and change time.
    known: HashSet<(u64, u64, i64, i64, i64)>,
    /// Where paths of the system led: nobody inside can change that.
    system: HashMap<OsString, PathBuf>,
    /// What each process was seen to open, so that floods become counts.
    counts: HashMap<(i32, Access, Option<NameAct>, OsString), u64>,
    /// Where each process was seen to connect to.
    reached: HashMap<(i32, OsText, Reach), u64>,
    /// Processes that ended, not yet written.
    ends: Vec<ExitEntry>,
}

impl Book {
    fn enter(&mut self, batch: Vec<Seen>) -> Result<(), LedgerClosed> {
        let mut fresh: Vec<OpenEntry> = Vec::new();
        for seen in batch {
            match seen {
                Seen::Opened { pid, access, act, path } => self.count(&mut fresh, (pid, access, act), path),
                Seen::Exited(end) => self.ends.push(end),
                Seen::Connected { pid, target, how } => self.connected(pid, target, how)?,
                Seen::Denied(body) => {
                    self.flush(&mut fresh)?;
                    self.admission.note(body.into(), Trust::Observed, None)?;
                }
                Seen::Program(found) => self.program(&found)?,
                Seen::Reached(told) => {
                    self.flush(&mut fresh)?;
                    // Nobody waits any more where the supervisor died.
                    let _ = told.send(());
                }
            }
        }
        self.flush(&mut fresh)
    }

    fn count(
        &mut self,
        fresh: &mut Vec<OpenEntry>,
        (pid, access, act): (i32, Access, Option<NameAct>),
        path: PathBuf,
    ) {
        if self.counts.len() > 100_000 {
            self.counts.clear();
        }
        let count = self.counts.entry((pid, access, act, path.as_os_str().to_os_string())).or_insert(0);
        *count += 1;
        // Powers of two: a flood costs its logarithm, and the last figure is never off by more than half. An attempt
        // that found nothing read nothing.
        if !count.is_power_of_two() {
            return;
        }
        let count = *count;
        if let Some(path) = self.resolve(&path, access) {
            let pid = u32::try_from(pid).unwrap_or(0);
            let path = OsText::from(self.names.spoken(&path).as_path());
            fresh.push(OpenEntry { pid, access, act, path, count });
        }
    }

    /// What a path leads to, if anything. A file to be written may be about to be made.
    fn resolve(&mut self, path: &Path, access: Access) -> Option<PathBuf> {
        if let Some(known) = self.system.get(path.as_os_str()) {
            return Some(known.clone());
        }
        let found = self.look(path, access)?;
        if SYSTEM.iter().any(|place| path.starts_with(place)) {
            self.system.insert(path.into(), found.clone());
        }
        Some(found)
    }

    fn look(&self, path: &Path, access: Access) -> Option<PathBuf> {
        match (self.view.find(path, true), access) {
            (Ok(found), _) => Some(found.path),
            (Err(_), Access::Read) => None,
            (Err(_), Access::Write) => {
                let folder = self.view.find(path.parent()?, true).ok()?;
                Some(folder.path.join(path.file_name()?))
            }
        }
    }

    fn connected(&mut self, pid: i32, target: OsText, how: Reach) -> Result<(), LedgerClosed> {
        let count = self.reached.entry((pid, target.clone(), how)).or_insert(0);
        *count += 1;
        if !count.is_power_of_two() {
            return Ok(());
        }
        let entry = ConnectEntry { pid: u32::try_from(pid).unwrap_or(0), target, count: *count, how };
        self.admission.note(Connected { entries: vec![entry] }.into(), Trust::Observed, None).map(drop)
    }

    fn flush(&mut self, fresh: &mut Vec<OpenEntry>) -> Result<(), LedgerClosed> {
        if !fresh.is_empty() {
            let opened = Opened { entries: std::mem::take(fresh) };
            self.admission.note(opened.into(), Trust::Observed, None)?;
        }
        if !self.ends.is_empty() {
            let exited = Exited { entries: std::mem::take(&mut self.ends) };
            self.admission.note(exited.into(), Trust::Observed, None)?;
        }
        Ok(())
    }

    /// The content of a program, and of the interpreters that its `#!` lines name.
    fn program(&mut self, found: &Found) -> Result<(), LedgerClosed> {
        let Some(start) = self.content(found)? else { return Ok(()) };
        let mut next = interpreter(&start);
        for _ in 0..CHAIN_MAX {
            let Some((name, _)) = next else { break };
            let name = Path::new(OsStr::from_bytes(&name));
            // Where a name without a beginning starts from, only the process knew.
            let Some(found) = name.is_absolute().then(|| self.view.find(name, true).ok()).flatten() else {
                break;
            };
            let Some(start) = self.content(&found)? else { break };
            next = interpreter(&start);
        }
        Ok(())
    }

    /// Writes down a program's content unless it is known, and gives its first bytes.
    fn content(&mut self, found: &Found) -> Result<Option<Vec<u8>>, LedgerClosed> {
        let Ok(facts) = rustix::fs::fstat(&found.object) else { return Ok(None) };
        let key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime, facts.st_ctime_nsec as i64);
        if !self.known.insert(key) {
            return Ok(None);
        }
        let Ok(digest) = digest(&found.object) else { return Ok(None) };
        let path = OsText::from(self.names.spoken(&found.path).as_path());
        let program = Program { path, digest, size: facts.st_size as u64 };
        self.admission.note(program.into(), Trust::Observed, None)?;
        Ok(Some(read_some(&found.object, LINE_MAX)))
    }
}

/// SHA-256 of a file that is held, in hexadecimal.
fn digest(object: &OwnedFd) -> std::io::Result<String> {
    let mut file = std::fs::File::open(format!("/proc/self/fd/{}", object.as_raw_fd()))?;
    let mut hash = Sha256::new();
    let mut block = vec![0_u8; 1 << 16];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        hash.update(block.get(..read).unwrap_or_default());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
