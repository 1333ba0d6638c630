//! What differs between two texts, in hunks that keep their name.
//!
//! Owns: lines, hunks and their ids. An id is the digest of path, removed and added lines: it stays when other hunks
//! land, and comes back with the same edit. Does not own how they are shown (`diff`).

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use similar::{Algorithm, DiffOp, capture_diff_slices, group_diff_ops};

use super::sides::hex;

/// Lines shown around what differs.
const AROUND: usize = 3;
/// Pairs of lines that are compared at most; beyond, all lines between the first and the last difference are one hunk.
/// A bound on work, not on time, so that a hunk has the same id on a slow machine.
const PAIRS: usize = 16_000_000;

/// What a line is to a hunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// It is on both sides.
    Same,
    /// It was there.
    Removed,
    /// It is new.
    Added,
}

/// One line of a hunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is to the hunk.
    pub mark: Mark,
    /// Its bytes, with the line end if it has one.
    pub text: Vec<u8>,
}

/// Lines that differ, and those around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its name, in hexadecimal digits.
    pub id: String,
    /// First line before, from 1 (0 if there is none), and how many.
    pub old: (usize, usize),
    /// First line after, from 1 (0 if there is none), and how many.
    pub new: (usize, usize),
    /// The lines, in order.
    pub lines: Vec<Line>,
}

impl Hunk {
    /// How many lines are marked so.
    #[must_use]
    pub fn count(&self, mark: Mark) -> u64 {
        self.lines.iter().filter(|line| line.mark == mark).count() as u64
    }

    /// Its lines as they are after it.
    pub(crate) fn after(&self) -> Vec<u8> {
        let lines = self.lines.iter().filter(|line| line.mark != Mark::Removed);
        lines.flat_map(|line| &line.text).copied().collect()
    }
}

/// The hunks between two texts.
pub(crate) fn hunks(path: &Path, before: &[u8], after: &[u8]) -> Vec<Hunk> {
    let (old, new) = (lines(before), lines(after));
    let mut seen: HashMap<String, usize> = HashMap::new();
    let groups = group_diff_ops(operations(&old, &new), AROUND);
    let hunks = groups.iter().filter(|group| group.iter().any(|op| !matches!(op, DiffOp::Equal { .. })));
    hunks
        .map(|group| {
            let mut hunk = hunk(path, group, &old, &new);
            let times = seen.entry(hunk.id.clone()).and_modify(|times| *times += 1).or_insert(1);
            if *times > 1 {
                hunk.id.push_str(&format!("-{times}"));
            }
            hunk
        })
        .collect()
}

/// Texts that a person saved in the place of hunks, by the hunks' names.
pub(crate) type Edits = BTreeMap<String, Vec<u8>>;

/// The old text with some of its hunks: those of these names, or what a person made of them.
pub(crate) fn with_only(before: &[u8], hunks: &[Hunk], chosen: &[String], edits: &Edits) -> Vec<u8> {
    let old = lines(before);
    let (mut after, mut at) = (Vec::new(), 0);
    for hunk in hunks.iter().filter(|hunk| chosen.contains(&hunk.id)) {
        let start = if hunk.old.1 == 0 { hunk.old.0 } else { hunk.old.0 - 1 };
        let between = old.get(at..start).unwrap_or_default();
        between.iter().for_each(|line| after.extend_from_slice(line));
        match edits.get(&hunk.id) {
            Some(text) => after.extend_from_slice(text),
            None => after.extend_from_slice(&hunk.after()),
        }
        at = start + hunk.old.1;
    }
    old.get(at..).unwrap_or_default().iter().for_each(|line| after.extend_from_slice(line));
    after
}

/// Which line of an old text a line of the new one is, by their numbers from 1, if it is one that stayed.
pub(crate) fn line_before(old: &[u8], new: &[u8], line: usize) -> Option<usize> {
    let at = line.checked_sub(1)?;
    operations(&lines(old), &lines(new)).into_iter().find_map(|op| match op {
        DiffOp::Equal { old_index, new_index, len } if (new_index..new_index + len).contains(&at) => {
            Some(old_index + (at - new_index) + 1)
        }
        _ => None,
    })
}

/// The lines of a text, each with its end.
pub(super) fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// How the old lines become the new ones. What is alike at both ends is not compared further.
pub(super) fn operations(old: &[&[u8]], new: &[&[u8]]) -> Vec<DiffOp> {
    let head = old.iter().zip(new).take_while(|(one, other)| one == other).count();
    let (old_rest, new_rest) = (old.get(head..).unwrap_or_default(), new.get(head..).unwrap_or_default());
    let tail =
        old_rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(one, other)| one == other).count();
    let old_middle = old_rest.get(..old_rest.len() - tail).unwrap_or_default();
    let new_middle = new_rest.get(..new_rest.len() - tail).unwrap_or_default();
    let mut operations = vec![DiffOp::Equal { old_index: 0, new_index: 0, len: head }];
    if old_middle.len().saturating_mul(new_middle.len()) > PAIRS {
        operations.push(DiffOp::Replace {
            old_index: head,
            old_len: old_middle.len(),
            new_index: head,
            new_len: new_middle.len(),
        });
    } else {
        let (old_middle, new_middle) = numbered(old_middle, new_middle);
        operations.extend(capture_diff_slices(Algorithm::Myers, &old_middle, &new_middle));
    }
    let (old_index, new_index) = (old.len() - tail, new.len() - tail);
    operations.push(DiffOp::Equal { old_index, new_index, len: tail });
    operations.retain(|op| !matches!(op, DiffOp::Equal { len: 0, .. }));
    placed(operations)
}

/// A number for each line, the same for the same line: numbers compare faster.
fn numbered<'a>(old: &[&'a [u8]], new: &[&'a [u8]]) -> (Vec<usize>, Vec<usize>) {
    let mut known: HashMap<&'a [u8], usize> = HashMap::new();
    let mut number = |line: &&'a [u8]| {
        let next = known.len();
        *known.entry(line).or_insert(next)
    };
    (old.iter().map(&mut number).collect(), new.iter().map(&mut number).collect())
}

/// The operations with the places where each stands, counted from the lengths alone: a place that a step of the comparison
/// moved lines over may be stale.
fn placed(operations: Vec<DiffOp>) -> Vec<DiffOp> {
    let (mut old_index, mut new_index) = (0, 0);
    let mut place = |op: DiffOp| {
        let (old_len, new_len) = (op.old_range().len(), op.new_range().len());
        let placed = match op {
            DiffOp::Equal { len, .. } => DiffOp::Equal { old_index, new_index, len },
            DiffOp::Delete { .. } => DiffOp::Delete { old_index, old_len, new_index },
            DiffOp::Insert { .. } => DiffOp::Insert { old_index, new_index, new_len },
            DiffOp::Replace { .. } => DiffOp::Replace { old_index, old_len, new_index, new_len },
        };
        (old_index, new_index) = (old_index + old_len, new_index + new_len);
        placed
    };
    operations.into_iter().map(&mut place).collect()
}

fn hunk(path: &Path, group: &[DiffOp], old: &[&[u8]], new: &[&[u8]]) -> Hunk {
    let mut lines = Vec::new();
    for op in group {
        let (removed, added) = match op {
            DiffOp::Equal { .. } => (Mark::Same, None),
            DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                (Mark::Removed, Some(Mark::Added))
            }
        };
        let mut put = |mark, from: &[&[u8]], range| {
            let chosen: &[&[u8]] = from.get::<std::ops::Range<usize>>(range).unwrap_or_default();
            lines.extend(chosen.iter().map(|line| Line { mark, text: line.to_vec() }));
        };
        put(removed, old, op.old_range());
        if let Some(added) = added {
            put(added, new, op.new_range());
        }
    }
    let span = |first: Option<usize>, end: Option<usize>| {
        let (first, end) = (first.unwrap_or(0), end.unwrap_or(0));
        (if end == first { first } else { first + 1 }, end - first)
    };
    let (first, last) = (group.first(), group.last());
    Hunk {
        id: id(path, &lines),
        old: span(first.map(|op| op.old_range().start), last.map(|op| op.old_range().end)),
        new: span(first.map(|op| op.new_range().start), last.map(|op| op.new_range().end)),
        lines,
    }
}

/// The id of an edit: where, and what it removes and adds. Not what is around it, which other hunks may change.
fn id(path: &Path, lines: &[Line]) -> String {
    let mut hasher = Sha256::new();
    let mut put = |tag: u8, bytes: &[u8]| {
        hasher.update([tag]);
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    put(b'p', path.as_os_str().as_bytes());
    for line in lines {
        match line.mark {
            Mark::Same => {}
            Mark::Removed => put(b'-', &line.text),
            Mark::Added => put(b'+', &line.text),
        }
    }
    let digest = hasher.finalize();
    hex(digest.get(..6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path() -> &'static Path {
        Path::new("a.txt")
    }

    proptest! {
        #[test]
        fn a_line_that_stayed_is_the_same_line(old in "([abc]?\n){0,12}", new in "([abc]?\n){0,12}", at in 1usize..14) {
            let nth = |text: &str, at: usize| text.lines().nth(at - 1).map(str::to_owned);
            prop_assert_eq!(line_before(old.as_bytes(), old.as_bytes(), at), nth(&old, at).map(|_| at));
            if let Some(before) = line_before(old.as_bytes(), new.as_bytes(), at) {
                prop_assert_eq!(nth(&old, before), nth(&new, at));
            }
        }
    }

    proptest! {
        #[test]
        fn the_hunks_lead_from_the_old_text_to_the_new(
            before in "([ab]?\n){0,40}[ab]?", after in "([ab]?\n){0,40}[ab]?"
        ) {
            let found = hunks(path(), before.as_bytes(), after.as_bytes());
            let all: Vec<String> = found.iter().map(|hunk| hunk.id.clone()).collect();
            prop_assert_eq!(with_only(before.as_bytes(), &found, &all, &Edits::new()), after.as_bytes());
            prop_assert_eq!(with_only(before.as_bytes(), &found, &[], &Edits::new()), before.as_bytes());
            prop_assert_eq!(found.is_empty(), before == after);
            let mut ids: Vec<_> = found.iter().map(|hunk| &hunk.id).collect();
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len(), found.len());
        }
    }

    #[test]
    fn a_hunk_keeps_its_name_when_others_come_and_go() {
        let text: Vec<String> = (0..60).map(|number| format!("line {number}\n")).collect();
        let before = text.concat();
        let late = before.replace("line 50\n", "other\n");
        let both = late.replace("line 2\n", "line 2\nline 2b\n");
        let (late, both) = (
            hunks(path(), before.as_bytes(), late.as_bytes()),
            hunks(path(), before.as_bytes(), both.as_bytes()),
        );
        assert_eq!((late.len(), both.len()), (1, 2));
        assert_eq!(late[0].id, both[1].id);
        assert_eq!((both[0].old, both[0].new), ((1, 6), (1, 7)));
        assert_ne!(hunks(Path::new("b"), b"a", b"b")[0].id, hunks(path(), b"a", b"b")[0].id);
    }

    #[test]
    fn a_text_that_differs_beyond_measure_is_one_hunk_and_soon_there() {
        let (before, after): (String, String) =
            (0..20_000).map(|number| (format!("{number}\n"), format!("x{number}\n"))).unzip();
        let found =
            hunks(path(), format!("top\n{before}end\n").as_bytes(), format!("top\n{after}end\n").as_bytes());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].count(Mark::Removed), found[0].count(Mark::Added)), (20_000, 20_000));
    }
}
