//! The file of a login, as the person's own agent keeps it.
//!
//! Owns: reading it, writing it so that it is whole at every moment and stays whose and how it was, and that no two refresh it at
//! once. Does not own what is in it (`agents`).

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde_json::Value;

/// Bytes of such a file.
const LONGEST: u64 = 256 * 1024;
/// How long another refresh is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether it is over.
const LOOK: Duration = Duration::from_millis(50);
/// How old an agent's lock is when nobody holds it any more, as agents have it.
const STALE: Duration = Duration::from_secs(10);
/// How often it is said that it is held.
const ALIVE: Duration = Duration::from_secs(3);

/// There is no login to be had.
#[derive(Debug, thiserror::Error)]
pub enum Absent {
    /// The file cannot be read.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// It is something else.
    #[error("it is no JSON")]
    NoJson,
    /// It holds none.
    #[error("it holds no login")]
    NoLogin,
}

/// What is in it.
pub(super) fn read(path: &Path) -> Result<Value, Absent> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Absent::NoLogin);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(Absent::NoLogin);
    }
    serde_json::from_slice(&bytes).map_err(|_| Absent::NoJson)
}

/// The next content of a file, beside it. It is made before new tokens are asked for: those that could not be written down
/// would be lost, and the old ones with them.
#[derive(Debug)]
pub(super) struct Next {
    path: PathBuf,
    of: PathBuf,
    file: File,
}

impl Next {
    /// An empty one, of the same owner and mode.
    pub(super) fn beside(of: &Path) -> io::Result<Next> {
        let known = fs::metadata(of)?;
        let name = of.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = of.with_file_name(format!(".{name}.provost-{}", std::process::id()));
        // What a killed process of this number left.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let next = Next { path, of: of.to_owned(), file };
        let made = next.file.metadata()?;
        if (made.uid(), made.gid()) != (known.uid(), known.gid()) {
            std::os::unix::fs::fchown(&next.file, Some(known.uid()), Some(known.gid()))?;
        }
        next.file.set_permissions(fs::Permissions::from_mode(known.mode() & 0o7777))?;
        // Whoever fills the disk meanwhile does not have the new tokens lost.
        match rustix::fs::fallocate(&next.file, FallocateFlags::empty(), 0, LONGEST) {
            // Where that is not to be had, all is as it can be.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(next),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts it in the file's place, whole.
    pub(super) fn replace(mut self, content: &Value) -> io::Result<()> {
        let text = format!("{content:#}");
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)?;
        self.file.sync_all()?;
        fs::rename(&self.path, &self.of)?;
        // It is in place; whether its name is durable yet is the file system's.
        let folder = self.of.parent().map(File::open);
        let _ = folder.transpose()?.map(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        // Where it was put in place there is none.
        let _ = fs::remove_file(&self.path);
    }
}

/// A login that nobody else refreshes, until dropped: no other run, and no agent that takes the same lock.
#[derive(Debug)]
pub(super) struct Taken {
    _run: File,
    _agent: Option<AgentLock>,
}

/// Takes a login, once whoever else refreshes it is done.
pub(super) fn take(run: &Path, agent: Option<&Path>) -> Result<Taken, String> {
    let failed = |error: io::Error| format!("`{}`: {error}", run.display());
    let folder = run.parent().unwrap_or(run);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(run);
    let file = file.map_err(failed)?;
    let end = Instant::now() + PATIENCE;
    wait(end, || match file.try_lock() {
        Ok(()) => Ok(Some(())),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    })?;
    let agent = agent.map(|path| AgentLock::take(path, end)).transpose()?;
    Ok(Taken { _run: file, _agent: agent })
}

/// Tries until it is had, or the end.
fn wait<T>(end: Instant, mut tried: impl FnMut() -> Result<Option<T>, String>) -> Result<T, String> {
    loop {
        if let Some(had) = tried()? {
            return Ok(had);
        }
        if Instant::now() > end {
            return Err("somebody else has been refreshing it for too long".to_owned());
        }
        std::thread::sleep(LOOK);
    }
}

/// A lock as agents have it: a folder that is there, and young, while somebody refreshes.
#[derive(Debug)]
struct AgentLock {
    path: PathBuf,
    /// Dropped, nobody says any more that it is held.
    _held: Sender<()>,
}

impl AgentLock {
    fn take(path: &Path, end: Instant) -> Result<AgentLock, String> {
        wait(end, || match fs::create_dir(path) {
            Ok(()) => Ok(Some(())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let modified = fs::metadata(path).and_then(|found| found.modified());
                let age = modified.ok().and_then(|when| SystemTime::now().duration_since(when).ok());
                if age.is_some_and(|age| age > STALE) {
                    // Who left it is gone; whoever is quicker takes it.
                    let _ = fs::remove_dir(path);
                }
                Ok(None)
            }
            Err(error) => Err(format!("`{}`: {error}", path.display())),
        })?;
        let (held, over) = mpsc::channel::<()>();
        let alive = path.to_owned();
        let beat = move || {
            while over.recv_timeout(ALIVE) == Err(RecvTimeoutError::Timeout) {
                // Gone, it is nobody's to keep alive.
                let _ = File::open(&alive).and_then(|folder| folder.set_modified(SystemTime::now()));
            }
        };
        // Without a thread it is held for as long as it is young, which is mostly enough.
        let _ = std::thread::Builder::new().name("login-lock".to_owned()).spawn(beat);
        Ok(AgentLock { path: path.to_owned(), _held: held })
    }
}

impl Drop for AgentLock {
    fn drop(&mut self) {
        // Where it is gone already, somebody took it for left behind.
        let _ = fs::remove_dir(&self.path);
    }
}
