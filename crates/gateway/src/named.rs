//! What a tunnel says of itself: the host that TLS names on its way out.
//!
//! Owns that a tunnel to a host does not begin TLS for another, and that one to an address does not begin it for a host whose
//! requests must be seen. Nothing is opened and nothing changed: what is read is passed on as it came, once it is whole. What is
//! no TLS passes as it is, and so does TLS that names nobody.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::hello;

/// Bytes that are read at once while the beginning is looked at.
const PIECE: usize = 16 * 1024;
/// Bytes of the longest beginning: one message of TLS, whatever it is cut into.
const LONGEST: usize = 128 * 1024;

/// Whether a host may be named.
pub(crate) type MayName<'a> = Box<dyn Fn(&str) -> bool + Send + 'a>;

/// The inside of a tunnel.
pub(crate) struct Named<'a, S> {
    stream: S,
    may: MayName<'a>,
    /// Reads the beginning; none once that is over.
    looking: Option<Acceptor>,
    held: BytesMut,
    patience: Duration,
    late: Pin<Box<Sleep>>,
    refused: Option<String>,
}

impl<'a, S> Named<'a, S> {
    /// What comes on this stream; its beginning must be whole in time.
    pub(crate) fn new(stream: S, patience: Duration, may: MayName<'a>) -> Named<'a, S> {
        let (looking, late) = (Some(Acceptor::default()), Box::pin(sleep(patience)));
        Named { stream, may, looking, held: BytesMut::new(), patience, late, refused: None }
    }

    /// Why it was ended, if it was.
    pub(crate) fn refused(&mut self) -> Option<String> {
        self.refused.take()
    }

    /// Looks at what is held; true once it may go on.
    fn look(&mut self, from: usize) -> Result<bool, String> {
        if self.held.first() != Some(&hello::FIRST) {
            return Ok(true);
        }
        let Some(acceptor) = &mut self.looking else { return Ok(true) };
        let mut fresh = self.held.get(from..).unwrap_or_default();
        while !fresh.is_empty() {
            acceptor.read_tls(&mut fresh).map_err(|error| format!("TLS cannot be read: {error}"))?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(begun)) => return self.judged(begun.client_hello().server_name()),
                Err((error, _)) => return Err(format!("TLS cannot be read: {error}")),
            }
        }
        match self.held.len() > LONGEST {
            true => Err("TLS does not begin".to_owned()),
            false => Ok(false),
        }
    }

    fn judged(&self, named: Option<&str>) -> Result<bool, String> {
        match named {
            Some(named) if !(self.may)(named) => {
                Err(format!("TLS names `{named}`, which is not what was asked for"))
            }
            Some(_) | None => Ok(true),
        }
    }
}

impl<S: AsyncRead + Unpin> Named<'_, S> {
    fn poll_beginning(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut piece = [0; PIECE];
        while self.looking.is_some() {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(context, &mut buf) {
                Poll::Ready(read) => read?,
                // Whoever says nothing at first may wait for the other side; whoever began must go on.
                Poll::Pending if self.held.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    ready!(self.late.as_mut().poll(context));
                    return Poll::Ready(Err(self.refuse("TLS did not begin in time".to_owned())));
                }
            }
            let from = self.held.len();
            if from == 0 {
                self.late.as_mut().reset(Instant::now() + self.patience);
            }
            self.held.extend_from_slice(buf.filled());
            if self.held.len() == from {
                // It ended before it began: there is nothing to be passed on.
                self.held.clear();
                self.looking = None;
                return Poll::Ready(Ok(()));
            }
            match self.look(from) {
                Ok(true) => self.looking = None,
                Ok(false) => {}
                Err(why) => return Poll::Ready(Err(self.refuse(why))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn refuse(&mut self, why: String) -> io::Error {
        self.held.clear();
        self.refused = Some(why.clone());
        io::Error::new(io::ErrorKind::PermissionDenied, why)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Named<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.looking.is_some() {
            ready!(this.poll_beginning(context))?;
        }
        if this.held.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buf);
        }
        let count = this.held.len().min(buf.remaining());
        buf.put_slice(this.held.get(..count).unwrap_or_default());
        this.held.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Named<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
