//! Who looks how much a run uses, and ends it where that is too much.
//!
//! Owns: the thread, how often it looks, the warning before time is up, the event, the end. Does not own: how anything is counted.
//!
//! It looks the more often the nearer a limit is, and never so often that looking is itself what the machine does. The event is
//! accepted by the ledger before anything is ended. Ending PID 1 ends every process of the run: the kernel does it, and none of them
//! is asked.

use super::disk::Disk;
use super::memory::Memory;
use super::processes::Processes;
use super::{Reached, kernel_holds_processes};
use crate::bell::{Alarm, Bell};
use admission::Admission;
use ledger::{LimitReached, Trust};
use policy::{Limit, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// As often as it ever looks.
const SOONEST: Duration = Duration::from_millis(10);
/// As seldom.
const LATEST: Duration = Duration::from_secs(1);
/// How often it looks for what the kernel holds by itself.
const GLANCE: Duration = Duration::from_millis(250);
/// How fast memory can be taken, in bytes a second.
const MEMORY_RATE: u64 = 8 << 30;
/// How fast a disk can be filled.
const DISK_RATE: u64 = 2 << 30;
/// How many processes can be started in a second.
const PROCESS_RATE: u64 = 20_000;
/// How long before the end of its time an agent is told, at most; a tenth of the time, where that is less.
const WARNING: u64 = 5_000;

/// What is watched, and what it is ended by.
pub(crate) struct Watched {
    pub(crate) limits: Limits,
    /// What holds each limit.
    pub(crate) held: BTreeMap<Limit, String>,
    /// The root of the view.
    pub(crate) root: OwnedFd,
    /// A process of the run, as the host numbers it.
    pub(crate) pid: i32,
    /// PID 1 of the cell.
    pub(crate) cell: OwnedFd,
    /// The agent's first process.
    pub(crate) agent: Option<OwnedFd>,
    /// What the kernel counts of processor time, if it does.
    pub(crate) counter: Option<OwnedFd>,
    /// Places on the disk.
    pub(crate) disk: Option<Disk>,
    pub(crate) admission: Admission,
}

/// The watcher at work.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: Arc<Bell>,
    stopped: Arc<AtomicBool>,
    by_itself: Arc<AtomicBool>,
    thread: JoinHandle<Option<Reached>>,
}

impl Watcher {
    /// Starts to watch. Where it ends before it is told to, `alarm` rings.
    pub(crate) fn start(watched: Watched, alarm: Alarm) -> io::Result<Self> {
        let stop = Bell::new()?;
        let (stopped, by_itself) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut eye = Eye {
            processes: Processes::of(&watched.root)?,
            memory: Memory::of(&watched.root, watched.pid),
            watched,
            began: Instant::now(),
            warned: None,
            full: false,
            stopped: Arc::clone(&stopped),
            by_itself: Arc::clone(&by_itself),
        };
        let bell = Arc::clone(&stop);
        let watch = move || {
            let reached = eye.watch(&bell).ok()?;
            alarm.all_is_well();
            reached
        };
        let thread = std::thread::Builder::new().name("limits".into()).spawn(watch)?;
        Ok(Self { stop, stopped, by_itself, thread })
    }

    /// Ends the watch; gives the limit that ended the run, or that the agent had been told of when it ended `by_itself`.
    pub(crate) fn finish(self, by_itself: bool) -> Option<Reached> {
        self.by_itself.store(by_itself, Ordering::Relaxed);
        self.stopped.store(true, Ordering::Relaxed);
        self.stop.ring();
        self.thread.join().unwrap_or_default()
    }
}

struct Eye {
    watched: Watched,
    processes: Processes,
    memory: Memory,
    began: Instant,
    /// The agent was told that it comes to an end.
    warned: Option<Reached>,
    /// It was said that there is no room for more processes.
    full: bool,
    stopped: Arc<AtomicBool>,
    /// The agent ended, and nobody ended it.
    by_itself: Arc<AtomicBool>,
}

/// What a look comes to.
struct Look {
    reached: Option<Reached>,
    /// When to look again, at the latest.
    next: Duration,
}

impl Eye {
    /// Until the end. One who cannot look does not watch, and the run ends.
    fn watch(&mut self, stop: &Bell) -> io::Result<Option<Reached>> {
        loop {
            let began = Instant::now();
            let look = self.look()?;
            if let Some(reached) = look.reached {
                self.end(reached);
                return Ok(Some(reached));
            }
            // Looking is not to be what the machine does: near a limit a fifth of a processor, else a hundredth.
            let cost = began.elapsed();
            let rest = if look.next <= SOONEST * 4 { cost * 4 } else { cost * 100 };
            let next = look.next.max(rest.min(LATEST));
            let next = self.time_left().map_or(next, |left| next.min(left));
            let next = Timespec::try_from(next).ok();
            match poll(&mut [PollFd::new(stop, PollFlags::IN)], next.as_ref()) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => {
                    let warned = self.warned.filter(|_| self.by_itself.load(Ordering::Relaxed));
                    let came_of_it = "the run was told to end, and ended";
                    return Ok(warned.filter(|warned| self.tell(*warned, "ended", came_of_it).is_ok()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The time to the next thing that a clock decides.
    fn time_left(&self) -> Option<Duration> {
        let most = Duration::from_millis(self.watched.limits.most(Limit::Time)?);
        let warning =
            if self.warned.is_some() { Duration::ZERO } else { Duration::from_millis(warning(ms(most))) };
        Some(most.saturating_sub(warning).saturating_sub(self.began.elapsed()))
    }

    fn look(&mut self) -> io::Result<Look> {
        let mut look = Look { reached: None, next: LATEST };
        self.look_at_time(&mut look);
        self.look_at_processes(&mut look)?;
        self.look_at_memory(&mut look)?;
        self.look_at_disk(&mut look);
        Ok(look)
    }

    fn look_at_time(&mut self, look: &mut Look) {
        let Some(most) = self.watched.limits.most(Limit::Time) else { return };
        let used = ms(self.began.elapsed());
        self.spend(Limit::Time, most, used, look);
    }

    /// What is spent and never given back: told before the end, then ended.
    fn spend(&mut self, limit: Limit, most: u64, used: u64, look: &mut Look) {
        let reached = Reached { limit, most, used };
        if used >= most {
            look.reached = look.reached.or(Some(reached));
        } else if used >= most - warning(most) && self.warned.is_none() {
            self.warned = Some(reached);
            let agent = self.watched.agent.as_ref();
            // One that has ended needs no word.
            agent.map(|agent| rustix::process::pidfd_send_signal(agent, Signal::TERM));
        }
    }

    fn look_at_processes(&mut self, look: &mut Look) -> io::Result<()> {
        let is_asked = |limit: Limit| self.watched.limits.most(limit).is_some();
        if !is_asked(Limit::Processes) && !is_asked(Limit::Cpu) {
            return Ok(());
        }
        let sample = self.processes.look()?;
        self.judge_tasks(sample.tasks, look);
        if let Some(most) = self.watched.limits.most(Limit::Cpu) {
            let counted = self.watched.counter.as_ref().and_then(counted_ms).unwrap_or_default();
            let used = counted.max(sample.cpu_ms);
            self.spend(Limit::Cpu, most, used, look);
            let end = if self.warned.is_some() { most } else { most - warning(most) };
            look.nearer(end.saturating_sub(used), 1_000 * processors());
        }
        Ok(())
    }

    /// So many processes and threads: what the kernel holds is said once; where it does not, the run ends.
    fn judge_tasks(&mut self, used: u64, look: &mut Look) {
        let Some(most) = self.watched.limits.most(Limit::Processes) else { return };
        let kernel = kernel_holds_processes(&self.watched.held);
        let (reached, left) = (Reached { limit: Limit::Processes, most, used }, most.saturating_sub(used));
        look.next = look.next.min(GLANCE);
        if !kernel || used > most / 2 {
            look.nearer(left, PROCESS_RATE);
        }
        if !kernel && used > most {
            look.reached = look.reached.or(Some(reached));
        } else if kernel && left <= (most / 16).max(1) && !self.full {
            self.full = true;
            // It stays true whether or not it can be written down: the next event will say that it cannot.
            let _ = self.tell(reached, "refused", "more than that are refused");
        }
    }

    fn look_at_memory(&mut self, look: &mut Look) -> io::Result<()> {
        let Some(most) = self.watched.limits.most(Limit::Memory) else { return Ok(()) };
        let mut used = self.memory.quick(&self.processes)?;
        if used >= most {
            let began = Instant::now();
            used = self.memory.exact(&self.processes).unwrap_or(used);
            if used < most {
                // What was dear to know is not asked again at once.
                look.next = look.next.min(LATEST).max((began.elapsed() * 20).min(LATEST));
            }
        }
        if used >= most {
            look.reached = look.reached.or(Some(Reached { limit: Limit::Memory, most, used }));
        }
        look.nearer(most.saturating_sub(used), MEMORY_RATE);
        Ok(())
    }

    fn look_at_disk(&mut self, look: &mut Look) {
        let (Some(most), Some(disk)) = (self.watched.limits.most(Limit::Disk), &mut self.watched.disk) else {
            return;
        };
        let used = disk.look(most, (&self.processes, &self.memory), &self.stopped);
        if used >= most {
            look.reached = look.reached.or(Some(Reached { limit: Limit::Disk, most, used }));
        }
        look.nearer(most.saturating_sub(used), DISK_RATE);
    }

    /// Says it, then ends everything.
    fn end(&self, reached: Reached) {
        // A ledger that takes no more has ended the run already.
        let _ = self.tell(reached, "ended", "the run was ended");
        let _ = rustix::process::pidfd_send_signal(&self.watched.cell, Signal::KILL);
    }

    fn tell(&self, reached: Reached, done: &str, came_of_it: &str) -> Result<u64, admission::LedgerClosed> {
        let by = self.watched.limits.get(reached.limit).map_or("", |bound| &bound.by);
        let event = LimitReached {
            what: reached.tell(came_of_it, by),
            limit: Some(reached.limit.word().to_owned()),
            allowed: Some(reached.most),
            used: Some(reached.used),
            done: Some(done.to_owned()),
            set_by: Some(by.to_owned()),
        };
        self.watched.admission.note(event.into(), Trust::Observed, None)
    }
}

impl Look {
    /// Looks again before so much more can have been taken.
    fn nearer(&mut self, left: u64, rate: u64) {
        let soon = Duration::from_millis(left.saturating_mul(1_000) / rate.max(1)).max(SOONEST);
        self.next = self.next.min(soon);
    }
}

/// How much before the end an agent is told.
fn warning(most: u64) -> u64 {
    (most / 10).min(WARNING)
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What the kernel counted, in milliseconds.
fn counted_ms(counter: &OwnedFd) -> Option<u64> {
    let mut number = [0_u8; 8];
    let read = rustix::io::read(counter, &mut number).ok()?;
    (read == 8).then(|| u64::from_ne_bytes(number) / 1_000_000)
}

fn processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u64)
}
