//! The inside, as the supervisor can look at it: by descriptor, beneath its root, never by a path of the host.
//!
//! Owns: resolving a path of the inside to the thing it leads to. Does not own: whether that may be opened.

use crate::caller::named;
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io;
use std::path::{Path, PathBuf};

/// The root of the view, held open.
#[derive(Debug)]
pub(crate) struct View {
    root: OwnedFd,
}

/// Something that a path led to: held, so that what is judged is what is used.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) object: OwnedFd,
    /// Where it lies inside, with every link followed.
    pub(crate) path: PathBuf,
}

impl Found {
    /// What a path of /proc leads to, its last link followed.
    pub(crate) fn at(path: &str) -> io::Result<Self> {
        let object = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let path = whereabouts(&object)?;
        Ok(Self { object, path })
    }

    /// What a process holds as its descriptor `number`.
    pub(crate) fn held_by(pid: i32, number: i32) -> io::Result<Self> {
        Self::at(&format!("/proc/{pid}/fd/{number}")).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => io::Error::from_raw_os_error(libc::EBADF),
            _ => error,
        })
    }
}

impl View {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// Follows a path of the inside. Links of /proc that jump elsewhere are refused by the kernel (`ELOOP`, `EXDEV`).
    pub(crate) fn find(&self, path: &Path, follow_last: bool) -> io::Result<Found> {
        let flags =
            OFlags::PATH | OFlags::CLOEXEC | if follow_last { OFlags::empty() } else { OFlags::NOFOLLOW };
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let object = rustix::fs::openat2(&self.root, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        let path = whereabouts(&object)?;
        Ok(Found { object, path })
    }

    /// Whether a path of the inside leads to anything.
    pub(crate) fn stands(&self, path: &Path) -> bool {
        self.find(path, false).is_ok()
    }
}

/// The first bytes of something that is held; none where it cannot be read.
pub(crate) fn read_some(object: impl AsFd, most: usize) -> Vec<u8> {
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    let mut start = vec![0; most];
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let read = rustix::fs::open(path, flags, Mode::empty())
        .and_then(|file| rustix::io::pread(file, &mut start[..], 0))
        .unwrap_or(0);
    start.truncate(read);
    start
}

/// Where an open descriptor lies, as the kernel names it.
pub(crate) fn whereabouts(object: impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", object.as_fd().as_raw_fd()))
}

/// A path through /proc/self or /proc/PID to one's own descriptor, folder or root, which only the caller's own
/// numbers can follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// `/proc/self/fd/3`, `/dev/fd/3`, `/dev/stdin`.
    Descriptor(i32),
    /// `/proc/self/root/...`, `/proc/self/cwd/...`: the same as this path.
    Path(PathBuf),
    /// `/proc/self/exe`.
    Program,
}

/// Recognises a path through the caller's own /proc entries; `None` for every other path.
pub(crate) fn through_own(
    path: &Path,
    inside_pid: i32,
    cwd: &dyn Fn() -> io::Result<PathBuf>,
) -> Option<Own> {
    match path.to_str()? {
        "/dev/stdin" => return Some(Own::Descriptor(0)),
        "/dev/stdout" => return Some(Own::Descriptor(1)),
        "/dev/stderr" => return Some(Own::Descriptor(2)),
        _ => {}
    }
    if let Ok(number) = path.strip_prefix("/dev/fd") {
        return Some(Own::Descriptor(number.to_str()?.parse().ok()?));
    }
    let rest = path.strip_prefix("/proc").ok()?;
    let mut parts = rest.components().map(|part| part.as_os_str());
    let who = parts.next()?.to_str()?;
    if who != "self" && who != "thread-self" && who.parse() != Ok(inside_pid) {
        return None;
    }
    let mut what = parts.next()?.to_str()?;
    if what == "task" {
        parts.next()?;
        what = parts.next()?.to_str()?;
    }
    let left: PathBuf = parts.collect();
    match what {
        "exe" => Some(Own::Program),
        "root" => Some(Own::Path(Path::new("/").join(left))),
        "cwd" => Some(Own::Path(named(&cwd().ok()?, &left))),
        "fd" => {
            let mut left = left.components();
            let number = left.next()?.as_os_str().to_str()?.parse().ok()?;
            left.next().is_none().then_some(Own::Descriptor(number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_recognised_in_every_spelling() {
        let cwd = || Ok(PathBuf::from("/work"));
        let own = |path: &str| through_own(Path::new(path), 7, &cwd);
        assert_eq!(own("/dev/stdin"), Some(Own::Descriptor(0)));
        assert_eq!(own("/proc/self/fd/12"), Some(Own::Descriptor(12)));
        assert_eq!(own("/proc/7/fd/12"), Some(Own::Descriptor(12)));
        assert_eq!(own("/proc/self/task/9/fd/1"), Some(Own::Descriptor(1)));
        assert_eq!(own("/proc/self/root/etc/shadow"), Some(Own::Path("/etc/shadow".into())));
        assert_eq!(own("/proc/thread-self/cwd/.env"), Some(Own::Path("/work/.env".into())));
        assert_eq!(own("/proc/self/exe"), Some(Own::Program));
        assert_eq!(own("/proc/8/root/etc/shadow"), None);
        assert_eq!(own("/proc/meminfo"), None);
        assert_eq!(own("/work/.env"), None);
    }

    #[test]
    fn what_is_found_lies_beneath_the_root() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("out")).unwrap();
        let root = rustix::fs::open(folder.path(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let view = View::new(root);
        assert!(view.stands(Path::new("/a")));
        // An absolute link is followed inside, where nothing of that name stands.
        assert!(view.find(Path::new("/out"), true).is_err());
        assert!(view.find(Path::new("/../../../../etc/passwd"), true).is_err());
    }
}
