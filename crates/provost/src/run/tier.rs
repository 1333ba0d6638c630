//! What a run without namespaces needs beside any other: what keeps it, what it is refused for, folders of its own instead of
//! a view, and telling the gateway whose connections are the run's.
//!
//! Owns that, and the words for it. Does not own what holds such a run (sandbox), or whether that is enough (policy).

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use gateway::Guests;
use ledger::Mode;
use policy::{Confinement, Tier};
use sandbox::{Cell, Plan};

use crate::cli;
use crate::failure::Failure;
use crate::task::Task;
use crate::workspace::remove_folder;

/// Why the workspace is a copy.
pub(super) const COPY: &str =
    "without namespaces (--tier landlock) nothing is laid over it, and it has another path";
/// What is private to the run, in its folder, while it lasts.
const INSIDE: &str = "inside";

/// Makes what a run stands in. To be called first of all, while this process has one thread.
pub(crate) fn cell(flags: &cli::RunFlags) -> Result<Cell, Failure> {
    match flags.tier {
        cli::Tier::Namespaces => Ok(Cell::spawn()?),
        cli::Tier::Landlock if flags.mode == cli::Mode::Direct => Err(Failure::new(
            "--mode direct cannot be held without namespaces: what keeps files out of reach there is mounts",
        )
        .hint("run without --mode direct, or without --tier landlock")),
        cli::Tier::Landlock => Ok(Cell::bare()?),
    }
}

/// Says what such a run does not hold, before it starts. The ledger has it in what the kernel gave.
pub(super) fn warn(task: &Task, say: fn(&str)) {
    if task.tier == Tier::Landlock {
        say("--tier landlock, a lesser one, does not hold all that the other does (see docs/tiers.md):");
        sandbox::LOST_WITHOUT_NAMESPACES.iter().for_each(|lost| say(&format!("  {lost}")));
    }
}

/// The plan of a run, with what its tier has instead of a view.
pub(super) fn plan(
    task: &Task,
    asked: &Confinement,
    order: &sandbox::plan::Order,
    run_dir: &Path,
) -> Result<Plan, Failure> {
    let look = &sandbox::plan::look_at_host;
    if task.tier == Tier::Namespaces {
        return Ok(Plan::new(asked, order, look)?);
    }
    let inside = run_dir.join(INSIDE);
    let made = DirBuilder::new().mode(0o700).create(&inside);
    made.map_err(|error| Failure::of(&error).during("could not make the run's own folder"))?;
    Ok(Plan::bare(asked, order, &inside, look)?)
}

/// Whether the folder of a run is staged as a copy whatever it is.
pub(super) fn must_copy(task: &Task) -> Option<&'static str> {
    (task.tier == Tier::Landlock && task.mode == Mode::Staged).then_some(COPY)
}

/// Throws away what was private to the run.
pub(crate) fn leave(run_dir: &Path) {
    // What cannot be removed lies in the run's own folder, which nobody else may enter.
    let _ = remove_folder(&run_dir.join(INSIDE));
}

/// Whose connections the gateway takes, told by the supervisor that makes them.
#[derive(Debug)]
struct Doorbell(Guests);

impl sandbox::Guests for Doorbell {
    fn expect(&self, from: SocketAddr) {
        self.0.expect(from);
    }

    fn forget(&self, from: SocketAddr) {
        self.0.forget(from);
    }
}

/// The gateway's and the supervisor's side of that, where others of the machine reach the gateway too.
pub(super) fn guests(task: &Task) -> (Option<Guests>, Option<Arc<dyn sandbox::Guests>>) {
    let guests = (task.tier == Tier::Landlock).then(Guests::default);
    let told = guests.clone().map(|guests| Arc::new(Doorbell(guests)) as Arc<dyn sandbox::Guests>);
    (guests, told)
}
