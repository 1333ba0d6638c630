//! The state directory: host key, register, runs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::event::RunOpened;
use crate::verify::{Broken, Verified};
use crate::writer::{Sealed, Writer};

/// A run's id: sortable by time, fit for a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// Reads an id.
    pub fn parse(text: &str) -> Option<RunId> {
        Some(RunId(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The state directory failed us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// The disk refused.
    #[error("the state directory could not be used")]
    Io(#[from] io::Error),
}

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// A process writes its ledger.
    Running,
    /// It ended and its ledger is sealed.
    Sealed(Sealed),
    /// It was opened, never sealed, and no process holds it.
    Interrupted,
}

/// A run the register knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub run: RunId,
    /// When it was registered: nanoseconds since 1970-01-01 UTC.
    pub opened: u64,
    /// How it stands.
    pub standing: Standing,
}

/// The state directory, its key and its register.
#[derive(Debug)]
pub struct Host {
    dir: PathBuf,
}

impl Host {
    /// Opens the state directory, making it, the host key and the register where they are not there yet.
    pub fn open(dir: &Path) -> Result<Host, HostError> {
        Ok(Host { dir: dir.to_owned() })
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The host's public key as a C2SP verifier key.
    pub fn verifier_key(&self) -> String {
        String::new()
    }

    /// `runs/<run>`.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.dir.join("runs").join(run.as_str())
    }

    /// `runs/<run>/ledger`.
    pub fn ledger_dir(&self, run: &RunId) -> PathBuf {
        self.run_dir(run).join("ledger")
    }

    /// Takes a new id and makes its directory.
    pub fn new_run(&self) -> Result<RunId, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Opens a run: its ledger with the first event, and its entry in the register, durable when this returns.
    pub fn begin(&self, _run: &RunId, _opened: RunOpened) -> Result<Writer, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Takes up a sealed run again, to land or discard; sealed anew by [`Host::seal`].
    pub fn reopen(&self, _run: &RunId, _by: &str) -> Result<Writer, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Enters the end of a run in the register.
    pub fn seal(&self, _run: &RunId, _sealed: &Sealed) -> Result<(), HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Every run, newest first.
    pub fn runs(&self) -> Result<Vec<Run>, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// The run a text names: its id, a unique prefix of it, or for nothing the last run.
    pub fn find(&self, _text: Option<&str>) -> Result<Run, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Ends the ledger of an interrupted run: `run.interrupted`, and a seal by the host's key.
    pub fn mark_interrupted(&self, _run: &RunId, _found_by: &str) -> Result<Sealed, HostError> {
        Err(HostError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// Verifies one run against the register.
    pub fn verify(&self, _run: &RunId) -> Result<Verified, Vec<Broken>> {
        Err(Vec::new())
    }
}
