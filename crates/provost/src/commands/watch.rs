//! `provost watch`: a run as it goes on.
//!
//! Follows the ledger by looking every now and then whether it grew: a record that is not whole yet is none yet, and any number can
//! watch without the run knowing. Ends when the run does, or its governor is gone.
//!
//! Owns which run is watched and when the watching ends. Does not own what is worth a line (`render::watch`).

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ledger::event::Body;
use ledger::reader::ReadError;
use ledger::{Host, Reader, Run, Standing};

use super::which::{find_running, here};
use super::{DONE, find};
use crate::cli::OneRun;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::watch::Watch;
use crate::render::{Out, Tone, clean};

/// How often is looked whether there is more.
const APART: Duration = Duration::from_millis(100);
/// How often is looked whether the run is still held by anybody, or one has begun.
const SELDOM: Duration = Duration::from_secs(1);

pub(super) fn watch(order: &OneRun, out: Out) -> Result<u8, Failure> {
    let host = Folders::find()?.open()?;
    let run = match &order.run {
        Some(named) => find(&host, Some(named))?,
        None => await_one(&host, out)?,
    };
    let broken = |error: ReadError| {
        Failure::of(&error)
            .during(format!("could not read the ledger of run {}", run.run))
            .hint("`provost ledger verify` says what is broken")
    };
    let mut reader = Reader::open(&host.ledger_dir(&run.run)).map_err(broken)?;
    let mut watch = Watch::new(out);
    let mut looked = Instant::now();
    let mut over = run.standing != Standing::Running;
    loop {
        let mut ended = false;
        while let Some(event) = reader.read().map_err(broken)? {
            watch.see(&event);
            ended |= matches!(event.body, Body::RunEnded(_) | Body::RunInterrupted(_));
        }
        watch.pause();
        if ended || over {
            watch.end(ended);
            return Ok(DONE);
        }
        sleep(APART);
        if looked.elapsed() >= SELDOM {
            looked = Instant::now();
            // What was written before it was let go of is read once more.
            over = host.find(Some(run.run.as_str()))?.standing != Standing::Running;
        }
    }
}

/// The run at work in this folder, once there is one.
fn await_one(host: &Host, out: Out) -> Result<Run, Failure> {
    let folder = here();
    let mut said = false;
    loop {
        if let Some(run) = find_running(host, folder.as_deref())? {
            return Ok(run);
        }
        if !said && out.human() {
            let place = folder.as_deref().unwrap_or(Path::new("?")).to_string_lossy().into_owned();
            let text = format!(
                "no run is at work in {}; waiting for one to begin (Ctrl-C ends this)",
                clean(&place)
            );
            out.aside(out.paint_aside().on(Tone::Faint, text));
        }
        said = true;
        sleep(APART * 3);
    }
}
