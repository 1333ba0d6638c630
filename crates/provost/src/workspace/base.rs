//! What was there when the run began: enough to tell later what the run changed, and whether the repository moved beneath
//! it.
//!
//! Owns: the manifest (`base/manifest` in the run's folder), in memory and on disk. Does not own contents.
//! Nothing here is read but names and bookkeeping, so that it costs little however much the files hold.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::beneath::{Found, Kind, Moment, Root, Stamp, find_in};

mod manifest;

/// One thing that was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Beneath the workspace.
    pub(crate) path: PathBuf,
    pub(crate) found: Found,
    /// Where it leads to, if it is a link.
    pub(crate) target: Option<PathBuf>,
    /// How its copy stood when the agent got it, in a workspace that is a copy. Without one the agent never saw it.
    pub(crate) copied: Option<Stamp>,
    /// Whether it had changed after the run began when it was looked at: the agent may have seen another content.
    pub(crate) late: bool,
}

/// All that was there, sorted by path: what lies in a folder follows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) entries: Vec<Entry>,
}

impl Base {
    /// Looks at everything beneath a root, for a run that began then. What goes away meanwhile, or cannot be listed, is not
    /// in it.
    pub(crate) fn take(root: &Root, began: Moment) -> io::Result<Base> {
        Base::look(root, began).map(|(base, _)| base)
    }

    /// As [`Base::take`], with the folders that could not be listed.
    pub(crate) fn look(root: &Root, began: Moment) -> io::Result<(Base, Vec<PathBuf>)> {
        let (mut base, mut shut) = (Base::default(), Vec::new());
        // The names still to look at, folder by folder; the last folder is the innermost.
        let mut open = vec![(PathBuf::new(), listed(root, Path::new(""))?)];
        while let Some((folder, names)) = open.last_mut() {
            let Some(entry) = names.pop() else {
                open.pop();
                continue;
            };
            let path = folder.join(entry.path);
            if entry.found.is_folder() {
                let names = listed(root, &path).unwrap_or_else(|_| {
                    shut.push(path.clone());
                    Vec::new()
                });
                open.push((path.clone(), names));
            }
            let late = entry.found.stamp.ctime > began;
            base.entries.push(Entry { path, late, ..entry });
        }
        Ok((base, shut))
    }

    /// What was at a path.
    pub(crate) fn get(&self, path: &Path) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_path().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// What was beneath a folder, at any depth.
    pub(crate) fn beneath(&self, folder: &Path) -> &[Entry] {
        let start = self.entries.partition_point(|entry| entry.path.as_path() <= folder);
        let rest = self.entries.get(start..).unwrap_or_default();
        let length = rest.partition_point(|entry| entry.path.starts_with(folder));
        rest.get(..length).unwrap_or_default()
    }

    /// Whether a folder had nothing in it.
    pub(crate) fn is_empty(&self, folder: &Path) -> bool {
        self.beneath(folder).is_empty()
    }

    /// Whether what stands now is what was there, untouched since.
    pub(crate) fn is_untouched(entry: &Entry, now: &Found) -> bool {
        let same = entry.found.kind == now.kind && entry.found.mode == now.mode;
        // A folder's bookkeeping changes with what is in it, which has entries of its own.
        same && (now.is_folder() || (entry.found.stamp == now.stamp && !entry.late))
    }

    /// Puts another thing, or nothing, in the place of what was at a path.
    pub(crate) fn set(&mut self, path: &Path, entry: Option<Entry>) {
        match (self.entries.binary_search_by(|known| known.path.as_path().cmp(path)), entry) {
            (Ok(at), Some(entry)) => {
                if let Some(known) = self.entries.get_mut(at) {
                    *known = entry;
                }
            }
            (Ok(at), None) => drop(self.entries.remove(at)),
            (Err(at), Some(entry)) => self.entries.insert(at, entry),
            (Err(_), None) => {}
        }
    }
}

/// What lies in a folder, by name alone, the last first.
fn listed(root: &Root, folder: &Path) -> io::Result<Vec<Entry>> {
    let mut names = root.names(folder)?;
    names.reverse();
    let held = root.folder(folder)?;
    let mut listed = Vec::with_capacity(names.len());
    for name in names {
        let Some(found) = find_in(&held, &name)? else { continue };
        let target = match found.kind {
            Kind::Link => super::beneath::link_in(&held, &name).ok(),
            Kind::File | Kind::Folder | Kind::Special { .. } => None,
        };
        listed.push(Entry { path: PathBuf::from(name), found, target, copied: None, late: false });
    }
    Ok(listed)
}

/// Whether a path is git's own: it, or a folder it lies in, is named `.git` in any spelling that a file system takes for it.
pub(crate) fn is_git(path: &Path) -> bool {
    path.iter().any(|name| super::name::folded(name.as_bytes()) == ".git")
}

/// Whether a path is the topmost folder of git's own.
pub(crate) fn is_repository(path: &Path) -> bool {
    is_git(path) && path.parent().is_none_or(|parent| !is_git(parent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["a", "a-b", "a/deep/er", "empty"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["a/1", "a-b/2", "a/deep/er/3", "z"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        symlink("../outside", dir.path().join("a/link")).unwrap();
        let root = Root::open(&fs::canonicalize(dir.path()).unwrap()).unwrap();
        (dir, root)
    }

    #[test]
    fn all_that_is_there_is_found_in_order() {
        let (_dir, root) = tree();
        let base = Base::take(&root, (i64::MAX, 0)).unwrap();
        let paths: Vec<&str> = base.entries.iter().map(|entry| entry.path.to_str().unwrap()).collect();
        let expected =
            ["a", "a/1", "a/deep", "a/deep/er", "a/deep/er/3", "a/link", "a-b", "a-b/2", "empty", "z"];
        assert_eq!(paths, expected);
        assert!(base.entries.is_sorted_by(|one, other| one.path < other.path));
        assert_eq!(base.get(Path::new("a/link")).unwrap().target.as_deref(), Some(Path::new("../outside")));
        assert_eq!(base.beneath(Path::new("a")).len(), 5);
        assert_eq!(base.beneath(Path::new("a/deep/er")).len(), 1);
        assert!(base.is_empty(Path::new("empty")) && base.beneath(Path::new("none")).is_empty());
        assert_eq!(base.beneath(Path::new("")).len(), base.entries.len());
    }

    #[test]
    fn a_touch_shows_even_where_size_and_time_are_restored() {
        let (dir, root) = tree();
        let base = Base::take(&root, (i64::MAX, 0)).unwrap();
        let entry = base.get(Path::new("z")).unwrap();
        let at = |path: &str| root.find(Path::new(path)).unwrap().unwrap();
        assert!(Base::is_untouched(entry, &at("z")));
        let times = fs::metadata(dir.path().join("z")).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(dir.path().join("z")).unwrap();
        std::io::Write::write_all(&mut &file, b"y").unwrap();
        file.set_modified(times).unwrap();
        assert_eq!(at("z").stamp.mtime, entry.found.stamp.mtime);
        assert!(!Base::is_untouched(entry, &at("z")));
    }

    #[test]
    fn what_changed_after_the_beginning_was_seen_too_late() {
        let (_dir, root) = tree();
        let base = Base::take(&root, (0, 0)).unwrap();
        let found = root.find(Path::new("z")).unwrap().unwrap();
        assert!(!Base::is_untouched(base.get(Path::new("z")).unwrap(), &found));
    }
}
