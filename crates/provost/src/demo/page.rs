//! How the demo is laid out: two columns on a terminal, plain lines elsewhere.
//!
//! Owns widths, wrapping and the pace of reading. Does not own what is said.

use std::io::IsTerminal as _;
use std::time::Duration;

use super::sight::Sight;
use super::stop::Stop;
use crate::failure::Failure;
use crate::render::{Out, Tone};

/// Columns of a terminal that does not say how many it has.
const USUAL: usize = 80;
/// Columns beyond which lines are harder to follow.
const MOST: usize = 120;
/// Columns with less than this are no columns.
const LEAST: usize = 60;
/// What stands before every line beneath a title.
const INDENT: &str = "   ";
/// What stands between the columns.
const GUTTER: &str = " │ ";
/// Time to read a line.
const LINE: Duration = Duration::from_millis(90);
/// Time to read a title, and to take in an act.
const BREATH: Duration = Duration::from_millis(400);

/// Where the demo is written.
#[derive(Debug)]
pub(super) struct Page {
    out: Out,
    stop: Stop,
    /// Columns of the terminal; `None` where it is none, and plain lines are wanted.
    width: Option<usize>,
}

impl Page {
    /// On standard output.
    pub(super) fn new(out: Out, stop: Stop) -> Page {
        let stdout = std::io::stdout();
        let wide = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
        let wide = if wide == 0 { USUAL } else { wide.min(MOST) };
        Page { out, stop, width: (stdout.is_terminal() && out.human()).then_some(wide) }
    }

    /// Whether people see it as it happens.
    pub(super) fn is_live(&self) -> bool {
        self.width.is_some()
    }

    /// Where the time is that a reader needs.
    pub(super) fn breathe(&self) -> Result<(), Failure> {
        if self.is_live() { self.stop.pause(BREATH) } else { self.stop.heed() }
    }

    /// A line over the whole width.
    pub(super) fn line(&self, text: &str, tone: Option<Tone>) -> Result<(), Failure> {
        if !self.out.human() {
            return Ok(());
        }
        let lines = match self.width {
            Some(width) => wrapped(text, width.max(1)),
            None => vec![text.to_owned()],
        };
        lines.iter().try_for_each(|line| self.put(self.painted(line, tone)))
    }

    /// A line beneath a title.
    pub(super) fn under(&self, text: &str, tone: Option<Tone>) -> Result<(), Failure> {
        if !self.out.human() {
            return Ok(());
        }
        let lines = match self.width {
            Some(width) => wrapped(text, width.saturating_sub(INDENT.len()).max(1)),
            None => vec![text.to_owned()],
        };
        lines.iter().try_for_each(|line| self.put(format!("{INDENT}{}", self.painted(line, tone))))
    }

    /// The title of an act.
    pub(super) fn title(&self, number: usize, title: &str) -> Result<(), Failure> {
        self.line("", None)?;
        self.line(&format!("{number}. {title}"), Some(Tone::Strong))?;
        self.breathe()
    }

    /// The heads of the columns.
    pub(super) fn heads(&self) -> Result<(), Failure> {
        let Some(columns) = self.columns() else { return Ok(()) };
        self.line("", None)?;
        self.row(columns, ("the agent says", Some(Tone::Faint)), ("the kernel saw", Some(Tone::Faint)))
    }

    /// What was said beside what was seen.
    pub(super) fn beside(&self, said: &[String], seen: &[Sight]) -> Result<(), Failure> {
        if !self.out.human() {
            return Ok(());
        }
        let Some(columns) = self.columns() else { return self.beneath(said, seen) };
        let left: Vec<String> = said.iter().flat_map(|line| wrapped(line, columns.0)).collect();
        let mut right: Vec<(String, Option<Tone>)> = Vec::new();
        for sight in seen {
            right.extend(wrapped(&sight.text, columns.1).into_iter().map(|line| (line, sight.tone)));
            let note = sight.note.iter().flat_map(|note| wrapped(note, columns.1 - 2));
            right.extend(note.map(|line| (format!("  {line}"), Some(Tone::Faint))));
        }
        for at in 0..left.len().max(right.len()) {
            let left = left.get(at).map_or("", String::as_str);
            let (right, tone) = right.get(at).map_or(("", None), |(text, tone)| (text.as_str(), *tone));
            self.row(columns, (left, None), (right, tone))?;
        }
        Ok(())
    }

    /// The same without columns.
    fn beneath(&self, said: &[String], seen: &[Sight]) -> Result<(), Failure> {
        said.iter().try_for_each(|line| self.under(&format!("says  {line}"), None))?;
        for sight in seen {
            let note = sight.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
            self.under(&format!("saw   {}{note}", sight.text), None)?;
        }
        Ok(())
    }

    /// The widths of the two columns.
    fn columns(&self) -> Option<(usize, usize)> {
        let width = self.width.filter(|width| *width >= LEAST)?;
        let both = width.saturating_sub(INDENT.len() + GUTTER.chars().count());
        let left = both * 2 / 5;
        Some((left, both - left))
    }

    fn row(
        &self,
        (width, _): (usize, usize),
        (left, left_tone): (&str, Option<Tone>),
        (right, right_tone): (&str, Option<Tone>),
    ) -> Result<(), Failure> {
        let left = self.painted(&format!("{left:<width$}"), left_tone);
        let line = format!(
            "{INDENT}{left}{}{}",
            self.painted(GUTTER, Some(Tone::Faint)),
            self.painted(right, right_tone)
        );
        self.put(line.trim_end().to_owned())
    }

    fn painted(&self, text: &str, tone: Option<Tone>) -> String {
        match tone {
            Some(tone) if !text.trim().is_empty() => self.out.paint().on(tone, text),
            _ => text.to_owned(),
        }
    }

    fn put(&self, line: String) -> Result<(), Failure> {
        self.out.line(line);
        if self.is_live() { self.stop.pause(LINE) } else { self.stop.heed() }
    }
}

/// A text in lines of at most `width` characters, broken between words where that can be.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for (at, word) in text.split(' ').enumerate() {
        let mut word: Vec<char> = word.chars().collect();
        if at > 0 && used + 1 + word.len() > width {
            lines.push(String::new());
            used = 0;
        } else if at > 0 {
            push(&mut lines, " ");
            used += 1;
        }
        while word.len() > width - used {
            let rest = word.split_off(width - used);
            push(&mut lines, &word.iter().collect::<String>());
            lines.push(String::new());
            (word, used) = (rest, 0);
        }
        push(&mut lines, &word.iter().collect::<String>());
        used += word.len();
    }
    lines
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_broken_between_words_where_that_can_be() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("", 7), [""]);
        assert_eq!(wrapped("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrapped("  a b", 80), ["  a b"]);
        for width in 1..20 {
            let lines = wrapped("a long word-that-is-longer and é then some", width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
        }
    }
}
