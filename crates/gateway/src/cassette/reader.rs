//! A cassette, read.
//!
//! Owns reading lines one after the other, a last one that was cut off left out; putting a flow together again; and whether it is
//! still what it was when it was closed. What it holds came from the agent and from servers: it is bytes, and nothing is believed of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::folder::{EVENTS, MANIFEST, blob};
use super::format::{Body, Close, Entry, Line, Manifest, Part, ReqHead, Side, VERSION};
use super::writer::hex;

/// Bytes of the longest line: a head and some.
const LONGEST: u64 = 4 << 20;

/// What is wrong with a cassette.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not there.
    #[error("there is no cassette")]
    Missing,
    /// The disk refuses.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is another format.
    #[error("its manifest is none of this version: {0}")]
    Manifest(String),
    /// A line is none, and not the last.
    #[error("line {0} is no line of a cassette: {1}")]
    Line(u64, String),
    /// A blob is gone, or is not what was written.
    #[error("the blob {0} {1}")]
    Blob(String, &'static str),
    /// The lines are not those that were closed.
    #[error("its lines are not those that were written")]
    Changed,
}

/// A cassette.
#[derive(Debug)]
pub struct Tape {
    dir: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// One flow, put together.
#[derive(Debug, Default)]
pub struct Flow {
    /// The head of the request.
    pub head: Option<ReqHead>,
    /// The request's body, as far as it came.
    pub up: Vec<u8>,
    /// How it ended.
    pub up_end: Option<Side>,
    /// The status and headers of the answer.
    pub answer: Option<(u16, Vec<(String, String)>)>,
    /// Pieces of the answer's body, each with its time.
    pub down: Vec<Piece>,
    /// How it ended.
    pub down_end: Option<Side>,
    /// What followed it.
    pub trailers: Vec<(String, String)>,
    /// Frames of the WebSocket.
    pub frames: Vec<Frame>,
    /// What was answered instead.
    pub refused: Option<(u16, String)>,
    /// Its end.
    pub close: Option<Close>,
    /// When it began, in microseconds.
    pub began: u64,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// When it passed, in microseconds.
    pub t_us: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A frame of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it passed, in microseconds.
    pub t_us: u64,
    /// `up` or `down`.
    pub dir: String,
    /// Its opcode.
    pub opcode: u8,
    /// Whether its message ends with it.
    pub fin: bool,
    /// Its payload.
    pub bytes: Vec<u8>,
}

impl Flow {
    /// The answer's body.
    #[must_use]
    pub fn answered(&self) -> Vec<u8> {
        self.down.iter().flat_map(|piece| piece.bytes.iter().copied()).collect()
    }
}

impl Tape {
    /// Opens one.
    ///
    /// # Errors
    /// There is none, or none of this format.
    pub fn open(dir: &Path) -> Result<Tape, Fault> {
        let file = File::open(dir.join(MANIFEST)).map_err(missing)?;
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text)?;
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| Fault::Manifest(error.to_string()))?;
        match manifest.schema {
            VERSION => Ok(Tape { dir: dir.to_owned(), manifest }),
            other => Err(Fault::Manifest(format!("schema {other}"))),
        }
    }

    /// Each line, in order. A last one that was cut off is left out.
    ///
    /// # Errors
    /// A line that is none; the reading.
    pub fn lines(&self, mut each: impl FnMut(Line) -> Result<(), Fault>) -> Result<(), Fault> {
        raw(&self.dir, |_, line| each(line))
    }

    /// One flow, whole. Its payloads are gathered up to so many bytes.
    ///
    /// # Errors
    /// As [`Tape::lines`], or a blob is not what it was.
    pub fn flow(&self, number: u64, most: usize) -> Result<Option<Flow>, Fault> {
        let mut found: Option<Flow> = None;
        let mut left = most;
        self.lines(|line| {
            if line.flow == number {
                self.add(found.get_or_insert_with(Flow::default), line, &mut left)?;
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn add(&self, flow: &mut Flow, line: Line, left: &mut usize) -> Result<(), Fault> {
        let t_us = line.t_us;
        match line.what {
            Entry::ReqHead(head) => (flow.head, flow.began) = (Some(head), t_us),
            Entry::ReqChunk(body) => flow.up.extend(self.bytes(&body, left)?),
            Entry::ReqEnd(side) => flow.up_end = Some(side),
            Entry::RespHead { status, headers } => flow.answer = Some((status, headers)),
            Entry::RespChunk(body) => flow.down.push(Piece { t_us, bytes: self.bytes(&body, left)? }),
            Entry::RespEnd(side) => flow.down_end = Some(side),
            Entry::RespTrailers { headers } => flow.trailers = headers,
            Entry::WsFrame { dir, opcode, fin, rest: _, payload } => {
                let bytes = self.bytes(&payload, left)?;
                flow.frames.push(Frame { t_us, dir, opcode, fin, bytes });
            }
            Entry::Refused { status, line } => flow.refused = Some((status, line)),
            Entry::Close(close) => flow.close = Some(close),
            Entry::Connect { .. } | Entry::Tls { .. } => {}
        }
        Ok(())
    }

    /// A payload, as far as there is room.
    fn bytes(&self, body: &Body, left: &mut usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        for part in &body.body {
            if *left == 0 {
                break;
            }
            let mut piece = match part {
                Part::Text(text) => text.clone().into_bytes(),
                Part::Base64(text) => {
                    STANDARD.decode(text).map_err(|_| Fault::Blob("in a line".to_owned(), "is no base64"))?
                }
                Part::Blob(name, length) => self.blob(name, *length)?,
            };
            piece.truncate(*left);
            *left -= piece.len();
            bytes.append(&mut piece);
        }
        Ok(bytes)
    }

    fn blob(&self, name: &str, length: u64) -> Result<Vec<u8>, Fault> {
        let fault = |what| Fault::Blob(name.to_owned(), what);
        if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(fault("is no name of a blob"));
        }
        let file = File::open(blob(&self.dir, name)).map_err(|_| fault("is gone"))?;
        let mut bytes = Vec::new();
        file.take(length.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length || hex(&Sha256::digest(&bytes)) != name {
            return Err(fault("is not what was written"));
        }
        Ok(bytes)
    }
}

/// Whether a cassette is what was closed with this digest over its lines, blobs and all.
///
/// # Errors
/// What is wrong with it.
pub fn check(dir: &Path, sha256: &str) -> Result<(), Fault> {
    let tape = Tape::open(dir)?;
    let mut file = File::open(dir.join(EVENTS)).map_err(missing)?;
    let (mut sum, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => sum.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    if hex(&sum.finalize()) != sha256 {
        return Err(Fault::Changed);
    }
    let mut blobs = BTreeSet::new();
    tape.lines(|line| {
        let (Entry::ReqChunk(body) | Entry::RespChunk(body) | Entry::WsFrame { payload: body, .. }) =
            line.what
        else {
            return Ok(());
        };
        for part in body.body {
            if let Part::Blob(name, length) = part
                && blobs.insert(name.clone())
            {
                tape.blob(&name, length)?;
            }
        }
        Ok(())
    })
}

fn raw(dir: &Path, mut each: impl FnMut(u64, Line) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut lines = BufReader::new(File::open(dir.join(EVENTS)).map_err(missing)?);
    let mut text = Vec::new();
    for number in 0.. {
        text.clear();
        let read = (&mut lines).take(LONGEST).read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        match (serde_json::from_slice(&text), text.ends_with(b"\n")) {
            (Ok(line), true) => each(number, line)?,
            // It was being written when whoever wrote it died.
            (_, false) if (read as u64) < LONGEST => break,
            (Err(error), _) => return Err(Fault::Line(number, error.to_string())),
            (Ok(_), false) => return Err(Fault::Line(number, "it is too long".to_owned())),
        }
    }
    Ok(())
}

fn missing(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Missing,
        _ => Fault::Unreadable(error),
    }
}
