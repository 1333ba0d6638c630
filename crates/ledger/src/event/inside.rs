//! What processes inside did: at the kernel and at the terminal.
//!
//! Owns these bodies of events. Does not own when they are written.

use serde::{Deserialize, Serialize};

use crate::action::{ActionRecord, CommandRecord};

use super::{OsText, Reason, Verdict};

/// Body of `launch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The process id on the host.
    pub pid: u32,
    /// Its arguments.
    pub argv: Vec<OsText>,
    /// Its working directory.
    pub cwd: OsText,
}

/// Body of `exec`: a decision about an `exec` action, and what was seen of the call, in one. Unless it failed, an exec that was
/// allowed has no outcome of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// The process that called exec, as the host counts.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// The program, links resolved.
    pub program: OsText,
    /// The arguments the kernel took.
    pub argv: Vec<OsText>,
    /// The variables that change what a program does (`LD_*`, `GIT_*`, ..), as `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<OsText>,
    /// The working directory.
    pub cwd: OsText,
    /// SHA-256 of the canonical JSON of the action (`exec`, program, argv, env), in hex.
    pub digest: String,
    /// What was decided.
    pub verdict: Verdict,
    /// What an ask needs: `model`, `human`, `humans(n)`. Beside a deny: nobody attended who could have been asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<String>,
    /// The rules that led to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// Whether no rule spoke and the kind's default applied.
    pub default_applied: bool,
    /// The grant that allowed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

impl Exec {
    /// The action that was judged.
    pub fn action(&self) -> ActionRecord {
        let (program, argv, env) = (self.program.clone(), self.argv.clone(), self.env.clone());
        ActionRecord::Exec(CommandRecord { program, argv, env })
    }
}

/// Body of `program`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where it lies, links resolved.
    pub path: OsText,
    /// SHA-256 of its content, in hex.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Body of `opened`: what the kernel did, and no attempt that failed. Neither is what the kernel makes for the run, /proc and
/// /dev (but for /dev/shm), in it, nor what was opened by a descriptor's own entry there. A name is the file's own, links followed; a file without a name (O_TMPFILE) is told by its folder.
/// Where opens are not judged, the call is looked at while it is held and done by the kernel then: a program that changes its memory or
/// its files in between makes the record of its own acts wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// What was opened, and which names changed, since the last batch.
    pub entries: Vec<OpenEntry>,
}

/// What one process did with one file so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEntry {
    /// The process, as the host counts.
    pub pid: u32,
    /// What it was opened for.
    pub access: Access,
    /// What was done to its name, or to it by name; absent where it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<NameAct>,
    /// The file.
    pub path: OsText,
    /// How often so far. Told at one and at every power of two, and once more before the process ends, or the run: that last one is
    /// exact. A count that is not larger than the one before it begins anew, and what was counted before stays counted: that is
    /// so where a number was given to another process, and where more was counted than could be held.
    pub count: u64,
}

/// What was done to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NameAct {
    /// A folder, a symbolic link, a device or a pipe was made.
    Made,
    /// It was removed.
    Removed,
    /// It was renamed: one entry for what it was called and one for what it is called.
    Renamed,
    /// What it names was given another name as well: one entry for the new name.
    Linked,
    /// What it names was cut or stretched by its name.
    Truncated,
}

/// What a file was opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// To read.
    Read,
    /// To write, create, truncate, rename or remove.
    Write,
}

/// Body of `denied`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The process, as the host counts, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// The kind of action: `exec`, `read`, `connect`, ..; or the system call where there is no kind for it.
    pub what: String,
    /// What it was about: a path, a host and port, a command.
    pub target: OsText,
    /// The rules that forbade it.
    pub reasons: Vec<Reason>,
    /// The error number the caller got; absent where it got an answer of its protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// Whether the caller was told why, on its standard error.
    pub spoken: bool,
}

/// Body of `exited`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// Processes that ended since the last batch.
    pub entries: Vec<ExitEntry>,
}

/// The end of one process, whether it ever called exec or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitEntry {
    /// The process, as the host counts.
    pub pid: u32,
    /// Its parent.
    pub ppid: u32,
    /// Its status, where it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that killed it. Neither this nor `code` where it was killed and the kernel is too old to say how (before 6.15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Processor time that it used, its own and the kernel's for it, in microseconds; 0 where it was killed.
    pub cpu_us: u64,
}

/// Body of `connected`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    /// Attempts since the last batch.
    pub entries: Vec<ConnectEntry>,
}

/// Attempts of one process to connect to one place so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectEntry {
    /// The process, as the host counts.
    pub pid: u32,
    /// Where to: `127.0.0.1:8080`, `api.example.com:443`, `unix:/path`, `unix:@name`.
    pub target: OsText,
    /// How often so far, told as in `opened`.
    pub count: u64,
    /// What became of it.
    pub how: Reach,
}

/// What became of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// It led to something inside.
    Inside,
    /// It was carried to the gateway, which judged it.
    Carried,
    /// It was refused.
    Refused,
}

/// Body of `request.inside`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestInside {
    /// What is wanted: `connect`, `read`, `exec`, `question`.
    pub what: String,
    /// The resource, or the question.
    pub text: String,
    /// The agent's justification.
    pub why: String,
}

/// Body of `terminal.filtered`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalFiltered {
    /// What was taken out: `clipboard`, `device`, `title`, ..
    pub kind: String,
    /// How often since the last event of this kind.
    pub count: u64,
}
