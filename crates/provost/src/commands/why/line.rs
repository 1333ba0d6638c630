//! A line that is not committed yet: which landing of which run wrote it.
//!
//! Owns following a line back through the landings of a file, by their contents: what stood before each, what it left, and
//! what became of it since. A line counts as a run's only where it is exactly one that a landing added, whatever other lines
//! look like it. Where a content is not kept any more, that is said.

use std::path::Path;

use ledger::event::{Body, OsText};
use ledger::{Host, RunId};
use serde::Serialize;

use crate::commands::each;
use crate::failure::Failure;
use crate::render::clean;
use crate::workspace::{Landings, line_before};

/// A line of a file.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) path: OsText,
    pub(super) number: usize,
    pub(super) text: String,
    pub(super) committed: Option<bool>,
}

/// Where it is.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) root: &'a Path,
    pub(super) path: &'a Path,
    pub(super) number: usize,
    pub(super) content: &'a [u8],
}

/// The run whose landing wrote the line, if one did.
pub(super) fn landed_by(
    host: &Host,
    place: &Place<'_>,
    unknown: &mut Vec<String>,
) -> Result<Option<RunId>, Failure> {
    // The line's number in the version that is looked at; contents go back in time from what is there now.
    let (mut number, mut content) = (place.number, place.content.to_vec());
    for run in host.runs()? {
        let folder = host.run_dir(&run.run);
        let landings = Landings::of(&folder, place.root, place.path)?;
        for landing in landings.iter() {
            if !is_recorded(host, &run.run, place.path, landing.digest())? {
                continue;
            }
            let Some((before, after)) = landing.contents(&content)? else {
                let path = clean(&place.path.to_string_lossy());
                unknown.push(format!(
                    "run {} landed {path}, and what it landed is not kept any more: whether this line is its cannot be told",
                    run.run
                ));
                continue;
            };
            // Written since: by nobody that landed then.
            let Some(then) = line_before(&after, &content, number) else { return Ok(None) };
            let Some(earlier) = line_before(&before, &after, then) else { return Ok(Some(run.run)) };
            (number, content) = (earlier, before);
        }
    }
    Ok(None)
}

/// Whether the ledger has this landing.
fn is_recorded(host: &Host, run: &RunId, path: &Path, digest: Option<&str>) -> Result<bool, Failure> {
    let mut found = false;
    each(host, run, |event| {
        if let Body::Landed(landed) = &event.body {
            found |= landed.path.to_path() == *path && landed.post.as_deref() == digest;
        }
    })?;
    Ok(found)
}
