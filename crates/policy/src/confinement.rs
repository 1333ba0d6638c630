//! What the kernel is asked to hold (Confinement), what it gave (Enforcement), and the difference.
//!
//! Owns the words and the comparison. `trees` owns how rules become what is asked, `direct` what a run without staging cannot hold. Does not own how the kernel is told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Limit, Limits};

mod direct;
mod tier;
mod trees;

pub(crate) use direct::holds as holds_direct;
pub use tier::{LEAST_LANDLOCK_ALONE, Tier};
pub(crate) use trees::of;

/// What of a policy is asked of the kernel. Paths of the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confinement {
    /// Trees (a file, or a folder and all beneath) that can be read.
    pub read: Vec<PathBuf>,
    /// Trees that can be written.
    pub write: Vec<PathBuf>,
    /// Trees beneath a readable one that must not be seen.
    pub hidden: Vec<PathBuf>,
    /// Trees beneath a writable one that must not be written.
    pub frozen: Vec<PathBuf>,
    /// Trees, within what can be read, whose files are read only with somebody's yes, asked for when they are opened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_read: Vec<PathBuf>,
    /// The same for writing, within what can be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_write: Vec<PathBuf>,
    /// Some rule on files is no tree, or asks: every open is judged.
    pub judged_opens: bool,
    /// Some command is not simply allowed: every exec is judged.
    pub judged_execs: bool,
    /// Namespaces may be made inside; Landlock's file rules go.
    pub nested: bool,
    /// What it is to rest on; for whoever starts the run to say, and for no policy.
    #[serde(default)]
    pub tier: Tier,
    /// How much of the machine it may use.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// What the kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enforcement {
    /// What the run rests on.
    #[serde(default)]
    pub tier: Tier,
    /// Own users.
    pub user_namespace: bool,
    /// Own view of files.
    pub mount_namespace: bool,
    /// Own processes.
    pub pid_namespace: bool,
    /// Own network: nothing but a loopback.
    pub network_namespace: bool,
    /// Own message queues and shared memory.
    pub ipc_namespace: bool,
    /// Own host name.
    pub uts_namespace: bool,
    /// No program gains rights by being started.
    pub no_new_privs: bool,
    /// No capability is left.
    pub no_capabilities: bool,
    /// The version of Landlock that holds the files; 0 if none.
    pub landlock_abi: u32,
    /// Landlock keeps TCP closed to the run's own calls.
    #[serde(default)]
    pub landlock_network: bool,
    /// Landlock keeps signals and abstract sockets inside.
    #[serde(default)]
    pub landlock_scopes: bool,
    /// System calls are filtered.
    pub seccomp: bool,
    /// Opens and execs can be judged one by one.
    pub supervisor: bool,
    /// What holds each limit that is asked, by the limit's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<Limit, String>,
    /// The view, one mount a line.
    pub mounts: Vec<String>,
    /// What a person should know beside.
    pub notes: Vec<String>,
}

/// One thing that is asked and not given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// What is missing, and why it is asked.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// All that is asked and not given. A run with a shortfall does not start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Shortfall {
    /// At least one.
    pub missing: Vec<Missing>,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("this machine cannot hold what the policy asks: ")?;
        for (index, missing) in self.missing.iter().enumerate() {
            to.write_str(if index == 0 { "" } else { "; " })?;
            to.write_str(&missing.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for Shortfall {}

/// The least version of Landlock that holds files: from 2 on, links and renames between folders are held too.
const LEAST_LANDLOCK: u32 = 2;

/// Compares what is asked with what is given.
///
/// # Errors
/// All that is asked and not given.
pub fn shortfall(asked: &Confinement, given: &Enforcement) -> Result<(), Shortfall> {
    const NAMESPACES: &str =
        "`provost doctor` names the setting that forbids it, and the line that changes it";
    const KERNEL: &str =
        "a kernel from 6.1 on with this switched on is needed; `provost doctor` shows what is there";
    let namespace = |name: &str| format!("a namespace of its own for {name}");
    let landlock = asked.nested || given.landlock_abi >= LEAST_LANDLOCK;
    let own = match asked.tier {
        Tier::Landlock => tier::alone(asked, given),
        Tier::Namespaces => vec![
            (given.user_namespace, namespace("users"), NAMESPACES),
            (given.mount_namespace, namespace("files"), NAMESPACES),
            (given.pid_namespace, namespace("processes"), NAMESPACES),
            (given.network_namespace, namespace("the network"), NAMESPACES),
            (given.ipc_namespace, namespace("shared memory"), NAMESPACES),
            (given.uts_namespace, namespace("the host name"), NAMESPACES),
            (landlock, format!("Landlock version {LEAST_LANDLOCK} (here: {})", given.landlock_abi), KERNEL),
        ],
    };
    let held = [
        (
            given.no_new_privs,
            "that no program gains rights by being started (no_new_privs)".to_owned(),
            KERNEL,
        ),
        (given.no_capabilities, "that no capability is left".to_owned(), NAMESPACES),
        (given.seccomp, "a filter for system calls (seccomp)".to_owned(), KERNEL),
        (given.supervisor, supervised(asked), KERNEL),
    ];
    let missing = own.into_iter().chain(held).filter(|(held, _, _)| !held);
    let mut missing: Vec<Missing> =
        missing.map(|(_, what, hint)| Missing { what, hint: hint.to_owned() }).collect();
    missing.extend(unlimited(asked, given));
    if missing.is_empty() { Ok(()) } else { Err(Shortfall { missing }) }
}

/// The limits that are asked and that nothing here holds.
fn unlimited(asked: &Confinement, given: &Enforcement) -> impl Iterator<Item = Missing> {
    let open = asked.limits.iter().filter(|(limit, _)| !given.limits.contains_key(limit));
    open.map(|(limit, bound)| Missing {
        what: format!("a limit on {limit} ({}, set by `{}`)", limit.show(bound.most), bound.by),
        hint: "leave it out of `[limits]`, or run where it can be held: docs/policy.md says by what"
            .to_owned(),
    })
}

/// Why somebody must look at calls one by one.
fn supervised(asked: &Confinement) -> String {
    let why = match (asked.judged_opens, asked.judged_execs) {
        (true, true) => "rules on files that are no trees or ask, and rules on commands",
        (true, false) => "rules on files that are no trees or ask",
        (false, true) => "rules on commands",
        (false, false) => "the record of what was started and opened",
    };
    format!("a supervisor of system calls, for {why}")
}
