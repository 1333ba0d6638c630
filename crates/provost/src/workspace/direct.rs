//! Direct mode: what an agent writes is in the person's folder at once; what was there before is kept, and put back exactly.
//!
//! Read it in this order. `before` keeps everything before the run begins. `held` says which files stay out of reach.
//! When the run is over, and at an undo, `differ` compares, `undo` says whose each difference is, `back` takes it back, step
//! by step (`restore`). `claim` keeps other runs out of the folder meanwhile.
//!
//! What is taken back is staged from then on: it can be reviewed and applied like what any run staged. So nothing that a run
//! wrote is lost by an undo, and nothing that a person wrote.
//!
//! Does not own: the mount (sandbox), whether a policy can be held without staging (policy).

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use admission::Admission;
use ledger::Trust;
use ledger::event::{ChangeDirect, DirectFile, PreimagesKept};
use sandbox::plan::Stage;

use super::base::Base;
use super::beneath::{Root, digest};
use super::change::Change;
use super::discard;
use super::left::Left;
use super::sides::{Sides, hex};
use super::{Past, Record, SettleError, StageError, Surroundings, Workspace, io_error, place, stage};

mod back;
mod before;
pub(crate) mod claim;
mod differ;
pub mod held;
mod restore;
mod undo;

pub(super) use before::is_top_git as is_out_of_reach;
pub use claim::{Claim, InUse, Purpose};

/// Why a folder cannot be written into directly.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Something cannot be kept.
    #[error("cannot keep `{}` as it is before the run", .path.display())]
    Kept {
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        because: io::Error,
    },
    /// It could not be given back to its owner.
    #[error("cannot put back `{}`: it belongs to another user or group", .0.display())]
    Foreign(PathBuf),
    /// It changes all the time.
    #[error("`{}` changes while it is being kept", .0.display())]
    Restless(PathBuf),
    /// It could not be made again.
    #[error("cannot put back `{}`: it is a device", .0.display())]
    Device(PathBuf),
    /// A write to it would be seen under a name that is out of the folder, or out of reach.
    #[error("`{}` has another name, by which a write to it would reach further (a hard link)", .0.display())]
    Shared(PathBuf),
    /// Another file system is mounted within.
    #[error("another file system is mounted at `{}`", .0.display())]
    Mounted(PathBuf),
}

impl Refusal {
    fn kept(path: &Path, because: io::Error) -> Refusal {
        Refusal::Kept { path: path.to_owned(), because }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Refusal::Kept { because, .. } if because.kind() == io::ErrorKind::StorageFull => {
                "make room on the disk that holds the state folder, or run without --mode direct"
            }
            Refusal::Restless(_) => "stop what writes there, or run without --mode direct",
            _ => "run without --mode direct: then nothing in your folder changes until it lands",
        }
    }
}

impl Workspace {
    /// Gives a folder to a run that writes into it at once. Everything that is there before is kept, durably.
    ///
    /// # Errors
    /// The folder may not be a workspace, or an undo could not be exact.
    pub fn direct(
        folder: &Path,
        run_dir: &Path,
        around: &Surroundings<'_>,
    ) -> Result<(Workspace, PreimagesKept), StageError> {
        let root = place::root(folder, around)?;
        if let Some(inner) = stage::mounted(&root).map_err(io_error("look at", &root))? {
            return Err(Refusal::Mounted(inner).into());
        }
        let held = Root::open(&root).map_err(io_error("open", &root))?;
        let (staged, base_dir) = (run_dir.join("staged"), run_dir.join("base"));
        for folder in [&staged, &base_dir, &staged.join("copy")] {
            DirBuilder::new().mode(0o700).create(folder).map_err(io_error("make", folder))?;
        }
        let kept = before::take(&held, &run_dir.join("before"))?;
        let base = Base::take(&held, (i64::MAX, 0)).map_err(io_error("look at", &root))?;
        base.save(&base_dir).map_err(io_error("write to", &base_dir))?;
        let (stage, past) = (Stage::Copy { from: staged.join("copy") }, Past::Taken(Arc::new(base)));
        let record = Record { v: 1, root: root.as_path().into(), copy: None, direct: true };
        let workspace = Workspace::recorded(root, run_dir, stage, record, past)?;
        Ok((workspace, kept))
    }

    /// Whether the run wrote into the folder at once.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.direct
    }

    /// Whether what was there before is kept, so that it can be put back.
    #[must_use]
    pub fn has_preimages(&self) -> bool {
        self.direct && before::list(&self.preimages()).join("manifest").exists()
    }

    fn preimages(&self) -> PathBuf {
        self.run_dir.join("before")
    }

    /// What the run wrote into the folder, as a workspace whose change it is: compared with what was there before.
    ///
    /// # Errors
    /// The pre-images are gone, or cannot be read.
    pub fn written(&self) -> Result<Workspace, StageError> {
        let place = self.preimages();
        let reading = || io_error("read what was there from", &place);
        let tree = std::fs::canonicalize(before::tree(&place)).map_err(reading())?;
        let base = Base::load(&before::list(&place)).map_err(reading())?;
        Ok(Workspace {
            root: tree,
            run_dir: place,
            staged: Stage::Copy { from: self.root.clone() },
            why_copy: None,
            base: Mutex::new(Past::Taken(Arc::new(base))),
            stays: None,
            direct: false,
            ground: Some(self.root.clone()),
            frozen: false,
        })
    }

    /// Looks at what a run in direct mode wrote: takes back what must wait, notes how the folder stands, records both.
    /// `cause` is the decision by which it wrote.
    ///
    /// # Errors
    /// Either side cannot be read, or the ledger takes nothing more.
    pub fn settle_direct(&self, admission: &Admission, cause: Option<u64>) -> Result<Change, SettleError> {
        let took = self.take_back_what_slipped()?;
        let change = self.tell_written(admission, &took, cause)?;
        let waits = self.change()?;
        if !waits.is_empty() {
            let base_dir = self.run_dir.join("base");
            let left = Left::load(&base_dir).map_err(io_error("read", &base_dir))?.unwrap_or_default();
            admission.note(waits.event(&left).into(), Trust::Observed, None)?;
        }
        Ok(change)
    }

    /// Records what is in the folder otherwise than before, but for what was taken back.
    fn tell_written(
        &self,
        admission: &Admission,
        took: &[PathBuf],
        cause: Option<u64>,
    ) -> Result<Change, SettleError> {
        let written = self.written()?;
        let mut change = written.change()?;
        change.files.retain(|file| !took.contains(&file.path));
        let sides = written.sides()?;
        let files = change.event(&Left::default()).files.into_iter().map(|file| told(&sides, file)).collect();
        admission.note(ChangeDirect { files }.into(), Trust::Observed, cause)?;
        Ok(change)
    }

    /// Throws the pre-images away: from then on nothing can be put back.
    pub(super) fn forget_preimages(&self) -> Result<(), StageError> {
        let (place, going) = (self.preimages(), self.run_dir.join("before.gone"));
        discard::remove(&going).map_err(io_error("remove", &going))?;
        // ORDER: first out of the way in one step, so that a half of them is never taken for the whole.
        match std::fs::rename(&place, &going) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            moved => moved.map_err(io_error("remove", &place))?,
        }
        discard::remove(&going).map_err(io_error("remove", &going))
    }
}

/// A changed file with the digests of both sides.
fn told(sides: &Sides, file: ledger::event::StagedFile) -> DirectFile {
    let path = file.path.to_path();
    let of = |root: &Root| root.file(&path).and_then(|mut file| digest(&mut file)).ok().map(|it| hex(&it));
    let (pre, post) = (of(&sides.now), of(&sides.left));
    let ledger::event::StagedFile { path, change, added, removed, size, handoff, why, risk, .. } = file;
    DirectFile { path, change, added, removed, size, handoff, why, risk, pre, post }
}

#[cfg(test)]
mod tests;
