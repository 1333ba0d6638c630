//! How much memory a run holds.
//!
//! Owns: the sum, quick and exact. Does not own: what is too much.
//!
//! Quick, at every look: what each process has resident for itself, and what the private places hold (temporary folders, /dev/shm,
//! the home). Shared memory (memfd, shared mappings) and what was swapped out are looked for where the machine holds more of them than when
//! the run began, and never count for more than that.
//!
//! A fork holds its parent's pages without a page of its own, so the quick sum can be far too high; where it reaches a limit, each
//! process's share is asked of the kernel (smaps_rollup), and what two processes have in common by one address space counts
//! once. Where the kernel does not say, the quick sum stands.
//!
//! Not counted: what the kernel holds for sockets, pipes and page tables.

use super::processes::{Processes, read};
use crate::sys::count::same_memory;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use std::collections::HashSet;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Shared memory and swap that are not looked for: other programs of the machine come and go too.
const UNSEEN: u64 = 16 << 20;
/// What the kernel holds for each file of a private place beside its content.
const INODE: u64 = 1 << 10;

/// The memory of a run.
#[derive(Debug)]
pub(crate) struct Memory {
    /// A private place; all of them are one file system.
    pool: Option<OwnedFd>,
    page: u64,
    began: Machine,
    /// The run's pid namespace, as the kernel names it.
    namespace: Option<PathBuf>,
}

/// What the machine as a whole holds.
#[derive(Clone, Copy, Debug, Default)]
struct Machine {
    shared: u64,
    swapped: u64,
}

impl Memory {
    /// Of the run whose view this is, and in which a process is that the host numbers so.
    pub(crate) fn of(root: &OwnedFd, pid: i32) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self {
            pool: rustix::fs::openat2(root, "tmp", flags, Mode::empty(), ResolveFlags::IN_ROOT).ok(),
            page: rustix::param::page_size() as u64,
            began: Machine::now(),
            namespace: fs::read_link(format!("/proc/{pid}/ns/pid")).ok(),
        }
    }

    /// The quick sum: never less than what is held, but for what the module names.
    pub(crate) fn quick(&self, processes: &Processes) -> io::Result<u64> {
        let listed = processes.list()?;
        let own: u64 = listed.iter().map(|pid| own_pages(processes.proc(), *pid)).sum();
        Ok(own * self.page + self.beside(processes.proc(), &listed))
    }

    /// The sum by each process's share. Dear: the kernel walks every page.
    pub(crate) fn exact(&self, processes: &Processes) -> io::Result<u64> {
        let listed = processes.list()?;
        let beside = self.beside(processes.proc(), &listed);
        let Some(outside) = self.outside() else { return self.quick(processes) };
        let mut counted: Vec<(i32, Vec<u8>)> = Vec::new();
        let mut sum = 0;
        for pid in outside {
            let Ok(size) = fs::read(format!("/proc/{pid}/statm")) else { continue };
            let again = counted.iter().any(|(other, known)| *known == size && same_memory(*other, pid));
            if !again {
                sum += self.share(pid);
                counted.push((pid, size));
            }
        }
        Ok(sum + beside)
    }

    /// A process's share of anonymous memory, by its number on the host.
    fn share(&self, pid: i32) -> u64 {
        let rollup = fs::read(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        if !rollup.is_empty() {
            return kib(&rollup, "Pss_Anon:");
        }
        fs::File::open("/proc").map_or(0, |proc| own_pages(&proc.into(), pid) * self.page)
    }

    /// The run's processes as the host numbers them.
    fn outside(&self) -> Option<Vec<i32>> {
        let mine = self.namespace.as_ref()?;
        let is_mine = |pid: &i32| {
            let theirs = fs::read_link(format!("/proc/{pid}/ns/pid"));
            theirs.is_ok_and(|theirs| theirs == *mine)
        };
        let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<i32>().ok();
        Some(fs::read_dir("/proc").ok()?.flatten().filter_map(number).filter(is_mine).collect())
    }

    /// What the private places hold, on the file system that they share.
    pub(crate) fn private(&self) -> u64 {
        let Some(held) = self.pool.as_ref().and_then(|pool| rustix::fs::fstatfs(pool).ok()) else { return 0 };
        let blocks = held.f_blocks.saturating_sub(held.f_bfree);
        let files = held.f_files.saturating_sub(held.f_ffree);
        blocks * u64::try_from(held.f_bsize).unwrap_or_default() + files * INODE
    }

    /// The private places, shared memory and swapped pages.
    fn beside(&self, proc: &OwnedFd, processes: &[i32]) -> u64 {
        let private = self.private();
        let now = Machine::now();
        let shared = now.shared.saturating_sub(self.began.shared).saturating_sub(private);
        let swapped = now.swapped.saturating_sub(self.began.swapped);
        if shared + swapped <= UNSEEN {
            return private;
        }
        let (mut mapped, mut out) = (0, 0);
        for pid in processes {
            let mut text = [0_u8; 4096];
            let Some(status) = read(proc, &format!("{pid}/status"), &mut text) else { continue };
            mapped += kib(status, "RssShmem:");
            out += kib(status, "VmSwap:");
        }
        let held = held_open(proc, processes, |file, link| {
            link.to_bytes().starts_with(b"/memfd:") && FileType::from_raw_mode(file.st_mode).is_file()
        });
        private + shared.min(mapped + held) + swapped.min(out)
    }

    /// Bytes on a disk of files that have no name any more and are held open.
    pub(crate) fn nameless(&self, processes: &Processes) -> u64 {
        let private =
            self.pool.as_ref().and_then(|pool| rustix::fs::fstat(pool).ok()).map(|pool| pool.st_dev);
        let nameless = |file: &Stat, link: &CStr| {
            file.st_nlink == 0
                && FileType::from_raw_mode(file.st_mode).is_file()
                && Some(file.st_dev) != private
                && !link.to_bytes().starts_with(b"/memfd:")
        };
        let listed = processes.list().unwrap_or_default();
        held_open(processes.proc(), &listed, nameless)
    }
}

impl Machine {
    fn now() -> Self {
        let text = fs::read("/proc/meminfo").unwrap_or_default();
        let swapped = kib(&text, "SwapTotal:").saturating_sub(kib(&text, "SwapFree:"));
        Self { shared: kib(&text, "Shmem:"), swapped }
    }
}

/// Pages that a process has resident for itself. One whose first thread has ended tells them through another thread.
fn own_pages(proc: &OwnedFd, pid: i32) -> u64 {
    let mut text = [0_u8; 256];
    match read(proc, &format!("{pid}/statm"), &mut text).map(pages) {
        Some(Some(pages)) => pages,
        Some(None) => {
            let mut through =
                |thread: String| read(proc, &format!("{pid}/task/{thread}/statm"), &mut text).and_then(pages);
            names(proc, &format!("{pid}/task")).into_iter().find_map(&mut through).unwrap_or_default()
        }
        None => 0,
    }
}

/// Resident pages of statm(5) that are neither a file's nor shared; nothing where there is no memory at all.
fn pages(text: &[u8]) -> Option<u64> {
    let mut fields = std::str::from_utf8(text).ok()?.split_whitespace().map(str::parse::<u64>);
    let (size, resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?, fields.next()?.ok()?);
    (size > 0).then(|| resident.saturating_sub(shared))
}

/// The names in a folder of /proc.
fn names(proc: &OwnedFd, path: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(proc, path, flags, Mode::empty());
    let listed = folder.ok().and_then(|folder| Dir::read_from(&folder).ok());
    let name = |entry: rustix::fs::DirEntry| entry.file_name().to_str().ok().map(str::to_owned);
    let listed = listed.into_iter().flatten().flatten().filter_map(name);
    listed.filter(|name| !name.starts_with('.')).collect()
}

/// Bytes of files that some thread holds open and of which `counts` says that they count; each once.
fn held_open(proc: &OwnedFd, processes: &[i32], counts: impl Fn(&Stat, &CStr) -> bool) -> u64 {
    let mut known = HashSet::new();
    let mut sum = 0;
    // A thread can have files of its own.
    let threads = processes.iter().flat_map(|pid| {
        names(proc, &format!("{pid}/task")).into_iter().map(move |thread| format!("{pid}/task/{thread}/fd"))
    });
    for list in threads {
        for name in names(proc, &list) {
            let file = format!("{list}/{name}");
            let Ok(link) = rustix::fs::readlinkat(proc, &file, Vec::new()) else { continue };
            let Ok(facts) = rustix::fs::statat(proc, &file, AtFlags::empty()) else { continue };
            if counts(&facts, &link) && known.insert((facts.st_dev, facts.st_ino)) {
                sum += u64::try_from(facts.st_blocks).unwrap_or_default() * 512;
            }
        }
    }
    sum
}

/// A line `name  N kB`, in bytes.
fn kib(text: &[u8], name: &str) -> u64 {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes()));
    let number =
        line.and_then(|line| std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_its_own_is_what_is_resident_and_not_shared() {
        assert_eq!(pages(b"1000 300 120 5 0 90 0\n"), Some(180));
        assert_eq!((pages(b"0 0 0 0 0 0 0\n"), pages(b"1000")), (None, None));
        assert_eq!(kib(b"A: 3 kB\nRssShmem:\t     12 kB\n", "RssShmem:"), 12 << 10);
    }
}
