//! Reading a run's ledger, from the first event on, and following it while it is written.
//!
//! Owns a reader's place. Takes the framing's word and looks no further: whether what is read can be believed is what
//! `verify` finds out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::event::Event;
use crate::frame::{self, Fault, HEADER, Kind};
use crate::scan::{Place, segment_path};

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// A ledger could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The files could not be read.
    #[error("the ledger could not be read")]
    Io(#[from] io::Error),
    /// The bytes are not a ledger's.
    #[error("damaged in segment {} at byte {}: {fault}", .place.segment, .place.offset)]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong there.
        fault: Fault,
    },
    /// A leaf that is no event of this schema.
    #[error("no event in segment {} at byte {}", .place.segment, .place.offset)]
    NoEvent {
        /// Where.
        place: Place,
        /// Why not.
        #[source]
        because: serde_json::Error,
    },
}

/// Reads events in order. At the end it gives `None`; called again later, it gives what was written since.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    file: File,
    place: Place,
    first: bool,
    buffer: Vec<u8>,
    used: usize,
}

impl Reader {
    /// Opens the ledger in `dir`.
    ///
    /// # Errors
    /// There is none, or it may not be read.
    pub fn open(dir: &Path) -> Result<Reader, ReadError> {
        let file = File::open(segment_path(dir, 1))?;
        let place = Place { segment: 1, offset: 0 };
        Ok(Reader { dir: dir.to_owned(), file, place, first: true, buffer: Vec::new(), used: 0 })
    }

    /// The next event, if there is one yet. A record that is not whole yet is none.
    ///
    /// # Errors
    /// The files cannot be read, or are damaged.
    pub fn read(&mut self) -> Result<Option<Event>, ReadError> {
        loop {
            if self.first && !self.skip_header()? {
                if self.next_segment()? {
                    continue;
                }
                return Ok(None);
            }
            match frame::take(&self.buffer[self.used..]) {
                Ok((kind, payload, took)) => {
                    let place = self.place;
                    let event = (kind == Kind::Leaf).then(|| Event::read(payload));
                    self.used += took;
                    self.place.offset += took as u64;
                    if let Some(event) = event {
                        return event.map(Some).map_err(|because| ReadError::NoEvent { place, because });
                    }
                }
                Err(Fault::Short) => {
                    if !self.more()? && !self.next_segment()? {
                        return Ok(None);
                    }
                }
                Err(fault) => return Err(ReadError::Damaged { place: self.place, fault }),
            }
        }
    }

    fn skip_header(&mut self) -> Result<bool, ReadError> {
        while self.buffer.len() < HEADER {
            if !self.more()? {
                return Ok(false);
            }
        }
        if !frame::is_header(&self.buffer[..HEADER]) {
            return Err(ReadError::Damaged { place: self.place, fault: Fault::Header });
        }
        self.first = false;
        self.used = HEADER;
        self.place.offset = HEADER as u64;
        Ok(true)
    }

    /// Reads on in the segment; whether there was anything.
    fn more(&mut self) -> Result<bool, ReadError> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let had = self.buffer.len();
        self.buffer.resize(had + CHUNK, 0);
        let got = self.file.read_at(&mut self.buffer[had..], self.place.offset + had as u64)?;
        self.buffer.truncate(had + got);
        Ok(got > 0)
    }

    /// Goes on in the next segment, if there is one; whether there is more to read.
    fn next_segment(&mut self) -> Result<bool, ReadError> {
        let next = match File::open(segment_path(&self.dir, self.place.segment + 1)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        // A segment gets its last byte before the next one is made, but perhaps after we looked.
        if self.more()? {
            return Ok(true);
        }
        if !self.buffer.is_empty() || self.first {
            return Err(ReadError::Damaged { place: self.place, fault: Fault::Short });
        }
        self.file = next;
        self.place = Place { segment: self.place.segment + 1, offset: 0 };
        self.first = true;
        Ok(true)
    }
}

impl Iterator for Reader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
