//! A person's walk through a review, file by file and hunk by hunk, on a terminal.
//!
//! Owns what is asked, in which order, and what the answers come to. Reads lines and writes text, so that it can be walked
//! without a terminal. Does not own what is shown of a change (`workspace::diff`), nor what is done with the answers.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;

use crate::render::{Paint, Tone, count};
use crate::workspace::{FileReview, Named, No, Pick, Review, Risk};

/// What the answers come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Hunks that were accepted, by their names.
    pub hunks: Vec<String>,
    /// Files that were accepted as a whole.
    pub files: Vec<PathBuf>,
    /// What was rejected.
    pub nos: Vec<No>,
}

impl Said {
    /// What is to land by it.
    #[must_use]
    pub fn pick(&self) -> Pick {
        Pick::default().with_hunks(self.hunks.iter().cloned()).with_files(self.files.iter().cloned())
    }
}

/// An answer to one question.
enum Answer {
    Accept,
    Reject(String),
    Skip,
    Quit,
}

/// Who is asked, and how.
struct Walk<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    paint: Paint,
    said: Said,
}

/// Walks a person through a review. `None` where they want nothing done.
///
/// # Errors
/// The terminal can be neither read nor written.
pub fn through(
    review: &Review,
    input: &mut dyn BufRead,
    output: &mut dyn Write,
    paint: Paint,
) -> io::Result<Option<Said>> {
    let mut walk = Walk { input, output, paint, said: Said::default() };
    for (at, file) in review.files.iter().enumerate() {
        let place = format!("file {} of {}", at + 1, review.files.len());
        writeln!(walk.output, "\n{}", paint.on(Tone::Faint, place))?;
        writeln!(walk.output, "{}", file.head(paint.is_on()).trim_end())?;
        if file.lands && !walk.file(file)? {
            break;
        }
    }
    walk.end()
}

impl Walk<'_> {
    /// Asks for each part of a file. False where the walk ends here.
    fn file(&mut self, file: &FileReview) -> io::Result<bool> {
        let path = file.path.to_path();
        if file.hunks.is_empty() {
            return Ok(match self.ask("this file", &[&file.risk])? {
                Answer::Accept => {
                    self.said.files.push(path);
                    true
                }
                Answer::Reject(why) => {
                    self.said.nos.push(No { what: Named::File(path), why });
                    true
                }
                Answer::Skip => true,
                Answer::Quit => false,
            });
        }
        let mut accepted = Vec::new();
        for (at, hunk) in file.hunks.iter().enumerate() {
            write!(self.output, "{}", file.hunk_text(hunk, self.paint.is_on()))?;
            let what = format!("hunk {} of {}", at + 1, file.hunks.len());
            match self.ask(&what, &[&hunk.risk, &file.risk])? {
                Answer::Accept => accepted.push(hunk.id.clone()),
                Answer::Reject(why) => self.said.nos.push(No { what: Named::Hunk(hunk.id.clone()), why }),
                Answer::Skip => {}
                Answer::Quit => {
                    self.said.hunks.extend(accepted);
                    return Ok(false);
                }
            }
        }
        let whole = accepted.len() == file.hunks.len();
        let mode = file.changes_mode().filter(|_| whole);
        if let Some(mode) = mode {
            match self.ask(&format!("its {mode}"), &[&file.risk])? {
                Answer::Accept => {
                    self.said.files.push(path);
                    accepted.clear();
                }
                // Lines have names to be rejected by; a mode that is not wanted waits.
                Answer::Reject(_) | Answer::Skip => {}
                Answer::Quit => {
                    self.said.hunks.extend(accepted);
                    return Ok(false);
                }
            }
        }
        self.said.hunks.extend(accepted);
        Ok(true)
    }

    /// One question, until it is answered. The end of the input is the end of the walk.
    fn ask(&mut self, what: &str, risks: &[&Risk]) -> io::Result<Answer> {
        loop {
            let keys = "[y]es, [n]o, [s]kip, [w]hy risky, [q]uit";
            let Some(line) = self.line(&format!("{what}: {keys} > "))? else { return Ok(Answer::Quit) };
            match line.to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Answer::Accept),
                "s" | "skip" => return Ok(Answer::Skip),
                "q" | "quit" => return Ok(Answer::Quit),
                "w" | "why" => self.why(risks)?,
                "n" | "no" => match self.line("why not? it is kept with it > ")? {
                    Some(why) if !why.is_empty() => return Ok(Answer::Reject(why)),
                    Some(_) => writeln!(self.output, "  a no needs a reason; [s]kip leaves it waiting")?,
                    None => return Ok(Answer::Quit),
                },
                _ => writeln!(self.output, "  one of y, n, s, w, q")?,
            }
        }
    }

    fn why(&mut self, risks: &[&Risk]) -> io::Result<()> {
        let mut reasons: Vec<&String> = risks.iter().flat_map(|risk| &risk.reasons).collect();
        let mut seen = std::collections::BTreeSet::new();
        reasons.retain(|reason| seen.insert(*reason));
        if reasons.is_empty() {
            return writeln!(self.output, "  nothing that Provost looks for; that makes it no safer");
        }
        reasons.iter().try_for_each(|reason| writeln!(self.output, "  {reason}"))
    }

    /// What was typed, without what is around it; nothing at the end of the input.
    fn line(&mut self, question: &str) -> io::Result<Option<String>> {
        write!(self.output, "{}", self.paint.on(Tone::Strong, question))?;
        self.output.flush()?;
        let mut line = String::new();
        let read = self.input.read_line(&mut line)?;
        Ok((read > 0).then(|| line.trim().to_owned()))
    }

    /// Says what the answers come to, and asks whether it is to be done.
    fn end(mut self) -> io::Result<Option<Said>> {
        let accepted = self.said.hunks.len() + self.said.files.len();
        let rejected = self.said.nos.len();
        if accepted + rejected == 0 {
            writeln!(self.output, "\nNothing was accepted or rejected: all of it waits.")?;
            return Ok(None);
        }
        let sum = format!(
            "\n{} to land, {rejected} rejected. Do that? [y]es, [n]o > ",
            count(accepted as u64, "part")
        );
        let answer = self.line(&sum)?;
        if answer.is_some_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")) {
            return Ok(Some(self.said));
        }
        writeln!(self.output, "Nothing was done: all of it waits.")?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{HunkReview, SideReview};
    use ledger::event::Change;

    fn hunk(id: &str, text: &str) -> HunkReview {
        let risk = Risk { grade: None, reasons: vec!["tests are skipped".to_owned()] };
        let lines = vec![text.into()];
        HunkReview { id: id.to_owned(), old: (1, 0), new: (1, 1), risk, rejected: None, lines }
    }

    fn file(path: &str, hunks: Vec<HunkReview>) -> FileReview {
        FileReview {
            path: path.into(),
            change: Change::Modified,
            pre: None,
            post: None,
            content: "lines",
            added: 0,
            removed: 0,
            handoff: None,
            why: None,
            lands: true,
            moved: false,
            risk: Risk::default(),
            rejected: None,
            renamed_from: None,
            renamed_to: None,
            hunks,
        }
    }

    fn walked(files: Vec<FileReview>, keys: &str) -> (Option<Said>, String) {
        let review = Review { files, ignored: Vec::new(), git: 0 };
        let mut output = Vec::new();
        let said = through(&review, &mut keys.as_bytes(), &mut output, Paint::PLAIN).unwrap();
        (said, String::from_utf8(output).unwrap())
    }

    #[test]
    fn each_part_is_shown_and_answered_for_itself() {
        let files = vec![
            file("a", vec![hunk("h1", "+one\n"), hunk("h2", "+two\n"), hunk("h3", "+three\n")]),
            file("image", Vec::new()),
            file("other", Vec::new()),
        ];
        let (said, text) = walked(files, "y\nw\nn\n\nn\nnot asked for\ns\ny\nn\nugly\ny\n");
        let said = said.unwrap();
        assert_eq!((said.hunks, said.files), (vec!["h1".to_owned()], vec![PathBuf::from("image")]));
        let no = |what, why: &str| No { what, why: why.to_owned() };
        let other = no(Named::File("other".into()), "ugly");
        assert_eq!(said.nos, [no(Named::Hunk("h2".into()), "not asked for"), other]);
        assert!(text.contains("+two") && text.contains("  tests are skipped\n"), "{text}");
        assert!(text.contains("2 parts to land, 2 rejected"), "{text}");
    }

    #[test]
    fn whoever_leaves_is_asked_before_anything_is_done() {
        let files = || vec![file("a", vec![hunk("h1", "+one\n"), hunk("h2", "+two\n")])];
        assert_eq!(walked(files(), "y\nq\ny\n").0.unwrap().hunks, ["h1"]);
        assert_eq!(walked(files(), "y\nq\nn\n").0, None);
        for end in ["", "y\n", "y\ny\n", "s\ns\n", "nonsense\n", "n\n"] {
            assert_eq!(walked(files(), end).0, None, "{end:?}");
        }
    }

    #[test]
    fn a_mode_is_asked_for_by_itself_and_what_never_lands_not_at_all() {
        let side = |mode: &str| SideReview { kind: "file", mode: mode.into(), size: Some(1), target: None };
        let run = FileReview {
            pre: Some(side("0644")),
            post: Some(side("0755")),
            ..file("run.sh", vec![hunk("h1", "+one\n")])
        };
        let git = FileReview { lands: false, ..file(".git/config", vec![hunk("h9", "+x\n")]) };
        let (said, text) = walked(vec![git.clone(), run.clone()], "y\ny\ny\n");
        let said = said.unwrap();
        assert_eq!((said.hunks.len(), said.files), (0, vec![PathBuf::from("run.sh")]));
        assert!(text.contains("its mode 0644 -> 0755: ") && !text.contains("+x"), "{text}");
        assert_eq!(walked(vec![git, run], "y\ns\ny\n").0.unwrap().hunks, ["h1"]);
    }
}
