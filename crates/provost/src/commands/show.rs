//! `provost show`: what happened in a run, in order.

use ledger::Standing;

use super::{DONE, each, find, open, story};
use crate::cli::Show;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, story as lines, summary};

pub(super) fn show(order: &Show, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "show")?;
    let run = find(&host, order.run.as_deref())?;
    if order.events {
        each(&host, &run.run, |event| out.json(event))?;
        return Ok(DONE);
    }
    let story = story(&host, &run.run)?;
    let mut summary = summary::of(&story, run.standing == Standing::Running, Vec::new());
    if !out.human() {
        let moments: Vec<_> = story.moments.iter().map(lines::json).collect();
        let mut whole = serde_json::to_value(&summary).unwrap_or_default();
        if let Some(whole) = whole.as_object_mut() {
            whole.insert("moments".to_owned(), moments.into());
        }
        out.json(&whole);
        return Ok(DONE);
    }
    // What follows after `show` is never `show` again.
    summary.next.retain(|next| !next.starts_with("provost show"));
    let paint = out.paint();
    out.line(paint.on(Tone::Strong, format!("run {}  {}", summary.run, clean(&summary.task))));
    out.line(format!(
        "in {}, profile {}{}",
        clean(&summary.workspace),
        clean(summary.profile.as_deref().unwrap_or("-")),
        if summary.mode == "direct" { ", direct mode" } else { "" }
    ));
    lines::text(&story, paint).iter().for_each(|line| out.line(line));
    out.line("");
    summary::text(&summary, paint).iter().for_each(|line| out.line(line));
    Ok(DONE)
}
