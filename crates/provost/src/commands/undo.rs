//! `provost undo`: put back what the last landing of a run changed.

use super::{DONE, apply, find, open_whole, story};
use crate::cli::OneRun;
use crate::epilogue;
use crate::failure::{Failure, NO};
use crate::folders::Folders;
use crate::render::Out;

pub(super) fn undo(order: &OneRun, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "undo", out)?;
    let run = find(&host, order.run.as_deref())?.run;
    let story = story(&host, &run)?;
    let landing = epilogue::take_up((&folders, &host), &run, &story, "undo", |epilogue| {
        Ok(epilogue.workspace.undo(epilogue.admission)?)
    })?;
    apply::tell(&landing, ("undone", "Everything is as it was before already."), out);
    Ok(if landing.refused.is_empty() { DONE } else { NO })
}
