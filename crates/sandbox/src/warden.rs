//! Exec of a thread that another process of the run traces: a debugger, `strace`, a sanitizer's parent.
//!
//! We cannot stop it ourselves: a thread has one tracer. So its tracer is held for the length of the exec, and with it
//! everything that could let the new image run before it is looked at. What is traced stops for its tracer: at the exec
//! if it was asked to, else at a signal that is sent to it while it is still held, that nothing can take back and that
//! does nothing by itself. The tracer wakes up to a stopped thread, as it expects to.
//!
//! Owns: that hold, and who cannot be held. Does not own: what an image must be (`image.rs`). Refused, because there
//! the hold could be broken: a tracer that is itself traced, a process of several threads, one that blocks every
//! harmless signal, and kernels before 6.3 (a second SIGKILL wakes what a first one stopped at its end).

use crate::image::Image;
use crate::sys::trace::{self, Seen};
use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take; the kernel's own part of an exec is a thousandth of that.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for whoever else is starting a program in the tracer's process.
const TURN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_micros(50);
/// The least kernel on which the hold holds.
const KERNEL: (u32, u32) = (6, 3);
/// Signals that do nothing unless somebody asks for them.
const HARMLESS: [i32; 3] = [libc::SIGURG, libc::SIGWINCH, libc::SIGCHLD];

/// What came of a traced exec.
pub(crate) enum Came {
    /// The new image is what was judged, and its tracer has it.
    Right,
    /// The new image was another: it is dead.
    Wrong(i32),
    /// It failed, or the process ended.
    Nothing(&'static str),
    /// It was not let go.
    Refused(String),
}

/// The process whose thread is held, for others to leave alone; 0 if none.
#[derive(Debug, Default)]
pub(crate) struct Held(AtomicI32);

impl Held {
    /// Waits until no exec would end the threads of a held process.
    pub(crate) fn leave_alone(&self, thread: i32) {
        let begun = Instant::now();
        while self.0.load(Ordering::SeqCst) != 0 && begun.elapsed() < PATIENCE {
            if status(thread).ok().and_then(|status| status.number("Tgid:"))
                != Some(self.0.load(Ordering::SeqCst))
            {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// A tracer that this thread holds.
#[derive(Debug)]
struct Hold {
    thread: i32,
    /// It stands, with the signal it was about to get.
    stands: Option<i32>,
}

/// The tracers that this thread holds; one may stay a while, where it waits for the very process it traces.
#[derive(Debug, Default)]
pub(crate) struct Warden {
    lingering: Vec<Hold>,
}

/// /proc/PID/status.
struct Status(String);

impl Status {
    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    fn number(&self, name: &str) -> Option<i32> {
        self.field(name)?.split_whitespace().next()?.parse().ok()
    }
}

fn status(pid: i32) -> io::Result<Status> {
    std::fs::read(format!("/proc/{pid}/status"))
        .map(|text| Status(String::from_utf8_lossy(&text).into_owned()))
}

/// Who traces a thread, if anybody does.
pub(crate) fn tracer_of(thread: i32) -> Option<i32> {
    status(thread).ok()?.number("TracerPid:").filter(|tracer| *tracer != 0)
}

impl Warden {
    /// Whether some tracer is still held.
    pub(crate) fn lingers(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// Lets go who could not be let go before.
    pub(crate) fn tidy(&mut self) {
        self.lingering.retain_mut(|hold| !hold.is_over());
    }

    /// Lets an exec of a traced thread go, by `let_go`, and checks what comes of it while nobody else has a say.
    pub(crate) fn check(&mut self, thread: i32, image: &Image, held: &Held, let_go: impl FnOnce()) -> Came {
        self.tidy();
        let signal = match fitting(thread) {
            Ok(signal) => signal,
            Err(why) => return Came::Refused(why),
        };
        let Some(tracer) = tracer_of(thread) else {
            return Came::Refused("its tracer left it meanwhile".into());
        };
        let process = status(tracer).ok().and_then(|status| status.number("Tgid:")).unwrap_or(tracer);
        held.0.store(process, Ordering::SeqCst);
        let came = match self.hold(tracer, process) {
            Ok(mut hold) => {
                let came = attend(thread, signal, &mut hold, image, let_go);
                if !hold.is_over() {
                    self.lingering.push(hold);
                }
                came
            }
            Err(why) => Came::Refused(why),
        };
        held.0.store(0, Ordering::SeqCst);
        came
    }

    /// Stops a tracer, or makes sure that it stops before it can do anything.
    fn hold(&mut self, tracer: i32, process: i32) -> Result<Hold, String> {
        let known = self.lingering.iter().position(|hold| hold.thread == tracer);
        let mut hold = match known {
            Some(at) => self.lingering.swap_remove(at),
            None => {
                trace::hold(tracer).map_err(|error| format!("its tracer cannot be held: {error}"))?;
                Hold { thread: tracer, stands: None }
            }
        };
        let begun = Instant::now();
        loop {
            if hold.stands.is_none() && !hold.holds() {
                return Err("its tracer is gone".into());
            }
            if hold.stands.is_some() || waits_for_child(tracer) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                self.lingering.push(hold);
                return Err("its tracer does not stop".into());
            }
            std::thread::sleep(PAUSE);
        }
        // A thread that starts a program ends all others of its process, this tracer with them.
        while starts_a_program(process) {
            if begun.elapsed() > TURN {
                if !hold.is_over() {
                    self.lingering.push(hold);
                }
                return Err("its tracer's process is starting a program".into());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(hold)
    }
}

impl Hold {
    /// Whether it still cannot do anything: a tracer that is killed stops once more before it leaves what it traces.
    fn holds(&mut self) -> bool {
        match trace::look(self.thread) {
            Seen::Nothing => true,
            Seen::Stands(signal) => {
                self.stands = Some(signal);
                true
            }
            Seen::Ends => {
                self.stands = Some(0);
                true
            }
            Seen::Gone => false,
        }
    }

    /// Lets it go if it stands; whether that is done, or it is gone.
    fn is_over(&mut self) -> bool {
        // One that was killed where it stood stops once more, and is let go there.
        if self.stands.is_some_and(|signal| trace::release(self.thread, signal)) {
            return true;
        }
        self.stands = None;
        !self.holds() || self.stands.is_some_and(|signal| trace::release(self.thread, signal))
    }
}

/// The signal to stop a traced thread by; or why there is none.
fn fitting(thread: i32) -> Result<i32, String> {
    if !kernel_is_new_enough() {
        return Err(
            "a traced program can be started from Linux 6.3 on; here start it first and trace it then".into(),
        );
    }
    let status = status(thread).map_err(|error| error.to_string())?;
    if status.number("Threads:") != Some(1) {
        return Err("a traced process of several threads cannot start a program: fork first".into());
    }
    let blocked =
        status.field("SigBlk:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(u64::MAX);
    let open = |signal: &&i32| blocked & (1 << (**signal - 1)) == 0;
    HARMLESS
        .iter()
        .find(open)
        .copied()
        .ok_or_else(|| "a traced process that blocks signals cannot start a program".into())
}

fn kernel_is_new_enough() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|text| text.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= KERNEL
}

/// The call that a thread is in, with its arguments; `None` if it runs, or cannot be looked at.
fn call_of(thread: i32) -> Option<(i64, Vec<u64>)> {
    let text = std::fs::read_to_string(format!("/proc/{thread}/syscall")).ok()?;
    let mut words = text.split_whitespace();
    let number = words.next()?.parse().ok()?;
    let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    Some((number, words.take(6).filter_map(hexadecimal).collect()))
}

/// A tracer that waits in the kernel for its child to start a program stops before it does anything else.
fn waits_for_child(tracer: i32) -> bool {
    call_of(tracer)
        .is_some_and(|(number, _)| [libc::SYS_vfork, libc::SYS_clone, libc::SYS_clone3].contains(&number))
}

fn starts_a_program(process: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let threads = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    threads.filter_map(call_of).any(|(number, _)| [libc::SYS_execve, libc::SYS_execveat].contains(&number))
}

/// How a traced thread stands.
#[derive(PartialEq)]
enum Standing {
    Runs,
    Stopped,
    Over,
}

fn standing(thread: i32) -> Standing {
    let Ok(stat) = std::fs::read(format!("/proc/{thread}/stat")) else { return Standing::Over };
    let after = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    match after {
        Some(b't') => Standing::Stopped,
        Some(b'Z' | b'X') | None => Standing::Over,
        _ => Standing::Runs,
    }
}

/// Whether a stopped thread stands at the beginning of a new image: the kernel has cleared its arguments.
fn begins(thread: i32) -> bool {
    call_of(thread)
        .is_some_and(|(_, arguments)| arguments.len() == 6 && arguments.iter().all(|word| *word == 0))
}

fn attend(thread: i32, signal: i32, hold: &mut Hold, image: &Image, let_go: impl FnOnce()) -> Came {
    if let Err(error) = trace::send(thread, signal) {
        return Came::Refused(error.to_string());
    }
    let_go();
    let begun = Instant::now();
    loop {
        let holds = hold.holds();
        match standing(thread) {
            Standing::Over => return Came::Nothing("the process ended before it could start"),
            Standing::Stopped if holds && !begins(thread) => {
                return Came::Nothing("the kernel could not start it");
            }
            // ORDER: that the tracer was held all the while is asked after the image was looked at.
            Standing::Stopped if holds && image.is(thread).unwrap_or(false) && hold.holds() => {
                return Came::Right;
            }
            Standing::Runs if holds && begun.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            _ => {
                trace::kill(thread);
                return Came::Wrong(thread);
            }
        }
    }
}
