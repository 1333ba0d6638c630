//! The supervisor: one thread that answers every held call of a run.
//!
//! Owns: which call is what, the answer, what a denied process is told, handing what was seen to the notary. Does not
//! own: judgement (`policy`, asked through admission), reading the caller (`caller.rs`), opening on its behalf
//! (`open.rs`), writing evidence (`notary.rs`). Nothing here blocks on anything but the kernel and the recorder. When
//! it ends before the agent does, every call that would be held fails, and the run ends.

pub(crate) mod bare;
mod carry;
mod connecting;
mod exec;
mod files;
mod guise;
mod held;
mod seen;
mod sockets;
mod weigh;

use crate::bell::{Alarm, Bell};
use crate::caller::Bases;
use crate::carriage::{Carriage, Places};
use crate::notary::Notary;
use crate::overlay::Pulse;
use crate::plan::Whose;
use crate::processes::Identities;
use crate::programs::Programs;
use crate::sight::Sight;
use crate::sys::namespace;
use crate::sys::notify::{self, Notification};
use crate::tracer::Tracer;
use crate::view::View;
use crate::voice::Voice;
use admission::Admission;
use ledger::{Access, Evidence, ExitEntry};
use policy::{AbsPath, Action, Decision, Reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, OwnedFd};
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use carry::Carrier;

/// How long a folder that was looked up is taken for what it was: names that change inside are seen, but what changes
/// outside is not.
const SEEN_FOR: Duration = Duration::from_millis(50);

/// What the supervisor must know of the run.
#[derive(Debug)]
pub struct Watch {
    /// Trees of installed software: a program that tries to write there (a cache beside a library) is recorded, but
    /// not told, because outside it would not have been told either.
    pub quiet: Vec<PathBuf>,
    /// Some rule can only be held by judging every open.
    pub judged_opens: bool,
    /// Who takes connections to the outside; where nobody does, they are refused.
    pub carriage: Option<Arc<dyn Carriage>>,
    /// Without namespaces: who is told of connections to the doors.
    pub guests: Option<Arc<dyn bare::Guests>>,
    /// How much is seen.
    pub evidence: Evidence,
}

/// Everything the supervisor holds while the run lives.
#[derive(Debug)]
pub(crate) struct Supervisor {
    listener: Arc<OwnedFd>,
    view: View,
    voice: Voice,
    admission: Admission,
    notary: Notary,
    /// Where some rule is about execs: what came of each is checked.
    tracer: Option<Tracer>,
    /// There too: the programs that rules name.
    programs: Option<Arc<Programs>>,
    watch: Watch,
    /// The way of connections to the outside.
    carrier: Option<Carrier>,
    identities: Identities,
    /// Calls that somebody is asked about.
    held: held::Held,
    sight: Sight,
    bases: Bases,
    /// Threads that were let go to change names, and did not call again yet.
    changing: HashMap<i32, seen::Changing>,
    /// Rings when one of them was answered.
    answers: Arc<Bell>,
    /// Judgements of paths that the confinement decides anyway: whether a denial is to be told.
    judged: [HashMap<OsString, Option<Vec<Reason>>>; 2],
    /// What each process was told already: a loop is told once, another process again.
    told: HashSet<(i32, PathBuf, Access)>,
    /// Which program a process was told last that it may not start. A shell tries one name in each folder of its PATH.
    refused: Option<(i32, String)>,
    /// Which places of the view are the run's own, the deeper after the shallower.
    own: Vec<(PathBuf, Whose)>,
    workspace: PathBuf,
    pulse: Pulse,
    /// How many opens wait for the other end of a pipe.
    waiters: Arc<AtomicUsize>,
    /// What holds a run without namespaces.
    bare: Option<bare::Bare>,
    /// How many callers wait for a connection that could not be made at once.
    connecting: Arc<AtomicUsize>,
}

/// What a supervisor works with.
pub(crate) struct Tools {
    pub(crate) listener: OwnedFd,
    pub(crate) root: OwnedFd,
    pub(crate) voice: Voice,
    /// Rung when a thread that the run cannot do without ends.
    pub(crate) bell: Arc<Bell>,
    /// Some rule is about execs.
    pub(crate) judged_execs: bool,
    /// Where the run looks for programs.
    pub(crate) folders: Vec<PathBuf>,
    /// Where connections are carried to.
    pub(crate) places: Option<Places>,
    /// See [`Plan::own`](crate::plan::Plan::own).
    pub(crate) own: Vec<(PathBuf, Whose)>,
    pub(crate) workspace: PathBuf,
    /// Told of every held call.
    pub(crate) pulse: Pulse,
    /// What holds a run without namespaces.
    pub(crate) bare: Option<bare::Bare>,
}

/// What an open or connect that is not simply let go comes to.
struct Refusal {
    target: PathBuf,
    access: Access,
    reasons: Vec<Reason>,
    /// The errno to fail with; `None` where the confinement fails the call by itself.
    errno: Option<i32>,
    tell: bool,
    /// What was tried, where that is no open.
    what: Option<&'static str>,
}

impl Refusal {
    /// A refusal that only the supervisor holds.
    fn of(target: PathBuf, access: Access, reasons: Vec<Reason>) -> Self {
        Self { target, access, reasons, errno: Some(libc::EACCES), tell: true, what: None }
    }
}

impl Supervisor {
    pub(crate) fn new(tools: Tools, admission: Admission, watch: Watch) -> io::Result<Self> {
        let Tools { listener, root, voice, bell, judged_execs, folders, places, own, workspace, pulse, bare } =
            tools;
        notify::wake_synchronously(listener.as_fd());
        let listener = Arc::new(listener);
        let names = bare.as_ref().map(|bare| bare.names().clone()).unwrap_or_default();
        let tracer = judged_execs.then(|| Tracer::start(&listener, &admission, &bell)).transpose()?;
        let view = View::new(root.try_clone()?);
        let sight = Sight::new(root.try_clone()?, SEEN_FOR);
        let programs = judged_execs.then(|| {
            let own = bare.as_ref().map(|_| names.clone());
            Arc::new(Programs::find(&view, &admission.named_programs(), &folders, (&workspace, own)))
        });
        Ok(Self {
            notary: Notary::start(admission.clone(), (root, names), Alarm::on(&bell))?,
            listener,
            view,
            voice,
            admission,
            tracer,
            programs,
            carrier: watch.carriage.clone().zip(places).map(Carrier::from),
            watch,
            held: held::Held::default(),
            identities: Identities::new()?,
            sight,
            bases: Bases::default(),
            changing: HashMap::new(),
            answers: Bell::new()?,
            judged: Default::default(),
            told: HashSet::new(),
            refused: None,
            own,
            workspace,
            pulse,
            waiters: Arc::default(),
            bare,
            connecting: Arc::default(),
        })
    }

    /// Has the digest of the launch's program written down.
    pub(crate) fn launched(&mut self, program: &Path) {
        self.notary.program(self.view.find(program, true).ok());
    }

    /// Answers calls until nothing is left that could make one.
    pub(crate) fn attend(mut self, alarm: Alarm) {
        let seen_to_the_end = self.take_no_more_rights().and_then(|()| self.answer_all());
        let last = self.identities.take_last();
        self.tell_ends(last);
        // ORDER: the questions go first, then what is being started, then the last of what was seen.
        self.held.clear();
        if let Some(tracer) = &mut self.tracer {
            tracer.finish();
        }
        if self.notary.finish() && seen_to_the_end.is_ok() {
            alarm.all_is_well();
        }
    }

    /// Whatever is done on behalf of a caller is done with no more rights than it has, and with its own umask alone.
    fn take_no_more_rights(&self) -> io::Result<()> {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        if !self.watch.judged_opens {
            return Ok(());
        }
        namespace::leave_umask_to_callers()?;
        let mut sets = capabilities(None)?;
        sets.effective = CapabilitySet::empty();
        Ok(set_capabilities(None, sets)?)
    }

    fn answer_all(&mut self) -> io::Result<()> {
        loop {
            let mut watched = [
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
                PollFd::new(&self.answers, PollFlags::IN),
                PollFd::new(&self.identities, PollFlags::IN),
            ];
            match poll(&mut watched, self.patience().as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            let [calls, answers, ends] = watched.map(|fd| fd.revents());
            if calls.contains(PollFlags::IN) {
                match notify::receive(self.listener.as_fd()) {
                    Ok(call) => self.answer(&call),
                    // The caller was killed between the poll and the look.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            } else if calls.intersects(PollFlags::HUP | PollFlags::ERR) {
                return Ok(());
            }
            if !answers.is_empty() || self.held.is_due() {
                self.take_answers();
            }
            if !ends.is_empty() {
                let ends = self.identities.take_ends();
                self.tell_ends(ends);
            }
            if self.notary.is_gone() {
                return Err(io::Error::other("what is seen is not written down any more"));
            }
        }
    }

    /// How long to wait for the next call: somebody who asked may have died. A clock that is set for each call costs the caller.
    fn patience(&self) -> Option<Timespec> {
        (!self.held.is_empty()).then_some(Timespec { tv_sec: 1, tv_nsec: 0 })
    }

    fn answer(&mut self, call: &Notification) {
        self.pulse.beat();
        self.back(call.pid);
        let outcome = match call.number {
            libc::SYS_execve | libc::SYS_execveat => self.exec(call),
            libc::SYS_connect if self.bare.is_some() => self.connect_bare(call),
            libc::SYS_connect => self.connect(call),
            libc::SYS_exit_group => self.end(call),
            libc::SYS_bind => self.bind_bare(call),
            libc::SYS_listen => self.listen_bare(call),
            libc::SYS_clone | libc::SYS_fork | libc::SYS_vfork => {
                self.fork(call);
                Ok(None)
            }
            number if files::changes_names(number) && self.watch.judged_opens => self.change_names(call),
            number if files::changes_names(number) => self.see_change(call),
            libc::SYS_open | libc::SYS_openat | libc::SYS_openat2 | libc::SYS_creat => self.open(call),
            _ => self.touch(call),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(refusal)) => self.refuse(call, &refusal),
            // What cannot be read cannot be judged: the call fails as it would with a bad argument.
            Err(error) => self.fail(call, error.raw_os_error().unwrap_or(libc::EACCES)),
        }
    }

    /// A process ends itself: its last word and what it used are there now and never again.
    fn end(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        self.identities.ending(call.pid, call.args[0] as i32);
        self.let_go(call);
        Ok(None)
    }

    fn tell_ends(&mut self, ends: Vec<ExitEntry>) {
        for end in ends {
            self.gone(end.pid as i32);
            self.notary.exited(end);
        }
    }

    /// Whether the call was still held: a caller that was killed meanwhile needs no answer.
    fn let_go(&self, call: &Notification) -> bool {
        notify::let_go(self.listener.as_fd(), call.id).is_ok()
    }

    fn fail(&self, call: &Notification, errno: i32) {
        let _ = notify::refuse(self.listener.as_fd(), call.id, errno);
    }

    /// Records a denial, tells it where that helps, and fails the call unless it fails by itself.
    fn refuse(&mut self, call: &Notification, refusal: &Refusal) {
        let who = self.identities.of(call.pid);
        let what = refusal.what.unwrap_or_else(|| word(refusal.access));
        let target = self.spoken(&refusal.target).into_owned();
        let tell = refusal.tell && self.is_news(who.pid, &target, refusal.access);
        let told = tell && {
            let ask = (what == "read").then(|| self.ask_to_open(&target)).flatten();
            self.say(call, &spoken((what, &target), &refusal.reasons, ask))
        };
        self.notary.denied(who.pid, what, target.as_os_str(), &refusal.reasons, refusal.errno, told);
        match refusal.errno {
            Some(errno) => self.fail(call, errno),
            None => {
                self.let_go(call);
            }
        }
    }

    /// One line on the caller's standard error, written by PID 1 of the cell before the call fails; whether it was.
    fn say(&mut self, call: &Notification, line: &str) -> bool {
        let pid = self.identities.of(call.pid).inside;
        self.voice.say(pid, line)
    }
}

impl Supervisor {
    /// Tells a process why a program does not start, unless it was told so of the same just now.
    fn say_refused(&mut self, call: &Notification, action: &str, line: &str) {
        let last = Some((call.pid, action.to_owned()));
        if self.refused != last {
            self.say(call, line);
        }
        self.refused = last;
    }

    /// How a file is asked for, where a yes could open it.
    fn ask_to_open(&self, path: &Path) -> Option<String> {
        self.admission.how_to_ask(&Action::Read(AbsPath::new(path).ok()?))
    }

    /// Whether this process was not told of this yet.
    pub(super) fn is_news(&mut self, pid: i32, target: &Path, access: Access) -> bool {
        if self.told.len() > 65_536 {
            self.told.clear();
        }
        self.told.insert((pid, target.to_path_buf(), access))
    }
}

/// The line a denied process is told.
fn spoken((what, target): (&str, &Path), reasons: &[Reason], ask: Option<String>) -> String {
    let target = escaped(target);
    let because = reasons.first().map_or_else(String::new, |reason| format!(" ({reason})"));
    let ask = ask.map_or_else(String::new, |ask| format!("  ask: {ask}"));
    format!("provost: denied {what} {target}{because}{ask}\n")
}

/// A path as one line of plain text: the agent chose its bytes.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// Reasons for a denial, if the policy denies this.
fn judge(admission: &Admission, path: &Path, access: Access) -> Option<Vec<Reason>> {
    let Ok(path) = AbsPath::new(path) else {
        return Some(vec![built_in("a path that cannot be spelled cannot be judged")]);
    };
    let action = match access {
        Access::Read => Action::Read(path),
        Access::Write => Action::Write(path),
    };
    match admission.decide(&action) {
        Decision::Allow { .. } => None,
        Decision::Ask { reasons, .. } | Decision::Deny { reasons } => Some(reasons),
    }
}

fn on_host(path: &Path) -> bool {
    match rustix::fs::lstat(path) {
        Ok(_) => true,
        // Behind a folder that we may not enter: something may well be there.
        Err(error) => error == rustix::io::Errno::ACCESS,
    }
}

pub(crate) fn built_in(why: &str) -> Reason {
    Reason { layer: "built-in".to_owned(), rule: "built-in".to_owned(), why: Some(why.to_owned()) }
}
