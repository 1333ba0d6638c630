//! Taking a landing back: what was there before, put back file by file, with a permit for each.
//!
//! Owns that a landing is taken back exactly or, where somebody has changed a file since, not at all for that file. Goes the
//! way a landing goes: made ready beside its place, journaled, swapped in one step. Does not own those steps.

use std::fs::File;
use std::io;
use std::path::Path;

use admission::{Admission, Land, Outcome, Permit};
use policy::AbsPath;
use rustix::io::Errno;

use super::journal::{Hand, Journal, Stands, Step, Temp};
use super::{LandError, Landing, ready, refuse, said, swap};
use crate::workspace::beneath::is_absent;
use crate::workspace::sides::{Sides, keep_content};
use crate::workspace::{Workspace, copy, io_error};

/// How a file stands that had landed.
enum Stood {
    /// As it landed.
    Landed,
    /// As it was before.
    Back,
}

impl Workspace {
    /// Puts back what the last landing of this run changed. What it says of what landed is what is there again; what
    /// changed since stays as it is and is named.
    ///
    /// # Errors
    /// Nothing has landed, or it could not go on: then `recover` puts the rest in order.
    pub fn undo(&self, admission: &Admission) -> Result<Landing, LandError> {
        let mut hold = self.hold_whole()?;
        let at = self.run_dir.join("landing");
        let last = Journal::last(&at).map_err(io_error("read the journal in", &at))?;
        let Some((name, done)) = last else { return Err(LandError::NothingLanded) };
        let (mut sides, mut landing) = (self.sides()?, Landing::default());
        let permitted = self.permitted_back(admission, &sides, &done, &mut landing)?;
        let mut journal = self.begin(&mut hold)?;
        let (steps, permits) =
            self.make_ready_back(admission, (&mut journal, &sides), permitted, &mut landing)?;
        let folders = journal
            .prepared_back(&sides.now, steps, (&name, &done))
            .map_err(io_error("write the journal in", &at))?;
        for (step, permit) in swap::in_order(journal.steps(), permits) {
            swap::make_way(&sides.now, &journal, step);
            let done = swap::perform(permit, step, &sides, &folders);
            self.record(admission, (&sides, &journal), step, done, &mut landing)?;
        }
        let landing = self.finish(admission, &mut sides, journal, landing)?;
        hold.end().map_err(io_error("write to", &at))?;
        Ok(landing)
    }

    /// The name of the last landing of files that was not taken back.
    pub(crate) fn last_landing(&self) -> Option<String> {
        Journal::last(&self.run_dir.join("landing")).ok().flatten().map(|(name, _)| name)
    }

    pub(super) fn permitted_back<'a>(
        &self,
        admission: &Admission,
        sides: &Sides,
        done: &'a Journal,
        landing: &mut Landing,
    ) -> Result<Vec<(&'a Step, Permit<Land>)>, LandError> {
        let mut pending = Vec::new();
        for step in done.landed() {
            let path = step.path();
            let place = match stood(sides, step) {
                Ok(Stood::Back) => continue,
                Ok(Stood::Landed) => {
                    AbsPath::new(&self.root.join(&path)).map_err(|_| "its path is not plain".to_owned())
                }
                Err(because) => Err(because),
            };
            match place {
                Ok(place) => pending.push((step, admission.admit(Land(place)))),
                Err(because) => refuse(admission, landing, &path, because, None)?,
            }
        }
        let mut permitted = Vec::new();
        for (step, pending) in pending {
            match pending.wait().permit() {
                Ok(permit) => permitted.push((step, permit)),
                Err(denial) => refuse(admission, landing, &step.path(), denial.to_string(), denial.seq)?,
            }
        }
        Ok(permitted)
    }

    pub(super) fn make_ready_back(
        &self,
        admission: &Admission,
        (journal, sides): (&mut Journal, &Sides),
        permitted: Vec<(&Step, Permit<Land>)>,
        landing: &mut Landing,
    ) -> Result<(Vec<Step>, Vec<Permit<Land>>), LandError> {
        let (kept, at) = (self.run_dir.join("base/kept"), self.run_dir.join("landing"));
        let places: Vec<_> = permitted.iter().map(|(step, _)| ready::beside(sides, &step.path())).collect();
        let temps = journal.announce(&places).map_err(io_error("write the journal in", &at))?;
        let (mut steps, mut permits) = (Vec::new(), Vec::new());
        for ((step, permit), temp) in permitted.into_iter().zip(temps) {
            let temp = temp.ok_or_else(|| "its folder cannot be reached".to_owned());
            match temp.and_then(|temp| back(sides, step, &temp, &kept)) {
                Ok(back) => {
                    steps.push(Step { cause: Some(permit.seq()), ..back });
                    permits.push(permit);
                }
                Err(because) => {
                    let (_, receipt) = permit.begin();
                    let cause = Some(receipt.seq());
                    receipt.settle(Outcome::failed(because.clone()));
                    refuse(admission, landing, &step.path(), because, cause)?;
                }
            }
        }
        ready::sync(&sides.now, &kept, &steps).map_err(io_error("write to", &self.root))?;
        Ok((steps, permits))
    }
}

/// What is at the place of a step: as it landed, as it was before, or neither.
fn stood(sides: &Sides, step: &Step) -> Result<Stood, String> {
    let path = step.path();
    let stands = match sides.now.parent(&path) {
        Ok((folder, name)) => ready::stands(&folder, name),
        Err(error) if is_absent(&error) || Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Ok(Stands::Nothing)
        }
        Err(error) => Err(error),
    };
    let stands = stands.map_err(said("look at it"))?;
    if stands == step.pre {
        Ok(Stood::Back)
    } else if stands == step.post {
        Ok(Stood::Landed)
    } else {
        Err("it was changed since it landed; nothing of yours is replaced".to_owned())
    }
}

/// The step back, with what was there made ready.
fn back(sides: &Sides, step: &Step, temp: &Temp, kept: &Path) -> Result<Step, String> {
    let path = step.path();
    let now = match sides.now.find(&path) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => None,
        found => found.map_err(said("look at it"))?,
    };
    if let Stands::File { .. } = step.post {
        let standing = sides.now.file(&path).map_err(said("read what is there"))?;
        keep_content(&standing, kept, true).map_err(said("keep what is there"))?;
    }
    let is_mode = step.post != Stands::Nothing && step.pre.is_like(&step.post);
    let holder = sides.now.folder(&temp.folder()).map_err(said("open its folder"))?;
    match &step.pre {
        Stands::File { digest, mode } if !is_mode => {
            let content = File::open(kept.join(digest)).map_err(said("read what was there"))?;
            let owner = match step.owner.filter(|_| rustix::process::geteuid().is_root()) {
                Some(owner) => Some(owner),
                None => ready::owner(&holder, now).map_err(words)?,
            };
            let fill = |fresh: &mut File| copy::copy_content(&content, fresh);
            let like = ready::standing_file(sides, &path, now).map_err(words)?;
            let carried = (owner, like.as_ref());
            let written = ready::write(&sides.now, temp, fill, *mode, carried).map_err(words)?;
            if written != *digest {
                return Err("what was there is not whole any more".to_owned());
            }
        }
        Stands::Link { target } => {
            rustix::fs::symlinkat(target.to_path(), &holder, temp.name.as_str())
                .map_err(|error| said("write beside it")(io::Error::from(error)))?;
        }
        Stands::File { .. } | Stands::Nothing | Stands::Folder { .. } => {}
    }
    Ok(Step {
        temp: temp.clone(),
        pre: step.post.clone(),
        post: step.pre.clone(),
        seen: now.map(|now| now.stamp.into()),
        owner: now.map(|now| (now.uid, now.gid)),
        hunks: Vec::new(),
        hand: step.hand.as_ref().map(Hand::back),
        ..step.clone()
    })
}

fn words(why: ready::Unready) -> String {
    match why {
        ready::Unready::Cannot(because) => because,
        ready::Unready::Moved(what, _) => what.to_owned(),
    }
}
