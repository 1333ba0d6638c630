//! Renames in a review: a file or a folder under a new name, as one thing.
//!
//! Owns what counts as one thing to a reader: a rename whose every side could land without a second look. What needs a look of
//! its own (handoff files, what never lands, what was rejected before, what has moved) is shown by itself beside it. Does not
//! own the pairing (`rename`).

use std::path::Path;

use ledger::event::OsText;
use serde::Serialize;

use super::super::change::{Change, FileChange, Texts, texts};
use super::super::hunk::{self, Hunk};
use super::super::rename::{self, Pair};
use super::super::risk;
use super::super::sides::Sides;
use super::{FileReview, HunkReview, Look, Page, Review, Tone, graded, harmless, text_of};
use crate::render::count;
use crate::workspace::Risk;

/// A file or a folder under a new name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenameReview {
    /// What it was called.
    pub from: OsText,
    /// What it is called.
    pub to: OsText,
    /// Whether it is a folder.
    pub folder: bool,
    /// How many files, links and empty folders have a new name by it.
    pub files: usize,
    /// How many of them are also changed.
    pub changed: usize,
    /// Each as the places of its old and its new name among the files.
    #[serde(skip)]
    pub pairs: Vec<(usize, usize)>,
}

/// What is shown, and asked about, at once.
#[derive(Debug)]
pub enum Part<'a> {
    /// One file by itself.
    File(&'a FileReview),
    /// A rename.
    Renamed(Renamed<'a>),
}

/// A rename as one thing.
#[derive(Debug)]
pub struct Renamed<'a> {
    rename: &'a RenameReview,
    /// The old and the new side of what is shown with it.
    pairs: Vec<(&'a FileReview, &'a FileReview)>,
}

impl Review {
    /// Notes what has a new name, and judges it by what differs from what it was.
    pub(super) fn name_renamed(&mut self, sides: &Sides, change: &Change) {
        let found = rename::renames(sides, change);
        for pair in found.files.iter().chain(found.folders.iter().flat_map(|folder| &folder.pairs)) {
            let (Some(was), Some(is)) = (change.files.get(pair.from), change.files.get(pair.to)) else {
                continue;
            };
            let edits = if pair.same { Vec::new() } else { edits(sides, was, is) };
            let (from_risk, to_risk) = risks((was, is), pair.same, &edits);
            if let Some(file) = self.files.get_mut(pair.from) {
                (file.renamed_to, file.same) = (Some(is.path.as_path().into()), pair.same);
                file.risk = from_risk.unwrap_or_else(|| file.risk.clone());
            }
            if let Some(file) = self.files.get_mut(pair.to) {
                (file.renamed_from, file.same) = (Some(was.path.as_path().into()), pair.same);
                file.risk = to_risk.unwrap_or_else(|| file.risk.clone());
                file.edits = edits.iter().map(|hunk| unnamed(is, hunk)).collect();
            }
        }
        let path = |at: usize| change.files.get(at).map(|file| OsText::from(file.path.as_path()));
        let one = |pair: &Pair| {
            let (from, to) = (path(pair.from).unwrap_or_default(), path(pair.to).unwrap_or_default());
            review((from, to), false, std::slice::from_ref(pair))
        };
        let folders = found.folders.iter().map(|moved| {
            review((moved.from.as_path().into(), moved.to.as_path().into()), true, &moved.pairs)
        });
        self.renames = folders.chain(found.files.iter().map(one)).collect();
        self.renames.sort_by(|one, other| one.to.cmp(&other.to));
    }

    /// All that is shown and asked about, in order: each file, and each rename where the first of its files stands.
    #[must_use]
    pub fn parts(&self) -> Vec<Part<'_>> {
        let mut place: Vec<Option<usize>> = vec![None; self.files.len()];
        let mut renamed: Vec<Option<Renamed<'_>>> = Vec::new();
        for rename in &self.renames {
            let pairs = rename.pairs.iter().filter_map(|(from, to)| {
                let (was, is) = (self.files.get(*from)?, self.files.get(*to)?);
                (is_plain(was) && is_plain(is)).then_some(((*from, *to), (was, is)))
            });
            let (places, pairs): (Vec<_>, Vec<_>) = pairs.unzip();
            for at in places.iter().flat_map(|(from, to)| [*from, *to]) {
                if let Some(known) = place.get_mut(at) {
                    *known = Some(renamed.len());
                }
            }
            renamed.push(Some(Renamed { rename, pairs }));
        }
        let mut parts = Vec::new();
        for (file, place) in self.files.iter().zip(place) {
            match place {
                None => parts.push(Part::File(file)),
                Some(at) => parts.extend(renamed.get_mut(at).and_then(Option::take).map(Part::Renamed)),
            }
        }
        parts
    }
}

fn review((from, to): (OsText, OsText), folder: bool, pairs: &[Pair]) -> RenameReview {
    let changed = pairs.iter().filter(|pair| !pair.same).count();
    let places = pairs.iter().map(|pair| (pair.from, pair.to)).collect();
    RenameReview { from, to, folder, files: pairs.len(), changed, pairs: places }
}

/// Whether a side needs no look of its own.
fn is_plain(file: &FileReview) -> bool {
    let rejected = file.rejected.is_some() || file.hunks.iter().any(|hunk| hunk.rejected.is_some());
    file.lands && !file.waits() && !file.moved && !rejected
}

/// What differs between a file and what it was under its old name.
fn edits(sides: &Sides, was: &FileChange, is: &FileChange) -> Vec<Hunk> {
    let read = |file: &FileChange, left: bool| {
        texts(sides, &file.path, sides.was(&file.path).filter(|_| !left), left)
    };
    match (read(was, false), read(is, true)) {
        (Ok(Texts::Both(before, _)), Ok(Texts::Both(_, after))) => hunk::hunks(&is.path, &before, &after),
        _ => Vec::new(),
    }
}

fn unnamed(file: &FileChange, hunk: &Hunk) -> HunkReview {
    HunkReview {
        id: String::new(),
        old: hunk.old,
        new: hunk.new,
        risk: risk::of_hunk(&file.facts(), &hunk.lines),
        rejected: None,
        lines: hunk.lines.iter().map(text_of).collect(),
    }
}

/// The risk of both sides of a rename: where the new name is run and read as the old one was, that of what differs alone. A
/// test that goes to where no test is found stays a test that is gone.
fn risks((was, is): (&FileChange, &FileChange), same: bool, edits: &[Hunk]) -> (Option<Risk>, Option<Risk>) {
    if !risk::is_run_alike(&was.facts(), &is.facts()) {
        return (None, None);
    }
    let unread = is.facts().unread.filter(|_| !same);
    let facts = risk::Facts { stands: (true, true), unread, ..is.facts() };
    let lines = edits.iter().flat_map(|hunk| &hunk.lines);
    (Some(Risk::default()), Some(risk::of_file(&facts, lines)))
}

impl Part<'_> {
    pub(super) fn write(&self, page: &mut Page) {
        match self {
            Part::File(file) => file.write(page),
            Part::Renamed(renamed) => renamed.write(page),
        }
    }

    /// Lines added and removed, as far as they are shown.
    pub(super) fn lines(&self) -> (u64, u64) {
        match self {
            Part::File(file) => (file.added, file.removed),
            Part::Renamed(renamed) => renamed
                .pairs
                .iter()
                .map(|(_, is)| edited(is))
                .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1)),
        }
    }
}

/// Lines by which a renamed file differs.
fn edited(file: &FileReview) -> (u64, u64) {
    let signed = |sign: u8| {
        let lines = file.edits.iter().flat_map(|hunk| &hunk.lines);
        lines.filter(|line| line.as_bytes().first() == Some(&sign)).count() as u64
    };
    (signed(b'+'), signed(b'-'))
}

impl Renamed<'_> {
    /// The files on both sides that land, or stay, with it.
    pub fn files(&self) -> impl Iterator<Item = &FileReview> {
        self.pairs.iter().flat_map(|(was, is)| [*was, *is])
    }

    /// What speaks for a risk in it.
    #[must_use]
    pub fn risks(&self) -> Vec<&Risk> {
        self.files().map(|file| &file.risk).collect()
    }

    /// As text.
    #[must_use]
    pub fn text(&self, look: impl Into<Look>) -> String {
        let mut page = Page::new(look);
        self.write(&mut page);
        page.text
    }

    fn write(&self, page: &mut Page) {
        let RenameReview { from, to, folder, files, changed, .. } = self.rename;
        let slash = if *folder { "/" } else { "" };
        let name = |path: &OsText| format!("{}{slash}", harmless(path.as_bytes()));
        let counts = match (*folder, *changed) {
            (false, 0) => String::new(),
            (false, _) => " (changed)".to_owned(),
            (true, 0) => format!(" ({})", count(*files as u64, "file")),
            (true, changed) => format!(" ({}, {changed} changed)", count(*files as u64, "file")),
        };
        page.line(Tone::Head, &format!("renamed {} -> {}{counts}", name(from), name(to)));
        match files.saturating_sub(self.pairs.len()) {
            0 => {}
            1 => page.line(Tone::Plain, "  1 of them is shown by itself"),
            apart => page.line(Tone::Plain, &format!("  {apart} of them are shown by themselves")),
        }
        for (was, is) in &self.pairs {
            if *folder && (!is.same || is.risk.grade.is_some() || was.risk.grade.is_some()) {
                let inner = is.path.to_path();
                let inner = inner.strip_prefix(to.to_path()).unwrap_or(Path::new("")).to_owned();
                let (added, removed) = edited(is);
                page.line(Tone::Plain, &format!("  {}  +{added} -{removed}", super::shown(&inner)));
            }
            write_both(page, was, is);
        }
    }
}

fn write_both(page: &mut Page, was: &FileReview, is: &FileReview) {
    for file in [was, is] {
        if let Some(grade) = file.risk.grade {
            let reasons: Vec<&str> = file.risk.reasons.iter().map(String::as_str).collect();
            page.note(Tone::Warning, &format!("  {}", graded(grade, &reasons)));
        }
    }
    if !is.same && is.edits.is_empty() && is.content != "none" {
        page.line(Tone::Plain, &format!("  what differs is not shown: {}", is.content));
    }
    for hunk in &is.edits {
        is.write_hunk(page, hunk);
    }
}
