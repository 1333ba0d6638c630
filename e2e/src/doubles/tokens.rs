//! A token endpoint: it gives new tokens for one refresh token, once, as the providers of agents do.
//!
//! Owns: one exchange, and the log of what was asked. Does not own: TLS (`front`), what the tokens look like.

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;

/// The most that a question may hold, in bytes.
const LARGEST: usize = 1 << 20;

/// A token endpoint on loopback, until the process ends.
#[derive(Debug)]
pub struct TokenServer {
    /// The port.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The refresh token that is good, until it was used.
    good: Mutex<Option<String>>,
    gives: Value,
    asked: Mutex<Vec<(String, Value)>>,
}

impl TokenServer {
    /// Gives this for that refresh token, once; without one nobody gets anything.
    ///
    /// # Errors
    /// When the system gives no socket or thread.
    pub fn start(good: Option<&str>, gives: Value) -> io::Result<TokenServer> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        let good = Mutex::new(good.map(str::to_owned));
        let shared = Arc::new(Shared { good, gives, asked: Mutex::default() });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("tokens".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving)))?;
        Ok(TokenServer { port, shared })
    }

    /// What was asked so far: the path, and the question.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, Value)> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, Arc::clone(&shared)));
            // Whoever goes away in the middle is no failure of the server's.
            drop(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await,
            );
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map(http_body_util::Collected::to_bytes);
    let question: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let mut good = shared.good.lock().unwrap_or_else(PoisonError::into_inner);
    let is_good = question["grant_type"] == "refresh_token"
        && good.as_deref().is_some_and(|good| question["refresh_token"] == good);
    let (status, said) = match is_good {
        true => (200, shared.gives.clone()),
        // As careless as a provider may be: what it was asked with is in its answer.
        false => (400, json!({ "error": "invalid_grant", "error_description": question["refresh_token"] })),
    };
    if is_good {
        *good = None;
    }
    drop(good);
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push((head.uri.path().to_owned(), question));
    let mut response = Response::new(Full::new(bytes::Bytes::from(said.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}
