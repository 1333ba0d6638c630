//! The run's socket: where a person at any other terminal sees what is asked and answers.
//!
//! Owns the socket in the run's folder, who may speak at it, and that nobody there holds up the run or anybody else: a bounded number
//! of callers, each on a thread of its own, bounded lines, bounded waits. Does not own what an answer does (`admission`).
//!
//! Nothing inside reaches it: Provost's state is in no view. Whoever comes all the same is told by the kernel who they are: another
//! person, and whatever comes from another user namespace, is turned away.

use std::fs;
use std::io::{self, BufRead as _, BufReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use admission::{Admission, Answer, Refused, Told};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};

use super::words::{self, Asker, LONGEST, Order, Reply, Said, VERSION, What};
use crate::task;

/// The socket's name in a run's folder.
pub const NAME: &str = "desk";
/// How many callers are heard at once.
const CALLERS: usize = 32;
/// How long a caller may take for its next word, or to take ours.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a follower is still there.
const GLANCE: Duration = Duration::from_millis(500);

/// The run's end of the line. Closed when dropped.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    open: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// What everybody who is heard needs.
struct Counter {
    admission: Admission,
    asker: Asker,
    heard: AtomicUsize,
}

impl Socket {
    /// Opens the desk of a run in its folder.
    ///
    /// # Errors
    /// The system gives no socket or no thread.
    pub fn open(admission: &Admission, folder: &Path, asker: Asker) -> io::Result<Socket> {
        let path = folder.join(NAME);
        let listener = bind(folder)?;
        let (closed, open) = io::pipe()?;
        let counter = Counter { admission: admission.clone(), asker, heard: AtomicUsize::new(0) };
        let counter = Arc::new(counter);
        let attend = move || {
            while let Ok(true) = calls(&listener, &closed) {
                if let Ok((caller, _)) = listener.accept() {
                    Counter::take(&counter, caller);
                }
            }
        };
        let thread = thread::Builder::new().name("provost-socket".to_owned()).spawn(attend)?;
        Ok(Socket { path, open: Some(open), thread: Some(thread) })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // ORDER: the name goes first, so that whoever comes later finds no desk, and not one that is silent.
        let _ = fs::remove_file(&self.path);
        drop(self.open.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A listening socket in a folder that is this person's alone, by a name that is short however long the folder's is.
fn bind(folder: &Path) -> io::Result<UnixListener> {
    let (folder, name) = short(folder)?;
    let mode = rustix::fs::fstat(&folder)?.st_mode;
    if mode & 0o077 != 0 {
        return Err(io::Error::other("the run's folder is open to others"));
    }
    let listener = UnixListener::bind(&name)?;
    fs::set_permissions(&name, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The folder, held open, and the socket's name by way of that: a socket's address holds 107 bytes.
pub(crate) fn short(folder: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let held = rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let name = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", held.as_raw_fd()));
    Ok((held, name))
}

/// Waits for a call; false when the desk closes.
fn calls(listener: &UnixListener, closed: &io::PipeReader) -> io::Result<bool> {
    loop {
        let mut watched = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(closed.as_fd(), PollFlags::IN),
        ];
        match poll(&mut watched, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(watched[1].revents().is_empty()),
        }
    }
}

/// Who calls, in a word; none who may not.
fn caller(stream: &UnixStream) -> Option<String> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    let ours = rustix::process::geteuid();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/user")).ok();
    let near = namespace(&peer.pid.as_raw_nonzero().to_string())? == namespace("self")?;
    let known = peer.uid == ours || peer.uid.is_root();
    (near && known).then(|| task::person(&task::principal_of(peer.uid.as_raw())))
}

impl Counter {
    /// Hears a caller, on a thread of its own.
    fn take(counter: &Arc<Counter>, stream: UnixStream) {
        let prepared = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
        if prepared.is_err() {
            return;
        }
        let turned = match caller(&stream) {
            None => Some("this desk is another person's"),
            Some(_) if counter.heard.load(Ordering::Acquire) >= CALLERS => Some("too many are heard at once"),
            Some(_) => None,
        };
        if let Some(because) = turned {
            // One that does not take it has gone, or never waited.
            let _ = stream.set_nonblocking(true).and_then(|()| say(&stream, &Reply::refused(because)));
            return;
        }
        let Some(who) = caller(&stream) else { return };
        counter.heard.fetch_add(1, Ordering::AcqRel);
        let heard = Arc::clone(counter);
        let hear = move || {
            // A caller that goes away, or says what is no order, is its own matter.
            let _ = heard.hear(&stream, &who);
            heard.heard.fetch_sub(1, Ordering::AcqRel);
        };
        if thread::Builder::new().name("provost-caller".to_owned()).spawn(hear).is_err() {
            counter.heard.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Order after order, until the caller goes.
    fn hear(&self, stream: &UnixStream, who: &str) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut line = Vec::new();
            if (&mut reader).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.last() != Some(&b'\n') {
                return say(stream, &Reply::refused("a line is too long, or has no end"));
            }
            let order = match serde_json::from_slice::<Order>(&line) {
                Ok(order) if order.v == VERSION => order.what,
                Ok(_) => return say(stream, &Reply::refused(format!("this run speaks version {VERSION}"))),
                Err(error) => return say(stream, &Reply::refused(format!("this is no order: {error}"))),
            };
            match order {
                What::Asks => say(stream, &self.asks())?,
                What::Answer(said) => say(stream, &self.answer(&said, who))?,
                What::Follow => return self.follow(stream),
            }
        }
    }

    fn asks(&self) -> Reply {
        let asks = self.admission.open_asks().iter().map(|ask| words::asked(ask, &self.asker)).collect();
        let grants = self.admission.grants().iter().map(|grant| words::granted(grant, &self.asker)).collect();
        Reply { asks: Some(asks), grants: Some(grants), ..Reply::new() }
    }

    fn answer(&self, said: &Said, who: &str) -> Reply {
        let scope = match said.scope() {
            Ok(scope) => scope,
            Err(because) => return Reply::refused(because),
        };
        let (by, how, why) = (who.to_owned(), "command".to_owned(), said.why.clone());
        let answered = self.admission.answer(&said.id, Answer { allow: said.allow, by, how, why, scope });
        let done = |done: &str| Reply { done: Some(done.to_owned()), ..Reply::new() };
        match answered {
            Ok(()) if !said.allow => done("denied"),
            Ok(()) if self.is_open(&said.id) => done("counted"),
            Ok(()) => {
                let grants = self.admission.grants();
                let gave = grants.iter().find(|grant| grant.grant == said.id);
                Reply { gave: gave.map(|grant| words::granted(grant, &self.asker)), ..done("allowed") }
            }
            Err(Refused::NoSuchAsk(_)) if !said.allow && !said.seen_open => {
                match self.admission.revoke(&said.id, who, said.why.clone()) {
                    Ok(used) => Reply { used: Some(used), ..done("revoked") },
                    Err(refused) => self.late(&said.id, &refused),
                }
            }
            Err(refused) => self.late(&said.id, &refused),
        }
    }

    fn is_open(&self, ask: &str) -> bool {
        self.admission.open_asks().iter().any(|open| open.ask == ask)
    }

    /// Why an answer does not count; of an ask that ended, how.
    fn late(&self, ask: &str, refused: &Refused) -> Reply {
        Reply::refused(match self.admission.ended(ask) {
            Some(ended) => format!("it was answered already: {}", words::told(&ended)),
            None => refused.to_string(),
        })
    }

    /// What stands, and whatever changes, until the run ends or the caller goes.
    fn follow(&self, stream: &UnixStream) -> io::Result<()> {
        let told = self.admission.follow();
        loop {
            match told.recv_timeout(GLANCE) {
                Ok(told) => say(stream, &self.told(&told))?,
                Err(RecvTimeoutError::Timeout) if has_gone(stream) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn told(&self, told: &Told) -> Reply {
        let reply = Reply::new();
        match told {
            Told::Asked(ask) => Reply { asked: Some(words::asked(ask, &self.asker)), ..reply },
            Told::Answered(ended) => Reply { answered: Some(words::ended(ended)), ..reply },
            Told::Given(grant) => Reply { granted: Some(words::granted(grant, &self.asker)), ..reply },
            Told::Over { grant, because, used, by } => {
                Reply { over: Some(words::over(grant, *because, *used, by)), ..reply }
            }
        }
    }
}

/// Whether nobody is there any more. A follower has nothing more to say, so that whatever it says is its end.
fn has_gone(stream: &UnixStream) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::RDHUP)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&now)).is_err() || !watched[0].revents().is_empty()
}

fn say(mut stream: &UnixStream, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    stream.write_all(&line)
}
