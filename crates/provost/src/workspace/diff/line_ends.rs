//! How the ends of lines change with a change.
//!
//! Owns telling a file whose lines differ in nothing but their ends from one that was edited. Does not own showing lines.

use std::fmt;

use serde::Serialize;

use super::super::hunk::{Hunk, Mark};

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ends {
    /// With a line feed.
    Lf,
    /// With carriage return and line feed.
    Crlf,
    /// Some so, some so.
    Mixed,
}

/// How the ends of the changed lines change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LineEnds {
    /// How those ended that go.
    pub before: Ends,
    /// How those end that come.
    pub after: Ends,
    /// Whether nothing else of them changes.
    pub only: bool,
}

impl fmt::Display for LineEnds {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |ends: Ends| match ends {
            Ends::Lf => "LF",
            Ends::Crlf => "CRLF",
            Ends::Mixed => "mixed",
        };
        let what = if self.only { "only line ends change" } else { "line ends change too" };
        write!(to, "{what}: {} -> {}", word(self.before), word(self.after))
    }
}

/// What is to be said of the ends, if they change.
pub(super) fn of(hunks: &[Hunk]) -> Option<LineEnds> {
    let marked = |mark| {
        let lines = hunks.iter().flat_map(|hunk| &hunk.lines).filter(move |line| line.mark == mark);
        lines.map(|line| line.text.as_slice())
    };
    let (before, after) = (ends(marked(Mark::Removed))?, ends(marked(Mark::Added))?);
    let same = hunks.iter().all(|hunk| {
        let texts = |mark| {
            let lines = hunk.lines.iter().filter(move |line| line.mark == mark);
            lines.map(|line| parts(&line.text).0)
        };
        texts(Mark::Removed).eq(texts(Mark::Added))
    });
    let is_ended = |text: &[u8]| parts(text).1.is_some();
    let only = same && marked(Mark::Removed).chain(marked(Mark::Added)).all(is_ended);
    (before != after || only).then_some(LineEnds { before, after, only })
}

/// How these lines end; nothing where none of them has an end.
fn ends<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Ends> {
    lines.filter_map(|line| parts(line).1).reduce(|one, other| if one == other { one } else { Ends::Mixed })
}

/// A line's text, and how it ends, if it does.
fn parts(line: &[u8]) -> (&[u8], Option<Ends>) {
    match (line.strip_suffix(b"\r\n"), line.strip_suffix(b"\n")) {
        (Some(text), _) => (text, Some(Ends::Crlf)),
        (None, Some(text)) => (text, Some(Ends::Lf)),
        (None, None) => (line, None),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::hunk::hunks;
    use super::*;
    use std::path::Path;

    #[test]
    fn only_ends_are_told_from_ends_and_text() {
        let of = |before: &str, after: &str| {
            let hunks = hunks(Path::new("a"), before.as_bytes(), after.as_bytes());
            of(&hunks).map(|ends| ends.to_string()).unwrap_or_default()
        };
        assert_eq!(of("a\nb\n", "a\r\nb\r\n"), "only line ends change: LF -> CRLF");
        assert_eq!(of("a\r\nb\n", "a\nb\n"), "only line ends change: CRLF -> LF");
        assert_eq!(of("a\r\nb\n", "a\nb\r\n"), "only line ends change: mixed -> mixed");
        assert_eq!(of("a\nb\n", "a\r\nc\r\n"), "line ends change too: LF -> CRLF");
        for (before, after) in
            [("a\n", "b\n"), ("a\r\n", "b\r\n"), ("", "a\r\n"), ("a\n", ""), ("a", "a\n"), ("a\r\n", "a")]
        {
            assert_eq!(of(before, after), "", "{before:?} {after:?}");
        }
    }
}
