//! Landing: what the run left, put into the repository, file by file, with a permit for each.
//!
//! Read [`Workspace::land`]. Everything is made ready beside its place before anything changes; then each file is swapped
//! in one step, and what comes out is checked to be what was judged, or is put back. A journal in the run's folder says
//! how far it got, so that [`Workspace::recover`] can finish it or take it back; until it has, nothing else lands there.
//!
//! Owns: the order, which files may land at all, what is recorded. Does not own: making ready (`land/ready`), the one
//! step (`land/swap`), what is on disk of it (`land/journal`), which changes are named (`land/pick`), taking it back
//! (`land/undo`), putting a landing in order that was cut short (`land/recover`), what
//! lands by itself while a run goes on (`land/routine`).

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admission::{Admission, Denial, Land, LedgerClosed, Outcome, Permit};
use ledger::event::{LandRefused, Landed, Undone};
use ledger::{Body, Trust};
use policy::AbsPath;

use super::beneath::Kind;
use super::change::{Change, FileChange};
use super::diff::shown;
use super::hunk::Edits;
use super::left::Left;
use super::merge::Clash;
use super::sides::Sides;
use super::{StageError, Workspace, io_error};
use journal::{Journal, Step};

pub(crate) mod hold;
mod journal;
mod pick;
mod ready;
mod recover;
mod routine;
mod swap;
mod told;
mod undo;

pub use hold::Hold;
pub use pick::{BadPattern, HandEdit, LandsBy, Pick};
use pick::{Taken, Withheld};
pub(crate) use pick::{names, patterns};
pub use recover::{Recovered, Told};
pub(crate) use told::{Landings, Standing, Stood};

/// What became of a landing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Landing {
    /// What is in the repository now, sorted.
    pub landed: Vec<PathBuf>,
    /// What was kept back, sorted; it stays staged.
    pub refused: Vec<Kept>,
}

/// A file that was kept back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Beneath the workspace.
    pub path: PathBuf,
    /// Why.
    pub because: String,
    /// What the person and the run made of the same lines, if that is why and they are text.
    pub conflicts: Vec<Conflict>,
    /// By which name it lands, where that is all that it waits for.
    pub lands_by: Option<LandsBy>,
}

/// A place of a file that both sides changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The first line of the place when the run began, from 1.
    pub first: usize,
    /// What was there then, each line with its end.
    pub base: Vec<Vec<u8>>,
    /// What stands there now.
    pub stands: Vec<Vec<u8>>,
    /// What the run left there.
    pub left: Vec<Vec<u8>>,
}

impl From<Clash> for Conflict {
    fn from(Clash { first, base, one, other }: Clash) -> Conflict {
        Conflict { first, base, stands: one, left: other }
    }
}

/// A landing could not go on. What had landed stands, and `recover` puts the rest in order.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// Either side, or the journal, could not be used.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The ledger takes nothing more.
    #[error(transparent)]
    Ledger(#[from] LedgerClosed),
    /// What a run wrote could not be told.
    #[error(transparent)]
    Settle(#[from] super::SettleError),
    /// There is nothing to take back.
    #[error("nothing of this run has landed that could be put back")]
    NothingLanded,
    /// A landing was cut short here, and is not in order again.
    #[error("the landing of run {0} was cut short and is not in order again")]
    HalfLanded(String),
    /// Another process lands here.
    #[error("another command is landing in `{}`", .0.display())]
    AtWork(PathBuf),
}

/// A file that may land, with what says so.
#[derive(Debug)]
pub(super) struct Permitted<'a> {
    pub(super) file: &'a FileChange,
    /// The hunks that are to land, if not all of it is.
    pub(super) part: Option<Vec<String>>,
    /// What a person made of hunks by hand.
    pub(super) edits: Edits,
    pub(super) permit: Permit<Land>,
}

impl Workspace {
    /// Lands the picked files of a change. What may not land is kept back with its reason, and both are recorded.
    ///
    /// # Errors
    /// The landing could not go on.
    pub fn land(&self, admission: &Admission, change: &Change, pick: &Pick) -> Result<Landing, LandError> {
        let mut hold = self.hold_whole()?;
        let mut landing = Landing::default();
        let at = self.run_dir.join("landing");
        let mut sides = self.sides()?;
        let permitted = self.permitted(admission, change, pick, &mut landing)?;
        // ORDER: the workspace names the run before there is a journal; the names of what is made ready are on disk before
        // it is made; all of it is, before anything is swapped; the base says what stands before the journal is closed.
        let mut journal = self.begin(&mut hold)?;
        let (steps, permits) = self.make_ready(admission, &mut journal, &sides, permitted, &mut landing)?;
        let folders = journal.prepared(&sides, steps).map_err(io_error("write the journal in", &at))?;
        for (step, permit) in swap::in_order(journal.steps(), permits) {
            let done = swap::perform(permit, step, &sides, &folders);
            self.record(admission, (&sides, &journal), step, done, &mut landing)?;
        }
        let landing = self.finish(admission, &mut sides, journal, landing)?;
        hold.end().map_err(io_error("write to", &at))?;
        Ok(landing)
    }

    /// The right to change the workspace, where nothing in it is half landed.
    fn hold_whole(&self) -> Result<Hold, LandError> {
        let hold = self.hold()?;
        match hold.half_landed() {
            Some(run) => Err(LandError::HalfLanded(run.to_owned())),
            None if self.is_half_landed() => Err(LandError::HalfLanded(self.run_name())),
            None => Ok(hold),
        }
    }

    /// The right to change the workspace.
    ///
    /// # Errors
    /// Another process has it and keeps it, or the disk refused.
    pub fn hold(&self) -> Result<Hold, LandError> {
        let folder = self.folder(self.state());
        let taken = Hold::take(&folder, hold::PATIENCE).map_err(io_error("use", &folder))?;
        taken.ok_or_else(|| LandError::AtWork(self.root.clone()))
    }

    /// Opens the journal of a landing, and says in the workspace's own folder whose it is.
    fn begin(&self, hold: &mut Hold) -> Result<Journal, LandError> {
        let at = self.run_dir.join("landing");
        hold.begin(&self.run_name()).map_err(io_error("write to", &at))?;
        Ok(Journal::open(&at).map_err(io_error("write the journal in", &at))?)
    }

    fn run_name(&self) -> String {
        self.run_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether a landing was cut short.
    #[must_use]
    pub fn is_half_landed(&self) -> bool {
        self.run_dir.join("landing/journal").exists()
    }

    /// What may land of what was picked.
    pub(super) fn permitted<'a>(
        &self,
        admission: &Admission,
        change: &'a Change,
        pick: &Pick,
        landing: &mut Landing,
    ) -> Result<Vec<Permitted<'a>>, LandError> {
        let (sides, rejected) = (self.sides()?, self.rejected()?);
        let mut pending = Vec::new();
        for file in &change.files {
            let part = match pick.of(&sides, file, &rejected) {
                Taken::Not => continue,
                Taken::Kept(withheld) => {
                    withhold(admission, landing, &file.path, withheld)?;
                    continue;
                }
                Taken::Whole => None,
                Taken::Part(hunks, kept) => {
                    if let Some(withheld) = kept {
                        withhold(admission, landing, &file.path, withheld)?;
                    }
                    Some(hunks)
                }
            };
            match AbsPath::new(&self.root.join(&file.path)) {
                Err(_) => refuse(admission, landing, &file.path, "its path is not plain".into(), None)?,
                // All are asked for before the first is waited for: one write to the disk serves them all.
                Ok(path) => pending.push((file, part, admission.admit(Land(path)))),
            }
        }
        let mut permitted = Vec::new();
        for (file, part, pending) in pending {
            match pending.wait().permit() {
                Ok(permit) => {
                    let edits = pick.edits_of(&file.path);
                    permitted.push(Permitted { file, part, edits, permit });
                }
                Err(denial) => refuse(admission, landing, &file.path, denial.to_string(), denial.seq)?,
            }
        }
        Ok(permitted)
    }

    /// Makes all ready beside its place. What cannot be is kept back.
    fn make_ready(
        &self,
        admission: &Admission,
        journal: &mut Journal,
        sides: &Sides,
        permitted: Vec<Permitted<'_>>,
        landing: &mut Landing,
    ) -> Result<(Vec<Step>, Vec<Permit<Land>>), LandError> {
        let kept = self.run_dir.join("base/kept");
        let at = self.run_dir.join("landing");
        std::fs::create_dir_all(&kept).map_err(io_error("make", &kept))?;
        let left = Left::load(&self.run_dir.join("base")).map_err(io_error("read", &self.run_dir))?;
        let places = permitted.iter().map(|one| ready::beside(sides, &one.file.path)).collect::<Vec<_>>();
        let temps = journal.announce(&places).map_err(io_error("write the journal in", &at))?;
        let (mut steps, mut permits) = (Vec::new(), Vec::new());
        for (Permitted { file, part, edits, permit }, temp) in permitted.into_iter().zip(temps) {
            let ready = temp.ok_or_else(|| ("its folder cannot be reached".to_owned(), Vec::new()));
            let ready = ready.and_then(|temp| match &left {
                Some(left) if !left.holds(&sides.left, &file.path) => Err((ALTERED.to_owned(), Vec::new())),
                _ => Ok(temp),
            });
            let ready = ready.and_then(|temp| {
                let wanted = ready::Wanted { file, part: part.as_deref(), edits: &edits };
                ready::make(sides, &wanted, &temp, &kept).map_err(|why| self.explained(sides, why, file))
            });
            match ready {
                Ok(step) => {
                    steps.push(Step { cause: Some(permit.seq()), ..step });
                    permits.push(permit);
                }
                Err((because, clashes)) => {
                    let (_, receipt) = permit.begin();
                    let cause = Some(receipt.seq());
                    receipt.settle(Outcome::failed(because.clone()));
                    refuse(admission, landing, &file.path, because, cause)?;
                    if let Some(kept) = landing.refused.last_mut() {
                        kept.conflicts = clashes.into_iter().map(Conflict::from).collect();
                    }
                }
            }
        }
        ready::sync(&sides.now, &kept, &steps).map_err(io_error("write to", &self.root))?;
        Ok((steps, permits))
    }

    /// Names both sides of what cannot be brought together.
    fn explained(&self, sides: &Sides, why: ready::Unready, file: &FileChange) -> (String, Vec<Clash>) {
        let (what, clashes) = match why {
            ready::Unready::Moved(what, clashes) => (what, clashes),
            ready::Unready::Cannot(because) => return (because, Vec::new()),
        };
        let left = match &self.staged {
            sandbox::plan::Stage::Overlay { upper, .. } => upper,
            sandbox::plan::Stage::Copy { from } => from,
        };
        let was = sides.was(&file.path).filter(|was| was.found.kind == Kind::File);
        let is_lost = was.is_some_and(|was| !matches!(sides.before(was), Ok(Some(_))));
        let clash = match clashes.first() {
            Some(clash) if clashes.len() > 1 => format!(" ({clash}, and {} places more)", clashes.len() - 1),
            Some(clash) => format!(" ({clash})"),
            None if is_lost => " (its content then was not saved)".to_owned(),
            None => String::new(),
        };
        let because = format!(
            "{what} since the run began{clash}: `{}` is what you have, `{}` what the run left",
            shown(&self.root.join(&file.path)),
            shown(&left.join(&file.path))
        );
        (because, clashes)
    }

    fn admit(&self, admission: &Admission, path: &Path) -> Result<Permit<Land>, Denial> {
        let plain = AbsPath::new(&self.root.join(path)).map_err(|_| Denial {
            action: format!("land {}", path.display()),
            reasons: Vec::new(),
            hint: "its path is not plain".to_owned(),
            ask: None,
            seq: None,
        })?;
        admission.admit(Land(plain)).wait().permit()
    }

    /// Where a person edited what landed, what the run left holds that edit too.
    //
    // ORDER: it does before the journal is closed. Until then a crash does it again, whatever the ledger tells already, and
    // nothing that waits would take the edit back.
    fn keep_hand(&self, sides: &Sides, step: &Step) -> Result<(), LandError> {
        let Some(hand) = &step.hand else { return Ok(()) };
        let left = hand.leave(sides, &step.path(), &self.run_dir.join("base/kept"));
        Ok(left.map_err(io_error("write to what the run left of", &self.root))?)
    }

    /// Records what became of one step.
    fn record(
        &self,
        admission: &Admission,
        (sides, journal): (&Sides, &Journal),
        step: &Step,
        done: swap::Done,
        landing: &mut Landing,
    ) -> Result<(), LandError> {
        match done {
            Ok(cause) => {
                self.keep_hand(sides, step)?;
                let (path, pre, post) = (step.path.clone(), step.pre.digest(), step.post.digest());
                let told: Body = match journal.undoes() {
                    Some(_) => Undone { path, pre, post }.into(),
                    None => {
                        swap::prune(sides, step);
                        Landed { path, pre, post, manner: step.manner, hunks: step.hunks.clone() }.into()
                    }
                };
                admission.note(told, Trust::Observed, cause)?;
                landing.landed.push(step.path());
                Ok(())
            }
            Err(because) => refuse(admission, landing, &step.path(), because, None),
        }
    }

    /// Brings folders and base to what stands now, and closes the journal.
    fn finish(
        &self,
        admission: &Admission,
        sides: &mut Sides,
        journal: Journal,
        mut landing: Landing,
    ) -> Result<Landing, LandError> {
        let at = self.run_dir.join("landing");
        swap::clear(&sides.now, &journal);
        swap::shut_folders(&sides.now, &journal.folders());
        swap::remove_empty(&sides.now, &journal.gone());
        let landed: BTreeSet<&PathBuf> = landing.landed.iter().collect();
        let steps: Vec<&Step> = journal.steps().iter().filter(|step| landed.contains(&step.path())).collect();
        ready::sync_folders(&sides.now, steps.iter().copied()).map_err(io_error("write to", &self.root))?;
        let is_back = journal.undoes().is_some();
        let rests: Vec<PathBuf> = steps
            .iter()
            .filter(|step| step.is_file() && (is_back || step.leaves_some()))
            .map(|step| step.path())
            .collect();
        let base = ready::rebased(sides, &steps, &journal).map_err(io_error("look at", &self.root))?;
        let base_dir = self.run_dir.join("base");
        let paths = landing.landed.iter().map(PathBuf::as_path);
        sides.forget(paths).map_err(io_error("write to", &base_dir))?;
        base.save_durably(&base_dir).map_err(io_error("write to", &base_dir))?;
        sides.base = Arc::new(base);
        // Of these something still waits: what it is compared with outlasts a move of the repository.
        let rests = rests.iter().map(PathBuf::as_path);
        sides.keep(rests).map_err(io_error("keep contents in", &base_dir))?;
        self.set_base(Arc::clone(&sides.base));
        admission.barrier()?;
        let whole = landing.refused.is_empty();
        journal.close(&landing.landed, whole).map_err(io_error("close the journal in", &at))?;
        landing.landed.sort();
        landing.refused.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(landing)
    }
}

pub(crate) fn refuse(
    admission: &Admission,
    landing: &mut Landing,
    path: &Path,
    because: String,
    cause: Option<u64>,
) -> Result<(), LandError> {
    let refused = LandRefused { path: path.into(), because: because.clone() };
    admission.note(refused.into(), Trust::Observed, cause)?;
    landing.refused.push(Kept { path: path.to_owned(), because, conflicts: Vec::new(), lands_by: None });
    Ok(())
}

/// The same for what was named, but not by the name that it waits for.
fn withhold(
    admission: &Admission,
    landing: &mut Landing,
    path: &Path,
    (because, lands_by): Withheld,
) -> Result<(), LandError> {
    refuse(admission, landing, path, because, None)?;
    if let Some(kept) = landing.refused.last_mut() {
        kept.lands_by = lands_by;
    }
    Ok(())
}

/// Why something does not land that is not what was looked at.
pub(super) const ALTERED: &str =
    "what the run left here was changed after the run was over: nobody has looked at it";

/// What the disk said, in words.
fn said(what: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("cannot {what}: {error}")
}

#[cfg(test)]
mod tests;
