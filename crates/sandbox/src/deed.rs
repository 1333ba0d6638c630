//! What a held call on files wants done, with everything that it names held: so it can be judged, asked about for as long
//! as that takes, and done on what was judged.
//!
//! Owns: what must be judged before it happens, and whether what is held still lies where it lay. Does not own: the
//! judgement, or how each is done (`open.rs`, `names.rs`).

use crate::names::Change;
use crate::open::{Opening, Waiting};
use crate::view::View;
use ledger::{Access, NameAct};
use rustix::fd::OwnedFd;
use std::io;
use std::path::{Path, PathBuf};

/// One thing that is to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand<'a> {
    pub(crate) path: &'a Path,
    pub(crate) access: Access,
    /// Whether a file's content comes of it, or is changed: not where only a folder is listed or a file pointed at.
    pub(crate) content: bool,
    /// Whether somebody can be asked; else what would have to be asked about does not happen.
    pub(crate) asks: bool,
}

impl<'a> Demand<'a> {
    pub(crate) fn of(path: &'a Path, access: Access) -> Self {
        Self { path, access, content: true, asks: true }
    }
}

/// Takes each demand in turn; says whether the next is wanted.
pub(crate) type Judge<'a> = &'a mut dyn FnMut(Demand<'_>) -> bool;

/// See the module.
#[derive(Debug)]
pub(crate) enum Deed {
    Open(Opening),
    Change(Change),
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Done {
    /// A file for the caller.
    File { file: OwnedFd, path: PathBuf },
    /// What it waits for may never come: to be opened by somebody who may wait.
    Blocks(Waiting),
    /// The kernel may do it: nothing but a pointer to a file comes of it, and whatever is done with that is judged again.
    Pointed { path: PathBuf },
    /// Names are changed, and the caller needs nothing but to know that.
    Changed { acts: Vec<(NameAct, PathBuf)> },
    /// Nothing: something else lies there by now than what was judged.
    Exchanged,
}

impl Deed {
    /// Everything that must be allowed.
    pub(crate) fn demands(&self, judge: Judge<'_>) -> io::Result<()> {
        match self {
            Self::Open(opening) => {
                opening.demands(judge);
                Ok(())
            }
            Self::Change(change) => change.demands(judge),
        }
    }

    /// Whether all that is held lies where it lay when it was judged.
    pub(crate) fn stands(&self) -> bool {
        match self {
            Self::Open(opening) => opening.stands(),
            Self::Change(change) => change.stands(),
        }
    }

    /// Does it, for `thread`, which waits.
    pub(crate) fn perform(self, view: &View, thread: i32) -> io::Result<Done> {
        match self {
            Self::Open(opening) => opening.perform(view, thread),
            Self::Change(change) => {
                let acts = change.acts();
                change.perform(thread).map(|()| Done::Changed { acts })
            }
        }
    }

    /// Whether what it opens is closed where another program starts.
    pub(crate) fn close_on_exec(&self) -> bool {
        match self {
            Self::Open(opening) => opening.wanted.close_on_exec(),
            Self::Change(_) => false,
        }
    }

    /// What it is for in one word of the record.
    pub(crate) fn access(&self) -> Access {
        match self {
            Self::Open(opening) => opening.wanted.access(),
            Self::Change(_) => Access::Write,
        }
    }
}
