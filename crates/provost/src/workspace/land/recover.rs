//! A landing that a crash cut short, finished or taken back.
//!
//! Owns that every file ends as it was or as it was to become, and that the ledger tells each landing once, by the decision
//! that let it happen. Does not own how far a step got (`swap`), nor when this is done (the next command, see `mend`).

use std::collections::{BTreeMap, BTreeSet};

use admission::Admission;
use ledger::event::{LandRecovered, Outcome, OutcomeResult};
use ledger::{Body, Event, Trust};

use super::hold::Hold;
use super::journal::{Journal, Step};
use super::{LandError, Landing, io_error, swap};
use crate::workspace::Workspace;
use crate::workspace::sides::Sides;

/// What a ledger says already of a landing that was cut short, by the numbers of the decisions that let it happen.
#[derive(Debug, Default)]
pub struct Told {
    done: BTreeSet<u64>,
    /// Whether it was done.
    outcomes: BTreeMap<u64, bool>,
}

impl Told {
    /// Takes in the next event.
    pub fn see(&mut self, event: &Event) {
        match &event.body {
            Body::Landed(_) | Body::Undone(_) => self.done.extend(event.cause),
            Body::Outcome(outcome) => {
                self.outcomes.insert(outcome.of, outcome.result == OutcomeResult::Done);
            }
            _ => {}
        }
    }
}

/// What became of a landing that was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Each file.
    pub landing: Landing,
    /// Whether it had changed nothing yet, and was taken back.
    pub taken_back: bool,
    /// Whether it was the taking back of an earlier landing.
    pub undo: bool,
}

impl Workspace {
    /// Finishes a landing that a crash cut short, or takes it back where nothing had changed yet. `None` where there is none.
    ///
    /// # Errors
    /// It can be neither: the journal, the repository or the ledger cannot be used.
    pub fn recover(
        &self,
        hold: &mut Hold,
        admission: &Admission,
        told: &Told,
    ) -> Result<Option<Recovered>, LandError> {
        let at = self.run_dir.join("landing");
        let found = Journal::found(&at).map_err(io_error("read the journal in", &at))?;
        let Some(journal) = found else {
            hold.end().map_err(io_error("write to", &at))?;
            return Ok(None);
        };
        let mut sides = self.sides()?;
        let mut landing = Landing::default();
        let (taken_back, undo) = (journal.steps().is_empty(), journal.undoes().is_some());
        if taken_back {
            swap::clear(&sides.now, &journal);
            self.say_recovered(admission, &landing, (taken_back, undo))?;
            admission.barrier()?;
            journal.close(&[], true).map_err(io_error("close the journal in", &at))?;
        } else {
            let folders = journal.folders();
            for step in swap::by_order(journal.steps()) {
                self.recover_step(admission, (&sides, &journal, &folders), (step, told), &mut landing)?;
            }
            self.say_recovered(admission, &landing, (taken_back, undo))?;
            landing = self.finish(admission, &mut sides, journal, landing)?;
        }
        hold.end().map_err(io_error("write to", &at))?;
        Ok(Some(Recovered { landing, taken_back, undo }))
    }

    fn say_recovered(
        &self,
        admission: &Admission,
        landing: &Landing,
        (taken_back, undo): (bool, bool),
    ) -> Result<(), LandError> {
        let (files, kept) = (landing.landed.len() as u64, landing.refused.len() as u64);
        admission.note(LandRecovered { taken_back, undo, files, kept }.into(), Trust::Observed, None)?;
        Ok(())
    }

    fn recover_step(
        &self,
        admission: &Admission,
        (sides, journal, folders): (&Sides, &Journal, &[(std::path::PathBuf, u32)]),
        (step, told): (&Step, &Told),
        landing: &mut Landing,
    ) -> Result<(), LandError> {
        swap::make_way(&sides.now, journal, step);
        let failed = step.cause.is_some_and(|cause| told.outcomes.get(&cause) == Some(&false));
        let done = match swap::standing(&sides.now, step) {
            _ if failed => Err("it could not land before the crash; nothing was replaced".to_owned()),
            swap::Reached::Done => match step.cause.filter(|cause| told.done.contains(cause)) {
                Some(_) => {
                    self.keep_hand(sides, step)?;
                    landing.landed.push(step.path());
                    return Ok(());
                }
                None => self.found_done(admission, step, told)?,
            },
            swap::Reached::Not => match self.admit(admission, &step.path()) {
                Ok(permit) => swap::perform(permit, step, sides, folders),
                Err(denial) => Err(denial.to_string()),
            },
            swap::Reached::Lost(because) => Err(because),
        };
        self.record(admission, (sides, journal), step, done, landing)
    }

    /// A step that was done, of which the ledger does not tell: it happened by the decision that came before it.
    fn found_done(&self, admission: &Admission, step: &Step, told: &Told) -> Result<swap::Done, LandError> {
        if let Some(of) = step.cause.filter(|cause| !told.outcomes.contains_key(cause)) {
            let outcome = Outcome { of, result: OutcomeResult::Done, detail: String::new() };
            admission.note(outcome.into(), Trust::Observed, Some(of))?;
        }
        Ok(Ok(step.cause))
    }
}
