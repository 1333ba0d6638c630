//! The process behind a held call: what it passed, where it stands, who it is.
//!
//! Owns: reading a hostile process. Whatever is read is copied once and never looked at twice, because its memory
//! can change at any moment. Does not own: what follows from it.

use crate::sys::notify;
use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Longest path the kernel takes, with its end.
const PATH_MAX: usize = 4096;
/// Most words and bytes that an exec may carry before we stop reading; the kernel's own limit is in the same range.
const WORDS_MAX: usize = 1 << 20;
const WORDS_BYTES_MAX: usize = 6 << 20;
/// Bytes that a path seldom has more of.
const USUAL: usize = 256;
/// How many callers' entries of /proc are held.
const ENTRIES_MAX: usize = 64;
/// How much is read at once: a path is short, and every page more costs.
const PATH_WINDOW: usize = 512;
const WORDS_WINDOW: usize = 4096;

/// Reads strings of another process through a window, so that neighbours cost one call.
#[derive(Debug)]
pub(crate) struct Memory {
    pid: i32,
    start: u64,
    size: usize,
    window: Vec<u8>,
}

impl Memory {
    pub(crate) fn of(pid: i32) -> Self {
        Self { pid, start: 0, size: PATH_WINDOW, window: Vec::new() }
    }

    /// Bytes at `address`: at least one, fewer than the window at the end of what was read or of a mapping.
    fn bytes(&mut self, address: u64) -> io::Result<&[u8]> {
        let held = address.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        if held.is_none_or(|from| from >= self.window.len()) {
            self.window.resize(self.size, 0);
            self.start = address;
            let read = notify::read_memory(self.pid, address, &mut self.window)?;
            self.window.truncate(read);
        }
        let from = usize::try_from(address - self.start).unwrap_or(usize::MAX);
        Ok(self.window.get(from..).unwrap_or_default())
    }

    /// The string at `address`, without its end. Longer than `most` is an error.
    pub(crate) fn string(&mut self, address: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < most {
            let piece = self.bytes(at)?;
            if piece.is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend_from_slice(piece.get(..end).unwrap_or_default());
                return Ok(text);
            }
            text.extend_from_slice(piece);
            at = address.wrapping_add(text.len() as u64);
        }
        Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG))
    }

    /// A path argument.
    pub(crate) fn path(&mut self, address: u64) -> io::Result<PathBuf> {
        Ok(PathBuf::from(OsString::from_vec(self.string(address, PATH_MAX)?)))
    }

    /// A null-terminated array of strings (argv, envp).
    pub(crate) fn words(&mut self, array: u64) -> io::Result<Vec<Vec<u8>>> {
        let mut words = Vec::new();
        let mut total = 0;
        if array == 0 {
            return Ok(words);
        }
        self.size = WORDS_WINDOW;
        for address in self.pointers(array)? {
            let word = self.string(address, WORDS_BYTES_MAX)?;
            total += word.len();
            if total > WORDS_BYTES_MAX {
                return Err(io::Error::from_raw_os_error(libc::E2BIG));
            }
            words.push(word);
        }
        Ok(words)
    }

    fn pointers(&mut self, array: u64) -> io::Result<Vec<u64>> {
        let mut pointers = Vec::new();
        while pointers.len() < WORDS_MAX {
            let at = array.wrapping_add(8 * pointers.len() as u64);
            let mut chunk = [0_u8; 512];
            let read = notify::read_memory(self.pid, at, &mut chunk)?;
            let whole = chunk.get(..read - read % 8).unwrap_or_default();
            if whole.is_empty() {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
            for pointer in whole.chunks_exact(8) {
                let value = pointer.try_into().map(u64::from_le_bytes).unwrap_or(0);
                if value == 0 {
                    return Ok(pointers);
                }
                pointers.push(value);
            }
        }
        Err(io::Error::from_raw_os_error(libc::E2BIG))
    }

    /// The flags and mode of an `open_how`.
    pub(crate) fn open_how(&mut self, address: u64) -> io::Result<(u64, u64, u64)> {
        let mut how = [0_u8; 24];
        if notify::read_memory(self.pid, address, &mut how)? != 24 {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        let field = |index: usize| {
            how.get(index..index + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        Ok((field(0), field(8), field(16)))
    }

    /// Raw bytes of a structure, at most `into.len()`.
    pub(crate) fn raw(&self, address: u64, into: &mut [u8]) -> io::Result<usize> {
        notify::read_memory(self.pid, address, into)
    }
}

/// Where a path argument starts from.
pub(crate) fn base(pid: i32, folder: i32) -> io::Result<PathBuf> {
    Bases::default().of(pid, folder)
}

/// Where path arguments start from, for callers that ask often: what leads there is held.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    entries: HashMap<i32, Entry>,
}

/// A caller's entry of /proc. One whose process is gone leads nowhere, whoever has the number now.
#[derive(Debug)]
struct Entry {
    place: OwnedFd,
    /// The folder that was asked for last.
    last: i32,
    /// Its link, once it was asked for twice in a row. What it leads to is looked up at each reading: only the way to
    /// the link is spared.
    link: Option<OwnedFd>,
}

impl Bases {
    /// As [`base`].
    pub(crate) fn of(&mut self, pid: i32, folder: i32) -> io::Result<PathBuf> {
        if let Some(entry) = self.entries.get_mut(&pid)
            && let Ok(path) = entry.base(folder)
        {
            return Ok(path);
        }
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.clear();
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let place = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())?;
        let path = base_in(&place, folder)?;
        self.entries.insert(pid, Entry { place, last: folder, link: None });
        Ok(path)
    }

    /// As [`asked`].
    pub(crate) fn asked(&mut self, pid: i32, folder: i32, path: PathBuf) -> io::Result<PathBuf> {
        if path.is_absolute() {
            return Ok(path);
        }
        let mut whole = self.of(pid, folder)?;
        whole.push(path);
        Ok(whole)
    }
}

impl Entry {
    fn base(&mut self, folder: i32) -> io::Result<PathBuf> {
        if folder != self.last {
            (self.last, self.link) = (folder, None);
            return base_in(&self.place, folder);
        }
        let link = match self.link.take() {
            Some(link) => link,
            None => {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat(&self.place, link_name(folder).as_ref(), flags, Mode::empty())?
            }
        };
        let path = read_link(&link, "")?;
        self.link = Some(link);
        Ok(path)
    }
}

/// Where a path argument starts from, by a process's entry of /proc.
fn base_in(entry: &OwnedFd, folder: i32) -> io::Result<PathBuf> {
    read_link(entry, &link_name(folder)).map_err(|error| match error {
        // A descriptor that is none is no file that is not there.
        Errno::NOENT if folder != libc::AT_FDCWD => Errno::BADF.into(),
        other => other.into(),
    })
}

/// The link to a folder in a process's entry of /proc.
fn link_name(folder: i32) -> Cow<'static, str> {
    if folder == libc::AT_FDCWD { Cow::Borrowed("cwd") } else { Cow::Owned(format!("fd/{folder}")) }
}

/// Reads a link, with room for a name behind it.
fn read_link(at: &OwnedFd, name: &str) -> rustix::io::Result<PathBuf> {
    let mut text = Vec::with_capacity(USUAL);
    loop {
        rustix::fs::readlinkat_raw(at, name, spare_capacity(&mut text))?;
        if text.len() < text.capacity() {
            return Ok(PathBuf::from(OsString::from_vec(text)));
        }
        // It may have been cut.
        let more = 2 * text.capacity();
        text = Vec::with_capacity(more);
    }
}

/// What a path argument names, as an absolute path that still has its `..`: only the kernel knows where they lead.
pub(crate) fn asked(pid: i32, folder: i32, path: &Path) -> io::Result<PathBuf> {
    if path.is_absolute() { Ok(path.to_path_buf()) } else { Ok(base(pid, folder)?.join(path)) }
}

/// Whether a path goes up again somewhere.
pub(crate) fn goes_up(path: &Path) -> bool {
    path.as_os_str().as_bytes().split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Whether an absolute path has nothing that folding would take away.
pub(crate) fn is_folded(path: &Path) -> bool {
    matches!(path.as_os_str().as_bytes(), [b'/', rest @ ..] if rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")))
}

/// Joins and folds `.`, `..` and doubled slashes, as text: what the caller named, before any link is followed.
pub(crate) fn named(base: &Path, path: &Path) -> PathBuf {
    use std::path::Component;
    if is_folded(path) {
        return path.to_path_buf();
    }
    let mut folded = PathBuf::from("/");
    for part in base.join(path).components() {
        match part {
            Component::Normal(name) => folded.push(name),
            Component::ParentDir => {
                folded.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    folded
}

/// The path of a process's controlling terminal, which is always one of the cell's own.
pub(crate) fn terminal(pid: i32) -> io::Result<PathBuf> {
    let none = || io::Error::from_raw_os_error(libc::ENXIO);
    let stat = Stat::of(pid).ok_or_else(none)?;
    let number: u64 = stat.field(4).and_then(|text| text.parse().ok()).ok_or_else(none)?;
    if number == 0 {
        return Err(none());
    }
    Ok(PathBuf::from(format!("/dev/pts/{}", rustix::fs::minor(number))))
}

/// Processor time that a process used so far, in microseconds: its own and the kernel's for it, of all its threads.
pub(crate) fn time_used(pid: i32) -> Option<u64> {
    Stat::of(pid)?.time_used()
}

/// How a process ended that nobody waited for yet, as wait(2) tells it, and the time that it used.
pub(crate) fn end_of(pid: i32) -> Option<(i32, u64)> {
    let stat = Stat::of(pid)?;
    let ended = stat.field(0)? == "Z";
    Some((stat.field(49)?.parse().ok()?, stat.time_used()?)).filter(|_| ended)
}

/// What /proc/PID/stat tells behind the name.
struct Stat(String);

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, but not the last closing parenthesis.
        stat.rsplit_once(')').map(|(_, fields)| Self(fields.to_owned()))
    }

    /// A field, counted from the state on.
    fn field(&self, number: usize) -> Option<&str> {
        self.0.split_ascii_whitespace().nth(number)
    }

    fn time_used(&self) -> Option<u64> {
        let ticks: u64 = self.field(11)?.parse::<u64>().ok()? + self.field(12)?.parse::<u64>().ok()?;
        Some(ticks * (1_000_000 / rustix::param::clock_ticks_per_second().max(1)))
    }
}

/// Who a thread belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Process id outside.
    pub(crate) pid: i32,
    /// Parent's process id outside.
    pub(crate) parent: i32,
    /// Process id inside.
    pub(crate) inside: i32,
    /// Thread id inside.
    pub(crate) thread: i32,
}

/// The parent of a process, as this process's namespace numbers both.
pub(crate) fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything, but not the last closing parenthesis.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Enough of /proc/PID/status for every line we want, whatever groups come before them (65,536 at most are rare).
const STATUS_START: usize = 2048;

/// Reads the identity of a thread, in one call: every further one makes the kernel begin anew.
pub(crate) fn identity(thread: i32) -> Identity {
    let mut start = [0_u8; STATUS_START];
    let read = std::fs::File::open(format!("/proc/{thread}/status"))
        .and_then(|mut status| status.read(&mut start))
        .unwrap_or(0);
    let status = String::from_utf8_lossy(start.get(..read).unwrap_or_default());
    let number = |name: &str, last: bool| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let mut fields = line.split_whitespace();
        if last { fields.next_back() } else { fields.next() }?.parse().ok()
    };
    Identity {
        pid: number("Tgid:", false).unwrap_or(thread),
        parent: number("PPid:", false).unwrap_or(0),
        inside: number("NStgid:", true).unwrap_or(0),
        thread: number("NSpid:", true).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fold_as_text() {
        let base = Path::new("/work/a");
        for (path, expected) in [
            ("b", "/work/a/b"),
            ("../b", "/work/b"),
            ("/etc//./passwd", "/etc/passwd"),
            ("../../../../x", "/x"),
            ("", "/work/a"),
        ] {
            assert_eq!(named(base, Path::new(path)), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn strings_are_read_across_pages_and_refused_when_endless() {
        let own = std::process::id() as i32;
        let mut text = vec![b'a'; 20_000];
        text.push(0);
        let mut memory = Memory::of(own);
        assert_eq!(memory.string(text.as_ptr() as u64, 30_000).unwrap().len(), 20_000);
        assert!(memory.string(text.as_ptr() as u64, 1_000).is_err());
        assert!(memory.string(8, 100).is_err());
        let words = [c"one", c"two", c""];
        let array: Vec<*const i8> =
            words.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect();
        let read = memory.words(array.as_ptr() as u64).unwrap();
        assert_eq!(read, [b"one".to_vec(), b"two".to_vec(), b"".to_vec()]);
    }

    #[test]
    fn where_paths_start_is_the_callers_own_whoever_had_the_number() {
        let own = std::process::id() as i32;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let held = std::fs::File::open(&path).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&held);
        let mut bases = Bases::default();
        assert_eq!(bases.of(own, libc::AT_FDCWD).unwrap(), std::env::current_dir().unwrap());
        assert_eq!(bases.asked(own, number, "x".into()).unwrap(), path.join("x"));
        assert_eq!(bases.of(own, 9999).unwrap_err().raw_os_error(), Some(libc::EBADF));
        // An entry whose process is gone leads nowhere: it is looked up anew.
        let mut child = std::process::Command::new("/bin/sleep").arg("0.2").spawn().unwrap();
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let of_child = |name: &str| {
            rustix::fs::open(format!("/proc/{}{name}", child.id()), flags, Mode::empty()).unwrap()
        };
        let (place, link) = (of_child(""), Some(of_child("/cwd")));
        child.wait().unwrap();
        bases.entries.insert(own, Entry { place, last: libc::AT_FDCWD, link });
        assert_eq!(bases.of(own, libc::AT_FDCWD).unwrap(), std::env::current_dir().unwrap());
        assert_eq!(bases.of(own, number).unwrap(), path);
    }

    #[test]
    fn a_held_link_is_read_for_where_it_leads_now() {
        let own = std::process::id() as i32;
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let paths = folders.each_ref().map(|folder| folder.path().canonicalize().unwrap());
        let files = paths.each_ref().map(|path| std::fs::File::open(path).unwrap());
        // A number that no other test comes by.
        let mut held = rustix::io::fcntl_dupfd_cloexec(&files[0], 700).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&held);
        let mut bases = Bases::default();
        for _ in 0..3 {
            assert_eq!(bases.of(own, number).unwrap(), paths[0]);
        }
        assert!(bases.entries[&own].link.is_some());
        let other = std::os::fd::AsRawFd::as_raw_fd(&files[1]);
        for _ in 0..3 {
            assert_eq!(bases.of(own, other).unwrap(), paths[1]);
        }
        assert_eq!([(); 3].map(|()| bases.of(own, number).unwrap()), [(); 3].map(|()| paths[0].clone()));
        // Another folder by the same number, at once; then none.
        rustix::io::dup2(&files[1], &mut held).unwrap();
        assert_eq!(bases.of(own, number).unwrap(), paths[1]);
        std::fs::rename(&paths[1], paths[0].join("moved")).unwrap();
        assert_eq!(bases.of(own, number).unwrap(), paths[0].join("moved"));
        drop(held);
        assert_eq!(bases.of(own, number).unwrap_err().raw_os_error(), Some(libc::EBADF));
        // However long the way is.
        let mut deep = paths[0].clone();
        (0..20).for_each(|_| deep.push("x".repeat(100)));
        std::fs::create_dir_all(&deep).unwrap();
        let deep_one = std::fs::File::open(&deep).unwrap();
        assert_eq!(bases.of(own, std::os::fd::AsRawFd::as_raw_fd(&deep_one)).unwrap(), deep);
    }

    #[test]
    fn this_process_knows_itself() {
        let me = identity(std::process::id() as i32);
        assert_eq!(me.pid, std::process::id() as i32);
    }
}
