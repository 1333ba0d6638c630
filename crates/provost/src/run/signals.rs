//! What tells a run to stop: a signal to this process, or a part of it that died.
//!
//! Owns hearing it and which it was. Does not own what follows: `Running::wait` ends the agent when the descriptor is
//! readable.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::event::epoll;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};
use signal_hook::{SigId, flag};

use crate::failure::Failure;

/// The signals that end a run.
const ENDS: [i32; 4] = [SIGTERM, SIGINT, SIGHUP, SIGQUIT];

/// Listens while it lives.
#[derive(Debug)]
pub(super) struct Signals {
    /// Readable once anything that is watched is.
    any: OwnedFd,
    told: UnixStream,
    others: Vec<OwnedFd>,
    heard: Arc<AtomicUsize>,
    registered: Vec<SigId>,
}

impl Signals {
    pub(super) fn listen() -> Result<Signals, Failure> {
        let failed = |error: std::io::Error| Failure::of(&error).during("could not listen for signals");
        let (told, tell) = UnixStream::pair().map_err(failed)?;
        let any = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let mut signals =
            Signals { any, told, others: Vec::new(), heard: Arc::default(), registered: Vec::new() };
        signals.watch(signals.told.as_fd())?;
        for signal in ENDS {
            let number = usize::try_from(signal).unwrap_or_default();
            // ORDER: which signal it was is noted before the wait is woken by it.
            let noted = flag::register_usize(signal, Arc::clone(&signals.heard), number).map_err(failed)?;
            signals.registered.push(noted);
            let end = tell.try_clone().map_err(failed)?;
            signals.registered.push(pipe::register(signal, end).map_err(failed)?);
        }
        Ok(signals)
    }

    /// Readable once the run is to stop.
    pub(super) fn stop(&self) -> BorrowedFd<'_> {
        self.any.as_fd()
    }

    /// Stops the run also when this becomes readable.
    pub(super) fn also(&mut self, other: OwnedFd) -> Result<(), Failure> {
        self.watch(other.as_fd())?;
        self.others.push(other);
        Ok(())
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> Result<(), Failure> {
        let data = epoll::EventData::new_u64(0);
        epoll::add(&self.any, fd, data, epoll::EventFlags::IN)
            .map_err(|error| Failure::of(&error).during("could not watch for what ends the run"))
    }

    /// The last signal that was heard.
    pub(super) fn heard(&self) -> Option<u8> {
        u8::try_from(self.heard.load(Ordering::Relaxed)).ok().filter(|signal| *signal > 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.registered.drain(..).for_each(|id| {
            unregister(id);
        });
    }
}
