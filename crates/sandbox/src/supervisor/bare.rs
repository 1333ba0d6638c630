//! What is judged where no view of its own stands between a run and the machine: then every name is the machine's, and
//! nothing but this keeps an open from it (and Landlock, beneath).
//!
//! Owns: which folder stands for which name, and what of the machine may be opened at all. Does not own: sockets
//! (`sockets`), what becomes of a file beside its content (`touch`), the rules (`policy`), the opening (`open.rs`).

mod sockets;
mod touch;

use super::weigh::Weighed;
use super::{Supervisor, built_in};
use crate::caller;
use crate::deed::Demand;
use crate::plan;
use crate::sys::notify::{self, Notification};
use ledger::Access;
use policy::{AbsPath, Decision, Reason};
use rustix::fd::AsFd as _;
use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Told of each connection to a door before it is made: from where it comes. Others of the machine can reach the doors too.
pub trait Guests: std::fmt::Debug + Send + Sync {
    /// A connection from there is the run's.
    fn expect(&self, from: SocketAddr);

    /// It did not come about.
    fn forget(&self, from: SocketAddr);
}

/// What a run without namespaces is held by.
#[derive(Debug)]
pub(crate) struct Bare {
    names: Names,
    readable: Vec<PathBuf>,
    linked: Vec<PathBuf>,
    /// Whose descendants are the run.
    keeper: i32,
    /// Ports by which the run knows its doors, and where they are.
    doors: Vec<(u16, SocketAddr)>,
    /// Whether the run is over, so that it makes no more processes.
    over: Arc<AtomicBool>,
}

/// Which folder stands for which name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<(PathBuf, PathBuf, bool)>);

impl Names {
    /// The name of a real path, and whether it is private to the run; `None` for what is the machine's.
    fn of(&self, real: &Path) -> Option<(PathBuf, bool)> {
        self.0.iter().find_map(|(place, name, own)| {
            let rest = real.strip_prefix(place).ok()?;
            let name = if rest.as_os_str().is_empty() { name.clone() } else { name.join(rest) };
            Some((name, *own))
        })
    }

    /// Where what policy and ledger speak of by this name lies, if that is a folder of the run's own.
    fn real(&self, name: &Path) -> Option<PathBuf> {
        self.0.iter().find_map(|(place, known, _)| name.strip_prefix(known).ok().map(|rest| place.join(rest)))
    }

    /// The name by which policy and ledger speak of a real path.
    pub(crate) fn spoken<'p>(&self, real: impl Into<Cow<'p, Path>>) -> Cow<'p, Path> {
        let real = real.into();
        self.of(&real).map_or(real, |(name, _)| name.into())
    }
}

/// What the kernel tells anybody, by its name beneath /proc.
const TOLD: [&str; 10] = [
    "cpuinfo",
    "meminfo",
    "stat",
    "uptime",
    "loadavg",
    "version",
    "filesystems",
    "devices",
    "cmdline",
    "swaps",
];
/// Devices that hold nothing of anybody's.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx", "/dev/pts/ptmx"];
/// How many parents are followed; a run that nests deeper is not told of its own processes.
const DEEPEST: usize = 256;

impl Bare {
    pub(crate) fn new(plan: &plan::Bare, keeper: i32, doors: Vec<(u16, SocketAddr)>) -> Self {
        let paths = |list: &[plan::Bytes]| list.iter().map(|tree| tree.path().to_owned()).collect::<Vec<_>>();
        // Links of the machine are followed before anything is judged.
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let names = plan
            .places
            .iter()
            .map(|place| (real(place.real.path()), place.spoken.path().to_owned(), place.own));
        Self {
            names: Names(names.collect()),
            readable: paths(&plan.readable).iter().map(|tree| real(tree)).collect(),
            linked: paths(&plan.linked).iter().map(|tree| real(tree)).collect(),
            keeper,
            doors,
            over: Arc::default(),
        }
    }

    pub(crate) fn over(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.over)
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// What lies there that a command is known by.
    pub(super) fn meant(&self, name: &Path) -> PathBuf {
        if self.readable.iter().any(|tree| name.starts_with(tree)) {
            return name.to_owned();
        }
        self.names.real(name).unwrap_or_else(|| name.to_owned())
    }

    /// Whether something of /dev or /proc may be opened by this caller.
    fn is_of_the_kernel(&self, path: &Path, access: Access, caller: i32) -> bool {
        let Ok(rest) = path.strip_prefix("/proc") else {
            let is_its_terminal = || caller::terminal(caller).is_ok_and(|terminal| terminal == path);
            return DEVICES.iter().any(|device| path == Path::new(device)) || is_its_terminal();
        };
        let mut parts = rest.components().filter_map(|part| part.as_os_str().to_str());
        let (Some(first), more) = (parts.next(), parts.next().is_some()) else { return false };
        let is_told = first == "sys" || (!more && TOLD.contains(&first));
        access == Access::Read && (is_told || first.parse().is_ok_and(|process| self.is_of_the_run(process)))
    }

    /// Whether a process descends from the keeper.
    fn is_of_the_run(&self, mut process: i32) -> bool {
        for _ in 0..DEEPEST {
            match caller::parent(process) {
                Some(parent) if parent == self.keeper => return true,
                Some(parent) if parent > 1 => process = parent,
                _ => return false,
            }
        }
        false
    }
}

impl Supervisor {
    /// What the rules come to where no view keeps anything away: whatever no rule opens is closed.
    pub(super) fn weigh_bare(&self, bare: &Bare, caller: i32, demand: &Demand<'_>) -> Weighed {
        let (path, access) = (demand.path, demand.access);
        let (name, own) = match bare.names.of(path) {
            Some((name, own)) => (name, Some(own)),
            None if path.starts_with("/dev") || path.starts_with("/proc") => {
                let why = "without a view of its own, this is the machine's";
                return if bare.is_of_the_kernel(path, access, caller) { Weighed::Clear } else { no(why) };
            }
            None => (path.to_owned(), None),
        };
        let Ok(name) = AbsPath::new(&name) else {
            return no("a path that cannot be spelled cannot be judged");
        };
        let lies_in = |trees: &[PathBuf]| trees.iter().any(|tree| path.starts_with(tree));
        let is_shown = |access| access == Access::Read && lies_in(&bare.readable);
        match self.decide(name.clone(), access) {
            Decision::Allow { .. } if own.is_none() && access == Access::Write => {
                no("nothing but the run's own folders is written")
            }
            Decision::Allow { .. } if own.is_some() || lies_in(&bare.readable) => Weighed::Clear,
            Decision::Allow { .. } => no("the run works on a copy; what lies here is not shown"),
            Decision::Deny { reasons } => {
                let by_rule = super::weigh::is_explicit(&reasons);
                let linked = own.is_none() && access == Access::Read && lies_in(&bare.linked);
                let open = own == Some(true) || linked;
                if by_rule || !open { Weighed::Refused(reasons) } else { Weighed::Clear }
            }
            Decision::Ask { .. } if own == Some(true) => Weighed::Clear,
            Decision::Ask { .. }
                if demand.asks && self.admission.is_attended() && (own.is_some() || is_shown(access)) =>
            {
                Weighed::Asks(name)
            }
            Decision::Ask { reasons, .. } => Weighed::Refused(reasons),
        }
    }

    /// Reasons against changing what lies at a real path; what would have to be asked about does not happen.
    fn against(&self, call: &Notification, path: &Path) -> Option<Vec<Reason>> {
        let demand = Demand { asks: false, ..Demand::of(path, Access::Write) };
        match self.weigh(call.pid, &demand) {
            Weighed::Clear => None,
            Weighed::Refused(reasons) => Some(reasons),
            Weighed::Asks(_) => Some(vec![built_in("nobody is asked about this")]),
        }
    }

    /// The name by which policy and ledger speak of a path.
    pub(super) fn spoken<'a>(&self, path: &'a Path) -> Cow<'a, Path> {
        self.bare.as_ref().map_or_else(|| path.into(), |bare| bare.names.spoken(path))
    }

    /// A new process, as long as the run goes on.
    pub(super) fn fork(&self, call: &Notification) {
        let is_over = self.bare.as_ref().is_some_and(|bare| bare.over.load(Ordering::SeqCst));
        if is_over {
            self.fail(call, libc::EAGAIN);
        } else {
            // A caller that was killed meanwhile needs no answer.
            let _ = notify::let_go(self.listener.as_fd(), call.id);
        }
    }
}

fn no(why: &str) -> Weighed {
    Weighed::Refused(vec![built_in(why)])
}
