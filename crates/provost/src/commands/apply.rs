//! `provost apply`: land staged changes in the folder.

use super::{DONE, find, open, story};
use crate::cli::Apply;
use crate::epilogue;
use crate::failure::{Failure, NO};
use crate::folders::Folders;
use crate::render::{Out, Tone, clean, count};
use crate::workspace::{Landing, Pick};

pub(super) fn apply(order: &Apply, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let (host, _) = open(&folders, "apply")?;
    let run = find(&host, order.run.as_deref())?.run;
    let story = story(&host, &run)?;
    let pick = if order.all { Pick::all() } else { pick(&order.only)? };
    let landing = epilogue::take_up((&folders, &host), &run, &story, "apply", |epilogue| {
        let change = epilogue.workspace.change()?;
        Ok(epilogue.workspace.land(epilogue.admission, &change, &pick)?)
    })?;
    tell(&landing, out);
    Ok(if landing.refused.is_empty() { DONE } else { NO })
}

fn pick(patterns: &[String]) -> Result<Pick, Failure> {
    Pick::only(patterns)
        .map_err(|error| Failure::of(&error).hint("patterns are like those of .gitignore: `src/**`, `*.md`"))
}

fn tell(landing: &Landing, out: Out) {
    let name = |path: &std::path::Path| clean(&path.to_string_lossy());
    if !out.human() {
        let kept = |kept: &crate::workspace::Kept| serde_json::json!({ "path": name(&kept.path), "because": kept.because });
        let refused: Vec<_> = landing.refused.iter().map(kept).collect();
        let landed: Vec<_> = landing.landed.iter().map(|path| name(path)).collect();
        return out.json(&serde_json::json!({ "landed": landed, "kept": refused }));
    }
    let paint = out.paint();
    for path in &landing.landed {
        out.line(format!("{}  {}", paint.on(Tone::Good, "landed"), name(path)));
    }
    for kept in &landing.refused {
        out.line(format!(
            "{}  {}  {}",
            paint.on(Tone::Notice, "kept  "),
            name(&kept.path),
            clean(&kept.because)
        ));
    }
    match (landing.landed.len(), landing.refused.len()) {
        (0, 0) => out.line("Nothing to land: no staged change is named."),
        (landed, kept) => {
            out.line(format!("{} landed, {} kept back.", count(landed as u64, "file"), kept));
        }
    }
}
