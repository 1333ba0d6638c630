//! `provost`, and `provost status`: what needs you now.

use ledger::{RunId, Standing};
use serde_json::json;

use super::{DONE, asks, open_whole, story};
use crate::desk::callers::{self, Standings};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, count, short, summary};

/// Runs that are looked at, newest first.
const LOOKED_AT: usize = 50;

pub(super) fn status(out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, dead) = open_whole(&folders, "status", out)?;
    dead.iter().for_each(|run| callers::clear(&host, run));
    let standings = callers::standings(&host)?;
    let mut rows = Vec::new();
    for run in host.runs()?.into_iter().take(LOOKED_AT) {
        let running = run.standing == Standing::Running;
        let story = story(&host, &run.run)?;
        let found_dead = dead.contains(&run.run);
        if running || story.waits() || found_dead {
            rows.push((found_dead, summary::of(&story, running, Vec::new())));
        }
    }
    if !out.human() {
        rows.iter().for_each(|(_, summary)| out.json(summary));
        standings.asks.iter().for_each(|ask| out.json(&json!({ "ask": ask })));
        return Ok(DONE);
    }
    asked(out, &standings);
    told(out, &rows, &dead);
    Ok(DONE)
}

/// What waits for an answer comes first: somebody is held by it.
fn asked(out: Out, standings: &Standings) {
    if !standings.asks.is_empty() {
        let waits = if standings.asks.len() == 1 { "waits" } else { "wait" };
        let questions = count(standings.asks.len() as u64, "question");
        out.line(out.paint().on(Tone::Notice, format!("{questions} {waits} for your answer:")));
        standings.asks.iter().for_each(|ask| asks::one(out, ask));
    }
}

fn told(out: Out, rows: &[(bool, summary::Summary)], dead: &[RunId]) {
    let paint = out.paint();
    if rows.is_empty() {
        out.line("Nothing needs you: no run is at work, none has staged changes.");
        out.line("  provost run -- COMMAND    run an agent");
        out.line("  provost runs              what ran before");
        return;
    }
    let room = out.columns().map_or(70, |columns| columns.saturating_sub(25).clamp(20, 70));
    for (found_dead, summary) in rows {
        let waiting =
            summary.changes.iter().filter(|change| matches!(change.fate, "waiting" | "kept")).count();
        let state = match (summary.state, found_dead) {
            ("running", _) if summary.mode == "direct" => paint.on(Tone::Notice, "at work in direct mode"),
            ("running", _) => paint.on(Tone::Notice, "at work"),
            (_, true) => paint.on(Tone::Bad, "interrupted: found dead just now"),
            ("interrupted", _) => paint.on(Tone::Bad, "interrupted"),
            _ => paint.on(Tone::Strong, "staged"),
        };
        out.line(format!("{}  {state}  {}", summary.run, short(&clean(&summary.task), room)));
        out.line(format!("    {}", clean(&summary.workspace)));
        if waiting > 0 {
            out.line(format!(
                "    {} waiting, {} denied",
                count(waiting as u64, "file"),
                summary.denied.len()
            ));
        }
        if summary.ended_by.is_some() {
            summary.limits.iter().for_each(|limit| out.line(format!("    {}", clean(limit))));
        }
        for line in summary::outside(summary, paint) {
            out.line(format!("    {line}"));
        }
        summary.next.iter().for_each(|next| out.line(format!("    {}", paint.on(Tone::Faint, next))));
    }
    let direct = |(found_dead, summary): &(bool, summary::Summary)| *found_dead && summary.mode == "direct";
    if rows.iter().any(direct) {
        out.line("What an interrupted run in direct mode wrote is in the folder: `provost undo RUN` puts back what was there.");
    } else if !dead.is_empty() {
        out.line("What an interrupted run did until then is in its ledger; nothing of it is alive.");
    }
}

/// One line of `runs` for a program.
pub(super) fn brief(summary: &summary::Summary) -> serde_json::Value {
    json!({
        "run": summary.run,
        "state": summary.state,
        "mode": summary.mode,
        "agent": summary.agent,
        "task": summary.task,
        "workspace": summary.workspace,
        "began": summary.began,
        "exit_code": summary.exit_code,
        "exit_signal": summary.exit_signal,
        "ended_by": summary.ended_by,
        "wall_ms": summary.wall_ms,
        "waiting": summary.changes.iter().filter(|change| matches!(change.fate, "waiting" | "kept")).count(),
        "landed": summary.changes.iter().filter(|change| change.fate == "landed").count(),
        "denied": summary.denied.iter().map(|denied| denied.count).sum::<u64>(),
    })
}
