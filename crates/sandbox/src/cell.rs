//! The inside of the cell: what PID 1 and the agent's process do between the clone and the agent's first instruction.
//!
//! Owns: the order of the steps. Does not own: what they are (`plan.rs`), the raw calls (`sys`), any judgement.
//! Everything here runs in a process with one thread that was cloned before anything of the host was loaded.

pub(crate) mod bare;

use crate::channel::{self, Order, Report};
use crate::filter::{self, Duty};
use crate::limits;
use crate::plan::{Plan, names_at};
use crate::sys::{count, namespace, notify, socket};
use crate::{mounts, speak};
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use policy::{Enforcement, Limit};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::process::{DumpableBehavior, Signal, WaitStatus};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;

/// A step that failed, and why.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) step: String,
    pub(crate) because: String,
}

/// Names the step of an error.
pub(crate) trait At<T> {
    fn at(self, step: impl Into<String>) -> Result<T, Failed>;
}

impl<T, E: std::fmt::Display> At<T> for Result<T, E> {
    fn at(self, step: impl Into<String>) -> Result<T, Failed> {
        self.map_err(|error| Failed { step: step.into(), because: error.to_string() })
    }
}

/// PID 1 of the cell, from its first instruction to its last. Never returns.
pub(crate) fn live(wire: &UnixStream, ear: &UnixStream) -> i32 {
    match prepare_and_run(wire, ear) {
        Ok(()) => 0,
        Err(failed) => {
            // Where nobody listens any more there is nobody to tell, and the cell ends either way.
            let _ = channel::send(wire, &Report::Failed { step: failed.step, because: failed.because });
            1
        }
    }
}

fn prepare_and_run(wire: &UnixStream, ear: &UnixStream) -> Result<(), Failed> {
    // ORDER: nothing may survive the supervisor, so this comes before everything else.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .at("tie the cell to its supervisor")?;
    // Whatever the host's process held open at the clone is none of the cell's business.
    namespace::close_all_but([wire.as_fd(), ear.as_fd()]).at("close what the host holds")?;
    namespace::wipe_environment();
    let mut mapped = [0_u8; 1];
    (&mut &*wire).read_exact(&mut mapped).at("wait for the user mapping")?;
    limits::go_first();
    // ORDER: only now. Nobody but root may write the mapping of a process that is closed to others.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).at("close PID 1 to the inside")?;
    namespace::raise_loopback().at("raise the loopback link")?;
    mounts::detach_from_host().at("detach the mounts from the host's")?;
    // Built while the other side still makes the plan.
    let shell = mounts::begin()?;
    let plan = match channel::receive(wire) {
        Ok(Order::Prepare(plan)) => plan,
        Err(error) => return Err(error).at("receive the plan"),
    };
    namespace::set_host_name(&plan.host_name).at("set the host name")?;
    let sockets = plan.ports.iter().map(|port| listen(*port)).collect::<Result<Vec<_>, _>>()?;
    let carriers = plan.carrier.map(|port| carriers(port, &plan)).transpose()?.unwrap_or_default();
    let terminal = mounts::finish(shell, &plan)?;
    let layer = mounts::workspace_layer(&plan);
    // Where the kernel keeps its counters to itself, the outside adds up what it sees.
    let counter = plan.limits.get(Limit::Cpu).and_then(|_| count::processor_time().ok());
    let ready = Report::Ready {
        sockets: sockets.len(),
        terminal: terminal.is_some(),
        layer: layer.is_some(),
        carriers: carriers.len(),
        counter: counter.is_some(),
    };
    channel::send(wire, &ready).at("report")?;
    for socket in &sockets {
        channel::send_descriptor(wire, socket.as_fd()).at("hand out a socket")?;
    }
    if let Some(terminal) = &terminal {
        channel::send_descriptor(wire, terminal.master.as_fd()).at("hand out the terminal")?;
    }
    if let Some(layer) = &layer {
        channel::send_descriptor(wire, layer.as_fd()).at("hand out the layer over the workspace")?;
    }
    for carrier in &carriers {
        channel::send_descriptor(wire, carrier.as_fd()).at("hand out a socket")?;
    }
    if let Some(counter) = &counter {
        channel::send_descriptor(wire, counter.as_fd()).at("hand out the count of processor time")?;
    }
    let root = mounts::root().at("open the view")?;
    channel::send_descriptor(wire, root.as_fd()).at("hand out the view")?;
    drop((sockets, carriers, layer, counter, root));
    start((wire, ear), &plan, terminal.map(|terminal| terminal.slave))
}

fn listen(port: u16) -> Result<TcpListener, Failed> {
    TcpListener::bind(("127.0.0.1", port)).at(format!("listen on port {port} inside"))
}

/// An address of the inside's own beside 127.0.0.1, so that programs find that there is a network, and with it the network of
/// the addresses that stand for names.
pub(crate) const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Bits of that network.
const OWN_PREFIX: u32 = 15;
/// Carried connections that the gateway has not taken yet.
const BACKLOG: i32 = 4096;

/// Where names are asked, and what takes carried connections, for each family of addresses that there is.
fn carriers(port: u16, plan: &Plan) -> Result<Vec<OwnedFd>, Failed> {
    socket::add_loopback_address(OWN_ADDRESS, OWN_PREFIX).at("give the loopback link an address")?;
    let names = names_at(&plan.ports);
    let datagrams = UdpSocket::bind(names).at("listen for names inside")?;
    let streams = TcpListener::bind(names).at("listen for names inside")?;
    let four = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).at(format!("listen on port {port} inside"))?;
    // A kernel without IPv6 has no such address, and no socket that could want it.
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
    for listener in std::iter::once(&four).chain(&six) {
        rustix::net::listen(listener, BACKLOG).at("listen for what is carried")?;
    }
    let four: OwnedFd = four.into();
    Ok([datagrams.into(), streams.into(), four].into_iter().chain(six.map(OwnedFd::from)).collect())
}

/// Forks the agent's process and stays as its PID 1.
pub(crate) fn start(
    (wire, ear): (&UnixStream, &UnixStream),
    plan: &Plan,
    terminal: Option<OwnedFd>,
) -> Result<(), Failed> {
    let children = namespace::child_signal().at("watch the agent")?;
    let (told, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).at("make a pipe")?;
    let Some(agent) = namespace::fork().at("fork the agent")? else {
        drop(told);
        become_agent(wire, plan, terminal, tell);
    };
    drop(tell);
    drop(terminal);
    let null = File::options().read(true).write(true).open("/dev/null").at("open /dev/null")?;
    for number in 0..3 {
        namespace::place(&null, number).at("let go of the standard streams")?;
    }
    let mut errno = [0_u8; 4];
    let report = match File::from(told).read_exact(&mut errno) {
        Ok(()) => Report::NotStarted { errno: i32::from_le_bytes(errno) },
        // The pipe closed without a word: the exec went through (or the process is gone, which the wait will tell).
        Err(_) => Report::Started { pid: agent },
    };
    channel::send(wire, &report).at("report the start")?;
    // What is left to do needs no rights beside those of the agent itself.
    drop_capabilities().at("drop the capabilities of PID 1")?;
    speak::attend((wire, ear), &children, agent)
}

/// Reaps whatever ended; the agent's own status, once it is there.
pub(crate) fn reap(agent: i32) -> Option<i32> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == agent {
            ended = Some(WaitStatus::as_raw(status));
        }
    }
    ended
}

/// The agent's process: confine itself, report, wait for the word, exec. Never returns.
fn become_agent(wire: &UnixStream, plan: &Plan, terminal: Option<OwnedFd>, tell: OwnedFd) -> ! {
    let errno = match confine(wire, plan, terminal) {
        Ok(words) => {
            let error = exec(&words);
            error.raw_os_error().unwrap_or(libc::EIO)
        }
        Err(failed) => {
            let _ = channel::send(wire, &Report::Failed { step: failed.step, because: failed.because });
            libc::ECANCELED
        }
    };
    let _ = File::from(tell).write_all(&errno.to_le_bytes());
    namespace::exit_now(127)
}

struct Words {
    program: CString,
    argv: Vec<CString>,
    env: Vec<CString>,
}

fn words(plan: &Plan) -> Result<Words, Failed> {
    let all = |list: &[crate::plan::Bytes]| {
        list.iter()
            .map(|word| CString::new(word.as_slice()))
            .collect::<Result<Vec<_>, _>>()
            .at("read the command")
    };
    let program = CString::new(plan.program.as_slice()).at("read the command")?;
    Ok(Words { program, argv: all(&plan.argv)?, env: all(&plan.env)? })
}

fn confine(wire: &UnixStream, plan: &Plan, terminal: Option<OwnedFd>) -> Result<Words, Failed> {
    let words = words(plan)?;
    rustix::process::setsid().at("start a session")?;
    if let Some(slave) = &terminal {
        take_terminal(slave, plan.terminal).at("take the terminal")?;
    }
    drop(terminal);
    // A socket of the host's network would lead past everything that is held here.
    no_network_in_the_streams().at("take the standard streams")?;
    rustix::process::chdir(plan.folder.path()).at(format!("enter `{}`", plan.folder.path().display()))?;
    namespace::reset_signals();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at("tie the agent to the cell")?;
    limits::set_on_process(&plan.limits).at("limit what a process may use")?;
    // ORDER: Landlock and seccomp need no_new_privs; capabilities go before them so that neither is made with any.
    let _ = namespace::drop_groups();
    drop_capabilities().at("drop the capabilities")?;
    rustix::thread::set_no_new_privs(true).at("set no_new_privs")?;
    // ORDER: an open may be closed once Landlock stands, and is held once the filter does, when nobody answers yet. What is
    // read comes from then all the same.
    let witness = Witness::open().at("read back the enforcement")?;
    let landlock_abi = match &plan.bare {
        Some(bare) => bare::landlock(bare)?,
        None if plan.nested => 0,
        None => landlock(plan)?,
    };
    let duty = Duty { evidence: plan.evidence, nested: plan.nested, bare: plan.bare.is_some() };
    let held = limits::read_back(&plan.limits);
    let listener =
        notify::install(&filter::compile(&filter::lines(duty))).at("install the system-call filter")?;
    let mut given = witness.tell(landlock_abi, plan.bare.is_some(), held).at("read back the enforcement")?;
    if plan.bare.is_some() {
        bare::tell(&mut given);
    }
    channel::send(wire, &Report::Enforced(Box::new(given))).at("report the enforcement")?;
    channel::send_descriptor(wire, listener.as_fd()).at("hand out the listener")?;
    drop(listener);
    let mut go = [0_u8; 1];
    (&mut &*wire).read_exact(&mut go).at("wait for the word to go")?;
    Ok(words)
}

/// Standard streams are passed on as they are, but for sockets that reach into the host's network.
fn no_network_in_the_streams() -> Result<(), String> {
    use rustix::net::{AddressFamily, sockopt::socket_domain};
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    for (number, stream) in streams.into_iter().enumerate() {
        // What is no socket says so by an error.
        if socket_domain(stream).is_ok_and(|domain| domain != AddressFamily::UNIX) {
            return Err(format!("descriptor {number} is a socket of the host's network: put a pipe between"));
        }
    }
    Ok(())
}

fn take_terminal(slave: &OwnedFd, which: [bool; 3]) -> io::Result<()> {
    rustix::process::ioctl_tiocsctty(slave)?;
    for (number, is_terminal) in (0..).zip(which) {
        if is_terminal {
            namespace::place(slave, number)?;
        }
    }
    Ok(())
}

fn drop_capabilities() -> io::Result<()> {
    use rustix::thread::{CapabilitySet, CapabilitySets};
    for capability in CapabilitySet::all().iter() {
        // A capability that this kernel does not know cannot be in the set either.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    rustix::thread::clear_ambient_capability_set()?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none)?;
    Ok(())
}

/// Closes writing everywhere but in the plan's places, and signals and abstract sockets across the cell's edge.
/// Returns the ABI that was enforced; below 2 (kernel 6.1) it fails.
fn landlock(plan: &Plan) -> Result<u32, Failed> {
    let least = AccessFs::from_all(ABI::V2);
    let most = AccessFs::from_all(ABI::V5);
    let root = PathFd::new("/").at("open the view")?;
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(least)
        .at("ask Landlock for files")?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(most)
        .at("ask Landlock for files")?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .at("ask Landlock for scopes")?
        .create()
        .at("make the Landlock rules")?
        .add_rule(PathBeneath::new(root, AccessFs::from_read(ABI::V5)))
        .at("let the view be read")?;
    for place in &plan.writable {
        // A place that the view does not have needs no rule.
        if let Ok(open) = PathFd::new(place.path()) {
            let rights = if place.path().is_dir() { most } else { AccessFs::from_file(ABI::V5) };
            rules = rules
                .add_rule(PathBeneath::new(open, rights))
                .at(format!("let `{}` be written", place.path().display()))?;
        }
    }
    let status = rules.restrict_self().at("enforce Landlock")?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err(Failed { step: "enforce Landlock".into(), because: "the kernel did not".into() });
    }
    Ok(landlock_abi())
}

/// The kernel's Landlock version; 0 where there is none.
#[must_use]
pub fn landlock_abi() -> u32 {
    namespace::landlock_version()
}

/// The sets that must be empty. Where nobody has the right to empty it, what may be gained (`CapBnd`) is not asked:
/// no_new_privs keeps anything from being gained.
const CAPABILITIES: [&str; 4] = ["CapInh", "CapPrm", "CapEff", "CapAmb"];

/// Where the kernel tells what holds.
struct Witness {
    status: File,
    mounts: File,
    links: File,
}

impl Witness {
    fn open() -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/self/{name}"));
        Ok(Self { status: open("status")?, mounts: open("mountinfo")?, links: open("net/dev")? })
    }

    /// What holds now, as the kernel tells it, not as it was asked.
    fn tell(
        self,
        landlock_abi: u32,
        is_bare: bool,
        limits: BTreeMap<Limit, String>,
    ) -> io::Result<Enforcement> {
        let status = io::read_to_string(self.status)?;
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim_start_matches(':').trim().to_owned())
        };
        let none = |name: &str| field(name).is_some_and(|value| value.chars().all(|digit| digit == '0'));
        Ok(Enforcement {
            network_namespace: only_loopback(&io::read_to_string(self.links)?),
            no_new_privs: field("NoNewPrivs").as_deref() == Some("1"),
            no_capabilities: CAPABILITIES.into_iter().all(none) && (is_bare || none("CapBnd")),
            landlock_abi,
            limits,
            seccomp: field("Seccomp").as_deref() == Some("2"),
            mounts: io::read_to_string(self.mounts)?.lines().map(summarise_mount).collect(),
            // Which namespaces are new, and whether somebody answers, is for the outside to say.
            ..Enforcement::default()
        })
    }
}

/// `ro /usr` or `rw /tmp`, from a line of mountinfo(5).
fn summarise_mount(line: &str) -> String {
    let mut fields = line.split(' ').skip(4);
    let at = fields.next().unwrap_or("?");
    let read_only = fields.next().is_some_and(|options| options.split(',').any(|option| option == "ro"));
    format!("{} {at}", if read_only { "ro" } else { "rw" })
}

fn only_loopback(links: &str) -> bool {
    links.lines().skip(2).all(|line| line.trim_start().starts_with("lo:"))
}

/// The last step: nothing but the standard streams is passed on.
fn exec(words: &Words) -> io::Error {
    match namespace::close_on_exec_from(3) {
        Ok(()) => namespace::execve(&words.program, &words.argv, &words.env),
        Err(error) => error,
    }
}
