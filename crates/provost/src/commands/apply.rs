//! `provost apply`: land staged changes in the folder, and reject others; take over commits, and write one.

use std::path::Path;

use ledger::event::OsText;
use ledger::{Host, RunId};

mod beside;
mod both;
mod stays;

use beside::Beside;
pub(super) use beside::{Done, undo};
pub(super) use stays::Committed;

use super::{DONE, find_aloud, open_whole, story};
use crate::cli::Apply;
use crate::demand::Demand;
use crate::epilogue;
use crate::failure::{Failure, NO, PATTERNS};
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, count};
use crate::task;
use crate::workspace::{Kept, Landing, LandsBy, Named, No, Pick, Voice};

/// What is said where something was rejected and nothing landed.
pub(super) const REJECTED: &str =
    "Nothing landed. What was rejected stays back, and is known when it comes again.";

pub(super) fn apply(order: &Apply, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "apply", out)?;
    let run = find_aloud(&host, order.run.as_deref(), out)?;
    let pick = if order.all { Pick::all() } else { pick(&order.only)? };
    let pick = pick.with_hunks(order.hunk.iter().cloned());
    let why = order.why.clone().unwrap_or_default();
    let nos: Vec<No> =
        order.reject.iter().map(|what| No { what: Named::Word(what.clone()), why: why.clone() }).collect();
    let beside = Beside::of(order);
    let settled = settle_beside((&folders, &host), &run, "command", (pick, &nos), &beside)?;
    let nothing = match nos.is_empty() {
        true if epilogue::staged(&host, &run)?.has_preimages() => format!(
            "Nothing to land: run {run} wrote into the folder itself, and what it changed is there. `provost undo {run}` takes it back."
        ),
        true if order.all => format!("Nothing to land: run {run} has nothing that waits."),
        true => "Nothing landed.".to_owned(),
        false => REJECTED.to_owned(),
    };
    tell(&run, &settled, ("landed", &nothing), out);
    if out.human() {
        settled.beside.last(&run, beside.is_branch()).iter().for_each(|line| out.line(line));
    }
    Ok(settled.status())
}

/// What came of a person's word.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What landed, and what did not.
    pub(super) landing: Landing,
    /// What was done beside.
    pub(super) beside: Done,
    /// Patterns that name nothing that waits.
    pub(super) unmatched: Vec<String>,
}

impl Settled {
    /// 0 where all that was asked for landed.
    pub(super) fn status(&self) -> u8 {
        if self.landing.refused.is_empty() && self.unmatched.is_empty() { DONE } else { NO }
    }
}

fn pick(patterns: &[String]) -> Result<Pick, Failure> {
    if patterns.is_empty() {
        return Ok(Pick::default());
    }
    Pick::only(patterns).map_err(|error| Failure::of(&error).hint(PATTERNS))
}

/// Does what a person said: first the no, then the yes, then what lands by it.
pub(super) fn settle(
    places: (&Folders, &Host),
    run: &RunId,
    how: &'static str,
    pick: Pick,
    nos: &[No],
) -> Result<Settled, Failure> {
    settle_beside(places, run, how, (pick, nos), &Beside::default())
}

/// The same, with what is done beside.
fn settle_beside(
    (folders, host): (&Folders, &Host),
    run: &RunId,
    how: &'static str,
    (pick, nos): (Pick, &[No]),
    beside: &Beside,
) -> Result<Settled, Failure> {
    let story = story(host, run)?;
    let voice = Voice { by: task::person(&task::principal()), how };
    epilogue::take_up((folders, host), run, &story, "apply", |epilogue| {
        let (workspace, admission) = (&epilogue.workspace, epilogue.admission);
        // ORDER: whether there can be a commit is known before anything lands.
        let target = beside.target(&epilogue)?;
        let change = workspace.change()?;
        let paths = change.files.iter().map(|file| file.path.as_path());
        let demands = Demand::waiting(&epilogue.policy, workspace.root(), paths);
        let asked = demands.iter().filter(|(_, demand)| !demand.is_never());
        let pick = pick.with_asked(asked.map(|(path, demand)| (path.clone(), demand.to_string())).collect());
        let lands = !pick.is_empty();
        let unmatched = pick.unmatched(&change);
        let pick = workspace.reject(admission, &change, (nos, &voice), pick)?;
        let mut settled = Settled { unmatched, ..Settled::default() };
        if lands {
            workspace.accept(admission, &change, &pick, &voice)?;
        }
        if let Some(target) = target.as_ref().filter(|_| beside.is_branch()) {
            let picked = (&change, &pick);
            (settled.landing, settled.beside) = beside.instead(&epilogue, (target, run, &story), picked)?;
            return Ok(settled);
        }
        if lands {
            settled.landing = workspace.land(admission, &change, &pick)?;
            for kept in &mut settled.landing.refused {
                if let Some(demand) = demands.get(&kept.path).filter(|demand| demand.is_more_than_one()) {
                    (kept.because, kept.lands_by) = (demand.to_string(), None);
                }
            }
        }
        let alone = (!lands).then_some(&voice);
        let place = (target.as_ref(), run, &story);
        settled.beside = beside.after(&epilogue, place, (&mut settled.landing, alone))?;
        Ok(settled)
    })
}

/// How many files a line of advice names.
const ADVISED: usize = 4;

/// Says what became of each file of a run: what was done, in one word, or why not and what to do.
pub(super) fn tell(run: &RunId, settled: &Settled, (done, nothing): (&str, &str), out: Out) {
    let Settled { landing, beside, unmatched } = settled;
    let name = |path: &Path| clean(&OsText::from(path).to_string());
    if !out.human() {
        let kept = |kept: &Kept| {
            let conflicts: Vec<_> = kept.conflicts.iter().map(both::json).collect();
            serde_json::json!({ "path": name(&kept.path), "because": kept.because, "conflicts": conflicts })
        };
        let refused: Vec<_> = landing.refused.iter().map(kept).collect();
        let landed: Vec<_> = landing.landed.iter().map(|path| name(path)).collect();
        let mut told = serde_json::json!({ "run": run.as_str(), done: landed, "kept": refused });
        if let Some(told) = told.as_object_mut().filter(|_| !unmatched.is_empty()) {
            told.insert("unmatched".to_owned(), unmatched.clone().into());
        }
        beside.tell_in(&mut told);
        return out.json(&told);
    }
    let paint = out.paint();
    out.line(paint.on(Tone::Faint, format!("run {run}")));
    for path in &landing.landed {
        out.line(format!("{}  {}", paint.on(Tone::Good, format!("{done:<6}")), name(path)));
    }
    beside.lines(done, paint).iter().for_each(|line| out.line(line));
    for kept in &landing.refused {
        let word = paint.on(Tone::Notice, "kept  ");
        out.line(format!("{word}  {}  {}", name(&kept.path), clean(&kept.because)));
        both::lines(&kept.conflicts).into_iter().for_each(|line| out.line(line));
    }
    for pattern in unmatched {
        let word = paint.on(Tone::Notice, "nothing");
        out.line(format!("{word} `{}` matches no change of run {run} that waits", clean(pattern)));
    }
    match (landing.landed.len(), landing.refused.len()) {
        (0, 0) if beside.is_empty() => out.line(nothing),
        (0, 0) => {}
        (landed, kept) => {
            out.line(format!("{} {done}, {} kept back.", count(landed as u64, "file"), kept));
        }
    }
    advice(run, settled).iter().for_each(|line| out.line(line));
}

/// What to do about what was kept back: the very command, where a name is all that it waits for.
fn advice(run: &RunId, settled: &Settled) -> Vec<String> {
    let mut lines = Vec::new();
    let waits = |kept: &&Kept| kept.lands_by == Some(LandsBy::Path);
    let named: Vec<String> =
        settled.landing.refused.iter().filter(waits).filter_map(|kept| only(&kept.path)).collect();
    if !named.is_empty() {
        let more = if named.len() > ADVISED { " .." } else { "" };
        let named = named.get(..ADVISED.min(named.len())).unwrap_or_default().join(" ");
        lines
            .push(format!("What waits for its own yes lands by its name: provost apply {run} {named}{more}"));
    } else if !settled.landing.refused.is_empty() || !settled.unmatched.is_empty() {
        lines.push(format!("What is kept back stays staged: `provost review {run}` shows it."));
    }
    let by_hunk = |kept: &Kept| match &kept.lands_by {
        Some(LandsBy::Hunk(id)) => Some(format!("--hunk {id}")),
        Some(LandsBy::Path) | None => None,
    };
    let rejected: Vec<String> = settled.landing.refused.iter().filter_map(by_hunk).collect();
    if !rejected.is_empty() {
        let more = if rejected.len() > ADVISED { " .." } else { "" };
        let named = rejected.get(..ADVISED.min(rejected.len())).unwrap_or_default().join(" ");
        lines.push(format!("What was rejected before lands by its hunk: provost apply {run} {named}{more}"));
    }
    lines
}

/// The words that name a file and nothing else, if they can be typed.
pub(super) fn only(path: &Path) -> Option<String> {
    let path =
        path.to_str().filter(|path| !path.contains(['*', '?', '[', ']', '!', '\\', '\n', '\r', '\u{1b}']))?;
    Some(format!("--only {}", shlex::try_quote(path).ok()?))
}
