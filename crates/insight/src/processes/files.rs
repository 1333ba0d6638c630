//! Files that a process opened and names that it changed.
//!
//! Owns that a path is kept once however many processes open it, and that a process names a bounded number of them. Does not own
//! which of them are worth telling.

use std::collections::HashMap;
use std::sync::Arc;

use ledger::OsText;
use ledger::event::{Access, NameAct, OpenEntry};

/// Files of one process that are told by name.
const NAMED: usize = 4096;

/// What was done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touch {
    /// It was opened to be read.
    Read,
    /// It was opened to be written.
    Wrote,
    /// A folder, a link, a device or a pipe was made.
    Made,
    /// It was removed.
    Removed,
    /// It was renamed, or something was renamed to it.
    Renamed,
    /// It came to be as another name of something.
    Linked,
    /// It was cut or stretched by its name.
    Truncated,
}

impl Touch {
    pub(super) fn of(entry: &OpenEntry) -> Touch {
        match (entry.act, entry.access) {
            (Some(NameAct::Made), _) => Touch::Made,
            (Some(NameAct::Removed), _) => Touch::Removed,
            (Some(NameAct::Renamed), _) => Touch::Renamed,
            (Some(NameAct::Linked), _) => Touch::Linked,
            (Some(NameAct::Truncated), _) => Touch::Truncated,
            (None, Access::Read) => Touch::Read,
            (None, Access::Write) => Touch::Wrote,
        }
    }

    /// Its word; an interface.
    pub fn word(self) -> &'static str {
        match self {
            Touch::Read => "read",
            Touch::Wrote => "wrote",
            Touch::Made => "made",
            Touch::Removed => "removed",
            Touch::Renamed => "renamed",
            Touch::Linked => "linked",
            Touch::Truncated => "truncated",
        }
    }
}

/// A path, kept once for all.
pub type Name = Arc<OsText>;

/// Every path that was seen, each once.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<Name, ()>);

impl Names {
    pub(super) fn of(&mut self, path: &OsText) -> Name {
        if let Some((name, ())) = self.0.get_key_value(path) {
            return Arc::clone(name);
        }
        let name = Arc::new(path.clone());
        self.0.insert(Arc::clone(&name), ());
        name
    }
}

/// What one process opened, and which names it changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Files {
    known: HashMap<(Name, Touch), u64>,
    /// Times that files were read beyond those that are named.
    pub more_reads: u64,
    /// Times that files were changed beyond those that are named.
    pub more_changes: u64,
    changes: usize,
}

/// One file, what was done with it, and how often.
pub type Touched<'f> = (&'f OsText, Touch, u64);

impl Files {
    /// Takes what a process did with a file so far: it replaces what was known of the same.
    pub(super) fn add(&mut self, name: &Name, touch: Touch, count: u64) {
        let full = self.known.len() >= NAMED;
        let key = (Arc::clone(name), touch);
        match self.known.get_mut(&key) {
            // A smaller one is not of this process, but is not lost either.
            Some(known) if count < *known => *known += count,
            Some(known) => *known = count,
            None if full && touch == Touch::Read => self.more_reads += count,
            None if full && self.changes >= NAMED => self.more_changes += count,
            None => {
                self.changes += usize::from(touch != Touch::Read);
                self.known.insert(key, count);
            }
        }
    }

    /// Whether any file or name was changed.
    pub fn changed_anything(&self) -> bool {
        self.changes > 0
    }

    /// What it read, by name, sorted.
    pub fn reads(&self) -> Vec<Touched<'_>> {
        self.sorted(|touch| touch == Touch::Read)
    }

    /// What it changed, by name, sorted.
    pub fn changes(&self) -> Vec<Touched<'_>> {
        self.sorted(|touch| touch != Touch::Read)
    }

    /// What it did with files, in no order.
    pub fn all(&self) -> impl Iterator<Item = Touched<'_>> {
        self.known.iter().map(|((name, touch), count)| (name.as_ref(), *touch, *count))
    }

    fn sorted(&self, is: impl Fn(Touch) -> bool) -> Vec<Touched<'_>> {
        let mut all: Vec<_> = self.all().filter(|(_, touch, _)| is(*touch)).collect();
        all.sort_unstable();
        all
    }
}
