//! Bodies on their way.
//!
//! Owns that a body is passed on piece by piece as it comes, never gathered; that trailers, which nobody judged, are left out; and
//! that a body which stands still for too long ends.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::meter::{End, Passage};
use crate::scrub::{Scrub, Stand};

/// A body that comes from one side and goes to the other.
pub(crate) struct Through {
    body: Incoming,
    idle: Duration,
    still: Pin<Box<Sleep>>,
    /// The flow that is over when this body is.
    passage: Option<Passage>,
    scrub: Scrub,
    done: bool,
}

impl Through {
    pub(crate) fn new(body: Incoming, idle: Duration, passage: Option<Passage>) -> Through {
        let (still, scrub) = (Box::pin(sleep(idle)), Scrub::default());
        Through { body, idle, still, passage, scrub, done: false }
    }

    /// Takes these out on the way.
    pub(crate) fn scrubbed(mut self, stands: Vec<Stand>) -> Through {
        self.scrub = Scrub::new(stands);
        self
    }

    fn ends(&mut self, end: End) {
        self.done = true;
        if let Some(passage) = &mut self.passage {
            passage.ends(end);
        }
        // Now, and not when the connection lets go of the body: it is over.
        self.passage = None;
    }
}

impl Body for Through {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        while !self.done {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let next = Instant::now() + self.idle;
                    self.still.as_mut().reset(next);
                    let Ok(piece) = frame.into_data() else { continue };
                    let piece = self.scrub.piece(piece);
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ends(End::Reset);
                    return Poll::Ready(Some(Err(io::Error::other(error))));
                }
                Poll::Ready(None) => {
                    let rest = self.scrub.rest();
                    self.ends(End::Closed);
                    let last = (!rest.is_empty()).then(|| Ok(Frame::data(rest)));
                    return Poll::Ready(last);
                }
                Poll::Pending => {
                    ready!(self.still.as_mut().poll(context));
                    self.ends(End::Idle);
                    let late = io::Error::new(io::ErrorKind::TimedOut, "nothing came for too long");
                    return Poll::Ready(Some(Err(late)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.done || (self.scrub.is_idle() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.scrub.is_idle() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        // Whoever knows the length does not ask for more once it is there.
        if self.body.is_end_stream() {
            self.ends(End::Closed);
        }
    }
}

/// The body of an answer: our own, or one that comes from outside.
pub(crate) enum Answer {
    /// Ours.
    Own(Full<Bytes>),
    /// Theirs.
    Theirs(Box<Through>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Answer::Own(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
            Answer::Theirs(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Own(body) => body.is_end_stream(),
            Answer::Theirs(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Own(body) => body.size_hint(),
            Answer::Theirs(body) => body.size_hint(),
        }
    }
}
