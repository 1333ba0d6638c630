//! `provost show`: what happened in a run, process by process.

mod exposure;
mod traffic;

use std::collections::BTreeSet;

use insight::places::Places;
use insight::processes::{Process, ProcessTree};
use insight::{Story, What};
use ledger::event::Body;
use ledger::{Host, Run, RunId, Standing};

use super::{DONE, each, find, open};
use crate::cli::Show;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::processes::Telling;
use crate::render::{Out, Tone, clean, process, processes, story as lines, summary};

pub(super) fn show(order: &Show, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "show")?;
    let run = find(&host, order.run.as_deref())?;
    if order.events {
        each(&host, &run.run, |event| out.json(event))?;
        return Ok(DONE);
    }
    if order.exposure {
        return exposure::exposure(&host, &run, out);
    }
    if order.traffic || order.flow.is_some() {
        return traffic::traffic(&host, &run, order.flow, out);
    }
    let told = Told::read(&host, &run.run)?;
    match &order.process {
        Some(named) => one(&told, named, &run, out),
        None => whole(&told, order, &run, out),
    }
}

/// A run, read once.
struct Told {
    story: Story,
    tree: ProcessTree,
    places: Places,
    /// Refusals that are put down to a process.
    placed: BTreeSet<u64>,
}

impl Told {
    fn read(host: &Host, run: &RunId) -> Result<Told, Failure> {
        let (story, tree, places) = (Story::default(), ProcessTree::default(), Places::default());
        let mut told = Told { story, tree, places, placed: BTreeSet::new() };
        each(host, run, |event| {
            told.story.see(event);
            told.places.see(event);
            let whose = told.tree.see(event);
            if whose.is_some() && matches!(event.body, Body::Denied(_) | Body::Exec(_)) {
                told.placed.insert(event.seq);
            }
        })?;
        Ok(told)
    }

    fn telling(&self, order: (bool, bool), out: Out) -> Telling<'_> {
        let (all, running) = order;
        let (columns, paint) = (out.columns(), out.paint());
        Telling { tree: &self.tree, places: &self.places, all, running, columns, paint }
    }
}

fn whole(told: &Told, order: &Show, run: &Run, out: Out) -> Result<u8, Failure> {
    let running = run.standing == Standing::Running;
    let mut summary = summary::of(&told.story, running, Vec::new());
    if !out.human() {
        let moments: Vec<_> = told.story.moments.iter().map(lines::json).collect();
        let mut whole = serde_json::to_value(&summary).unwrap_or_default();
        if let Some(whole) = whole.as_object_mut() {
            whole.insert("processes".to_owned(), processes::json(&told.tree, order.all).into());
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
        "in {}, profile {}{}{}{}",
        clean(&summary.workspace),
        clean(summary.profile.as_deref().unwrap_or("-")),
        if summary.mode == "direct" { ", direct mode" } else { "" },
        summary.tier.as_ref().map_or_else(String::new, |tier| format!(", tier {}", clean(tier))),
        match summary.evidence {
            "writes" => "; what was only read is not recorded",
            "exec" => "; what was opened is not recorded",
            _ => "",
        }
    ));
    out.line("");
    processes::text(told.telling((order.all, running), out)).iter().for_each(|line| out.line(line));
    let beside = lines::text(&told.story, &told.placed, paint);
    if told.story.moments.iter().any(|moment| !matches!(moment.what, What::Launch { .. } | What::Exec { .. }))
    {
        out.line("");
    }
    beside.iter().for_each(|line| out.line(line));
    out.line("");
    summary::text(&summary, paint).iter().for_each(|line| out.line(line));
    Ok(DONE)
}

/// One process in full; all of that number, where the kernel gave it to several.
fn one(told: &Told, named: &str, run: &Run, out: Out) -> Result<u8, Failure> {
    let found = named_processes(&told.tree, named);
    if found.is_empty() {
        return Err(Failure::new(format!("run {} has no process `{}`", run.run, clean(named))).hint(
            "`provost show --all` lists them: `#4` is the fourth, `4` the one that the host called so",
        ));
    }
    let running = run.standing == Standing::Running;
    let calls = told.tree.calls();
    for (at, process) in found.into_iter().enumerate() {
        if !out.human() {
            out.json(&processes::one_json(process, &calls, true));
            continue;
        }
        if at > 0 {
            out.line("");
        }
        process::text(process, told.telling((true, running), out)).iter().for_each(|line| out.line(line));
    }
    Ok(DONE)
}

fn named_processes<'t>(tree: &'t ProcessTree, named: &str) -> Vec<&'t Process> {
    match named.strip_prefix('#') {
        Some(id) => id.parse().ok().and_then(|id| tree.get(id)).into_iter().collect(),
        None => named.parse().ok().map_or_else(Vec::new, |pid| tree.by_pid(pid).collect()),
    }
}
