//! Walking a ledger's files from the first byte to the last.
//!
//! Owns what tells a torn end from damage. A writer makes a group of records durable by one sync, with a checkpoint as its
//! last record, and writes nothing more before that sync has returned. So a bad record was once durable, and is damage, if
//! it is followed by a checkpoint that is not the last record of all, or by another segment. What else is bad at the end
//! is a write that a crash cut short: nobody was told that it was durable, it may be cut off, and it is said.
//! Does not own what leaves and notes mean.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::frame::{self, Fault, HEADER, Kind};

/// Bytes that are read at a time.
const WINDOW: u64 = 512 * 1024;

/// A place in a ledger's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment file's number, from 1; 0 in a bundle, which is one file.
    pub segment: u32,
    /// The byte within it.
    pub offset: u64,
}

/// How a ledger's files end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// After a whole record.
    Clean,
    /// With so many bytes of a write that was cut short.
    Torn(u64),
    /// In the middle: there is more behind, and it cannot be trusted to follow.
    Damaged(Fault),
    /// Before a segment that should be there, for there is a later one.
    Gap,
}

/// What a walk found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walked {
    /// Where the good part ends.
    pub(crate) place: Place,
    pub(crate) end: End,
    /// Leaves in the good part.
    pub(crate) leaves: u64,
}

/// The file of segment `number`.
pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// The numbers of the segments in `dir`, in order.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|stem| stem.len() == 8);
        numbers.extend(stem.and_then(|stem| stem.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Shows every good record, in order, to `see`.
pub(crate) fn walk(dir: &Path, mut see: impl FnMut(Place, Kind, &[u8])) -> io::Result<Walked> {
    let numbers = segments(dir)?;
    let mut walked = Walked { place: Place { segment: 1, offset: 0 }, end: End::Clean, leaves: 0 };
    for (index, number) in numbers.iter().copied().enumerate() {
        if number as usize != index + 1 {
            walked.end = End::Gap;
            return Ok(walked);
        }
        walked.place = Place { segment: number, offset: 0 };
        let mut window = Window::open(&segment_path(dir, number))?;
        if let Err(fault) = walk_segment(&mut window, &mut walked, &mut see)? {
            let last = index + 1 == numbers.len();
            walked.end = judge(&window.all_from(walked.place.offset)?, fault, last);
            return Ok(walked);
        }
    }
    Ok(walked)
}

fn walk_segment(
    window: &mut Window,
    walked: &mut Walked,
    see: &mut impl FnMut(Place, Kind, &[u8]),
) -> io::Result<Result<(), Fault>> {
    window.more()?;
    if window.rest().get(..HEADER) != Some(&frame::header(walked.leaves)[..]) {
        return Ok(Err(if window.rest().len() < HEADER { Fault::Short } else { Fault::Header }));
    }
    walked.place.offset = HEADER as u64;
    window.at = HEADER;
    loop {
        let fault = match frame::take(window.rest()) {
            Ok((kind, payload, took)) => {
                see(walked.place, kind, payload);
                walked.leaves += u64::from(kind == Kind::Leaf);
                walked.place.offset += took as u64;
                window.at += took;
                continue;
            }
            Err(fault) => fault,
        };
        // Short of the window is not yet short of the file.
        if fault != Fault::Short || !window.more()? {
            return Ok(if window.rest().is_empty() { Ok(()) } else { Err(fault) });
        }
    }
}

/// A part of a segment in memory, which moves on over it: of a long ledger no more is held than that.
struct Window {
    file: File,
    /// Bytes of the file as it was found. What a writer adds meanwhile is not looked at.
    left: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl Window {
    fn open(path: &Path) -> io::Result<Window> {
        let file = File::open(path)?;
        Ok(Window { left: file.metadata()?.len(), file, bytes: Vec::new(), at: 0 })
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Reads on; whether there was more.
    fn more(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.at);
        self.at = 0;
        let want = self.left.min(WINDOW);
        let read = (&mut self.file).take(want).read_to_end(&mut self.bytes)? as u64;
        // A file that became shorter meanwhile ends where it ends.
        self.left = if read < want { 0 } else { self.left - read };
        Ok(read > 0)
    }

    /// Everything from a byte of the file on, as far as it was there when the file was found.
    fn all_from(mut self, offset: u64) -> io::Result<Vec<u8>> {
        let end = self.file.stream_position()? + self.left;
        self.file.seek(SeekFrom::Start(offset))?;
        self.bytes.clear();
        self.file.take(end.saturating_sub(offset)).read_to_end(&mut self.bytes)?;
        Ok(self.bytes)
    }
}

/// Whether bad bytes are a torn end, or damage to what was once durable.
fn judge(bad: &[u8], fault: Fault, last_segment: bool) -> End {
    if !last_segment {
        return End::Damaged(fault);
    }
    // A leaf is text without NUL and a frame's length always holds one, so no leaf can pretend to hold a checkpoint.
    let mut at = 1;
    while at < bad.len() {
        match frame::take(&bad[at..]) {
            Ok((Kind::Checkpoint, _, took)) if at + took < bad.len() => return End::Damaged(fault),
            Ok((_, _, took)) => at += took,
            Err(_) => at += 1,
        }
    }
    End::Torn(bad.len() as u64)
}
