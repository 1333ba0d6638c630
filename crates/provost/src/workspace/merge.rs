//! Two edits of one text, brought together line by line.
//!
//! Pure. Owns when that can be done: where the edits touch no common line and no neighbouring ones, are the same, or one
//! was made on top of the other; and else what each made of the same lines. Does not own what is done then.

use std::ops::Range;

use similar::DiffOp;

use super::hunk::{lines, operations};

/// A place that two edits changed differently: the lines of the old text there, and what each made of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lines {first} to {} were changed on both sides", .first + .base.len().max(1) - 1)]
pub(crate) struct Clash {
    /// The first of the old lines, from 1; where there are none, the line before which both put something.
    pub(crate) first: usize,
    /// The old lines.
    pub(crate) base: Vec<Vec<u8>>,
    /// What the one made of them.
    pub(crate) one: Vec<Vec<u8>>,
    /// What the other made of them.
    pub(crate) other: Vec<Vec<u8>>,
}

/// Lines of the old text, and what takes their place.
#[derive(Debug, PartialEq, Eq)]
struct Edit<'a> {
    place: Range<usize>,
    lines: &'a [&'a [u8]],
}

/// Edits of both sides that touch each other, and the old lines from the first to the last of them.
#[derive(Debug)]
struct Group<'e, 'a> {
    place: Range<usize>,
    one: &'e [Edit<'a>],
    other: &'e [Edit<'a>],
}

/// The old text with both edits; or all places where they clash.
pub(crate) fn merged(base: &[u8], one: &[u8], other: &[u8]) -> Result<Vec<u8>, Vec<Clash>> {
    let (base, one, other) = (lines(base), lines(one), lines(other));
    let (left, right) = (edits(&base, &one), edits(&base, &other));
    let (mut mine, mut theirs) = (left.as_slice(), right.as_slice());
    let (mut text, mut clashes, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(group) = next(&mut mine, &mut theirs) {
        put(&mut text, base.get(at..group.place.start).unwrap_or_default());
        at = group.place.end;
        match together(&base, &group) {
            Ok(lines) => put(&mut text, &lines),
            Err(clash) => clashes.push(clash),
        }
    }
    put(&mut text, base.get(at..).unwrap_or_default());
    if clashes.is_empty() { Ok(text) } else { Err(clashes) }
}

/// Takes the first edits off both lists that touch each other; of one side alone, a single one.
fn next<'e, 'a>(mine: &mut &'e [Edit<'a>], theirs: &mut &'e [Edit<'a>]) -> Option<Group<'e, 'a>> {
    let first = [mine.first(), theirs.first()].into_iter().flatten().map(|edit| &edit.place);
    let mut place = first.min_by_key(|place| place.start)?.clone();
    let (mut ones, mut others) = (0, 0);
    loop {
        let touches = |edit: Option<&Edit<'_>>| edit.is_some_and(|edit| edit.place.start <= place.end);
        let (list, count) = match (touches(mine.get(ones)), touches(theirs.get(others))) {
            (true, _) => (*mine, &mut ones),
            (false, true) => (*theirs, &mut others),
            (false, false) => break,
        };
        place.end = place.end.max(list.get(*count).map_or(0, |edit| edit.place.end));
        *count += 1;
    }
    let (one, other) = (mine.get(..ones)?, theirs.get(..others)?);
    (*mine, *theirs) = (mine.get(ones..)?, theirs.get(others..)?);
    Some(Group { place, one, other })
}

/// What both sides made of a place: the same, what one of them made of it alone, or what one made of it that had seen
/// what the other made.
fn together<'a>(base: &[&'a [u8]], group: &Group<'_, 'a>) -> Result<Vec<&'a [u8]>, Clash> {
    let (one, other) = (made(base, group, group.one), made(base, group, group.other));
    if group.one.is_empty() || one == other || holds(group.other, group.one) {
        return Ok(other);
    }
    if group.other.is_empty() || holds(group.one, group.other) {
        return Ok(one);
    }
    let owned = |lines: &[&[u8]]| lines.iter().map(|line| line.to_vec()).collect();
    Err(Clash {
        first: group.place.start + 1,
        base: owned(base.get(group.place.clone()).unwrap_or_default()),
        one: owned(&one),
        other: owned(&other),
    })
}

/// A place of the old text after these edits.
fn made<'a>(base: &[&'a [u8]], group: &Group<'_, 'a>, edits: &[Edit<'a>]) -> Vec<&'a [u8]> {
    let (mut lines, mut at) = (Vec::new(), group.place.start);
    for edit in edits {
        lines.extend(base.get(at..edit.place.start).unwrap_or_default());
        lines.extend(edit.lines);
        at = edit.place.end;
    }
    lines.extend(base.get(at..group.place.end).unwrap_or_default());
    lines
}

/// Whether edits hold other ones, made by somebody who had them before his eyes: where those put lines, these put the
/// same in the same order and more, and all that those took away is gone.
///
/// A line that says nothing (a bracket alone) is no sign of that, and neither is a removal.
fn holds(edits: &[Edit<'_>], others: &[Edit<'_>]) -> bool {
    let tells = |line: &&[u8]| line.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= TELLING;
    others.iter().all(|other| {
        other.lines.iter().any(tells)
            && edits.iter().any(|edit| {
                let mut rest = edit.lines.iter();
                edit.place.start <= other.place.start
                    && other.place.end <= edit.place.end
                    && other.lines.iter().all(|line| rest.any(|mine| mine == line))
            })
    })
}

/// From so many letters and digits on, a line is hardly written twice by chance.
const TELLING: usize = 4;

fn put(text: &mut Vec<u8>, lines: &[&[u8]]) {
    lines.iter().for_each(|line| text.extend_from_slice(line));
}

/// How the old text becomes another, edits that follow each other at once as one.
fn edits<'a>(base: &[&[u8]], other: &'a [&'a [u8]]) -> Vec<Edit<'a>> {
    let mut places: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for op in operations(base, other) {
        if matches!(op, DiffOp::Equal { .. }) {
            continue;
        }
        let (old, new) = (op.old_range(), op.new_range());
        match places.last_mut() {
            Some((place, lines)) if place.end == old.start && lines.end == new.start => {
                (place.end, lines.end) = (old.end, new.end);
            }
            _ => places.push((old, new)),
        }
    }
    let edit = |(place, new): (Range<usize>, Range<usize>)| Edit {
        place,
        lines: other.get(new).unwrap_or_default(),
    };
    places.into_iter().map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(base: &str, one: &str, other: &str) -> Option<String> {
        let merged = merged(base.as_bytes(), one.as_bytes(), other.as_bytes()).ok()?;
        Some(String::from_utf8(merged).unwrap())
    }

    #[test]
    fn edits_apart_come_together_and_those_that_touch_do_not() {
        let base = "1\n2\n3\n4\n5\n";
        assert_eq!(text(base, "one\n2\n3\n4\n5\n", "1\n2\n3\n4\nfive\n").unwrap(), "one\n2\n3\n4\nfive\n");
        assert_eq!(text(base, "0\n1\n2\n3\n4\n5\n", "1\n2\n4\n5\n").unwrap(), "0\n1\n2\n4\n5\n");
        assert_eq!(text(base, "1\n2\n3\n4\nfive\n", "1\n2\n3\n4\nfive\n").unwrap(), "1\n2\n3\n4\nfive\n");
        for (one, other) in [
            ("1\n2\nx\n4\n5\n", "1\n2\ny\n4\n5\n"),
            ("1\n2\nx\n4\n5\n", "1\n2\n3\ny\n5\n"),
            ("1\n2\nx\n3\n4\n5\n", "1\n2\ny\n3\n4\n5\n"),
            ("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\nfive"),
            ("", "1\n2\n3\n4\nfive\n"),
        ] {
            assert_eq!(text(base, one, other), None, "{one:?} {other:?}");
        }
    }

    #[test]
    fn every_place_that_clashes_is_given_with_both_sides() {
        let base = b"1\n2\n3\n4\n5\n6\n7\n";
        let clashes = merged(base, b"1\nx\n3\n4\n5\n6\nend\n", b"1\ny\ny\n3\nz\n5\n6\n").unwrap_err();
        let text = |lines: &[Vec<u8>]| String::from_utf8(lines.concat()).unwrap();
        let told: Vec<_> = clashes
            .iter()
            .map(|clash| (clash.first, text(&clash.base), text(&clash.one), text(&clash.other)))
            .collect();
        let lines = |first, base: &str, one: &str, other: &str| {
            (first, base.to_owned(), one.to_owned(), other.to_owned())
        };
        assert_eq!(told, [lines(2, "2\n", "x\n", "y\ny\n"), lines(7, "7\n", "end\n", "")]);
        assert_eq!(clashes[0].to_string(), "lines 2 to 2 were changed on both sides");
        let both = merged(b"", b"mine\n", b"theirs\n").unwrap_err();
        assert_eq!((both.len(), both[0].first, both[0].base.len()), (1, 1, 0));
    }

    #[test]
    fn an_edit_made_on_top_of_the_other_is_both() {
        let base = "one\ntwo\nthree\nfour\n";
        let mine = "one\nmine here\nthree\nfour\n";
        for on_top in ["one\nmine here\nand theirs\nfour\n", "one\ntheirs\nmine here\nthree\nfour\n"] {
            assert_eq!(text(base, mine, on_top).as_deref(), Some(on_top));
            assert_eq!(text(base, on_top, mine).as_deref(), Some(on_top));
        }
        assert_eq!(text("", "made by me\n", "made by me\nand more\n").unwrap(), "made by me\nand more\n");
        // Whoever did not keep the line had not seen it, or did not want it: that is for a person to say.
        assert_eq!(text(base, mine, "one\nother\nand theirs\nfour\n"), None);
        assert_eq!(text(base, "one\n}\nthree\nfour\n", "one\n}\nand theirs\nfour\n"), None);
        assert_eq!(text(base, "one\nthree\nfour\n", "one\nand theirs\nfour\n"), None);
        // What only one took away is gone, as everywhere.
        assert_eq!(text(base, mine, "one\nmine here\ntwo\nthree\nfour\n").as_deref(), Some(mine));
    }

    proptest! {
        #[test]
        fn an_edit_of_one_side_alone_is_that_side(base in "([ab]?\n){0,20}[ab]?", other in "([ab]?\n){0,20}[ab]?") {
            prop_assert_eq!(text(&base, &base, &other), Some(other.clone()));
            prop_assert_eq!(text(&base, &other, &base), Some(other.clone()));
            prop_assert_eq!(text(&base, &other, &other), Some(other));
        }

        #[test]
        fn it_does_not_matter_who_is_first(
            base in "([ab]?\n){0,20}[ab]?", one in "([ab]?\n){0,20}[ab]?", other in "([ab]?\n){0,20}[ab]?"
        ) {
            prop_assert_eq!(text(&base, &one, &other), text(&base, &other, &one));
        }

        #[test]
        fn no_line_of_either_side_is_lost(at in 0usize..20, far in 0usize..20) {
            let base: Vec<String> = (0..24).map(|number| format!("{number}\n")).collect();
            let edited = |at: usize, line: &str| {
                let mut lines = base.clone();
                lines[at] = line.to_owned();
                lines.concat()
            };
            match text(&base.concat(), &edited(at, "mine\n"), &edited(far, "theirs\n")) {
                Some(both) => prop_assert!(both.contains("mine\n") && both.contains("theirs\n")),
                None => prop_assert!(at.abs_diff(far) <= 1),
            }
        }
    }
}
