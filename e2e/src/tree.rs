//! A folder byte for byte: kinds, modes, times, contents, the targets of links.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A folder as it was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(BTreeMap<PathBuf, String>);

impl Tree {
    /// What lies beneath a folder.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        let mut all = BTreeMap::new();
        gather(root, Path::new(""), &mut all);
        Self(all)
    }

    /// Holds two moments to being the same.
    #[track_caller]
    pub fn same_as(&self, other: &Self) {
        let paths = self.0.keys().chain(other.0.keys());
        let changed: BTreeMap<_, _> = paths
            .map(|path| (path, (self.0.get(path), other.0.get(path))))
            .filter(|(_, (here, there))| here != there)
            .collect();
        assert!(changed.is_empty(), "a folder that must stay as it is has changed: {changed:#?}");
    }
}

impl Tree {
    /// The same without times and without git's own files: what a landing and its undo must bring to be exactly.
    #[must_use]
    pub fn shape_of(root: &Path) -> Self {
        let Self(all) = Self::of(root);
        let own = |path: &Path| path.iter().any(|name| name == ".git");
        let timeless = |line: String| {
            let mut words: Vec<&str> = line.splitn(4, ' ').collect();
            words.remove(2);
            words.join(" ")
        };
        Self(
            all.into_iter()
                .filter(|(path, _)| !own(path))
                .map(|(path, line)| (path, timeless(line)))
                .collect(),
        )
    }

    /// The paths at which two moments differ.
    #[must_use]
    pub fn apart(&self, other: &Self) -> Vec<PathBuf> {
        let paths = self.0.keys().chain(other.0.keys().filter(|path| !self.0.contains_key(*path)));
        paths.filter(|path| self.0.get(*path) != other.0.get(*path)).cloned().collect()
    }
}

fn gather(root: &Path, path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let whole = root.join(path);
    let data = std::fs::symlink_metadata(&whole).expect("a file of the tree can be read");
    let content = if data.is_symlink() {
        std::fs::read_link(&whole).expect("a link can be read").display().to_string()
    } else if data.is_file() {
        format!("{:x}", Sha256::digest(std::fs::read(&whole).expect("a file can be read")))
    } else {
        String::new()
    };
    let (mode, uid) = (data.mode(), data.uid());
    let line = format!("{mode:o} {uid} {}.{:09} {content}", data.mtime(), data.mtime_nsec());
    all.insert(path.to_owned(), line);
    // The kernel keeps folders beneath an overlay that are closed even to whom they belong.
    if data.is_dir() && data.mode() & 0o700 != 0 {
        for entry in std::fs::read_dir(&whole).expect("a folder can be read") {
            gather(root, &path.join(entry.expect("an entry can be read").file_name()), all);
        }
    }
}
