//! Two edits of one text, brought together line by line.
//!
//! Pure. Owns when that can be done: where the edits touch no common line and no neighbouring ones, or are the same. Does
//! not own what is done where it cannot.

use std::ops::Range;

use similar::DiffOp;

use super::hunk::{lines, operations};

/// Where two edits meet: the lines of the old text, from 1, that both changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lines {} to {} were changed on both sides", .0.start, .0.end)]
pub(crate) struct Clash(pub(crate) Range<usize>);

/// Lines of the old text, and what takes their place.
#[derive(Debug, PartialEq, Eq)]
struct Edit<'a> {
    place: Range<usize>,
    lines: &'a [&'a [u8]],
}

/// The old text with both edits.
pub(crate) fn merged(base: &[u8], one: &[u8], other: &[u8]) -> Result<Vec<u8>, Clash> {
    let (base, one, other) = (lines(base), lines(one), lines(other));
    let (left, right) = (edits(&base, &one), edits(&base, &other));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    let (mut text, mut at) = (Vec::new(), 0);
    loop {
        let next = match (left.peek(), right.peek()) {
            (None, None) => break,
            (Some(mine), Some(theirs)) if mine == theirs => {
                right.next();
                left.next()
            }
            (Some(mine), Some(theirs))
                if mine.place.start <= theirs.place.end && theirs.place.start <= mine.place.end =>
            {
                let start = mine.place.start.min(theirs.place.start) + 1;
                return Err(Clash(start..mine.place.end.max(theirs.place.end).max(start)));
            }
            (Some(mine), Some(theirs)) if theirs.place.start < mine.place.start => right.next(),
            (Some(_), _) => left.next(),
            (None, Some(_)) => right.next(),
        };
        let Some(edit) = next else { break };
        put(&mut text, base.get(at..edit.place.start));
        put(&mut text, Some(edit.lines));
        at = edit.place.end;
    }
    put(&mut text, base.get(at..));
    Ok(text)
}

fn put(text: &mut Vec<u8>, lines: Option<&[&[u8]]>) {
    lines.unwrap_or_default().iter().for_each(|line| text.extend_from_slice(line));
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
        let clash = merged(b"1\n2\n3\n", b"1\nx\n3\n", b"1\ny\n3\n").unwrap_err();
        assert_eq!(clash.0, 2..2);
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
