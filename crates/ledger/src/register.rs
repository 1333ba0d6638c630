//! The register: the host's own ledger of which runs there were, by which keys, and how each ended.
//!
//! Owns its entries and the lock under which processes take turns to write them. An entry is durable when [`Register::enter`]
//! returns. Does not own the runs' ledgers.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::ending;
use crate::frame::Kind;
use crate::log::{Log, Make, Unsigned};
use crate::note::{self, Checkpoint, Signer, Verifier};
use crate::proof::Inclusion;
use crate::run::{Chapter, Head, Record, RunId};
use crate::scan::{self, End};
use crate::tree::{Tree, inclusion_proof, leaf_hash};
use crate::verify::{Broken, Wrong};
use crate::writer::{Stamp, WriteError};

/// The version of the register's schema.
const VERSION: u8 = 1;

/// One entry: a leaf of the register, one line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Schema version: 1.
    pub(crate) v: u8,
    /// Place in the register, from 0, without a gap.
    pub(crate) seq: u64,
    /// When: nanoseconds since 1970-01-01 UTC.
    pub(crate) ts: u64,
    /// What, told apart by `type`.
    #[serde(flatten)]
    pub(crate) entry: Entry,
}

/// What the register holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub(crate) enum Entry {
    /// A run was opened: its ledger holds a first durable event.
    #[serde(rename = "run.registered")]
    Registered {
        /// The run's id.
        run: String,
        /// The verifier key of its checkpoints.
        key: String,
        /// The host's signed word for that key.
        certificate: String,
    },
    /// A sealed run was taken up again, with a new key.
    #[serde(rename = "run.reopened")]
    Reopened {
        /// The run's id.
        run: String,
        /// The verifier key of the checkpoints from here on.
        key: String,
        /// The host's signed word for that key.
        certificate: String,
    },
    /// A run's ledger is finished.
    #[serde(rename = "run.sealed")]
    Sealed {
        /// The run's id.
        run: String,
        /// How many events it has.
        size: u64,
        /// The Merkle root over them, in base64.
        root: String,
        /// `run` where the run ended it, `host` where it was found dead.
        by: String,
    },
}

impl Entry {
    pub(crate) fn sealed(run: &RunId, head: Head, by: &str) -> Entry {
        let root = BASE64.encode(head.root);
        Entry::Sealed { run: run.to_string(), size: head.size, root, by: by.to_owned() }
    }

    /// Which runs are open when this is entered where these were.
    fn open_after(&self, mut open: Vec<String>) -> Vec<String> {
        match self {
            Entry::Registered { run, .. } | Entry::Reopened { run, .. } => open.push(run.clone()),
            Entry::Sealed { run, .. } => open.retain(|other| other != run),
        }
        open
    }

    /// The run it is about.
    fn run(&self) -> &str {
        match self {
            Entry::Registered { run, .. } | Entry::Reopened { run, .. } | Entry::Sealed { run, .. } => run,
        }
    }
}

/// What the register says of one run, with the proof of it.
#[derive(Debug)]
pub(crate) struct Excerpt {
    pub(crate) record: Record,
    /// The entries about the run, byte for byte, each with the proof that the register has it.
    pub(crate) entries: Vec<(Vec<u8>, Inclusion)>,
}

/// What a register signed by `host` calls itself.
pub(crate) fn origin(host: &Verifier) -> String {
    format!("provost.register/{}", host.name())
}

/// What all entries about a run say of it; `None` if they cannot follow each other, or one is about another run.
pub(crate) fn record(run: &RunId, lines: Vec<Line>) -> Option<Record> {
    let mut reading = Reading::default();
    for line in lines {
        (line.v == VERSION && line.entry.run() == run.as_str()).then_some(())?;
        reading.entry(line)?;
    }
    reading.records.pop()
}

#[derive(Debug)]
pub(crate) struct Register {
    dir: PathBuf,
    host: Signer,
}

impl Register {
    /// The register in `dir`, made if it is not there.
    pub(crate) fn open(dir: PathBuf, host: Signer) -> io::Result<Register> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Register { dir, host })
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600).open(self.dir.join("lock"))
    }

    /// Enters something, durably, behind whatever other processes enter at the same time.
    pub(crate) fn enter(&self, entry: Entry) -> Result<(), WriteError> {
        let lock = self.lock_file()?;
        lock.lock()?;
        let origin = origin(&self.host.verifier());
        let make = Make {
            dir: &self.dir,
            origin: &origin,
            signer: self.host.copy(),
            ahead: false,
            certificate: None,
        };
        let host = self.host.verifier();
        let (mut log, open) = match ending::load(&self.dir, &host) {
            Some((ending, open)) => (Log::continue_at(make, ending)?, Some(open)),
            None if scan::segments(&self.dir)?.is_empty() => (Log::create(make)?, Some(Vec::new())),
            None => (Log::resume(make, &[host], Unsigned::Cut)?.0, None),
        };
        let open = open.map(|open| entry.open_after(open));
        let line = Line { v: VERSION, seq: log.tree().size(), ts: Stamp::now().ts, entry };
        log.push(&serde_json::to_vec(&line).map_err(io::Error::from)?)?;
        let ending = log.finish()?;
        let open = match open {
            Some(open) => open,
            None => unsealed(&self.walk(|_, _| {}).unwrap_or_default()),
        };
        // The entry is durable; without this the next one takes longer, and that is all.
        let _ = ending::save(&self.dir, &ending, &open);
        Ok(())
    }

    /// The runs that are not sealed, in no order.
    ///
    /// # Errors
    /// What is broken in it, where it had to be read for that.
    pub(crate) fn open_runs(&self) -> Result<Vec<RunId>, Vec<Broken>> {
        let lock = self.lock_file().map_err(unreadable)?;
        lock.lock_shared().map_err(unreadable)?;
        let open = match ending::load(&self.dir, &self.host.verifier()) {
            Some((_, open)) => open,
            None => unsealed(&self.walk(|_, _| {})?),
        };
        Ok(open.iter().filter_map(|run| RunId::parse(run)).collect())
    }

    /// Everything it says of runs, in the order they were registered.
    ///
    /// # Errors
    /// What is broken in it.
    pub(crate) fn read(&self) -> Result<Vec<Record>, Vec<Broken>> {
        let lock = self.lock_file().map_err(unreadable)?;
        lock.lock_shared().map_err(unreadable)?;
        self.walk(|_, _| {})
    }

    /// What it says of one run, if it knows it, proved against its last checkpoint.
    ///
    /// # Errors
    /// What is broken in it.
    pub(crate) fn excerpt(&self, run: &RunId) -> Result<Option<Excerpt>, Vec<Broken>> {
        let lock = self.lock_file().map_err(unreadable)?;
        lock.lock_shared().map_err(unreadable)?;
        let (mut hashes, mut about, mut checkpoint, mut size) = (Vec::new(), Vec::new(), None, 0);
        let records = self.walk(|kind, payload| match kind {
            Kind::Leaf => {
                let line = serde_json::from_slice::<Line>(payload);
                if line.is_ok_and(|line| line.entry.run() == run.as_str()) {
                    about.push((hashes.len() as u64, payload.to_vec()));
                }
                hashes.push(leaf_hash(payload));
            }
            Kind::Checkpoint => {
                checkpoint = std::str::from_utf8(payload).ok().map(str::to_owned);
                size = hashes.len();
            }
            Kind::Certificate => {}
        })?;
        let Some(record) = records.into_iter().find(|record| record.run == *run) else { return Ok(None) };
        // What no checkpoint covers was not entered.
        hashes.truncate(size);
        let checkpoint = checkpoint.unwrap_or_default();
        let entry = |(index, leaf)| {
            let path = inclusion_proof(&hashes, index)?;
            Some((leaf, Inclusion { extra: None, index, path, checkpoint: checkpoint.clone() }))
        };
        Ok(Some(Excerpt { record, entries: about.into_iter().filter_map(entry).collect() }))
    }

    /// Reads everything for who holds the lock, and shows every leaf and note to `also` as well.
    fn walk(&self, mut also: impl FnMut(Kind, &[u8])) -> Result<Vec<Record>, Vec<Broken>> {
        let mut reading = Reading::default();
        let host = self.host.verifier();
        let origin = origin(&host);
        let walked = scan::walk(&self.dir, |place, kind, payload| {
            also(kind, payload);
            if let Err(wrong) = reading.see(kind, payload, &origin) {
                reading.broken.push(broken(Some(place), Some(reading.tree.size()), wrong));
            }
        })
        .map_err(unreadable)?;
        let seq = Some(reading.tree.size());
        match walked.end {
            // A torn end was never entered: whoever wrote it was not told that it was.
            End::Clean | End::Torn(_) => {}
            End::Damaged(fault) => reading.broken.push(broken(Some(walked.place), seq, Wrong::Frame(fault))),
            End::Gap => {
                let gap = Wrong::Gap(walked.place.segment + 1);
                reading.broken.push(broken(Some(walked.place), seq, gap));
            }
        }
        reading.finish(&host)
    }
}

/// The registered runs, while the register is walked.
#[derive(Default)]
struct Reading {
    tree: Tree,
    records: Vec<Record>,
    index: HashMap<String, usize>,
    /// Entries that no checkpoint covers yet: whoever wrote them was not told that they are there.
    unsigned: Vec<Line>,
    last: Option<String>,
    broken: Vec<Broken>,
}

impl Reading {
    fn see(&mut self, kind: Kind, payload: &[u8], origin: &str) -> Result<(), Wrong> {
        match kind {
            Kind::Leaf => {
                let seq = self.tree.size();
                self.tree.push(leaf_hash(payload));
                let line: Line =
                    serde_json::from_slice(payload).map_err(|error| Wrong::NoEvent(error.to_string()))?;
                if line.v != VERSION || line.seq != seq {
                    return Err(Wrong::Stray(format!("number {} of version {}", line.seq, line.v)));
                }
                self.unsigned.push(line);
                Ok(())
            }
            Kind::Checkpoint => {
                let note = String::from_utf8_lossy(payload).into_owned();
                let said = note::text(&note).and_then(Checkpoint::parse).map_err(Wrong::Signature)?;
                self.last = Some(note);
                if said.origin != origin {
                    return Err(Wrong::Note(format!("a checkpoint of `{}`", said.origin)));
                }
                if said.size != self.tree.size() || said.root != self.tree.root() {
                    return Err(Wrong::Root);
                }
                let signed = std::mem::take(&mut self.unsigned);
                let taken = signed.into_iter().try_for_each(|line| self.entry(line));
                taken.ok_or(Wrong::Stray("an entry about no run before it".into()))
            }
            Kind::Certificate => Err(Wrong::Note("a certificate".into())),
        }
    }

    /// Takes an entry in; `None` for one that cannot follow those before it.
    fn entry(&mut self, line: Line) -> Option<()> {
        match line.entry {
            Entry::Registered { run, key, .. } => {
                let chapter = Chapter { key: Verifier::parse(&key).ok()?, end: None };
                let record = Record { run: RunId::parse(&run)?, opened: line.ts, chapters: vec![chapter] };
                if self.index.insert(run, self.records.len()).is_some() {
                    return None;
                }
                self.records.push(record);
            }
            Entry::Reopened { run, key, .. } => {
                let record = self.records.get_mut(*self.index.get(&run)?)?;
                record.end()?;
                record.chapters.push(Chapter { key: Verifier::parse(&key).ok()?, end: None });
            }
            Entry::Sealed { run, size, root, .. } => {
                let record = self.records.get_mut(*self.index.get(&run)?)?;
                let root = BASE64.decode(root).ok()?.try_into().ok()?;
                let chapter = record.chapters.last_mut().filter(|chapter| chapter.end.is_none())?;
                chapter.end = Some(Head { size, root });
            }
        }
        Some(())
    }

    fn finish(mut self, host: &Verifier) -> Result<Vec<Record>, Vec<Broken>> {
        let signed = match &self.last {
            Some(note) => host.open(note).map(|_| ()).map_err(Wrong::Signature),
            None => Ok(()),
        };
        if let Err(wrong) = signed {
            self.broken.push(broken(None, Some(self.tree.size()), wrong));
        }
        if self.broken.is_empty() { Ok(self.records) } else { Err(self.broken) }
    }
}

fn unsealed(records: &[Record]) -> Vec<String> {
    records.iter().filter(|record| record.end().is_none()).map(|record| record.run.to_string()).collect()
}

fn unreadable(error: io::Error) -> Vec<Broken> {
    vec![broken(None, None, Wrong::Unreadable(error.to_string()))]
}

fn broken(place: Option<scan::Place>, seq: Option<u64>, what: Wrong) -> Broken {
    Broken { run: None, seq, place, what }
}

/// Whether the register in a state directory was ever written.
pub(crate) fn exists(dir: &Path) -> bool {
    fs::exists(scan::segment_path(dir, 1)).unwrap_or(true)
}
