//! Which changes are to land.
//!
//! Owns what a person can name (all, patterns, paths, hunks), what counts as a yes of its own, and what of a file is taken
//! by it. Does not own whether policy lets it land.
//!
//! A handoff file and a hunk that was rejected before are never taken by `all` or by a pattern: only by their own name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::workspace::Handoff;
use crate::workspace::change::{Change, FileChange};
use crate::workspace::diff;
use crate::workspace::hunk::{Edits, Hunk};
use crate::workspace::rejected::Rejected;
use crate::workspace::sides::Sides;

/// Which files, and which hunks of them, are to land.
#[derive(Debug, Clone, Default)]
pub struct Pick {
    all: bool,
    patterns: Option<Gitignore>,
    only: Vec<String>,
    exact: BTreeSet<PathBuf>,
    hunks: BTreeSet<String>,
    edits: Vec<HandEdit>,
    /// What policy wants a person to look at, with what it says.
    asked: BTreeMap<PathBuf, String>,
    withheld: BTreeSet<String>,
    withheld_files: BTreeSet<PathBuf>,
    #[cfg(test)]
    handoffs: bool,
}

/// What a person made of a hunk by hand: it lands in the hunk's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandEdit {
    /// The file, beneath the workspace.
    pub path: PathBuf,
    /// The hunk's name.
    pub hunk: String,
    /// The lines that take the place of all that the hunk shows.
    pub text: Vec<u8>,
}

/// By which name something lands that was kept back, where a name is all that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LandsBy {
    /// The file's own path.
    Path,
    /// A hunk's.
    Hunk(String),
}

/// Why something that was named is not taken, and what it waits for.
pub(super) type Withheld = (String, Option<LandsBy>);

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no pattern of paths: {because}")]
pub struct BadPattern {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub because: String,
}

/// What of a file is taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing: nobody named it.
    Not,
    /// Nothing, though it was named.
    Kept(Withheld),
    /// All of it.
    Whole,
    /// These hunks; and why others that were named are not, if there are any.
    Part(Vec<String>, Option<Withheld>),
}

/// Patterns as in a `.gitignore` file, beneath the workspace.
pub(crate) fn patterns<S: AsRef<str>>(patterns: &[S]) -> Result<Gitignore, BadPattern> {
    let mut builder = GitignoreBuilder::new("");
    let bad = |pattern: &str, because: ignore::Error| BadPattern {
        pattern: pattern.to_owned(),
        because: because.to_string(),
    };
    for pattern in patterns {
        let pattern = pattern.as_ref().trim_start_matches("./");
        builder.add_line(None, pattern).map_err(|because| bad(pattern, because))?;
    }
    builder.build().map_err(|because| bad("", because))
}

/// Whether patterns name a path, or a folder that it lies in.
pub(crate) fn names(patterns: &Gitignore, path: &Path) -> bool {
    matches!(patterns.matched_path_or_any_parents(path, false), Match::Ignore(_))
}

impl Pick {
    /// All that may land.
    #[must_use]
    pub fn all() -> Pick {
        Pick { all: true, ..Pick::default() }
    }

    /// What one of these patterns matches, written as in a `.gitignore` file: `*.rs`, `src/**`, `docs/`. One that is the
    /// whole path of a file and has no wildcard is that file's own yes.
    ///
    /// # Errors
    /// One of them is no pattern.
    pub fn only<S: AsRef<str>>(only: &[S]) -> Result<Pick, BadPattern> {
        let plain = |pattern: &&str| !pattern.contains(['*', '?', '[', ']', '!', '\\']);
        let paths = only.iter().map(|one| one.as_ref().trim_start_matches("./").trim_start_matches('/'));
        Ok(Pick {
            patterns: Some(patterns(only)?),
            only: only.iter().map(|one| one.as_ref().to_owned()).collect(),
            exact: paths.filter(plain).map(PathBuf::from).collect(),
            ..Pick::default()
        })
    }

    /// With these hunks, by their names.
    #[must_use]
    pub fn with_hunks(self, hunks: impl IntoIterator<Item = String>) -> Pick {
        let hunks = self.hunks.into_iter().chain(hunks).collect();
        Pick { hunks, ..self }
    }

    /// With these files, by their whole paths: each is a yes of its own.
    #[must_use]
    pub fn with_files(self, files: impl IntoIterator<Item = PathBuf>) -> Pick {
        let exact = self.exact.into_iter().chain(files).collect();
        Pick { exact, ..self }
    }

    /// With these edits by hand, each in the place of its hunk, which is accepted by it and is not itself.
    #[must_use]
    pub fn with_edits(self, edits: Vec<HandEdit>) -> Pick {
        Pick { edits, ..self }
    }

    /// Where policy wants a person to look at these files: each waits for a yes of its own, as a handoff file does.
    #[must_use]
    pub fn with_asked(self, asked: BTreeMap<PathBuf, String>) -> Pick {
        Pick { asked, ..self }
    }

    /// Without these hunks and files, whoever named them.
    #[must_use]
    pub(crate) fn without(self, hunks: BTreeSet<String>, files: BTreeSet<PathBuf>) -> Pick {
        Pick { withheld: hunks, withheld_files: files, ..self }
    }

    /// The same, handoff files too: for a gate that has shown them.
    #[cfg(test)]
    pub(crate) fn with_handoffs(self) -> Pick {
        Pick { handoffs: true, ..self }
    }

    /// Whether nothing is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.patterns.is_none() && self.exact.is_empty() && !self.is_by_line()
    }

    /// Whether hunks are named, or edited.
    pub(crate) fn is_by_line(&self) -> bool {
        !self.hunks.is_empty() || !self.edits.is_empty()
    }

    /// The edits by hand.
    pub(crate) fn edits(&self) -> &[HandEdit] {
        &self.edits
    }

    /// The edits of one file, by their hunks.
    pub(super) fn edits_of(&self, path: &Path) -> Edits {
        let edits = self.edits.iter().filter(|edit| edit.path == path && !self.withheld.contains(&edit.hunk));
        edits.map(|edit| (edit.hunk.clone(), edit.text.clone())).collect()
    }

    /// Whether a hunk is named, as it is or edited.
    fn picks(&self, path: &Path, hunk: &Hunk) -> bool {
        let edited = |edit: &HandEdit| edit.path == path && edit.hunk == hunk.id;
        self.hunks.contains(&hunk.id) || self.edits.iter().any(edited)
    }

    /// The patterns and paths that are named, as they were given.
    pub(crate) fn told(&self) -> (Vec<String>, Vec<String>) {
        let only = if self.only.is_empty() {
            self.exact.iter().map(|path| path.to_string_lossy().into_owned()).collect()
        } else {
            self.only.clone()
        };
        (only, self.hunks.iter().cloned().collect())
    }

    /// Those of the patterns that name nothing of a change.
    #[must_use]
    pub fn unmatched(&self, change: &Change) -> Vec<String> {
        let matches = |pattern: &&String| {
            let compiled = patterns(&[pattern]);
            compiled.is_ok_and(|compiled| change.files.iter().any(|file| names(&compiled, &file.path)))
        };
        self.only.iter().filter(|pattern| !matches(pattern)).cloned().collect()
    }

    /// Whether all that may land is named.
    pub(crate) fn is_all(&self) -> bool {
        self.all
    }

    /// Whether a hunk is named as the agent left it, and not rejected with the same word.
    pub(crate) fn takes_hunk(&self, id: &str) -> bool {
        self.hunks.contains(id) && !self.withheld.contains(id)
    }

    /// Whether this very file is named, and not rejected with the same word.
    pub(crate) fn takes_file(&self, path: &Path) -> bool {
        self.exact.contains(path) && !self.withheld_files.contains(path)
    }

    /// The hunks that are named.
    pub(crate) fn hunks(&self) -> &BTreeSet<String> {
        &self.hunks
    }

    /// Whether this very file is named.
    fn is_named(&self, path: &Path) -> bool {
        #[cfg(test)]
        if self.handoffs {
            return true;
        }
        self.exact.contains(path)
    }

    fn takes(&self, path: &Path) -> bool {
        let matches = self.patterns.as_ref().is_some_and(|patterns| names(patterns, path));
        self.all || matches || self.exact.contains(path)
    }

    /// What is taken of a file.
    pub(super) fn of(&self, sides: &Sides, file: &FileChange, rejected: &Rejected) -> Taken {
        let by_line = self.is_by_line() || !rejected.is_empty() || !self.withheld.is_empty();
        let hunks = if by_line { diff::hunks(sides, file) } else { Vec::new() };
        let picked = |hunk: &Hunk| self.picks(&file.path, hunk);
        let (takes, any) = (self.takes(&file.path), hunks.iter().any(picked));
        let withheld = |hunk: &Hunk| self.withheld.contains(&hunk.id);
        let all_withheld = !hunks.is_empty() && hunks.iter().all(withheld);
        if !(takes || any) || all_withheld || self.withheld_files.contains(&file.path) {
            return Taken::Not;
        }
        if let Some(never) = file.never {
            return Taken::Kept((never.to_owned(), None));
        }
        let asked = || self.asked.get(&file.path).map(String::as_str);
        let waits = file.handoff.map(Handoff::why).or_else(asked);
        let waits = waits.filter(|_| !self.is_named(&file.path));
        if let Some(why) = waits.filter(|_| !any) {
            return Taken::Kept((format!("it waits for its own yes: {why}"), Some(LandsBy::Path)));
        }
        if hunks.is_empty() {
            return self.whole(sides, file, rejected);
        }
        let takes = takes && waits.is_none();
        self.by_hunks(file, &hunks, takes, rejected)
    }

    fn whole(&self, sides: &Sides, file: &FileChange, rejected: &Rejected) -> Taken {
        let before = rejected.why_file(sides, file).filter(|_| !self.exact.contains(&file.path));
        match before {
            Some(why) => Taken::Kept((format!("rejected before: {why}"), Some(LandsBy::Path))),
            None => Taken::Whole,
        }
    }

    fn by_hunks(&self, file: &FileChange, hunks: &[Hunk], takes: bool, rejected: &Rejected) -> Taken {
        let (mut chosen, mut kept) = (Vec::new(), None);
        for hunk in hunks.iter().filter(|hunk| !self.withheld.contains(&hunk.id)) {
            let before = rejected.why_hunk(&file.path, hunk);
            if self.picks(&file.path, hunk) || (takes && before.is_none()) {
                chosen.push(hunk.id.clone());
            } else if let Some(why) = before.filter(|_| takes) {
                let because = format!("hunk {} was rejected before: {why}", hunk.id);
                kept = kept.or(Some((because, Some(LandsBy::Hunk(hunk.id.clone())))));
            }
        }
        let modes = file.pre.as_ref().zip(file.post.as_ref());
        // The lines alone are named: a mode that changes with them is not.
        let lines_only = !takes && modes.is_some_and(|(pre, post)| pre.mode != post.mode);
        match (chosen.len(), kept) {
            (0, Some(kept)) => Taken::Kept(kept),
            (0, None) => Taken::Not,
            (all, None) if all == hunks.len() && !lines_only => Taken::Whole,
            (_, kept) => Taken::Part(chosen, kept),
        }
    }
}
