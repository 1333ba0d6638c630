//! Landings that a crash cut short, put in order before anything else is done with their workspaces.
//!
//! Owns finding them, and that one process does it. Does not own how (`workspace`), nor the chapter of the run's ledger in
//! which it is told (`epilogue`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use insight::Story;
use ledger::{Host, Reader, RunId, Standing};
use serde_json::{Value, json};

use crate::epilogue;
use crate::failure::{Failure, HALF_LANDED};
use crate::folders::Folders;
use crate::render::{clean, count};
use crate::workspace::{Hold, Recovered, Told, hold, place};

/// How long a landing that is at work is waited for by a command that only wants to know whether it was cut short.
const PATIENCE: Duration = Duration::from_secs(3);

/// A landing that was found cut short.
#[derive(Debug)]
pub struct Mended {
    run: String,
    what: Result<Recovered, Failure>,
}

/// Whether any workspace names a landing that is not over.
pub fn is_wanted(folders: &Folders) -> bool {
    named(&folders.state).next().is_some()
}

/// The folders of workspaces that name a run whose landing is not over, and that run.
fn named(state: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let folders = std::fs::read_dir(state.join("workspaces")).into_iter().flatten().flatten();
    folders.filter_map(|folder| {
        let folder = folder.path();
        let run = hold::named(&folder)?;
        Some((folder, run))
    })
}

/// Puts every landing in order that was cut short. Those that cannot be are told, and stay as they are; one at which another
/// process is stays that process's.
///
/// # Errors
/// The state folder cannot be used.
pub fn mend((folders, host): (&Folders, &Host), by: &'static str) -> Result<Vec<Mended>, Failure> {
    let mut mended = Vec::new();
    for (folder, run) in named(&folders.state) {
        let taken = Hold::take(&folder, PATIENCE)
            .map_err(|error| Failure::of(&error).during(format!("could not use `{}`", folder.display())))?;
        let Some(mut hold) = taken.filter(|hold| hold.half_landed() == Some(&run)) else { continue };
        match put_in_order((folders, host), &run, &mut hold, by) {
            Ok(None) => {}
            Ok(Some(recovered)) => mended.push(Mended { run, what: Ok(recovered) }),
            Err(failure) => mended.push(Mended { run, what: Err(failure) }),
        }
    }
    Ok(mended)
}

fn put_in_order(
    (folders, host): (&Folders, &Host),
    named: &str,
    hold: &mut Hold,
    by: &'static str,
) -> Result<Option<Recovered>, Failure> {
    let there =
        |run: &RunId| ["landing/journal", "staged"].iter().all(|part| host.run_dir(run).join(part).exists());
    let Some(run) = RunId::parse(named).filter(there) else {
        // It had not begun, or was over; or what it would be finished with was thrown away.
        hold.end().map_err(|error| Failure::of(&error))?;
        return Ok(None);
    };
    if host.find(Some(run.as_str()))?.standing == Standing::Running {
        return Ok(None);
    }
    let (mut story, mut told) = (Story::default(), Told::default());
    let reader = Reader::open(&host.ledger_dir(&run)).map_err(|error| Failure::of(&error))?;
    for event in reader {
        let event = event.map_err(|error| Failure::of(&error))?;
        story.see(&event);
        told.see(&event);
    }
    epilogue::take_up((folders, host), &run, &story, by, |epilogue| {
        Ok(epilogue.workspace.recover(hold, epilogue.admission, &told)?)
    })
}

/// Holds that a folder may become a run's workspace: no landing in it is half done. One at work is waited for.
///
/// # Errors
/// One is, and could not be put in order.
pub fn whole(folders: &Folders, workspace: &Path) -> Result<(), Failure> {
    let root = place::root(workspace, &folders.around())?;
    let folder = folders.state.join("workspaces").join(place::id(&root));
    if hold::named(&folder).is_none() {
        return Ok(());
    }
    let taken = Hold::take(&folder, hold::PATIENCE).map_err(|error| Failure::of(&error))?;
    match taken.as_ref().and_then(Hold::half_landed) {
        None => Ok(()),
        Some(run) => Err(Failure::new(format!(
            "the landing of run {run} was cut short in `{}` and is not in order again",
            root.display()
        ))
        .hint(HALF_LANDED)),
    }
}

impl Mended {
    /// One line for people.
    pub fn told(&self) -> String {
        let run = clean(&self.run);
        match &self.what {
            Ok(Recovered { taken_back: true, .. }) => {
                format!(
                    "A landing of run {run} was cut short before it changed anything: it is taken back, and waits again."
                )
            }
            Ok(Recovered { landing, undo, .. }) => {
                let (what, done) = if *undo { ("undo", "put back") } else { ("landing", "landed") };
                let (files, kept) = (count(landing.landed.len() as u64, "file"), landing.refused.len());
                format!(
                    "The {what} of run {run} that was cut short is finished: {files} {done}, {kept} kept back."
                )
            }
            Err(failure) => {
                let because =
                    failure.because.iter().map(|because| format!(": {because}")).collect::<String>();
                let text = format!("{}{because}", failure.what);
                format!(
                    "A landing of run {run} was cut short and could not be put in order: {}",
                    clean(&text)
                )
            }
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let recovered = match &self.what {
            Ok(Recovered { landing, taken_back, undo }) => json!({
                "run": self.run, "taken_back": taken_back, "undo": undo,
                "files": landing.landed.len(), "kept": landing.refused.len(),
            }),
            Err(failure) => json!({ "run": self.run, "failed": failure.what, "because": failure.because }),
        };
        json!({ "recovered": recovered })
    }
}
