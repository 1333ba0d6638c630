//! What differs between a workspace and its pre-images, to the last bit that is put back.
//!
//! Owns: the comparison. Does not own what is made of it (`back`), nor what is shown of it (`change`).

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::before::{self, Before, Links, attributes, opened};
use crate::workspace::base::{Base, Entry};
use crate::workspace::beneath::{Found, Kind, Root, same};

/// One thing that is not as it was.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) path: PathBuf,
    pub(crate) was: Option<Entry>,
    pub(crate) now: Option<Found>,
    /// Whether only its bookkeeping differs: mode, owner, time, attributes.
    pub(crate) is_dress: bool,
}

/// The comparison of everything.
#[derive(Debug)]
pub(crate) struct Differences {
    /// Sorted by path.
    pub(crate) all: Vec<Difference>,
    /// Everything that stands now.
    pub(crate) now: Base,
    /// Folders that cannot be listed.
    pub(crate) shut: Vec<PathBuf>,
}

impl Difference {
    /// Whether it holds what it held, with the same rights, and only its moment is another.
    pub(crate) fn is_moment(&self) -> bool {
        let rights = |found: &Found| (found.mode, found.uid, found.gid);
        let both = self.was.as_ref().zip(self.now.as_ref());
        self.is_dress && both.is_some_and(|(was, now)| rights(&was.found) == rights(now))
    }

    /// Whether it is a folder in which things came and went, and nothing else.
    pub(crate) fn is_time_of_a_folder(&self) -> bool {
        self.is_moment() && self.now.is_some_and(|now| now.is_folder())
    }
}

impl Differences {
    /// Compares.
    pub(crate) fn find(before: &Before, now: &Root) -> io::Result<Differences> {
        let (standing, shut) = before::look(now)?;
        let (links, mut names) = (before.links(), BTreeMap::new());
        for entry in standing.entries.iter().filter(|entry| !entry.found.is_folder()) {
            *names.entry(entry.found.stamp.ino).or_insert(0) += 1;
        }
        let mut all = Vec::new();
        for entry in &standing.entries {
            let was = before.base.get(&entry.path);
            let differs = match was {
                None => Some(false),
                Some(was) => Comparing { before, links: &links, names: &names, now }.differs(was, entry)?,
            };
            all.extend(differs.map(|is_dress| Difference {
                path: entry.path.clone(),
                was: was.cloned(),
                now: Some(entry.found),
                is_dress,
            }));
        }
        let gone = before.base.entries.iter().filter(|was| standing.get(&was.path).is_none());
        // What lies in a folder that cannot be listed is not gone, but not known.
        let gone = gone.filter(|was| !shut.iter().any(|shut| was.path.starts_with(shut)));
        all.extend(gone.map(|was| Difference {
            path: was.path.clone(),
            was: Some(was.clone()),
            now: None,
            is_dress: false,
        }));
        all.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(Differences { all, now: standing, shut })
    }
}

struct Comparing<'a> {
    before: &'a Before,
    links: &'a Links,
    /// By the number of a file as it stands, how many names it has.
    names: &'a BTreeMap<u64, usize>,
    now: &'a Root,
}

impl Comparing<'_> {
    /// Nothing if it is as it was; else whether only its bookkeeping differs.
    fn differs(&self, was: &Entry, now: &Entry) -> io::Result<Option<bool>> {
        if was.found.kind != now.found.kind {
            return Ok(Some(false));
        }
        // What keeps the moment of its last change was not touched; the first of its names may be gone with a folder.
        let same_link = now.found.is_folder() || self.is_same_link(was, now)?;
        if same_link && was.copied == Some(now.found.stamp) {
            return Ok(None);
        }
        let same_content = match was.found.kind {
            Kind::Folder => true,
            Kind::Link => was.target == now.target,
            Kind::Special { .. } => {
                before::special_kind(self.now, &now.path)?
                    == before::special_kind(&self.before.tree, &was.path)?
            }
            Kind::File => self.is_same_file(was, now)?,
        };
        if !same_content || !same_link {
            return Ok(Some(false));
        }
        let (old, new) = (&was.found, &now.found);
        let dressed = (old.mode, old.uid, old.gid) == (new.mode, new.uid, new.gid)
            && old.stamp.mtime == new.stamp.mtime
            && self.has_same_attributes(was, now)?;
        Ok((!dressed).then_some(true))
    }

    fn is_same_file(&self, was: &Entry, now: &Entry) -> io::Result<bool> {
        if was.found.stamp.size != now.found.stamp.size {
            return Ok(false);
        }
        // One that may not be read any more is not known to be the same.
        let Ok(mut present) = self.now.file(&now.path) else { return Ok(false) };
        same(&mut self.before.tree.file(&was.path)?, &mut present)
    }

    /// Whether it still shares its content with the names that it shared it with, and with no file that it was none of.
    fn is_same_link(&self, was: &Entry, now: &Entry) -> io::Result<bool> {
        let Some(leader) = self.before.leader(self.links, was) else {
            let ino = now.found.stamp.ino;
            let is_another = was.copied.is_some_and(|then| then.ino != ino);
            return Ok(!is_another || self.names.get(&ino).is_none_or(|names| *names == 1));
        };
        let leader = self.now.find(&leader).ok().flatten();
        Ok(leader.is_some_and(|leader| leader.stamp.ino == now.found.stamp.ino))
    }

    fn has_same_attributes(&self, was: &Entry, now: &Entry) -> io::Result<bool> {
        let of = |root: &Root, path: &Path| match was.found.kind {
            Kind::File => root.file(path).and_then(attributes),
            Kind::Folder => opened(root, path).and_then(attributes),
            Kind::Link | Kind::Special { .. } => Ok(Default::default()),
        };
        let Ok(present) = of(self.now, &now.path) else { return Ok(true) };
        Ok(present == of(&self.before.tree, &was.path)?)
    }
}
