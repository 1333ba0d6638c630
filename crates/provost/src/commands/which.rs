//! Which run is meant where a command names none: the last one of the folder that one is in.
//!
//! Owns that a command typed in one project does not reach into another one unsaid. Does not own names and beginnings
//! of ids (`ledger`).

use std::path::{Path, PathBuf};

use ledger::event::Body;
use ledger::{Host, Reader, Run, RunId, Standing};

use crate::failure::Failure;
use crate::render::{Out, clean};

/// A run, by what was typed. For nothing it is the last one here, or the last one at all where none was here.
pub(super) fn find(host: &Host, named: Option<&str>) -> Result<Run, Failure> {
    let last = host.find(named)?;
    let Some(here) = here().filter(|_| named.is_none()) else { return Ok(last) };
    if is_near(host, &last.run, &here) {
        return Ok(last);
    }
    let near = host.runs()?.into_iter().find(|run| is_near(host, &run.run, &here));
    Ok(near.unwrap_or(last))
}

/// The same, for a command that changes something: a run of another folder is said to be one.
pub(super) fn find_aloud(host: &Host, named: Option<&str>, out: Out) -> Result<RunId, Failure> {
    let run = find(host, named)?.run;
    let far = |here: PathBuf| !is_near(host, &run, &here);
    if out.human() && named.is_none() && here().is_some_and(far) {
        let folder = folder(host, &run).unwrap_or_default();
        out.aside(format!(
            "provost: no run was in this folder; the last one, {run}, was in {}",
            clean(&folder.to_string_lossy())
        ));
    }
    Ok(run)
}

/// The folder that one is in.
pub(super) fn here() -> Option<PathBuf> {
    std::env::current_dir().ok()
}

/// The last run that is at work in this folder, on one around it or beneath it.
pub(super) fn find_running(host: &Host, here: Option<&Path>) -> Result<Option<Run>, Failure> {
    let at_work = host.runs()?.into_iter().filter(|run| run.standing == Standing::Running);
    let mut near = at_work.filter(|run| here.is_none_or(|here| is_near(host, &run.run, here)));
    Ok(near.next())
}

/// Whether a run worked on this folder, or on one around or beneath it. One that does not say counts as such: what is
/// broken is found by whoever reads on, and not passed over.
fn is_near(host: &Host, run: &RunId, here: &Path) -> bool {
    folder(host, run).is_none_or(|folder| here.starts_with(&folder) || folder.starts_with(here))
}

/// The folder that a run worked on, by its first event.
fn folder(host: &Host, run: &RunId) -> Option<PathBuf> {
    match Reader::open(&host.ledger_dir(run)).ok()?.read().ok()??.body {
        Body::RunOpened(opened) => Some(opened.workspace.to_path()),
        _ => None,
    }
}
