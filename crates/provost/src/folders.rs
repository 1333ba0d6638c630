//! Where things of this person are: Provost's state and configuration, and what lies in a run's folder.
//!
//! Owns those places, and the note by which a run at work is found by others. Does not own the ledger's files (`ledger`), or
//! what is staged (`workspace`).

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ledger::{Host, RunId};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::workspace::Surroundings;

/// The places of a person on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Their home.
    pub home: PathBuf,
    /// Where Provost keeps its state.
    pub state: PathBuf,
    /// Where Provost keeps its configuration.
    pub config: PathBuf,
}

/// The process that governs a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Governor {
    /// Its number.
    pub pid: i32,
    /// When it started, in ticks since the machine did: together with the number it is one process and no other.
    pub started: u64,
}

impl Folders {
    /// From the environment of this process.
    ///
    /// # Errors
    /// There is no home, or a place is not absolute.
    pub fn find() -> Result<Folders, Failure> {
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let home = home.ok_or_else(|| {
            Failure::new("you have no home folder").hint("set HOME to the folder that is yours")
        })?;
        let home = fs::canonicalize(&home).unwrap_or(home);
        let place = |variable: &str, usual: &str| -> Result<PathBuf, Failure> {
            let named = std::env::var_os(variable).filter(|value| !value.is_empty());
            let base = named.map_or_else(|| home.join(usual), PathBuf::from);
            match base.is_absolute() {
                true => Ok(resolved(&base).join("provost")),
                false => Err(Failure::new(format!("`{variable}` is not an absolute path"))),
            }
        };
        let (state, config) =
            (place("XDG_STATE_HOME", ".local/state")?, place("XDG_CONFIG_HOME", ".config")?);
        Ok(Folders { home, state, config })
    }

    /// Opens the state, making it where it is not there yet.
    ///
    /// # Errors
    /// It cannot be made or read, or is exposed to others.
    pub fn open(&self) -> Result<Host, Failure> {
        let parent = self.state.parent().unwrap_or(&self.state);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(|error| {
            Failure::of(&error)
                .during(format!("could not make `{}`", parent.display()))
                .hint("set XDG_STATE_HOME to a folder that you can write")
        })?;
        Ok(Host::open(&self.state)?)
    }

    /// The folders that a workspace must keep clear of.
    pub fn around(&self) -> Surroundings<'_> {
        Surroundings { home: &self.home, state: &self.state, config: &self.config }
    }
}

/// A path with its links followed, as far as it is there.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    let mut missing: Vec<OsString> = Vec::new();
    let mut at = path.to_owned();
    loop {
        if let Ok(real) = fs::canonicalize(&at) {
            return missing.into_iter().rev().fold(real, |path, name| path.join(name));
        }
        match (at.file_name().map(OsString::from), at.parent()) {
            (Some(name), Some(parent)) => {
                missing.push(name);
                at = parent.to_owned();
            }
            _ => return path.to_owned(),
        }
    }
}

impl Governor {
    /// This process.
    pub fn here() -> io::Result<Governor> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let started = started(pid).ok_or_else(|| io::Error::other("/proc does not say when we started"))?;
        Ok(Governor { pid, started })
    }

    /// Leaves the note in a run's folder.
    ///
    /// # Errors
    /// The disk refused.
    pub fn note(self, host: &Host, run: &RunId) -> io::Result<()> {
        write_passing(&note_path(host, run), serde_json::to_string(&self)?.as_bytes())
    }

    /// The process that governs a run, if it still does.
    pub fn of(host: &Host, run: &RunId) -> Option<Governor> {
        let text = fs::read_to_string(note_path(host, run)).ok()?;
        let governor: Governor = serde_json::from_str(&text).ok()?;
        (started(governor.pid) == Some(governor.started)).then_some(governor)
    }
}

fn note_path(host: &Host, run: &RunId) -> PathBuf {
    host.run_dir(run).join("process")
}

/// When a process started: field 22 of proc(5)'s stat, counted behind the name, which may hold anything.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Writes a file that only this person can read; whole or not at all.
///
/// # Errors
/// The disk refused.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, fs::File::sync_all)
}

/// The same for what need not outlive the machine: it can be derived again, or speaks of a process. If the machine loses
/// power it may be empty.
///
/// # Errors
/// The disk refused.
pub fn write_passing(path: &Path, content: &[u8]) -> io::Result<()> {
    replace(path, content, |_| Ok(()))
}

fn replace(path: &Path, content: &[u8], settle: impl FnOnce(&fs::File) -> io::Result<()>) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    settle(&file)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_governor_is_one_process_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::open(&dir.path().join("state")).unwrap();
        let run = host.new_run().unwrap();
        assert_eq!(Governor::of(&host, &run), None);
        let here = Governor::here().unwrap();
        here.note(&host, &run).unwrap();
        assert_eq!(Governor::of(&host, &run), Some(here));
        Governor { started: here.started + 1, ..here }.note(&host, &run).unwrap();
        assert_eq!(Governor::of(&host, &run), None, "the number was given to another process since");
    }

    #[test]
    fn a_place_behind_a_link_is_named_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink("a", real.join("b")).unwrap();
        assert_eq!(resolved(&real.join("b/x/y")), real.join("a/x/y"));
    }
}
