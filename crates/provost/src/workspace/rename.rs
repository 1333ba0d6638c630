//! Which of the changed files is another under a new name: for showing only.
//!
//! Owns that pairing. Does not own what lands: a rename lands as what it is to a file system, one name gone and one new.

use std::collections::BTreeMap;
use std::io;

use ledger::event::Change as Became;

use super::beneath::{Digest, digest};
use super::change::{Change, FileChange, Side, What};
use super::sides::Sides;

/// The pairs of a deleted and an added file that hold the same, by their places in the change. An empty file is no other
/// empty file; what cannot be read is paired with nothing.
pub(crate) fn renames(sides: &Sides, change: &Change) -> Vec<(usize, usize)> {
    let of = |kind: Became, side: fn(&FileChange) -> &Option<Side>| {
        let files = change.files.iter().enumerate().filter(move |(_, file)| file.kind == kind);
        files.filter_map(move |(at, file)| match side(file) {
            Some(Side { what: What::File(size), .. }) if *size > 0 => Some((at, file, *size)),
            _ => None,
        })
    };
    let added: Vec<(usize, &FileChange, u64)> = of(Became::Added, |file| &file.post).collect();
    let mut deleted: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for (at, file, size) in of(Became::Deleted, |file| &file.pre) {
        // Only where sizes meet is anything read.
        if added.iter().any(|(_, _, other)| *other == size)
            && let Ok(Some(content)) = before(sides, file)
        {
            deleted.entry(content).or_default().push(at);
        }
    }
    if deleted.is_empty() {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for (to, file, _) in added {
        let content = sides.after(&file.path).and_then(|mut content| digest(&mut content));
        let from = content.ok().and_then(|content| deleted.get_mut(&content)).filter(|from| !from.is_empty());
        if let Some(from) = from {
            pairs.push((from.remove(0), to));
        }
    }
    pairs
}

fn before(sides: &Sides, file: &FileChange) -> io::Result<Option<Digest>> {
    sides.was(&file.path).map_or(Ok(None), |was| sides.digest_before(was))
}
