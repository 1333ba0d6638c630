//! What went where, and how much of it.
//!
//! Owns the counting of bytes on the outer side's wire, the sum per destination, and the `flow` event at the end of each flow.
//! A [`Passage`] that is dropped is a flow that ended: none ends without being counted.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use admission::Admission;
use ledger::Trust;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::flow::Flow;

/// Where everything beyond the number of destinations that are kept apart is counted.
pub const OTHERS: &str = "(others)";

/// What went through the gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flows {
    /// By destination (`host:port`); [`OTHERS`] stands for all beyond the first few thousand.
    pub destinations: BTreeMap<String, Tally>,
    /// Requests that could not be understood, or were not what they said they were.
    pub malformed: u64,
    /// Connections let go because there were too many at once.
    pub turned_away: u64,
    /// Faults of our own: connections that ended in a panic. Each is a bug.
    pub faults: u64,
}

/// What went to one destination. Bytes are those of the outer side's wire, heads and framing included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tunnels and requests that were let through.
    pub requests: u64,
    /// Bytes from the inside out.
    pub bytes_up: u64,
    /// Bytes from the outside in.
    pub bytes_down: u64,
    /// What was refused.
    pub denials: u64,
    /// When it was first spoken of, in milliseconds since the gateway began.
    pub first_ms: u64,
    /// When it was last spoken of, in milliseconds since the gateway began.
    pub last_ms: u64,
}

/// The sums.
#[derive(Debug)]
pub(crate) struct Meter {
    sums: Mutex<Flows>,
    began: Instant,
    destinations: usize,
}

impl Meter {
    /// Keeps so many destinations apart.
    pub(crate) fn new(destinations: usize) -> Meter {
        Meter { sums: Mutex::default(), began: Instant::now(), destinations }
    }

    /// Something was refused.
    pub(crate) fn denied(&self, destination: &str) {
        self.tally(destination, |tally| tally.denials += 1);
    }

    /// Something could not be understood.
    pub(crate) fn malformed(&self) {
        self.lock().malformed += 1;
    }

    /// A connection was let go.
    pub(crate) fn turned_away(&self) {
        self.lock().turned_away += 1;
    }

    /// A connection ended in a panic.
    pub(crate) fn fault(&self) {
        self.lock().faults += 1;
    }

    /// The sums so far.
    pub(crate) fn report(&self) -> Flows {
        self.lock().clone()
    }

    fn tally(&self, destination: &str, change: impl FnOnce(&mut Tally)) {
        let now = millis(self.began);
        let mut sums = self.lock();
        let full = sums.destinations.len() >= self.destinations;
        let key = if full && !sums.destinations.contains_key(destination) { OTHERS } else { destination };
        let fresh = || Tally { first_ms: now, ..Tally::default() };
        let tally = sums.destinations.entry(key.to_owned()).or_insert_with(fresh);
        tally.last_ms = now;
        change(tally);
    }

    fn lock(&self) -> MutexGuard<'_, Flows> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Bytes of one outer connection.
#[derive(Debug, Default)]
pub(crate) struct Count {
    up: AtomicU64,
    down: AtomicU64,
}

impl Count {
    /// Bytes out and in so far.
    pub(crate) fn so_far(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted<S> {
    stream: S,
    count: Arc<Count>,
}

impl<S> Counted<S> {
    pub(crate) fn new(stream: S) -> Counted<S> {
        Counted { stream, count: Arc::default() }
    }

    pub(crate) fn count(&self) -> Arc<Count> {
        Arc::clone(&self.count)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        let read = buf.filled().len() - before;
        self.count.down.fetch_add(read as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.count.up.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.count.up.fetch_add(written as u64, Ordering::Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// How a flow ended, in the word that the ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Both ends were done.
    Closed,
    /// One end broke off, or did not speak its protocol.
    Reset,
    /// Nothing moved for too long.
    Idle,
    /// It lasted too long.
    Limit,
    /// There was nobody at the other end.
    Unreachable,
    /// Ended by us with the run, or by the inside going away.
    Cut,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::Reset => "reset",
            End::Idle => "idle",
            End::Limit => "limit",
            End::Unreachable => "unreachable",
            End::Cut => "cut",
        }
    }
}

/// A flow under way. Dropped, it is over: it is summed up and recorded.
pub(crate) struct Passage {
    meter: Arc<Meter>,
    admission: Admission,
    flow: Flow,
    /// The decision that let it through.
    cause: Option<u64>,
    began: Instant,
    count: Option<(Arc<Count>, (u64, u64))>,
    status: Option<u16>,
    end: End,
    /// There was none after all.
    void: bool,
}

impl Passage {
    pub(crate) fn begin(
        meter: &Arc<Meter>,
        admission: &Admission,
        flow: Flow,
        cause: Option<u64>,
    ) -> Passage {
        let (meter, admission, began) = (Arc::clone(meter), admission.clone(), Instant::now());
        Passage {
            meter,
            admission,
            flow,
            cause,
            began,
            count: None,
            status: None,
            end: End::Cut,
            void: false,
        }
    }

    /// From now on, what moves on this connection is this flow's.
    pub(crate) fn counts(&mut self, count: &Arc<Count>) {
        self.count = Some((Arc::clone(count), count.so_far()));
    }

    /// The status of the answer.
    pub(crate) fn answered(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// How it ends, if it ends now.
    pub(crate) fn ends(&mut self, end: End) {
        self.end = end;
    }

    /// Nothing passed, and it is tried in another way.
    pub(crate) fn void(&mut self) {
        self.void = true;
    }

    fn moved(&self) -> (u64, u64) {
        let Some((count, (up, down))) = &self.count else { return (0, 0) };
        let (up_now, down_now) = count.so_far();
        (up_now - up, down_now - down)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.void {
            return;
        }
        let (bytes_up, bytes_down) = self.moved();
        let endpoint = self.flow.endpoint.to_string();
        self.meter.tally(&endpoint, |tally| {
            tally.requests += 1;
            tally.bytes_up += bytes_up;
            tally.bytes_down += bytes_down;
        });
        let asked = self.flow.request.take();
        let (method, path) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let outcome = self.end.word().to_owned();
        let ms = millis(self.began);
        let status = self.status;
        let flow = ledger::event::Flow { endpoint, bytes_up, bytes_down, ms, status, method, path, outcome };
        // A ledger that takes nothing more is noticed by whoever wants a permit next, and by the gateway's watch.
        let _ = self.admission.note(flow.into(), Trust::Observed, self.cause);
    }
}
