//! `provost init`: a first policy for this repository.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use super::DONE;
use crate::cli::Init;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::layers;
use crate::render::{Out, Tone, clean};
use crate::starter::{self, Draft};
use crate::task;

pub(super) fn init(order: &Init, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let here = std::env::current_dir().map_err(|error| Failure::of(&error))?;
    let (workspace, _) = task::place(None, &here, &folders.home)?;
    let workspace = crate::workspace::place::root(&workspace, &folders.around())?;
    let draft = starter::draft(&workspace, layers::REPO)?;
    let path = workspace.join(layers::REPO);
    write(&path, &draft.text, order.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::new(format!("there is a policy: `{}`", path.display()))
            .hint("`provost policy show` prints what holds; --force writes over it"),
        _ => Failure::of(&error).during(format!("could not write `{}`", path.display())),
    })?;
    if out.human() {
        told(&path, &draft, out);
    } else {
        out.json(&json!({ "file": path.display().to_string(), "found": draft.found, "rules": draft.rules, "text": draft.text }));
    }
    Ok(DONE)
}

/// Writes it whole, into a folder and under a name that are no links.
fn write(path: &Path, text: &str, force: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(io::Error::other(format!("`{}` is no folder", folder.display()))),
        Err(_) => fs::create_dir(folder)?,
    }
    if !force && fs::symlink_metadata(path).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let beside = folder.join(format!("policy.toml.{}", std::process::id()));
    fs::File::options().write(true).create_new(true).open(&beside)?;
    let moved = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // It is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    moved
}

fn told(path: &Path, draft: &Draft, out: Out) {
    let found =
        if draft.found.is_empty() { "nothing that is known".to_owned() } else { draft.found.join(", ") };
    out.line(format!("{} {}", out.paint().on(Tone::Good, "wrote"), clean(&path.display().to_string())));
    out.line(format!("  found    {found}"));
    let rules = if draft.rules.is_empty() { "none yet".to_owned() } else { draft.rules.join(", ") };
    out.line(format!("  rules    {rules}"));
    out.line("It only narrows what runs here may do. Read it, change it, and then:");
    out.line("  provost policy show                          what holds in a run here");
    out.line("  provost policy explain exec cargo publish    why something is allowed, asked or denied");
    out.line("  provost trust                                lets this file allow things, too");
}
