//! `provost stop`: end a run, or all.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ledger::{Host, Run, Standing};
use rustix::process::{Pid, Signal, kill_process};

use super::{DONE, find, open};
use crate::cli::Stop;
use crate::failure::Failure;
use crate::folders::{Folders, Governor};
use crate::render::Out;

/// How long a run may take to end its agent and seal its ledger.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) fn stop(order: &Stop, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "stop")?;
    let all = host.runs()?;
    let mut at_work: Vec<Run> = all.into_iter().filter(|run| run.standing == Standing::Running).collect();
    if let Some(named) = &order.run {
        let named = find(&host, Some(named))?.run;
        at_work.retain(|run| run.run == named);
    } else if !order.all {
        at_work.truncate(1);
    }
    if at_work.is_empty() {
        let what = match &order.run {
            Some(named) => format!("run `{named}` is not at work"),
            None => "no run is at work".to_owned(),
        };
        return Err(Failure::new(what).hint("`provost runs` lists what ran"));
    }
    for run in &at_work {
        end(&host, run)?;
        if out.human() {
            out.line(format!("stopped run {}", run.run));
        } else {
            out.json(&serde_json::json!({ "run": run.run.as_str(), "state": "stopped" }));
        }
    }
    Ok(DONE)
}

fn end(host: &Host, run: &Run) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut told = false;
    while Instant::now() < deadline {
        if host.find(Some(run.run.as_str()))?.standing != Standing::Running {
            return Ok(());
        }
        if let Some(governor) = Governor::of(host, &run.run).filter(|_| !told) {
            told = true;
            let Some(pid) = Pid::from_raw(governor.pid) else { break };
            kill_process(pid, Signal::TERM)
                .map_err(|error| Failure::of(&error).during(format!("could not end run {}", run.run)))?;
        }
        sleep(Duration::from_millis(20));
    }
    Err(Failure::new(format!("run {} does not end", run.run))
        .hint("end its `provost run` process yourself: everything inside dies with it"))
}
