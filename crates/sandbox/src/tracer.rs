//! Exec, checked on what came of it: an image that is not what was judged dies before its first instruction.
//!
//! The words of an exec lie in memory that others can change between the judgement and the kernel's own look. So the
//! thread is seized while it is held, let go, and stopped again where the new image stands; only then can nobody but
//! the kernel have a say. Owns: the threads that do this. Does not own: what an image must be (`image.rs`).

use crate::bell::{Alarm, Bell};
use crate::image::Image;
use crate::sys::notify::{self, Notification};
use crate::sys::trace::{self, Stop};
use admission::{Admission, Outcome, Receipt};
use ledger::{Denied, OsText, Trust};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::process::{Pid, Signal};
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

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

/// The threads that check execs.
#[derive(Debug)]
pub(crate) struct Tracer {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Tracer {
    pub(crate) fn start(
        listener: &Arc<OwnedFd>,
        admission: &Admission,
        bell: &Arc<Bell>,
    ) -> io::Result<Self> {
        let (jobs, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..THREADS)
            .map(|_| {
                let (waiting, listener) = (Arc::clone(&waiting), Arc::clone(listener));
                let (admission, alarm) = (admission.clone(), Alarm::on(bell));
                std::thread::Builder::new()
                    .name("tracer".into())
                    .spawn(move || attend(&waiting, &listener, &admission, alarm))
            })
            .collect::<io::Result<Vec<_>>>()?;
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

fn attend(waiting: &Mutex<Receiver<Job>>, listener: &OwnedFd, admission: &Admission, alarm: Alarm) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { break };
        check(job, listener, admission);
    }
    alarm.all_is_well();
}

fn check(job: Job, listener: &OwnedFd, admission: &Admission) {
    let Job { call, image, receipt, text } = job;
    if let Err(error) = trace::seize(call.pid) {
        // Somebody else traces it, or it is gone: an exec that cannot be checked does not happen.
        let _ = notify::refuse(listener.as_fd(), call.id, libc::EPERM);
        return receipt.settle(Outcome::failed(format!("could not be checked: {error}")));
    }
    let _ = notify::let_go(listener.as_fd(), call.id);
    match trace::wait() {
        Ok(Stop::Exec(pid)) if image.is(pid).unwrap_or(false) => {
            trace::release(pid, 0);
            receipt.settle(Outcome::done());
        }
        Ok(Stop::Exec(pid)) => {
            kill(pid);
            receipt.settle(Outcome::failed(CHANGED));
            // A ledger that takes nothing more ends the run by itself.
            let _ = admission.note(denied(pid, &text).into(), Trust::Observed, None);
        }
        Ok(Stop::Back { pid, signal }) => {
            trace::release(pid, signal);
            receipt.settle(Outcome::failed("the kernel could not start it"));
        }
        Ok(Stop::Gone) | Err(_) => receipt.settle(Outcome::failed("the process ended before it could start")),
    }
}

const CHANGED: &str = "what started was not what was judged";

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
        // The end of what was seized is for this thread to hear, or it would be taken for the next one's.
        while !matches!(trace::wait(), Ok(Stop::Gone) | Err(_)) {
            trace::release(pid.as_raw_nonzero().get(), 0);
        }
    }
}

fn denied(pid: i32, text: &str) -> Denied {
    Denied {
        pid: u32::try_from(pid).ok(),
        what: "exec".to_owned(),
        target: OsText::from(text.as_bytes()),
        reasons: vec![ledger::Reason::from(&crate::supervisor::built_in(CHANGED))],
        errno: None,
        spoken: false,
    }
}
