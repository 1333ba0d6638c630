//! The folder an agent works on: staged for a run, compared with what was there, landed or thrown away.
//!
//! Read it in this order. [`place`] says which folder may be a workspace. `stage` gives the agent an overlay over it, or a
//! copy; `base` remembers what was there, `saved` and `blob` its contents.
//!
//! The repository is touched by `land` alone. Everything the agent left behind is hostile: it is reached by descriptor
//! beneath its root (`beneath`), links are never followed, and no program of the host runs over it.
//!
//! Does not own: mounting (sandbox), whether a change may land (policy, by admission), rendering.

mod base;
mod beneath;
mod blob;
mod change;
mod commits;
mod copy;
mod diff;
pub mod direct;
mod discard;
mod git;
mod handoff;
mod hunk;
mod ignored;
mod index;
mod keep;
mod land;
mod left;
mod merge;
mod moved;
mod name;
mod outside;
pub mod place;
mod reject;
mod rejected;
mod rename;
mod risk;
mod saved;
mod sides;
mod stage;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use admission::{Admission, LedgerClosed};
use ledger::Trust;
use ledger::event::{Change as Became, OsText};
use sandbox::plan::Stage;
use serde::{Deserialize, Serialize};

use base::Base;
pub use beneath::Moment;
use beneath::Root;
pub use change::{Change, Content, FileChange, Side, What};
pub(crate) use commits::{
    Blamed, Import, Leads, Message, Target, Terms, Traced, Written, blame, commit_named, leads_to, short,
};
pub use commits::{Branch, Commit, CommitError, CommitFile, Commits, RefLanding};
pub use diff::{
    FileReview, HunkReview, LineEnds, Look, Part, RenameReview, Renamed, Review, SideReview, harmless, shown,
};
pub use discard::DiscardError;
pub(crate) use discard::remove as remove_folder;
pub(crate) use git::GitError;
pub use handoff::Handoff;
pub(crate) use hunk::line_before;
pub use hunk::{Hunk, Line, Mark};
pub(crate) use land::Landings;
pub(crate) use land::hold;
pub use land::{
    BadPattern, Conflict, HandEdit, Hold, Kept, LandError, Landing, LandsBy, Pick, Recovered, Told,
};
use left::Left;
pub use moved::Moves;
pub use outside::{GitFolder, git_folder};
pub use place::{NotAWorkspace, Surroundings};
pub use reject::{GateError, Named, No, Voice};
pub use risk::Risk;
use sides::Sides;

/// A workspace of one run.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    run_dir: PathBuf,
    staged: Stage,
    why_copy: Option<String>,
    base: Mutex<Past>,
    /// Where what stays from run to run is put by, in the process that staged it.
    stays: Option<PathBuf>,
    /// Whether it is a copy of what a run that goes on left: two edits are not brought together in it, for the run would
    /// never see it.
    frozen: bool,
    /// Whether the run wrote into the folder itself.
    direct: bool,
    /// The folder whose rules say what git ignores, where it is not `root`.
    ground: Option<PathBuf>,
}

/// What was there, or who is still looking.
#[derive(Debug)]
enum Past {
    Looking(JoinHandle<io::Result<Arc<Base>>>),
    Taken(Arc<Base>),
    NotYet,
}

/// What a run's folder remembers of its workspace, as `base/workspace.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Version: 1.
    v: u8,
    /// The workspace's canonical path.
    root: OsText,
    /// Why it is a copy, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    copy: Option<String>,
    /// Whether the run wrote into the folder itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    direct: bool,
}

/// A workspace could not be staged, or taken up again.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The folder may not be one.
    #[error(transparent)]
    Refused(#[from] NotAWorkspace),
    /// The folder cannot be written into directly.
    #[error(transparent)]
    NotDirect(#[from] direct::Refusal),
    /// The disk refused.
    #[error("cannot {what} `{}`", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        because: io::Error,
    },
    /// The run's folder holds no workspace, or none that this version reads.
    #[error("nothing is staged in `{}`", .0.display())]
    NothingStaged(PathBuf),
}

impl StageError {
    /// What to do about it, where there is something to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refused) => Some(refused.hint()),
            Self::NotDirect(refused) => Some(refused.hint()),
            Self::Io { because, .. } if because.kind() == io::ErrorKind::StorageFull => {
                Some("make room on the disk that holds the state folder")
            }
            Self::Io { what: "open", because, .. } if because.kind() == io::ErrorKind::NotFound => Some(
                "where the folder of the run is gone: put it back, or throw away what is staged: provost discard",
            ),
            Self::Io { .. } => None,
            Self::NothingStaged(_) => Some("it was discarded, or the run ended before anything was staged"),
        }
    }
}

/// What a run left could not be told, or not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It could not be told.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// It could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerClosed),
}

/// Turns what the disk said into what was being done.
fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StageError {
    let path = path.to_owned();
    move |because| StageError::Io { what, path, because }
}

impl Workspace {
    /// Stages a folder for a run whose own folder is `run_dir`. Nothing of the workspace is changed, now or by the run.
    ///
    /// A large tree may still be looked at by a thread when this returns; whoever needs to know what was there waits.
    ///
    /// # Errors
    /// The folder may not be a workspace, or the disk refused.
    pub fn stage(folder: &Path, run_dir: &Path, around: &Surroundings<'_>) -> Result<Workspace, StageError> {
        Workspace::stage_as(folder, run_dir, around, None)
    }

    /// The same, as a copy where `copy` says why it must be one.
    ///
    /// # Errors
    /// As [`Workspace::stage`].
    pub fn stage_as(
        folder: &Path,
        run_dir: &Path,
        around: &Surroundings<'_>,
        copy: Option<&str>,
    ) -> Result<Workspace, StageError> {
        let began = now();
        let root = place::root(folder, around)?;
        let stays = around.state.join("workspaces").join(place::id(&root));
        let held = Root::open(&root).map_err(io_error("open", &root))?;
        let (staged, kept) = (run_dir.join("staged"), run_dir.join("base"));
        for folder in [&staged, &kept] {
            DirBuilder::new().mode(0o700).create(folder).map_err(io_error("make", folder))?;
        }
        let unfit = match copy {
            Some(why) => Some(why.to_owned()),
            None => stage::unfit(&root, &staged).map_err(io_error("use", &staged))?,
        };
        if unfit.is_none() && rustix::process::geteuid().is_root() {
            let stage = stage::overlay(&root, &held, &staged).map_err(io_error("lay out", &staged))?;
            warm(&stage, &held, run_dir, &stays);
            let take = move |held: &Root, kept: &Path| {
                let base = Base::take(held, began)?;
                base.save(kept)?;
                Ok(base)
            };
            let looking = look(take, (&root, held), &kept).map_err(io_error("look at", &root))?;
            let past = Past::Looking(looking);
            let workspace = Workspace::staged_as(root, run_dir, stage, None, past)?;
            return Ok(Workspace { stays: Some(stays), ..workspace });
        }
        let mut base = Base::take(&held, began).map_err(io_error("look at", &root))?;
        let why_copy = unfit.or_else(|| stage::foreign(&base));
        let stage = match why_copy {
            None => stage::overlay(&root, &held, &staged),
            Some(_) => stage::private_copy(&held, &mut base, &staged),
        };
        let stage = stage.map_err(io_error("lay out", &staged))?;
        warm(&stage, &held, run_dir, &stays);
        base.save(&kept).map_err(io_error("write to", &kept))?;
        let looking = look(|_, _| Ok(base), (&root, held), &kept).map_err(io_error("look at", &root))?;
        let past = Past::Looking(looking);
        let workspace = Workspace::staged_as(root, run_dir, stage, why_copy, past)?;
        Ok(Workspace { stays: Some(stays), ..workspace })
    }

    fn staged_as(
        root: PathBuf,
        run_dir: &Path,
        staged: Stage,
        why_copy: Option<String>,
        base: Past,
    ) -> Result<Workspace, StageError> {
        let record = Record { v: 1, root: root.as_path().into(), copy: why_copy, direct: false };
        Workspace::recorded(root, run_dir, staged, record, base)
    }

    fn recorded(
        root: PathBuf,
        run_dir: &Path,
        staged: Stage,
        record: Record,
        base: Past,
    ) -> Result<Workspace, StageError> {
        let place = run_dir.join("base/workspace.json");
        let text =
            serde_json::to_vec(&record).map_err(|because| io_error("write", &place)(because.into()))?;
        std::fs::write(&place, text).map_err(io_error("write", &place))?;
        let (run_dir, base, Record { copy: why_copy, direct, .. }) =
            (run_dir.to_owned(), Mutex::new(base), record);
        let (stays, ground, frozen) = (None, None, false);
        Ok(Workspace { root, run_dir, staged, why_copy, base, stays, direct, ground, frozen })
    }

    /// Takes up what a run staged, in a later process.
    ///
    /// # Errors
    /// Nothing is staged there, or it cannot be read.
    pub fn reopen(run_dir: &Path) -> Result<Workspace, StageError> {
        let place = run_dir.join("base/workspace.json");
        let nothing = || StageError::NothingStaged(run_dir.to_owned());
        let text = std::fs::read(&place).map_err(|because| match because.kind() {
            io::ErrorKind::NotFound => nothing(),
            _ => io_error("read", &place)(because),
        })?;
        let record: Record = serde_json::from_slice(&text).map_err(|_| nothing())?;
        let staged = run_dir.join("staged");
        if record.v != 1 || !record.root.is_whole() || !staged.is_dir() {
            return Err(nothing());
        }
        let root = record.root.to_path();
        let stage = match record.copy {
            _ if record.direct => Stage::Copy { from: staged.join("copy") },
            Some(_) => Stage::Copy { from: staged.join("copy") },
            None => {
                Stage::Overlay { lower: root.clone(), upper: staged.join("upper"), work: staged.join("work") }
            }
        };
        let (run_dir, base) = (run_dir.to_owned(), Mutex::new(Past::NotYet));
        let (why_copy, direct) = (record.copy, record.direct);
        let (staged, stays, ground, frozen) = (stage, None, None, false);
        Ok(Workspace { root, run_dir, staged, why_copy, base, stays, direct, ground, frozen })
    }

    /// The workspace's canonical path.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How it is put inside.
    #[must_use]
    pub fn staged(&self) -> &Stage {
        &self.staged
    }

    /// What is put inside in the workspace's place.
    #[must_use]
    pub fn inside(&self) -> Stage {
        match self.direct {
            true => Stage::Copy { from: self.root.clone() },
            false => self.staged.clone(),
        }
    }

    /// Whether layers over the host's folders can lie where this run's things are, even if the workspace is a copy.
    #[must_use]
    pub fn carries_layers(&self) -> bool {
        matches!(stage::probe(&self.run_dir.join("staged")), Ok(None))
    }

    /// Why the agent works on a copy, if it does.
    #[must_use]
    pub fn why_copy(&self) -> Option<&str> {
        self.why_copy.as_deref()
    }

    /// What belongs to this workspace across runs: a folder of the state folder `state`. It is not made.
    #[must_use]
    pub fn folder(&self, state: &Path) -> PathBuf {
        state.join("workspaces").join(place::id(&self.root))
    }

    /// The state folder, in which the run's own folder is `runs/<run>`.
    fn state(&self) -> &Path {
        self.run_dir.ancestors().nth(2).unwrap_or(&self.run_dir)
    }

    /// What the run changed and has not landed, as the repository stands now.
    ///
    /// # Errors
    /// Either side cannot be read.
    pub fn change(&self) -> Result<Change, StageError> {
        self.told().map(|(_, change)| change)
    }

    /// Both sides, and what differs. Of what moved, the content that was there is got back first.
    fn told(&self) -> Result<(Sides, Change), StageError> {
        let mut sides = self.sides()?;
        let change = self.compared(&sides)?;
        let moved: Vec<&Path> =
            change.files.iter().filter(|file| file.moved).map(|file| file.path.as_path()).collect();
        let base_dir = self.run_dir.join("base");
        match sides.recall(&self.root, &moved).map_err(io_error("keep contents in", &base_dir))? {
            true => self.compared(&sides).map(|change| (sides, change)),
            false => Ok((sides, change)),
        }
    }

    /// Looks at what the run left, when it is over: records it, and keeps what was there in its stead, so that it can still
    /// be compared when the repository moves.
    ///
    /// # Errors
    /// Either side cannot be read, or the ledger takes nothing more.
    pub fn settle(&self, admission: &Admission) -> Result<Change, SettleError> {
        if self.direct {
            return self.settle_direct(admission, None);
        }
        let (mut sides, change) = self.told()?;
        let replaced = change.files.iter().filter(|file| file.never.is_none() && file.kind != Became::Mode);
        let kept = replaced.filter(|file| matches!(file.pre, Some(Side { what: What::File(_), .. })));
        let base_dir = self.run_dir.join("base");
        sides.keep(kept.map(|file| file.path.as_path())).map_err(io_error("keep contents in", &base_dir))?;
        let left = Left::of(&sides, &change).map_err(io_error("look at what the run left of", &self.root))?;
        left.save(&base_dir).map_err(io_error("write to", &base_dir))?;
        admission.note(change.event(&left).into(), Trust::Observed, None)?;
        self.settle_commits(&sides, admission)?;
        self.put_by(&sides, &change).map_err(io_error("keep what git ignores in", &base_dir))?;
        Ok(change)
    }

    /// Puts by what git ignores, for the next run; its names stay with this one.
    fn put_by(&self, sides: &Sides, change: &Change) -> io::Result<()> {
        let names: Vec<OsText> = change.ignored.iter().map(|path| path.as_path().into()).collect();
        std::fs::write(self.run_dir.join("base/ignored.json"), serde_json::to_vec(&names)?)?;
        if let Some(stays) = &self.stays {
            // What cannot be put by makes the next build cold, and harms nothing.
            let _ = keep::put_by(&sides.now, &sides.left, &change.ignored, &self.run_dir, stays);
        }
        Ok(())
    }

    fn compared(&self, sides: &Sides) -> Result<Change, StageError> {
        let comparing = io_error("compare what the run left of", &self.root);
        let mut change =
            change::compare(sides, self.ground.as_deref().unwrap_or(&self.root)).map_err(comparing)?;
        if self.ground.is_some() {
            // Its top folder is out of reach, and not among what was kept.
            change.files.retain(|file| !direct::is_out_of_reach(&file.path));
        }
        let place = self.run_dir.join("base/ignored.json");
        match std::fs::read(&place) {
            Ok(text) => {
                let names: Vec<OsText> = serde_json::from_slice(&text)
                    .map_err(|because| io_error("read", &place)(because.into()))?;
                change.ignored.extend(names.iter().map(OsText::to_path));
                change.ignored.sort();
                change.ignored.dedup();
            }
            Err(because) if because.kind() == io::ErrorKind::NotFound => {}
            Err(because) => return Err(io_error("read", &place)(because)),
        }
        Ok(change)
    }

    /// Those of these paths that the run has changed, so that it goes on with its own.
    ///
    /// # Errors
    /// What the run left cannot be looked at.
    pub fn touched(&self, paths: &[PathBuf]) -> Result<Vec<PathBuf>, StageError> {
        let sides = self.sides()?;
        Ok(paths.iter().filter(|path| sides.is_touched(path)).cloned().collect())
    }

    /// When what the run left at a path was changed last, in content or otherwise.
    #[must_use]
    pub fn changed_at(&self, path: &Path) -> Option<Moment> {
        self.sides().ok()?.stands_left(path).map(|stamp| stamp.mtime.max(stamp.ctime))
    }

    fn set_base(&self, base: Arc<Base>) {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = Past::Taken(base);
    }

    fn sides(&self) -> Result<Sides, StageError> {
        let (base, base_dir) = (self.base()?, self.run_dir.join("base"));
        let sides = Sides::open(&self.root, &self.staged, base, &base_dir);
        let mut sides = sides.map_err(io_error("open", &self.root))?;
        sides.frozen = self.frozen;
        Ok(sides)
    }

    /// What was there when the run began.
    fn base(&self) -> Result<Arc<Base>, StageError> {
        let mut known = self.base.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = self.run_dir.join("base");
        let base = match std::mem::replace(&mut *known, Past::NotYet) {
            Past::Taken(base) => base,
            Past::Looking(looking) => match looking.join() {
                Ok(looked) => looked.map_err(io_error("look at", &self.root))?,
                Err(_) => return Err(io_error("look at", &self.root)(io::Error::other("the thread died"))),
            },
            Past::NotYet => Arc::new(Base::load(&kept).map_err(io_error("read what was there from", &kept))?),
        };
        *known = Past::Taken(Arc::clone(&base));
        Ok(base)
    }
}

/// Gives a run what stayed from an earlier one. Without it the build is cold, and that is all.
fn warm(stage: &Stage, now: &Root, run_dir: &Path, stays: &Path) {
    let (Stage::Overlay { upper: left, .. } | Stage::Copy { from: left }) = stage;
    let left = std::fs::canonicalize(left).and_then(|left| Root::open(&left));
    let _ = left.and_then(|left| keep::give(now, &left, run_dir, stays));
}

/// Looks at a workspace while the agent starts, and saves what git does not have: the run does not change it.
fn look(
    take: impl FnOnce(&Root, &Path) -> io::Result<Base> + Send + 'static,
    (root, held): (&Path, Root),
    kept: &Path,
) -> io::Result<JoinHandle<io::Result<Arc<Base>>>> {
    let (root, kept) = (root.to_owned(), kept.to_owned());
    std::thread::Builder::new().name("base".into()).spawn(move || {
        let base = Arc::new(take(&held, &kept)?);
        let left_out = saved::save(&root, held, Arc::clone(&base), &kept)?;
        std::fs::write(kept.join("unsaved"), left_out.to_string())?;
        Ok(base)
    })
}

/// This moment, by the clock that file systems use.
fn now() -> Moment {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    (now.tv_sec, now.tv_nsec as u32)
}

#[cfg(test)]
mod tests;
