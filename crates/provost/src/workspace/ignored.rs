//! Which files git would leave alone: build output and the like, which is kept per workspace and never lands.
//!
//! Owns: the rules of `.gitignore` files and `.git/info/exclude` as they stand in the staged view, and that what git
//! tracks is never ignored. A rule can only keep a file from landing, so it does no harm that the agent may write one.
//! Does not own what becomes of ignored files.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::base::is_git;
use super::beneath::{Kind, Root};
use super::index;
use super::outside::GitFolder;
use super::sides::Sides;

/// Bytes of a rule file that are read; a longer one says nothing.
const LONGEST: u64 = 256 << 10;

/// The rules of a workspace.
#[derive(Debug)]
pub(crate) struct Ignored<'a> {
    sides: &'a Sides,
    root: &'a Path,
    /// The rules of each folder of the workspace, read when they are first asked for.
    folders: HashMap<PathBuf, Gitignore>,
    /// Whether a folder is ignored, by itself or with what it lies in.
    judged: HashMap<PathBuf, bool>,
    /// The rules around the workspace: of its repository's folders above it, and its private ones.
    around: Vec<Gitignore>,
    /// The top of the repository, if there is one.
    top: Option<&'a Path>,
    /// Read when a rule first speaks of something: an index is as long as the repository is large.
    tracked: OnceCell<Tracked>,
}

/// What git tracks, as far as it is known.
#[derive(Debug)]
enum Tracked {
    /// These paths, beneath the workspace.
    These(BTreeSet<PathBuf>),
    /// There is no repository, or none that can be read: what was there when the run began counts.
    WhatWasThere,
}

impl<'a> Ignored<'a> {
    pub(crate) fn new(sides: &'a Sides, root: &'a Path) -> Ignored<'a> {
        let top = root.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
        let mut around = Vec::new();
        if let Some(top) = top {
            for folder in root.ancestors().skip(1).take_while(|folder| folder.starts_with(top)) {
                around.extend(outer(folder, &folder.join(".gitignore")));
            }
            let git = match super::outside::git_folder(top) {
                Some(GitFolder::Outside(git)) => git,
                Some(GitFolder::Refused(..)) | None => top.join(".git"),
            };
            around.extend(outer(top, &git.join("info/exclude")));
        }
        let (folders, judged) = (HashMap::new(), HashMap::new());
        Ignored { sides, root, folders, judged, around, top, tracked: OnceCell::new() }
    }

    /// Whether a path is ignored. For a folder: whether all in it is, and nothing in it is tracked.
    pub(crate) fn is_ignored(&mut self, path: &Path, is_folder: bool) -> bool {
        !is_git(path) && self.by_rule(path, is_folder) && !self.is_tracked(path, is_folder)
    }

    fn is_tracked(&self, path: &Path, is_folder: bool) -> bool {
        let read = || {
            let these = self.top.and_then(|top| index::tracked(top, self.root));
            these.map_or(Tracked::WhatWasThere, Tracked::These)
        };
        match self.tracked.get_or_init(read) {
            Tracked::These(paths) if is_folder => {
                paths.range(path.to_owned()..).next().is_some_and(|next| next.starts_with(path))
            }
            Tracked::These(paths) => paths.contains(path),
            Tracked::WhatWasThere => self.sides.was(path).is_some(),
        }
    }

    fn by_rule(&mut self, path: &Path, is_folder: bool) -> bool {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            if !self.judged.contains_key(parent) {
                let judged = self.by_rule(parent, true);
                self.judged.insert(parent.to_owned(), judged);
            }
            if self.judged.get(parent).copied().unwrap_or_default() {
                return true;
            }
        }
        let whole = self.root.join(path);
        // The nearest rule that speaks of it holds.
        for folder in path.ancestors().skip(1) {
            if !self.folders.contains_key(folder) {
                self.folders.insert(folder.to_owned(), self.rules(folder));
            }
            if let Some(said) = self.folders.get(folder).and_then(|rules| say(rules, &whole, is_folder)) {
                return said;
            }
        }
        self.around.iter().find_map(|rules| say(rules, &whole, is_folder)).unwrap_or_default()
    }

    /// The rules in a folder of the staged view.
    fn rules(&self, folder: &Path) -> Gitignore {
        let path = folder.join(".gitignore");
        let text = match self.sides.left.find(&path) {
            Ok(Some(found)) if found.kind == Kind::File => text(&self.sides.left, &path),
            Ok(None) if self.sides.is_overlay => text(&self.sides.now, &path),
            Ok(_) | Err(_) => None,
        };
        text.map_or_else(Gitignore::empty, |text| compile(&self.root.join(folder), &text))
    }
}

fn say(rules: &Gitignore, path: &Path, is_folder: bool) -> Option<bool> {
    match rules.matched(path, is_folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

fn text(root: &Root, path: &Path) -> Option<String> {
    read(root.file(path).ok()?)
}

fn outer(folder: &Path, file: &Path) -> Option<Gitignore> {
    let found = file.symlink_metadata().ok()?;
    if !found.is_file() {
        return None;
    }
    read(File::open(file).ok()?).map(|text| compile(folder, &text))
}

fn read(file: File) -> Option<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= LONGEST).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Rules that are no rules say nothing, as for git.
fn compile(folder: &Path, text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder);
    for line in text.lines() {
        let _ = builder.add_line(None, line);
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}
