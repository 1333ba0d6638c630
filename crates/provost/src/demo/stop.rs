//! A person who has seen enough: ^C and its like end the demo, and it still cleans up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::Failure;

/// How soon a signal is heeded.
const GLANCE: Duration = Duration::from_millis(50);

/// The last signal that told us to stop; 0 for none.
#[derive(Debug, Clone)]
pub(super) struct Stop(Arc<AtomicUsize>);

impl Stop {
    /// Listens for signals from now on.
    pub(super) fn listen() -> Result<Stop, Failure> {
        let heard = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_usize(signal, Arc::clone(&heard), signal as usize)
                .map_err(|error| Failure::of(&error).during("could not listen for signals"))?;
        }
        Ok(Stop(heard))
    }

    /// Fails if we were told to stop.
    pub(super) fn heed(&self) -> Result<(), Failure> {
        match self.0.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Failure::new("the demo was broken off")
                .status(128_u8.saturating_add(u8::try_from(signal).unwrap_or(0)))),
        }
    }

    /// Lets time pass for a reader.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.heed()?;
            sleep(left.min(GLANCE));
        }
        self.heed()
    }
}
