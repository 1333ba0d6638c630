//! The clock of approvals: time since the machine started, asleep or not. Nobody sets it, so that no ask and no grant lasts
//! longer than it says because somebody turned back the hands of another.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since the machine started.
pub(crate) fn now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1000).saturating_add(u64::try_from(now.tv_nsec / 1_000_000).unwrap_or_default())
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
