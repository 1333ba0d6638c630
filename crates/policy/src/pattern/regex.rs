//! Writes regular expressions over bytes: nothing but literals, sets, groups and repetition.

use std::fmt::Write as _;

use crate::pattern::glob::{Glob, Piece};

/// A regular expression being written. Bytes, not characters; matched from the first byte to the last.
#[derive(Debug, Default)]
pub(crate) struct Regex {
    text: String,
}

impl Regex {
    /// These bytes.
    pub(crate) fn literal(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if byte.is_ascii_alphanumeric() {
                self.text.push(char::from(*byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(self.text, "\\x{byte:02x}");
            }
        }
    }

    /// A part written by whoever calls, in the syntax of regular expressions.
    pub(crate) fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// A glob whose stars stand for any bytes of `set` (a negated set such as `[^/]`).
    pub(crate) fn glob(&mut self, glob: &Glob, set: &str) {
        for piece in &glob.0 {
            match piece {
                Piece::Literal(bytes) => self.literal(bytes),
                Piece::Star => {
                    self.raw(set);
                    self.raw("*");
                }
                Piece::Choice(choices) => {
                    self.raw("(?:");
                    for (index, choice) in choices.iter().enumerate() {
                        self.raw(if index == 0 { "" } else { "|" });
                        self.glob(choice, set);
                    }
                    self.raw(")");
                }
            }
        }
    }

    /// The whole expression, anchored at the end; searches are anchored at the start.
    pub(crate) fn finish(self) -> String {
        format!("(?:{})\\z", self.text)
    }
}

/// One expression for all of these, each made by [`Regex::finish`].
pub(crate) fn either(expressions: &[String]) -> String {
    expressions.join("|")
}

/// Whether one of the expressions matches all of the input. For what is asked once.
pub(crate) fn is_match(expressions: &[String], input: &[u8]) -> bool {
    let Ok(automaton) = crate::automaton::Automaton::new(expressions) else { return false };
    let mut found = false;
    automaton.matches(&mut automaton.scratch(), input, |_| found = true);
    found
}
