//! Exec: judged on the words the kernel is about to take, asked about where the policy says so, checked on what came
//! of it where a rule could be dodged.
//!
//! Owns: the way of one exec from the held call to its answer. Does not own: what a new image must be (`image.rs`),
//! stopping it (`tracer.rs`). An ask holds its own caller and nobody else.

use super::guise::{Called, Caller};
use super::held::Waiting;
use super::weigh::Weighed;
use super::{Refusal, Supervisor, built_in};
use crate::caller::{self, Identity, Memory};
use crate::image::{Image, same_file, split_variable};
use crate::sys::notify::{self, Notification};
use crate::tracer::Job;
use crate::view::{Found, Own, through_own};
use admission::{Effect as _, Exec, Outcome, Pending, Permit, Verdict};
use ledger::Access;
use policy::action::is_steering;
use policy::{AbsPath, Action, Command};
use rustix::fd::AsFd as _;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::task::Poll;

/// An exec that somebody is asked about.
#[derive(Debug)]
pub(super) struct Asked {
    call: Notification,
    seen: Seen,
    pending: Pending<Exec>,
}

/// An exec as it was read.
#[derive(Debug)]
pub(super) struct Seen {
    command: Command,
    folder: PathBuf,
    pub(super) program: Option<Found>,
    /// What the kernel must make of it, where some rule is about execs.
    image: Option<io::Result<Image>>,
}

/// The arguments of an exec call.
struct Call {
    folder: i32,
    path: u64,
    argv: u64,
    env: u64,
    by_descriptor: bool,
}

impl Call {
    fn of(call: &Notification) -> Self {
        let [a0, a1, a2, a3, a4, _] = call.args;
        if call.number == libc::SYS_execve {
            Self { folder: libc::AT_FDCWD, path: a0, argv: a1, env: a2, by_descriptor: false }
        } else {
            let by_descriptor = a4 as i32 & libc::AT_EMPTY_PATH != 0;
            Self { folder: a0 as i32, path: a1, argv: a2, env: a3, by_descriptor }
        }
    }
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(libc::EACCES)
}

impl Supervisor {
    /// Judges an exec on the words the kernel is about to take. `Ok(None)` means it was answered, or will be.
    pub(super) fn exec(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        self.identities.forget(call.pid);
        let who = self.identities.of(call.pid);
        let seen = self.read_exec(call, who)?;
        match seen.program.as_ref().map(|found| self.weigh_start(call.pid, found, &seen.command)) {
            Some(Weighed::Refused(reasons)) => {
                let path = seen.program.map(|found| found.path).unwrap_or_default();
                return Ok(Some(Refusal::of(path, Access::Read, reasons)));
            }
            Some(Weighed::Asks(path)) => self.ask_to_read(call, seen, path),
            Some(Weighed::Clear) | None => self.admit_exec(call, who, seen),
        }
        Ok(None)
    }

    pub(super) fn admit_exec(&mut self, call: &Notification, who: Identity, seen: Seen) {
        let folder = self.spoken(&seen.folder).into_owned();
        let exec = Exec::new(seen.command.clone(), who.pid, who.parent, folder);
        self.drop_the_gone();
        let mut pending = self.admission.admit(exec);
        match pending.or_wake(self.answers.clone().into()) {
            Poll::Ready(verdict) => self.conclude(call, seen, verdict),
            Poll::Pending => match self.held.full() {
                None => self.hold(call.id, Waiting::Exec(Asked { call: *call, seen, pending })),
                Some(full) => {
                    let why = full.why.unwrap_or_default();
                    let action = Action::Exec(seen.command).to_string();
                    self.say_refused(call, &action, &format!("provost: denied {action} ({why})\n"));
                    self.fail(call, libc::EACCES);
                }
            },
        }
    }

    /// Whether an exec is still what it was when somebody began to be asked about it.
    pub(super) fn is_still(&self, call: &Notification, who: Identity, seen: &Seen) -> bool {
        self.read_exec(call, who).is_ok_and(|again| {
            let same = match (&again.program, &seen.program) {
                (Some(one), Some(other)) => same_file(&one.object, &other.object).unwrap_or(false),
                (one, other) => one.is_none() && other.is_none(),
            };
            same && again.command == seen.command && again.folder == seen.folder
        })
    }

    /// Goes on with an exec that was asked about, if it has its answer.
    pub(super) fn take_up_exec(&mut self, mut asked: Asked) {
        match asked.pending.or_wake(self.answers.clone().into()) {
            Poll::Pending => self.hold(asked.call.id, Waiting::Exec(asked)),
            Poll::Ready(verdict) => self.conclude_asked(&asked.call, asked.seen, verdict),
        }
    }

    /// A person saw certain words; others do not start on that answer.
    fn conclude_asked(&mut self, call: &Notification, seen: Seen, verdict: Verdict<Exec>) {
        let who = self.identities.of(call.pid);
        let same = self.is_still(call, who, &seen);
        match verdict {
            Verdict::Pass(permit) if !same => {
                let why = "the command changed while somebody was asked";
                let (exec, receipt) = permit.begin();
                receipt.settle(Outcome::failed(why));
                let (pid, text) = (self.identities.of(call.pid).pid, exec.action().resource());
                let errno = Some(libc::EACCES);
                let told = self.say(call, &format!("provost: denied exec {text} ({why})\n"));
                self.notary.denied(pid, "exec", OsStr::new(&text), &[built_in(why)], errno, told);
                self.fail(call, libc::EACCES);
            }
            verdict => self.conclude(call, seen, verdict),
        }
    }

    fn conclude(&mut self, call: &Notification, seen: Seen, verdict: Verdict<Exec>) {
        match verdict {
            Verdict::Pass(permit) => self.start(call, seen, permit),
            Verdict::Refuse(denial) => {
                self.say_refused(call, &denial.action, &denial.told());
                self.fail(call, libc::EACCES);
            }
        }
    }

    fn start(&mut self, call: &Notification, seen: Seen, permit: Permit<Exec>) {
        let (exec, receipt) = permit.begin();
        match (seen.image, &self.tracer) {
            (Some(Ok(image)), Some(tracer)) => {
                tracer.check(Job { call: *call, image, receipt, text: exec.action().resource() });
            }
            (Some(Err(error)), _) => {
                self.fail(call, error.raw_os_error().unwrap_or(libc::EACCES));
                receipt.settle(Outcome::failed(format!("its program cannot be held: {error}")));
                return;
            }
            _ => {
                self.let_go(call);
                receipt.settle(Outcome::done());
            }
        }
        self.notary.program(seen.program);
    }

    fn read_exec(&self, call: &Notification, who: Identity) -> io::Result<Seen> {
        let mut memory = Memory::of(call.pid);
        let Call { folder, path, argv, env, by_descriptor } = Call::of(call);
        let called = memory.path(path)?;
        let cwd = caller::base(call.pid, libc::AT_FDCWD)?;
        let by_descriptor = by_descriptor && called.as_os_str().is_empty();
        let (named, program) = if by_descriptor {
            (PathBuf::from(format!("/dev/fd/{folder}")), Some(Found::held_by(call.pid, folder)?))
        } else {
            let program = self.find_program(call.pid, who, &caller::asked(call.pid, folder, &called)?)?;
            // What the kernel calls a script that it hands to an interpreter.
            let held = folder != libc::AT_FDCWD && called.is_relative();
            (if held { Path::new(&format!("/dev/fd/{folder}")).join(called) } else { called }, program)
        };
        let argv = memory.words(argv)?;
        let env = memory.words(env)?;
        let env = env
            .iter()
            .filter_map(|entry| split_variable(entry))
            .filter(|(name, _)| is_steering(name))
            .collect();
        let (command, image) = match (&program, &self.programs) {
            (Some(found), Some(_)) => {
                let by = Caller { pid: call.pid, who, folder: &cwd };
                let called = Called { found, named: &named, argv, env };
                let (command, image) = self.comes_to(by, called)?;
                (command, Some(image))
            }
            // What lies in no folder has no name that a rule could have judged.
            (None, Some(_)) => return Err(refused()),
            (found, None) => {
                let path = found.as_ref().map_or(named.as_path(), |found| &found.path);
                (Command::new(AbsPath::new(&self.spoken(path)).map_err(|_| refused())?, argv, env), None)
            }
        };
        if !notify::still_held(self.listener.as_fd(), call.id) {
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        Ok(Seen { command, folder: cwd, program, image })
    }

    /// What an exec of this path starts. An error is the call's own: what we do not find, the kernel must not find.
    pub(super) fn find_program(&self, pid: i32, who: Identity, path: &Path) -> io::Result<Option<Found>> {
        let base = |folder| caller::base(pid, folder);
        match through_own(path, who, &base)? {
            Some(Own::Descriptor(number)) => Found::held_by(pid, number).map(Some),
            Some(Own::Program) => Found::at(&format!("/proc/{pid}/exe")).map(Some),
            Some(Own::Path(path) | Own::Entry(path)) => self.view.find(&path, true).map(Some),
            None => self.view.find(path, true).map(Some),
        }
    }
}
