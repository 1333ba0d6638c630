//! The one door for the inside: requests to the reserved host.
//!
//! Owns that what comes in is bounded and that whoever answers does not hold up the traffic. Does not own any answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::bounds::Bounds;
use crate::refusal::Refusal;

/// Who answers at the door. Everything that comes in is the inside's own word, nothing of it is proof.
pub trait Inside: Send + Sync {
    /// Answers a request: its path without query, and its body. It may take its time; a few wait beside each other.
    fn answer(&self, path: &str, body: &[u8]) -> Answering;
}

/// An answer, or the way to one.
pub enum Answering {
    /// It is here.
    Now(InsideAnswer),
    /// Somebody has to be waited for. Dropped when whoever asked goes away.
    Later(Pin<Box<dyn Future<Output = InsideAnswer> + Send>>),
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answering::Now(answer) => f.debug_tuple("Now").field(answer).finish(),
            Answering::Later(_) => f.write_str("Later"),
        }
    }
}

impl From<InsideAnswer> for Answering {
    fn from(answer: InsideAnswer) -> Answering {
        Answering::Now(answer)
    }
}

/// An answer for the inside.
#[derive(Debug, Clone, PartialEq)]
pub struct InsideAnswer {
    /// The HTTP status; what is none becomes 500.
    pub status: u16,
    /// The body.
    pub json: serde_json::Value,
}

/// The door.
pub(crate) struct InsideDoor {
    inside: Arc<dyn Inside>,
    seats: Semaphore,
    /// Places for those who wait for somebody, and for those who are on their way there.
    room: Semaphore,
}

impl InsideDoor {
    pub(crate) fn new(inside: Arc<dyn Inside>, bounds: &Bounds) -> InsideDoor {
        let (seats, room) = (Semaphore::new(bounds.inside_at_once), Semaphore::new(bounds.inside_waiting));
        InsideDoor { inside, seats, room }
    }

    /// Answers one request.
    pub(crate) async fn answer(
        &self,
        path: String,
        body: Incoming,
        bounds: &Bounds,
    ) -> Response<Full<Bytes>> {
        let whole = timeout(bounds.head, Limited::new(body, bounds.inside_bytes).collect()).await;
        let Ok(Ok(body)) = whole.map(|body| body.map(http_body_util::Collected::to_bytes)) else {
            let why = format!("the body is late, broken, or longer than {} bytes", bounds.inside_bytes);
            return Refusal::not_taken(StatusCode::PAYLOAD_TOO_LARGE, &why).response();
        };
        let Ok(_place) = self.room.try_acquire() else {
            let why = format!("{} requests wait for an answer already", bounds.inside_waiting);
            return Refusal::not_taken(StatusCode::SERVICE_UNAVAILABLE, &why).response();
        };
        let Ok(seat) = self.seats.acquire().await else { return unanswered() };
        let inside = Arc::clone(&self.inside);
        let answering = tokio::task::spawn_blocking(move || inside.answer(&path, &body)).await;
        // Whoever waits for a person sits in nobody's way.
        drop(seat);
        match answering {
            Ok(Answering::Now(answer)) => response(&answer),
            Ok(Answering::Later(answer)) => response(&answer.await),
            Err(_) => unanswered(),
        }
    }
}

fn response(answer: &InsideAnswer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{}\n", answer.json))));
    *response.status_mut() = final_status(answer.status);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn final_status(status: u16) -> StatusCode {
    let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn unanswered() -> Response<Full<Bytes>> {
    Refusal::not_taken(StatusCode::INTERNAL_SERVER_ERROR, "nobody answered").response()
}
