//! The undo of a run in direct mode, and what is done when such a run is over.
//!
//! Owns: which differences are the run's and which a person's, that each is put back with a permit, and what is recorded of
//! it. Does not own the taking back itself (`back`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use admission::{Admission, Land, Outcome, Permit, Receipt};
use ledger::Trust;
use ledger::event::Undone;
use policy::AbsPath;

use super::back::{Back, Failures};
use super::before::After;
use super::differ::{Difference, Differences};
use super::held;
use crate::workspace::base::Base;
use crate::workspace::beneath::{Found, Kind, Root, digest};
use crate::workspace::land::{LandError, Landing, refuse};
use crate::workspace::left::Left;
use crate::workspace::sides::hex;
use crate::workspace::{StageError, Workspace, io_error};

/// What is put back by one permit: a file, or a folder that git ignores with all in it.
#[derive(Debug, Default)]
struct Unit {
    parts: Vec<Difference>,
    whole: bool,
}

impl Workspace {
    /// Puts back what the last landing changed, or, where none is left, everything that a run in direct mode wrote into the
    /// folder. What it takes back waits; what changed since stays as it is and is named.
    ///
    /// # Errors
    /// There is nothing to put back, or it could not go on.
    pub fn undo_last(&self, admission: &Admission) -> Result<Landing, LandError> {
        match self.undo(admission) {
            Err(LandError::NothingLanded) if self.has_preimages() => self.undo_direct(admission),
            done => done,
        }
    }

    fn undo_direct(&self, admission: &Admission) -> Result<Landing, LandError> {
        let opening = || io_error("compare with what was there before", &self.root);
        let ignored: BTreeSet<PathBuf> = self.written()?.change()?.ignored.into_iter().collect();
        let mut back = self.back()?;
        back.tidy().map_err(opening())?;
        let found = back.differences().map_err(opening())?;
        let after = After::load(&self.preimages()).map_err(opening())?;
        if after.is_none() {
            // A run that was cut short never told what it wrote.
            self.tell_written(admission, &[], None)?;
        }
        let (mut landing, mut units, mut spared) = (Landing::default(), BTreeMap::new(), BTreeSet::new());
        for folder in &found.shut {
            refuse(admission, &mut landing, folder, "the folder cannot be read".to_owned(), None)?;
        }
        // That things came and went in a folder is told by those things.
        let mut times = Vec::new();
        for one in &found.all {
            if one.is_time_of_a_folder() {
                let mtime = |found: &Found| found.stamp.mtime;
                let since = after.as_ref().and_then(|after| after.get(&one.path)).map(mtime);
                let differs = after.is_some() && since != one.now.as_ref().map(mtime);
                match differs && !back.has_begun(one) {
                    true => drop(spared.insert(one.path.clone())),
                    false => times.push(one.clone()),
                }
            } else if is_persons(&back, &found, one) {
                spared.extend(around(&one.path));
            } else if after.as_ref().is_some_and(|after| has_changed_since(after, &back, one)) {
                spared.extend(around(&one.path));
                // A person put it back already: nothing of the run's is left in it.
                if one.is_moment() {
                    continue;
                }
                let because = "it was changed since the run ended; nothing of yours is replaced";
                refuse(admission, &mut landing, &one.path, because.to_owned(), None)?;
            } else {
                let top = one.path.ancestors().filter(|above| ignored.contains(*above)).last();
                let unit = units.entry(top.unwrap_or(&one.path).to_owned()).or_insert_with(Unit::default);
                unit.whole |= top.is_some();
                unit.parts.push(one.clone());
            }
        }
        let permitted = self.permitted_direct(admission, units, &mut landing)?;
        let taken = taken(&permitted, &mut spared, times, &landing);
        let keeps = |path: &Path| !path.ancestors().any(|above| ignored.contains(above));
        let told: Vec<Told> =
            permitted.into_iter().map(|(path, unit, permit)| Told::of(&back, path, unit, permit)).collect();
        let failures = back.take(&taken, &spared, &keeps).map_err(io_error("write to", &self.root))?;
        for told in told {
            told.settle(admission, &failures, &mut landing)?;
        }
        self.waits_now(&taken, &failures)?;
        admission.barrier()?;
        if landing.refused.is_empty() {
            self.forget_preimages()?;
        }
        landing.landed.sort();
        landing.refused.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(landing)
    }

    fn permitted_direct(
        &self,
        admission: &Admission,
        units: BTreeMap<PathBuf, Unit>,
        landing: &mut Landing,
    ) -> Result<Vec<(PathBuf, Unit, Permit<Land>)>, LandError> {
        let mut pending = Vec::new();
        for (path, unit) in units {
            match AbsPath::new(&self.root.join(&path)) {
                Ok(place) => pending.push((path, unit, admission.admit(Land(place)))),
                Err(_) => refuse(admission, landing, &path, "its path is not plain".to_owned(), None)?,
            }
        }
        let mut permitted = Vec::new();
        for (path, unit, pending) in pending {
            match pending.wait().permit() {
                Ok(permit) => permitted.push((path, unit, permit)),
                Err(denial) => refuse(admission, landing, &path, denial.to_string(), denial.seq)?,
            }
        }
        Ok(permitted)
    }

    // === when the run is over ===

    /// What is obeyed by a name that the rules do not spell, and links that lead out, go to what waits. Then it is noted how
    /// the folder stands. Gives what was taken back.
    pub(super) fn take_back_what_slipped(&self) -> Result<Vec<PathBuf>, StageError> {
        let opening = || io_error("compare with what was there before", &self.root);
        let ignored: BTreeSet<PathBuf> = self.written()?.change()?.ignored.into_iter().collect();
        let mut back = self.back()?;
        let found = back.differences().map_err(opening())?;
        let slips = |one: &&Difference| {
            let is_link = one.now.is_some_and(|now| now.kind == Kind::Link);
            let leads_out = |path: &Path| {
                let target = back.now.link(path).unwrap_or_default();
                held::leads_out(&self.root, path, &target)
            };
            let ignored = one.path.ancestors().any(|above| ignored.contains(above));
            one.now.is_some()
                && (held::slipped_past(&one.path)
                    || is_bound(one)
                    || (is_link && !ignored && leads_out(&one.path)))
        };
        let taken: Vec<Difference> = found.all.iter().filter(slips).cloned().collect();
        if !taken.is_empty() {
            // The rest of what the run did to folders is there to stay.
            let others = found.all.iter().filter(|one| !slips(one)).map(|one| one.path.clone());
            let spared: BTreeSet<PathBuf> = others.chain([PathBuf::new()]).collect();
            let failures = back.take(&taken, &spared, &|_| true);
            let failures = failures.map_err(io_error("write to", &self.root))?;
            self.waits_now(&taken, &failures)?;
        }
        let (standing, _) = super::before::look(&back.now).map_err(opening())?;
        After::save(&standing, &self.preimages()).map_err(io_error("write to", &self.preimages()))?;
        Ok(taken.into_iter().map(|one| one.path).collect())
    }

    fn back(&self) -> Result<Back, StageError> {
        let left = self.run_dir.join("staged/copy");
        Back::open(&self.root, &self.preimages(), &left)
            .map_err(io_error("open what was there before", &self.root))
    }

    /// The base of what waits: the folder as it stands now, and that the run had removed what is there again.
    fn waits_now(&self, taken: &[Difference], failures: &Failures) -> Result<(), StageError> {
        let (base_dir, looking) = (self.run_dir.join("base"), || io_error("look at", &self.root));
        let now = Root::open(&self.root).map_err(looking())?;
        let mut base = Base::take(&now, (i64::MAX, 0)).map_err(looking())?;
        let old = self.base()?;
        let went = taken.iter().filter(|one| one.now.is_none() && !failures.contains_key(&one.path));
        let went: BTreeSet<&Path> = went.map(|one| one.path.as_path()).collect();
        for entry in &mut base.entries {
            let waited = old.get(&entry.path).is_some_and(|old| old.copied.is_some());
            entry.copied = (waited || went.contains(entry.path.as_path())).then_some(entry.found.stamp);
        }
        base.save_durably(&base_dir).map_err(io_error("write to", &base_dir))?;
        self.set_base(Arc::new(base));
        let mut sides = self.sides()?;
        let is_file = |one: &&Difference| one.was.as_ref().is_some_and(|was| was.found.kind == Kind::File);
        let kept = taken.iter().filter(is_file).filter(|one| !failures.contains_key(&one.path));
        let kept = sides.keep(kept.map(|one| one.path.as_path()));
        let keeping = || io_error("keep contents in", &base_dir);
        kept.map_err(keeping())?;
        // What waits is what was taken back, and nothing that is put there later.
        let change = self.compared(&sides)?;
        Left::of(&sides, &change).and_then(|left| left.save(&base_dir)).map_err(keeping())
    }
}

/// Everything that is taken back; and what is not, because no permit was given, is spared.
fn taken(
    permitted: &[(PathBuf, Unit, Permit<Land>)],
    spared: &mut BTreeSet<PathBuf>,
    times: Vec<Difference>,
    landing: &Landing,
) -> Vec<Difference> {
    for kept in &landing.refused {
        spared.extend(around(&kept.path));
    }
    let mut taken: Vec<Difference> =
        permitted.iter().flat_map(|(_, unit, _)| unit.parts.iter().cloned()).collect();
    taken.extend(times.into_iter().filter(|one| !spared.contains(&one.path)));
    taken.sort_by(|one, other| one.path.cmp(&other.path));
    taken
}

/// A path, and the folder that holds it.
fn around(path: &Path) -> impl Iterator<Item = PathBuf> {
    [Some(path), path.parent()].into_iter().flatten().map(Path::to_owned).collect::<Vec<_>>().into_iter()
}

/// What no write of the run could reach, and changed all the same: a person did that. What came or went with a whole folder
/// may have been carried there.
fn is_persons(back: &Back, found: &Differences, one: &Difference) -> bool {
    if one.is_dress || !held::is_ruled(&one.path) || is_bound(one) {
        return false;
    }
    let top = one.path.ancestors().filter(|above| held::is_ruled(above)).last().unwrap_or(&one.path);
    let holder = top.parent().unwrap_or(Path::new(""));
    let is_folder = |base: &Base| {
        holder.as_os_str().is_empty() || base.get(holder).is_some_and(|entry| entry.found.is_folder())
    };
    is_folder(&back.before.base) && is_folder(&found.now)
}

/// Whether it is a socket, or the like, by a name that is held: to bind one is no write, so a run may have done it.
fn is_bound(one: &Difference) -> bool {
    let is_special = one.now.is_some_and(|now| matches!(now.kind, Kind::Special { .. }));
    is_special && !one.is_dress && held::is_ruled(&one.path)
}

/// Whether something stands otherwise than when the run ended.
fn has_changed_since(after: &After, back: &Back, one: &Difference) -> bool {
    match (after.get(&one.path), one.now) {
        _ if back.has_begun(one) => false,
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
        // A folder's bookkeeping changes with what is in it.
        (Some(then), Some(now)) if now.is_folder() => {
            then.kind != now.kind || then.mode != back.mode_of(&one.path, now.mode)
        }
        (Some(then), Some(now)) => then.kind != now.kind || then.stamp != now.stamp,
    }
}

/// What is to be said of a unit once it is put back.
struct Told {
    path: PathBuf,
    unit: Unit,
    receipt: Receipt,
    pre: Option<String>,
    post: Option<String>,
}

impl Told {
    /// Begins: from here on it is being done.
    fn of(back: &Back, path: PathBuf, unit: Unit, permit: Permit<Land>) -> Told {
        let (_, receipt) = permit.begin();
        let of = |root: &Root| -> io::Result<String> { Ok(hex(&digest(&mut root.file(&path)?)?)) };
        let known = |root: &Root| if unit.whole { None } else { of(root).ok() };
        let (pre, post) = (known(&back.now), known(&back.before.tree));
        Told { path, unit, receipt, pre, post }
    }

    fn settle(
        self,
        admission: &Admission,
        failures: &Failures,
        landing: &mut Landing,
    ) -> Result<(), LandError> {
        let cause = Some(self.receipt.seq());
        let failed =
            self.unit.parts.iter().find_map(|one| failures.get(&one.path).map(|why| (&one.path, why)));
        if let Some((path, because)) = failed {
            self.receipt.settle(Outcome::failed(because.clone()));
            return refuse(admission, landing, path, because.clone(), cause);
        }
        let Told { path, receipt, pre, post, .. } = self;
        receipt.settle(Outcome::done());
        let undone = Undone { path: path.as_path().into(), pre, post };
        admission.note(undone.into(), Trust::Observed, cause)?;
        landing.landed.push(path);
        Ok(())
    }
}
