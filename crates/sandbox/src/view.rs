//! The inside, as the supervisor can look at it: by descriptor, beneath its root, never by a path of the host.
//!
//! Owns: resolving a path of the inside to the thing it leads to. Does not own: whether that may be opened.

use crate::caller::Identity;
use rustix::fd::{AsFd, AsRawFd as _, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
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

    /// Whether it still lies where it was found.
    pub(crate) fn stands(&self) -> bool {
        whereabouts(&self.object).is_ok_and(|path| path == self.path)
    }

    /// Whether it lies in no folder: a pipe, a file in memory, a file that was removed. Nobody but who holds such could come
    /// by it.
    pub(crate) fn is_nameless(&self) -> bool {
        !self.path.is_absolute() || rustix::fs::fstat(&self.object).is_ok_and(|facts| facts.st_nlink == 0)
    }

    pub(crate) fn is_folder(&self) -> bool {
        rustix::fs::fstat(&self.object)
            .is_ok_and(|facts| rustix::fs::FileType::from_raw_mode(facts.st_mode).is_dir())
    }

    /// What a process holds as its descriptor `number`.
    pub(crate) fn held_by(pid: i32, number: i32) -> io::Result<Self> {
        Self::at(&format!("/proc/{pid}/fd/{number}")).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT) => io::Error::from_raw_os_error(libc::EBADF),
            _ => error,
        })
    }
}

/// How often a path is tried while others rename.
const AGAIN_MAX: usize = 128;

impl View {
    pub(crate) fn new(root: OwnedFd) -> Self {
        Self { root }
    }

    /// The inside as this thread has it, which may have made a view of its own where the policy lets it.
    pub(crate) fn of(thread: i32) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(format!("/proc/{thread}/root"), flags, Mode::empty())? })
    }

    /// Follows a path of the inside. Links of /proc that jump elsewhere are refused by the kernel (`ELOOP`, `EXDEV`).
    pub(crate) fn find(&self, path: &Path, follow_last: bool) -> io::Result<Found> {
        let flags =
            OFlags::PATH | OFlags::CLOEXEC | if follow_last { OFlags::empty() } else { OFlags::NOFOLLOW };
        let relative = path.strip_prefix("/").unwrap_or(path);
        let relative = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        let object = self.resolve(relative, flags)?;
        let path = whereabouts(&object)?;
        Ok(Found { object, path })
    }

    /// The kernel gives up on a `..` while something is renamed anywhere, and wants to be asked again.
    fn resolve(&self, relative: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve =
            || rustix::fs::openat2(&self.root, relative, flags, Mode::empty(), ResolveFlags::IN_ROOT);
        for _ in 0..AGAIN_MAX {
            match resolve() {
                Err(rustix::io::Errno::AGAIN) => {}
                found => return found,
            }
        }
        resolve()
    }

    /// Whether a path of the inside leads to anything.
    pub(crate) fn stands(&self, path: &Path) -> bool {
        self.find(path, false).is_ok()
    }
}

/// The first bytes of something that is held; none where it cannot be read.
pub(crate) fn read_some(object: impl AsFd, most: usize) -> Vec<u8> {
    read_at(object, 0, most)
}

/// Bytes of something that is held, from a place in it; none where it cannot be read.
pub(crate) fn read_at(object: impl AsFd, at: u64, most: usize) -> Vec<u8> {
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    let mut start = vec![0; most];
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let read = rustix::fs::open(path, flags, Mode::empty())
        .and_then(|file| rustix::io::pread(file, &mut start[..], at))
        .unwrap_or(0);
    start.truncate(read);
    start
}

/// Where an open descriptor lies, as the kernel names it.
pub(crate) fn whereabouts(object: impl AsFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", object.as_fd().as_raw_fd()))
}

/// A path through /proc/self, /proc/PID or /dev/fd to what is the caller's own: only the caller's numbers can follow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// `/proc/self/fd/3`, `/dev/fd/3`, `/dev/stdin`.
    Descriptor(i32),
    /// `/proc/self/exe`.
    Program,
    /// `/proc/self/root/...`, `/proc/self/cwd/...`, `/dev/fd/3/...`: the same as this path.
    Path(PathBuf),
    /// `/proc/self/status`: this path, for whoever looks.
    Entry(PathBuf),
}

/// Recognises a path through the caller's own entries; `None` for every other path. `base` tells where the caller's
/// folder, or its working folder, lies.
pub(crate) fn through_own(
    path: &Path,
    who: Identity,
    base: &dyn Fn(i32) -> io::Result<PathBuf>,
) -> io::Result<Option<Own>> {
    match path.to_str() {
        Some("/dev/stdin") => return Ok(Some(Own::Descriptor(0))),
        Some("/dev/stdout") => return Ok(Some(Own::Descriptor(1))),
        Some("/dev/stderr") => return Ok(Some(Own::Descriptor(2))),
        _ => {}
    }
    if let Ok(left) = path.strip_prefix("/dev/fd") {
        return descriptor(left, Path::new(&format!("/proc/{}/fd", who.inside)), base);
    }
    let Ok(rest) = path.strip_prefix("/proc") else { return Ok(None) };
    let mut parts = rest.components().map(|part| part.as_os_str());
    let mut entry = match parts.next().and_then(OsStr::to_str) {
        Some("self") => format!("/proc/{}", who.inside),
        Some("thread-self") => format!("/proc/{}/task/{}", who.inside, who.thread),
        Some(number) if number.parse() == Ok(who.inside) => format!("/proc/{number}"),
        _ => return Ok(None),
    };
    let mut what = parts.next();
    if what == Some(OsStr::new("task"))
        && let Some(thread) = parts.next()
    {
        entry = format!("{entry}/task/{}", thread.display());
        what = parts.next();
    }
    let Some(what) = what else { return Ok(Some(Own::Entry(entry.into()))) };
    let left: PathBuf = parts.collect();
    Ok(Some(match what.to_str() {
        Some("exe") if left.as_os_str().is_empty() => Own::Program,
        Some("root") => Own::Path(Path::new("/").join(left)),
        Some("cwd") => Own::Path(base(libc::AT_FDCWD)?.join(left)),
        Some("fd") => return descriptor(&left, &Path::new(&entry).join("fd"), base),
        _ => Own::Entry(Path::new(&entry).join(what).join(left)),
    }))
}

/// What `left` means beneath a list of descriptors, which itself is at `list`.
fn descriptor(
    left: &Path,
    list: &Path,
    base: &dyn Fn(i32) -> io::Result<PathBuf>,
) -> io::Result<Option<Own>> {
    let mut parts = left.components();
    let Some(number) = parts.next() else { return Ok(Some(Own::Entry(list.to_path_buf()))) };
    let number = number.as_os_str().to_str().and_then(|text| text.parse().ok());
    let number: i32 = number.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
    let left = parts.as_path();
    Ok(Some(if left.as_os_str().is_empty() {
        Own::Descriptor(number)
    } else {
        Own::Path(base(number)?.join(left))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_paths_are_recognised_in_every_spelling() {
        let base = |number: i32| Ok(PathBuf::from(if number < 0 { "/work" } else { "/held" }));
        let who = Identity { pid: 107, parent: 106, inside: 7, thread: 9 };
        let own = |path: &str| through_own(Path::new(path), who, &base).unwrap();
        let path = |path: &str| Some(Own::Path(path.into()));
        let entry = |path: &str| Some(Own::Entry(path.into()));
        assert_eq!(own("/dev/stdin"), Some(Own::Descriptor(0)));
        assert_eq!(own("/dev/fd/3"), Some(Own::Descriptor(3)));
        assert_eq!(own("/dev/fd/3/x"), path("/held/x"));
        assert_eq!(own("/proc/self/fd/12"), Some(Own::Descriptor(12)));
        assert_eq!(own("/proc/7/fd/12"), Some(Own::Descriptor(12)));
        assert_eq!(own("/proc/self/fd/12/../x"), path("/held/../x"));
        assert_eq!(own("/proc/self/fd"), entry("/proc/7/fd"));
        assert_eq!(own("/proc/self/task/9/fd/1"), Some(Own::Descriptor(1)));
        assert_eq!(own("/proc/self/root/etc/shadow"), path("/etc/shadow"));
        assert_eq!(own("/proc/thread-self/cwd/.env"), path("/work/.env"));
        assert_eq!(own("/proc/thread-self/comm"), entry("/proc/7/task/9/comm"));
        assert_eq!(own("/proc/self/cwd/../x"), path("/work/../x"));
        assert_eq!(own("/proc/self/exe"), Some(Own::Program));
        assert_eq!(own("/proc/self/status"), entry("/proc/7/status"));
        assert_eq!(own("/proc/self"), entry("/proc/7"));
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
