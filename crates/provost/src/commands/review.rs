//! `provost review`: the staged changes of a run, as a diff.

use super::{DONE, find, open};
use crate::cli::OneRun;
use crate::epilogue;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::Out;

pub(super) fn review(order: &OneRun, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "review")?;
    let run = find(&host, order.run.as_deref())?.run;
    let workspace = epilogue::staged(&host, &run)?;
    let review = workspace.review(&workspace.change()?)?;
    if !out.human() {
        out.json(&review);
    } else if review.files.is_empty() {
        out.line(format!("Run {run} has staged nothing that waits."));
    } else {
        out.line(review.text(out.paint().is_on()).trim_end());
        out.line("");
        out.line(format!("provost apply {run} --all   or   --only 'src/**'   or   provost discard {run}"));
    }
    Ok(DONE)
}
