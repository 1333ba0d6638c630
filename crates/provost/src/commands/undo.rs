//! `provost undo`: put back what the last landing of a run changed.

use super::{apply, find, open_whole, story};
use crate::cli::OneRun;
use crate::epilogue;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::Out;

pub(super) fn undo(order: &OneRun, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "undo", out)?;
    let run = find(&host, order.run.as_deref())?.run;
    let story = story(&host, &run)?;
    let (landing, beside) =
        epilogue::take_up((&folders, &host), &run, &story, "undo", |epilogue| apply::undo(&epilogue))?;
    let settled = apply::Settled { landing, beside };
    apply::tell(&settled, ("undone", "Everything is as it was before already."), out);
    Ok(settled.status())
}
