//! `provost runs`: the runs, newest first.

use std::time::{SystemTime, UNIX_EPOCH};

use ledger::Standing;

use super::{DONE, open, status, story};
use crate::cli::Runs;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, clean, short, summary, table, time};

pub(super) fn runs(order: &Runs, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "runs")?;
    let mut rows =
        vec![["RUN", "AGO", "STATE", "AGENT", "TOOK", "WAITING", "TASK"].map(str::to_owned).to_vec()];
    for run in host.runs()?.into_iter().take(order.count) {
        let story = story(&host, &run.run)?;
        let summary = summary::of(&story, run.standing == Standing::Running, Vec::new());
        if out.human() {
            rows.push(row(&summary));
        } else {
            out.json(&status::brief(&summary));
        }
    }
    if out.human() && rows.len() == 1 {
        out.line("No run yet. The first: provost run -- COMMAND");
    } else if out.human() {
        let columns = out.columns().unwrap_or(usize::MAX);
        table::rows(&rows).iter().for_each(|line| out.line(short(line, columns)));
    }
    Ok(DONE)
}

fn row(summary: &summary::Summary) -> Vec<String> {
    let state = match (summary.exit_code, summary.exit_signal) {
        _ if summary.ended_by.is_some() => {
            format!("limit {}", clean(summary.ended_by.as_deref().unwrap_or_default()))
        }
        (Some(code), _) => format!("exit {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => summary.state.to_owned(),
    };
    let state = if summary.state == "ended" { state } else { summary.state.to_owned() };
    let waiting = summary.changes.iter().filter(|change| matches!(change.fate, "waiting" | "kept")).count();
    vec![
        summary.run.clone(),
        ago(summary.began),
        if summary.mode == "direct" { format!("{state}, direct") } else { state },
        clean(&summary.agent),
        time(summary.wall_ms),
        waiting.to_string(),
        short(&clean(&summary.task), 50),
    ]
}

/// How long ago a moment was, in one unit.
fn ago(began_ns: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match now.saturating_sub(began_ns / 1_000_000_000) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{} min", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}
