//! The keeper of a run without namespaces: what PID 1 is to a cell, as far as that can be without one.
//!
//! Owns: its steps, what Landlock holds in such a run, and ending everything that descends from the keeper. Does not own:
//! the steps of the agent's process that are the same in every run (`cell.rs`). The keeper runs no agent code and is not
//! confined; nothing of the run can signal, trace or read it, for Landlock keeps them inside.

use super::{At, Failed, reap, start};
use crate::channel::{self, Order, Report};
use crate::mounts;
use crate::plan::{Bare, Plan, Step};
use crate::sys::namespace;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use policy::{Enforcement, Tier};
use rustix::fd::AsFd as _;
use rustix::process::{DumpableBehavior, Pid, Signal};
use std::fs::{DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The keeper, from its first instruction to its last. Never returns before everything that descends from it is gone.
pub(crate) fn keep(wire: &UnixStream, ear: &UnixStream) -> i32 {
    let kept = prepare_and_run(wire, ear);
    if let Err(failed) = &kept {
        let report = Report::Failed { step: failed.step.clone(), because: failed.because.clone() };
        // Where nobody listens any more there is nobody to tell.
        let _ = channel::send(wire, &report);
    }
    end_all();
    i32::from(kept.is_err())
}

fn prepare_and_run(wire: &UnixStream, ear: &UnixStream) -> Result<(), Failed> {
    // ORDER: nothing may leave the keeper's tree, so this comes before anything is in it. The end of the supervisor is
    // heard on the wire: a keeper that was killed with it could end nobody.
    rustix::process::set_child_subreaper(Pid::from_raw(1)).at("keep what descends from the run")?;
    namespace::close_all_but([wire.as_fd(), ear.as_fd()]).at("close what the host holds")?;
    namespace::wipe_environment();
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .at("close the keeper to the inside")?;
    // A key that ends the foreground must not end the keeper.
    rustix::process::setsid().at("leave the terminal")?;
    let plan = match channel::receive(wire) {
        Ok(Order::Prepare(plan)) => plan,
        Err(error) => return Err(error).at("receive the plan"),
    };
    let bare = plan.bare.as_ref().ok_or("it is for namespaces").at("read the plan")?;
    inherits_no_datagrams().at("look at the standard streams")?;
    furnish(&plan, bare).at("make the run's own folders")?;
    let terminal = plan.terminal.contains(&true).then(|| mounts::open_terminal("/dev/ptmx")).transpose()?;
    channel::send(
        wire,
        &Report::Ready {
            sockets: 0,
            terminal: terminal.is_some(),
            layer: false,
            carriers: 0,
            counter: false,
        },
    )
    .at("report")?;
    if let Some(terminal) = &terminal {
        channel::send_descriptor(wire, terminal.master.as_fd()).at("hand out the terminal")?;
    }
    let root = mounts::root().at("open the root")?;
    channel::send_descriptor(wire, root.as_fd()).at("hand out the root")?;
    drop(root);
    start((wire, ear), &plan, terminal.map(|terminal| terminal.slave))
}

/// A socket that can send to whoever it names must not come with the standard streams.
fn inherits_no_datagrams() -> io::Result<()> {
    use rustix::net::{SocketType, sockopt::socket_type};
    let streams = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
    let safe = |stream| match socket_type(stream) {
        Ok(kind) => kind == SocketType::STREAM || kind == SocketType::SEQPACKET,
        Err(_) => true,
    };
    if streams.into_iter().all(safe) {
        Ok(())
    } else {
        Err(io::Error::other("one of them is a socket for datagrams"))
    }
}

/// Makes the private folders and what lies in them.
fn furnish(plan: &Plan, bare: &Bare) -> io::Result<()> {
    for place in bare.places.iter().filter(|place| place.own) {
        folder(place.real.path())?;
    }
    for step in &plan.steps {
        if let Step::File { at, content, mode } = step {
            at.path().parent().map_or(Ok(()), folder)?;
            let mut file = File::options().write(true).create_new(true).mode(*mode).open(at.path())?;
            file.write_all(content.as_slice())?;
        }
    }
    Ok(())
}

fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Closes everything to the process itself but reading and starting what the plan names: no write, no TCP, no signal and
/// no abstract socket across the edge. What is written is opened by the supervisor. Returns the ABI.
pub(super) fn landlock(bare: &Bare) -> Result<u32, Failed> {
    let read = AccessFs::from_read(ABI::V5);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V5))
        .at("ask Landlock for files")?
        .handle_access(AccessNet::from_all(ABI::V4))
        .at("ask Landlock for TCP")?
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
        .at("ask Landlock for scopes")?
        .create()
        .at("make the Landlock rules")?;
    let own = bare.places.iter().map(|place| &place.real);
    for tree in bare.readable.iter().chain(own) {
        // What is not there needs no rule.
        if let Ok(open) = PathFd::new(tree.path()) {
            let rights = if tree.path().is_dir() { read } else { read & AccessFs::from_file(ABI::V5) };
            rules = rules
                .add_rule(PathBeneath::new(open, rights))
                .at(format!("let `{}` be read", tree.path().display()))?;
        }
    }
    // The other side of a terminal is opened by the kernel for whoever holds the first; by its name only we open it.
    if let Ok(terminals) = PathFd::new("/dev/pts") {
        let rights = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        rules = rules.add_rule(PathBeneath::new(terminals, rights)).at("let terminals be made")?;
    }
    let status = rules.restrict_self().at("enforce Landlock")?;
    if status.ruleset != RulesetStatus::FullyEnforced || !status.no_new_privs {
        return Err(Failed { step: "enforce Landlock".into(), because: "the kernel did not".into() });
    }
    Ok(super::landlock_abi())
}

/// What such a run has beside, and what a person should know of it. Both edges are hard requirements above.
pub(super) fn tell(given: &mut Enforcement) {
    given.tier = Tier::Landlock;
    given.landlock_network = true;
    given.landlock_scopes = true;
    given.network_namespace = false;
    // Those of the machine: nothing was mounted for the run.
    given.mounts = Vec::new();
    given.notes = LOST.map(str::to_owned).to_vec();
}

/// What a run without namespaces does not hold.
pub const LOST: [&str; 5] = [
    "names, sizes and owners of the machine's files, and what its links say, can be looked up by name (not listed, not read)",
    "that a process of the machine exists, and whose it is, can be asked by its number (not its words, files or memory)",
    "the machine's host name, network addresses and mounts can be read",
    "if Provost and its keeper are killed at once, what runs keeps what it has open; it starts, opens and connects to nothing more",
    "no server can listen inside, /dev/shm and shared memory are closed, and caches of tools start empty",
];

/// Ends everything that descends from this process. What is orphaned becomes its child, so that nothing gets away; that
/// nothing new is made for ever is for the supervisor, whose end lets every fork fail.
pub(crate) fn end_all() {
    loop {
        let children = children();
        for child in children.iter().filter_map(|child| Pid::from_raw(*child)) {
            // A number of a child is not given out again before it was waited for, which only this thread does.
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        reap(0);
        if matches!(
            rustix::process::wait(rustix::process::WaitOptions::NOHANG),
            Err(rustix::io::Errno::CHILD)
        ) {
            return;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// The children of this process, by its one thread.
fn children() -> Vec<i32> {
    let own = std::process::id();
    let listed = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children"));
    if let Ok(listed) = listed {
        return listed.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    }
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| crate::caller::parent(*number) == i32::try_from(own).ok()).collect()
}
