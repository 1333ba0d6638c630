//! The run's view of the workspace, as the outside can look at it and bring it up to date.
//!
//! Owns: having the kernel forget what it remembers of names in the layer over the workspace, looking a path up as the
//! inside sees it, and how long nothing inside was held. Does not own when that is done.
//!
//! The kernel looks a name up in a layer once. A file edited in place is seen by the inside at once, but one that was
//! replaced, added or removed outside is not, until the kernel forgets the name: that is what a reconfiguration with
//! nothing to configure does, except for what somebody inside holds open.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Stat};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the supervisor last answered a call.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    began: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), last_ms: Arc::default() }
    }

    /// A call was held.
    pub(crate) fn beat(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }

    fn quiet(&self) -> Duration {
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

    /// How long no process inside has started a program, opened a file or connected.
    #[must_use]
    pub fn quiet(&self) -> Duration {
        self.pulse.quiet()
    }
}
