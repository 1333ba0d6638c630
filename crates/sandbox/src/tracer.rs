//! Exec, checked on what came of it: an image that is not what was judged dies before its first instruction.
//!
//! The words of an exec lie in memory that others can change between the judgement and the kernel's own look. So the
//! thread is seized while it is held, let go, and stopped again where the new image stands; only then can nobody but
//! the kernel have a say. Owns: the threads that do this. Does not own: what an image must be (`image.rs`).

use crate::bell::{Alarm, Bell};
use crate::image::Image;
use crate::sys::notify::{self, Notification};
use crate::sys::trace::{self, Stop};
use crate::warden::{self, Came, Held, Warden};
use admission::{Admission, Outcome, Receipt};
use ledger::{Denied, OsText, Trust};
use rustix::fd::{AsFd as _, OwnedFd};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// An exec that was permitted, and what must come of it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) call: Notification,
    pub(crate) image: Image,
    pub(crate) receipt: Receipt,
    /// The command, as a person reads it.
    pub(crate) text: String,
}

/// How many execs are checked at once; the kernel's own part of an exec takes longer than ours.
const THREADS: usize = 2;
/// How soon a tracer that could not be let go at once is looked at again.
const AGAIN: Duration = Duration::from_millis(1);

/// The threads that check execs.
#[derive(Debug)]
pub(crate) struct Tracer {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// What each of them works with.
#[derive(Clone)]
struct Desk {
    listener: Arc<OwnedFd>,
    admission: Admission,
    held: Arc<Held>,
}

impl Tracer {
    pub(crate) fn start(
        listener: &Arc<OwnedFd>,
        admission: &Admission,
        bell: &Arc<Bell>,
    ) -> io::Result<Self> {
        let desk =
            Desk { listener: Arc::clone(listener), admission: admission.clone(), held: Arc::default() };
        let (jobs, waiting) = channel();
        let (traced, others) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (waiting, traced, desk) = (Arc::clone(&waiting), traced.clone(), desk.clone());
            threads.push(spawn("tracer", Alarm::on(bell), move || desk.attend(&waiting, &traced))?);
        }
        threads.push(spawn("warden", Alarm::on(bell), move || desk.attend_traced(&others))?);
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Lets an exec go and checks what comes of it. Where no thread is left to do that, it is never let go.
    pub(crate) fn check(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A closed channel means that every thread died, which has rung the alarm.
            let _ = jobs.send(job);
        }
    }

    /// Waits until every exec that was let go is checked.
    pub(crate) fn finish(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn spawn(name: &str, alarm: Alarm, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.into()).spawn(move || {
        work();
        alarm.all_is_well();
    })
}

impl Desk {
    fn attend(&self, waiting: &Mutex<Receiver<Job>>, traced: &Sender<Job>) {
        loop {
            let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { break };
            if let Some(job) = self.check(job) {
                // The warden outlives us; if it died, the alarm has rung.
                let _ = traced.send(job);
            }
        }
    }

    /// Checks an exec; gives it back if somebody else traces the thread.
    fn check(&self, job: Job) -> Option<Job> {
        if let Err(error) = trace::seize(job.call.pid) {
            if warden::tracer_of(job.call.pid).is_some() {
                return Some(job);
            }
            // It is gone, or closed to us: an exec that cannot be checked does not happen.
            let _ = notify::refuse(self.listener.as_fd(), job.call.id, libc::EPERM);
            job.receipt.settle(Outcome::failed(format!("could not be checked: {error}")));
            return None;
        }
        let Job { call, image, receipt, text } = job;
        self.held.leave_alone(call.pid);
        let _ = notify::let_go(self.listener.as_fd(), call.id);
        match trace::wait() {
            Ok(Stop::Exec(pid)) if image.is(pid).unwrap_or(false) => {
                release(pid, 0);
                receipt.settle(Outcome::done());
            }
            Ok(Stop::Exec(pid)) => {
                kill(pid);
                receipt.settle(Outcome::failed(CHANGED));
                self.note(pid, &text, CHANGED, None);
            }
            Ok(Stop::Back { pid, signal }) => {
                release(pid, signal);
                receipt.settle(Outcome::failed(NOT_STARTED));
            }
            Ok(Stop::Gone) | Err(_) => {
                receipt.settle(Outcome::failed("the process ended before it could start"));
            }
        }
        None
    }

    fn attend_traced(&self, waiting: &Receiver<Job>) {
        let mut warden = Warden::default();
        loop {
            let job = if warden.lingers() {
                match waiting.recv_timeout(AGAIN) {
                    Err(RecvTimeoutError::Timeout) => {
                        warden.tidy();
                        continue;
                    }
                    job => job.ok(),
                }
            } else {
                waiting.recv().ok()
            };
            let Some(job) = job else { break };
            self.check_traced(job, &mut warden);
        }
    }

    fn check_traced(&self, job: Job, warden: &mut Warden) {
        let Job { call, image, receipt, text } = job;
        let let_go = || drop(notify::let_go(self.listener.as_fd(), call.id));
        match warden.check(call.pid, &image, &self.held, let_go) {
            Came::Right => receipt.settle(Outcome::done()),
            Came::Nothing(why) => receipt.settle(Outcome::failed(why)),
            Came::Wrong(pid) => {
                receipt.settle(Outcome::failed(CHANGED));
                self.note(pid, &text, CHANGED, None);
            }
            Came::Refused(why) => {
                let _ = notify::refuse(self.listener.as_fd(), call.id, libc::EPERM);
                receipt.settle(Outcome::failed(format!("could not be checked: {why}")));
                self.note(call.pid, &text, &why, Some(libc::EPERM));
            }
        }
    }

    fn note(&self, pid: i32, text: &str, why: &str, errno: Option<i32>) {
        // A ledger that takes nothing more ends the run by itself.
        let _ = self.admission.note(denied(pid, text, why, errno).into(), Trust::Observed, None);
    }
}

const NOT_STARTED: &str = "the kernel could not start it";
const CHANGED: &str = "what started was not what was judged";

/// Lets a thread go. Of one that was killed meanwhile the end is heard here, or it would be taken for the next one's.
fn release(pid: i32, signal: i32) {
    if !trace::release(pid, signal) {
        while !matches!(trace::wait(), Ok(Stop::Gone) | Err(_)) && !trace::release(pid, 0) {}
    }
}

fn kill(pid: i32) {
    trace::kill(pid);
    while !matches!(trace::wait(), Ok(Stop::Gone) | Err(_)) {}
}

fn denied(pid: i32, text: &str, why: &str, errno: Option<i32>) -> Denied {
    Denied {
        pid: u32::try_from(pid).ok(),
        what: "exec".to_owned(),
        target: OsText::from(text.as_bytes()),
        reasons: vec![ledger::Reason::from(&crate::supervisor::built_in(why))],
        errno,
        spoken: false,
    }
}
