//! A bell between threads: something that a poll can wait for.
//!
//! Owns: ringing it, and ringing it when a thread ends that should not have. Does not own: what follows.

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;
use std::sync::Arc;
use std::task::Wake;

/// Readable once it was rung.
#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    pub(crate) fn ring(&self) {
        // The only refusal is a counter that is full, and then it rings already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Silences it until it is rung again.
    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Held by a thread that a run cannot do without: rings when it ends, however it ends, unless it said that all is well.
#[derive(Debug)]
pub(crate) struct Alarm(Option<Arc<Bell>>);

impl Alarm {
    pub(crate) fn on(bell: &Arc<Bell>) -> Self {
        Self(Some(Arc::clone(bell)))
    }

    /// The thread has done what it was for.
    pub(crate) fn all_is_well(mut self) {
        self.0 = None;
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(bell) = &self.0 {
            bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn rings(bell: &Bell) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(bell, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn an_alarm_rings_when_its_thread_dies_and_not_when_it_is_done() {
        let bell = Bell::new().unwrap();
        let alarm = Alarm::on(&bell);
        std::thread::spawn(move || alarm.all_is_well()).join().unwrap();
        assert!(!rings(&bell));
        let alarm = Alarm::on(&bell);
        let died = std::thread::spawn(move || {
            let _alarm = alarm;
            assert!(std::hint::black_box(false), "died on purpose");
        });
        assert!(died.join().is_err() && rings(&bell));
        bell.hush();
        assert!(!rings(&bell));
    }
}
