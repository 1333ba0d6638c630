//! A connection from the inside, and whether its other end is still there.
//!
//! Owns the bytes' way in and out of an accepted socket. Whoever waits for a person's answer must notice that the asker has gone,
//! even where the asker sent something first: that is seen here, beside the reading, without taking a byte.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// An accepted connection. Clones are the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire(Arc<TcpStream>);

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Wire {
        // Without it small events wait for each other. A socket that does not know the option is a slow one, no wrong one.
        let _ = stream.set_nodelay(true);
        Wire(Arc::new(stream))
    }

    /// The socket, as another descriptor.
    fn again(&self) -> io::Result<std::net::TcpStream> {
        Ok(std::net::TcpStream::from(self.0.as_fd().try_clone_to_owned()?))
    }

    /// Ends when the other end has closed, or at least will say nothing more.
    pub(crate) async fn gone(&self) {
        // A registration of its own: what is learned here about readiness must not be taken from who reads.
        let Ok(watch) = self.again().and_then(TcpStream::from_std) else {
            return std::future::pending().await;
        };
        loop {
            match watch.ready(Interest::READABLE).await {
                Ok(ready) if !ready.is_read_closed() => {
                    // Bytes, which are somebody else's: sleep until something new happens.
                    let _ = watch.try_io(Interest::READABLE, || Err::<(), _>(ErrorKind::WouldBlock.into()));
                }
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// The first bytes, left where they are; empty at the end.
    pub(crate) async fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        self.0.peek(into).await
    }

    /// Writes as much as fits at once, without waiting.
    pub(crate) fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    /// Has the connection broken off, and not ended, once nobody holds it any more.
    pub(crate) fn break_off(&self) {
        // Where that cannot be set, it ends: the other end hears of it either way.
        let _ = self.0.set_zero_linger();
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&self) -> io::Result<()> {
        match self.again()?.shutdown(Shutdown::Write) {
            // The other end was faster.
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

/// A stream of which something was read already.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    first: Bytes,
    rest: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(first: Bytes, rest: S) -> Prefixed<S> {
        Prefixed { first, rest }
    }

    /// What was read already and not taken yet, and the stream.
    pub(crate) fn into_parts(self) -> (Bytes, S) {
        (self.first, self.rest)
    }
}

impl Prefixed<Wire> {
    /// The first byte that comes, left where it is; none at the end.
    pub(crate) async fn first(&self, wire: &Wire) -> io::Result<Option<u8>> {
        if let Some(first) = self.first.first() {
            return Ok(Some(*first));
        }
        let mut first = [0];
        Ok((wire.peek(&mut first).await? > 0).then_some(first[0]))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.rest).poll_read(context, buf);
        }
        let count = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.rest).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.rest).poll_shutdown(context)
    }
}
