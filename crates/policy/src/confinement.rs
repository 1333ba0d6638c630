//! What the kernel is asked to hold (Confinement), what it gave (Enforcement), and the difference.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Some rule on files is no tree: every open is judged.
    pub judged_opens: bool,
    /// Some command is not simply allowed: every exec is judged.
    pub judged_execs: bool,
    /// Namespaces may be made inside; Landlock's file rules go.
    pub nested: bool,
}

/// What the kernel gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Enforcement {
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
    /// System calls are filtered.
    pub seccomp: bool,
    /// Opens and execs can be judged one by one.
    pub supervisor: bool,
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

/// Compares what is asked with what is given.
pub fn shortfall(_asked: &Confinement, _given: &Enforcement) -> Result<(), Shortfall> {
    Ok(())
}
