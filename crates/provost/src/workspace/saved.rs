//! Contents saved when a run begins: of files that git does not have as they stand, so that an edit that the person makes
//! while the run goes on can be brought together with the run's.
//!
//! Owns: which files these are, and how many at most. It is done beside the start of the agent, and its cost grows with
//! what the person has changed, not with the repository. Does not own where contents are kept (`sides`), nor what git has
//! (`blob`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::base::{Base, Entry, is_git};
use super::beneath::{Kind, Root};
use super::blob::{As, Index};
use super::ignored::Ignored;
use super::sides::{LARGE, Sides};

/// Bytes that are saved in all. Beyond, what was changed last is saved and the rest is not.
const MOST: u64 = 32 << 20;
/// Files that are saved in all.
const MOST_FILES: usize = 4096;

/// Saves what git does not have of what was there. Gives how many files that could be edited beside the run were left out.
pub(crate) fn save(root: &Path, now: Root, base: Arc<Base>, base_dir: &Path) -> io::Result<usize> {
    let index = Index::take(root, base_dir)?;
    let mut sides = Sides::at_the_start(now, Arc::clone(&base), base_dir)?;
    let unknown = base.entries.iter().filter(|entry| {
        let is_file = entry.found.kind == Kind::File && !entry.late && !is_git(&entry.path);
        is_file && index.knows(entry) != Some(As::Known)
    });
    let mut unknown: Vec<&Entry> = unknown.collect();
    if unknown.is_empty() {
        return Ok(0);
    }
    // Build output is nobody's to edit. The rules are those of the folder itself: no run has written them.
    let mut ignored = Ignored::new(&sides, root);
    unknown.retain(|entry| !ignored.is_ignored(&entry.path, false));
    // What somebody is at work on was changed last.
    unknown.sort_by_key(|entry| std::cmp::Reverse(entry.found.stamp.mtime));
    let (mut room, mut chosen, mut left_out) = (MOST, Vec::new(), 0);
    for entry in unknown {
        let size = entry.found.stamp.size;
        if size <= LARGE.min(room) && chosen.len() < MOST_FILES {
            room -= size;
            chosen.push(entry.path.clone());
        } else if index.knows(entry).is_none() {
            left_out += 1;
        }
    }
    sides.keep(chosen.iter().map(PathBuf::as_path))?;
    Ok(left_out)
}
