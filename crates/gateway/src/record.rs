//! What of the traffic is recorded, and how it comes into the cassette.
//!
//! Owns which requests those are (rules with `record = "full"`, and `[record] models`), what of each is said and when, and that nothing of
//! them passes which could not be recorded. What is recorded is what the agent's side saw: heads before a placeholder is exchanged, answers
//! after secrets are taken out. Does not own how it is written (`cassette`).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, request, response};
use policy::{Action, Endpoint};

use crate::caps::Way;
use crate::cassette::{Close, Draft, Entry, Recorder, Redaction, ReqHead, Room};
use crate::credential::Credentials;
use crate::flow::{Canonical, Flow};
use crate::judge::Judge;
use crate::refusal::Refusal;
use crate::upstream::Line;

/// The rule that a refusal names.
const RULE: &str = "record";

/// Whether and where a run is recorded.
#[derive(Debug)]
pub(crate) struct Records {
    /// Whether a rule asks for it, and whether models are recorded whatever rules say.
    pub(crate) asked: bool,
    pub(crate) models: bool,
    /// Where to.
    pub(crate) recorder: Option<Recorder>,
}

impl Judge {
    /// Whether requests to this place are recorded, or some of them, so that each must be seen.
    pub(crate) fn records(&self, endpoint: &Endpoint) -> bool {
        let records = &self.records;
        records.asked
            && (self.rule_records(&Action::Connect(endpoint.clone()))
                || (records.models && self.models.answer_at(endpoint)))
    }

    fn rule_records(&self, action: &Action) -> bool {
        self.admission.terms(action).iter().any(|of| of.terms.record.is_some())
    }

    /// Begins to record a request, where it is to be.
    pub(crate) async fn recording(
        &self,
        flow: &Flow,
        (head, headers): (&request::Parts, Option<&HeaderMap>),
        asked: &Canonical,
    ) -> Result<Option<Recording>, Refusal> {
        let Some(headers) = headers else { return Ok(None) };
        let by_request =
            || matches!(asked, Some(Ok(request)) if self.rule_records(&Action::Http(request.clone())));
        if !self.records(&flow.endpoint) && !by_request() {
            return Ok(None);
        }
        let refused = |why: String| self.unrecorded(flow, why);
        let Some(recorder) = &self.records.recorder else {
            return Err(refused("it is to be recorded, and nothing records".to_owned()));
        };
        let redaction = Redaction { key: recorder.key(), credentials: &self.credentials };
        let entry = ReqHead {
            method: head.method.to_string(),
            url: url(flow, asked, &redaction),
            version: format!("{:?}", head.version),
            headers: redaction.headers(headers),
            pid: flow.asker.map(|asker| asker.pid),
        };
        let size = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        let room = recorder.clone().room(size).await.map_err(|failed| refused(failed.to_string()))?;
        let flow = recorder.next_flow();
        recorder.say(flow, Draft::Entry(Entry::ReqHead(entry)), Some(room));
        let recorded =
            Recorded { recorder: recorder.clone(), flow, close: Mutex::default(), failed: OnceLock::new() };
        Ok(Some(Recording(Arc::new(recorded))))
    }

    /// Records that something which is to be recorded did not pass, because that failed.
    pub(crate) fn unrecorded(&self, flow: &Flow, why: impl Into<String>) -> Refusal {
        self.built_in(flow, RULE, why.into())
    }
}

/// The whole URL; host and path in their one spelling, where they have one.
fn url(flow: &Flow, asked: &Canonical, redaction: &Redaction<'_>) -> String {
    let Some(seen) = &flow.request else { return flow.endpoint.to_string() };
    let (scheme, path) = match asked {
        Some(Ok(request)) => (request.scheme, request.path.as_str()),
        _ => (seen.scheme, seen.path.as_str()),
    };
    let place = match flow.endpoint.port == scheme.port() {
        true => flow.endpoint.host.to_string(),
        false => flow.endpoint.to_string(),
    };
    let query = match seen.query.as_str() {
        "" => String::new(),
        query => format!("?{}", redaction.query(query)),
    };
    format!("{scheme}://{place}{path}{query}")
}

/// A flow that is recorded. Its last line is written when nobody holds it any more.
#[derive(Debug, Clone)]
pub(crate) struct Recording(Arc<Recorded>);

#[derive(Debug)]
struct Recorded {
    recorder: Recorder,
    flow: u64,
    close: Mutex<Close>,
    /// Why nothing more of it could be recorded.
    failed: OnceLock<String>,
}

impl Recording {
    /// Its number.
    pub(crate) fn flow(&self) -> u64 {
        self.0.flow
    }

    /// It goes out by this connection.
    pub(crate) fn by(&self, line: &Line, endpoint: &Endpoint, (again, tls): (bool, bool)) {
        self.say(Entry::Connect { endpoint: endpoint.to_string(), again });
        if tls {
            let alpn = if line.is_two() { "h2" } else { "http/1.1" };
            self.say(Entry::Tls { alpn: alpn.to_owned() });
        }
    }

    /// The head of its answer, as it goes in.
    pub(crate) fn answered(&self, head: &response::Parts, credentials: &Credentials) {
        let headers = self.headers(&head.headers, credentials);
        self.say(Entry::RespHead { status: head.status.as_u16(), headers });
    }

    /// What follows the answer's body.
    pub(crate) fn followed(&self, trailers: &HeaderMap, credentials: &Credentials) {
        let headers = self.headers(trailers, credentials);
        self.say(Entry::RespTrailers { headers });
    }

    fn headers(&self, headers: &HeaderMap, credentials: &Credentials) -> Vec<(String, String)> {
        Redaction { key: self.0.recorder.key(), credentials }.headers(headers)
    }

    /// Why nothing more of it could be recorded.
    pub(crate) fn failed(&self) -> Option<&str> {
        self.0.failed.get().map(String::as_str)
    }

    /// It was refused, and that is what the inside heard.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.say(Entry::Refused { status: refusal.status().as_u16(), line: refusal.line() });
        let mut close = self.0.close.lock().unwrap_or_else(PoisonError::into_inner);
        if close.outcome.is_empty() {
            // It got nowhere; else its passage has said how it ended.
            close.outcome = "refused".to_owned();
        }
    }

    /// How it ends, if it ends now, and what moved.
    pub(crate) fn closes(&self, outcome: &str, (bytes_up, bytes_down): (u64, u64)) {
        let close = Close { outcome: outcome.to_owned(), bytes_up, bytes_down };
        *self.0.close.lock().unwrap_or_else(PoisonError::into_inner) = close;
    }

    /// One of its bodies, which passes from now on.
    pub(crate) fn track(&self, way: Way) -> Track {
        Track { recording: self.clone(), way, waits: None, over: false }
    }

    /// A message of a WebSocket, whole.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub(crate) async fn message(&self, way: Way, opcode: u8, payload: Bytes) -> Result<(), String> {
        let room = self.0.recorder.clone().room(payload.len()).await.map_err(|failed| failed.to_string())?;
        let dir = if way == Way::Up { "up" } else { "down" };
        self.0.recorder.say(self.0.flow, Draft::Frame(dir, opcode, true, 0, payload), Some(room));
        Ok(())
    }

    fn say(&self, entry: Entry) {
        self.0.recorder.say(self.0.flow, Draft::Entry(entry), None);
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let close = std::mem::take(self.close.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.recorder.say(self.flow, Draft::Entry(Entry::Close(close)), None);
    }
}

type Waiting = Pin<Box<dyn Future<Output = Result<Room, String>> + Send>>;

/// One body that is recorded while it passes: a piece goes on once there is room for it in the queue.
pub(crate) struct Track {
    recording: Recording,
    way: Way,
    waits: Option<(Draft, Bytes, Waiting)>,
    over: bool,
}

impl Track {
    /// The next piece; it is back where it may go on at once.
    pub(crate) fn put(&mut self, piece: Bytes) -> Option<Bytes> {
        let draft = if self.way == Way::Up { Draft::Up(piece.clone()) } else { Draft::Down(piece.clone()) };
        self.put_as(draft, piece)
    }

    /// The next piece of a WebSocket: the opcode, whether its message ends with the frame, and the bytes of the frame still to come.
    pub(crate) fn put_frame(&mut self, (opcode, fin, rest): (u8, bool, u64), payload: Bytes) {
        let dir = if self.way == Way::Up { "up" } else { "down" };
        let _ = self.put_as(Draft::Frame(dir, opcode, fin, rest, payload.clone()), payload);
    }

    fn put_as(&mut self, draft: Draft, piece: Bytes) -> Option<Bytes> {
        let (recorder, size) = (self.recording.0.recorder.clone(), piece.len());
        if let Some(room) = recorder.room_now(size) {
            recorder.say(self.recording.0.flow, draft, Some(room));
            return Some(piece);
        }
        let room = async move { recorder.room(size).await.map_err(|failed| failed.to_string()) };
        self.waits = Some((draft, piece, Box::pin(room)));
        None
    }

    /// The piece that may go on now, if one waited.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, String>> {
        let Some((_, _, room)) = &mut self.waits else { return Poll::Ready(Ok(None)) };
        let room = ready!(room.as_mut().poll(context));
        let Some((draft, piece, _)) = self.waits.take() else { return Poll::Ready(Ok(None)) };
        let recorded = &self.recording.0;
        Poll::Ready(match room {
            Ok(room) => {
                recorded.recorder.say(recorded.flow, draft, Some(room));
                Ok(Some(piece))
            }
            Err(because) => Err(recorded.failed.get_or_init(|| because).clone()),
        })
    }

    /// Whether a piece waits.
    pub(crate) fn waits(&self) -> bool {
        self.waits.is_some()
    }

    /// Last words of ours, which are said once and are short.
    pub(crate) fn last_words(&self, words: &Bytes) {
        let recorded = &self.recording.0;
        recorded.recorder.say(recorded.flow, Draft::Down(words.clone()), None);
    }

    /// The body is over; whether it broke off.
    pub(crate) fn end(&mut self, cut: bool) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let draft = if self.way == Way::Up { Draft::UpEnd(cut) } else { Draft::DownEnd(cut) };
        let recorded = &self.recording.0;
        recorded.recorder.say(recorded.flow, draft, None);
    }

    /// It is no body after all, and has no end of its own.
    pub(crate) fn endless(mut self) -> Track {
        self.over = true;
        self
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.end(true);
    }
}
