//! Many hands for what can be done to each record by itself: reading an event, hashing it, holding a digest against its action.
//!
//! Owns threads and the order of what they give back. Does not own what the records, taken together, must be (`verify`).

use std::io;
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::event::{Event, VERSION, once};
use crate::frame::Kind;
use crate::scan::{self, Place, Walked};
use crate::story::Gist;
use crate::tree::{Hash, leaf_hash};
use crate::verify::Wrong;

/// Bytes of records that one hand gets at a time.
const BATCH: usize = 256 * 1024;
/// Batches that may wait at a hand.
const WAITING: usize = 2;
/// A ledger of fewer bytes is read before a thread has started.
const SMALL: u64 = 1024 * 1024;
/// More hands than this wait for the one that puts everything together.
const HANDS: usize = 8;

/// A record, as far as it can be known by itself.
#[derive(Debug)]
pub(crate) enum Record {
    Leaf { hash: Hash, read: Result<Leaf, Wrong> },
    Note(Kind, Vec<u8>),
}

/// A leaf that is an event.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) run: String,
    pub(crate) seq: u64,
    pub(crate) gist: Gist,
}

impl Record {
    /// Looks at one.
    pub(crate) fn of(kind: Kind, payload: &[u8]) -> Record {
        match kind {
            Kind::Leaf => Record::Leaf { hash: leaf_hash(payload), read: read(payload) },
            Kind::Checkpoint | Kind::Certificate => Record::Note(kind, payload.to_vec()),
        }
    }
}

fn read(payload: &[u8]) -> Result<Leaf, Wrong> {
    if let Some(event) = once(payload) {
        of_this_schema(event.v)?;
        return Ok(Leaf { gist: Gist::of_sketch(&event), run: event.run.into(), seq: event.seq });
    }
    let event = Event::read(payload).map_err(|error| Wrong::NoEvent(error.to_string()))?;
    of_this_schema(event.v)?;
    Ok(Leaf { gist: Gist::of(&event), run: event.run, seq: event.seq })
}

fn of_this_schema(version: u8) -> Result<(), Wrong> {
    if version == VERSION { Ok(()) } else { Err(Wrong::Stray(format!("schema version {version}"))) }
}

/// Records that go from hand to hand together.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    /// Each record's place and kind, and where in `bytes` it ends.
    records: Vec<(Place, Kind, usize)>,
}

/// Walks over the ledger in `dir` and gives every record, looked at, in order.
pub(crate) fn walk(dir: &Path, mut take: impl FnMut(Place, Record)) -> io::Result<Walked> {
    let hands = thread::available_parallelism().map_or(1, NonZero::get).min(HANDS);
    if hands == 1 || bytes(dir)? < SMALL {
        return scan::walk(dir, |place, kind, payload| take(place, Record::of(kind, payload)));
    }
    thread::scope(|scope| {
        let (mut to, mut from) = (Vec::new(), Vec::new());
        for _ in 0..hands {
            let ((give, get), (back, done)) = (sync_channel(WAITING), sync_channel(WAITING));
            scope.spawn(|| look(get, back));
            to.push(give);
            from.push(done);
        }
        let walker = scope.spawn(|| hand_out(dir, to));
        // Batch by batch from hand to hand: the first that has none left has seen the last.
        for done in from.iter().cycle() {
            let Ok(batch) = done.recv() else { break };
            batch.into_iter().for_each(|(place, record)| take(place, record));
        }
        walker.join().unwrap_or_else(|_| Err(io::Error::other("a thread died")))
    })
}

fn bytes(dir: &Path) -> io::Result<u64> {
    let segments = scan::segments(dir)?;
    segments.into_iter().map(|number| Ok(scan::segment_path(dir, number).metadata()?.len())).sum()
}

/// Walks, and gives every hand a batch in turn.
fn hand_out(dir: &Path, to: Vec<SyncSender<Batch>>) -> io::Result<Walked> {
    let (mut batch, mut turn) = (Batch::default(), to.iter().cycle());
    let mut give = |batch: Batch| {
        // A hand that is gone took a panic with it, which the scope passes on.
        if let Some(hand) = turn.next() {
            let _ = hand.send(batch);
        }
    };
    let walked = scan::walk(dir, |place, kind, payload| {
        batch.bytes.extend(payload);
        batch.records.push((place, kind, batch.bytes.len()));
        if batch.bytes.len() >= BATCH {
            give(std::mem::take(&mut batch));
        }
    });
    give(batch);
    walked
}

/// One hand.
fn look(get: Receiver<Batch>, back: SyncSender<Vec<(Place, Record)>>) {
    for Batch { bytes, records } in get {
        let mut from = 0;
        let looked = records.into_iter().map(|(place, kind, end)| {
            let payload = &bytes[from..end];
            from = end;
            (place, Record::of(kind, payload))
        });
        let _ = back.send(looked.collect());
    }
}
