//! `provost run` and `provost shell`.

mod routine;

use std::ffi::OsString;

use super::{open, open_whole, story};
use crate::cli::{Format, Mode, Run, RunFlags};
use crate::failure::Failure;
use crate::folders::{Folders, write_passing};
use crate::mend;
use crate::render::{Out, clean, summary};
use crate::run::{self, Ended, Order};

/// Runs an agent; the status is its own.
pub(super) fn run(order: &Run, out: Out) -> Result<u8, Failure> {
    govern(
        &Order { flags: &order.flags, task: order.task.as_deref(), argv: &order.command, say: speaker(out) },
        out,
    )
}

/// Opens a shell where the agent would be.
pub(super) fn shell(flags: RunFlags, out: Out) -> Result<u8, Failure> {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
    let argv: [OsString; 1] = [shell.unwrap_or_else(|| "/bin/sh".into())];
    govern(&Order { flags: &flags, task: Some("a shell"), argv: &argv, say: speaker(out) }, out)
}

fn govern(order: &Order<'_>, out: Out) -> Result<u8, Failure> {
    // ORDER: first of all, while this process has one thread and has read nothing of the person's.
    let cell = run::tier::cell(order.flags)?;
    let folders = Folders::find()?;
    if mend::is_wanted(&folders) {
        open_whole(&folders, "run", out)?;
    }
    if order.flags.mode == Mode::Direct && out.human() {
        DIRECT.iter().for_each(|line| out.aside(line));
    }
    let ended = run::run(order, cell, &folders)?;
    let summary = tell(&ended, &folders, out)?;
    if ended.attended && out.human() {
        routine::ask_once(&summary, &folders, out);
    }
    Ok(ended.status)
}

/// Says a note before the agent starts. For programs it is in the summary alone.
fn speaker(out: Out) -> fn(&str) {
    if out.human() {
        |note| Out::new(Format::Human).aside(format_args!("provost: {}", clean(note)))
    } else {
        |_| {}
    }
}

/// What direct mode holds, and what not: said before the run starts.
const DIRECT: [&str; 4] = [
    "provost: direct mode: what the agent writes is in your folder at once; what was there is kept, and `provost undo` puts it back.",
    "  held: git's own files, hooks, build servers, settings of agents, editors and shells, .provost. Nothing writes them.",
    "  not held: sources, tests, build scripts, lock files, mode bits. What you build or start from here on may be the agent's.",
    "  What changes in the folder while the run goes on counts as the run's: let nothing else write there.",
];

/// The summary, on standard error: the agent's output is the run's own.
fn tell(ended: &Ended, folders: &Folders, out: Out) -> Result<summary::Summary, Failure> {
    let (host, _) = open(folders, "run")?;
    let story = story(&host, &ended.run)?;
    let summary = summary::of(&story, false, ended.notes.clone());
    let text = serde_json::to_string(&summary).unwrap_or_default();
    write_passing(&host.run_dir(&ended.run).join("summary.json"), text.as_bytes())
        .map_err(|error| Failure::of(&error).during("could not keep the summary"))?;
    if out.human() {
        out.aside("");
        summary::text(&summary, out.paint_aside()).iter().for_each(|line| out.aside(line));
    } else {
        out.aside(text);
    }
    Ok(summary)
}
