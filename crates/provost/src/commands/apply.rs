//! `provost apply`: land staged changes in the folder, and reject others.

use std::path::Path;

use ledger::{Host, RunId};

mod both;

use super::{DONE, find, open_whole, story};
use crate::cli::Apply;
use crate::demand::Demand;
use crate::epilogue;
use crate::failure::{Failure, NO, PATTERNS};
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, count};
use crate::task;
use crate::workspace::{Kept, Landing, Named, No, Pick, Voice};

/// What is said where something was rejected and nothing landed.
pub(super) const REJECTED: &str =
    "Nothing landed. What was rejected stays back, and is known when it comes again.";

pub(super) fn apply(order: &Apply, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open_whole(&folders, "apply", out)?;
    let run = find(&host, order.run.as_deref())?.run;
    let pick = if order.all { Pick::all() } else { pick(&order.only)? };
    let pick = pick.with_hunks(order.hunk.iter().cloned());
    let why = order.why.clone().unwrap_or_default();
    let nos: Vec<No> =
        order.reject.iter().map(|what| No { what: Named::Word(what.clone()), why: why.clone() }).collect();
    let landing = settle((&folders, &host), &run, "command", pick, &nos)?;
    let nothing = match nos.is_empty() {
        true if order.all => format!("Nothing to land: run {run} has nothing that waits."),
        true => format!(
            "Nothing to land: no change of run {run} that waits is named. `provost review` shows which do."
        ),
        false => REJECTED.to_owned(),
    };
    tell(&landing, ("landed", &nothing), out);
    if out.human() && !landing.refused.is_empty() {
        out.line(format!("What is kept back stays staged: `provost review {run}` shows it, `provost apply --help` says what lands how."));
    }
    Ok(if landing.refused.is_empty() { DONE } else { NO })
}

fn pick(patterns: &[String]) -> Result<Pick, Failure> {
    if patterns.is_empty() {
        return Ok(Pick::default());
    }
    Pick::only(patterns).map_err(|error| Failure::of(&error).hint(PATTERNS))
}

/// Does what a person said: first the no, then the yes, then what lands by it.
pub(super) fn settle(
    (folders, host): (&Folders, &Host),
    run: &RunId,
    how: &'static str,
    pick: Pick,
    nos: &[No],
) -> Result<Landing, Failure> {
    let story = story(host, run)?;
    let voice = Voice { by: task::principal().name, how };
    epilogue::take_up((folders, host), run, &story, "apply", |epilogue| {
        let (workspace, admission) = (&epilogue.workspace, epilogue.admission);
        let change = workspace.change()?;
        let paths = change.files.iter().map(|file| file.path.as_path());
        let demands = Demand::waiting(&epilogue.policy, workspace.root(), paths);
        let asked = demands.iter().filter(|(_, demand)| !demand.is_never());
        let pick = pick.with_asked(asked.map(|(path, demand)| (path.clone(), demand.to_string())).collect());
        let lands = !pick.is_empty();
        let pick = workspace.reject(admission, &change, (nos, &voice), pick)?;
        if !lands {
            return Ok(Landing::default());
        }
        workspace.accept(admission, &change, &pick, &voice)?;
        let mut landing = workspace.land(admission, &change, &pick)?;
        for kept in &mut landing.refused {
            if let Some(demand) = demands.get(&kept.path).filter(|demand| demand.is_more_than_one()) {
                kept.because = demand.to_string();
            }
        }
        Ok(landing)
    })
}

/// Says what became of each file: what was done, in one word, or why not.
pub(super) fn tell(landing: &Landing, (done, nothing): (&str, &str), out: Out) {
    let name = |path: &Path| clean(&path.to_string_lossy());
    if !out.human() {
        let kept = |kept: &Kept| {
            let conflicts: Vec<_> = kept.conflicts.iter().map(both::json).collect();
            serde_json::json!({ "path": name(&kept.path), "because": kept.because, "conflicts": conflicts })
        };
        let refused: Vec<_> = landing.refused.iter().map(kept).collect();
        let landed: Vec<_> = landing.landed.iter().map(|path| name(path)).collect();
        return out.json(&serde_json::json!({ done: landed, "kept": refused }));
    }
    let paint = out.paint();
    for path in &landing.landed {
        out.line(format!("{}  {}", paint.on(Tone::Good, format!("{done:<6}")), name(path)));
    }
    for kept in &landing.refused {
        out.line(format!(
            "{}  {}  {}",
            paint.on(Tone::Notice, "kept  "),
            name(&kept.path),
            clean(&kept.because)
        ));
        both::lines(&kept.conflicts).into_iter().for_each(|line| out.line(line));
    }
    match (landing.landed.len(), landing.refused.len()) {
        (0, 0) => out.line(nothing),
        (landed, kept) => {
            out.line(format!("{} {done}, {} kept back.", count(landed as u64, "file"), kept));
        }
    }
}
