//! One connection from the inside: its requests, one after the other, and what it may turn into.
//!
//! Owns the server's side of HTTP/1, and the step from a connection of requests to a tunnel, to a WebSocket, or to the one place
//! that a tunnel leads to and where requests are seen (`terminate`). Does not own what is asked of admission (`judge`) or how a
//! request is passed on (`forward`).

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, EXPECT};
use http::{HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use ledger::event::Ingress;
use policy::{Endpoint, Scheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::body::Answer;
use crate::bounds::Bounds;
use crate::ca::Authority;
use crate::carriage::{Asker, Carriage, Expected, Teller};
use crate::dial::Outside;
use crate::flow::Flow;
use crate::guests::Guests;
use crate::inside::InsideDoor;
use crate::judge::Judge;
use crate::meter::{Count, End, Passage};
use crate::refusal::Refusal;
use crate::target::{self, Door, Target};
use crate::terminate::{Place, seen};
use crate::tunnel::carry;
use crate::upstream::Upstream;
use crate::wire::{Prefixed, Wire};
use crate::{forward, head};

/// An accepted socket as it is read from.
pub(crate) type Stream = Prefixed<Wire>;

/// What every connection needs.
pub(crate) struct Carrier {
    pub(crate) judge: Judge,
    pub(crate) inside: InsideDoor,
    pub(crate) guests: Option<Guests>,
    pub(crate) authority: Authority,
    pub(crate) upstream: Arc<Upstream>,
}

impl Carrier {
    /// Whether a connection from there is the run's.
    pub(crate) fn admits(&self, from: SocketAddr) -> bool {
        self.guests.as_ref().is_none_or(|guests| guests.admits(from))
    }
}

/// What is needed beside for connections that are carried.
pub(crate) struct Taken {
    pub(crate) carriage: Arc<Carriage>,
    pub(crate) teller: Arc<Teller>,
}

/// The port on which requests are seen wherever they come from.
const HTTP_PORT: u16 = 80;

/// What a connection turns into after its last request.
pub(crate) enum Next {
    /// Bytes, to the place that was connected to.
    Tunnel { inside: OnUpgrade, outside: Box<Outside>, passage: Passage },
    /// Requests to one place, which rules or credentials make us look at.
    Requests { inside: OnUpgrade, to: Endpoint },
    /// Messages of a WebSocket.
    WebSocket { inside: OnUpgrade, outside: OnUpgrade, count: Arc<Count>, passage: Passage },
}

/// Serves a connection to the proxy.
pub(crate) async fn proxy(carrier: Arc<Carrier>, wire: Wire) {
    serve(&carrier, &wire, (Door::Proxy, None)).await;
}

/// Serves a connection to a port that stands for one of the host's.
pub(crate) async fn port(carrier: Arc<Carrier>, wire: Wire, endpoint: Endpoint) {
    let judge = &carrier.judge;
    if judge.must_see(&endpoint) {
        let place = Place { to: endpoint, ingress: Ingress::Port, asker: None };
        // Its refusal is recorded, and there is nobody to be told.
        let _ = see(&carrier, Prefixed::new(Bytes::new(), wire.clone()), &wire, place).await;
        return;
    }
    if speaks_http(&wire, judge.bounds.first_bytes).await {
        return serve(&carrier, &wire, (Door::Fixed(endpoint, Ingress::Port, Scheme::Http), None)).await;
    }
    // A protocol of its own, in which no can only be said by hanging up; admission and the meter have it.
    let flow = Flow::opaque(endpoint, Ingress::Port);
    let Ok(right) = judge.connection(&flow, &wire).await else { return };
    let Ok((mut outside, mut passage)) = judge.reach(&flow, right).await else { return };
    let (mut inside, count) = (wire, outside.count());
    passage.ends(carry(&mut inside, &mut outside, &count, &judge.bounds).await);
}

/// Serves a connection that was carried here: as one that was asked for by CONNECT, but for how a no is said.
pub(crate) async fn carried(carrier: Arc<Carrier>, wire: Wire, from: SocketAddr, taken: Arc<Taken>) {
    let judge = &carrier.judge;
    let Some(Expected { to, asker }) = taken.carriage.take(from, judge.bounds.word).await else {
        // Nobody who was seen to connect came this way.
        return wire.break_off();
    };
    let flow = Flow { asker: Some(asker), ..Flow::opaque(to.clone(), Ingress::Socket) };
    let plain = to.port == HTTP_PORT && !judge.must_see(&to);
    if plain && speaks_http(&wire, judge.bounds.first_bytes).await {
        let door = Door::Fixed(to, Ingress::Socket, Scheme::Http);
        return serve(&carrier, &wire, (door, Some(asker))).await;
    }
    let refused = match through(judge, &flow, &wire).await {
        Ok(None) => {
            let place = Place { to, ingress: Ingress::Socket, asker: Some(asker) };
            see(&carrier, Prefixed::new(Bytes::new(), wire.clone()), &wire, place).await
        }
        Ok(Some((mut outside, mut passage))) => {
            let (mut inside, count) = (wire.clone(), outside.count());
            let end = carry(&mut inside, &mut outside, &count, &judge.bounds).await;
            if end != End::Closed {
                wire.break_off();
            }
            passage.ends(end);
            Ok(())
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = refused {
        taken.teller.tell(asker, &refusal).await;
        wire.break_off();
    }
}

/// The way out for a connection whose content is its own; none where requests in it are judged instead.
async fn through(judge: &Judge, flow: &Flow, wire: &Wire) -> Result<Option<(Outside, Passage)>, Refusal> {
    match judge.tunnel(flow, wire).await? {
        None => Ok(None),
        Some(right) => judge.reach(flow, right).await.map(Some),
    }
}

/// Whether the first bytes are the beginning of a request of HTTP/1, left where they are.
async fn speaks_http(wire: &Wire, patience: Duration) -> bool {
    let mut first = [0; 24];
    let Ok(Ok(count)) = timeout(patience, wire.peek(&mut first)).await else { return false };
    let first = first.get(..count).unwrap_or_default();
    let method = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    match first.get(method..) {
        Some([]) => method > 0,
        Some([b' ']) | Some([b' ', b'/', ..]) => method > 0,
        _ => false,
    }
}

async fn serve(carrier: &Arc<Carrier>, wire: &Wire, from: (Door, Option<Asker>)) {
    let stream = Prefixed::new(Bytes::new(), wire.clone());
    match requests(carrier, stream, wire, from).await {
        Some(Next::Requests { inside, to }) => {
            let Some(stream) = continued(inside).await else { return };
            let place = Place { to, ingress: Ingress::Connect, asker: None };
            // Its refusal is recorded, and whoever asked hears it in TLS.
            let _ = see(carrier, stream, wire, place).await;
        }
        Some(next) => turned(next, &carrier.judge.bounds).await,
        None => {}
    }
}

/// Serves what comes on a connection to a place that must be seen.
async fn see(carrier: &Arc<Carrier>, stream: Stream, wire: &Wire, place: Place) -> Result<(), Refusal> {
    if let Some(next) = seen(carrier, stream, wire, place).await? {
        turned(next, &carrier.judge.bounds).await;
    }
    Ok(())
}

/// Carries what a connection turned into.
async fn turned(next: Next, bounds: &Bounds) {
    match next {
        Next::Tunnel { inside, mut outside, mut passage } => {
            let Some(mut inside) = continued(inside).await else { return };
            let count = outside.count();
            passage.ends(carry(&mut inside, &mut *outside, &count, bounds).await);
        }
        Next::WebSocket { inside, outside, count, mut passage } => {
            let (Ok(inside), Ok(outside)) = (inside.await, outside.await) else {
                return passage.ends(End::Reset);
            };
            let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
            passage.ends(carry(&mut inside, &mut outside, &count, bounds).await);
        }
        // INVARIANT: only a proxy's CONNECT leads there, and there is no proxy behind it.
        Next::Requests { .. } => {}
    }
}

/// The socket, after the last of its requests; with what was read of it already.
async fn continued(inside: OnUpgrade) -> Option<Stream> {
    let parts = Upgraded::downcast::<TokioIo<Stream>>(inside.await.ok()?).ok()?;
    let (unread, wire) = parts.io.into_inner().into_parts();
    let mut first = BytesMut::from(parts.read_buf);
    first.extend_from_slice(&unread);
    Some(Prefixed::new(first.freeze(), wire))
}

/// Answers requests until the connection ends or turns into something else.
pub(crate) async fn requests<S>(
    carrier: &Arc<Carrier>,
    stream: S,
    wire: &Wire,
    (door, asker): (Door, Option<Asker>),
) -> Option<Next>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let bounds = &carrier.judge.bounds;
    let exchange = Arc::new(Exchange::new(carrier, wire, door, asker));
    let service = service_fn(|request| {
        let exchange = Arc::clone(&exchange);
        async move { Ok::<_, Infallible>(exchange.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(bounds.head_bytes)
        .max_headers(bounds.headers)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    match served {
        Ok(()) => exchange.next.lock().unwrap_or_else(PoisonError::into_inner).take(),
        Err(error) => {
            if error.is_parse() {
                carrier.judge.unreadable(&error);
            }
            None
        }
    }
}

/// Where the requests of a connection are answered.
pub(crate) struct Exchange {
    pub(crate) carrier: Arc<Carrier>,
    pub(crate) wire: Wire,
    door: Door,
    /// Who asks, where that is known.
    asker: Option<Asker>,
    next: Mutex<Option<Next>>,
}

impl Exchange {
    pub(crate) fn new(carrier: &Arc<Carrier>, wire: &Wire, door: Door, asker: Option<Asker>) -> Exchange {
        Exchange { carrier: Arc::clone(carrier), wire: wire.clone(), door, asker, next: Mutex::default() }
    }

    pub(crate) async fn answer(&self, mut request: Request<Incoming>) -> Response<Answer> {
        let target = self.target(&request);
        let two = request.version() == Version::HTTP_2;
        let upgrade = hyper::upgrade::on(&mut request);
        let (head, body) = request.into_parts();
        let announced = head.headers.contains_key(EXPECT);
        let mut body = Some(body);
        let answer = match target {
            Ok(Target::Tunnel(flow)) => self.tunnel(flow, upgrade).await,
            Ok(Target::Request(flow)) => forward::request(self, flow, head, &mut body, upgrade).await,
            Ok(Target::Inside(path)) => self.inside(path, body.take()).await,
            Err(refusal) => {
                // Where one message was misread, the next may begin anywhere.
                let mut response = refusal.response();
                if !two {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                return response.map(Answer::Own);
            }
        };
        match answer {
            Ok(response) => response,
            Err(refusal) => {
                // Who waits to be told to go on with the body hears the refusal instead.
                if let Some(body) = body.filter(|_| !announced) {
                    hear_out(body, &self.carrier.judge.bounds).await;
                }
                refusal.response().map(Answer::Own)
            }
        }
    }

    fn target(&self, request: &Request<Incoming>) -> Result<Target, Refusal> {
        let many = request.headers().len() > self.carrier.judge.bounds.headers;
        let odd = head::ambiguous(request.method(), request.headers())
            .or_else(|| many.then_some("it has too many headers"));
        let read = match odd {
            Some(why) => Err(Refusal::malformed(why, "send a request that can be read in one way only")),
            None => target::read(request, &self.door),
        };
        let read = read.map(|target| match target {
            Target::Tunnel(flow) => Target::Tunnel(Flow { asker: self.asker, ..flow }),
            Target::Request(flow) => Target::Request(Flow { asker: self.asker, ..flow }),
            inside @ Target::Inside(_) => inside,
        });
        read.inspect_err(|refusal| self.carrier.judge.malformed(request.method(), request.uri(), refusal))
    }

    async fn inside(&self, path: String, body: Option<Incoming>) -> Result<Response<Answer>, Refusal> {
        let body = body.ok_or_else(|| Refusal::malformed("it has no body", "send one"))?;
        let answer = self.carrier.inside.answer(path, body, &self.carrier.judge.bounds).await;
        Ok(answer.map(Answer::Own))
    }

    /// CONNECT: the connection is there before its asker hears of it.
    async fn tunnel(&self, flow: Flow, inside: OnUpgrade) -> Result<Response<Answer>, Refusal> {
        let judge = &self.carrier.judge;
        self.turn_into(match judge.tunnel(&flow, &self.wire).await? {
            None => Next::Requests { inside, to: flow.endpoint },
            Some(right) => {
                let (outside, passage) = judge.reach(&flow, right).await?;
                Next::Tunnel { inside, outside: Box::new(outside), passage }
            }
        });
        Ok(Response::new(Answer::Own(Full::default())))
    }

    /// Says what the connection turns into once this request is answered.
    pub(crate) fn turn_into(&self, next: Next) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(next);
    }
}

/// Lets whoever is refused finish, within limits: who is cut off while speaking does not hear the answer.
async fn hear_out(mut body: Incoming, bounds: &Bounds) {
    let mut left = bounds.refused_bytes;
    let all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if length > left {
                return;
            }
            left -= length;
        }
    };
    // Whoever takes longer is cut off.
    let _ = timeout(bounds.refused, all).await;
}

/// Tells whoever cannot be served, as far as that needs no waiting.
pub(crate) fn turn_away(wire: &Wire, limit: usize) -> io::Result<()> {
    wire.write_now(&Refusal::busy(limit).bytes())?;
    wire.finish()
}
