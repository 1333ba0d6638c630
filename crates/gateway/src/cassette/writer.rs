//! The one writer of a cassette.
//!
//! Owns the queue to it, which is bounded in bytes: who has something to say waits for room, and nothing is dropped; the order of lines, their
//! numbers and the digest over them; and the end, also where the disk fails: from then on there is no room for anybody. Does not
//! own the files (`folder`).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cut::Cut;
use super::folder::{Folder, Store};
use super::format::{Body, Entry, Gap, INLINE, Line, Manifest, Part, Settled, Side, VERSION};
use super::redact::Key;

/// Room of the queue, in KiB.
const ROOM: usize = 8 * 1024;
/// Bytes of lines that are gathered before they are written.
const GATHERED: usize = 64 * 1024;
/// Bytes of a cassette, all in all: no agent fills a disk by asking.
const MOST: u64 = 8 << 30;
/// Pieces of a body in one line, of which each may take six times its bytes: a reader takes lines up to a length.
const PIECES: usize = 16;
/// Places of which gaps are kept apart; all beyond are one.
const PLACES: usize = 1024;
const OTHERS: &str = "(others)";

/// No cassette.
#[derive(Debug, thiserror::Error)]
pub enum CassetteError {
    /// Its folder could not be made.
    #[error("the cassette cannot be written")]
    Write(#[source] io::Error),
    /// There is no thread for its writer.
    #[error("the system gives no thread to record with")]
    Thread(#[source] io::Error),
}

/// A cassette that is written.
#[derive(Debug)]
pub struct Cassette {
    recorder: Recorder,
    thread: Option<JoinHandle<Ended>>,
}

/// How a cassette ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// What is in it.
    pub settled: Settled,
    /// What passed and is not.
    pub gaps: Vec<Gap>,
}

/// Who has something to record.
#[derive(Debug, Clone)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    began: Instant,
    flows: AtomicU64,
    key: Key,
    failed: OnceLock<String>,
}

/// Room in the queue, until what it was taken for is written.
pub(crate) type Room = OwnedSemaphorePermit;

/// The disk takes nothing more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("what passes here is recorded, and that failed: {0}")]
pub(crate) struct Failed(String);

/// What is to be written.
#[derive(Debug)]
pub(crate) enum Draft {
    /// As it is.
    Entry(Entry),
    /// Bytes of the request's body.
    Up(Bytes),
    /// The request's body is over; whether it broke off.
    UpEnd(bool),
    /// Bytes of the answer's body.
    Down(Bytes),
    /// The answer's body is over.
    DownEnd(bool),
    /// A frame, or a piece of one: direction, opcode, whether its message ends with it, bytes still to come, payload.
    Frame(&'static str, u8, bool, u64, Bytes),
}

#[derive(Debug)]
enum Message {
    Said { flow: u64, at: Instant, draft: Draft, room: Option<Room> },
    Gap(String, &'static str),
    Over,
}

impl Cassette {
    /// A new one in this folder, which is not there yet.
    ///
    /// # Errors
    /// The disk, or the system, refuses.
    pub fn create(dir: &Path, manifest: Manifest, key: Key) -> Result<Cassette, CassetteError> {
        let folder = Folder::create(dir).map_err(CassetteError::Write)?;
        Cassette::begin(Box::new(folder), manifest, key)
    }

    /// One that is written there.
    ///
    /// # Errors
    /// As [`Cassette::create`].
    pub fn begin(store: Box<dyn Store>, manifest: Manifest, key: Key) -> Result<Cassette, CassetteError> {
        Cassette::of_at_most(MOST, store, manifest, key)
    }

    fn of_at_most(
        most: u64,
        mut store: Box<dyn Store>,
        manifest: Manifest,
        key: Key,
    ) -> Result<Cassette, CassetteError> {
        let manifest = Manifest { schema: VERSION, key: key.name(), ..manifest };
        store.manifest(&manifest.text()).map_err(CassetteError::Write)?;
        let (queue, said) = channel();
        let shared = Shared {
            queue,
            room: Arc::new(Semaphore::new(ROOM)),
            began: Instant::now(),
            flows: AtomicU64::new(0),
            key,
            failed: OnceLock::new(),
        };
        let recorder = Recorder(Arc::new(shared));
        let writer = Writer::new(store, recorder.clone(), most);
        let thread = thread::Builder::new().name("cassette".to_owned());
        let thread = thread.spawn(move || writer.work(&said, manifest)).map_err(CassetteError::Thread)?;
        Ok(Cassette { recorder, thread: Some(thread) })
    }

    /// For those who record.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Writes what was said, and closes it.
    #[must_use]
    pub fn close(mut self) -> Ended {
        self.end().unwrap_or_else(|| {
            let failed = Some("its writer died".to_owned());
            Ended { settled: Settled { failed, ..Settled::default() }, gaps: Vec::new() }
        })
    }

    fn end(&mut self) -> Option<Ended> {
        // Where nobody hears it, it is over already.
        let _ = self.recorder.0.queue.send(Message::Over);
        self.thread.take()?.join().ok()
    }
}

impl Drop for Cassette {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

impl Recorder {
    /// The number of a flow that begins.
    pub(crate) fn next_flow(&self) -> u64 {
        self.0.flows.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn key(&self) -> &Key {
        &self.0.key
    }

    /// Room for so many bytes, at once.
    pub(crate) fn room_now(&self, bytes: usize) -> Option<Room> {
        Arc::clone(&self.0.room).try_acquire_many_owned(in_room(bytes)).ok()
    }

    /// Room for so many bytes, once there is some.
    ///
    /// # Errors
    /// There will be none any more.
    pub(crate) async fn room(self, bytes: usize) -> Result<Room, Failed> {
        let room = Arc::clone(&self.0.room).acquire_many_owned(in_room(bytes)).await;
        room.map_err(|_| self.why())
    }

    /// Something of a flow. Without room only what is small, and comes once in a flow.
    pub(crate) fn say(&self, flow: u64, draft: Draft, room: Option<Room>) {
        // A writer that is gone has closed the room: whoever says more than this learns of it there.
        let _ = self.0.queue.send(Message::Said { flow, at: Instant::now(), draft, room });
    }

    /// Something passes that is not recorded.
    pub(crate) fn gap(&self, endpoint: String, because: &'static str) {
        let _ = self.0.queue.send(Message::Gap(endpoint, because));
    }

    fn why(&self) -> Failed {
        Failed(self.0.failed.get().cloned().unwrap_or_else(|| "the cassette is closed".to_owned()))
    }
}

/// More than there is at all is taken as all of it.
fn in_room(bytes: usize) -> u32 {
    u32::try_from((bytes / 1024 + 1).min(ROOM)).unwrap_or(1)
}

/// What is known of a flow while it goes on.
#[derive(Debug, Default)]
struct Open {
    cut: Cut,
    up: Hashed,
    down: Hashed,
}

#[derive(Debug, Default)]
struct Hashed {
    bytes: u64,
    sum: Sha256,
}

impl Hashed {
    fn more(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.sum.update(bytes);
    }

    fn end(&mut self, cut: bool) -> Side {
        let Hashed { bytes, sum } = std::mem::take(self);
        Side { bytes, sha256: hex(&sum.finalize()), cut }
    }
}

struct Writer {
    store: Box<dyn Store>,
    recorder: Recorder,
    most: u64,
    open: HashMap<u64, Open>,
    gathered: Vec<u8>,
    sum: Sha256,
    settled: Settled,
    gaps: BTreeMap<(String, &'static str), u64>,
}

impl Writer {
    fn new(store: Box<dyn Store>, recorder: Recorder, most: u64) -> Writer {
        Writer {
            store,
            recorder,
            most,
            open: HashMap::new(),
            gathered: Vec::new(),
            sum: Sha256::new(),
            settled: Settled::default(),
            gaps: BTreeMap::new(),
        }
    }

    fn work(mut self, said: &Receiver<Message>, manifest: Manifest) -> Ended {
        if let Err(error) = self.write(said) {
            self.fail(&error);
        }
        // Those who come from now on find no room; those whose flow ends are still heard of, and nothing is done about it.
        self.recorder.0.room.close();
        self.settled.sha256 = hex(&std::mem::take(&mut self.sum).finalize());
        self.settled.flows = self.recorder.0.flows.load(Ordering::Relaxed);
        let gap = |((endpoint, because), flows)| Gap { endpoint, because: str::to_owned(because), flows };
        let gaps: Vec<Gap> = std::mem::take(&mut self.gaps).into_iter().map(gap).collect();
        let manifest = Manifest { gaps: gaps.clone(), closed: Some(self.settled.clone()), ..manifest };
        if let Err(error) = self.store.manifest(&manifest.text()) {
            self.fail(&error);
        }
        Ended { settled: self.settled, gaps }
    }

    fn fail(&mut self, error: &io::Error) {
        let why = self.recorder.0.failed.get_or_init(|| error.to_string());
        self.settled.failed = Some(why.clone());
        self.recorder.0.room.close();
    }

    /// Writes what is said until it is over.
    fn write(&mut self, said: &Receiver<Message>) -> io::Result<()> {
        let mut taken = Vec::new();
        loop {
            let message = match said.try_recv() {
                Ok(message) => message,
                // ORDER: room is given back once what it was taken for is with the system.
                Err(_) => {
                    self.settle()?;
                    taken.clear();
                    match said.recv() {
                        Ok(message) => message,
                        Err(_) => return Ok(()),
                    }
                }
            };
            match message {
                Message::Said { flow, at, draft, room } => {
                    self.said(flow, at, draft)?;
                    taken.extend(room);
                }
                Message::Gap(endpoint, because) => self.gap(endpoint, because),
                Message::Over => return self.settle(),
            }
            if self.gathered.len() > GATHERED {
                self.settle()?;
                taken.clear();
            }
        }
    }

    fn settle(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.fits(0)?;
        self.store.lines(&self.gathered)?;
        self.sum.update(&self.gathered);
        self.settled.bytes += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Whether so much more may be in it.
    fn fits(&self, more: usize) -> io::Result<()> {
        let held = self.settled.bytes + self.settled.blob_bytes + self.gathered.len() as u64;
        if held + more as u64 <= self.most {
            return Ok(());
        }
        let why = format!("the cassette is full, it holds {} MiB and no more", self.most >> 20);
        Err(io::Error::new(io::ErrorKind::QuotaExceeded, why))
    }

    fn gap(&mut self, endpoint: String, because: &'static str) {
        let full = self.gaps.len() >= PLACES && !self.gaps.contains_key(&(endpoint.clone(), because));
        let endpoint = if full { OTHERS.to_owned() } else { endpoint };
        *self.gaps.entry((endpoint, because)).or_default() += 1;
    }

    fn said(&mut self, flow: u64, at: Instant, draft: Draft) -> io::Result<()> {
        let what = match draft {
            Draft::Entry(entry) => entry,
            Draft::Up(bytes) => {
                let open = self.open.entry(flow).or_default();
                open.up.more(&bytes);
                for pieces in open.cut.more(&bytes).chunks(PIECES) {
                    let chunk = Entry::ReqChunk(self.body(pieces)?);
                    self.line(flow, at, chunk)?;
                }
                return Ok(());
            }
            Draft::UpEnd(cut) => {
                let open = self.open.entry(flow).or_default();
                let (rest, side) = (open.cut.rest(), open.up.end(cut));
                if !rest.is_empty() {
                    let chunk = Entry::ReqChunk(self.body(&[rest])?);
                    self.line(flow, at, chunk)?;
                }
                Entry::ReqEnd(side)
            }
            Draft::Down(bytes) => {
                self.open.entry(flow).or_default().down.more(&bytes);
                Entry::RespChunk(self.body(&[bytes])?)
            }
            Draft::DownEnd(cut) => Entry::RespEnd(self.open.entry(flow).or_default().down.end(cut)),
            Draft::Frame(dir, opcode, fin, rest, bytes) => {
                Entry::WsFrame { dir: dir.to_owned(), opcode, fin, rest, payload: self.body(&[bytes])? }
            }
        };
        if matches!(what, Entry::Close(_)) {
            self.open.remove(&flow);
        }
        self.line(flow, at, what)
    }

    fn line(&mut self, flow: u64, at: Instant, what: Entry) -> io::Result<()> {
        let t_us = at.saturating_duration_since(self.recorder.0.began).as_micros();
        let line =
            Line { seq: self.settled.events, t_us: u64::try_from(t_us).unwrap_or(u64::MAX), flow, what };
        serde_json::to_writer(&mut self.gathered, &line)?;
        self.gathered.push(b'\n');
        self.settled.events += 1;
        Ok(())
    }

    /// A payload as a line says it; what is long is kept as a blob first.
    fn body(&mut self, pieces: &[Bytes]) -> io::Result<Body> {
        let mut body = Vec::new();
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            body.push(match piece.len() {
                ..=INLINE => Part::short(piece),
                length => {
                    self.fits(length)?;
                    let name = hex(&Sha256::digest(piece));
                    if self.store.blob(&name, piece)? {
                        self.settled.blobs += 1;
                        self.settled.blob_bytes += length as u64;
                    }
                    Part::Blob(name, length as u64)
                }
            });
        }
        Ok(Body { body })
    }
}

impl Manifest {
    fn text(&self) -> Vec<u8> {
        // It is made of texts and numbers: there is nothing that JSON could not say.
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cassette::Tape;

    fn folder(dir: &Path) -> Box<dyn Store> {
        Box::new(Folder::create(dir).unwrap())
    }

    fn under(dir: &Path) -> u64 {
        let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
        entries
            .map(|entry| match entry.metadata().unwrap() {
                data if data.is_dir() => under(&entry.path()),
                data => data.len(),
            })
            .sum()
    }

    #[test]
    fn a_cassette_that_is_full_takes_nothing_more_and_says_so() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("tape");
        let most = 4 << 20;
        let tape = Cassette::of_at_most(most, folder(&dir), Manifest::default(), Key::new(&[1; 32])).unwrap();
        let recorder = tape.recorder();
        // Blobs, each another, until there is no room any more.
        let mut bytes = vec![0; 64 << 10];
        let said = (0_u32..10_000).take_while(|number| {
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            let room = loop {
                match recorder.room_now(bytes.len()) {
                    Some(room) => break Some(room),
                    None if recorder.0.room.is_closed() => break None,
                    None => thread::yield_now(),
                }
            };
            room.is_some_and(|room| {
                recorder.say(1, Draft::Down(bytes.clone().into()), Some(room));
                true
            })
        });
        assert!(said.count() < 10_000, "whoever speaks on is told");
        let ended = tape.close();
        assert!(ended.settled.failed.is_some_and(|why| why.contains("full, it holds 4 MiB")));
        let held = under(&dir);
        assert!((most / 2..most + 4096).contains(&held), "{held}");
        super::super::check(&dir, &ended.settled.sha256).unwrap();
    }

    /// A piece as short as pieces are, of letters that take six times their room in a line.
    fn swelling() -> Vec<u8> {
        let mut block = vec![1; 2048];
        for number in 0_u32.. {
            for (at, byte) in block.iter_mut().rev().take(8).enumerate() {
                *byte = 1 + (number >> (at * 2) & 3) as u8;
            }
            let mut cut = Cut::default();
            let whole = cut.more(&block);
            if whole.len() == 1 && whole[0].len() == block.len() {
                break;
            }
        }
        block
    }

    #[test]
    fn no_body_makes_a_line_that_cannot_be_read_again() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("tape");
        let tape = Cassette::begin(folder(&dir), Manifest::default(), Key::new(&[1; 32])).unwrap();
        let body: Bytes = swelling().repeat(1_000).into();
        tape.recorder().say(1, Draft::Up(body.clone()), None);
        tape.recorder().say(1, Draft::UpEnd(false), None);
        let ended = tape.close();
        assert_eq!((ended.settled.failed, ended.settled.blobs), (None, 0));
        let flow = Tape::open(&dir).unwrap().flow(1, usize::MAX).unwrap().unwrap();
        assert!(flow.up == body);
    }
}
