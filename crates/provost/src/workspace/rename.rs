//! Which of the changed files is another under a new name, and which folder: for showing only.
//!
//! Owns that pairing: files that hold the same, files of text that hold most of the same, and folders that are gone while
//! another came with what was in them. Does not own what lands: a rename lands as what it is to a file system, one name gone
//! and one new.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use ledger::event::Change as Became;

use super::beneath::{Digest, digest};
use super::change::{Change, Content, FileChange, Side, Texts, What, texts};
use super::hunk::lines;
use super::sides::Sides;

/// Files of text that are compared with each other at most; beyond, only what holds the same is paired.
const MOST: usize = 2000;
/// Deleted files that hold a line at most, for the line to tell one from another.
const TELLING: usize = 8;

/// A file under a new name, by the places of both in the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Whether it holds the same.
    pub(crate) same: bool,
}

/// A folder under a new name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) from: PathBuf,
    pub(crate) to: PathBuf,
    /// What was in it and is in it still.
    pub(crate) pairs: Vec<Pair>,
}

/// All that has a new name.
#[derive(Debug, Default)]
pub(crate) struct Renames {
    /// Folders, with all that moved in them.
    pub(crate) folders: Vec<Moved>,
    /// Files by themselves.
    pub(crate) files: Vec<Pair>,
}

/// What has a new name in a change. An empty file is no other empty file, unless its folder moved; what cannot be read is
/// paired with nothing.
pub(crate) fn renames(sides: &Sides, change: &Change) -> Renames {
    let mut pairs = equal(sides, change);
    let more = similar(sides, change, &pairs);
    pairs.extend(more);
    let mut folders: BTreeMap<(PathBuf, PathBuf), Vec<Pair>> = BTreeMap::new();
    let mut files = Vec::new();
    for pair in pairs {
        match moved_with(sides, change, pair) {
            Some(folder) => folders.entry(folder).or_default().push(pair),
            None => files.push(pair),
        }
    }
    let mut all = Renames { folders: Vec::new(), files };
    for ((from, to), mut pairs) in folders {
        pairs.extend(beside(change, (&from, &to), &pairs));
        // One file alone is renamed, not its folder.
        if pairs.len() < 2 {
            all.files.extend(pairs);
            continue;
        }
        pairs.sort_by_key(|pair| pair.to);
        all.folders.push(Moved { from, to, pairs });
    }
    all.files.sort_by_key(|pair| pair.to);
    all
}

fn path(change: &Change, at: usize) -> &Path {
    change.files.get(at).map_or(Path::new(""), |file| file.path.as_path())
}

/// How many names two paths have in common at their end.
fn alike(one: &Path, other: &Path) -> usize {
    one.iter().rev().zip(other.iter().rev()).take_while(|(one, other)| one == other).count()
}

fn regular(side: &Option<Side>) -> Option<u64> {
    match side {
        Some(Side { what: What::File(size), .. }) if *size > 0 => Some(*size),
        _ => None,
    }
}

/// The pairs that hold the same.
fn equal(sides: &Sides, change: &Change) -> Vec<Pair> {
    let of = |kind: Became, side: fn(&FileChange) -> &Option<Side>| {
        let files = change.files.iter().enumerate().filter(move |(_, file)| file.kind == kind);
        files.filter_map(move |(at, file)| Some((at, file, regular(side(file))?)))
    };
    let added: Vec<(usize, &FileChange, u64)> = of(Became::Added, |file| &file.post).collect();
    let sizes: BTreeSet<u64> = added.iter().map(|(_, _, size)| *size).collect();
    let mut deleted: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
    for (at, file, size) in of(Became::Deleted, |file| &file.pre) {
        // Only where sizes meet is anything read.
        if sizes.contains(&size)
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
        let Some(from) = content.ok().and_then(|content| deleted.get_mut(&content)) else { continue };
        // Of several the first whose name ends most alike.
        let nearest = (0..from.len())
            .rev()
            .max_by_key(|at| from.get(*at).map_or(0, |from| alike(path(change, *from), &file.path)));
        if let Some(at) = nearest {
            pairs.push(Pair { from: from.remove(at), to, same: true });
        }
    }
    pairs
}

fn before(sides: &Sides, file: &FileChange) -> io::Result<Option<Digest>> {
    sides.was(&file.path).map_or(Ok(None), |was| sides.digest_before(was))
}

/// The text of a file that came or went.
fn text(sides: &Sides, file: &FileChange) -> Option<Vec<u8>> {
    let goes = file.post.is_none();
    match texts(sides, &file.path, sides.was(&file.path).filter(|_| goes), !goes) {
        Ok(Texts::Both(before, after)) => Some(if goes { before } else { after }),
        Ok(Texts::Binary | Texts::Gone) | Err(_) => None,
    }
}

/// The pairs of text of which at least half is the same, by whole lines. The cost grows with the texts, not with the pairs.
fn similar(sides: &Sides, change: &Change, known: &[Pair]) -> Vec<Pair> {
    let taken: BTreeSet<usize> = known.iter().flat_map(|pair| [pair.from, pair.to]).collect();
    let rest = |kind: Became| -> Vec<usize> {
        let files = change.files.iter().enumerate().filter(|(at, file)| {
            file.kind == kind && !taken.contains(at) && matches!(file.content, Content::Lines { .. })
        });
        files.map(|(at, _)| at).collect()
    };
    let (deleted, added) = (rest(Became::Deleted), rest(Became::Added));
    if deleted.is_empty() || added.is_empty() || deleted.len().max(added.len()) > MOST {
        return Vec::new();
    }
    let read = |at: &usize| Some((*at, text(sides, change.files.get(*at)?)?));
    let olds: Vec<(usize, Vec<u8>)> = deleted.iter().filter_map(read).collect();
    let mut holders: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (index, (_, text)) in olds.iter().enumerate() {
        for line in lines(text) {
            holders.entry(line).or_default().push(index);
        }
    }
    let mut found = Vec::new();
    for (to, new) in added.iter().filter_map(read) {
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        let mut used: HashMap<(&[u8], usize), usize> = HashMap::new();
        for line in lines(&new) {
            let Some(indices) = holders.get(line) else { continue };
            let counted = counted(indices);
            if counted.len() > TELLING {
                continue;
            }
            for (index, times) in counted {
                let used = used.entry((line, index)).or_default();
                if *used < times {
                    *used += 1;
                    *shared.entry(index).or_default() += line.len();
                }
            }
        }
        for (index, bytes) in shared {
            let Some((from, old)) = olds.get(index) else { continue };
            if bytes * 2 >= old.len().max(new.len()) {
                found.push((bytes, alike(path(change, *from), path(change, to)), *from, to));
            }
        }
    }
    found.sort_by_key(|(bytes, alike, from, to)| (std::cmp::Reverse((*alike, *bytes)), *from, *to));
    let mut used = BTreeSet::new();
    found.retain(|(_, _, from, to)| {
        let free = !used.contains(from) && !used.contains(to);
        used.extend([*from, *to].into_iter().filter(|_| free));
        free
    });
    found.into_iter().map(|(_, _, from, to)| Pair { from, to, same: false }).collect()
}

/// Each number of a sorted list, and how often it is there.
fn counted(sorted: &[usize]) -> Vec<(usize, usize)> {
    let mut counted: Vec<(usize, usize)> = Vec::new();
    for number in sorted {
        match counted.last_mut() {
            Some((last, times)) if last == number => *times += 1,
            _ => counted.push((*number, 1)),
        }
    }
    counted
}

/// The topmost folder with which a file moved: it is gone, the other came, and all that lies beneath them is named alike.
fn moved_with(sides: &Sides, change: &Change, pair: Pair) -> Option<(PathBuf, PathBuf)> {
    let (from, to) = (path(change, pair.from), path(change, pair.to));
    let steps = from.ancestors().zip(to.ancestors()).skip(1).take(alike(from, to));
    let moved = steps.filter(|(from, to)| {
        let named = !from.as_os_str().is_empty() && !to.as_os_str().is_empty();
        named && is_gone(sides, from) && sides.was(to).is_none() && sides.shows_folder(to).unwrap_or(false)
    });
    moved.last().map(|(from, to)| (from.to_owned(), to.to_owned()))
}

fn is_gone(sides: &Sides, folder: &Path) -> bool {
    sides.was(folder).is_some_and(|was| was.found.is_folder()) && !sides.shows_folder(folder).unwrap_or(true)
}

/// What else lies in a folder that moved, under the same name: empty files, links, empty folders, and what was written anew.
fn beside(change: &Change, (old, new): (&Path, &Path), known: &[Pair]) -> Vec<Pair> {
    let taken: BTreeSet<usize> = known.iter().flat_map(|pair| [pair.from, pair.to]).collect();
    let free = |folder: &Path| -> BTreeMap<PathBuf, usize> {
        let files = change.files.iter().enumerate().filter(|(at, _)| !taken.contains(at));
        let name =
            |(at, file): (usize, &FileChange)| Some((file.path.strip_prefix(folder).ok()?.to_owned(), at));
        files.filter_map(name).collect()
    };
    let (gone, came) = (free(old), free(new));
    let mut pairs = Vec::new();
    for (name, from) in gone {
        let both =
            came.get(&name).and_then(|to| Some((*to, change.files.get(from)?, change.files.get(*to)?)));
        let Some((to, was, is)) = both else { continue };
        if let (Some(one), Some(other), None, None) = (&was.pre, &is.post, &was.post, &is.pre)
            && std::mem::discriminant(&one.what) == std::mem::discriminant(&other.what)
        {
            let same = one == other && regular(&is.post).is_none();
            pairs.push(Pair { from, to, same });
        }
    }
    pairs
}
