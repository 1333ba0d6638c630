//! Speaking: the only place that prints.
//!
//! Owns standard output and error, the two formats, colours, and that text which is not ours can only be text. Does not own
//! what is said.

pub mod exposure;
pub mod fit;
pub mod ground;
pub mod process;
pub mod processes;
pub mod story;
pub mod summary;
pub mod table;
pub mod watch;

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::cli::Format;
use crate::failure::Failure;

/// Where a command speaks.
#[derive(Debug, Clone, Copy)]
pub struct Out {
    format: Format,
    paint: bool,
    paint_aside: bool,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Strong,
    /// Beside the point.
    Faint,
    /// Good.
    Good,
    /// Refused or broken.
    Bad,
    /// Wants a look.
    Notice,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Notice => "33",
        }
    }
}

/// Puts colour on a text, where colour is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(bool);

impl Paint {
    /// No colour.
    pub const PLAIN: Paint = Paint(false);

    /// Whether there is any.
    pub fn is_on(self) -> bool {
        self.0
    }

    /// The text in a tone.
    pub fn on(self, tone: Tone, text: impl Display) -> String {
        if self.0 { format!("\x1b[{}m{text}\x1b[0m", tone.code()) } else { text.to_string() }
    }
}

impl Out {
    /// For a format.
    pub fn new(format: Format) -> Out {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let human = format == Format::Human && wanted;
        Out {
            format,
            paint: human && io::stdout().is_terminal(),
            paint_aside: human && io::stderr().is_terminal(),
        }
    }

    /// Whether people read it.
    pub fn human(self) -> bool {
        self.format == Format::Human
    }

    /// Colours of standard output.
    pub fn paint(self) -> Paint {
        Paint(self.paint)
    }

    /// Colours of standard error.
    pub fn paint_aside(self) -> Paint {
        Paint(self.paint_aside)
    }

    /// The columns of the terminal that standard output is, if it is one.
    pub fn columns(self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// A line of the answer. A reader that went away is not an error.
    pub fn line(self, text: impl Display) {
        let _ = writeln!(io::stdout().lock(), "{text}");
    }

    /// The answer for a program: one object on one line.
    pub fn json(self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            self.line(text);
        }
    }

    /// A line beside the answer.
    pub fn aside(self, text: impl Display) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// A failure, in either format, on standard error.
    pub fn failure(self, failure: &Failure) {
        if !self.human() {
            let value = serde_json::json!({ "error": {
                "message": failure.what, "because": failure.because, "hint": failure.hint, "status": failure.status,
            }});
            return self.aside(value);
        }
        let paint = self.paint_aside();
        self.aside(format_args!("{} {}", paint.on(Tone::Bad, "provost:"), clean(&failure.to_string())));
        failure.quote.iter().for_each(|line| self.aside(clean(line)));
        if let Some(hint) = &failure.hint {
            self.aside(format_args!("  {} {}", paint.on(Tone::Faint, "hint:"), clean(hint)));
        }
    }
}

/// Text that may be somebody else's, as one line that a terminal can only show.
pub fn clean(text: &str) -> String {
    sandbox::terminal::printable(text)
}

/// The first of a text, so that it fits.
pub fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// A text in lines of so many columns at most, broken between words; all but the first begin with `indent` blanks. A word
/// that is longer stays whole.
pub fn folded(text: &str, indent: usize, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns.filter(|columns| *columns > indent + 20) else {
        return vec![text.to_owned()];
    };
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut width = 0;
    // What stands before the first word stays before it.
    let head = text.len() - text.trim_start().len();
    for (at, word) in text.trim_start().split(' ').enumerate() {
        let long = word.chars().count();
        if at > 0 && width + 1 + long > columns {
            lines.push(std::mem::take(&mut line));
            line.push_str(&" ".repeat(indent));
            width = indent;
        } else if at > 0 {
            line.push(' ');
            width += 1;
        } else {
            line.push_str(text.get(..head).unwrap_or_default());
            width = head;
        }
        line.push_str(word);
        width += long;
    }
    lines.push(line);
    lines
}

/// Milliseconds as a person says them.
pub fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// Bytes as a person says them.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).copied().unwrap_or_default())
}

/// So many of something.
pub fn count(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_say_them() {
        assert_eq!(time(5), "5 ms");
        assert_eq!(time(12_340), "12.3 s");
        assert_eq!(time(61_000), "1 min 1 s");
        assert_eq!(time(7_260_000), "2 h 1 min");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_500), "1.5 kB");
        assert_eq!(size(2_000_000), "2.0 MB");
        assert_eq!(size(999_950), "1.0 MB");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(short("abcdef", 4), "abc…");
    }

    #[test]
    fn a_long_line_is_broken_between_words_and_nothing_of_it_is_lost() {
        let text = "  kept back: one two three four five six seven";
        assert_eq!(folded(text, 4, Some(30)), ["  kept back: one two three", "    four five six seven"]);
        assert_eq!(folded(text, 4, None), [text]);
        assert_eq!(folded(text, 4, Some(200)), [text]);
        let word = "x".repeat(100);
        let lines = folded(&format!("a {word} b"), 2, Some(40));
        assert_eq!(lines, ["a".to_owned(), format!("  {word}"), "  b".to_owned()]);
    }

    #[test]
    fn what_is_not_ours_cannot_speak_to_the_terminal() {
        assert!(!clean("a\x1b]52;c;x\x07b\nc").contains(['\x1b', '\x07', '\n']));
    }
}
