//! A cell without namespaces, seen from outside: a keeper, and what descends from it.
//!
//! Owns: making it, preparing it and ending it. Does not own: the steps inside (`cell/bare.rs`), or what is the same of every
//! cell (`jail.rs`).

use super::{Cell, Jail, JailError, SUPERVISOR_PATIENCE, unexpected};
use crate::cell;
use crate::channel::{self, Order, Report};
use crate::limits;
use crate::overlay::Pulse;
use crate::plan::Plan;
use crate::supervisor::bare::Bare;
use crate::sys::namespace::{self, Side};
use crate::voice::Voice;
use policy::Enforcement;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions};
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

impl Cell {
    /// Makes what stands for a cell where the kernel gives no namespaces. To be called as early as [`Cell::spawn`].
    pub fn bare() -> Result<Self, JailError> {
        if rustix::process::geteuid().is_root() {
            return Err(JailError::RootAlone);
        }
        let (wire, inner_wire) = UnixStream::pair().map_err(JailError::Lost)?;
        let (voice, ear) = UnixStream::pair().map_err(JailError::Lost)?;
        // ORDER: before there is a keeper: what outlives one that was killed is ours to end.
        rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1))
            .map_err(|error| JailError::Lost(error.into()))?;
        match namespace::clone_keeper().map_err(JailError::Lost)? {
            Side::Child => {
                drop((wire, voice));
                namespace::exit_now(cell::bare::keep(&inner_wire, &ear))
            }
            Side::Parent { pid, pidfd } => {
                let voice = Voice::new(voice).map_err(JailError::Lost)?;
                let own = Enforcement::default();
                Ok(Self { wire, voice, pid, process: pidfd, own, bare: true, mounts: None })
            }
        }
    }

    /// The same where there is no view: the sockets are the machine's own, on numbers that it gives.
    pub(super) fn prepare_bare(self, plan: Plan) -> Result<Jail, JailError> {
        let limits = plan.limits.clone();
        let own = plan.bare.clone().ok_or_else(|| unplanned("a plan for namespaces"))?;
        let (program, folder) = (plan.program.path().to_path_buf(), plan.folder.path().to_path_buf());
        let (workspace, ports) = (plan.workspace.path().to_path_buf(), plan.ports.clone());
        let (judged_execs, folders, evidence) = (plan.judged_execs, plan.folders(), plan.evidence);
        let sent = channel::send(&self.wire, &Order::Prepare(Box::new(plan)));
        let has_terminal = match self.hear().map_err(|lost| sent.err().map_or(lost, JailError::Lost))? {
            Report::Ready { terminal, .. } => terminal,
            other => return Err(unexpected(other)),
        };
        let take = || channel::receive_descriptor(&self.wire).map_err(JailError::Lost);
        let terminal = has_terminal.then(take).transpose()?;
        let root = take()?;
        let given = match self.hear()? {
            Report::Enforced(given) => *given,
            other => return Err(unexpected(other)),
        };
        let listener = take()?;
        let listen = |_: &u16| TcpListener::bind(("127.0.0.1", 0));
        let sockets = ports.iter().map(listen).collect::<io::Result<Vec<_>>>().map_err(JailError::Lost)?;
        let doors = sockets.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
        let doors = ports.into_iter().zip(doors.map_err(JailError::Lost)?).collect();
        let mut enforcement = self.with_namespaces(given);
        enforcement.limits.extend(limits::watched(&limits, false));
        let bare = Bare::new(&own, self.pid, doors);
        let (folder, bare) = (bare.names().spoken(folder).into_owned(), Some(bare));
        let (own, overlay, pulse, held) = (Vec::new(), None, Pulse::new(evidence), Some((listener, root)));
        Ok(Jail {
            cell: self,
            enforcement,
            sockets,
            carriers: None,
            places: None,
            terminal,
            held,
            program,
            folder,
            judged_execs,
            folders,
            own,
            workspace,
            overlay,
            pulse,
            bare,
            limits,
            counter: None,
            disk: None,
        })
    }

    /// Tells the keeper to end, which ends everything else first; where it was killed, that is left to us.
    pub(super) fn end_bare(&self) {
        let _ = self.wire.shutdown(std::net::Shutdown::Both);
        let patience = Timespec::try_from(SUPERVISOR_PATIENCE).ok();
        let _ = poll(&mut [PollFd::new(&self.process, PollFlags::IN)], patience.as_ref());
        let _ = rustix::process::pidfd_send_signal(&self.process, Signal::KILL);
        let keeper = rustix::process::Pid::from_raw(self.pid);
        let ended =
            keeper.and_then(|keeper| rustix::process::waitpid(Some(keeper), WaitOptions::empty()).ok());
        let was_killed = ended.flatten().is_none_or(|(_, status)| status.signaled());
        if was_killed {
            cell::bare::end_all();
        }
    }
}

fn unplanned(what: &str) -> JailError {
    JailError::Lost(io::Error::other(format!("{what} is for another cell")))
}
