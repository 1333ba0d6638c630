//! What a run in direct mode needs beside any other: the folder for itself, a policy that can be held without staging, the
//! pre-images, and a permit for what reaches the folder.
//!
//! Owns that order. Does not own the pre-images or which files are held (`workspace::direct`), or the judgement.

use std::path::Path;

use admission::{Admission, Outcome, Receipt, WriteThrough};
use ledger::Mode;
use ledger::event::PreimagesKept;
use policy::{AbsPath, Confinement, Layer, Policy};

use super::SEEN;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::task::Task;
use crate::workspace::direct::{self, Claim, Purpose};
use crate::workspace::{Change, SettleError, Workspace};

/// Claims the folder for as long as the run lasts.
pub(super) fn claim(task: &Task, folders: &Folders) -> Result<Claim, Failure> {
    let purpose = match task.mode {
        Mode::Direct => Purpose::Direct,
        Mode::Staged => Purpose::Beside,
    };
    Ok(Claim::on(&task.workspace, &folders.state, purpose)?)
}

/// The rules by which files that other programs obey stay out of reach.
pub(super) fn layer(task: &Task) -> Result<Option<Layer>, Failure> {
    match task.mode {
        Mode::Staged => Ok(None),
        Mode::Direct => Ok(Some(direct::held::layer(&task.workspace)?)),
    }
}

/// Whether the policy can be held where nothing is staged.
pub(super) fn check(task: &Task, policy: &Policy) -> Result<(), Failure> {
    if task.mode == Mode::Staged {
        return Ok(());
    }
    let asked = policy.confinement()?;
    if trees(&asked, &task.workspace).next().is_none() {
        return Err(Failure::new("the policy lets nothing be written in the folder")
            .hint("run without --mode direct, or with another --profile"));
    }
    Ok(policy.holds_direct(&asked, &direct::held::is_ruled)?)
}

/// The parts of the workspace that can be written.
fn trees<'a>(asked: &'a Confinement, workspace: &'a Path) -> impl Iterator<Item = &'a Path> {
    asked.write.iter().filter_map(move |tree| match tree.starts_with(workspace) {
        true => Some(tree.as_path()),
        false => workspace.starts_with(tree).then_some(workspace),
    })
}

/// Stages the folder, or keeps what is in it.
pub(super) fn place(
    task: &Task,
    run_dir: &Path,
    folders: &Folders,
) -> Result<(Workspace, Option<PreimagesKept>), Failure> {
    match task.mode {
        Mode::Staged => {
            let copy = super::tier::must_copy(task);
            Ok((Workspace::stage_as(&task.workspace, run_dir, &folders.around(), copy)?, None))
        }
        Mode::Direct => {
            let (workspace, kept) = Workspace::direct(&task.workspace, run_dir, &folders.around())?;
            Ok((workspace, Some(kept)))
        }
    }
}

/// The permit for what reaches the folder; none in a run that is staged.
pub(super) struct Through {
    kept: Option<PreimagesKept>,
    receipts: Vec<Receipt>,
}

impl Through {
    pub(super) fn new(kept: Option<PreimagesKept>) -> Through {
        Through { kept, receipts: Vec::new() }
    }

    /// Asks for it: before the agent starts it is durable, and with it that what was there before is kept.
    pub(super) fn permit(
        &mut self,
        admission: &Admission,
        asked: &Confinement,
        task: &Task,
    ) -> Result<(), Failure> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        for tree in trees(asked, &task.workspace) {
            let path = AbsPath::new(tree).map_err(|error| Failure::of(&error))?;
            let permit = admission.admit(WriteThrough(path)).wait().permit()?;
            self.receipts.push(permit.begin().1);
        }
        // ORDER: accepted before the launch, which makes everything before it durable.
        let cause = self.receipts.first().map(Receipt::seq);
        admission.note(kept.into(), SEEN, cause)?;
        Ok(())
    }

    /// Looks at what the run left, and says that what was permitted is over.
    pub(super) fn settle(self, workspace: &Workspace, admission: &Admission) -> Result<Change, SettleError> {
        let cause = self.receipts.first().map(Receipt::seq);
        self.receipts.into_iter().for_each(|receipt| receipt.settle(Outcome::done()));
        match workspace.is_direct() {
            true => workspace.settle_direct(admission, cause),
            false => workspace.settle(admission),
        }
    }
}
