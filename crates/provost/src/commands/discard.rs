//! `provost discard`: throw away what a run has staged.

use insight::Fate;

use super::{DONE, find_aloud, open_whole, story};
use crate::cli::Discard;
use crate::epilogue;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::{Out, count};
use crate::run::recorded::FOLDER;

pub(super) fn discard(order: &Discard, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "discard", out)?;
    let run = find_aloud(&host, order.run.as_deref(), out)?;
    if !order.keep_changes && epilogue::staged(&host, &run)?.has_preimages() {
        return Err(Failure::new(format!("run {run} wrote into the folder itself: discarding takes nothing back"))
            .hint("`provost undo` puts back what was there; `provost discard --keep-changes` throws that away for good"));
    }
    let story = story(&host, &run)?;
    let taped = host.run_dir(&run).join(FOLDER).is_dir();
    let files = epilogue::take_up((&folders, &host), &run, &story, "discard", |epilogue| {
        Ok(epilogue.workspace.discard(epilogue.admission)?)
    })?;
    if out.human() && story.changes().any(|changed| matches!(changed.fate, Fate::Landed | Fate::Part)) {
        out.line("What had landed stays, and can no longer be undone.");
    }
    if out.human() && files == 0 && taped {
        out.line(format!("discarded the recorded traffic of run {run}; its ledger stays"));
    } else if out.human() && files == 0 {
        out.line(format!("Nothing to discard: run {run} has nothing that waits; its ledger stays."));
    } else if out.human() {
        let beside = if taped { " and the recorded traffic" } else { "" };
        out.line(format!("discarded {}{beside} of run {run}; its ledger stays", count(files, "file")));
    } else {
        out.json(&serde_json::json!({ "run": run.as_str(), "discarded": files, "traffic": taped }));
    }
    Ok(DONE)
}
