//! Whole, or what is broken and where.
//!
//! Owns the judgement over a run's ledger: framing, numbering, hashes against every checkpoint, signatures, the register's
//! word on where it ended, and the story's invariants. It hashes the bytes that are there, never a re-serialisation of
//! them. Does not own where the register's word comes from (`host`).

use std::fmt;
use std::path::Path;

use crate::crew;
use crate::frame::{Fault, Kind};
use crate::note::{self, Checkpoint, Verifier};
use crate::run::{Certificate, Chapter, HOST_KEY, Record, RunId};
use crate::scan::{self, End, Place};
use crate::story::{Breach, Story, Taped};
use crate::tree::{Hash, Tree};

/// The segment of places in a bundle.
pub(crate) const BUNDLE: u32 = 0;
/// Faults that are told; a ledger that has more is no better for the rest.
const TOLD: usize = 50;

/// A ledger that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// How many events it has.
    pub size: u64,
    /// The Merkle root over them.
    pub root: Hash,
    /// Whether the register knows it as sealed at this size and root.
    pub sealed: bool,
    /// Whether its last event says that the run is over.
    pub ended: bool,
    /// Events at the end that no checkpoint covers: a crash came between. Nobody vouches for them.
    pub unsigned: u64,
    /// Bytes of a half-written record behind the last event.
    pub torn: u64,
    /// What it says of recorded traffic, which lies beside it.
    pub taped: Taped,
}

/// One thing that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The run, where there is one to name.
    pub run: Option<String>,
    /// The event at that place, or that should be there.
    pub seq: Option<u64>,
    /// The place in the files.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: Wrong,
}

/// What can be wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// The files cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// There is no ledger.
    #[error("the ledger is missing")]
    Missing,
    /// A file between others is gone.
    #[error("segment {0} is missing")]
    Gap(u32),
    /// The bytes at a place are not what was written.
    #[error("{0}")]
    Frame(Fault),
    /// A leaf is no event of this schema.
    #[error("not an event: {0}")]
    NoEvent(String),
    /// An event of another schema, another run or another place.
    #[error("an event that belongs elsewhere: {0}")]
    Stray(String),
    /// A checkpoint or certificate that cannot be read, or speaks of another log.
    #[error("a note that does not belong here: {0}")]
    Note(String),
    /// A checkpoint that the events before it contradict.
    #[error("the events before it are not those that were signed")]
    Root,
    /// Nothing is signed.
    #[error("no checkpoint covers it")]
    Unsigned,
    /// The signature is not by the run's key.
    #[error("{0}")]
    Signature(note::NoteError),
    /// The register knows another key.
    #[error("the key is not the one in the register")]
    Key,
    /// There are fewer events than the register knows.
    #[error("cut short: sealed with {sealed} events, {found} are there")]
    CutShort {
        /// Events when it was sealed.
        sealed: u64,
        /// Events now.
        found: u64,
    },
    /// The register knows another root.
    #[error("not the events that were sealed")]
    Resealed,
    /// There is more than the register knows.
    #[error("more was written after it was sealed with {sealed} events")]
    Grown {
        /// Events when it was sealed.
        sealed: u64,
    },
    /// A file of a bundle is not what it must be.
    #[error("`{file}` {what}")]
    Bundle {
        /// The file in the bundle.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A bundle's bytes are not what was written.
    #[error("the bundle is damaged: {0}")]
    Container(String),
    /// The register knows no such run.
    #[error("not in the register")]
    Unregistered,
    /// The story is not a possible one.
    #[error("{0}")]
    Story(#[from] Breach),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(run) = &self.run {
            write!(f, "run {run}: ")?;
        }
        if let Some(seq) = self.seq {
            write!(f, "event {seq}: ")?;
        }
        write!(f, "{}", self.what)?;
        match self.place {
            Some(place) if place.segment == BUNDLE => write!(f, " (byte {} of the bundle)", place.offset),
            Some(place) => write!(f, " (segment {}, byte {})", place.segment, place.offset),
            None => Ok(()),
        }
    }
}

/// What a ledger is held against, beside itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Against<'a> {
    pub(crate) host: Option<&'a Verifier>,
    pub(crate) record: Option<&'a Record>,
}

/// Verifies the ledger in `dir` by itself: that it is one story, whole, and signed by one key a chapter. Whose keys those
/// are, and whether the ledger went on, only the host's key and its register can tell: [`crate::Host::verify`].
///
/// # Errors
/// Everything that is broken.
pub fn verify(dir: &Path) -> Result<Verified, Vec<Broken>> {
    check(dir, Against::default())
}

/// Verifies a ledger against the host's key, without its register: what someone else can do with a copy.
///
/// # Errors
/// Everything that is broken.
pub fn verify_by(dir: &Path, host: &Verifier) -> Result<Verified, Vec<Broken>> {
    check(dir, Against { host: Some(host), record: None })
}

pub(crate) fn check(dir: &Path, against: Against<'_>) -> Result<Verified, Vec<Broken>> {
    let mut check = Check::new(against);
    match crew::walk(dir, |place, record| check.take(place, record)) {
        Ok(walked) => check.finish(&walked),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => check.tell(None, None, Wrong::Missing),
        Err(error) => check.tell(None, None, Wrong::Unreadable(error.to_string())),
    }
    check.verdict()
}

pub(crate) struct Check<'a> {
    against: Against<'a>,
    run: Option<RunId>,
    tree: Tree,
    story: Story,
    /// The key that signs the checkpoints being walked over, and how many chapters there were before it.
    key: Option<Verifier>,
    chapter: usize,
    /// Where the last checkpoint is, and how many events it covers.
    last: Option<(Place, u64)>,
    /// The last checkpoint while its signature, which covers all before it, is unchecked.
    unchecked: Option<String>,
    torn: u64,
    broken: Vec<Broken>,
}

impl<'a> Check<'a> {
    pub(crate) fn new(against: Against<'a>) -> Check<'a> {
        Check {
            against,
            run: against.record.map(|record| record.run.clone()),
            tree: Tree::default(),
            story: Story::default(),
            key: None,
            chapter: 0,
            last: None,
            unchecked: None,
            torn: 0,
            broken: Vec::new(),
        }
    }

    pub(crate) fn tell(&mut self, place: Option<Place>, seq: Option<u64>, what: Wrong) {
        if self.broken.len() < TOLD {
            let run = self.run.as_ref().map(RunId::to_string);
            self.broken.push(Broken { run, seq, place, what });
        }
    }

    pub(crate) fn see(&mut self, place: Place, kind: Kind, payload: &[u8]) {
        self.take(place, crew::Record::of(kind, payload));
    }

    fn take(&mut self, place: Place, record: crew::Record) {
        let (seq, seen) = (
            self.tree.size(),
            match record {
                crew::Record::Leaf { hash, read } => {
                    let seen = read.and_then(|leaf| self.leaf(leaf));
                    self.tree.push(hash);
                    seen
                }
                crew::Record::Note(Kind::Certificate, note) => self.certificate(&note),
                crew::Record::Note(_, note) => self.checkpoint(place, &note),
            },
        );
        if let Err(wrong) = seen {
            self.tell(Some(place), Some(seq), wrong);
        }
        if self.tree.size() > seq {
            self.hold_against_ends(place);
        }
    }

    /// How many events it saw.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// What it found broken so far.
    pub(crate) fn broken(self) -> Vec<Broken> {
        self.broken
    }

    fn leaf(&mut self, leaf: crew::Leaf) -> Result<(), Wrong> {
        if leaf.seq != self.tree.size() {
            return Err(Wrong::Stray(format!("number {}", leaf.seq)));
        }
        if self.run.is_none() {
            self.run = RunId::parse(&leaf.run);
        }
        if self.run.as_ref().is_none_or(|run| run.as_str() != leaf.run) {
            return Err(Wrong::Stray(format!("run `{}`", leaf.run)));
        }
        Ok(self.story.see(leaf.gist)?)
    }

    /// Holds the tree against every end that the register knows.
    fn hold_against_ends(&mut self, place: Place) {
        let Some(record) = self.against.record else { return };
        let size = self.tree.size();
        for end in record.chapters.iter().filter_map(|chapter| chapter.end) {
            if end.size == size && end.root != self.tree.root() {
                self.tell(Some(place), Some(size - 1), Wrong::Resealed);
            }
        }
    }

    fn certificate(&mut self, payload: &[u8]) -> Result<(), Wrong> {
        let note = std::str::from_utf8(payload).map_err(|_| Wrong::Note("not text".into()))?;
        let text = match self.against.host {
            Some(host) => host.open(note).map_err(Wrong::Signature)?,
            None => note::text(note).map_err(Wrong::Signature)?,
        };
        let certificate = Certificate::parse(text).map_err(Wrong::Signature)?;
        let run = self.run.get_or_insert(certificate.run.clone());
        if *run != certificate.run || certificate.from != self.tree.size() {
            return Err(Wrong::Note(format!(
                "a key of run `{}` from event {}",
                certificate.run, certificate.from
            )));
        }
        let registered = self.against.record.map(|record| record.chapters.get(self.chapter));
        if registered
            .is_some_and(|chapter| chapter.is_none_or(|chapter: &Chapter| chapter.key != certificate.key))
        {
            return Err(Wrong::Key);
        }
        self.signature();
        self.key = Some(certificate.key);
        self.chapter += 1;
        Ok(())
    }

    fn checkpoint(&mut self, place: Place, payload: &[u8]) -> Result<(), Wrong> {
        let note = std::str::from_utf8(payload).map_err(|_| Wrong::Note("not text".into()))?;
        let said = note::text(note).and_then(Checkpoint::parse).map_err(Wrong::Signature)?;
        if self.run.as_ref().is_none_or(|run| run.origin() != said.origin) {
            return Err(Wrong::Note(format!("a checkpoint of `{}`", said.origin)));
        }
        let again = self.unchecked.is_some() && self.last.is_some_and(|(_, size)| size == said.size);
        self.last = Some((place, said.size));
        self.unchecked = Some(note.to_owned());
        if said.size != self.tree.size() || said.root != self.tree.root() {
            return Err(Wrong::Root);
        }
        // None is written over what one covers already.
        if again { Err(Wrong::Note("a checkpoint that was there already".into())) } else { Ok(()) }
    }

    /// Checks the signature of the last checkpoint: the run's key, or the host's where it ended a run that could not.
    fn signature(&mut self) {
        let (Some((place, size)), Some(note)) = (self.last, self.unchecked.take()) else { return };
        let by_run =
            self.key.as_ref().map_or(Err(note::NoteError::Malformed("certified key")), |key| key.open(&note));
        let by_host = match self.against.host {
            Some(host) => host.open(&note).is_ok(),
            None => note::claims(&note, HOST_KEY),
        };
        if let Err(error) = by_run
            && !by_host
        {
            self.tell(Some(place), Some(size), Wrong::Signature(error));
        }
    }

    pub(crate) fn finish(&mut self, walked: &scan::Walked) {
        let (place, seq) = (Some(walked.place), Some(self.tree.size()));
        match walked.end {
            End::Clean => {}
            End::Torn(bytes) => self.torn = bytes,
            End::Damaged(fault) => self.tell(place, seq, Wrong::Frame(fault)),
            End::Gap => self.tell(place, seq, Wrong::Gap(walked.place.segment + 1)),
        }
        if self.last.is_none() {
            let wrong = if self.tree.size() == 0 { Wrong::Missing } else { Wrong::Unsigned };
            self.tell(None, None, wrong);
        }
        self.signature();
        self.hold_against_size(walked);
        self.hold_against_seal();
        self.hold_against_end(walked);
    }

    fn hold_against_size(&mut self, walked: &scan::Walked) {
        let Some(record) = self.against.record else { return };
        let found = self.tree.size();
        let last = record.chapters.iter().rev().find_map(|chapter| chapter.end);
        if let Some(end) = last
            && found < end.size
        {
            self.tell(Some(walked.place), Some(found), Wrong::CutShort { sealed: end.size, found });
        }
        if let Some(end) = record.end()
            && (found > end.size || self.torn > 0)
        {
            self.tell(Some(walked.place), Some(end.size), Wrong::Grown { sealed: end.size });
        }
    }

    /// Whether the register's end is covered by a checkpoint too, as it was when it was sealed.
    fn hold_against_seal(&mut self) {
        let end = self.against.record.and_then(Record::end);
        if end.is_some_and(|end| self.last.is_none_or(|(_, signed)| signed < end.size)) {
            self.tell(None, end.map(|end| end.size), Wrong::Unsigned);
        }
    }

    /// Whether the story, where it is sealed, is told to the end.
    fn hold_against_end(&mut self, walked: &scan::Walked) {
        let sealed = self.against.record.is_some_and(|record| record.end().is_some());
        if sealed && let Err(breach) = self.story.chapter_over() {
            self.tell(Some(walked.place), Some(self.tree.size()), breach.into());
        }
    }

    pub(crate) fn verdict(self) -> Result<Verified, Vec<Broken>> {
        if !self.broken.is_empty() {
            return Err(self.broken);
        }
        let (size, root) = (self.tree.size(), self.tree.root());
        let signed = self.last.map_or(0, |(_, signed)| signed);
        let sealed = self.against.record.is_some_and(|record| record.end().is_some());
        Ok(Verified {
            size,
            root,
            sealed,
            ended: self.story.ended(),
            unsigned: size - signed,
            torn: self.torn,
            taped: self.story.taped(),
        })
    }
}
