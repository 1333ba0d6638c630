//! `provost ledger`: verify and look at the evidence.

use std::collections::VecDeque;

use ledger::verify::Broken;

use super::{DONE, each, find};
use crate::cli::{Ledger, Tail, Verify};
use crate::failure::{Failure, NO};
use crate::folders::Folders;
use crate::layers::hex;
use crate::render::{Out, Tone, clean, count};

pub(super) fn ledger(order: &Ledger, out: Out) -> Result<u8, Failure> {
    match order {
        Ledger::Verify(order) => verify(order, out),
        Ledger::Tail(order) => tail(order, out),
    }
}

/// Reads only: an interrupted run is not marked by a look at it.
fn verify(order: &Verify, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let host = folders.open()?;
    let checked = if order.all {
        host.verify_all()
    } else {
        let run = find(&host, order.run.as_deref())?.run;
        host.verify(&run).map(|verified| vec![(run, verified)])
    };
    match checked {
        Ok(whole) => {
            for (run, verified) in &whole {
                if out.human() {
                    let events = count(verified.size, "event");
                    out.line(format!(
                        "{} run {run}, {events}, root {}",
                        out.paint().on(Tone::Good, "whole"),
                        hex(&verified.root)
                    ));
                } else {
                    out.json(&serde_json::json!({
                        "verdict": "whole", "run": run.as_str(), "events": verified.size, "root": hex(&verified.root),
                    }));
                }
            }
            if whole.is_empty() && out.human() {
                out.line("whole: there is no run yet");
            }
            Ok(DONE)
        }
        Err(broken) => {
            broken.iter().for_each(|one| tell_broken(one, out));
            Ok(NO)
        }
    }
}

fn tell_broken(broken: &Broken, out: Out) {
    if out.human() {
        out.line(format!("{} {}", out.paint().on(Tone::Bad, "broken"), clean(&broken.to_string())));
    } else {
        out.json(&serde_json::json!({ "verdict": "broken", "message": broken.to_string() }));
    }
}

fn tail(order: &Tail, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let host = folders.open()?;
    let run = find(&host, order.run.as_deref())?;
    let mut last = VecDeque::new();
    each(&host, &run.run, |event| {
        if last.len() == order.count {
            last.pop_front();
        }
        last.push_back(event.clone());
    })?;
    last.iter().for_each(|event| out.json(event));
    Ok(DONE)
}
