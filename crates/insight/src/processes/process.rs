//! What is known of one process.
//!
//! Owns the facts and their bounds: what a process does in endless variety is counted, and no longer named. Does not own how they
//! are found (`processes`).

use std::sync::Arc;

use ledger::OsText;
use ledger::event::{ExitEntry, Reach};

use super::files::Files;
use crate::denial::Denial;

/// Programs that one process was, one after the other, of which all is kept.
const IMAGES: usize = 16;
/// Refusals of one process that are told apart.
const REFUSALS: usize = 256;
/// Places of one process that are told apart.
const LINKS: usize = 256;

/// A process: from the moment it was first seen until the kernel took its number back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    /// Its number in this run, from 1, in the order in which processes were first seen.
    pub id: usize,
    /// Its number on the host. The kernel may have given the same to several, one after the other.
    pub pid: u32,
    /// Who started it, by its number in this run; `None` where nobody can tell.
    pub parent: Option<usize>,
    /// When it was first seen: nanoseconds since the run began.
    pub seen: u64,
    /// When its end was recorded: nanoseconds since the run began.
    pub ended: Option<u64>,
    /// How it ended, where the kernel said so.
    pub exit: Option<ExitEntry>,
    /// The programs that it was, in order; none where it never called exec.
    pub images: Vec<Image>,
    /// How many more programs it was.
    pub more_images: u64,
    /// What it opened, and which names it changed.
    pub files: Files,
    /// What it tried and was refused.
    pub refused: Vec<Denial>,
    /// How often it was refused what is not told apart any more.
    pub more_refused: u64,
    /// Where it connected.
    pub links: Vec<Link>,
    /// How many more places there were.
    pub more_links: u64,
}

/// A program that a process was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Image {
    /// The event that tells of it.
    pub seq: u64,
    /// When: nanoseconds since the run began.
    pub at: u64,
    /// The arguments that the kernel took.
    pub argv: Vec<OsText>,
    /// Where the program lies, links resolved; empty where the record does not say.
    pub program: OsText,
    /// SHA-256 of its content, in hex, where it is known.
    pub digest: Option<Arc<str>>,
    /// Its working directory.
    pub cwd: OsText,
    /// The variables that change what a program does, as `NAME=value`.
    pub env: Vec<OsText>,
}

/// A place that a process connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Host and port, address and port, or a socket's path.
    pub target: String,
    /// What became of it.
    pub how: Linked,
    /// How often.
    pub count: u64,
}

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Linked {
    /// It led to something inside.
    Inside,
    /// It went to the gateway, which judged it.
    Carried,
    /// It was refused where it was made.
    Refused,
    /// The gateway let it through.
    Reached,
    /// The gateway did not let it through.
    Denied,
}

impl From<Reach> for Linked {
    fn from(how: Reach) -> Linked {
        match how {
            Reach::Inside => Linked::Inside,
            Reach::Carried => Linked::Carried,
            Reach::Refused => Linked::Refused,
        }
    }
}

impl Linked {
    /// Its word; an interface.
    pub fn word(self) -> &'static str {
        match self {
            Linked::Inside => "inside",
            Linked::Carried => "carried",
            Linked::Refused => "refused",
            Linked::Reached => "reached",
            Linked::Denied => "denied",
        }
    }
}

impl Image {
    /// Whether it is a shell that was given a line to run.
    fn is_line_of_shell(&self) -> bool {
        let name =
            |text: &OsText| text.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let shell = self.argv.first().is_some_and(|first| {
            matches!(name(first).as_slice(), b"sh" | b"bash" | b"dash" | b"zsh" | b"ksh" | b"fish")
        });
        let line = |word: &OsText| {
            word.as_bytes()
                .strip_prefix(b"-")
                .is_some_and(|flags| !flags.starts_with(b"-") && flags.contains(&b'c'))
        };
        shell && self.argv.iter().skip(1).take(4).any(line)
    }
}

impl Process {
    /// The program that says best what was asked of it: the last shell that was given a line, else the first one.
    pub fn asked(&self) -> Option<&Image> {
        self.images.iter().rfind(|image| image.is_line_of_shell()).or_else(|| self.first())
    }

    /// The program that it was first.
    pub fn first(&self) -> Option<&Image> {
        self.images.first()
    }

    /// The program that it is, or was last.
    pub fn image(&self) -> Option<&Image> {
        self.images.last()
    }

    /// Whether it ended otherwise than well, as far as is known.
    pub fn failed(&self) -> bool {
        self.exit.is_some_and(|exit| exit.signal.is_some() || exit.code.is_some_and(|code| code != 0))
    }

    /// Whether it is more than a fork that came and went: it was a program, or left a trace.
    pub fn did_something(&self) -> bool {
        let quiet = self.images.is_empty()
            && !self.files.changed_anything()
            && self.refused.is_empty()
            && self.links.is_empty();
        !quiet
    }

    pub(super) fn becomes(&mut self, image: Image) -> Option<usize> {
        if self.images.len() < IMAGES {
            self.images.push(image);
            return self.images.len().checked_sub(1);
        }
        self.more_images += 1;
        // The first ones say how it came to be, the last one what it is.
        let last = self.images.len().checked_sub(1)?;
        *self.images.get_mut(last)? = image;
        Some(last)
    }

    /// The program that this event told of never started.
    pub(super) fn never_became(&mut self, seq: u64) {
        self.images.retain(|image| image.seq != seq);
    }

    pub(super) fn refuse(&mut self, refusal: Denial) {
        if let Some(known) = self.refused.iter_mut().find(|known| known.same(&refusal)) {
            known.count += refusal.count;
        } else if self.refused.len() < REFUSALS {
            self.refused.push(refusal);
        } else {
            self.more_refused += refusal.count;
        }
    }

    /// So many connections so far, or so many more.
    pub(super) fn link(&mut self, target: String, how: Linked, count: Count) {
        let full = self.links.len() >= LINKS;
        let known = self.links.iter_mut().find(|known| known.how == how && known.target == target);
        match (known, count) {
            (Some(known), Count::SoFar(count)) => known.count = known.count.max(count),
            (Some(known), Count::More(count)) => known.count += count,
            (None, _) if full => self.more_links += 1,
            (None, Count::SoFar(count) | Count::More(count)) => self.links.push(Link { target, how, count }),
        }
    }
}

/// How a count is to be taken.
#[derive(Debug, Clone, Copy)]
pub(super) enum Count {
    SoFar(u64),
    More(u64),
}
