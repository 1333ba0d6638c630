//! A person's walk through a review, file by file and hunk by hunk, on a terminal.
//!
//! Owns what is asked, in which order, and what the answers come to. Reads lines and writes text, so that it can be walked
//! without a terminal. Does not own what is shown of a change (`workspace::diff`), nor what is done with the answers.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use crate::editor::{self, EditorError};
use crate::render::{Paint, Tone, count};
use crate::workspace::{
    FileReview, HandEdit, HunkReview, Look, Named, No, Part, Pick, Renamed, Review, Risk, harmless,
};

/// What the answers come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Hunks that were accepted, by their names.
    pub hunks: Vec<String>,
    /// Files that were accepted as a whole.
    pub files: Vec<PathBuf>,
    /// What was edited by hand, and is to land as it was saved.
    pub edits: Vec<HandEdit>,
    /// What was rejected.
    pub nos: Vec<No>,
}

impl Said {
    /// What is to land by it.
    #[must_use]
    pub fn pick(&self) -> Pick {
        let pick = Pick::default().with_hunks(self.hunks.iter().cloned());
        pick.with_files(self.files.iter().cloned()).with_edits(self.edits.clone())
    }
}

/// What opens the person's editor on the text of a part of a file, and gives back what was saved.
pub type Edit<'a> = &'a dyn Fn(&Path, &[u8]) -> Result<Vec<u8>, EditorError>;

/// An answer to one question.
enum Answer {
    Accept,
    /// Each file of it by itself.
    Each,
    Edit,
    Reject(String),
    Skip,
    Quit,
}

/// What a person said of a hunk.
enum Verdict {
    Accepted,
    Edited(Vec<u8>),
    /// It waits, or was rejected.
    Left,
    Quit,
}

/// What can be answered where there is nothing to be edited.
const KEYS: &str = "[y]es, [n]o, [s]kip, [w]hy risky, [q]uit";

/// What can be answered to a rename.
const RENAME_KEYS: &str = "[y]es, [n]o, [f]iles one by one, [s]kip, [w]hy risky, [q]uit";

/// Who is asked, and how.
struct Walk<'a> {
    input: &'a mut dyn BufRead,
    output: &'a mut dyn Write,
    edit: Edit<'a>,
    paint: Paint,
    columns: Option<usize>,
    said: Said,
}

/// Walks a person through a review. `None` where they want nothing done.
///
/// # Errors
/// The terminal can be neither read nor written.
pub fn through(
    review: &Review,
    (input, output, paint): (&mut dyn BufRead, &mut dyn Write, Paint),
    columns: Option<usize>,
    edit: Edit<'_>,
) -> io::Result<Option<Said>> {
    let mut walk = Walk { input, output, edit, paint, columns, said: Said::default() };
    let parts = review.parts();
    for (at, part) in parts.iter().enumerate() {
        let place = format!("part {} of {}", at + 1, parts.len());
        writeln!(walk.output, "\n{}", paint.on(Tone::Faint, place))?;
        let goes_on = match part {
            Part::File(file) => walk.shown(file)?,
            Part::Renamed(renamed) => walk.renamed(renamed)?,
        };
        if !goes_on {
            break;
        }
    }
    walk.end()
}

impl Walk<'_> {
    fn look(&self) -> Look {
        Look { colour: self.paint.is_on(), columns: self.columns }
    }

    /// Shows a file and asks for each part of it, if it can land.
    fn shown(&mut self, file: &FileReview) -> io::Result<bool> {
        writeln!(self.output, "{}", file.head(self.look()).trim_end())?;
        Ok(!file.lands || self.file(file)?)
    }

    /// Shows a rename and asks for all of it, or for its files one by one. False where the walk ends here.
    fn renamed(&mut self, renamed: &Renamed<'_>) -> io::Result<bool> {
        write!(self.output, "{}", renamed.text(self.look()))?;
        match self.ask("this rename", &renamed.risks(), RENAME_KEYS)? {
            Answer::Accept => self.said.files.extend(renamed.files().map(|file| file.path.to_path())),
            Answer::Reject(why) => {
                let no = |file: &FileReview| No { what: Named::File(file.path.to_path()), why: why.clone() };
                self.said.nos.extend(renamed.files().map(no));
            }
            Answer::Each => {
                for file in renamed.files() {
                    if !self.shown(file)? {
                        return Ok(false);
                    }
                }
            }
            Answer::Skip | Answer::Edit => {}
            Answer::Quit => return Ok(false),
        }
        Ok(true)
    }

    /// Asks for each part of a file. False where the walk ends here.
    fn file(&mut self, file: &FileReview) -> io::Result<bool> {
        if file.hunks.is_empty() {
            return self.whole(file);
        }
        let (path, mut accepted) = (file.path.to_path(), Vec::new());
        let (mut taken, mut goes_on) = (0, true);
        for (at, hunk) in file.hunks.iter().enumerate() {
            let what = format!("hunk {} of {}", at + 1, file.hunks.len());
            match self.hunk(file, hunk, &what)? {
                Verdict::Accepted => accepted.push(hunk.id.clone()),
                Verdict::Edited(text) => {
                    self.said.edits.push(HandEdit { path: path.clone(), hunk: hunk.id.clone(), text });
                }
                Verdict::Left => continue,
                Verdict::Quit => {
                    goes_on = false;
                    break;
                }
            }
            taken += 1;
        }
        if let Some(mode) = file.changes_mode().filter(|_| taken == file.hunks.len()) {
            // Lines have names to be rejected by; a mode that is not wanted waits.
            match self.ask(&format!("its {mode}"), &[&file.risk], KEYS)? {
                Answer::Accept => {
                    self.said.files.push(path);
                    accepted.clear();
                }
                Answer::Quit => goes_on = false,
                Answer::Each | Answer::Edit | Answer::Reject(_) | Answer::Skip => {}
            }
        }
        self.said.hunks.extend(accepted);
        Ok(goes_on)
    }

    /// Asks for a file that has no lines to be shown. False where the walk ends here.
    fn whole(&mut self, file: &FileReview) -> io::Result<bool> {
        let path = file.path.to_path();
        match self.ask("this file", &[&file.risk], KEYS)? {
            Answer::Accept => self.said.files.push(path),
            Answer::Reject(why) => self.said.nos.push(No { what: Named::File(path), why }),
            Answer::Skip | Answer::Each | Answer::Edit => {}
            Answer::Quit => return Ok(false),
        }
        Ok(true)
    }

    /// Shows a hunk and asks for it, and again for what the person made of it.
    fn hunk(&mut self, file: &FileReview, hunk: &HunkReview, what: &str) -> io::Result<Verdict> {
        write!(self.output, "{}", file.hunk_text(hunk, self.look()))?;
        let (mut mine, keys): (Option<Vec<u8>>, _) =
            (None, "[y]es, [n]o, [e]dit, [s]kip, [w]hy risky, [q]uit");
        loop {
            let what = if mine.is_some() { format!("{what}, as you edited it") } else { what.to_owned() };
            match self.ask(&what, &[&hunk.risk, &file.risk], keys)? {
                Answer::Accept => return Ok(mine.map_or(Verdict::Accepted, Verdict::Edited)),
                Answer::Reject(why) => {
                    self.said.nos.push(No { what: Named::Hunk(hunk.id.clone()), why });
                    return Ok(Verdict::Left);
                }
                Answer::Skip | Answer::Each => return Ok(Verdict::Left),
                Answer::Quit => return Ok(Verdict::Quit),
                Answer::Edit => mine = self.edited(file, hunk, mine)?,
            }
        }
    }

    /// Lets the person edit a hunk, and shows what it became. Where nothing comes of it, what was before stands.
    fn edited(
        &mut self,
        file: &FileReview,
        hunk: &HunkReview,
        mine: Option<Vec<u8>>,
    ) -> io::Result<Option<Vec<u8>>> {
        if let Err(why) = file.may_be_edited(hunk) {
            writeln!(self.output, "  {why}")?;
            return Ok(mine);
        }
        let text = mine.clone().unwrap_or_else(|| hunk.after());
        if let Some(line) = editor::obeyed(&text) {
            writeln!(
                self.output,
                "  some editors obey a line of it: `{}`",
                harmless(line.trim().as_bytes())
            )?;
            let open = self.line("  open it nevertheless? [y]es, [n]o > ")?;
            if !open.is_some_and(|open| is_yes(&open)) {
                return Ok(mine);
            }
        }
        let saved = match (self.edit)(&file.path.to_path(), &text) {
            Ok(saved) => saved,
            Err(error) => {
                writeln!(self.output, "  {}", harmless(error.to_string().as_bytes()))?;
                return Ok(mine);
            }
        };
        if saved == hunk.before() {
            writeln!(self.output, "  that is what is there already: nothing of it lands")?;
            return Ok(None);
        }
        if saved == hunk.after() {
            writeln!(self.output, "  that is what the agent wrote, unchanged")?;
            return Ok(None);
        }
        write!(self.output, "{}", file.edited_text(hunk, &saved, self.look()))?;
        Ok(Some(saved))
    }

    /// One question, until it is answered. The end of the input is the end of the walk.
    fn ask(&mut self, what: &str, risks: &[&Risk], keys: &str) -> io::Result<Answer> {
        loop {
            let Some(line) = self.line(&format!("{what}: {keys} > "))? else { return Ok(Answer::Quit) };
            match line.to_ascii_lowercase().as_str() {
                "y" | "yes" => return Ok(Answer::Accept),
                "s" | "skip" => return Ok(Answer::Skip),
                "q" | "quit" => return Ok(Answer::Quit),
                "e" | "edit" if keys.contains("[e]dit") => return Ok(Answer::Edit),
                "f" | "files" if keys.contains("[f]iles") => return Ok(Answer::Each),
                "e" | "edit" => writeln!(self.output, "  only lines can be edited here")?,
                "w" | "why" => self.why(risks)?,
                "n" | "no" => match self.line("why not? it is kept with it > ")? {
                    Some(why) if !why.is_empty() => return Ok(Answer::Reject(why)),
                    Some(_) => writeln!(self.output, "  a no needs a reason; [s]kip leaves it waiting")?,
                    None => return Ok(Answer::Quit),
                },
                _ => writeln!(self.output, "  one of {keys}")?,
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
        let edited = self.said.edits.len();
        let accepted = self.said.hunks.len() + self.said.files.len() + edited;
        let rejected = self.said.nos.len();
        if accepted + rejected == 0 {
            writeln!(self.output, "\nNothing was accepted or rejected: all of it waits.")?;
            return Ok(None);
        }
        let edited = if edited > 0 { format!(" ({edited} as you edited it)") } else { String::new() };
        let parts = count(accepted as u64, "part");
        let sum = format!("\n{parts} to land{edited}, {rejected} rejected. Do that? [y]es, [n]o > ");
        let answer = self.line(&sum)?;
        if answer.is_some_and(|answer| is_yes(&answer)) {
            return Ok(Some(self.said));
        }
        writeln!(self.output, "Nothing was done: all of it waits.")?;
        Ok(None)
    }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests;
