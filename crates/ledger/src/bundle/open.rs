//! Verifying a bundle, from the first byte to the last, whoever made it.
//!
//! Owns that nothing in it is taken that is not vouched for: what it should hold is made anew from the events in it, and has
//! to be the same byte for byte. Holds one file of it at a time, and its notes. Does not own the story or the signatures
//! (`verify`).

use std::io::Read;

use super::{CHECKPOINT, FIRST_LINE, HEAD, chapter, head, log, register};
use crate::frame::Kind;
use crate::note::Verifier;
use crate::proof::Inclusion;
use crate::register::{self as book, Line};
use crate::run::{Certificate, Record, RunId};
use crate::scan::{End, Place, Walked};
use crate::tar::{Archive, File, TarError};
use crate::tiles::{self, Tile, Tiler};
use crate::verify::{Against, BUNDLE, Broken, Check, Verified, Wrong};

/// Bytes that everything before the events takes at most.
const NOTES_LIMIT: u64 = 64 * 1024 * 1024;
/// Bytes of a file's header.
const HEADER: u64 = 512;

/// A bundle that is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The run.
    pub run: RunId,
    /// The host's key that everything in it is under: the one it was held against, or else the one in it.
    pub host: Verifier,
    /// When the register took the run up: nanoseconds since 1970-01-01 UTC by the host's clock.
    pub registered: u64,
    /// What was verified.
    pub verified: Verified,
}

/// Verifies a bundle, against the host's key if there is one to hold it against. Without one it is held against the key in it:
/// then it is one story, whole and signed, but by whom is for others to say.
///
/// # Errors
/// Everything that is broken.
pub fn verify(from: impl Read, trusted: Option<&Verifier>) -> Result<Opened, Vec<Broken>> {
    let mut bundle = Bundle { archive: Archive::new(from, tiles::BUNDLE_LIMIT), next: None };
    let one = |flaw: Flaw| vec![flaw.told(None)];
    bundle.advance().map_err(one)?;
    let (run, host) = bundle.head(trusted).map_err(one)?;
    let named = |flaw: Flaw| vec![flaw.told(Some(&run))];
    let record = bundle.record(&run, &host).map_err(named)?;
    let chapters = bundle.chapters().map_err(named)?;
    let against = Against { host: Some(&host), record: Some(&record) };
    let mut held = Held { check: Check::new(against), chapters, last: None };
    if let Err(flaw) = bundle.events(&mut held) {
        held.check.tell(Some(flaw.place), None, flaw.wrong);
        return Err(held.check.broken());
    }
    let verified = held.finish(bundle.archive.offset())?;
    let registered = record.opened;
    Ok(Opened { run, host, registered, verified })
}

/// What is wrong with the bundle itself, and where.
struct Flaw {
    place: Place,
    wrong: Wrong,
}

impl Flaw {
    fn at(offset: u64, wrong: Wrong) -> Flaw {
        Flaw { place: Place { segment: BUNDLE, offset }, wrong }
    }

    fn of(file: &File, what: impl Into<String>) -> Flaw {
        Flaw::at(file.at, Wrong::Bundle { file: file.name.clone(), what: what.into() })
    }

    fn told(self, run: Option<&RunId>) -> Broken {
        Broken { run: run.map(RunId::to_string), seq: None, place: Some(self.place), what: self.wrong }
    }
}

/// A bundle that is being read.
struct Bundle<R> {
    archive: Archive<R>,
    /// The file that comes next.
    next: Option<File>,
}

impl<R: Read> Bundle<R> {
    /// Takes the next file and reads the one after it.
    fn advance(&mut self) -> Result<Option<File>, Flaw> {
        let at = self.archive.offset();
        let read = self.archive.next().map_err(|error| match error {
            TarError::Cut => Flaw::at(self.archive.offset(), Wrong::Container(error.to_string())),
            TarError::Io(_) | TarError::Strange(_) => Flaw::at(at, Wrong::Container(error.to_string())),
        })?;
        Ok(std::mem::replace(&mut self.next, read))
    }

    fn next_is(&self, name: &str) -> bool {
        self.next.as_ref().is_some_and(|file| file.name == name)
    }

    /// The next file, which must be the one of this name.
    fn expect(&mut self, name: &str) -> Result<File, Flaw> {
        let at = self.next.as_ref().map_or(self.archive.offset(), |file| file.at);
        let wrong = || Wrong::Bundle { file: name.to_owned(), what: "is not where it must be".to_owned() };
        if !self.next_is(name) {
            return Err(Flaw::at(at, wrong()));
        }
        self.advance()?.ok_or_else(|| Flaw::at(at, wrong()))
    }

    /// The run it is about, and the host whose key it is held against.
    fn head(&mut self, trusted: Option<&Verifier>) -> Result<(RunId, Verifier), Flaw> {
        let file = self.expect(HEAD)?;
        let (run, host) =
            read_head(&file.bytes).ok_or_else(|| Flaw::of(&file, "is not the beginning of a bundle"))?;
        match trusted {
            Some(trusted) if *trusted != host => {
                let what = format!(
                    "is of another host, `{}`, and not of the one you trust, `{}`",
                    host.name(),
                    trusted.name()
                );
                Err(Flaw::of(&file, what))
            }
            _ => Ok((run, host)),
        }
    }

    /// What the register says of the run.
    fn record(&mut self, run: &RunId, host: &Verifier) -> Result<Record, Flaw> {
        let (mut lines, mut checkpoint, at) = (Vec::<Line>::new(), None, self.archive.offset());
        while let Some(file) = self.next.as_ref().filter(|file| file.name.starts_with("register/")) {
            let line = serde_json::from_slice::<Line>(&file.bytes)
                .map_err(|error| Flaw::of(file, format!("is no entry of a register: {error}")))?;
            if lines.last().is_some_and(|last| last.seq >= line.seq) {
                return Err(Flaw::of(file, "is out of order"));
            }
            let file = self.expect(&register(line.seq, "json"))?;
            let proof = self.expect(&register(line.seq, "tlog-proof"))?;
            let by = entered(&file, &line, &proof, host)?;
            if checkpoint.get_or_insert_with(|| by.clone()) != &by {
                return Err(Flaw::of(&proof, "is against another checkpoint than the one before"));
            }
            lines.push(line);
            self.bounded(&file)?;
        }
        book::record(run, lines).ok_or_else(|| {
            let what = format!("does not say how run {run} was opened and sealed");
            Flaw::at(at, Wrong::Bundle { file: "register/".to_owned(), what })
        })
    }

    /// The certificates, each with the last checkpoint by its key.
    fn chapters(&mut self) -> Result<Vec<(File, Option<File>)>, Flaw> {
        let mut chapters = Vec::new();
        while chapters.is_empty() || self.next_is(&chapter(chapters.len(), "certificate")) {
            let number = chapters.len();
            let certificate = self.expect(&chapter(number, "certificate"))?;
            self.bounded(&certificate)?;
            let checkpoint = chapter(number, "checkpoint");
            let checkpoint = if self.next_is(&checkpoint) { Some(self.expect(&checkpoint)?) } else { None };
            chapters.push((certificate, checkpoint));
        }
        let last = self.expect(CHECKPOINT)?;
        match chapters.iter().rev().find_map(|(_, checkpoint)| checkpoint.as_ref()) {
            Some(signed) if signed.bytes == last.bytes => Ok(chapters),
            _ => Err(Flaw::of(&last, "is not the last chapter's")),
        }
    }

    fn bounded(&self, file: &File) -> Result<(), Flaw> {
        if file.at < NOTES_LIMIT { Ok(()) } else { Err(Flaw::of(file, "comes after more than any run has")) }
    }

    /// The events, and the tree over them.
    fn events(&mut self, held: &mut Held<'_>) -> Result<(), Flaw> {
        let mut tiler = Tiler::default();
        loop {
            let entries = |file: &&File| file.name.starts_with("log/tile/entries/");
            let Some(file) = self.next.as_ref().filter(entries) else { break };
            let leaves = tiles::entries(&file.bytes).ok_or_else(|| Flaw::of(file, "does not hold events"))?;
            let (mut due, mut at) = (Vec::new(), file.at + HEADER);
            for leaf in leaves {
                held.leaf(Place { segment: BUNDLE, offset: at + 2 }, leaf);
                due.extend(tiler.push(leaf));
                at += 2 + leaf.len() as u64;
            }
            if due.is_empty() {
                break;
            }
            self.tiles(due, held)?;
        }
        self.tiles(tiler.finish(), held)?;
        match &self.next {
            None => Ok(()),
            Some(file) => Err(Flaw::of(file, "does not belong in a bundle")),
        }
    }

    /// The files that the events before them make.
    fn tiles(&mut self, due: Vec<Tile>, held: &mut Held<'_>) -> Result<(), Flaw> {
        for tile in due {
            let file = self.expect(&log(&tile.path))?;
            if file.bytes != tile.bytes {
                let flaw = Flaw::of(&file, "is not of the events before it");
                held.check.tell(Some(flaw.place), None, flaw.wrong);
            }
        }
        Ok(())
    }
}

fn read_head(bytes: &[u8]) -> Option<(RunId, Verifier)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let (FIRST_LINE, run, host) = (lines.next()?, lines.next()?, lines.next()?) else { return None };
    let (run, host) = (RunId::parse(run)?, Verifier::parse(host).ok()?);
    (head(&run, &host) == text).then_some((run, host))
}

/// That the register has an entry; gives the checkpoint that it is proved against.
fn entered(file: &File, line: &Line, proof: &File, host: &Verifier) -> Result<String, Flaw> {
    let text = std::str::from_utf8(&proof.bytes).map_err(|_| Flaw::of(proof, "is no proof"))?;
    let read = Inclusion::parse(text).map_err(|error| Flaw::of(proof, format!("is {error}")))?;
    let said = read
        .check(&file.bytes, host)
        .map_err(|error| Flaw::of(proof, format!("does not prove the entry: {error}")))?;
    let fits = said.origin == book::origin(host) && read.index == line.seq && read.extra.is_none();
    if fits { Ok(read.checkpoint) } else { Err(Flaw::of(proof, "is of another register or place")) }
}

/// The check, and the notes that it has not seen yet.
struct Held<'a> {
    check: Check<'a>,
    chapters: Vec<(File, Option<File>)>,
    /// The checkpoint of the chapter that is being read.
    last: Option<File>,
}

impl Held<'_> {
    fn leaf(&mut self, place: Place, leaf: &[u8]) {
        while self.chapters.first().is_some_and(|(certificate, _)| begins(certificate) <= self.check.size()) {
            self.begin_chapter();
        }
        self.check.see(place, Kind::Leaf, leaf);
    }

    /// Shows the checkpoint of the chapter that is over, and the certificate of the one that begins.
    fn begin_chapter(&mut self) {
        self.end_chapter();
        let (certificate, checkpoint) = self.chapters.remove(0);
        self.see(Kind::Certificate, &certificate);
        self.last = checkpoint;
    }

    fn end_chapter(&mut self) {
        if let Some(checkpoint) = self.last.take() {
            self.see(Kind::Checkpoint, &checkpoint);
        }
    }

    fn see(&mut self, kind: Kind, file: &File) {
        self.check.see(Place { segment: BUNDLE, offset: file.at }, kind, &file.bytes);
    }

    fn finish(mut self, offset: u64) -> Result<Verified, Vec<Broken>> {
        while !self.chapters.is_empty() {
            self.begin_chapter();
        }
        self.end_chapter();
        let place = Place { segment: BUNDLE, offset };
        self.check.finish(&Walked { place, end: End::Clean, leaves: self.check.size() });
        self.check.verdict()
    }
}

/// The event from which a certificate's key signs; 0 for what is none, so that the check sees and refuses it.
fn begins(certificate: &File) -> u64 {
    let text = std::str::from_utf8(&certificate.bytes).ok().and_then(|note| crate::note::text(note).ok());
    text.and_then(|text| Certificate::parse(text).ok()).map_or(0, |certificate| certificate.from)
}
