//! `provost review`: the staged changes of a run, as a walk on a terminal, else as a diff.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use ledger::{Host, RunId};

use super::{DONE, apply, find_aloud, open_whole, story};
use crate::cli;
use crate::demand::Demand;
use crate::editor::Editor;
use crate::epilogue;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::render::Out;
use crate::walk;
use crate::workspace::{Commits, Look, Review, Workspace};

pub(super) fn review(order: &cli::Review, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "review", out)?;
    let run = find_aloud(&host, order.run.as_deref(), out)?;
    let workspace = epilogue::staged(&host, &run)?;
    let (policy, _) = epilogue::policy(&folders, &story(&host, &run)?, &workspace)?;
    let review = workspace.review(&workspace.change()?)?;
    let review = review.judged(|path| Demand::of(&policy, workspace.root(), path));
    let commits = workspace.commits()?;
    let written = written(&workspace)?;
    let walks = !order.print && io::stdin().is_terminal() && io::stdout().is_terminal();
    if !out.human() {
        let mut told = whole(&review, written.as_ref());
        told["commits"] = serde_json::to_value(&commits).unwrap_or_default();
        out.json(&told);
        return Ok(DONE);
    }
    if let Some(written) = &written {
        tell_written(written, &run, out);
        if review.files.is_empty() && commits.is_empty() {
            return Ok(DONE);
        }
        out.line("");
        out.line("What waits:");
    }
    if review.files.is_empty() && commits.is_empty() {
        out.line(format!("Run {run} has staged nothing that waits."));
        let aside = review.aside();
        if !aside.is_empty() {
            out.line(aside.trim_end());
        }
    } else if walks {
        return walked((&folders, &host), &run, (&review, &commits), out);
    } else {
        if !commits.is_empty() {
            out.line(commits.text());
        }
        out.line(review.text(Look { colour: out.paint().is_on(), columns: out.columns() }).trim_end());
        out.line("");
        out.line(format!("provost apply {run} --all   or   --only 'src/**'   or   provost discard {run}"));
        let waits = review.files.iter().filter(|file| file.lands && file.why.is_some());
        let named: Vec<String> = waits.filter_map(|file| apply::only(&file.path.to_path())).take(4).collect();
        if !named.is_empty() {
            out.line(format!("what waits for its own yes:  provost apply {run} {}", named.join(" ")));
        }
    }
    Ok(DONE)
}

/// What a run in direct mode changed in the folder, as long as it is known.
fn written(workspace: &Workspace) -> Result<Option<Review>, Failure> {
    if !workspace.has_preimages() {
        return Ok(None);
    }
    let written = workspace.written()?;
    Ok(Some(written.review(&written.change()?)?))
}

fn tell_written(written: &Review, run: &RunId, out: Out) {
    out.line(format!(
        "Run {run} wrote into the folder itself. What it changed there, beside what was there before:"
    ));
    out.line("");
    out.line(written.text(Look { colour: out.paint().is_on(), columns: out.columns() }).trim_end());
    out.line("");
    out.line(format!("provost undo {run}   takes it back"));
}

/// What waits, and beside it what is in the folder already.
fn whole(review: &Review, written: Option<&Review>) -> serde_json::Value {
    let mut whole = serde_json::to_value(review).unwrap_or_default();
    if let (Some(written), Some(whole)) = (written, whole.as_object_mut()) {
        whole.insert("written".to_owned(), serde_json::to_value(written).unwrap_or_default());
    }
    whole
}

/// Walks the person through it, and does what they said.
fn walked(
    places: (&Folders, &Host),
    run: &RunId,
    (review, commits): (&Review, &Commits),
    out: Out,
) -> Result<u8, Failure> {
    if !commits.is_empty() {
        out.line(commits.text());
    }
    if commits.waits() {
        out.line(format!("To take them over: provost apply {run} --commits"));
    }
    let lost = |error: io::Error| Failure::of(&error).during("the terminal is gone; nothing was done");
    let beneath = places.1.run_dir(run);
    let edit = |name: &Path, text: &[u8]| {
        let named = |variable: &str| std::env::var(variable).ok();
        let (visual, editor) = (named("VISUAL"), named("EDITOR"));
        Editor::named(visual.as_deref(), editor.as_deref(), &beneath)?.edit(name, text)
    };
    let terminal: (&mut dyn io::BufRead, &mut dyn io::Write, _) =
        (&mut io::stdin().lock(), &mut io::stdout(), out.paint());
    let said = walk::through(review, terminal, out.columns(), &edit).map_err(lost)?;
    let Some(said) = said else { return Ok(DONE) };
    let settled = apply::settle(places, run, "terminal", said.pick(), &said.nos)?;
    apply::tell(run, &settled, ("landed", apply::REJECTED), out);
    Ok(settled.status())
}
