//! The supervisor: one thread that answers every held call of a run.
//!
//! Owns: which call is what, the answer, what a denied process is told, handing what was seen to the notary. Does not
//! own: judgement (`policy`, asked through admission), reading the caller (`caller.rs`), opening on its behalf
//! (`open.rs`), writing evidence (`notary.rs`). Nothing here blocks on anything but the kernel and the recorder.

use crate::caller::{self, Identity, Memory};
use crate::channel::{self, Order};
use crate::notary::Notary;
use crate::open::{self, Opened, Wanted};
use crate::plan::{Bytes, is_private};
use crate::sys::notify::{self, Notification};
use crate::view::{Own, View, through_own};
use admission::{Admission, Denial, Exec, Outcome, Verdict};
use ledger::Access;
use policy::{AbsPath, Action, Command, Decision, Endpoint, Host, Reason};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, OwnedFd};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// What the supervisor must know of the run.
#[derive(Debug)]
pub struct Watch {
    /// The person's home: private inside.
    pub home: PathBuf,
    /// Trees of installed software: a program that tries to write there (a cache beside a library) is recorded, but
    /// not told, because outside it would not have been told either.
    pub quiet: Vec<PathBuf>,
    /// Some rule can only be held by judging every open.
    pub judged_opens: bool,
}

/// Everything the supervisor holds while the run lives.
#[derive(Debug)]
pub(crate) struct Supervisor {
    listener: OwnedFd,
    view: View,
    voice: UnixStream,
    admission: Admission,
    notary: Notary,
    watch: Watch,
    identities: HashMap<i32, Identity>,
    /// Judgements of paths that the confinement decides anyway: whether a denial is to be told.
    judged: HashMap<(PathBuf, Access), Option<Vec<Reason>>>,
    told: HashSet<(PathBuf, Access)>,
    first: bool,
}

/// What an open or connect that is not simply let go comes to.
struct Refusal {
    target: PathBuf,
    access: Access,
    reasons: Vec<Reason>,
    /// The errno to fail with; `None` where the confinement fails the call by itself.
    errno: Option<i32>,
    tell: bool,
}

impl Refusal {
    /// A refusal that only the supervisor holds.
    fn of(target: PathBuf, access: Access, reasons: Vec<Reason>) -> Self {
        Self { target, access, reasons, errno: Some(libc::EACCES), tell: true }
    }
}

impl Supervisor {
    pub(crate) fn new(
        (listener, root): (OwnedFd, OwnedFd),
        voice: UnixStream,
        admission: Admission,
        notary: Notary,
        watch: Watch,
    ) -> Self {
        notify::wake_synchronously(listener.as_fd());
        Self {
            listener,
            view: View::new(root),
            voice,
            admission,
            notary,
            watch,
            identities: HashMap::new(),
            judged: HashMap::new(),
            told: HashSet::new(),
            first: true,
        }
    }

    /// Answers calls until nothing is left that could make one.
    pub(crate) fn attend(mut self) {
        let patience = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        loop {
            let waiting = self.notary.has_unsent();
            let mut watched = [PollFd::new(&self.listener, PollFlags::IN)];
            match poll(&mut watched, waiting.then_some(&patience)) {
                Ok(0) => self.notary.send(),
                Ok(_) if watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR) => break,
                Ok(_) => match notify::receive(self.listener.as_fd()) {
                    Ok(call) => self.answer(&call),
                    // The caller was killed between the poll and the look, or nobody is left.
                    Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                },
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.notary.finish();
    }

    fn answer(&mut self, call: &Notification) {
        let outcome = match call.number {
            libc::SYS_execve | libc::SYS_execveat => self.exec(call),
            libc::SYS_connect => self.connect(call),
            libc::SYS_rename
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_link
            | libc::SYS_linkat => self.rename_or_link(call),
            _ => self.open(call),
        };
        match outcome {
            Ok(None) => {}
            Ok(Some(refusal)) => self.refuse(call, &refusal),
            // What cannot be read cannot be judged: the call fails as it would with a bad argument.
            Err(error) => self.fail(call, error.raw_os_error().unwrap_or(libc::EACCES)),
        }
    }

    fn let_go(&self, call: &Notification) {
        // A caller that was killed meanwhile needs no answer.
        let _ = notify::let_go(self.listener.as_fd(), call.id);
    }

    fn fail(&self, call: &Notification, errno: i32) {
        let _ = notify::refuse(self.listener.as_fd(), call.id, errno);
    }

    fn who(&mut self, thread: i32) -> Identity {
        if self.identities.len() > 8192 {
            self.identities.clear();
        }
        *self.identities.entry(thread).or_insert_with(|| caller::identity(thread))
    }
}

// === exec ===

impl Supervisor {
    /// Judges an exec on the words the kernel is about to take. `Ok(None)` means it was answered.
    fn exec(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        if std::mem::take(&mut self.first) {
            // The agent's own start: its words come from the plan and were admitted as the launch.
            self.identities.clear();
            self.let_go(call);
            return Ok(None);
        }
        self.identities.remove(&call.pid);
        let Some((command, seen)) = self.read_exec(call)? else {
            // No such program: the search along PATH goes on.
            self.let_go(call);
            return Ok(None);
        };
        let who = self.who(call.pid);
        match self
            .admission
            .admit(Exec::new(command.clone(), who.pid, who.parent, seen.folder.clone()))
            .wait()
        {
            Verdict::Pass(permit) => {
                self.notary.program(seen.program);
                let (_, receipt) = permit.begin();
                self.let_go(call);
                receipt.settle(Outcome::done());
                Ok(None)
            }
            Verdict::Refuse(denial) => {
                self.tell(call, &denial);
                self.fail(call, libc::EACCES);
                Ok(None)
            }
        }
    }

    fn read_exec(&mut self, call: &Notification) -> io::Result<Option<(Command, ExecSeen)>> {
        let mut memory = Memory::of(call.pid);
        let [a0, a1, a2, a3, a4, _] = call.args;
        let (folder, path, argv, env, flags) = if call.number == libc::SYS_execve {
            (libc::AT_FDCWD, a0, a1, a2, 0)
        } else {
            (a0 as i32, a1, a2, a3, a4 as i32)
        };
        let path = memory.path(path)?;
        let cwd = caller::base(call.pid, libc::AT_FDCWD)?;
        let by_descriptor = path.as_os_str().is_empty() && flags & libc::AT_EMPTY_PATH != 0;
        let named = if by_descriptor || !path.is_absolute() {
            let base = caller::base(call.pid, folder)?;
            if by_descriptor { base } else { caller::named(&base, &path) }
        } else {
            caller::named(Path::new("/"), &path)
        };
        let found = self.view.find(&named, true);
        let program = match &found {
            Ok(found) => found.path.clone(),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && !by_descriptor => return Ok(None),
            // A program that lies in no folder (a memfd) or behind /proc is named as it was asked for.
            Err(_) => named,
        };
        let argv = memory.words(argv)?;
        let env = memory.words(env)?.into_iter().filter_map(split_variable).collect();
        if !notify::still_held(self.listener.as_fd(), call.id) {
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        let path = AbsPath::new(&program).map_err(|_| io::Error::from_raw_os_error(libc::EACCES))?;
        let command = Command::new(path, argv, env);
        Ok(Some((command, ExecSeen { folder: cwd, program: found.ok() })))
    }
}

struct ExecSeen {
    folder: PathBuf,
    program: Option<crate::view::Found>,
}

fn split_variable(entry: Vec<u8>) -> Option<(Vec<u8>, Vec<u8>)> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = entry.split_at(at);
    Some((name.to_vec(), value.get(1..)?.to_vec()))
}

// === open ===

impl Supervisor {
    fn open(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let wanted = open::read(call)?;
        let path = self.name(call, &wanted)?;
        let access = wanted.access();
        if self.watch.judged_opens {
            return self.open_on_behalf(call, &wanted, &path, access);
        }
        if is_of_the_kernel(&path) {
            self.let_go(call);
            return Ok(None);
        }
        if let Some(refusal) = self.denied(&path, access) {
            return Ok(Some(refusal));
        }
        let who = self.who(call.pid);
        self.notary.opened(who.pid, access, path);
        self.let_go(call);
        Ok(None)
    }

    /// What the caller named, folded to an absolute path of the inside.
    fn name(&self, call: &Notification, wanted: &Wanted) -> io::Result<PathBuf> {
        if wanted.path.is_absolute() {
            return Ok(caller::named(Path::new("/"), &wanted.path));
        }
        Ok(caller::named(&caller::base(call.pid, wanted.folder)?, &wanted.path))
    }

    /// Every open is judged on what it leads to, and done by us: nothing that the caller changes afterwards matters.
    fn open_on_behalf(
        &mut self,
        call: &Notification,
        wanted: &Wanted,
        path: &Path,
        access: Access,
    ) -> io::Result<Option<Refusal>> {
        let inside = self.who(call.pid).inside;
        let cwd = || caller::base(call.pid, libc::AT_FDCWD);
        let target = match through_own(path, inside, &cwd) {
            Some(Own::Path(path)) => path,
            Some(Own::Program) => {
                self.let_go(call);
                return Ok(None);
            }
            Some(Own::Descriptor(number)) => return self.reopen(call, number, access),
            None if is_of_the_kernel(path) => {
                self.let_go(call);
                return Ok(None);
            }
            None => path.to_path_buf(),
        };
        let opened = open::on_behalf(&self.view, &target, wanted, call.pid, &mut |path, access| {
            self.binding(path, access)
        })?;
        match opened {
            Opened::Yes { file, path } => {
                notify::inject(self.listener.as_fd(), call.id, file.as_fd(), wanted.close_on_exec())?;
                let who = self.who(call.pid);
                self.notary.opened(who.pid, access, path);
                Ok(None)
            }
            Opened::Denied { path, reasons } => Ok(Some(Refusal::of(path, access, reasons))),
        }
    }

    fn rename_or_link(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        match open::rename_or_link(&self.view, call, &mut |path, access| self.binding(path, access))? {
            None => {
                let _ = notify::succeed(self.listener.as_fd(), call.id);
                Ok(None)
            }
            Some((path, reasons)) => Ok(Some(Refusal::of(path, Access::Write, reasons))),
        }
    }

    /// Reasons against an open that no mount holds: a rule that names the path, or a write outside every place that
    /// may be written.
    fn binding(&self, path: &Path, access: Access) -> Option<Vec<Reason>> {
        let reasons = judge(&self.admission, path, access)?;
        let open = access == Access::Read || is_private(path, &self.watch.home) || is_of_the_kernel(path);
        (is_explicit(&reasons) || !open).then_some(reasons)
    }

    /// Opening one's own descriptor again: fine where what it holds may be had in that way.
    fn reopen(&mut self, call: &Notification, number: i32, access: Access) -> io::Result<Option<Refusal>> {
        let held = std::fs::read_link(format!("/proc/{}/fd/{number}", call.pid))?;
        if held.is_absolute() && !is_of_the_kernel(&held) {
            if let Some(reasons) = self.binding(&held, access) {
                return Ok(Some(Refusal::of(held, access, reasons)));
            }
        }
        // The descriptor may be exchanged now, but only for one that was itself judged when it was opened.
        self.let_go(call);
        Ok(None)
    }

    /// Whether the policy denies what the confinement keeps away anyway, so that it can be recorded and told.
    fn denied(&mut self, path: &Path, access: Access) -> Option<Refusal> {
        let key = (path.to_path_buf(), access);
        if !self.judged.contains_key(&key) {
            if self.judged.len() > 65_536 {
                self.judged.clear();
            }
            self.judged.insert(key.clone(), judge(&self.admission, path, access));
        }
        let reasons = self.judged.get(&key).cloned().flatten()?;
        let explicit = is_explicit(&reasons);
        let private = is_private(path, &self.watch.home);
        let stands = self.view.stands(path);
        let refusal =
            |errno, tell| Some(Refusal { target: path.to_path_buf(), access, reasons, errno, tell });
        match access {
            // The agent's own file in a private place, or a folder on the way to something that is shown.
            Access::Read if stands && (private || !explicit) => None,
            Access::Read if stands => refusal(Some(libc::EACCES), true),
            // What the host has and the view has not: to be recorded; the call finds nothing.
            Access::Read if on_host(path) => refusal(None, explicit),
            Access::Read => None,
            Access::Write if private && !explicit => None,
            Access::Write if stands || on_host(path) || path.parent().is_some_and(on_host) => {
                let quiet = self.watch.quiet.iter().any(|tree| path.starts_with(tree));
                refusal(Some(libc::EACCES), explicit || !quiet)
            }
            Access::Write => None,
        }
    }

    /// Records a denial, tells it where that helps, and fails the call unless it fails by itself.
    fn refuse(&mut self, call: &Notification, refusal: &Refusal) {
        let who = self.who(call.pid);
        let what = word(refusal.access);
        let tell = refusal.tell && self.told.insert((refusal.target.clone(), refusal.access));
        self.notary.denied(who.pid, what, refusal.target.as_os_str(), &refusal.reasons, refusal.errno, tell);
        if tell {
            self.say(call, &spoken(what, &refusal.target, &refusal.reasons));
        }
        match refusal.errno {
            Some(errno) => self.fail(call, errno),
            None => self.let_go(call),
        }
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// Whether a rule spoke, not only a kind's default.
fn is_explicit(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.rule != "default")
}

/// Reasons for a denial, if the policy denies this.
fn judge(admission: &Admission, path: &Path, access: Access) -> Option<Vec<Reason>> {
    let path = AbsPath::new(path).ok()?;
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

/// /proc and /dev are made for the run; nothing of the host lies there.
fn is_of_the_kernel(path: &Path) -> bool {
    (path.starts_with("/dev") && !path.starts_with("/dev/shm")) || path.starts_with("/proc")
}

// === connect ===

impl Supervisor {
    /// Records where a process tried to go. The network namespace has only its own loopback, so nothing rests on it.
    fn connect(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let mut raw = [0_u8; 128];
        let length = (call.args[2] as usize).min(raw.len());
        let address = raw.get_mut(..length).unwrap_or_default();
        let read = Memory::of(call.pid).raw(call.args[1], address)?;
        let target = parse_address(raw.get(..read).unwrap_or_default());
        let who = self.who(call.pid);
        match target {
            Some(Target::Internet(address)) if address.ip().is_loopback() || address.port() == 0 => {}
            Some(Target::Internet(address)) => {
                let reasons = self.reasons_against(address);
                self.strayed(call, who.pid, PathBuf::from(address.to_string()), &reasons);
            }
            Some(Target::Socket(path)) if !self.view.stands(&path) && on_host(&path) => {
                let reasons = [built_in("sockets of the host are never reachable from inside")];
                self.strayed(call, who.pid, path, &reasons);
            }
            _ => {}
        }
        self.let_go(call);
        Ok(None)
    }

    fn strayed(&mut self, call: &Notification, pid: i32, target: PathBuf, reasons: &[Reason]) {
        let tell = self.told.insert((target.clone(), Access::Write));
        self.notary.denied(pid, "connect", target.as_os_str(), reasons, None, tell);
        if tell {
            self.say(call, &spoken("connect", &target, reasons));
        }
    }

    fn reasons_against(&self, address: SocketAddr) -> Vec<Reason> {
        let endpoint = Endpoint { host: Host::Ip(address.ip()), port: address.port() };
        match self.admission.decide(&Action::Connect(endpoint)) {
            Decision::Allow { .. } => vec![built_in("only the proxy leads out: HTTPS_PROXY names it")],
            Decision::Ask { reasons, .. } | Decision::Deny { reasons } => reasons,
        }
    }
}

fn built_in(why: &str) -> Reason {
    Reason { layer: "built-in".to_owned(), rule: "built-in".to_owned(), why: Some(why.to_owned()) }
}

enum Target {
    Internet(SocketAddr),
    Socket(PathBuf),
}

fn parse_address(raw: &[u8]) -> Option<Target> {
    let family = u16::from_ne_bytes(raw.get(..2)?.try_into().ok()?);
    let port = || Some(u16::from_be_bytes(raw.get(2..4)?.try_into().ok()?));
    match i32::from(family) {
        libc::AF_INET => {
            let octets: [u8; 4] = raw.get(4..8)?.try_into().ok()?;
            Some(Target::Internet(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), port()?)))
        }
        libc::AF_INET6 => {
            let octets: [u8; 16] = raw.get(8..24)?.try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            let address = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
            Some(Target::Internet(SocketAddr::new(address, port()?)))
        }
        libc::AF_UNIX => {
            let path = raw.get(2..)?;
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            let path = path.get(..end).filter(|path| path.first() == Some(&b'/'))?;
            Some(Target::Socket(PathBuf::from(OsStr::from_bytes(path))))
        }
        _ => None,
    }
}

// === telling ===

impl Supervisor {
    fn tell(&mut self, call: &Notification, denial: &Denial) {
        self.say(call, &format!("provost: {denial}\n"));
    }

    /// One line on the caller's standard error, written by PID 1 of the cell.
    fn say(&mut self, call: &Notification, line: &str) {
        let pid = self.who(call.pid).inside;
        let _ = channel::send(&self.voice, &Order::Speak { pid, text: Bytes::from(OsStr::new(line)) });
    }
}

/// The line a denied process is told.
fn spoken(what: &str, target: &Path, reasons: &[Reason]) -> String {
    let target = escaped(target);
    let because = reasons.first().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("provost: denied {what} {target}{because}  ask: provost request --why \"...\" {what} {target}\n")
}

/// A path as one line of plain text: the agent chose its bytes.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}
