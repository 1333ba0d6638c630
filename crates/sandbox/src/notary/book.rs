//! What is written of what was seen.
//!
//! Owns: the order of what is written, digests of programs.
//! Does not own: batching (`pile.rs`), counting (`tally.rs`).

use super::Seen;
use super::tally::Tally;
use crate::image::{CHAIN_MAX, LINE_MAX, interpreter};
use crate::supervisor::bare::Names;
use crate::view::{Found, View, read_some};
use admission::{Admission, LedgerClosed};
use ledger::{Body, Connected, ExitEntry, Exited, Opened, OsText, Program, Trust};
use rustix::fd::{AsRawFd as _, OwnedFd};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub(super) struct Book {
    admission: Admission,
    view: View,
    /// By which names it is spoken of what lies elsewhere.
    names: Names,
    tally: Tally,
    /// Programs whose digest is in the ledger, by device, inode, size and change time.
    known: HashSet<(u64, u64, i64, i64, i64)>,
    /// Processes that ended, not yet written.
    ends: Vec<ExitEntry>,
}

impl Book {
    pub(super) fn new(admission: Admission, root: OwnedFd, names: Names) -> Self {
        Self {
            admission,
            view: View::new(root),
            names,
            tally: Tally::default(),
            known: HashSet::new(),
            ends: Vec::new(),
        }
    }

    pub(super) fn enter(&mut self, batch: Vec<Seen>) -> Result<(), LedgerClosed> {
        for seen in batch {
            match seen {
                Seen::Opened { pid, access, act, path } => {
                    self.tally.opened(pid, access, act, self.names.spoken(path).into_owned());
                }
                Seen::Connected { pid, target, how } => self.tally.connected(pid, target, how),
                Seen::Exited(end) => {
                    self.tally.ended(end.pid);
                    self.ends.push(end);
                }
                Seen::Denied(body) => {
                    self.flush()?;
                    self.note(body)?;
                }
                Seen::Program(found) => self.program(&found)?,
                Seen::Reached(told) => {
                    self.flush()?;
                    // Nobody waits any more where the supervisor died.
                    let _ = told.send(());
                }
            }
        }
        self.flush()
    }

    /// Writes the last of every count.
    pub(super) fn close(&mut self) -> Result<(), LedgerClosed> {
        self.tally.close();
        self.flush()
    }

    fn flush(&mut self) -> Result<(), LedgerClosed> {
        let (opened, connected) = self.tally.take();
        if !opened.is_empty() {
            self.note(Opened { entries: opened })?;
        }
        if !connected.is_empty() {
            self.note(Connected { entries: connected })?;
        }
        // ORDER: behind the last counts of the processes that ended.
        if !self.ends.is_empty() {
            let entries = std::mem::take(&mut self.ends);
            self.note(Exited { entries })?;
        }
        Ok(())
    }

    fn note(&self, body: impl Into<Body>) -> Result<(), LedgerClosed> {
        self.admission.note(body.into(), Trust::Observed, None).map(drop)
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
        let path = OsText::from(&*self.names.spoken(&*found.path));
        let program = Program { path, digest, size: facts.st_size as u64 };
        self.note(program)?;
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
