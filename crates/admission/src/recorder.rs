//! The thread that owns the ledger's writer.
//!
//! Owns order, durability and back-pressure. An event is accepted when it stands in the queue, with its number: nothing can
//! come before it any more. It is durable within [`LINGER`], or at once where somebody waits for that; then everything
//! accepted before it is durable too, which is what makes a crossing a barrier. When the writer fails or the thread dies,
//! nothing is accepted any more and everybody who waits is told.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ledger::{Body, Head, Sealed, Stamp, Trust, Writer};

use crate::LedgerClosed;
use crate::slot::{Slot, lock};

/// How long an accepted event may wait for others before all are made durable together; with the sync itself, within 10 ms.
const LINGER: Duration = Duration::from_millis(8);
/// How long the first of several crossings waits for the others: whoever waited for the last sync is likely to come again, and
/// each that comes too late waits for a sync more.
const GATHER: Duration = Duration::from_micros(300);
/// Events that may wait; whoever brings more waits until there is room.
const CAPACITY: usize = 4096;

/// What is done once an event is durable, or never will be.
pub(crate) type Then = Box<dyn FnOnce(Durable) + Send>;

/// Whether what was waited for is durable.
pub(crate) type Durable = Result<(), LedgerClosed>;

/// A way to the recorder.
#[derive(Debug, Clone)]
pub(crate) struct Recorder {
    shared: Arc<Shared>,
}

/// The recorder's thread. Whoever holds it ends it.
#[derive(Debug)]
pub(crate) struct Owner {
    recorder: Recorder,
    thread: Option<JoinHandle<Option<Writer>>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    work: Condvar,
    /// There is room for more.
    room: Condvar,
}

struct State {
    queue: Vec<Entry>,
    /// When the first of the queue was accepted.
    since: Instant,
    /// The number of the next event.
    next: u64,
    /// How many events are durable.
    durable: u64,
    /// The ledger as it was when that was last so.
    head: Head,
    /// Who waits for how many events to be durable, in order.
    waiting: Vec<(u64, Then)>,
    /// How many wait for what is in the queue.
    wanted: usize,
    /// How many waited for the last batch.
    expected: usize,
    /// What those of them wait for together who are told nothing else: one call to the kernel wakes them all.
    together: Option<Arc<Slot<Durable>>>,
    /// Where the thread sleeps: how long it lets the first of the queue wait before it looks by itself.
    asleep: Option<Duration>,
    stopping: bool,
    closed: Option<LedgerClosed>,
}

struct Entry {
    stamp: Stamp,
    body: Body,
    trust: Trust,
    cause: Option<u64>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (next, durable) = (self.next, self.durable);
        f.debug_struct("State").field("next", &next).field("durable", &durable).finish_non_exhaustive()
    }
}

impl State {
    /// Whether somebody waits, and nobody else is likely to come within a moment. An empty queue is not waited over: what
    /// somebody waits for is with the writer already.
    fn is_ready(&self) -> bool {
        self.wanted > 0 && (self.queue.is_empty() || self.wanted >= self.expected)
    }

    /// How long the first of the queue may wait.
    fn patience(&self) -> Duration {
        if self.wanted > 0 { GATHER } else { LINGER }
    }

    /// Puts an event at the end of the queue.
    fn accept(&mut self, body: Body, trust: Trust, cause: Option<u64>) -> u64 {
        if self.queue.is_empty() {
            self.since = Instant::now();
        }
        let seq = self.next;
        self.next += 1;
        self.queue.push(Entry { stamp: Stamp::now(), body, trust, cause });
        seq
    }

    /// Takes what is in the queue, and how many events there are with it.
    fn take(&mut self) -> (Vec<Entry>, u64) {
        self.expected = std::mem::take(&mut self.wanted);
        // ORDER: behind all who wait for less, and before all who will wait for more.
        if let Some(together) = self.together.take() {
            self.waiting.push((self.next, Box::new(move |durable| together.fill(durable))));
        }
        (std::mem::take(&mut self.queue), self.next)
    }
}

impl Owner {
    /// Starts the recorder. If it cannot start, it is closed from the beginning.
    pub(crate) fn start(writer: Writer) -> Owner {
        let state = State {
            queue: Vec::new(),
            since: Instant::now(),
            next: writer.next_seq(),
            durable: 0,
            head: writer.head(),
            waiting: Vec::new(),
            wanted: 0,
            expected: 0,
            together: None,
            asleep: None,
            stopping: false,
            closed: None,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() });
        let recorder = Recorder { shared: Arc::clone(&shared) };
        let name = thread::Builder::new().name("provost-recorder".to_owned());
        let thread = match name.spawn(move || write_all(&shared, writer)) {
            Ok(thread) => Some(thread),
            Err(error) => {
                recorder.shared.close(format!("the recorder could not start: {error}"));
                None
            }
        };
        Owner { recorder, thread }
    }

    /// A way to the recorder.
    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Accepts a last event, if there is one, and nothing after it, writes everything, and seals the ledger.
    pub(crate) fn seal(mut self, last: Option<Body>) -> Result<Sealed, LedgerClosed> {
        if let Some(last) = last {
            self.recorder.accept(last, Trust::Observed, None, None, true)?;
        }
        let writer = self.stop().ok_or_else(|| self.recorder.shared.why_closed())?;
        writer.seal().map_err(|error| LedgerClosed { because: because(&error) })
    }

    fn stop(&mut self) -> Option<Writer> {
        let thread = self.thread.take()?;
        lock(&self.recorder.shared.state).stopping = true;
        self.recorder.shared.work.notify_one();
        // What a waiter does may drop the last way here, on the recorder's own thread: it cannot wait for itself.
        if thread.thread().id() == thread::current().id() {
            return None;
        }
        thread.join().ok().flatten()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        drop(self.stop());
    }
}

impl Recorder {
    /// Has an event accepted; gives its number. With `then`, it is made durable at once and `then` is done after that, on
    /// the recorder's thread. Waits while there is no room.
    pub(crate) fn record(
        &self,
        body: Body,
        trust: Trust,
        cause: Option<u64>,
        then: Option<Then>,
    ) -> Result<u64, LedgerClosed> {
        self.accept(body, trust, cause, then, false)
    }

    /// Has an event accepted that is to be durable at once; gives its number and where to wait for that.
    pub(crate) fn record_durably(
        &self,
        body: Body,
        cause: Option<u64>,
    ) -> Result<(u64, Arc<Slot<Durable>>), LedgerClosed> {
        let mut state = self.shared.room()?;
        let seq = state.accept(body, Trust::Observed, cause);
        state.wanted += 1;
        let together = Arc::clone(state.together.get_or_insert_with(Slot::new));
        self.shared.rouse(state);
        Ok((seq, together))
    }

    fn accept(
        &self,
        body: Body,
        trust: Trust,
        cause: Option<u64>,
        then: Option<Then>,
        last: bool,
    ) -> Result<u64, LedgerClosed> {
        let mut state = self.shared.room()?;
        state.stopping = last;
        let seq = state.accept(body, trust, cause);
        if let Some(then) = then {
            state.waiting.push((seq + 1, then));
            state.wanted += 1;
        }
        self.shared.rouse(state);
        Ok(seq)
    }

    /// How long the ledger is, and the root over it, with everything accepted so far in it.
    pub(crate) fn head(&self) -> Result<Head, LedgerClosed> {
        self.barrier()?;
        Ok(lock(&self.shared.state).head)
    }

    /// Waits until everything accepted so far is durable.
    pub(crate) fn barrier(&self) -> Result<(), LedgerClosed> {
        let slot = Slot::new();
        let filled = Arc::clone(&slot);
        let mut state = lock(&self.shared.state);
        if let Some(closed) = &state.closed {
            return Err(closed.clone());
        }
        let all = state.next;
        if state.durable >= all {
            return Ok(());
        }
        state.waiting.push((all, Box::new(move |durable| filled.fill(durable))));
        state.wanted += 1;
        self.shared.rouse(state);
        slot.wait()
    }
}

impl Shared {
    /// The state, once there is room in the queue.
    fn room(&self) -> Result<std::sync::MutexGuard<'_, State>, LedgerClosed> {
        let mut state = lock(&self.state);
        loop {
            if let Some(closed) = &state.closed {
                return Err(closed.clone());
            }
            if state.stopping {
                return Err(LedgerClosed { because: "the run is over".to_owned() });
            }
            if state.queue.len() < CAPACITY {
                return Ok(state);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes the thread, unless it is awake or will look by itself soon enough.
    fn rouse(&self, mut state: std::sync::MutexGuard<'_, State>) {
        let soon = state.patience();
        let late = state.asleep.is_some_and(|asleep| asleep > soon);
        let now = late || state.is_ready() || state.queue.len() >= CAPACITY / 2;
        let wake = now && state.asleep.take().is_some();
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Waits for something to write. Gives the entries, how many events there are with them, and whether they are the last.
    fn next_batch(&self) -> (Vec<Entry>, u64, bool) {
        let mut state = lock(&self.state);
        // Whoever waited for the last batch is likely to bring something soon, and need not wake a thread that looks by itself.
        let mut rested = false;
        loop {
            let waited = state.since.elapsed();
            let most = state.patience();
            let due = !state.queue.is_empty() && waited >= most;
            if due || state.is_ready() || state.stopping || state.queue.len() >= CAPACITY / 2 {
                break;
            }
            let left = match state.queue.is_empty() {
                true if rested => Duration::MAX,
                true => LINGER,
                false => most.saturating_sub(waited),
            };
            rested = true;
            state.asleep = Some(if left == Duration::MAX { left } else { most });
            state = if left == Duration::MAX {
                self.work.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                self.work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        state.asleep = None;
        let (entries, count) = state.take();
        let batch = (entries, count, state.stopping);
        drop(state);
        self.room.notify_all();
        batch
    }

    /// Everything up to `count` events is durable: tells who waits for that.
    fn made_durable(&self, count: u64, head: Head) {
        let mut state = lock(&self.state);
        (state.durable, state.head) = (count, head);
        let reached = state.waiting.iter().take_while(|(wanted, _)| *wanted <= count).count();
        let told: Vec<_> = state.waiting.drain(..reached).collect();
        drop(state);
        told.into_iter().for_each(|(_, then)| then(Ok(())));
    }

    /// Takes nothing more, and tells everybody who waits. The first reason stays.
    fn close(&self, because: String) {
        let mut state = lock(&self.state);
        let closed = state.closed.get_or_insert(LedgerClosed { because }).clone();
        state.queue.clear();
        let told = std::mem::take(&mut state.waiting);
        let together = state.together.take();
        drop(state);
        self.room.notify_all();
        if let Some(together) = together {
            together.fill(Err(closed.clone()));
        }
        told.into_iter().for_each(|(_, then)| then(Err(closed.clone())));
    }

    fn why_closed(&self) -> LedgerClosed {
        let known = lock(&self.state).closed.clone();
        known.unwrap_or(LedgerClosed { because: "the recorder is gone".to_owned() })
    }
}

/// Closes the recorder when its thread ends, however it ends.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        let over = lock(&self.0.state).stopping;
        self.0.close(if over { "the run is over" } else { "the recorder died" }.to_owned());
    }
}

/// The thread: batch after batch, each in one write and one sync.
fn write_all(shared: &Shared, mut writer: Writer) -> Option<Writer> {
    let _ends = Ends(shared);
    loop {
        let (entries, count, last) = shared.next_batch();
        let written = entries.into_iter().try_for_each(|entry| {
            let Entry { stamp, body, trust, cause } = entry;
            writer.append_at(stamp, body, trust, cause).map(drop)
        });
        if let Err(error) = written.and_then(|()| writer.sync()) {
            shared.close(because(&error));
            return None;
        }
        if writer.next_seq() != count {
            shared.close(format!("{} events were accepted and {} written", count, writer.next_seq()));
            return None;
        }
        shared.made_durable(count, writer.head());
        if last {
            return Some(writer);
        }
    }
}

/// An error and what caused it.
fn because(error: &ledger::WriteError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
