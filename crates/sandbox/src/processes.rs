//! The processes of a run: which thread belongs to which, and how each of them ends.
//!
//! Owns: identities, remembered as long as they are true, and the end of every process that was ever seen, told once.
//! Does not own: reading /proc (`caller.rs`), what is written of it (`notary.rs`). Numbers are given out again, so whatever
//! is remembered of one is held by a pidfd, and goes when the kernel says that its process is gone.

use crate::caller::{self, Identity};
use crate::sys::process;
use ledger::ExitEntry;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

/// No machine goes through all its process numbers in this time.
const MOMENT: Duration = Duration::from_millis(500);
/// How many ends are taken up at once.
const ENDS: usize = 64;

/// Who is who, and who is gone.
#[derive(Debug)]
pub(crate) struct Identities {
    /// The first threads of processes, which have their process's number.
    processes: HashMap<i32, Process>,
    /// Other threads, remembered for a moment: nobody says when one of them ends.
    threads: HashMap<i32, Identity>,
    since: Instant,
    /// Readable when a process has ended.
    ends: OwnedFd,
    /// Ends of processes that nobody holds.
    told: Vec<ExitEntry>,
}

#[derive(Debug)]
struct Process {
    /// Who it is, as long as that is sure.
    identity: Option<Identity>,
    parent: i32,
    held: Option<OwnedFd>,
    /// What it said of its end: its status, and the time it had used.
    said: Option<(i32, u64)>,
}

impl Identities {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            processes: HashMap::new(),
            threads: HashMap::new(),
            since: Instant::now(),
            ends: epoll::create(CreateFlags::CLOEXEC)?,
            told: Vec::new(),
        })
    }

    /// Who a thread is.
    pub(crate) fn of(&mut self, thread: i32) -> Identity {
        if let Some(Process { identity: Some(known), .. }) = self.processes.get(&thread) {
            return *known;
        }
        if self.since.elapsed() > MOMENT {
            self.pass();
        }
        if let Some(known) = self.threads.get(&thread) {
            return *known;
        }
        let found = caller::identity(thread);
        if found.parent == 0 {
            // It is gone already, and what could be read of it is no identity.
            return found;
        }
        let ends = &self.ends;
        let process = self.processes.entry(found.pid).or_insert_with(|| Process::new(found, ends));
        if found.pid == thread {
            process.identity = Some(found);
        } else {
            self.threads.insert(thread, found);
        }
        found
    }

    /// Forgets what is not held.
    fn pass(&mut self) {
        self.threads.clear();
        for process in self.processes.values_mut().filter(|process| process.held.is_none()) {
            process.identity = None;
        }
        self.since = Instant::now();
    }

    /// A thread calls exec: then its process has no other, and none of the numbers it had.
    pub(crate) fn forget(&mut self, thread: i32) {
        let pid = self.of(thread).pid;
        self.threads.retain(|_, known| known.pid != pid);
        if let Some(process) = self.processes.get_mut(&pid) {
            process.identity = None;
        }
    }

    /// A process ends itself, with this status.
    pub(crate) fn ending(&mut self, thread: i32, status: i32) {
        let pid = self.of(thread).pid;
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.said = Some((status, caller::time_used(pid).unwrap_or(0)));
        if process.held.is_none() {
            // Nobody will tell of its end.
            self.end(pid);
        }
    }

    /// The ends since the last look.
    pub(crate) fn take_ends(&mut self) -> Vec<ExitEntry> {
        let mut events = Vec::with_capacity(ENDS);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        loop {
            events.clear();
            let found = epoll::wait(&self.ends, rustix::buffer::spare_capacity(&mut events), Some(&now));
            if found.unwrap_or(0) == 0 {
                break;
            }
            for event in &events {
                self.end(event.data.u64() as i32);
            }
        }
        std::mem::take(&mut self.told)
    }

    /// The ends of all that are left, when nothing runs any more.
    pub(crate) fn take_last(&mut self) -> Vec<ExitEntry> {
        let mut ends = self.take_ends();
        let mut left: Vec<i32> = self.processes.keys().copied().collect();
        left.sort_unstable();
        left.into_iter().for_each(|pid| self.end(pid));
        ends.append(&mut self.told);
        ends
    }

    fn end(&mut self, pid: i32) {
        let Some(process) = self.processes.remove(&pid) else { return };
        self.threads.retain(|_, known| known.pid != pid);
        let (status, cpu_us) = process.end(pid);
        let (code, signal) = match status {
            Some(status) if libc::WIFSIGNALED(status) => (None, Some(libc::WTERMSIG(status))),
            Some(status) => (Some(libc::WEXITSTATUS(status)), None),
            None => (None, None),
        };
        let [pid, ppid] = [pid, process.parent].map(|pid| u32::try_from(pid).unwrap_or(0));
        self.told.push(ExitEntry { pid, ppid, code, signal, cpu_us });
    }
}

impl AsFd for Identities {
    /// Readable when there are ends to be taken.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ends.as_fd()
    }
}

impl Process {
    /// Holds a process from now on. Where there are no descriptors left for that, its end is what it says itself.
    fn new(found: Identity, ends: &OwnedFd) -> Self {
        let held = Pid::from_raw(found.pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let held = held.filter(|held| {
            let flags = EventFlags::IN | EventFlags::ET;
            epoll::add(ends, held, EventData::new_u64(found.pid as u64), flags).is_ok()
        });
        Self { identity: None, parent: found.parent, held, said: None }
    }

    /// How it ended, as wait(2) tells it, and the time that it used.
    fn end(&self, pid: i32) -> (Option<i32>, u64) {
        let said = self.said.map(|(status, cpu)| ((status & 0xff) << 8, cpu));
        // Nobody may have waited for it yet; then /proc tells it all.
        let dead = if said.is_none() { caller::end_of(pid) } else { None };
        let told = self.held.as_ref().and_then(|held| process::exit_status(held.as_fd()));
        let status = told.or(dead.map(|(status, _)| status)).or(said.map(|(status, _)| status));
        (status, said.or(dead).map_or(0, |(_, cpu)| cpu))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn child(script: &str) -> Child {
        Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    fn wait_for(identities: &mut Identities) -> Vec<ExitEntry> {
        for _ in 0..500 {
            let ends = identities.take_ends();
            if !ends.is_empty() {
                return ends;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Vec::new()
    }

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    fn whoever_is_killed_is_told_with_its_signal_before_and_after_it_is_waited_for() {
        for waits in [false, true] {
            let mut identities = Identities::new().unwrap();
            let mut child = child("read -r line");
            let pid = child.id();
            assert_eq!(identities.of(pid as i32).pid, pid as i32);
            child.kill().unwrap();
            if waits {
                child.wait().unwrap();
            }
            let ends = wait_for(&mut identities);
            assert_eq!(ends.len(), 1, "{ends:?}");
            assert_eq!((ends[0].pid, ends[0].ppid, ends[0].code), (pid, std::process::id(), None));
            // Once it was waited for, kernels before 6.15 tell nothing.
            assert!(ends[0].signal == Some(9) || (waits && ends[0].signal.is_none()), "{ends:?}");
            assert_eq!(identities.take_last(), []);
            child.wait().unwrap();
        }
    }

    #[test]
    fn an_end_that_was_announced_is_told_when_it_comes() {
        let mut identities = Identities::new().unwrap();
        let mut child = child("read -r line; exit 5");
        let pid = child.id() as i32;
        identities.ending(pid, 5);
        assert_eq!(identities.take_ends(), []);
        drop(child.stdin.take());
        let ends = wait_for(&mut identities);
        assert_eq!((ends.len(), ends[0].code, ends[0].signal), (1, Some(5), None), "{ends:?}");
        child.wait().unwrap();
    }

    #[test]
    fn a_number_that_is_given_again_is_another_process() {
        let mut identities = Identities::new().unwrap();
        let before = open_descriptors();
        for _ in 0..50 {
            let mut child = child("exit 0");
            identities.of(child.id() as i32);
            child.wait().unwrap();
        }
        let mut ends = wait_for(&mut identities);
        ends.extend(identities.take_last());
        assert_eq!(ends.len(), 50);
        assert_eq!(open_descriptors(), before, "what holds a process goes with it");
    }
}
