//! Where paths of the host lead, and over which links: each folder is followed once, however many programs lie in it.
//!
//! Owns: following links as the kernel does, at one moment. Does not own: what may be shown of it. Whoever shows something
//! has the kernel follow the path again.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

/// Longest chain of links the kernel follows.
const LINKS: usize = 40;

/// Where a path leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// Without a link in it.
    pub(crate) real: PathBuf,
    /// Every link that was passed, each where it really lies.
    pub(crate) links: Vec<PathBuf>,
}

/// What was followed so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    folders: RefCell<HashMap<PathBuf, Option<Rc<Way>>>>,
    /// Names that were seen to be no links, by the folder that they lie in.
    plain: RefCell<HashMap<PathBuf, HashSet<OsString>>>,
}

impl Ways {
    /// The way of an absolute path; `None` if it leads nowhere.
    pub(crate) fn of(&self, path: &Path) -> Option<Way> {
        path.is_absolute().then(|| self.follow(path, LINKS)).flatten()
    }

    /// These names of a folder, itself without a link in it, are no links: nobody has to ask for each.
    pub(crate) fn know_plain(&self, folder: &Path, names: HashSet<OsString>) {
        self.plain.borrow_mut().insert(folder.to_owned(), names);
    }

    /// The way to a folder, remembered.
    fn folder(&self, path: &Path, left: usize) -> Option<Rc<Way>> {
        if let Some(known) = self.folders.borrow().get(path) {
            return known.clone();
        }
        let way = self.follow(path, left).map(Rc::new);
        self.folders.borrow_mut().insert(path.to_owned(), way.clone());
        way
    }

    fn follow(&self, path: &Path, left: usize) -> Option<Way> {
        let Some(folder) = path.parent() else { return Some(Way { real: "/".into(), links: Vec::new() }) };
        let way = self.folder(folder, left)?;
        match path.components().next_back() {
            Some(Component::Normal(name)) => self.step(&way, name, left),
            _ => {
                let mut way = Way::clone(&way);
                way.real.pop();
                Some(way)
            }
        }
    }

    /// The way to a name in the folder that a way leads to.
    fn step(&self, folder: &Way, name: &OsStr, left: usize) -> Option<Way> {
        let here = folder.real.join(name);
        if self.is_plain(&folder.real, name) {
            return Some(Way { real: here, links: folder.links.clone() });
        }
        match fs::read_link(&here) {
            Ok(text) => {
                let left = left.checked_sub(1)?;
                // Most links lead to a neighbour.
                let neighbour = Way { real: folder.real.clone(), links: Vec::new() };
                let mut parts = text.components();
                let target = match (parts.next(), parts.next()) {
                    (Some(Component::Normal(name)), None) => self.step(&neighbour, name, left)?,
                    _ => self.follow(&folder.real.join(&text), left)?,
                };
                let links = folder.links.iter().cloned().chain([here]).chain(target.links).collect();
                Some(Way { real: target.real, links })
            }
            // It is there, and no link.
            Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
                Some(Way { real: here, links: folder.links.clone() })
            }
            Err(_) => None,
        }
    }

    fn is_plain(&self, folder: &Path, name: &OsStr) -> bool {
        self.plain.borrow().get(folder).is_some_and(|names| names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn every_way_ends_where_the_kernel_ends() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/file"), "").unwrap();
        let links = [
            ("a/b", "short"),
            ("c/../../file", "a/b/up"),
            ("short/c", "deep"),
            ("loop", "loop"),
            ("nowhere", "dangling"),
            ("long0", "file"),
        ];
        links.iter().for_each(|(text, at)| symlink(text, root.join(at)).unwrap());
        symlink(root.join("short"), root.join("absolute")).unwrap();
        let ways = Ways::default();
        for path in [
            "a/b",
            "short/c",
            "short/up",
            "deep",
            "deep/../up",
            "absolute/c/..",
            "a/./b/../file",
            "loop",
            "loop/x",
            "dangling",
            "none/x",
            "a/file/x",
            "..",
        ] {
            let found = ways.of(&root.join(path)).map(|way| way.real);
            assert_eq!(found, fs::canonicalize(root.join(path)).ok(), "{path}");
        }
        let way = ways.of(&root.join("absolute/up")).unwrap();
        assert_eq!(way.links, [root.join("absolute"), root.join("short"), root.join("a/b/up")]);
        assert_eq!(ways.of(Path::new("a")), None);
    }
}
