//! Bytes both ways, until one end is done.
//!
//! Owns the copying: bounded buffers, half-closed ends, nothing that lasts for ever. Does not own counting (`meter`) or what the
//! bytes mean.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::time::sleep;

use crate::bounds::Bounds;
use crate::meter::{Count, End};

/// Bytes on the way in one direction. TLS records have up to 16 KiB: four of them for one call of the kernel.
const BUFFER: usize = 64 * 1024;

/// Copies until both ends are done, one breaks off, nothing moves for `idle`, or `total` is over.
pub(crate) async fn carry<A, B>(inside: &mut A, outside: &mut B, count: &Count, bounds: &Bounds) -> End
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    tokio::select! {
        biased;
        done = copy_bidirectional_with_sizes(inside, outside, BUFFER, BUFFER) => match done {
            Ok(_) => End::Closed,
            Err(_) => End::Reset,
        },
        () = stillness(count, bounds.idle) => End::Idle,
        () = sleep(bounds.total) => End::Limit,
    }
}

/// Ends when nothing has moved for `idle`, at the latest after twice that.
async fn stillness(count: &Count, idle: Duration) {
    let mut seen = count.so_far();
    loop {
        sleep(idle).await;
        let now = count.so_far();
        if now == seen {
            return;
        }
        seen = now;
    }
}
