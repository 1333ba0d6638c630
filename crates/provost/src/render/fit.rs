//! Lines that fit a terminal.
//!
//! Owns where a line is cut: at the terminal's last column, with `..` in place of the rest. What is no terminal gets it whole. Does not
//! own what is worth a line.

use super::{Paint, Tone};

/// A line of parts, each in a tone.
#[derive(Debug, Clone, Default)]
pub struct Line(Vec<(Option<Tone>, String)>);

impl Line {
    /// With one part more.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Line {
        self.0.push((None, text.into()));
        self
    }

    /// With one part more, in a tone.
    #[must_use]
    pub fn toned(mut self, tone: Tone, text: impl Into<String>) -> Line {
        self.0.push((Some(tone), text.into()));
        self
    }

    /// With another line behind it.
    #[must_use]
    pub fn join(mut self, other: Line) -> Line {
        self.0.extend(other.0);
        self
    }

    /// The whole of it in one tone.
    #[must_use]
    pub fn all(mut self, tone: Tone) -> Line {
        self.0.iter_mut().for_each(|(its, _)| *its = Some(tone));
        self
    }

    /// As it is printed, in so many columns at most.
    pub fn print(&self, paint: Paint, columns: Option<usize>) -> String {
        let whole: usize = self.0.iter().map(|(_, text)| text.chars().count()).sum();
        let cut = columns.filter(|columns| whole > *columns && *columns > 2);
        let mut left = cut.map_or(usize::MAX, |columns| columns - 2);
        let mut line = String::new();
        for (tone, text) in &self.0 {
            let kept: String = text.chars().take(left).collect();
            left -= kept.chars().count().min(left);
            if !kept.is_empty() {
                line.push_str(&tone.map_or_else(|| kept.clone(), |tone| paint.on(tone, &kept)));
            }
        }
        if cut.is_some() {
            line.push_str("..");
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_the_terminal_ends_and_colours_end_with_it() {
        let line = Line::default().and("abc ").toned(Tone::Bad, "defgh").and(" ijk");
        assert_eq!(line.print(Paint::PLAIN, None), "abc defgh ijk");
        assert_eq!(line.print(Paint::PLAIN, Some(13)), "abc defgh ijk");
        assert_eq!(line.print(Paint::PLAIN, Some(8)), "abc de..");
        assert_eq!(line.print(Paint(true), Some(8)), "abc \x1b[31mde\x1b[0m..");
        assert_eq!(line.print(Paint::PLAIN, Some(1)), "abc defgh ijk", "too narrow to say anything");
    }
}
