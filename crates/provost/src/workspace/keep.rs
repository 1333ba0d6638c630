//! What stays with a workspace from run to run: files that git ignores and that the folder itself does not have, so that
//! the next run's build is warm.
//!
//! Owns: moving them out of what a run left (`workspaces/<id>/ignored` in the state folder) and back into what the next
//! one gets. They never land, and a run gets them only where nothing of the person's stands. Does not own which files
//! are ignored (`ignored`). Nothing is copied: each is a rename, and one that fails costs a build its warmth, no more.

use std::io;
use std::path::{Path, PathBuf};

use ledger::event::OsText;
use rustix::fs::{Mode, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::beneath::{Found, Kind, Root};
use super::discard::remove;

/// Things kept at most. A run that leaves more starts the next one cold.
const MOST: usize = 10_000;

/// Puts what the run left there and git ignores by, in place of what an earlier run did.
pub(crate) fn put_by(
    now: &Root,
    left: &Root,
    ignored: &[PathBuf],
    run_dir: &Path,
    place: &Path,
) -> io::Result<()> {
    let own: Vec<&PathBuf> = ignored.iter().filter(|path| is_free(now, path)).take(MOST).collect();
    if own.is_empty() {
        return Ok(());
    }
    let fresh = run_dir.join("ignored");
    remove(&fresh)?;
    std::fs::create_dir_all(fresh.join(TREE))?;
    let to = Root::open(&std::fs::canonicalize(fresh.join(TREE))?)?;
    let moved = own.into_iter().filter(|path| shift(left, &to, path, |_| None).is_ok());
    let list: Vec<OsText> = moved.map(|path| path.as_path().into()).collect();
    std::fs::write(fresh.join(LIST), serde_json::to_vec(&list)?)?;
    std::fs::create_dir_all(place)?;
    let (kept, old) = (place.join("ignored"), run_dir.join("ignored.old"));
    remove(&old)?;
    match std::fs::rename(&kept, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::rename(&fresh, &kept)?;
    remove(&old)
}

/// The names of what is kept, and beside them what it is: nothing the agent named is in the way of the list.
const LIST: &str = "list.json";
const TREE: &str = "tree";

/// Gives a new run what an earlier one left, where the folder has nothing of its own. Another run that begins meanwhile
/// gets nothing.
pub(crate) fn give(now: &Root, left: &Root, run_dir: &Path, place: &Path) -> io::Result<()> {
    let claimed = run_dir.join("ignored");
    match std::fs::rename(place.join("ignored"), &claimed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        claimed => claimed?,
    }
    let from = Root::open(&std::fs::canonicalize(claimed.join(TREE))?)?;
    let list: Vec<OsText> = serde_json::from_slice(&std::fs::read(claimed.join(LIST))?)?;
    for path in list.iter().map(OsText::to_path) {
        if is_free(now, &path) {
            // One that cannot be given is built again.
            let _ = shift(&from, left, &path, |above| now.find(above).ok().flatten());
        }
    }
    remove(&claimed)
}

/// Whether the folder has nothing there, but has what it would lie in.
fn is_free(now: &Root, path: &Path) -> bool {
    let above = path.parent().map(|above| now.find(above));
    matches!(now.find(path), Ok(None)) && matches!(above, Some(Ok(Some(found))) if found.is_folder())
}

/// Moves one thing to the same path beneath another root. Folders on the way that are not there are made, like those
/// that `like` finds.
fn shift(from: &Root, to: &Root, path: &Path, like: impl Fn(&Path) -> Option<Found>) -> io::Result<()> {
    let mut above: Vec<&Path> =
        path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
    above.reverse();
    for folder in above {
        let (parent, name) = to.parent(folder)?;
        match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) => {
                if let Some(like) = like(folder).filter(|like| like.kind == Kind::Folder) {
                    to.dress(folder, &like)?;
                }
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (parent, name) = from.parent(path)?;
    let (place, same) = to.parent(path)?;
    Ok(renameat_with(parent, name, place, same, RenameFlags::NOREPLACE)?)
}
