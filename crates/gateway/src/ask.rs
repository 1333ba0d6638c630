//! Asking at the door, from inside.
//!
//! Owns the one request that `provost request` makes. Does not own what is asked, or the answer.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::inside::InsideAnswer;
use crate::target::INSIDE_HOST;

/// How long it may take until the door takes what is asked. The answer may take as long as the door keeps the line open: a person
/// may have to think.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the longest answer.
const LONGEST: usize = 1 << 20;

/// The door did not answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The way to the door is no address of a proxy.
    #[error("`{0}` is not the way to a door")]
    NoDoor(String),
    /// It could not be reached.
    #[error("could not be reached")]
    Unreachable(#[source] io::Error),
    /// What it said is no answer.
    #[error("did not answer as a door does")]
    Garbled(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It said nothing.
    #[error("did not answer in time")]
    Silent,
}

/// Puts a body to a path of the door. `door` is the gateway's address inside, `http://HOST:PORT`. Waits for the answer.
///
/// # Errors
/// There is none.
pub fn ask_inside(door: &str, path: &str, body: &[u8]) -> Result<InsideAnswer, AskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(AskError::Unreachable)?;
    runtime.block_on(ask(door, path, Bytes::copy_from_slice(body)))
}

async fn ask(door: &str, path: &str, body: Bytes) -> Result<InsideAnswer, AskError> {
    let uri: Uri = door.parse().map_err(|_| AskError::NoDoor(door.to_owned()))?;
    let authority = uri.authority().ok_or_else(|| AskError::NoDoor(door.to_owned()))?;
    let stream = timeout(PATIENCE, TcpStream::connect(authority.as_str())).await;
    let stream = stream.map_err(|_| AskError::Silent)?.map_err(AskError::Unreachable)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(garbled)?;
    let carried = tokio::spawn(connection);
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{INSIDE_HOST}{path}"))
        .header(header::HOST, INSIDE_HOST)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(garbled)?;
    let response = sender.send_request(request).await.map_err(garbled)?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(AskError::Garbled)?;
    carried.abort();
    let json = serde_json::from_slice(&body.to_bytes()).map_err(garbled)?;
    Ok(InsideAnswer { status, json })
}

fn garbled(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AskError {
    AskError::Garbled(error.into())
}
