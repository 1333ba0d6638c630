//! The one question of a workspace: whether routine files may land by themselves while somebody attends a run.
//!
//! Owns when it is asked, its words, and that it is asked once. Does not own what is routine (`workspace`) nor the record
//! of the answer (`layers`).

use std::fs::File;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use ledger::event::Risk;
use sandbox::terminal::ask_on_terminal;

use crate::folders::Folders;
use crate::layers;
use crate::render::{Out, summary};

/// The word that says yes.
const YES: &str = "land";
/// How long the question stands; who does not answer is asked again after another run.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks, where a run left something that would have landed, nobody was asked before, and somebody is there.
pub(super) fn ask_once(summary: &summary::Summary, folders: &Folders, out: Out) {
    let workspace = Path::new(&summary.workspace);
    let is_there = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let would_land = summary.changes.iter().any(|change| {
        matches!(change.change.as_str(), "added" | "modified")
            && change.fate == "waiting"
            && !change.handoff
            && change.risk.is_none_or(|risk| risk < Risk::Medium)
    });
    if !is_there || !would_land || layers::lands(folders, workspace).is_some() {
        return;
    }
    let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else { return };
    let text = question(&summary.workspace);
    let said = ask_on_terminal(&terminal, &terminal, (&text, &help()), YES, PATIENCE, &|| false);
    let Ok(Some(lands)) = said else { return };
    match layers::answer(folders, workspace, lands) {
        Ok(place) => {
            out.aside(format!("The answer is in `{}`; without it you are asked again.", place.display()))
        }
        Err(failure) => out.aside(failure.what),
    }
}

fn question(workspace: &str) -> Vec<String> {
    vec![
        String::new(),
        "provost: may routine files land by themselves from the next run on, so that your editor shows the work?".to_owned(),
        format!("  where    {workspace}, while you attend a run"),
        "  when     at a quiet point: nothing inside starts a program or opens a file".to_owned(),
        "  what     new and changed text in which no sign of a risk is, and that you did not change too".to_owned(),
        "  never    what other programs obey (hooks, builds, settings), links, modes, deletions, the rest".to_owned(),
        "  undo     provost undo".to_owned(),
    ]
}

/// What a person is told who does not know what to say.
fn help() -> Vec<String> {
    vec![
        format!(
            "  `{YES}` lets such files land by themselves in later runs here; what landed is named after each run."
        ),
        "  Anything else keeps it as it is: nothing lands but by `provost apply` or a review.".to_owned(),
        "  No answer in time decides nothing: you are asked again after another run.".to_owned(),
    ]
}
