//! What may have changed, where the run's writes went to an overlay's upper layer: all that is in it, and what it hides.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::workspace::base::is_repository;
use crate::workspace::beneath::Kind;

/// Walks the upper layer.
pub(super) fn visit(found: &mut Finding<'_>) -> io::Result<()> {
    // Folders still to look at, and whether each hides all that was in it.
    let mut open = vec![(PathBuf::new(), false)];
    while let Some((folder, hides)) = open.pop() {
        let names = match found.sides.left.names(&folder) {
            Ok(names) => names,
            Err(_) => {
                found.shut(&folder, "the folder cannot be read");
                continue;
            }
        };
        for name in &names {
            open.extend(look(found, folder.join(name), hides)?);
        }
        if hides {
            hidden(found, &folder, &names)?;
        }
    }
    Ok(())
}

/// Looks at one thing in the upper layer; gives it back if it is a folder to be looked into.
fn look(found: &mut Finding<'_>, path: PathBuf, hides: bool) -> io::Result<Option<(PathBuf, bool)>> {
    let sides = found.sides;
    let left = match sides.left.find(&path) {
        Ok(Some(left)) => left,
        Ok(None) => return Ok(None),
        Err(_) => {
            found.shut(&path, "its path is too long");
            return Ok(None);
        }
    };
    let was = sides.was(&path);
    match left.kind {
        Kind::Special { whiteout: true } => {
            // Of an ignored folder that is gone as a whole, one line is enough.
            if !was.is_some_and(|was| was.found.is_folder()) || !found.sets_aside(&path, true) {
                found.gone(&path)?;
            }
        }
        Kind::Folder => {
            if found.sets_aside(&path, true) {
                return Ok(None);
            }
            if was.is_none() && is_repository(&path) {
                found.shut(&path, "a repository within never lands as files");
                return Ok(None);
            }
            found.pair(&path, was, Some(left))?;
            let replaced = was.is_none_or(|was| !was.found.is_folder());
            let opaque = replaced || hides || sides.left.is_opaque(&path).unwrap_or(true);
            return Ok(Some((path, opaque)));
        }
        Kind::File | Kind::Link | Kind::Special { .. } => {
            found.pair(&path, was, Some(left))?;
            if was.is_some_and(|was| was.found.is_folder()) {
                found.gone_beneath(&path)?;
            }
        }
    }
    Ok(None)
}

/// What was in a folder that hides it, and is not there again under the same name.
fn hidden(found: &mut Finding<'_>, folder: &Path, names: &[std::ffi::OsString]) -> io::Result<()> {
    let sides = found.sides;
    let is_there = |name: &OsStr| names.binary_search_by(|known| known.as_os_str().cmp(name)).is_ok();
    for entry in sides.base.beneath(folder) {
        let below = entry.path.strip_prefix(folder).ok().and_then(|below| below.iter().next());
        if below.is_some_and(|name| !is_there(name)) {
            found.pair(&entry.path, Some(entry), None)?;
        }
    }
    Ok(())
}
