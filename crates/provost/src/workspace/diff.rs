//! A change as a person reads it, and the same as data.
//!
//! Owns: the shape of `review`, as text and as JSON, and that nothing the agent wrote can do anything to the terminal it
//! is shown on. Does not own printing it.

use std::fmt::Write as _;
use std::path::Path;

use ledger::event::{Change as Became, OsText};
use serde::Serialize;

use crate::demand::Demand;

use super::change::{self, Change, Content, FileChange, Side, Texts, What};
use super::hunk::{self, Hunk, Mark};
use super::rejected::Rejected;
use super::risk::{self, Grade, Risk};
use super::sides::Sides;
use super::{Handoff, StageError, Workspace};

mod line_ends;
mod page;
mod renamed;

pub use line_ends::LineEnds;
pub use page::{Look, harmless, shown};
use page::{Page, Tone};
pub use renamed::{Part, RenameReview, Renamed};

/// Bytes of a line that are shown as text.
const WIDEST: usize = 2000;

/// Everything a run changed and has not landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The files, sorted by path.
    pub files: Vec<FileReview>,
    /// Which of them are others under a new name, and which folders moved.
    pub renames: Vec<RenameReview>,
    /// What git ignores: it stays with the workspace and never lands.
    pub ignored: Vec<OsText>,
    /// How many files of git's own bookkeeping changed; they never land as files.
    pub git: usize,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReview {
    /// Beneath the workspace.
    pub path: OsText,
    /// What became of it.
    pub change: Became,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre: Option<SideReview>,
    /// What the run left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post: Option<SideReview>,
    /// `lines`, `binary`, `large`, `unknown` (what was there is gone) or `none`.
    pub content: &'static str,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// Who would obey it, if it is a handoff file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
    /// Why it waits, or can never land.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'static str>,
    /// What policy demands before it lands, where that is more than a person's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
    /// Whether it can land at all.
    pub lands: bool,
    /// Whether the repository has changed here since the run began.
    pub moved: bool,
    /// How much there is to lose by landing it, and what speaks for that.
    pub risk: Risk,
    /// Why the same was rejected before, if it was and has no hunks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// Where the same content was before under another name, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<OsText>,
    /// Where the same content is now under another name, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<OsText>,
    /// Whether it holds the very same as under the other name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub same: bool,
    /// How its line ends change, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_ends: Option<LineEnds>,
    /// What differs.
    pub hunks: Vec<HunkReview>,
    /// What differs from what it was under its old name, where it has a new one and differs. These have no names of their
    /// own: what lands are the `hunks`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<HunkReview>,
}

/// One side of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SideReview {
    /// `file`, `link`, `folder` or `special`.
    pub kind: &'static str,
    /// Its permission bits, in octal.
    pub mode: String,
    /// Bytes of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Where a link says it leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<OsText>,
}

/// One hunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HunkReview {
    /// Its name, which it keeps.
    pub id: String,
    /// First line before, and how many.
    pub old: (usize, usize),
    /// First line after, and how many.
    pub new: (usize, usize),
    /// How much there is to lose by landing this hunk, by its own lines.
    pub risk: Risk,
    /// Why the same was rejected before, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The lines, each behind ` `, `-` or `+`.
    pub lines: Vec<OsText>,
}

impl HunkReview {
    /// Its lines as they were.
    #[must_use]
    pub fn before(&self) -> Vec<u8> {
        self.without(b'+')
    }

    /// Its lines as the run left them.
    #[must_use]
    pub fn after(&self) -> Vec<u8> {
        self.without(b'-')
    }

    fn without(&self, sign: u8) -> Vec<u8> {
        let lines = self.lines.iter().filter_map(|line| line.as_bytes().split_first());
        lines.filter(|(first, _)| **first != sign).flat_map(|(_, text)| text).copied().collect()
    }
}

impl Workspace {
    /// A change in full.
    ///
    /// # Errors
    /// What was there when the run began is not known.
    pub fn review(&self, change: &Change) -> Result<Review, StageError> {
        let (sides, rejected) = (self.sides()?, self.rejected()?);
        let files = change.files.iter().map(|file| file_review(&sides, file, &rejected)).collect();
        let ignored = change.ignored.iter().map(|path| path.as_path().into()).collect();
        let mut review = Review { files, renames: Vec::new(), ignored, git: change.git.len() };
        review.name_renamed(&sides, change);
        Ok(review)
    }
}

fn file_review(sides: &Sides, file: &FileChange, rejected: &Rejected) -> FileReview {
    let ((added, removed), hunks) = (file.lines(), hunks(sides, file));
    let known = if hunks.is_empty() { rejected.why_file(sides, file) } else { None };
    FileReview {
        path: file.path.as_path().into(),
        change: file.kind,
        pre: file.pre.as_ref().map(side_review),
        post: file.post.as_ref().map(side_review),
        content: match file.content {
            Content::Lines { .. } => "lines",
            Content::Binary => "binary",
            Content::Large => "large",
            Content::Unknown => "unknown",
            Content::None => "none",
        },
        added,
        removed,
        handoff: file.handoff,
        why: file.why(),
        demand: None,
        lands: file.never.is_none(),
        moved: file.moved,
        risk: file.risk.clone(),
        rejected: known.map(str::to_owned),
        renamed_from: None,
        renamed_to: None,
        same: false,
        line_ends: line_ends::of(&hunks),
        edits: Vec::new(),
        hunks: hunks.iter().map(|hunk| hunk_review(file, hunk, rejected)).collect(),
    }
}

fn side_review(side: &Side) -> SideReview {
    let mode = format!("{:04o}", side.mode);
    let plain = |kind| SideReview { kind, mode: mode.clone(), size: None, target: None };
    match &side.what {
        What::File(size) => SideReview { size: Some(*size), ..plain("file") },
        What::Link(target) => SideReview { target: Some(target.as_path().into()), ..plain("link") },
        What::Folder => plain("folder"),
        What::Special => plain("special"),
    }
}

/// The hunks of a changed file; none where it is not compared by lines.
pub(crate) fn hunks(sides: &Sides, file: &FileChange) -> Vec<Hunk> {
    if !matches!(file.content, Content::Lines { .. }) {
        return Vec::new();
    }
    let is_file = |side: &Option<Side>| matches!(side, Some(Side { what: What::File(_), .. }));
    let was = sides.was(&file.path).filter(|_| is_file(&file.pre));
    match change::texts(sides, &file.path, was, is_file(&file.post)) {
        Ok(Texts::Both(before, after)) => hunk::hunks(&file.path, &before, &after),
        Ok(Texts::Binary | Texts::Gone) | Err(_) => Vec::new(),
    }
}

fn hunk_review(file: &FileChange, hunk: &Hunk, rejected: &Rejected) -> HunkReview {
    HunkReview {
        id: hunk.id.clone(),
        old: hunk.old,
        new: hunk.new,
        risk: risk::of_hunk(&file.facts(), &hunk.lines),
        rejected: rejected.why_hunk(&file.path, hunk).map(str::to_owned),
        lines: hunk.lines.iter().map(text_of).collect(),
    }
}

fn text_of(line: &hunk::Line) -> OsText {
    OsText::new(&[&[sign(line.mark)], line.text.as_slice()].concat())
}

fn sign(mark: Mark) -> u8 {
    match mark {
        Mark::Same => b' ',
        Mark::Removed => b'-',
        Mark::Added => b'+',
    }
}

impl Review {
    /// Says with each file what policy demands of it.
    #[must_use]
    pub fn judged(mut self, demand: impl Fn(&Path) -> Option<Demand>) -> Review {
        for file in &mut self.files {
            file.demand = demand(&file.path.to_path());
            file.lands &= file.demand.as_ref().is_none_or(|demand| !demand.is_never());
        }
        self
    }

    /// The whole as text. Colours only if asked for; whatever the agent wrote is shown, not obeyed.
    #[must_use]
    pub fn text(&self, look: impl Into<Look>) -> String {
        let mut page = Page::new(look);
        let (mut added, mut removed) = (0, 0);
        for part in self.parts() {
            part.write(&mut page);
            page.text.push('\n');
            let lines = part.lines();
            (added, removed) = (added + lines.0, removed + lines.1);
        }
        let waiting = self.files.iter().filter(|file| file.waits()).count();
        let files = if self.files.len() == 1 { "file" } else { "files" };
        let mut sum = format!("{} {files} changed, +{added} -{removed}", self.files.len());
        if waiting > 0 {
            let _ = write!(sum, "; {waiting} of them kept back");
        }
        page.line(Tone::Head, &sum);
        self.write_aside(&mut page);
        page.text
    }
}

impl Review {
    /// What changed and never lands as files, as text.
    #[must_use]
    pub fn aside(&self) -> String {
        let mut page = Page::new(false);
        self.write_aside(&mut page);
        page.text
    }

    fn write_aside(&self, page: &mut Page) {
        if self.git > 0 {
            page.line(
                Tone::Plain,
                &format!("{} of git's own files changed: they never land as files", self.git),
            );
        }
        if !self.ignored.is_empty() {
            let names: Vec<String> =
                self.ignored.iter().take(5).map(|path| harmless(path.as_bytes())).collect();
            let more = if self.ignored.len() > names.len() { ", .." } else { "" };
            page.line(Tone::Plain, &format!("ignored by git, never landing: {}{more}", names.join(", ")));
        }
    }
}

impl FileReview {
    /// All that is said of it before its hunks, as text.
    #[must_use]
    pub fn head(&self, look: impl Into<Look>) -> String {
        let mut page = Page::new(look);
        self.write_head(&mut page);
        page.text
    }

    /// One of its hunks as text.
    #[must_use]
    pub fn hunk_text(&self, hunk: &HunkReview, look: impl Into<Look>) -> String {
        let mut page = Page::new(look);
        self.write_hunk(&mut page, hunk);
        page.text
    }

    /// What a person made of one of its hunks, as text.
    #[must_use]
    pub fn edited_text(&self, hunk: &HunkReview, saved: &[u8], look: impl Into<Look>) -> String {
        let mut page = Page::new(look);
        for part in hunk::hunks(&self.path.to_path(), &hunk.before(), saved) {
            let at = |(first, many): (usize, usize), from: usize| (first + from.saturating_sub(1), many);
            let shown = HunkReview {
                id: format!("{}, as you edited it", hunk.id),
                old: at(part.old, hunk.old.0),
                new: at(part.new, hunk.new.0),
                risk: Risk::default(),
                rejected: None,
                lines: part.lines.iter().map(text_of).collect(),
            };
            self.write_hunk(&mut page, &shown);
        }
        page.text
    }

    /// Whether one of its hunks can be edited by hand, or why not.
    ///
    /// # Errors
    /// Why not.
    pub fn may_be_edited(&self, hunk: &HunkReview) -> Result<(), &'static str> {
        if self.post.as_ref().is_none_or(|post| post.kind != "file") {
            return Err("the file goes: there is nothing to edit");
        }
        match hunk.lines.iter().all(OsText::is_whole) {
            true => Ok(()),
            false => Err("a line of it is too long to be edited here"),
        }
    }

    /// Whether it waits for a yes of its own, or never lands.
    pub(super) fn waits(&self) -> bool {
        self.why.is_some() || self.demand.is_some()
    }

    /// How its mode changes with its content, if it does.
    #[must_use]
    pub fn changes_mode(&self) -> Option<String> {
        let modes = self.pre.as_ref().zip(self.post.as_ref()).filter(|(pre, post)| pre.mode != post.mode);
        let modes = modes.filter(|(pre, post)| pre.kind == post.kind && pre.kind != "link");
        modes.map(|(pre, post)| format!("mode {} -> {}", pre.mode, post.mode))
    }

    fn write(&self, page: &mut Page) {
        self.write_head(page);
        self.hunks.iter().for_each(|hunk| self.write_hunk(page, hunk));
    }

    fn write_head(&self, page: &mut Page) {
        let word = match self.change {
            Became::Added => "added",
            Became::Modified => "modified",
            Became::Deleted => "deleted",
            Became::Mode => "mode",
            Became::Link => "link",
        };
        let counts = if self.content == "lines" {
            format!("  +{} -{}", self.added, self.removed)
        } else {
            String::new()
        };
        page.line(Tone::Head, &format!("{word} {}{counts}", harmless(self.path.as_bytes())));
        if let Some(why) = self.why {
            page.note(Tone::Warning, &format!("  kept back: {why}"));
        }
        if let Some(demand) = &self.demand {
            page.note(Tone::Warning, &format!("  kept back: {}", harmless(demand.to_string().as_bytes())));
        }
        if self.moved {
            page.note(Tone::Warning, "  your own copy has changed since the run began");
        }
        if let Some(grade) = self.risk.grade {
            let reasons: Vec<&str> =
                self.risk.reasons.iter().map(String::as_str).filter(|why| Some(*why) != self.why).collect();
            page.note(Tone::Warning, &format!("  {}", graded(grade, &reasons)));
        }
        write_rejected(page, self.rejected.as_deref());
        let renamed = [("was", &self.renamed_from), ("is now", &self.renamed_to)];
        for (word, name) in renamed.iter().filter_map(|(word, name)| Some((word, name.as_ref()?))) {
            let what = if self.same { "the same" } else { "most of the" };
            page.line(Tone::Plain, &format!("  {what} content {word} `{}`", harmless(name.as_bytes())));
        }
        if let Some(ends) = self.line_ends {
            page.note(Tone::Plain, &format!("  {ends}"));
        }
        if let Some(told) = self.told() {
            page.note(Tone::Plain, &format!("  {told}"));
        }
    }

    fn write_hunk(&self, page: &mut Page, hunk: &HunkReview) {
        let ((old, removed), (new, added)) = (hunk.old, hunk.new);
        page.line(Tone::Hunk, &format!("@@ -{old},{removed} +{new},{added} @@ {}", hunk.id));
        if let Some(grade) = hunk.risk.grade {
            let reasons: Vec<&str> = hunk.risk.reasons.iter().map(String::as_str).collect();
            page.note(Tone::Warning, &format!("  {}", graded(grade, &reasons)));
        }
        write_rejected(page, hunk.rejected.as_deref());
        // All of it is shown under the other name, or said in words.
        if !self.same && !self.line_ends.is_some_and(|ends| ends.only) {
            hunk.lines.iter().for_each(|line| write_line(page, line.as_bytes(), line.is_whole()));
        }
    }

    /// What there is to say of it beside lines.
    fn told(&self) -> Option<String> {
        let side = |side: &Option<SideReview>| match side {
            None => "nothing".to_owned(),
            Some(SideReview { size: Some(size), .. }) => format!("{size} bytes"),
            Some(SideReview { target: Some(target), .. }) => {
                format!("a link to `{}`", harmless(target.as_bytes()))
            }
            Some(SideReview { kind: "special", .. }) => "a pipe, socket or device".to_owned(),
            Some(SideReview { kind, .. }) => format!("a {kind}"),
        };
        let kinds = |side: &Option<SideReview>| side.as_ref().map(|side| side.kind);
        let modes = self.changes_mode();
        let what = match self.content {
            "binary" => Some("binary: "),
            "large" => Some("too large to be shown: "),
            "unknown" => Some("what was there is gone: "),
            _ if self.content == "none" && self.change != Became::Mode => Some(""),
            _ if kinds(&self.pre) != kinds(&self.post) && self.pre.is_some() && self.post.is_some() => {
                Some("")
            }
            _ => None,
        };
        let what = what.map(|what| format!("{what}{} -> {}", side(&self.pre), side(&self.post)));
        match (what, modes) {
            (Some(what), Some(modes)) => Some(format!("{what}, {modes}")),
            (what, modes) => what.or(modes),
        }
    }
}

fn write_rejected(page: &mut Page, why: Option<&str>) {
    if let Some(why) = why {
        page.note(Tone::Warning, &format!("  rejected before: {}", harmless(why.as_bytes())));
    }
}

/// A grade and what speaks for it, in words.
fn graded(grade: Grade, reasons: &[&str]) -> String {
    let word = match grade {
        Grade::Low => "low",
        Grade::Medium => "medium",
        Grade::High => "high",
    };
    match reasons {
        [] => format!("{word} risk"),
        reasons => format!("{word} risk: {}", reasons.join("; ")),
    }
}

fn write_line(page: &mut Page, line: &[u8], is_whole: bool) {
    let tone = match line.first() {
        Some(b'+') => Tone::Added,
        Some(b'-') => Tone::Removed,
        _ => Tone::Plain,
    };
    let (text, ended) = match line.strip_suffix(b"\n") {
        Some(text) => (text, true),
        None => (line, !is_whole),
    };
    let cut = text.get(..WIDEST).filter(|_| text.len() > WIDEST);
    let more = if cut.is_some() || !is_whole { " .. (line cut)" } else { "" };
    page.line(tone, &format!("{}{more}", harmless(cut.unwrap_or(text))));
    if !ended {
        page.line(Tone::Plain, "\\ no line end at the end of the file");
    }
}
