//! A request, passed on.
//!
//! Owns the order of it: what must not be in it, what is asked of admission, what is exchanged, and the answer's way back. In the
//! clear each request has a connection of its own on the outer side; in TLS, where making one costs, a connection is used again
//! for the next request to the same place, once the one before is wholly over (`upstream`).

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, TE, TRAILER};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, request};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use policy::{Endpoint, Scheme};

use crate::body::{Alarm, Answer, Source, Through, Tidy};
use crate::caps::Way as Side;
use crate::consult::Question;
use crate::credential::Credentials;
use crate::exchange::{Exchange, Next};
use crate::flow::{Flow, usual_port};
use crate::judge::Right;
use crate::meter::{End, Passage};
use crate::record::Recording;
use crate::refusal::{DENIED, Refusal};
use crate::scrub::Texts;
use crate::sent::Sent;
use crate::upstream::{Line, Unsent};
use crate::{head, login, scrub};

/// Passes a request on, and its answer back. What is left in `body` was not asked for.
pub(crate) async fn request(
    exchange: &Exchange,
    flow: Flow,
    head: request::Parts,
    body: &mut Option<Incoming>,
    upgrade: OnUpgrade,
) -> Result<Response<Answer>, Refusal> {
    let mut recording = None;
    let answer = passed_on(exchange, flow, (head, body), upgrade, &mut recording).await;
    if let (Err(refusal), Some(recording)) = (&answer, &recording) {
        recording.refused(refusal);
    }
    answer
}

async fn passed_on(
    exchange: &Exchange,
    flow: Flow,
    (mut head, body): (request::Parts, &mut Option<Incoming>),
    upgrade: OnUpgrade,
    recording: &mut Option<Recording>,
) -> Result<Response<Answer>, Refusal> {
    let judge = &exchange.carrier.judge;
    let credentials = &judge.credentials;
    let scheme = flow.scheme();
    let came = judge.records.asked.then(|| head.headers.clone());
    let websocket = head::wants_websocket(&head.method, &head.headers);
    let trailers = head::takes_trailers(&head.headers);

    // What is judged is what goes on: what belongs to this hop alone must not stand for what the server will see.
    head::strip(&mut head.headers, websocket);
    let asked = flow.canonical(&head.headers);
    let uses = credentials.used_by(&head, &flow, &asked);
    let uses = uses.map_err(|leak| judge.alarm(&flow, &leak))?;
    *recording = judge.recording(&flow, (&head, came.as_ref()), &asked).await?;
    let right = judge.request(&flow, (&head.headers, &asked), &exchange.wire).await?;
    let question = judge.question((&flow, &asked), &mut head, body, (&exchange.wire, &right)).await?;
    let is_judged = right.path().is_some() || question.is_some() || !uses.is_empty();
    let judged = asked.and_then(Result::ok).filter(|_| is_judged).map(|request| request.path);
    let bound = credentials.go_to(&flow.endpoint, scheme);
    if bound {
        credentials.strip(&mut head);
    }
    login::fresh(exchange, &flow, &uses).await?;
    judge.release((&flow, &right), &uses, &mut head.headers, &exchange.wire).await?;

    let (method, two) = (head.method.clone(), head.version == Version::HTTP_2);
    on_path(&mut head, judged.as_deref())?;
    if websocket && recording.is_some() {
        // Frames that are compressed could not be read again.
        head.headers.remove("sec-websocket-extensions");
    }
    let (sent, recording) = (Arc::default(), recording.clone());
    let way =
        Way { exchange, flow: &flow, method, two, websocket, trailers, bound, question, sent, recording };
    way.carry(right, head, body, upgrade).await
}

/// The way to one place and back, for one request.
struct Way<'a> {
    exchange: &'a Exchange,
    flow: &'a Flow,
    method: Method,
    /// Whether it came as HTTP/2.
    two: bool,
    /// Whether a WebSocket was asked for.
    websocket: bool,
    /// Whether what follows a body is listened for.
    trailers: bool,
    /// Whether a credential is bound to the place.
    bound: bool,
    /// What is asked of a model.
    question: Option<Question>,
    /// What its body comes to.
    sent: Arc<Sent>,
    /// Where it is recorded, if anywhere.
    recording: Option<Recording>,
}

impl Way<'_> {
    /// Sends it, with the right to do so, and takes the answer.
    async fn carry(
        mut self,
        right: Right,
        head: request::Parts,
        body: &mut Option<Incoming>,
        upgrade: OnUpgrade,
    ) -> Result<Response<Answer>, Refusal> {
        let judge = &self.exchange.carrier.judge;
        let (mut line, mut passage, right) = self.line(right).await?;
        let (read, seat) = self.question.as_mut().and_then(|question| question.body.take()).unzip();
        let source = read.map(Source::from).or_else(|| body.take().map(Source::from));
        let source = source.ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
        let track = self.recording.as_ref().map(|recording| recording.track(Side::Up));
        let mut through = Through::new(source, judge.bounds.idle, None).summed(&self.sent).recorded(track);
        let alarm = Arc::new(Mutex::new(None));
        let watched = judge.credentials.watched(self.bound);
        if !watched.is_empty() {
            let raise = alarm_for(self.exchange, self.flow, &alarm);
            through = through.watched(watched, raise);
        }
        let spare =
            (right.is_some() && through.is_end_stream() && may_repeat(&head.method)).then(|| head.clone());
        let request = Request::from_parts(head, through);
        let answered = match (self.send(&mut line, request).await, right) {
            (Err(Unsent::Back(request)), Some(right)) => {
                // What waited was over before anything was said on it: by the same right another is made.
                passage.void();
                (line, passage) = self.open(right).await?;
                self.send(&mut line, *request).await
            }
            (Err(Unsent::Gone(because)), Some(right)) => match spare {
                // The server closed what waited while this was on its way; asked twice it does what it does asked once.
                Some(head) => {
                    passage.ends(End::Reset);
                    (line, passage) = self.open(right).await?;
                    let nothing = Through::new(Bytes::new(), judge.bounds.idle, None);
                    self.send(&mut line, Request::from_parts(head, nothing)).await
                }
                None => {
                    right.used();
                    Err(Unsent::Gone(because))
                }
            },
            (answered, Some(right)) => {
                right.used();
                answered
            }
            (answered, None) => answered,
        };
        // It has left, and stands in memory no more.
        drop(seat);
        match answered {
            Ok(response) => self.back(response, (line, passage), upgrade),
            Err(unsent) => {
                let failed = self.recording.as_ref().and_then(Recording::failed);
                passage.ends(if failed.is_some() { End::Unrecorded } else { End::Reset });
                if let Some(why) = failed {
                    return Err(judge.unrecorded(self.flow, why));
                }
                let alarm = alarm.lock().unwrap_or_else(PoisonError::into_inner).take();
                let used = passage.used_up().map(|used| Refusal::used_up(&self.flow.endpoint, &used));
                Err(alarm
                    .or(used)
                    .unwrap_or_else(|| Refusal::unanswered(&self.flow.endpoint, &unsent.because())))
            }
        }
    }

    /// A connection: one that waits, and then the right to make another, or one of its own.
    async fn line(&self, right: Right) -> Result<(Line, Passage, Option<Right>), Refusal> {
        let upstream = &self.exchange.carrier.upstream;
        let again = self.flow.scheme() == Scheme::Https && !self.websocket;
        match again.then(|| upstream.waiting(&self.flow.endpoint, self.two)).flatten() {
            Some(line) => {
                let passage = self.exchange.carrier.judge.passage(self.flow, &right, &line.count);
                let passage = self.on(&line, passage, true);
                Ok((line, passage, Some(right)))
            }
            None => self.open(right).await.map(|(line, passage)| (line, passage, None)),
        }
    }

    /// A connection of its own.
    async fn open(&self, right: Right) -> Result<(Line, Passage), Refusal> {
        let (carrier, to) = (&self.exchange.carrier, &self.flow.endpoint);
        let bounds = &carrier.judge.bounds;
        let seat = match self.flow.scheme() {
            Scheme::Https => Some(carrier.upstream.seat().ok_or_else(|| Refusal::busy(bounds.connections))?),
            _ => None,
        };
        let (outside, mut passage) = carrier.judge.reach(self.flow, right).await?;
        let count = outside.count();
        let opened = match seat {
            Some(seat) => {
                let offer = (to, self.two && !self.websocket, !self.websocket);
                let opened = carrier.upstream.open(outside, seat, offer, bounds).await;
                opened.map_err(|because| Refusal::untrusted(to, &because))
            }
            None => {
                Line::one(outside, count, bounds).await.map_err(|because| Refusal::unanswered(to, &because))
            }
        };
        let line = opened.inspect_err(|_| passage.ends(End::Reset))?;
        let passage = self.on(&line, passage, false);
        Ok((line, passage))
    }

    /// It goes out by this connection.
    fn on(&self, line: &Line, mut passage: Passage, again: bool) -> Passage {
        passage.of(&self.sent, self.recording.as_ref());
        if let Some(recording) = &self.recording {
            recording.by(line, &self.flow.endpoint, (again, self.flow.scheme() == Scheme::Https));
        }
        passage
    }

    /// The request as it leaves, and its answer.
    async fn send(
        &self,
        line: &mut Line,
        mut request: Request<Through>,
    ) -> Result<Response<Incoming>, Unsent> {
        address(&mut request, &self.flow.endpoint, self.flow.scheme(), line.is_two());
        if self.trailers {
            request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
            if !line.is_two() {
                head::nominate(request.headers_mut(), TE);
            }
        }
        line.send(request, self.exchange.carrier.judge.bounds.idle).await
    }

    /// The answer, as it goes back.
    fn back(
        self,
        mut response: Response<Incoming>,
        (line, mut passage): (Line, Passage),
        inside: OnUpgrade,
    ) -> Result<Response<Answer>, Refusal> {
        let credentials = &self.exchange.carrier.judge.credentials;
        passage.answered(response.status().as_u16());
        let outside = hyper::upgrade::on(&mut response);
        let (mut head, body) = response.into_parts();
        let begins = self.websocket && head::begins_websocket(&head);
        let announced = head.headers.remove(TRAILER).filter(|_| self.trailers);
        head::strip(&mut head.headers, begins);
        head.headers.remove(DENIED);
        head.version = Version::HTTP_11;
        // Words of theirs beside the status, which nobody looks into.
        head.extensions.remove::<ReasonPhrase>();
        if self.bound {
            credentials.scrub(&mut head.headers);
        }
        if let Some(recording) = &self.recording {
            recording.answered(&head, credentials);
        }
        if begins {
            let recording = self.recording;
            let question = self.question.map(|question| Box::new((question, self.flow.clone())));
            self.exchange.turn_into(Next::WebSocket { inside, outside, line, passage, question, recording });
            return Ok(Response::from_parts(head, Answer::Own(Full::default())));
        }
        let tap = self.question.as_ref().filter(|_| head.status.is_success()).map(|question| {
            let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            question.tap(kind.unwrap_or_default())
        });
        let secrets = if self.bound { credentials.released() } else { Vec::new() };
        let secrets = Texts::new(secrets)
            .map_err(|error| self.exchange.carrier.judge.built_in(self.flow, "vault", error.to_string()))?;
        if let Some(because) = unfit(&head, !secrets.is_empty() || tap.is_some()) {
            passage.ends(End::Reset);
            return Err(Refusal::unanswered(&self.flow.endpoint, because));
        }
        own_length(&mut head.headers, &self.method, head.status);
        let idle = self.exchange.carrier.judge.bounds.idle;
        let mut through =
            Through::new(body, idle, Some(passage)).scrubbed(Arc::new(secrets)).on(line).tapped(tap);
        through = through.recorded(self.recording.as_ref().map(|recording| recording.track(Side::Down)));
        if self.trailers {
            through = through.followed(self.tidy());
            head.headers.extend(announced.map(|names| (TRAILER, names)));
        }
        Ok(Response::from_parts(head, Answer::Theirs(Box::new(through))))
    }

    /// What follows a body is tidied as the head before it.
    fn tidy(&self) -> Tidy {
        let (carrier, bound) = (Arc::clone(&self.exchange.carrier), self.bound);
        let recording = self.recording.clone();
        Box::new(move |trailers| {
            head::strip_trailers(trailers);
            if bound {
                carrier.judge.credentials.scrub(trailers);
            }
            if let Some(recording) = recording {
                recording.followed(trailers, &carrier.judge.credentials);
            }
        })
    }
}

/// Whether a request of this method, without a body, may be sent twice (RFC 9110, 9.2.2).
fn may_repeat(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Why an answer is not passed on.
fn unfit(head: &http::response::Parts, must_see: bool) -> Option<&'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Some("it began to speak another protocol, unasked");
    }
    (must_see && scrub::is_encoded(&head.headers))
        .then_some("it sent a compressed answer, though asked not to: it cannot be looked into")
}

/// Records a placeholder in the request's body, and keeps what is to be said about it.
fn alarm_for(exchange: &Exchange, flow: &Flow, said: &Arc<Mutex<Option<Refusal>>>) -> Alarm {
    let (carrier, flow, said) = (Arc::clone(&exchange.carrier), flow.clone(), Arc::clone(said));
    Box::new(move |credential| {
        let refusal = carrier.judge.alarm(&flow, &Credentials::in_body(credential));
        *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    })
}

/// The request for the path that was judged.
fn on_path(head: &mut request::Parts, judged: Option<&str>) -> Result<(), Refusal> {
    let path = match (judged, head.uri.query()) {
        (Some(path), Some(query)) => format!("{path}?{query}"),
        (Some(path), None) => path.to_owned(),
        (None, _) => head.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
    };
    let odd = |_| Refusal::malformed("its path cannot be sent on", "send one that needs no repair");
    head.uri = Uri::from(path.parse::<PathAndQuery>().map_err(odd)?);
    Ok(())
}

/// The request as the version has it, to the host that was judged.
fn address(request: &mut Request<Through>, to: &Endpoint, scheme: Scheme, two: bool) {
    let host = if to.port == usual_port(scheme) { to.host.to_string() } else { to.to_string() };
    let path = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.version_mut() = if two { Version::HTTP_2 } else { Version::HTTP_11 };
    if two {
        request.headers_mut().remove(HOST);
        let uri = Uri::builder().scheme(scheme.to_string().as_str()).authority(host).path_and_query(path);
        // INVARIANT: scheme, host and path were parsed before, each by itself.
        *request.uri_mut() = uri.build().unwrap_or_default();
        return;
    }
    *request.uri_mut() = Uri::from(path);
    head::one_cookie(request.headers_mut());
    if let Ok(host) = HeaderValue::from_str(&host) {
        request.headers_mut().insert(HOST, host);
    }
}

/// Leaves it to the server's side to say how long the body is that it really sends; where there is none, the length is a fact
/// about another answer and stays.
fn own_length(headers: &mut HeaderMap, method: &Method, status: StatusCode) {
    if *method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        headers.remove(CONTENT_LENGTH);
    }
}
