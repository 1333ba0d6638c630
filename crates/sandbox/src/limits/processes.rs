//! What the processes of a run use, read through the cell's own /proc: nothing but the run is listed there, whatever its
//! processes call themselves and whoever their parents are.
//!
//! Owns: processes and threads, processor time. Does not own: memory (`memory`), what is too much.
//!
//! Processor time: each process's own, and that of the children it waited for. A parent that does not wait for its children has
//! theirs lost by the kernel: what such a child had used when it was last seen is kept here, what it used after is not known,
//! unless the kernel counts for the whole run (`sys::count`).

use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{Dir, Mode, OFlags, ResolveFlags};
use std::collections::HashMap;
use std::io;

/// What is used at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Processes and threads.
    pub(crate) tasks: u64,
    /// Milliseconds of processor time.
    pub(crate) cpu_ms: u64,
}

/// The processes of a cell.
#[derive(Debug)]
pub(crate) struct Processes {
    proc: OwnedFd,
    tick_ms: u64,
    /// Processor time by process and the moment it began, in ticks: its own with its children's.
    seen: HashMap<(i32, u64), Used>,
    /// Ticks of processes that are gone and that nobody waited for.
    lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    whole: u64,
    children: u64,
}

impl Processes {
    /// Of the cell whose view this is.
    pub(crate) fn of(root: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let proc = rustix::fs::openat2(root, "proc", flags, Mode::empty(), resolve)?;
        let tick_ms = 1_000 / rustix::param::clock_ticks_per_second().max(1);
        Ok(Self { proc, tick_ms, seen: HashMap::new(), lost: 0 })
    }

    /// Looks once.
    pub(crate) fn look(&mut self) -> io::Result<Sample> {
        let mut sample = Sample::default();
        let mut text = [0_u8; 1024];
        let mut now = HashMap::new();
        for pid in self.list()? {
            if let Some(stat) = read(&self.proc, &format!("{pid}/stat"), &mut text).and_then(Stat::read) {
                sample.tasks += stat.threads;
                now.insert((pid, stat.began), stat.used);
            }
        }
        let whole: u64 = now.values().map(|used| used.whole).sum();
        self.lost += lost(&self.seen, &now);
        self.seen = now;
        sample.cpu_ms = (whole + self.lost) * self.tick_ms;
        Ok(sample)
    }

    /// The cell's /proc.
    pub(crate) fn proc(&self) -> &OwnedFd {
        &self.proc
    }

    /// Its processes, as the inside numbers them.
    pub(crate) fn list(&self) -> io::Result<Vec<i32>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.proc)? {
            let entry = entry?;
            found.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok()));
        }
        Ok(found)
    }
}

/// Reads a small file of /proc. A process that ended meanwhile has none.
pub(crate) fn read<'b>(proc: &OwnedFd, path: &str, to: &'b mut [u8]) -> Option<&'b [u8]> {
    let file =
        rustix::fs::openat(proc.as_fd(), path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *to).ok()?;
    to.get(..length)
}

struct Stat {
    used: Used,
    threads: u64,
    began: u64,
}

impl Stat {
    /// From the line of stat(5). The name of a program may hold anything, so fields count from its last bracket.
    fn read(text: &[u8]) -> Option<Self> {
        let end = text.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of these is field 3, the state.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let children = field(16)? + field(17)?;
        let used = Used { whole: field(14)? + field(15)? + children, children };
        Some(Self { used, threads: field(20)?, began: field(22)? })
    }
}

/// Ticks of processes that are gone, less what turned up with those that waited for them.
fn lost(before: &HashMap<(i32, u64), Used>, now: &HashMap<(i32, u64), Used>) -> u64 {
    let gone: u64 = before.iter().filter(|(one, _)| !now.contains_key(one)).map(|(_, used)| used.whole).sum();
    let known = |one: &(i32, u64)| before.get(one).map_or(0, |used| used.children);
    let inherited: u64 = now.iter().map(|(one, used)| used.children.saturating_sub(known(one))).sum();
    gone.saturating_sub(inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_stat_is_read_whatever_the_program_calls_itself() {
        let line = "7 (a) 9 9 (b) 9) S 1 7 7 0 -1 4194560 10 0 0 0 100 20 30 4 20 0 5 0 777 1 2 3 4";
        let stat = Stat::read(line.as_bytes()).unwrap();
        assert_eq!((stat.used.whole, stat.used.children, stat.threads, stat.began), (154, 34, 5, 777));
        assert!(Stat::read(b"7 (a").is_none() && Stat::read(b"").is_none());
    }

    #[test]
    fn what_nobody_waited_for_is_kept_and_nothing_is_counted_twice() {
        let used = |whole, children| Used { whole, children };
        let before = HashMap::from([((1, 0), used(10, 0)), ((2, 0), used(50, 0)), ((3, 0), used(7, 0))]);
        // 2 was waited for by 1, 3 by nobody.
        let now = HashMap::from([((1, 0), used(62, 52))]);
        assert_eq!(lost(&before, &now), 5, "what turned up beside can have been the other's");
        let unwaited = HashMap::from([((1, 0), used(12, 0))]);
        assert_eq!(lost(&before, &unwaited), 57);
        // Another process with the number of one that is gone is another.
        let again = HashMap::from([((1, 0), used(10, 0)), ((2, 9), used(1, 0)), ((3, 0), used(7, 0))]);
        assert_eq!(lost(&before, &again), 50);
    }
}
