//! The frames of a WebSocket that is recorded: read beside, passed on as they are.
//!
//! Owns finding the frames in the bytes of both ways. What cannot be found in them ends the connection: it would pass unrecorded. Does not
//! own the passing (`tunnel`), or what a frame means.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;

use crate::caps::Way;
use crate::record::{Recording, Track};
use crate::scrub::{Scrub, Texts};

/// Bytes of the longest head of a frame.
const HEAD: usize = 14;

/// The inner side of a WebSocket.
pub(crate) struct Framed<S> {
    stream: S,
    /// What is read from it goes up, what is written to it comes down.
    up: Frames,
    down: Frames,
}

impl<S> Framed<S> {
    /// Recorded there, but for these texts.
    pub(crate) fn new(stream: S, recording: &Recording, secrets: &[Arc<Texts>]) -> Framed<S> {
        let frames = |way| Frames::new(recording.track(way).endless(), secrets);
        Framed { stream, up: frames(Way::Up), down: frames(Way::Down) }
    }
}

/// A frame under way.
struct Frame {
    opcode: u8,
    fin: bool,
    rest: u64,
    mask: Option<[u8; 4]>,
    scrubs: Vec<Scrub>,
}

/// What a line will say: opcode, end of message, bytes to come; and the payload.
type Found = ((u8, bool, u64), Bytes);

/// The frames of one way.
struct Frames {
    track: Track,
    secrets: Vec<Arc<Texts>>,
    unread: BytesMut,
    frame: Option<Frame>,
    found: VecDeque<Found>,
}

impl Frames {
    fn new(track: Track, secrets: &[Arc<Texts>]) -> Frames {
        let (unread, found) = (BytesMut::new(), VecDeque::new());
        Frames { track, secrets: secrets.to_vec(), unread, frame: None, found }
    }

    /// Ready once all that was found is recorded.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.track.poll(context)).map_err(io::Error::other)?;
            match self.found.pop_front() {
                Some((said, payload)) => self.track.put_frame(said, payload),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The next bytes that passed.
    fn see(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unread.extend_from_slice(bytes);
        loop {
            match self.frame.take() {
                Some(frame) => {
                    if !self.payload(frame) {
                        return Ok(());
                    }
                }
                None => match self.begin()? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(()),
                },
            }
        }
    }

    fn begin(&mut self) -> io::Result<Option<Frame>> {
        let odd = |_| io::Error::new(io::ErrorKind::InvalidData, "it is no frame of a WebSocket");
        let mut head = io::Cursor::new(self.unread.get(..self.unread.len().min(HEAD)).unwrap_or_default());
        let Some((read, rest)) = FrameHeader::parse(&mut head).map_err(odd)? else { return Ok(None) };
        let length = usize::try_from(head.position()).unwrap_or_default();
        self.unread.advance(length);
        let scrubs = self.secrets.iter().map(|texts| Scrub::new(Arc::clone(texts))).collect();
        Ok(Some(Frame { opcode: read.opcode.into(), fin: read.is_final, rest, mask: read.mask, scrubs }))
    }

    /// What is there of a frame's payload; whether that is all of it.
    fn payload(&mut self, mut frame: Frame) -> bool {
        let there = usize::try_from(frame.rest).unwrap_or(usize::MAX).min(self.unread.len());
        let mut payload = self.unread.split_to(there);
        if let Some(mask) = &mut frame.mask {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, by)| *byte ^= by);
            mask.rotate_left(there % 4);
        }
        frame.rest -= there as u64;
        let mut payload = payload.freeze();
        let over = frame.rest == 0;
        for scrub in &mut frame.scrubs {
            payload = scrub.piece(payload);
            if over && scrub.holds() {
                payload = [payload, scrub.rest()].concat().into();
            }
        }
        if there > 0 || over {
            self.found.push_back(((frame.opcode, frame.fin, frame.rest), payload));
        }
        if !over {
            self.frame = Some(frame);
        }
        over
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.up.poll(context))?;
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buf))?;
        let seen = self.up.see(buf.filled().get(before..).unwrap_or_default());
        if seen.is_err() {
            buf.set_filled(before);
        }
        Poll::Ready(seen)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.down.poll(context))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.down.see(bytes.get(..written).unwrap_or_default())?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.down.poll(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.down.poll(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
