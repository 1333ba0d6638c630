//! A log of leaves in segment files: append, make durable, take up again.
//!
//! Owns the files, their tree and the discipline of writing. Leaves gather in memory, go to the file in one write and
//! become durable by one sync, with a checkpoint over them as the last record of that write: the signature is never durable
//! without what it signs. The first error is the last: after it nothing is taken, because what the disk holds is no
//! longer known. Does not own what leaves mean, nor whose key signs.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::ending::Ending;
use crate::frame::{self, FRAME, Kind};
use crate::note::{self, Checkpoint, Signer, Verifier};
use crate::scan::{self, End, Place, segment_path};
use crate::tree::{Tree, leaf_hash};
use crate::writer::WriteError;

/// Bytes after which a segment is followed by the next.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// Bytes of disk taken ahead, so that a full disk refuses a leaf before it is accepted and not after.
const AHEAD: u64 = 256 * 1024;
/// Room for a checkpoint.
const CHECKPOINT: u64 = 1024;
/// Bytes that may wait in memory before they go to the file.
const BUFFER: usize = 256 * 1024;

/// What a log is made with.
#[derive(Debug)]
pub(crate) struct Make<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) origin: &'a str,
    pub(crate) signer: Signer,
    /// Whether to take disk ahead.
    pub(crate) ahead: bool,
    /// The host's word for the signer, unless the signer is the host.
    pub(crate) certificate: Option<&'a str>,
}

/// What becomes of leaves at the end that no checkpoint covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsigned {
    /// They stay: they are what is known of the moment before a crash.
    Keep,
    /// They go: whoever wrote them was not told that they are there.
    Cut,
}

#[derive(Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    origin: String,
    signer: Signer,
    file: File,
    place: Place,
    tree: Tree,
    /// Where the last checkpoint is.
    checkpoint: Place,
    buffer: Vec<u8>,
    /// Bytes of the segment that the disk has promised; `None` where it promises nothing.
    promised: Option<u64>,
    segment_limit: u64,
    /// Whether something was appended since the last sync.
    dirty: bool,
    /// Whether the segment's name is not yet known to be durable.
    nameless: bool,
    dead: bool,
}

impl Log {
    /// A new log in `dir`, which exists and holds none.
    pub(crate) fn create(make: Make<'_>) -> Result<Log, WriteError> {
        let mut open = OpenOptions::new();
        let file =
            open.read(true).write(true).create_new(true).mode(0o600).open(segment_path(make.dir, 1))?;
        Log::at(make, file, Place { segment: 1, offset: 0 }, Tree::default())
    }

    /// Takes up a log again where it ends, and cuts off a torn end; gives the bytes that were cut. The log must agree with
    /// its checkpoints, the last of which must be by one of `known`.
    pub(crate) fn resume(
        make: Make<'_>,
        known: &[Verifier],
        unsigned: Unsigned,
    ) -> Result<(Log, u64), WriteError> {
        let found = agree(make.dir, known)?;
        let torn = match found.walked.end {
            End::Clean => 0,
            End::Torn(bytes) => bytes,
            End::Damaged(_) | End::Gap => return Err(WriteError::Damaged(found.walked.place)),
        };
        let end = found.walked.place;
        let (place, tree) = match unsigned {
            Unsigned::Keep => (end, found.tree),
            // What is signed ends in the last segment or before it begins.
            Unsigned::Cut if found.signed_end.segment == end.segment => (found.signed_end, found.signed),
            Unsigned::Cut => (Place { offset: 0, ..end }, found.signed),
        };
        let cut = torn + (end.offset - place.offset);
        let file = OpenOptions::new().read(true).write(true).open(segment_path(make.dir, place.segment))?;
        // What a process that died had taken ahead goes back as well.
        file.set_len(place.offset)?;
        if cut > 0 {
            file.sync_all()?;
        }
        Ok((Log::at(make, file, place, tree)?, cut))
    }

    /// Takes up a log that is known to end at `ending`.
    pub(crate) fn continue_at(make: Make<'_>, ending: Ending) -> Result<Log, WriteError> {
        let file =
            OpenOptions::new().read(true).write(true).open(segment_path(make.dir, ending.end.segment))?;
        Log::at(make, file, ending.end, ending.tree)
    }

    fn at(make: Make<'_>, file: File, place: Place, tree: Tree) -> Result<Log, WriteError> {
        let mut log = Log {
            dir: make.dir.to_owned(),
            origin: make.origin.to_owned(),
            signer: make.signer,
            file,
            place,
            tree,
            checkpoint: place,
            buffer: Vec::new(),
            promised: make.ahead.then_some(0),
            segment_limit: SEGMENT,
            dirty: false,
            nameless: place.offset == 0,
            dead: false,
        };
        if place.offset == 0 {
            log.buffer.extend(frame::header(log.tree.size()));
        }
        if let Some(certificate) = make.certificate {
            log.promise(certificate.len())?;
            frame::put(&mut log.buffer, Kind::Certificate, certificate.as_bytes());
            log.dirty = true;
        }
        Ok(log)
    }

    /// The tree over what was appended.
    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes a leaf; not yet durable.
    pub(crate) fn push(&mut self, leaf: &[u8]) -> Result<(), WriteError> {
        self.alive()?;
        let end = self.place.offset + self.buffer.len() as u64 + (FRAME + leaf.len()) as u64 + CHECKPOINT;
        if end > self.segment_limit && self.tree.size() > 0 {
            self.rotate()?;
        }
        self.promise(leaf.len())?;
        frame::put(&mut self.buffer, Kind::Leaf, leaf);
        self.tree.push(leaf_hash(leaf));
        self.dirty = true;
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Hands what was taken to the kernel: it outlives this process, not the machine.
    pub(crate) fn flush(&mut self) -> Result<(), WriteError> {
        self.alive()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all_at(&self.buffer, self.place.offset) {
            // Recovery would cut the half record as well; this spares it the work where the disk still allows it.
            let _ = self.file.set_len(self.place.offset);
            return self.die(error);
        }
        self.place.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Signs what was taken and makes it durable.
    pub(crate) fn sync(&mut self) -> Result<(), WriteError> {
        self.alive()?;
        if !self.dirty {
            return Ok(());
        }
        self.sign()?;
        self.settle()
    }

    /// Makes durable what went to the kernel.
    fn settle(&mut self) -> Result<(), WriteError> {
        if let Err(error) = self.durable() {
            return self.die(error);
        }
        self.dirty = false;
        Ok(())
    }

    /// Signs what was taken; it goes to the kernel.
    fn sign(&mut self) -> Result<(), WriteError> {
        let checkpoint =
            Checkpoint { origin: self.origin.clone(), size: self.tree.size(), root: self.tree.root() };
        let note = self.signer.sign(&checkpoint.to_string());
        self.checkpoint = Place { offset: self.place.offset + self.buffer.len() as u64, ..self.place };
        frame::put(&mut self.buffer, Kind::Checkpoint, note.as_bytes());
        self.flush()
    }

    /// Syncs, and gives back the disk that was taken ahead. The latter comes first: whatever changes a file's size behind a
    /// sync waits for the journal that the sync has just filled.
    pub(crate) fn finish(mut self) -> Result<Ending, WriteError> {
        self.alive()?;
        if self.dirty {
            self.sign()?;
        }
        if self.promised.is_some() {
            self.file.set_len(self.place.offset)?;
        }
        if self.dirty {
            self.settle()?;
        }
        Ok(Ending { checkpoint: self.checkpoint, end: self.place, tree: self.tree })
    }

    fn durable(&mut self) -> io::Result<()> {
        if !self.nameless {
            return self.file.sync_data();
        }
        // The names above are older than the file's, and every file system this runs on makes its metadata durable in
        // the order it was made.
        self.file.sync_all()?;
        File::open(&self.dir)?.sync_all()?;
        self.nameless = false;
        Ok(())
    }

    /// Goes on in a new segment. All that is in this one is durable first, so that nothing bad can be torn before it.
    fn rotate(&mut self) -> Result<(), WriteError> {
        self.sync()?;
        if self.promised.is_some() {
            self.file.set_len(self.place.offset)?;
            self.promised = Some(0);
        }
        self.place = Place { segment: self.place.segment + 1, offset: 0 };
        let mut open = OpenOptions::new();
        open.read(true).write(true).create_new(true).mode(0o600);
        match open.open(segment_path(&self.dir, self.place.segment)) {
            Ok(file) => self.file = file,
            Err(error) => return self.die(error),
        }
        self.nameless = true;
        self.buffer.extend(frame::header(self.tree.size()));
        Ok(())
    }

    /// Has the disk promise room for `more` bytes of payload.
    fn promise(&mut self, more: usize) -> Result<(), WriteError> {
        let Some(promised) = self.promised else { return Ok(()) };
        let needed = self.place.offset + (self.buffer.len() + FRAME + more) as u64 + CHECKPOINT;
        if needed <= promised {
            return Ok(());
        }
        let from = promised.max(self.place.offset);
        let length = (needed - from).next_multiple_of(AHEAD);
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, length) {
            Ok(()) => self.promised = Some(from + length),
            // A file system that cannot promise tells at the write instead.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.promised = None,
            Err(error) => return self.die(error.into()),
        }
        Ok(())
    }

    fn alive(&self) -> Result<(), WriteError> {
        if self.dead { Err(WriteError::Dead) } else { Ok(()) }
    }

    fn die<T>(&mut self, error: io::Error) -> Result<T, WriteError> {
        self.dead = true;
        Err(WriteError::Io(error))
    }
}

/// What a walk over a log came to.
struct Found {
    walked: scan::Walked,
    tree: Tree,
    /// The tree at the last checkpoint, and the place behind that.
    signed: Tree,
    signed_end: Place,
}

/// Walks a log and holds it against its own checkpoints.
fn agree(dir: &Path, known: &[Verifier]) -> Result<Found, WriteError> {
    let (mut tree, mut signed, mut signed_end) = (Tree::default(), Tree::default(), Place::default());
    let (mut wrong, mut last) = (None, None);
    let walked = scan::walk(dir, |place, kind, payload| match kind {
        Kind::Leaf => tree.push(leaf_hash(payload)),
        Kind::Certificate => {}
        Kind::Checkpoint => {
            let note = String::from_utf8_lossy(payload).into_owned();
            let read = note::text(&note).and_then(Checkpoint::parse);
            if !read.is_ok_and(|said| said.size == tree.size() && said.root == tree.root()) {
                wrong.get_or_insert(place);
            }
            signed = tree.clone();
            signed_end = Place { offset: place.offset + (FRAME + payload.len()) as u64, ..place };
            last = Some((place, note));
        }
    })?;
    if let Some((place, note)) = last
        && !known.iter().any(|key| key.open(&note).is_ok())
    {
        wrong.get_or_insert(place);
    }
    wrong.map_or(Ok(Found { walked, tree, signed, signed_end }), |place| Err(WriteError::Damaged(place)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::event::{Denied, RunOpened};
    use crate::run::{Certificate, RunId};
    use crate::verify::Wrong;
    use crate::{Reader, Trust, Writer, verify};

    /// A ledger whose segments are small, with so many events.
    fn written(dir: &Path, events: u64) -> Writer {
        let run = RunId::parse("a").unwrap();
        let signer = Signer::generate(&run.origin()).unwrap();
        let host = Signer::generate("provost.host/a").unwrap();
        let certificate = Certificate { run: run.clone(), key: signer.verifier(), from: 0 };
        let certificate = host.sign(&certificate.to_string());
        let origin = run.origin();
        let make = Make { dir, origin: &origin, signer, ahead: true, certificate: Some(&certificate) };
        let mut log = Log::create(make).unwrap();
        log.segment_limit = 4096;
        let mut writer = Writer::new(run, log, File::open(segment_path(dir, 1)).unwrap());
        writer.append(RunOpened::default(), Trust::Observed, None).unwrap();
        for _ in 1..events {
            writer.append(Denied::default(), Trust::Observed, None).unwrap();
        }
        writer.sync().unwrap();
        writer
    }

    #[test]
    fn a_long_ledger_goes_on_in_the_next_segment_and_reads_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = written(dir.path(), 100);
        let segments = scan::segments(dir.path()).unwrap();
        assert!(segments.len() > 3, "{segments:?}");
        assert!(segments.iter().all(|at| fs::metadata(segment_path(dir.path(), *at)).unwrap().len() <= 4096));
        let mut reader = Reader::open(dir.path()).unwrap();
        let seqs = reader.by_ref().map(|event| event.unwrap().seq);
        assert!(seqs.eq(0..100));
        // A reader that came to the end goes on when there is more, over the edge of a segment too.
        for seq in 100..130 {
            writer.append(Denied::default(), Trust::Observed, None).unwrap();
            writer.flush().unwrap();
            assert_eq!(reader.read().unwrap().unwrap().seq, seq);
            assert!(reader.read().unwrap().is_none());
        }
        writer.sync().unwrap();
        assert_eq!(verify(dir.path()).unwrap().size, 130);
    }

    #[test]
    fn a_segment_that_is_gone_or_damaged_is_never_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        let second = segment_path(dir.path(), 2);
        let bytes = fs::read(&second).unwrap();
        for end in [0, 10, 30, bytes.len() - 1] {
            fs::write(&second, &bytes[..end]).unwrap();
            let broken = verify(dir.path()).unwrap_err();
            let place = broken[0].place.unwrap();
            assert!(
                matches!(broken[0].what, Wrong::Frame(_) | Wrong::Root) && place.segment >= 2,
                "{broken:?}"
            );
            assert!(Reader::open(dir.path()).unwrap().any(|event| event.is_err()));
        }
        fs::remove_file(&second).unwrap();
        assert_eq!(verify(dir.path()).unwrap_err()[0].what, Wrong::Gap(2));
    }

    #[test]
    fn a_crash_while_a_segment_is_begun_is_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        drop(written(dir.path(), 100));
        let last = scan::segments(dir.path()).unwrap().pop().unwrap();
        for left in [&b""[..], b"PLED", &[0; 64]] {
            fs::write(segment_path(dir.path(), last + 1), left).unwrap();
            let found = verify(dir.path()).unwrap();
            assert_eq!((found.size, found.torn), (100, left.len() as u64));
        }
    }
}
