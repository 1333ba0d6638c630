//! A request on plain HTTP, passed on.
//!
//! Owns the order of it: what must not be in it, what is asked of admission, what is exchanged, and the answer's way back. Each
//! request has a connection of its own on the outer side, as it has a permit of its own: no two share what one of them broke.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version, request};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use policy::Endpoint;
use tokio::time::timeout;

use crate::body::{Alarm, Answer, Through};
use crate::connection::{Exchange, Next};
use crate::credential::Credentials;
use crate::dial::Outside;
use crate::flow::Flow;
use crate::meter::{Count, End, Passage};
use crate::refusal::{DENIED, Refusal};
use crate::{head, scrub};

/// The port of `http` where none is said.
const HTTP_PORT: u16 = 80;

/// Passes a request on, and its answer back. What is left in `body` was not asked for.
pub(crate) async fn request(
    exchange: &Exchange,
    flow: Flow,
    mut head: request::Parts,
    body: &mut Option<Incoming>,
    upgrade: OnUpgrade,
) -> Result<Response<Answer>, Refusal> {
    let judge = &exchange.carrier.judge;
    let credentials = &judge.credentials;
    let websocket = head::wants_websocket(&head.method, &head.headers);

    let uses = credentials.used_by(&head, &flow.endpoint).map_err(|leak| judge.alarm(&flow, &leak))?;
    let right = judge.request(&flow, &head.headers, &exchange.wire).await?;
    let judged = right.path().map(str::to_owned);
    head::strip(&mut head.headers, websocket);
    let bound = credentials.any_for(&flow.endpoint);
    if bound {
        credentials.strip(&mut head);
    }
    judge.release(&flow, &uses, &mut head.headers, &exchange.wire).await?;
    let (outside, mut passage) = judge.reach(&flow, right).await?;

    let (method, count) = (head.method.clone(), outside.count());
    let way = Way { exchange, flow: &flow, method, websocket, bound, count };
    let taken = body.take().ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
    let mut through = Through::new(taken, judge.bounds.idle, None);
    let alarm = Arc::new(Mutex::new(None));
    if !bound {
        through = through.watched(credentials.placeholders(), alarm_for(exchange, &flow, &alarm));
    }
    let outgoing = outgoing(head, through, &flow.endpoint, judged.as_deref())?;
    match way.send(outside, outgoing).await {
        Ok(response) => way.back(response, passage, upgrade),
        Err(because) => {
            passage.ends(End::Reset);
            let alarm = alarm.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(alarm.unwrap_or_else(|| Refusal::unanswered(&flow.endpoint, &because)))
        }
    }
}

/// The way to one place and back, for one request.
struct Way<'a> {
    exchange: &'a Exchange,
    flow: &'a Flow,
    method: Method,
    /// Whether a WebSocket was asked for.
    websocket: bool,
    /// Whether a credential is bound to the place.
    bound: bool,
    count: Arc<Count>,
}

impl Way<'_> {
    /// The answer, as it goes back.
    fn back(
        self,
        mut response: Response<Incoming>,
        mut passage: Passage,
        inside: OnUpgrade,
    ) -> Result<Response<Answer>, Refusal> {
        let credentials = &self.exchange.carrier.judge.credentials;
        passage.answered(response.status().as_u16());
        let outside = hyper::upgrade::on(&mut response);
        let (mut head, body) = response.into_parts();
        let begins = self.websocket && head::begins_websocket(&head);
        head::strip(&mut head.headers, begins);
        head.headers.remove(DENIED);
        head.version = Version::HTTP_11;
        if self.bound {
            credentials.scrub(&mut head.headers);
        }
        if begins {
            self.exchange.turn_into(Next::WebSocket { inside, outside, count: self.count, passage });
            return Ok(Response::from_parts(head, Answer::Own(Full::default())));
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            passage.ends(End::Reset);
            let because = "it began to speak another protocol, unasked";
            return Err(Refusal::unanswered(&self.flow.endpoint, because));
        }
        let secrets = if self.bound { credentials.released() } else { Vec::new() };
        if !secrets.is_empty() && scrub::is_encoded(&head.headers) {
            passage.ends(End::Reset);
            let because =
                "it sent a compressed answer, though asked not to: it cannot be searched for secrets";
            return Err(Refusal::unanswered(&self.flow.endpoint, because));
        }
        own_length(&mut head.headers, &self.method, head.status);
        let idle = self.exchange.carrier.judge.bounds.idle;
        let through = Through::new(body, idle, Some(passage)).scrubbed(secrets);
        Ok(Response::from_parts(head, Answer::Theirs(Box::new(through))))
    }

    async fn send(&self, outside: Outside, request: Request<Through>) -> Result<Response<Incoming>, String> {
        let bounds = &self.exchange.carrier.judge.bounds;
        let mut client = http1::Builder::new();
        client.max_buf_size(bounds.head_bytes).max_headers(bounds.headers);
        let shaken = client.handshake(TokioIo::new(outside)).await;
        let (mut sender, connection) = shaken.map_err(|error| because(&error))?;
        // It ends with the request: the sender and the answer's body are its only handles.
        tokio::spawn(connection.with_upgrades());
        match timeout(bounds.idle, sender.send_request(request)).await {
            Ok(answered) => answered.map_err(|error| because(&error)),
            Err(_) => Err(format!("{} did not answer in time", self.flow.endpoint)),
        }
    }
}

/// Records a placeholder in the request's body, and keeps what is to be said about it.
fn alarm_for(exchange: &Exchange, flow: &Flow, said: &Arc<Mutex<Option<Refusal>>>) -> Alarm {
    let (carrier, flow, said) = (Arc::clone(&exchange.carrier), flow.clone(), Arc::clone(said));
    Box::new(move |credential| {
        let refusal = carrier.judge.alarm(&flow, &Credentials::in_body(credential));
        *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
    })
}

/// The request as it leaves: in origin form, to the host that was judged, on the path that was judged.
fn outgoing(
    mut head: request::Parts,
    body: Through,
    to: &Endpoint,
    judged: Option<&str>,
) -> Result<Request<Through>, Refusal> {
    let path = match (judged, head.uri.query()) {
        (Some(path), Some(query)) => format!("{path}?{query}"),
        (Some(path), None) => path.to_owned(),
        (None, _) => head.uri.path_and_query().map_or("/", PathAndQuery::as_str).to_owned(),
    };
    let odd = |_| Refusal::malformed("its path cannot be sent on", "send one that needs no repair");
    head.uri = Uri::from(path.parse::<PathAndQuery>().map_err(odd)?);
    head.version = Version::HTTP_11;
    let host = if to.port == HTTP_PORT { to.host.to_string() } else { to.to_string() };
    if let Ok(host) = HeaderValue::from_str(&host) {
        head.headers.insert(HOST, host);
    }
    Ok(Request::from_parts(head, body))
}

/// Leaves it to the server's side to say how long the body is that it really sends; where there is none, the length is a fact
/// about another answer and stays.
fn own_length(headers: &mut HeaderMap, method: &Method, status: StatusCode) {
    if *method != Method::HEAD && status != StatusCode::NOT_MODIFIED {
        headers.remove(CONTENT_LENGTH);
    }
}

/// An error and what caused it.
fn because(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
