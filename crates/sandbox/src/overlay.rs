//! The run's view of the workspace, as the outside can look at it and bring it up to date.
//!
//! Owns: having the kernel forget what it remembers of names in the layer over the workspace, looking a path up as the
//! inside sees it, and how long nothing inside was held. Does not own when that is done.
//!
//! The kernel looks a name up in a layer once. A file edited in place is seen by the inside at once, but one that was
//! replaced, added or removed outside is not, until the kernel forgets the name: that is what a reconfiguration with
//! nothing to configure does, except for what somebody inside holds open.

use ledger::Evidence;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the supervisor last answered a call.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    began: Instant,
    last_ms: Arc<AtomicU64>,
    /// Whether calls tell that files are at work.
    sees_files: bool,
}

impl Pulse {
    pub(crate) fn new(evidence: Evidence) -> Self {
        Self { began: Instant::now(), last_ms: Arc::default(), sees_files: evidence != Evidence::Exec }
    }

    /// A call was held.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    /// How long nothing was held; where opens are not seen, nobody knows how long it has been quiet.
    fn quiet(&self) -> Duration {
        if !self.sees_files {
            return Duration::ZERO;
        }
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}

/// The layer over a workspace.
#[derive(Debug)]
pub struct Overlay {
    /// What the kernel reconfigures the layer by; made inside, where that may be done.
    pub(crate) context: OwnedFd,
    /// The root of the view.
    pub(crate) root: OwnedFd,
    pub(crate) workspace: PathBuf,
    pub(crate) pulse: Pulse,
    /// The name that the kernel has for the run's mounts, by which its processes are known.
    pub(crate) mounts: Option<(u64, u64)>,
}

impl Overlay {
    /// Has what changed outside be seen inside.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn refresh(&self) -> io::Result<()> {
        Ok(rustix::mount::fsconfig_reconfigure(&self.context)?)
    }

    /// What the inside sees at a path beneath the workspace; `None` if nothing.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn sees(&self, path: &Path) -> io::Result<Option<Stat>> {
        let whole = self.workspace.join(path);
        let relative = whole.strip_prefix("/").unwrap_or(&whole);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&self.root, relative, flags, Mode::empty(), resolve) {
            Ok(found) => Ok(Some(rustix::fs::statat(&found, "", AtFlags::EMPTY_PATH)?)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the processes inside hold open for writing, or have mapped for it, as they name it: beneath the workspace.
    ///
    /// # Errors
    /// The processes cannot be listed.
    pub fn written(&self) -> io::Result<BTreeSet<PathBuf>> {
        let own = self.mounts.ok_or(io::ErrorKind::NotFound)?;
        let mut written = BTreeSet::new();
        for process in std::fs::read_dir("/proc")? {
            let place = process?.path();
            // One that is not ours, or gone meanwhile, holds nothing of the run.
            let Ok(mounts) = rustix::fs::stat(place.join("ns/mnt")) else { continue };
            if (mounts.st_dev, mounts.st_ino) != own {
                continue;
            }
            let open = std::fs::read_dir(place.join("fd")).into_iter().flatten().flatten();
            written.extend(
                open.filter(|fd| is_for_writing(&place, &fd.file_name()))
                    .filter_map(|fd| std::fs::read_link(fd.path()).ok()),
            );
            written.extend(mapped(&std::fs::read(place.join("maps")).unwrap_or_default()));
        }
        let beneath = |path: PathBuf| path.strip_prefix(&self.workspace).ok().map(Path::to_owned);
        Ok(written.into_iter().filter_map(beneath).collect())
    }

    /// How long no process inside has started a program, opened a file or connected.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.pulse.quiet()
    }
}

/// Whether a descriptor was opened for writing: the kernel tells its flags in octal.
fn is_for_writing(process: &Path, fd: &OsString) -> bool {
    let told = std::fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    let flags = told.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::ACCMODE.bits() != OFlags::RDONLY.bits())
}

/// The files that are mapped shared and writable.
fn mapped(maps: &[u8]) -> Vec<PathBuf> {
    let path = |line: &[u8]| {
        let mut fields = line.splitn(6, |byte| *byte == b' ');
        let rights = fields.nth(1)?;
        let path = fields.nth(3)?.trim_ascii_start();
        (rights.starts_with(b"rw") && rights.ends_with(b"s") && path.starts_with(b"/"))
            .then(|| PathBuf::from(OsStr::from_bytes(path)))
    };
    maps.split(|byte| *byte == b'\n').filter_map(path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mapped_to_be_written_is_told() {
        let maps = b"7f0-7f1 rw-s 00000000 fe:00 12    /w/a b\n7f1-7f2 r--s 00000000 fe:00 13    /w/read\n\
            7f2-7f3 rw-p 00000000 fe:00 14    /w/private\n7f3-7f4 rw-s 00000000 00:01 15\n";
        assert_eq!(mapped(maps), [PathBuf::from("/w/a b")]);
    }

    #[test]
    fn what_is_open_to_be_written_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = std::fs::File::open(file.path()).unwrap();
        use std::os::fd::AsRawFd as _;
        let is = |fd: i32| is_for_writing(Path::new("/proc/self"), &OsString::from(fd.to_string()));
        assert!(is(file.as_raw_fd()) && !is(read.as_raw_fd()) && !is(-1));
    }
}
