//! The first line of a summary: which run, how it ended, after how long.
//!
//! Owns the words for an end. Does not own what follows it.

use super::Summary;
use crate::render::{Paint, Tone, clean, time};

pub(super) fn headline(summary: &Summary, paint: Paint) -> String {
    let end = match (summary.state, summary.exit_code, summary.exit_signal) {
        ("running", ..) => paint.on(Tone::Notice, "is at work"),
        ("interrupted", ..) => paint.on(Tone::Bad, "was interrupted"),
        _ if summary.stopped.is_some() => {
            paint.on(Tone::Bad, format!("was stopped {}", stopper(summary.stopped)))
        }
        _ if summary.ended_by.is_some() => {
            paint.on(Tone::Bad, format!("was ended: {}", used_up(summary.ended_by.as_deref())))
        }
        (_, Some(0), _) => paint.on(Tone::Good, "ended well"),
        (_, Some(code), _) => paint.on(Tone::Notice, format!("ended with status {code}")),
        (_, _, Some(signal)) => paint.on(Tone::Bad, format!("was ended by signal {signal}")),
        _ => paint.on(Tone::Bad, "never started"),
    };
    let head = paint.on(Tone::Strong, format!("provost: run {}", summary.run));
    format!("{head} ({}) {end} after {}", clean(&summary.agent), time(summary.wall_ms))
}

/// Who ended a run by a signal.
fn stopper(signal: Option<u8>) -> &'static str {
    match signal {
        Some(1) => "because its terminal went away",
        _ => "by you",
    }
}

/// What a limit that ended a run was about.
fn used_up(limit: Option<&str>) -> &'static str {
    match limit {
        Some("time") => "its time was up",
        Some("cpu") => "its processor time was used up",
        Some("memory") => "it held more memory than it may",
        Some("processes") => "it had more processes than it may",
        Some("disk") => "it wrote more to the disk than it may",
        _ => "a limit was reached",
    }
}
