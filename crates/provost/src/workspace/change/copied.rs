//! What may have changed, where the run worked on a copy: all that does not stand as it was when the agent got it.

use std::io;
use std::path::PathBuf;

use super::Finding;
use crate::workspace::base::{Base, is_repository};

/// Compares the copy as it stands with how it was given.
pub(super) fn visit(found: &mut Finding<'_>) -> io::Result<()> {
    let sides = found.sides;
    let (left, shut) = Base::look(&sides.left, (i64::MAX, 0))?;
    for folder in &shut {
        found.shut(folder, "the folder cannot be read");
    }
    let mut aside: Option<PathBuf> = None;
    for entry in &left.entries {
        if aside.as_ref().is_some_and(|aside| entry.path.starts_with(aside)) {
            continue;
        }
        let was = sides.was(&entry.path);
        let same = was
            .is_some_and(|was| was.copied == Some(entry.found.stamp) && was.found.kind == entry.found.kind);
        if entry.found.is_folder() && was.is_none() {
            let repository = is_repository(&entry.path);
            if repository {
                found.shut(&entry.path, "a repository within never lands as files");
            }
            if repository || found.sets_aside(&entry.path, true) {
                aside = Some(entry.path.clone());
                continue;
            }
        }
        // One that keeps its owner out is told of already, and nothing more can be said of it.
        let is_told = was.is_none() && shut.contains(&entry.path);
        if !same && !is_told {
            found.pair(&entry.path, was, Some(entry.found))?;
        }
    }
    for was in &sides.base.entries {
        let unknown = was.copied.is_none() || shut.iter().any(|folder| was.path.starts_with(folder));
        if !unknown && left.get(&was.path).is_none() {
            found.pair(&was.path, Some(was), None)?;
        }
    }
    Ok(())
}
