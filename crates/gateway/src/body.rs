//! Bodies on their way.
//!
//! Owns that a body is passed on piece by piece as it comes, never gathered; that trailers of a request, which nobody judged, are
//! left out; that a body which stands still for too long ends; and that what must not be in it is taken out, or ends it. Does not
//! own which texts those are (`credential`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::meter::{End, Passage};
use crate::models::Tap;
use crate::record::Track;
use crate::scrub::{Scrub, Texts};
use crate::sent::Sent;
use crate::upstream::Line;

/// Told what stands for a text that was seen.
pub(crate) type Alarm = Box<dyn FnOnce(&[u8]) + Send>;
/// Makes trailers fit to be passed on.
pub(crate) type Tidy = Box<dyn FnOnce(&mut HeaderMap) + Send>;

/// A body that comes from one side and goes to the other.
pub(crate) struct Through {
    body: Source,
    idle: Duration,
    still: Pin<Box<Sleep>>,
    /// The flow that is over when this body is.
    passage: Option<Passage>,
    /// The connection it comes on, which may be used again once all of it came.
    line: Option<Line>,
    /// Passes on what follows it.
    tidy: Option<Tidy>,
    trailers: Option<HeaderMap>,
    scrub: Scrub,
    /// Told when one of the texts is seen, which then ends the body.
    alarm: Option<Alarm>,
    /// Reads it on the way, and may end it.
    tap: Option<Tap>,
    /// Counts and hashes what goes on.
    sent: Option<Arc<Sent>>,
    /// Records what goes on, before it does.
    track: Option<Track>,
    /// All of it came.
    came: bool,
    done: bool,
}

impl Through {
    pub(crate) fn new(body: impl Into<Source>, idle: Duration, passage: Option<Passage>) -> Through {
        let (still, scrub) = (Box::pin(sleep(idle)), Scrub::default());
        let (line, tidy, trailers, alarm, tap) = (None, None, None, None, None);
        let (sent, track) = (None, None);
        let (body, came, done) = (body.into(), false, false);
        Through {
            body,
            idle,
            still,
            passage,
            line,
            tidy,
            trailers,
            scrub,
            alarm,
            tap,
            sent,
            track,
            came,
            done,
        }
    }

    /// It is read on the way.
    pub(crate) fn tapped(mut self, tap: Option<Tap>) -> Through {
        self.tap = tap;
        self
    }

    /// It is summed up there.
    pub(crate) fn summed(mut self, sent: &Arc<Sent>) -> Through {
        self.sent = Some(Arc::clone(sent));
        self
    }

    /// It is recorded there, if anywhere.
    pub(crate) fn recorded(mut self, track: Option<Track>) -> Through {
        self.track = track;
        self
    }

    /// It comes on this connection.
    pub(crate) fn on(mut self, line: Line) -> Through {
        self.line = Some(line);
        self
    }

    /// What follows it is passed on, once it is tidied.
    pub(crate) fn followed(mut self, tidy: Tidy) -> Through {
        self.tidy = Some(tidy);
        self
    }

    /// Takes these out on the way.
    pub(crate) fn scrubbed(mut self, texts: Arc<Texts>) -> Through {
        self.scrub = Scrub::new(texts);
        self
    }

    /// Ends it where one of these is seen.
    pub(crate) fn watched(mut self, texts: Arc<Texts>, alarm: Alarm) -> Through {
        self.scrub = Scrub::new(texts);
        self.alarm = Some(alarm);
        self
    }

    /// Raises the alarm, if there is cause.
    fn sees(&mut self) -> Option<io::Error> {
        let seen = self.scrub.seen()?;
        let alarm = self.alarm.take()?;
        alarm(seen);
        self.ends(End::Cut);
        Some(io::Error::new(io::ErrorKind::PermissionDenied, "it holds what must not leave"))
    }

    fn ends(&mut self, end: End) {
        self.done = true;
        self.tap = None;
        if let (Some(sent), End::Closed) = (&self.sent, end) {
            sent.whole();
        }
        if let Some(mut track) = self.track.take() {
            track.end(end != End::Closed);
        }
        if let Some(passage) = &mut self.passage {
            passage.ends(end);
        }
        // Now, and not when the connection lets go of the body: it is over.
        self.passage = None;
        match self.line.take() {
            Some(line) if end == End::Closed => line.over(),
            _ => {}
        }
    }

    /// A piece as it goes on: at once, or once it is recorded.
    fn on_its_way(&mut self, piece: Bytes) -> Option<Bytes> {
        match &mut self.track {
            Some(track) => track.put(piece).map(|piece| self.goes(piece)),
            None => Some(self.goes(piece)),
        }
    }

    fn goes(&self, piece: Bytes) -> Bytes {
        if let Some(sent) = &self.sent {
            sent.more(&piece);
        }
        piece
    }

    /// The piece that was recorded and goes on now, if one waited for that.
    fn poll_recorded(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let Some(track) = &mut self.track else { return Poll::Ready(Ok(None)) };
        let recorded = ready!(track.poll(context));
        Poll::Ready(match recorded {
            Ok(piece) => Ok(piece.map(|piece| self.goes(piece))),
            Err(failed) => {
                self.ends(End::Unrecorded);
                Err(io::Error::other(failed))
            }
        })
    }

    /// What is held back once all of the body came.
    fn held(&mut self) -> Option<Bytes> {
        let rest = self.scrub.rest();
        if rest.is_empty() {
            return None;
        }
        self.tap.as_mut().map(|tap| tap.piece(&rest));
        Some(rest)
    }

    /// What is left to say after that.
    fn last(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        self.ends(End::Closed);
        self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
    }

    /// Keeps what follows the body for its end.
    fn follows(&mut self, frame: Frame<Bytes>) {
        if let (Some(tidy), Ok(mut trailers)) = (self.tidy.take(), frame.into_trailers()) {
            tidy(&mut trailers);
            self.trailers = Some(trailers);
        }
    }
}

/// Where a body comes from.
pub(crate) enum Source {
    /// The other side.
    Coming(Incoming),
    /// It was read before.
    Read(Full<Bytes>),
}

impl From<Incoming> for Source {
    fn from(body: Incoming) -> Source {
        Source::Coming(body)
    }
}

impl From<Bytes> for Source {
    fn from(body: Bytes) -> Source {
        Source::Read(body.into())
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Source::Coming(body) => Pin::new(body).poll_frame(context),
            Source::Read(body) => Pin::new(body).poll_frame(context).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Source::Coming(body) => body.is_end_stream(),
            Source::Read(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Source::Coming(body) => body.size_hint(),
            Source::Read(body) => body.size_hint(),
        }
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
            if let Some(piece) = ready!(self.poll_recorded(context))? {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.came {
                let held = self.held();
                if let Some(error) = self.sees() {
                    return Poll::Ready(Some(Err(error)));
                }
                let Some(held) = held else { return Poll::Ready(self.last()) };
                match self.on_its_way(held) {
                    Some(piece) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                    None => continue,
                }
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    let next = Instant::now() + self.idle;
                    self.still.as_mut().reset(next);
                    let piece = match frame.into_data() {
                        Ok(piece) => piece,
                        Err(trailers) => {
                            self.follows(trailers);
                            continue;
                        }
                    };
                    let piece = self.scrub.piece(piece);
                    if let Some(error) = self.sees() {
                        return Poll::Ready(Some(Err(error)));
                    }
                    if piece.is_empty() {
                        continue;
                    }
                    if let Some(words) = self.tap.as_mut().and_then(|tap| tap.piece(&piece)) {
                        if let Some(track) = &self.track {
                            track.last_words(&words);
                        }
                        self.ends(End::Limit);
                        return Poll::Ready(Some(Ok(Frame::data(words))));
                    }
                    if let Some(piece) = self.on_its_way(piece) {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.ends(End::Reset);
                    return Poll::Ready(Some(Err(io::Error::other(error))));
                }
                Poll::Ready(None) => self.came = true,
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
        let waits = self.scrub.holds() || self.track.as_ref().is_some_and(Track::waits);
        self.done || (self.trailers.is_none() && !waits && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        // Only where nothing is put in another's place is the length known before.
        let as_it_is = self.scrub.is_idle() || self.alarm.is_some();
        if as_it_is && !self.scrub.holds() { self.body.size_hint() } else { SizeHint::default() }
    }
}

impl Drop for Through {
    fn drop(&mut self) {
        // Whoever knows the length does not ask for more once it is there.
        if self.body.is_end_stream() && !self.track.as_ref().is_some_and(Track::waits) {
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
