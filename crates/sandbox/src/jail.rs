//! The cell seen from outside: made early, prepared with a plan, let go with a permit, waited for.
//!
//! Owns: the cell's life and what it hands out. Does not own: the steps inside (`cell.rs`), system calls held by the
//! filter (`supervisor.rs`). A cell dies with this process: by the death signal, and by the end of its wire.

mod bare;

use crate::bell::{Alarm, Bell};
use crate::carriage::{Carriers, Places};
use crate::cell;
use crate::channel::{self, Order, Report};
use crate::limits::disk::Disk;
use crate::limits::watch::{Watched, Watcher};
use crate::limits::{self, Reached};
use crate::overlay::{Overlay, Pulse};
use crate::plan::{Plan, Whose};
use crate::supervisor::bare::Bare;
use crate::supervisor::{Supervisor, Tools, Watch};
use crate::sys::namespace::{self, Side};
use crate::sys::notify;
use crate::voice::Voice;
use admission::{Admission, Launch, Outcome, Permit};
use ledger::{OsText, Trust};
use policy::{Command, Enforcement, Limit, Limits};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Why a jail could not be made.
#[derive(Debug, thiserror::Error)]
pub enum JailError {
    /// The kernel refused new namespaces to this user.
    #[error("the kernel gives this user no new namespaces")]
    NoNamespaces(#[source] io::Error),
    /// Without namespaces nothing holds what root may do by owning a file.
    #[error("without namespaces, root is held by nothing")]
    RootAlone,
    /// A step inside failed.
    #[error("could not {step}: {because}")]
    Step {
        /// What was to be done.
        step: String,
        /// What the kernel said.
        because: String,
    },
    /// The program could not be started.
    #[error("could not start `{program}`")]
    NotStarted {
        /// As the person wrote it.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The supervisor or the notary ended before the agent did.
    #[error("nobody watches the run any more")]
    Unwatched,
    /// The cell went away or spoke nonsense.
    #[error("lost the cell")]
    Lost(#[source] io::Error),
}

/// How the agent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// Provost ended it, because it was told to.
    Stopped,
    /// It used as much of something as it was allowed.
    Limit(Reached),
}

/// Namespaces with nothing in them yet but PID 1, waiting for a plan.
#[derive(Debug)]
pub struct Cell {
    wire: UnixStream,
    /// What denied processes are told goes here.
    voice: Voice,
    pid: i32,
    process: OwnedFd,
    /// Which namespaces are not ours, as the kernel names them.
    own: Enforcement,
    /// Whether it has no namespaces: then whoever keeps it ends what is in it, and must not be killed before.
    bare: bool,
    /// The cell's mounts, kept so that what was seen can still be looked up when its last process is gone; later the
    /// supervisor's thread has them.
    mounts: Option<OwnedFd>,
}

impl Cell {
    /// Makes the namespaces. To be called first of all, while this process has one thread and has read nothing:
    /// PID 1 of the cell is a copy of what it is then.
    pub fn spawn() -> Result<Self, JailError> {
        let (wire, inner_wire) = UnixStream::pair().map_err(JailError::Lost)?;
        let (voice, ear) = UnixStream::pair().map_err(JailError::Lost)?;
        match namespace::clone_cell().map_err(JailError::NoNamespaces)? {
            Side::Child => namespace::exit_now(cell::live(&inner_wire, &ear)),
            Side::Parent { pid, pidfd } => {
                drop((inner_wire, ear));
                // ORDER: looked at while PID 1 waits; afterwards it is closed to everybody but root.
                let mounts = Some(open_mounts(pid).map_err(JailError::Lost)?);
                let voice = Voice::new(voice).map_err(JailError::Lost)?;
                let own = compare_namespaces(pid);
                let cell = Self { wire, voice, pid, process: pidfd, own, bare: false, mounts };
                map_users(pid).map_err(JailError::NoNamespaces)?;
                (&cell.wire).write_all(b"m").map_err(JailError::Lost)?;
                Ok(cell)
            }
        }
    }

    /// Builds the plan inside, up to the agent's process, which stands confined before its first instruction.
    pub fn prepare(self, plan: &Plan) -> Result<Jail, JailError> {
        let mut whole = plan.clone();
        if self.bare {
            return self.prepare_bare(whole);
        }
        whole.mask_sockets(&host_sockets().map_err(JailError::Lost)?);
        // A cell in which a step failed has said so and is gone: then nothing can be sent, and its word is still there.
        let sent = channel::send(&self.wire, &Order::Prepare(Box::new(whole)));
        let (count, has_terminal, has_layer, carriers, has_counter) =
            match self.hear().map_err(|lost| sent.err().map_or(lost, JailError::Lost))? {
                Report::Ready { sockets, terminal, layer, carriers, counter } => {
                    (sockets, terminal, layer, carriers, counter)
                }
                other => return Err(unexpected(other)),
            };
        let take = || channel::receive_descriptor(&self.wire).map_err(JailError::Lost);
        let sockets =
            (0..count.min(64)).map(|_| take().map(TcpListener::from)).collect::<Result<Vec<_>, _>>()?;
        let terminal = has_terminal.then(take).transpose()?;
        let layer = has_layer.then(take).transpose()?;
        let carriers = (0..carriers.min(Carriers::MOST)).map(|_| take()).collect::<Result<Vec<_>, _>>()?;
        let carriers = (!carriers.is_empty()).then(|| Carriers::of(carriers)).transpose();
        let carriers = carriers.map_err(JailError::Lost)?;
        let places = carriers.as_ref().map(Carriers::places).transpose().map_err(JailError::Lost)?;
        let counter = has_counter.then(take).transpose()?;
        let view = take()?;
        let (workspace, pulse) = (plan.workspace.path().to_path_buf(), Pulse::new(plan.evidence));
        let root = view.try_clone().map_err(JailError::Lost)?;
        let mounts: Option<&OwnedFd> = (&self.mounts).into();
        let mounts = mounts.and_then(|mounts| rustix::fs::fstat(mounts).ok());
        let mounts = mounts.map(|found| (found.st_dev, found.st_ino));
        let overlay = layer.map(|context| Overlay {
            context,
            root,
            workspace: workspace.clone(),
            pulse: pulse.clone(),
            mounts,
        });
        let given = match self.hear()? {
            Report::Enforced(given) => *given,
            other => return Err(unexpected(other)),
        };
        let listener = take()?;
        let mut enforcement = self.with_namespaces(given);
        enforcement.limits.extend(limits::watched(&plan.limits, counter.is_some()));
        // ORDER: before the agent's first instruction, since what is there then is not the run's.
        let disk = plan.limits.get(Limit::Disk).map(|_| Disk::of(plan)).transpose();
        Ok(Jail {
            cell: self,
            enforcement,
            sockets,
            carriers,
            places,
            terminal,
            held: Some((listener, view)),
            program: plan.program.path().to_path_buf(),
            folder: plan.folder.path().to_path_buf(),
            judged_execs: plan.judged_execs,
            folders: plan.folders(),
            own: plan.own(),
            workspace,
            overlay,
            pulse,
            bare: None,
            limits: plan.limits.clone(),
            counter,
            disk: disk.map_err(JailError::Lost)?,
        })
    }

    fn hear(&self) -> Result<Report, JailError> {
        channel::receive(&self.wire).map_err(JailError::Lost)
    }

    /// What the inside read back, with what only the outside can see.
    fn with_namespaces(&self, given: Enforcement) -> Enforcement {
        Enforcement {
            user_namespace: self.own.user_namespace,
            mount_namespace: self.own.mount_namespace,
            pid_namespace: self.own.pid_namespace,
            network_namespace: self.own.network_namespace && given.network_namespace,
            ipc_namespace: self.own.ipc_namespace,
            uts_namespace: self.own.uts_namespace,
            supervisor: true,
            ..given
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if self.bare {
            return self.end_bare();
        }
        // Killing PID 1 ends everything inside; one that is gone already is fine.
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

fn unexpected(report: Report) -> JailError {
    match report {
        Report::Failed { step, because } => JailError::Step { step, because },
        other => JailError::Lost(io::Error::other(format!("unexpected word {other:?}"))),
    }
}

/// Maps the users of the cell. As root every id of this namespace maps to itself, so that no owner is foreign to an
/// overlay; as anyone else only the own id can be mapped. No process inside has a capability either way.
fn map_users(pid: i32) -> io::Result<()> {
    if rustix::process::geteuid().is_root() {
        for name in ["uid_map", "gid_map"] {
            fs::write(
                format!("/proc/{pid}/{name}"),
                identity(&fs::read_to_string(format!("/proc/self/{name}"))?),
            )?;
        }
        return Ok(());
    }
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("{uid} {uid} 1\n"))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("{gid} {gid} 1\n"))
}

/// The ids of our own namespace, each mapped to itself.
fn identity(own: &str) -> String {
    own.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (first, count) = (fields.next()?, fields.nth(1)?);
            Some(format!("{first} {first} {count}\n"))
        })
        .collect()
}

/// Where something of the host listens on a socket with a path.
fn host_sockets() -> io::Result<Vec<PathBuf>> {
    let listed = fs::read("/proc/net/unix")?;
    let path = |line: &[u8]| {
        let at = line.windows(2).position(|pair| pair == b" /")?;
        Some(PathBuf::from(OsStr::from_bytes(line.get(at + 1..)?)))
    };
    Ok(listed.split(|byte| *byte == b'\n').filter_map(path).collect())
}

fn open_mounts(pid: i32) -> io::Result<OwnedFd> {
    Ok(fs::File::open(format!("/proc/{pid}/ns/mnt"))?.into())
}

/// A namespace counts as given if the kernel names another one for the cell than for us.
fn compare_namespaces(pid: i32) -> Enforcement {
    let differs = |name: &str| {
        let link = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/{name}")).ok();
        let (ours, theirs) = (link("self"), link(&pid.to_string()));
        ours.is_some() && theirs.is_some() && ours != theirs
    };
    Enforcement {
        user_namespace: differs("user"),
        mount_namespace: differs("mnt"),
        pid_namespace: differs("pid"),
        network_namespace: differs("net"),
        ipc_namespace: differs("ipc"),
        uts_namespace: differs("uts"),
        ..Enforcement::default()
    }
}

/// A prepared cell: the agent's process stands confined, before its first instruction.
#[derive(Debug)]
pub struct Jail {
    cell: Cell,
    enforcement: Enforcement,
    sockets: Vec<TcpListener>,
    carriers: Option<Carriers>,
    places: Option<Places>,
    terminal: Option<OwnedFd>,
    held: Option<(OwnedFd, OwnedFd)>,
    program: PathBuf,
    folder: PathBuf,
    judged_execs: bool,
    folders: Vec<PathBuf>,
    own: Vec<(PathBuf, Whose)>,
    workspace: PathBuf,
    overlay: Option<Overlay>,
    pulse: Pulse,
    bare: Option<Bare>,
    limits: Limits,
    counter: Option<OwnedFd>,
    disk: Option<Disk>,
}

impl Jail {
    /// What the kernel gave.
    #[must_use]
    pub fn enforcement(&self) -> &Enforcement {
        &self.enforcement
    }

    /// The listening sockets made inside, in the order of the plan's ports. Given out once.
    pub fn take_sockets(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.sockets)
    }

    /// The sockets that take what is carried, if the plan has any. Given out once.
    pub fn take_carriers(&mut self) -> Option<Carriers> {
        self.carriers.take()
    }

    /// A way to say something to a process inside.
    #[must_use]
    pub fn voice(&self) -> Voice {
        self.cell.voice.clone()
    }

    /// Our side of the run's terminal, if it has one. Given out once.
    pub fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    /// The layer over the workspace, if it is one. Given out once.
    pub fn take_overlay(&mut self) -> Option<Overlay> {
        self.overlay.take()
    }

    /// PID 1 of the cell, as the outside numbers it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.cell.pid
    }

    /// Lets the agent's process exec, and starts the supervisor that answers every call after that one.
    pub fn go(
        mut self,
        permit: Permit<Launch>,
        admission: &Admission,
        watch: Watch,
    ) -> Result<Running, JailError> {
        let (listener, root) = self
            .held
            .take()
            .ok_or_else(|| JailError::Lost(io::Error::other("the jail was let go before")))?;
        let bell = Bell::new().map_err(JailError::Lost)?;
        let voice = self.cell.voice.clone();
        let view = root.try_clone().map_err(JailError::Lost)?;
        let first = listener.try_clone().map_err(JailError::Lost)?;
        let mounts = self.cell.mounts.take();
        let tools = Tools {
            listener,
            root,
            voice,
            bell: Arc::clone(&bell),
            judged_execs: self.judged_execs,
            folders: std::mem::take(&mut self.folders),
            places: self.places,
            own: std::mem::take(&mut self.own),
            workspace: std::mem::take(&mut self.workspace),
            pulse: self.pulse.clone(),
            bare: self.bare.take(),
        };
        let over = tools.bare.as_ref().map(Bare::over);
        let mut supervisor = Supervisor::new(tools, admission.clone(), watch).map_err(JailError::Lost)?;
        supervisor.launched(&self.program);
        let (Launch(command), receipt) = permit.begin();
        (&self.cell.wire).write_all(b"g").map_err(JailError::Lost)?;
        let agent = let_launch_go(&first).map_err(JailError::Lost)?;
        drop(first);
        match self.cell.hear()? {
            Report::Started { .. } => {}
            Report::NotStarted { errno } => {
                let source = io::Error::from_raw_os_error(errno);
                receipt.settle(Outcome::failed(source.to_string()));
                return Err(JailError::NotStarted { program: self.program.display().to_string(), source });
            }
            other => return Err(unexpected(other)),
        }
        // ORDER: the launch is told before anything that the agent does can be: its next calls wait for the supervisor.
        self.note_launch(admission, &command, agent, receipt.seq())?;
        receipt.settle(Outcome::done());
        let alarm = Alarm::on(&bell);
        let supervised = Bell::new().map_err(JailError::Lost)?;
        let ended = Alarm::on(&supervised);
        let attend = move || {
            supervisor.attend(alarm);
            drop(ended);
            // What kept the view whole when its last process was gone. Whoever lets go of it last takes it apart, which
            // takes long: nobody waits for this thread any more.
            drop(mounts);
        };
        std::thread::Builder::new().name("supervisor".into()).spawn(attend).map_err(JailError::Lost)?;
        let watcher = self.watch_limits((view, agent), admission, &bell).map_err(JailError::Lost)?;
        Ok(Running { cell: self.cell, supervised, bell, agent, watcher, over })
    }

    fn watch_limits(
        &mut self,
        (root, agent): (OwnedFd, i32),
        admission: &Admission,
        bell: &Arc<Bell>,
    ) -> io::Result<Watcher> {
        let pid = agent;
        let agent = Pid::from_raw(pid).and_then(|agent| pidfd_open(agent, PidfdFlags::empty()).ok());
        let watched = Watched {
            limits: self.limits.clone(),
            held: self.enforcement.limits.clone(),
            root,
            pid,
            cell: self.cell.process.try_clone()?,
            agent,
            counter: self.counter.take(),
            disk: self.disk.take(),
            admission: admission.clone(),
        };
        Watcher::start(watched, Alarm::on(bell))
    }

    fn note_launch(
        &self,
        admission: &Admission,
        command: &Command,
        agent: i32,
        decision: u64,
    ) -> Result<(), JailError> {
        let launch = ledger::Launch {
            pid: u32::try_from(agent).unwrap_or_default(),
            argv: command.argv.iter().map(|word| OsText::from(word.as_slice())).collect(),
            cwd: OsText::from(self.folder.as_path()),
        };
        let noted = admission.note(launch.into(), Trust::Observed, Some(decision));
        noted.map(drop).map_err(|closed| JailError::Lost(io::Error::other(closed.to_string())))
    }
}

/// Answers the first call of the run and gives the process that made it.
///
/// INVARIANT: until that call only our own code has run beneath the filter, in one process with one thread, and its
/// only held call is the exec of the launch, whose words come from the plan and were admitted as the launch.
fn let_launch_go(listener: &OwnedFd) -> io::Result<i32> {
    loop {
        match notify::receive(listener.as_fd()) {
            Ok(call) if call.number == libc::SYS_execve => {
                notify::let_go(listener.as_fd(), call.id)?;
                return Ok(call.pid);
            }
            Ok(_) => return Err(io::Error::other("the first call was no exec")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// How long the supervisor may take to write down the last of what it saw.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(10);

/// An agent at work. Dropping it ends everything inside.
#[derive(Debug)]
pub struct Running {
    cell: Cell,
    /// Rings when the supervisor has ended, well or not.
    supervised: Arc<Bell>,
    bell: Arc<Bell>,
    agent: i32,
    /// Without namespaces: told when the run is over, so that nothing new is made while the rest is ended.
    over: Option<Arc<AtomicBool>>,
    watcher: Watcher,
}

impl Running {
    /// The agent's first process, as the host numbers it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.agent
    }

    /// Waits until the agent ends, `stop` becomes readable, or a limit is reached; then nothing of the run is left.
    ///
    /// # Errors
    /// The cell was lost, or nobody watched it any more; nothing is left of it then either.
    pub fn wait(self, stop: BorrowedFd<'_>) -> Result<Exit, JailError> {
        let exit = self.attend_end(stop);
        let Self { cell, supervised, watcher, over, .. } = self;
        if let Some(over) = over {
            over.store(true, Ordering::SeqCst);
        }
        drop(cell);
        let by_itself = matches!(exit, Ok(Exit::Code(_) | Exit::Signal(_)));
        let reached = watcher.finish(by_itself);
        // The supervisor ends with the last process that it could answer; what it saw is then with the recorder.
        let patience = Timespec::try_from(SUPERVISOR_PATIENCE).ok();
        // However this ends: one that takes longer is not waited for.
        let _ = poll(&mut [PollFd::new(&supervised, PollFlags::IN)], patience.as_ref());
        // Whoever told it to stop comes before what it was about to use up.
        reached.map_or(exit, |reached| Ok(Exit::Limit(reached)))
    }

    fn attend_end(&self, stop: BorrowedFd<'_>) -> Result<Exit, JailError> {
        loop {
            let mut watched = [
                PollFd::new(&self.cell.wire, PollFlags::IN),
                PollFd::from_borrowed_fd(stop, PollFlags::IN),
                PollFd::new(&self.bell, PollFlags::IN),
            ];
            match poll(&mut watched, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(JailError::Lost(error.into())),
            }
            if !watched[0].revents().is_empty() {
                return self.ended();
            }
            if !watched[1].revents().is_empty() {
                return Ok(Exit::Stopped);
            }
            if !watched[2].revents().is_empty() {
                return Err(JailError::Unwatched);
            }
        }
    }

    fn ended(&self) -> Result<Exit, JailError> {
        match self.cell.hear()? {
            Report::Ended { status } if libc::WIFSIGNALED(status) => Ok(Exit::Signal(libc::WTERMSIG(status))),
            Report::Ended { status } => Ok(Exit::Code(libc::WEXITSTATUS(status))),
            other => Err(unexpected(other)),
        }
    }
}
