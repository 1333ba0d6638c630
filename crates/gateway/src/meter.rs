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
use ledger::event::{Denied, OsText};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::caps::{Held, UsedUp, Way};
use crate::cassette::Recorder;
use crate::flow::Flow;
use crate::record::Recording;
use crate::sent::Sent;

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
    /// Told what passes that is not recorded.
    recorder: Option<Recorder>,
}

impl Meter {
    /// Keeps so many destinations apart.
    pub(crate) fn new(destinations: usize, recorder: Option<Recorder>) -> Meter {
        Meter { sums: Mutex::default(), began: Instant::now(), destinations, recorder }
    }

    /// Something passes beside the cassette.
    fn gap(&self, flow: &Flow) {
        let because = if flow.request.is_some() { "not asked" } else { "tunnel" };
        if let Some(recorder) = &self.recorder {
            recorder.gap(flow.endpoint.to_string(), because);
        }
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
    /// What the flow on it is held to, and what of it was used up.
    held: Mutex<(Held, Option<UsedUp>)>,
}

impl Count {
    /// From now on, what moves is held to this.
    fn hold(&self, held: Held) {
        *self.held() = (held, None);
    }

    fn held(&self) -> MutexGuard<'_, (Held, Option<UsedUp>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn used_up(&self) -> Option<UsedUp> {
        self.held().1.clone()
    }

    /// How many of so many bytes may go this way.
    ///
    /// # Errors
    /// None may.
    fn room(&self, way: Way, wanted: usize) -> io::Result<usize> {
        let held = self.held();
        let left =
            held.0.left(way).map_or(wanted, |left| usize::try_from(left).unwrap_or(usize::MAX).min(wanted));
        drop(held);
        if left == 0 && wanted > 0 { Err(self.over(way)) } else { Ok(left) }
    }

    /// So many bytes went this way.
    fn moved(&self, way: Way, bytes: usize) {
        let sum = if way == Way::Up { &self.up } else { &self.down };
        sum.fetch_add(bytes as u64, Ordering::Relaxed);
        self.held().0.spend(way, bytes as u64);
    }

    /// More would go than may: the flow is over.
    fn over(&self, way: Way) -> io::Error {
        let mut held = self.held();
        held.1 = held.0.used_up(way);
        io::Error::new(io::ErrorKind::QuotaExceeded, "what a rule lets pass is used up")
    }

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
        let left = self.count.held().0.left(Way::Down);
        let left = left.map_or(usize::MAX, |left| usize::try_from(left).unwrap_or(usize::MAX));
        if left < buf.remaining() {
            return self.read_last(context, buf, left);
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        let read = buf.filled().len() - before;
        self.count.moved(Way::Down, read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Counted<S> {
    /// Reads what may still come, and one byte more: only that tells the end from too much.
    fn read_last(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        left: usize,
    ) -> Poll<io::Result<()>> {
        let mut last = vec![0; left + 1];
        let mut last = ReadBuf::new(&mut last);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut last))?;
        let read = last.filled().len();
        self.count.moved(Way::Down, read);
        if read > left {
            return Poll::Ready(Err(self.count.over(Way::Down)));
        }
        buf.put_slice(last.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = self.count.room(Way::Up, bytes.len())?;
        let bytes = bytes.get(..room).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.count.moved(Way::Up, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        if self.count.room(Way::Up, wanted)? < wanted {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &**slice);
            return self.poll_write(context, first);
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, slices))?;
        self.count.moved(Way::Up, written);
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
    /// What a rule lets pass was used up.
    UsedUp,
    /// It could not be recorded, as a rule wants it.
    Unrecorded,
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
            End::UsedUp => "used-up",
            End::Unrecorded => "unrecorded",
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
    held: Held,
    status: Option<u16>,
    end: End,
    /// The request's body, and the whole of it, where these are kept.
    sent: Option<Arc<Sent>>,
    recording: Option<Recording>,
    /// There was none after all.
    void: bool,
}

impl Passage {
    pub(crate) fn begin(
        (meter, admission): (&Arc<Meter>, &Admission),
        flow: Flow,
        cause: Option<u64>,
        held: Held,
    ) -> Passage {
        let (meter, admission, began) = (Arc::clone(meter), admission.clone(), Instant::now());
        Passage {
            meter,
            admission,
            flow,
            cause,
            began,
            count: None,
            held,
            status: None,
            end: End::Cut,
            sent: None,
            recording: None,
            void: false,
        }
    }

    /// This is what the request's body comes to, and where it is recorded.
    pub(crate) fn of(&mut self, sent: &Arc<Sent>, recording: Option<&Recording>) {
        (self.sent, self.recording) = (Some(Arc::clone(sent)), recording.cloned());
    }

    /// From now on, what moves on this connection is this flow's, and held to what it is held to.
    pub(crate) fn counts(&mut self, count: &Arc<Count>) {
        count.hold(self.held.clone());
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

    /// What passes.
    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Nothing passed, and it is tried in another way.
    pub(crate) fn void(&mut self) {
        self.void = true;
    }

    /// What of its terms was used up.
    pub(crate) fn used_up(&self) -> Option<UsedUp> {
        self.count.as_ref().and_then(|(count, _)| count.used_up())
    }

    /// Records that it was ended, and by which rule.
    fn ended_by(&self, used: UsedUp) {
        let denied = Denied {
            pid: self.flow.asker.map(|asker| asker.pid),
            what: self.flow.what().into(),
            target: OsText::from(self.flow.endpoint.to_string()),
            reasons: vec![(&used.reason).into()],
            errno: None,
            spoken: false,
        };
        // As for the flow itself.
        let _ = self.admission.note(denied.into(), Trust::Observed, self.cause);
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
        if let Some(used) = self.used_up() {
            self.end = End::UsedUp;
            self.meter.denied(&endpoint);
            self.ended_by(used);
        }
        let recorded = self.recording.as_ref().map(Recording::flow);
        match self.recording.take() {
            Some(recording) => recording.closes(self.end.word(), (bytes_up, bytes_down)),
            None => self.meter.gap(&self.flow),
        }
        self.meter.tally(&endpoint, |tally| {
            tally.requests += 1;
            tally.bytes_up += bytes_up;
            tally.bytes_down += bytes_down;
        });
        let asked = self.flow.request.take();
        let (method, path) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let outcome = self.end.word().to_owned();
        let ms = millis(self.began);
        let (status, sent) = (self.status, self.sent.take().and_then(|sent| sent.so_far()));
        let flow = ledger::event::Flow {
            endpoint,
            bytes_up,
            bytes_down,
            ms,
            status,
            method,
            path,
            sent,
            recorded,
            outcome,
        };
        // A ledger that takes nothing more is noticed by whoever wants a permit next, and by the gateway's watch.
        let _ = self.admission.note(flow.into(), Trust::Observed, self.cause);
    }
}
