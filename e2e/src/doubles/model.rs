//! A model server that follows a script: OpenAI Responses and Anthropic Messages over plain HTTP, with event streams, and
//! Responses over a WebSocket where it is made to speak it.
//!
//! Over HTTP it holds no conversation. Which turn of the script comes next is read from the request: as many calls of tools as it
//! brings results for are behind it. So agents can share a server, and a repeated request gets the same answer.
//!
//! Owns: the two protocols as the agents speak them, the log of what was asked. Does not own: HTTP (hyper), TLS (none),
//! what an agent does with a call.

mod exchange;
mod messages;
mod responses;
mod script;
mod socket;
mod tools;

pub use exchange::Exchange;
pub use script::{Call, Script, ScriptError, Turn};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// The most that a request may hold, in bytes.
const LARGEST: u64 = 64 << 20;

/// A model server on loopback; it stops when dropped.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    exchanges: Mutex<Vec<Exchange>>,
    heard: fn(&Exchange),
}

impl Shared {
    fn heard(&self, exchange: Exchange) {
        (self.heard)(&exchange);
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }
}

impl ModelServer {
    /// Starts on a free port.
    ///
    /// # Errors
    /// When the system gives no socket or thread.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::start_on(0, script, |_| ())
    }

    /// Starts on a port; `heard` is called with every exchange.
    ///
    /// # Errors
    /// When the port is taken, or the system gives no socket or thread.
    pub fn start_on(port: u16, script: Script, heard: fn(&Exchange)) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port)))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { script, exchanges: Mutex::default(), heard });
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("model".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving, stopped)))?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address without a path: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far, in order.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the agent told the model of its tools, in order: the results in the longest conversation so far.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.exchanges().iter().map(Exchange::results).max_by_key(Vec::len).unwrap_or_default()
    }

    /// Waits until somebody stops it from outside.
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // An agent that goes away in the middle is no failure of the server's.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .with_upgrades()
                    .await,
            );
        });
    }
}

async fn answer(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    if shared.script.talks && socket::is_asked_for(&head) {
        let known = shared.script.knows(Exchange::of(&head, &Bytes::new()).key());
        return Ok(if known { socket::begin(head, upgrade, shared) } else { unknown() });
    }
    let body = match http_body_util::Limited::new(body, usize::try_from(LARGEST).unwrap_or(usize::MAX))
        .collect()
        .await
    {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(failed(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large or broke off")),
    };
    let exchange = Exchange::of(&head, &body);
    let reply = reply(&exchange, &shared.script);
    shared.heard(exchange);
    Ok(reply)
}

fn reply(exchange: &Exchange, script: &Script) -> Response<Full<Bytes>> {
    if let Some(encoding) = exchange.encoding() {
        return failed(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("bodies are not read in `{encoding}`"));
    }
    let post = exchange.method == Method::POST;
    if post && !script.knows(exchange.key()) {
        return unknown();
    }
    match exchange.path() {
        _ if exchange.method == Method::HEAD => plain(StatusCode::OK, &Value::Null),
        "/v1/models" => plain(StatusCode::OK, &json!({"object": "list", "data": [], "models": []})),
        "/v1/responses" if post => spoken(responses::speak(&exchange.body, script), exchange),
        "/v1/messages" if post => spoken(messages::speak(&exchange.body, script), exchange),
        "/v1/messages/count_tokens" if post => plain(StatusCode::OK, &json!({"input_tokens": 100})),
        path => failed(StatusCode::NOT_FOUND, &format!("nothing is at {} {path}", exchange.method)),
    }
}

/// What a protocol makes of a turn.
struct Spoken {
    /// As a stream of events, each with its `type`.
    events: Vec<Value>,
    /// As one object.
    whole: Value,
}

fn spoken(turn: Result<Spoken, String>, exchange: &Exchange) -> Response<Full<Bytes>> {
    let turn = match turn {
        Ok(turn) => turn,
        Err(because) => return failed(StatusCode::BAD_REQUEST, &because),
    };
    if exchange.body["stream"] != Value::Bool(true) {
        return plain(StatusCode::OK, &turn.whole);
    }
    let mut text = String::new();
    for event in &turn.events {
        let kind = event["type"].as_str().unwrap_or_default();
        text.push_str(&format!("event: {kind}\ndata: {event}\n\n"));
    }
    sent(StatusCode::OK, "text/event-stream", text)
}

fn unknown() -> Response<Full<Bytes>> {
    failed(StatusCode::UNAUTHORIZED, "this key is not known here")
}

fn plain(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    sent(status, "application/json", if body.is_null() { String::new() } else { body.to_string() })
}

fn failed(status: StatusCode, because: &str) -> Response<Full<Bytes>> {
    plain(status, &json!({"type": "error", "error": {"type": "invalid_request_error", "message": because}}))
}

fn sent(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}
