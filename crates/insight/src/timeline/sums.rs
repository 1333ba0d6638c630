//! What a run comes to: denials, hosts, files, counts.
//!
//! Owns these sums and their members. Does not own when something is added to them (`timeline`).

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};

use ledger::OsText;
use ledger::event::{Access, Change, DirectFile, Exit, Landed, OpenEntry, Risk, StagedFile};

use super::sent::Sent;

/// A host that was reached, or wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// Host and port.
    pub endpoint: String,
    /// Connections that were let through.
    pub connections: u64,
    /// Connections that were not.
    pub denied: u64,
    /// Requests and tunnels that ended.
    pub flows: u64,
    /// Those of them for which there was nobody at the other end.
    pub unreachable: u64,
    /// Bytes from the inside out.
    pub bytes_up: u64,
    /// Bytes from the outside in.
    pub bytes_down: u64,
    /// The bodies of requests that left for it.
    pub sent: Sent,
}

impl Reached {
    /// Whether it was let through and nobody was ever there.
    pub fn was_never_there(&self) -> bool {
        self.unreachable > 0 && self.unreachable == self.flows
    }
}

/// What was changed outside while a run went on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moved {
    /// By name: whether the run changed it too, and whether the run does not see the change.
    pub files: BTreeMap<OsText, (bool, bool)>,
    /// How many more there were that no event names.
    pub unnamed: u64,
}

/// A file that the run changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path beneath the workspace.
    pub path: OsText,
    /// What became of it.
    pub change: Change,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// Its new size in bytes.
    pub size: u64,
    /// Whether other programs later execute or obey it.
    pub handoff: bool,
    /// Why it waits for a person, where it does.
    pub why: Option<String>,
    /// How much there is to lose by landing it, where anything speaks of a risk.
    pub risk: Option<Risk>,
    /// What became of the change.
    pub fate: Fate,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It waits.
    Waiting,
    /// It was kept back, for this reason, and still waits.
    Kept(String),
    /// Some hunks of it are in the workspace; the rest waits.
    Part,
    /// It is in the workspace.
    Landed,
    /// The run wrote it into the workspace itself.
    Direct,
    /// It was thrown away.
    Discarded,
}

impl Fate {
    /// Whether somebody still has to say what becomes of it.
    pub fn waits(&self) -> bool {
        matches!(self, Fate::Waiting | Fate::Kept(_) | Fate::Part)
    }
}

impl Changed {
    pub(super) fn staged(file: &StagedFile) -> Changed {
        let StagedFile { path, change, added, removed, size, handoff, why, risk, digest: _ } = file.clone();
        Changed { path, change, added, removed, size, handoff, why, risk, fate: Fate::Waiting }
    }

    /// A file that the run wrote into the workspace itself.
    pub(super) fn direct(file: &DirectFile) -> Changed {
        let DirectFile { path, change, added, removed, size, handoff, why, risk, .. } = file.clone();
        Changed { path, change, added, removed, size, handoff, why, risk, fate: Fate::Direct }
    }

    /// A file that was never told to be staged.
    pub(super) fn landed(landed: &Landed) -> Changed {
        let change = match (&landed.pre, &landed.post) {
            (None, _) => Change::Added,
            (Some(_), None) => Change::Deleted,
            (Some(_), Some(_)) => Change::Modified,
        };
        let path = landed.path.clone();
        let (why, risk, fate) = (None, None, Fate::Landed);
        Changed { path, change, added: 0, removed: 0, size: 0, handoff: false, why, risk, fate }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The agent's end.
    pub exit: Exit,
    /// How long it took, in milliseconds.
    pub wall_ms: u64,
    /// Processor time of everything inside, in milliseconds.
    pub cpu_ms: u64,
    /// The signal by which somebody told Provost to end it, if one did.
    pub stopped: Option<u8>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Execs, denied ones included.
    pub execs: u64,
    /// Programs of different content.
    pub programs: u64,
    /// Denials.
    pub denials: u64,
    /// Questions put to a person.
    pub asks: u64,
    /// Connections let through.
    pub connections: u64,
    /// Bytes that left.
    pub bytes_up: u64,
    /// Bytes that came in.
    pub bytes_down: u64,
    /// Sequences kept from the terminal.
    pub filtered: u64,
}

/// What was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opens {
    /// Opens to read.
    pub reads: u64,
    /// Opens to write.
    pub writes: u64,
    folders: BTreeMap<Vec<u8>, Folder>,
    /// How often each living process did each thing as far as is known: a count goes on where the last one ended.
    known: BTreeMap<(u32, u64), u64>,
}

/// What was opened beneath a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folder {
    /// Opens to read.
    pub reads: u64,
    /// Opens to write.
    pub writes: u64,
}

/// Folders that are told apart; what is opened in others counts to the root.
const FOLDERS: usize = 4096;

impl Opens {
    pub(super) fn add(&mut self, entry: &OpenEntry) {
        let path = entry.path.as_bytes();
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0).max(1);
        let mut name = path.get(..end).unwrap_or_default();
        if self.folders.len() >= FOLDERS && !self.folders.contains_key(name) {
            name = b"/";
        }
        let folder = self.folders.entry(name.to_vec()).or_default();
        let known = self.known.entry((entry.pid, key(entry))).or_default();
        // One that is not larger begins anew: counted apart, or another process by the same number.
        let more = if entry.count > *known { entry.count - *known } else { entry.count };
        *known = entry.count;
        match entry.access {
            Access::Read => (self.reads, folder.reads) = (self.reads + more, folder.reads + more),
            Access::Write => (self.writes, folder.writes) = (self.writes + more, folder.writes + more),
        }
    }

    /// A process is gone: whoever is given its number begins anew.
    pub(super) fn ended(&mut self, pid: u32) {
        let its: Vec<_> = self.known.range((pid, 0)..=(pid, u64::MAX)).map(|(key, _)| *key).collect();
        for key in its {
            self.known.remove(&key);
        }
    }

    /// The folders beneath which most was opened, most first, told by at most `parts` components of their path, at most
    /// `count` of them.
    pub fn top(&self, parts: usize, count: usize) -> Vec<(OsText, Folder)> {
        let mut sums: BTreeMap<&[u8], Folder> = BTreeMap::new();
        for (path, folder) in &self.folders {
            let sum = sums.entry(beginning(path, parts)).or_default();
            sum.reads += folder.reads;
            sum.writes += folder.writes;
        }
        let mut all: Vec<_> = sums.into_iter().map(|(path, sum)| (OsText::new(path), sum)).collect();
        all.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.reads + sum.writes));
        all.truncate(count);
        all
    }
}

/// What tells one file and what was done to it from others: nobody gains by a collision but a count.
fn key(entry: &OpenEntry) -> u64 {
    let mut hash = std::collections::hash_map::DefaultHasher::new();
    (entry.access, entry.act, entry.path.as_bytes()).hash(&mut hash);
    hash.finish()
}

/// The first components of an absolute path.
fn beginning(path: &[u8], parts: usize) -> &[u8] {
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    match slashes.nth(parts) {
        Some(end) => path.get(..end).unwrap_or(path),
        None => path,
    }
}

/// Words as one text, each apart from the next as a shell would take them.
pub(super) fn words(argv: &[OsText]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%^~".contains(c);
    let word = |word: &OsText| {
        let text = word.to_string();
        if !text.is_empty() && text.chars().all(plain) {
            text
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}
