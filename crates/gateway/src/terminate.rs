//! A connection to a place where every request must be seen: TLS is opened, and what comes is served request by request.
//!
//! Owns telling TLS from requests in the clear, and HTTP/2. There is no way from here to a tunnel: what is neither TLS for that
//! very host nor HTTP is closed. Does not own which places those are (`judge`) or the opening itself (`hello`).

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ledger::event::Ingress;
use policy::{Endpoint, Scheme};
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use crate::bounds::Bounds;
use crate::ca::H2;
use crate::carriage::Asker;
use crate::connection::{Carrier, Stream};
use crate::exchange::{Exchange, Next, requests};
use crate::flow::Flow;
use crate::hello::{self, NotOpened};
use crate::refusal::Refusal;
use crate::target::Door;
use crate::wire::Wire;

/// Requests of one connection of HTTP/2 at once.
const AT_ONCE: u32 = 64;

/// Where a connection leads, how it came, and who began it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) to: Endpoint,
    pub(crate) ingress: Ingress,
    pub(crate) asker: Option<Asker>,
}

/// Serves what comes on a connection to a place that must be seen; gives what it turns into at its end.
pub(crate) async fn seen(
    carrier: &Arc<Carrier>,
    stream: Stream,
    wire: &Wire,
    place: Place,
) -> Result<Option<Next>, Refusal> {
    let judge = &carrier.judge;
    let first = match timeout(judge.bounds.head, stream.first(wire)).await {
        Ok(Ok(Some(first))) => first,
        // Nobody said anything.
        Ok(_) | Err(_) => return Ok(None),
    };
    if first != hello::FIRST {
        let door = Door::Fixed(place.to, place.ingress, Scheme::Http);
        return Ok(requests(carrier, stream, wire, (door, place.asker)).await);
    }
    match hello::open(&carrier.authority, stream, &place.to, &judge.bounds).await {
        Ok(opened) => Ok(opened_requests(carrier, opened, wire, place).await),
        Err(NotOpened::Gone) => Ok(None),
        Err(why) => {
            let flow = Flow { asker: place.asker, ..Flow::opaque(place.to, place.ingress) };
            Err(judge.built_in(&flow, "tls", why.to_string()))
        }
    }
}

async fn opened_requests(
    carrier: &Arc<Carrier>,
    stream: TlsStream<Stream>,
    wire: &Wire,
    place: Place,
) -> Option<Next> {
    let two = stream.get_ref().1.alpn_protocol() == Some(H2);
    let door = Door::Fixed(place.to, place.ingress, Scheme::Https);
    if !two {
        return requests(carrier, stream, wire, (door, place.asker)).await;
    }
    let exchange = Arc::new(Exchange::new(carrier, wire, door, place.asker));
    serve_two(exchange, stream, &carrier.judge.bounds).await;
    None
}

/// Answers requests of HTTP/2 until the connection ends.
async fn serve_two(exchange: Arc<Exchange>, stream: TlsStream<Stream>, bounds: &Bounds) {
    let asked = Arc::new(Asked::default());
    let service = service_fn(|request| {
        let (exchange, asked) = (Arc::clone(&exchange), Arc::clone(&asked));
        async move {
            let _open = asked.one_more();
            Ok::<_, Infallible>(exchange.answer(request).await)
        }
    });
    let head_bytes = u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX);
    let mut served = pin!(
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(AT_ONCE)
            .max_header_list_size(head_bytes)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        // However it ends, whoever asked sees it.
        _ = served.as_mut() => return,
        () = asked.none_for(bounds.head) => served.as_mut().graceful_shutdown(),
        () = sleep(bounds.total) => return,
    }
    // What is still on its way may end.
    let _ = timeout(bounds.total, served).await;
}

/// How many requests are being answered, and how many were asked.
#[derive(Default)]
struct Asked {
    open: AtomicUsize,
    ever: AtomicUsize,
}

impl Asked {
    fn one_more(self: &Arc<Asked>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.ever.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Ends when nothing was asked for so long, and nothing is open.
    async fn none_for(&self, long: Duration) {
        loop {
            let before = self.ever.load(Ordering::Relaxed);
            sleep(long).await;
            if self.open.load(Ordering::Relaxed) == 0 && self.ever.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

struct Open(Arc<Asked>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
