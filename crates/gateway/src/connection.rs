//! One connection from the inside: how it came, and where it leads.
//!
//! Owns the step from a connection to requests (`exchange`), to a tunnel, to a WebSocket, or to a place where everything is seen
//! (`terminate`). Does not own what is asked of admission (`judge`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use ledger::event::Ingress;
use policy::{Endpoint, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::ca::Authority;
use crate::carriage::{Asker, Carriage, Expected, Teller};
use crate::dial::Outside;
use crate::exchange::{Next, requests};
use crate::flow::Flow;
use crate::frames::Framed;
use crate::guests::Guests;
use crate::hello;
use crate::inside::InsideDoor;
use crate::judge::Judge;
use crate::messages::Conversation;
use crate::meter::{End, Passage};
use crate::named::Named;
use crate::refusal::Refusal;
use crate::socks::{self, NoRequest, Reply};
use crate::target::Door;
use crate::terminate::{Place, seen};
use crate::tunnel::carry;
use crate::upstream::Upstream;
use crate::wire::{Prefixed, Wire};

/// An accepted socket as it is read from.
pub(crate) type Stream = Prefixed<Wire>;

/// What every connection needs.
pub(crate) struct Carrier {
    pub(crate) judge: Judge,
    pub(crate) inside: InsideDoor,
    pub(crate) guests: Option<Guests>,
    pub(crate) authority: Authority,
    pub(crate) upstream: Arc<Upstream>,
    /// What addresses inside stand for, where they do.
    pub(crate) carriage: Option<Arc<Carriage>>,
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

/// Serves a connection to the proxy.
pub(crate) async fn proxy(carrier: Arc<Carrier>, wire: Wire) {
    let mut first = [0];
    let peeked = timeout(carrier.judge.bounds.head, wire.peek(&mut first)).await;
    match (peeked, first) {
        (Ok(Ok(1)), [socks::FIRST]) => drop(socks(&carrier, wire).await),
        _ => serve(&carrier, &wire, (Door::Proxy, None)).await,
    }
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
        Ok(Some((outside, passage))) => {
            let ended = tunnelled(judge, wire.clone(), outside, passage).await;
            if !matches!(ended, Ok(End::Closed)) {
                wire.break_off();
            }
            ended.map(drop)
        }
        Err(refusal) => Err(refusal),
    };
    if let Err(refusal) = refused {
        taken.teller.tell(asker, &refusal).await;
        wire.break_off();
    }
}

/// Serves a connection that asks in SOCKS where it wants to go: as one that asks by CONNECT.
async fn socks(carrier: &Arc<Carrier>, mut wire: Wire) -> io::Result<()> {
    let judge = &carrier.judge;
    let read = timeout(judge.bounds.head, socks::read(&mut wire, carrier.carriage.as_deref())).await;
    let to = match read {
        Ok(Ok(to)) => to,
        Ok(Err(NoRequest::Refused(why))) => {
            judge.misspoken(&Refusal::malformed(
                why,
                "ask for CONNECT to a host or an address, without a user",
            ));
            return Ok(());
        }
        Ok(Err(NoRequest::Gone(_))) | Err(_) => return Ok(()),
    };
    let flow = Flow::opaque(to.clone(), Ingress::Socks);
    match through(judge, &flow, &wire).await {
        Ok(None) => {
            socks::reply(&mut wire, Reply::Done).await?;
            let place = Place { to, ingress: Ingress::Socks, asker: None };
            let stream = Prefixed::new(Bytes::new(), wire.clone());
            // Its refusal is recorded, and whoever asked hears it in TLS.
            let _ = see(carrier, stream, &wire, place).await;
        }
        Ok(Some((outside, passage))) => {
            socks::reply(&mut wire, Reply::Done).await?;
            let _ = tunnelled(judge, wire, outside, passage).await;
        }
        Err(refusal) if refusal.reason().is_some() => socks::reply(&mut wire, Reply::Forbidden).await?,
        Err(_) => socks::reply(&mut wire, Reply::Unreachable).await?,
    }
    Ok(())
}

/// Carries a tunnel, in which TLS names nobody else than was asked for.
async fn tunnelled<S>(
    judge: &Judge,
    inside: S,
    mut outside: Outside,
    mut passage: Passage,
) -> Result<End, Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (to, count) = (passage.flow().endpoint.clone(), outside.count());
    let may = Box::new(|named: &str| judge.may_name(&to, named));
    let mut inside = Named::new(inside, judge.bounds.head, may);
    let end = carry(&mut inside, &mut outside, &count, &judge.bounds).await;
    passage.ends(end);
    let Some(why) = inside.refused() else { return Ok(end) };
    // Whoever does not hear it sees the end of the connection.
    let _ = inside.write_all(&hello::NO_SUCH_NAME).await;
    Err(judge.built_in(passage.flow(), "tls", why))
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
        Some(next) => turned(next, (&carrier.judge, wire)).await,
        None => {}
    }
}

/// Serves what comes on a connection to a place that must be seen.
async fn see(carrier: &Arc<Carrier>, stream: Stream, wire: &Wire, place: Place) -> Result<(), Refusal> {
    if let Some(next) = seen(carrier, stream, wire, place).await? {
        turned(next, (&carrier.judge, wire)).await;
    }
    Ok(())
}

/// Carries what a connection turned into.
async fn turned(next: Next, (judge, wire): (&Judge, &Wire)) {
    let bounds = &judge.bounds;
    match next {
        Next::Tunnel { inside, outside, passage } => {
            let Some(inside) = continued(inside).await else { return };
            // Its refusal is recorded, and whoever asked hears it in TLS.
            let _ = tunnelled(judge, inside, *outside, passage).await;
        }
        Next::WebSocket { inside, outside, line, mut passage, question, recording } => {
            let (Ok(inside), Ok(outside)) = (inside.await, outside.await) else {
                return passage.ends(End::Reset);
            };
            let (mut inside, mut outside) = (TokioIo::new(inside), TokioIo::new(outside));
            passage.ends(match question {
                Some(asked) => {
                    let (question, flow) = &*asked;
                    let conversation = Conversation { judge, flow, question, wire, recording };
                    conversation.carry(inside, outside).await
                }
                None => match (recording, judge.credentials.texts_kept_out()) {
                    (Some(recording), Ok(texts)) => {
                        let mut inside = Framed::new(inside, &recording, &texts);
                        let end = carry(&mut inside, &mut outside, &line.count, bounds).await;
                        if recording.failed().is_some() { End::Unrecorded } else { end }
                    }
                    (Some(_), Err(_)) => End::Unrecorded,
                    (None, _) => carry(&mut inside, &mut outside, &line.count, bounds).await,
                },
            });
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

/// Tells whoever cannot be served, as far as that needs no waiting.
pub(crate) fn turn_away(wire: &Wire, limit: usize) -> io::Result<()> {
    wire.write_now(&Refusal::busy(limit).bytes())?;
    wire.finish()
}
