//! The page that a review is written on: its colours, its width, and that what the agent wrote can only be shown.
//!
//! Owns how a line looks, and spelling out what a terminal would obey. Does not own which lines there are.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// How a line is shown where there are colours.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    Head,
    Hunk,
    Added,
    Removed,
    Warning,
    Plain,
}

/// How a text is to look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// With colours.
    pub colour: bool,
    /// What is said is broken at so many columns; the lines of files never are.
    pub columns: Option<usize>,
}

impl From<bool> for Look {
    fn from(colour: bool) -> Look {
        Look { colour, columns: None }
    }
}

/// Text in the making.
pub(super) struct Page {
    pub(super) text: String,
    pub(super) look: Look,
}

impl Page {
    pub(super) fn new(look: impl Into<Look>) -> Page {
        Page { text: String::new(), look: look.into() }
    }

    /// Something that is said of a file.
    pub(super) fn note(&mut self, tone: Tone, line: &str) {
        for line in crate::render::folded(line, 4, self.look.columns) {
            self.line(tone, &line);
        }
    }

    pub(super) fn line(&mut self, tone: Tone, line: &str) {
        let code = match tone {
            Tone::Head => "1",
            Tone::Hunk => "36",
            Tone::Added => "32",
            Tone::Removed => "31",
            Tone::Warning => "33",
            Tone::Plain => "",
        };
        let _ = match self.look.colour && !code.is_empty() {
            true => writeln!(self.text, "\x1b[{code}m{line}\x1b[0m"),
            false => writeln!(self.text, "{line}"),
        };
    }
}

/// Text of the agent that a terminal only shows: control characters, what is not seen, what turns the direction of
/// writing, and bytes that are no text are spelt out.
#[must_use]
pub fn harmless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for one in chunk.valid().chars() {
            match one {
                '\t' => text.push(one),
                _ if is_harmful(one) => text.extend(one.escape_unicode()),
                _ => text.push(one),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_harmful(one: char) -> bool {
    one.is_control()
        || matches!(one, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(one, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// A path, harmless to show.
#[must_use]
pub fn shown(path: &Path) -> String {
    harmless(path.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(harmless(b"a\x1b]52;c;eA==\x07b"), "a\\u{1b}]52;c;eA==\\u{7}b");
        assert_eq!(harmless("x\u{202e}fdp\u{9b}2J\r".as_bytes()), "x\\u{202e}fdp\\u{9b}2J\\u{d}");
        assert_eq!(harmless(b"caf\xc3\xa9 \xff\t"), "café \\xff\t");
    }

    proptest! {
        #[test]
        fn nothing_of_it_is_a_control_character(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(harmless(&bytes).chars().all(|one| one == '\t' || !is_harmful(one)));
        }
    }
}
