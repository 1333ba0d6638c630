//! How much of the machine a run may use: what the kernel holds by itself, and what is watched.
//!
//! Owns: which limit is held by what, what is set inside before the agent's first instruction, and what a limit that was
//! reached is called. `watch` owns looking and ending the run; `processes`, `memory` and `disk` what
//! is counted and how. Does not own: which
//! limits there are (`policy::Limits`).
//!
//! Kernel: processes (the cell's own `pid_max` from Linux 6.14 on, and RLIMIT_NPROC for everybody but root), open files
//! (RLIMIT_NOFILE), the size of one file (RLIMIT_FSIZE), what one process maps (RLIMIT_DATA), what the private places hold (the
//! size of their file system). Watched from outside, through the cell's own /proc: everything that is a sum.

pub(crate) mod disk;
pub(crate) mod memory;
pub(crate) mod processes;
pub(crate) mod watch;

use policy::{Bound, Limit, Limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Most processes and threads of a run where nothing says less or more.
const PROCESSES: u64 = 8192;
/// The least `pid_max` that the kernel takes.
const LEAST_PID_MAX: u64 = 301;
/// How the kernel's own killer sees what is inside: before all else.
const FIRST_TO_GO: &[u8] = b"1000";
/// What is built in, as it is named beside layers.
pub const BUILT_IN: &str = "built-in";

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub limit: Limit,
    /// The most that was allowed, in the limit's own unit.
    pub most: u64,
    /// How much was used when it was seen.
    pub used: u64,
}

impl Reached {
    /// What is said of it: what came of it, and what sets the limit.
    pub(crate) fn tell(&self, came_of_it: &str, by: &str) -> String {
        let Self { limit, most, used } = *self;
        let sets = match by {
            BUILT_IN => "it is built in, and `[limits]` in a policy says another".to_owned(),
            flag if flag.starts_with("--") => format!("`{flag}` sets it"),
            layer => format!("`[limits] {limit}` in `{layer}` sets it"),
        };
        format!("{limit}: {} of {}: {came_of_it}; {sets}", limit.show(used), limit.show(most))
    }
}

/// What a run has where nobody says anything.
pub(crate) fn with_built_in(asked: &Limits) -> Limits {
    let mut limits = asked.clone();
    if limits.get(Limit::Processes).is_none() {
        limits.narrow(Limit::Processes, PROCESSES, BUILT_IN);
    }
    limits
}

/// What is left of it where a run has no namespaces: time, and what the kernel holds for a process. Whose the rest is cannot be
/// told there.
pub(crate) fn without_view(asked: &Limits) -> Limits {
    let mut limits = Limits::default();
    for (limit, bound) in asked.iter().filter(|(limit, _)| matches!(limit, Limit::Time | Limit::Files)) {
        limits.narrow(limit, bound.most, &bound.by);
    }
    limits
}

/// Settings of the cell's own namespaces, open for writing before the view is frozen.
#[derive(Debug)]
pub(crate) struct Knobs {
    pids: Option<File>,
    shared: Option<File>,
}

impl Knobs {
    /// Opens them beneath a /proc of the cell's. One that cannot be opened is not there.
    pub(crate) fn open(proc: &Path) -> Self {
        let open = |name: &str| File::options().write(true).open(proc.join("sys/kernel").join(name)).ok();
        // ORDER: before 6.14 there is one `pid_max` for the machine, and where root starts a run it could be written here.
        Self { pids: own_pid_max().then(|| open("pid_max")).flatten(), shared: open("shmall") }
    }

    /// Sets them. What the kernel refuses is not said to hold.
    pub(crate) fn set(mut self, limits: &Limits) {
        let write = |file: &mut Option<File>, number: u64| {
            file.as_mut().map(|file| file.write_all(number.to_string().as_bytes()))
        };
        if let Some(most) = limits.most(Limit::Processes) {
            write(&mut self.pids, pid_max(most));
        }
        if let Some(most) = limits.most(Limit::Memory) {
            // Shared memory of the old kind is seen only while a process is attached to it.
            let pages = most / 8 / rustix::param::page_size() as u64;
            write(&mut self.shared, pages.max(1));
        }
    }
}

/// The number that lets so many processes be.
fn pid_max(most: u64) -> u64 {
    most.saturating_add(1).clamp(LEAST_PID_MAX, 4 << 20)
}

/// Whether each pid namespace has a `pid_max` of its own.
fn own_pid_max() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers =
        release.split(|one: char| !one.is_ascii_digit()).map_while(|text| text.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (6, 14)
}

/// The most that the private places may hold between them: half of the machine's memory, or less.
pub(crate) fn pool_size(limits: &Limits) -> String {
    let least = [Limit::Memory, Limit::Disk].into_iter().filter_map(|limit| limits.most(limit)).min();
    let half = half_of_memory();
    least.filter(|least| *least < half).map_or_else(|| "50%".to_owned(), |least| least.to_string())
}

fn half_of_memory() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    kib.map_or(u64::MAX, |kib: u64| kib * 512)
}

/// Sets what holds for each process by itself. Called by the agent's process before it is confined.
pub(crate) fn set_on_process(limits: &Limits) -> io::Result<()> {
    let at_most = |resource: Resource, most: u64| {
        let now = getrlimit(resource);
        let least = |known: Option<u64>| Some(known.map_or(most, |known| known.min(most)));
        setrlimit(resource, Rlimit { current: least(now.current), maximum: least(now.maximum) })
    };
    if let Some(most) = limits.most(Limit::Processes) {
        at_most(Resource::Nproc, most)?;
    }
    if let Some(most) = limits.most(Limit::Files) {
        at_most(Resource::Nofile, most)?;
    }
    if let Some(bound) = limits.get(Limit::Disk) {
        at_most(Resource::Fsize, guard(bound))?;
    }
    if let Some(bound) = limits.get(Limit::Memory).filter(|bound| bound.by != BUILT_IN) {
        at_most(Resource::Data, guard(bound))?;
    }
    Ok(())
}

/// Has the kernel's own killer take what is inside before all else, where the machine runs out of memory. To be called by PID 1
/// while its own files in /proc are open to it; Landlock keeps the inside from taking it back.
pub(crate) fn go_first() {
    // Where this is refused, the kernel chooses as it would anyway.
    let _ = fs::write("/proc/self/oom_score_adj", FIRST_TO_GO);
}

/// What one process may map for itself, and one file may hold: beyond what all may hold, so that the limit is met by a sum that was seen, and little
/// enough that nothing can outrun whoever looks.
fn guard(bound: &Bound) -> u64 {
    bound.most.saturating_add(bound.most / 4).saturating_add(64 << 20)
}

/// What the inside can tell of what holds: read back from the kernel, not from what was set.
pub(crate) fn read_back(limits: &Limits) -> BTreeMap<Limit, String> {
    let mut held = BTreeMap::new();
    let is = |resource: Resource, most: u64| getrlimit(resource).maximum.is_some_and(|now| now <= most);
    if let Some(most) = limits.most(Limit::Processes) {
        let own =
            own_pid_max() && read_number("/proc/sys/kernel/pid_max").is_some_and(|now| now <= pid_max(most));
        let counted = is(Resource::Nproc, most) && !rustix::process::geteuid().is_root();
        let by = match (own && most + 1 >= LEAST_PID_MAX, counted) {
            (true, true) => "the kernel (pid_max of the run, RLIMIT_NPROC)",
            (true, false) => "the kernel (pid_max of the run)",
            (false, true) => "the kernel (RLIMIT_NPROC)",
            (false, false) => WATCHED_PROCESSES,
        };
        held.insert(Limit::Processes, by.to_owned());
    }
    if limits.most(Limit::Files).is_some_and(|most| is(Resource::Nofile, most)) {
        held.insert(Limit::Files, "the kernel (RLIMIT_NOFILE)".to_owned());
    }
    held
}

/// Who holds the number of processes where the kernel does not.
const WATCHED_PROCESSES: &str = "a watcher, who ends the run";

/// Whether the kernel alone holds the number of processes.
pub(crate) fn kernel_holds_processes(held: &BTreeMap<Limit, String>) -> bool {
    held.get(&Limit::Processes).is_some_and(|by| by != WATCHED_PROCESSES)
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What the outside holds, where it can look into the cell's processes.
pub(crate) fn watched(limits: &Limits, counted: bool) -> BTreeMap<Limit, String> {
    let by = |limit: Limit| match limit {
        Limit::Time => Some("a clock"),
        Limit::Cpu if counted => Some("the kernel's count (perf), looked at by a watcher"),
        Limit::Cpu => Some("a watcher, who adds up what processes used"),
        Limit::Memory => Some("a watcher, and for one process the kernel (RLIMIT_DATA)"),
        Limit::Disk => Some("a watcher, and for one file the kernel (RLIMIT_FSIZE)"),
        Limit::Processes | Limit::Files | Limit::Tokens | Limit::Cost => None,
    };
    limits.iter().filter_map(|(limit, _)| Some((limit, by(limit)?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_says_how_much_and_what_sets_it() {
        let reached = Reached { limit: Limit::Memory, most: 4 << 30, used: (4 << 30) + (300 << 20) };
        assert_eq!(
            reached.tell("the run was ended", "/home/ann/.config/provost/policy.toml"),
            "memory: 4.2 GiB of 4 GiB: the run was ended; `[limits] memory` in `/home/ann/.config/provost/policy.toml` sets it"
        );
        assert!(reached.tell("x", "--limit").ends_with("; `--limit` sets it"));
        assert!(reached.tell("x", BUILT_IN).contains("built in"));
    }

    #[test]
    fn there_is_always_an_end_to_processes() {
        assert_eq!(with_built_in(&Limits::default()).most(Limit::Processes), Some(PROCESSES));
        let mut more = Limits::default();
        more.narrow(Limit::Processes, 20_000, "policy.toml");
        assert_eq!(with_built_in(&more).most(Limit::Processes), Some(20_000));
        assert_eq!((pid_max(5), pid_max(512), pid_max(u64::MAX)), (301, 513, 4 << 20));
    }

    #[test]
    fn private_places_hold_no_more_than_the_least_limit() {
        let mut limits = Limits::default();
        assert_eq!(pool_size(&limits), "50%");
        limits.narrow(Limit::Disk, 1 << 20, "x");
        assert_eq!(pool_size(&limits), "1048576");
        limits.narrow(Limit::Memory, 4096, "x");
        assert_eq!(pool_size(&limits), "4096");
    }
}
