//! `provost undo`: put back what the last landing of a run changed.

use insight::What;
use ledger::RunId;

use super::{apply, find_aloud, open_whole, story};
use crate::cli::OneRun;
use crate::epilogue;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::Out;

pub(super) fn undo(order: &OneRun, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "undo", out)?;
    let run = find_aloud(&host, order.run.as_deref(), out)?;
    let story = story(&host, &run)?;
    let discarded = story.moments.iter().any(|moment| matches!(moment.what, What::Discarded { .. }));
    let committed = apply::Committed::of(&host, &run)?;
    let undone = epilogue::take_up((&folders, &host), &run, &story, "undo", |epilogue| {
        apply::undo(&epilogue, &committed)
    });
    let (landing, beside) = undone.map_err(|failure| if discarded { gone(&run) } else { failure })?;
    let settled = apply::Settled { landing, beside, unmatched: Vec::new() };
    apply::tell(&run, &settled, ("undone", "Everything is as it was before already."), out);
    if out.human() {
        settled.beside.last(&run, false).iter().for_each(|line| out.line(line));
    }
    Ok(settled.status())
}

/// What undo needs went with what was staged.
fn gone(run: &RunId) -> Failure {
    let mut failure = Failure::new(format!("a landing of run {run} cannot be taken back"));
    failure.because.push("the run was discarded, and with it what stood before".to_owned());
    failure.hint(format!(
        "`provost show {run}` says what landed; your version control has what stood there before"
    ))
}
