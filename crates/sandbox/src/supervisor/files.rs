//! Files: what is opened, renamed and linked, and what of it is denied.
//!
//! Owns: seeing every open, and judging each where only that can hold a rule. Does not own: the opening itself
//! (`open.rs`), the rules.

use super::{Refusal, Supervisor, built_in, judge, on_host};
use crate::caller;
use crate::make;
use crate::open::{self, Goal, Opened, Waiting, Wanted, is_of_the_kernel};
use crate::sys::notify::{self, Notification};
use crate::view::{Found, Own, through_own};
use ledger::Access;
use policy::Reason;
use rustix::fd::AsFd as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often a path may lead through the caller's own entries.
const OWN_MAX: usize = 8;
/// How many judgements are remembered.
const JUDGED_MAX: usize = 65_536;
/// What shows the namespaces of whoever opens it, which would be the host's if we did.
const OPENERS: [&str; 2] = ["/proc/sysvipc", "/proc/sys/net"];
/// How many opens may wait for the other end of a pipe at once.
const WAITERS_MAX: usize = 256;

impl Supervisor {
    pub(super) fn open(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let wanted = open::read(call)?;
        if self.watch.judged_opens {
            return self.open_on_behalf(call, &wanted);
        }
        let path = self.name(call, &wanted)?;
        let access = wanted.access();
        if is_of_the_kernel(&path) {
            self.let_go(call);
            return Ok(None);
        }
        if let Some(refusal) = self.denied(&path, access) {
            return Ok(Some(refusal));
        }
        let who = self.identities.of(call.pid);
        self.notary.opened(who.pid, access, None, path);
        self.let_go(call);
        Ok(None)
    }

    /// What the caller named, folded to an absolute path of the inside.
    fn name(&self, call: &Notification, wanted: &Wanted) -> io::Result<PathBuf> {
        let asked = caller::asked(call.pid, wanted.folder, &wanted.path)?;
        if caller::goes_up(&asked)
            && let Ok(found) = self.view.find(&asked, true)
        {
            return Ok(found.path);
        }
        Ok(caller::named(Path::new("/"), &asked))
    }

    /// Every open is judged on what it leads to, and done by us: nothing that the caller changes afterwards matters.
    fn open_on_behalf(&mut self, call: &Notification, wanted: &Wanted) -> io::Result<Option<Refusal>> {
        let asked = caller::asked(call.pid, wanted.folder, &wanted.path)?;
        let goal = self.goal(call, asked)?;
        let judge = &mut |path: &Path, access| self.binding(call, path, access);
        let opened = open::on_behalf(&self.view, goal, wanted, call.pid, judge)?;
        let (pid, access) = (self.identities.of(call.pid).pid, wanted.access());
        match opened {
            Opened::Yes { file, path } => {
                self.notary.opened(pid, access, None, path);
                notify::inject(self.listener.as_fd(), call.id, file.as_fd(), wanted.close_on_exec())?;
                Ok(None)
            }
            Opened::Blocks(waiting) => {
                self.notary.opened(pid, access, None, waiting.path.clone());
                self.wait_for_other_end(call, waiting, wanted.close_on_exec())?;
                Ok(None)
            }
            Opened::Denied { path, reasons } => Ok(Some(Refusal::of(path, access, reasons))),
        }
    }

    /// What a path leads to; its way through the caller's own entries of /proc is gone for it.
    fn goal(&mut self, call: &Notification, mut path: PathBuf) -> io::Result<Goal> {
        let base = |folder| caller::base(call.pid, folder);
        for _ in 0..OWN_MAX {
            let who = self.identities.of(call.pid);
            path = match through_own(&path, who, &base)? {
                None => return Ok(Goal::Path(path)),
                Some(Own::Entry(path)) => return Ok(Goal::Path(path)),
                Some(Own::Descriptor(number)) => return Found::held_by(call.pid, number).map(Goal::Held),
                Some(Own::Program) => return Found::at(&format!("/proc/{}/exe", call.pid)).map(Goal::Held),
                Some(Own::Path(path)) => path,
            };
        }
        Err(io::Error::from_raw_os_error(libc::ELOOP))
    }

    /// An open of a named pipe waits for the other end: on a thread of its own, so that nobody else waits with it.
    fn wait_for_other_end(
        &self,
        call: &Notification,
        waiting: Waiting,
        close_on_exec: bool,
    ) -> io::Result<()> {
        let (listener, waiters, id) = (Arc::clone(&self.listener), Arc::clone(&self.waiters), call.id);
        if waiters.fetch_add(1, Ordering::Relaxed) >= WAITERS_MAX {
            waiters.fetch_sub(1, Ordering::Relaxed);
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let wait = move || {
            // A caller that was killed meanwhile needs no answer.
            let _ = match waiting.open() {
                Ok(file) => notify::inject(listener.as_fd(), id, file.as_fd(), close_on_exec),
                Err(error) => notify::refuse(listener.as_fd(), id, error.raw_os_error().unwrap_or(libc::EIO)),
            };
            waiters.fetch_sub(1, Ordering::Relaxed);
        };
        std::thread::Builder::new().name("other end".into()).spawn(wait).map(drop)
    }

    /// Whatever changes what a name means is judged and done by us.
    pub(super) fn change_names(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let change = match call.number {
            libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => open::remove,
            libc::SYS_truncate => open::truncate,
            libc::SYS_mkdir
            | libc::SYS_mkdirat
            | libc::SYS_symlink
            | libc::SYS_symlinkat
            | libc::SYS_mknod
            | libc::SYS_mknodat => make::make,
            _ => open::rename_or_link,
        };
        match change(&self.view, call, &mut |path, access| self.binding(call, path, access))? {
            None => {
                let _ = notify::succeed(self.listener.as_fd(), call.id);
                Ok(None)
            }
            Some((path, reasons)) => {
                let quiet = self.watch.quiet.iter().any(|tree| path.starts_with(tree));
                let tell = is_explicit(&reasons) || !quiet;
                Ok(Some(Refusal { tell, ..Refusal::of(path, Access::Write, reasons) }))
            }
        }
    }

    /// Reasons against an open that no mount holds: a rule that names the path, or a write outside every place that
    /// may be written.
    fn binding(&self, call: &Notification, path: &Path, access: Access) -> io::Result<Option<Vec<Reason>>> {
        if !notify::still_held(self.listener.as_fd(), call.id) {
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        if OPENERS.iter().any(|tree| path.starts_with(tree)) {
            let why = "it would tell of the host: the kernel answers whoever opens it";
            return Ok(Some(vec![built_in(why)]));
        }
        let Some(reasons) = judge(&self.admission, path, access) else { return Ok(None) };
        let open = access == Access::Read || self.is_private(path) || path.starts_with("/dev");
        Ok((is_explicit(&reasons) || !open).then_some(reasons))
    }

    /// Whether what lies there is the run's own, and no policy of the host's files speaks of it by default.
    fn is_private(&self, path: &Path) -> bool {
        self.own.iter().rev().find(|(place, _)| path.starts_with(place)).is_some_and(|(_, private)| *private)
    }

    /// What the policy has against it; asked once for each path.
    fn judgement(&mut self, path: &Path, access: Access) -> Option<Vec<Reason>> {
        let [reads, writes] = &mut self.judged;
        let judged = if access == Access::Read { reads } else { writes };
        if let Some(known) = judged.get(path.as_os_str()) {
            return known.clone();
        }
        if judged.len() > JUDGED_MAX {
            judged.clear();
        }
        let reasons = judge(&self.admission, path, access);
        judged.insert(path.into(), reasons.clone());
        reasons
    }

    /// Whether the policy denies what the confinement keeps away anyway, so that it can be recorded and told.
    fn denied(&mut self, path: &Path, access: Access) -> Option<Refusal> {
        let reasons = self.judgement(path, access)?;
        let explicit = is_explicit(&reasons);
        let private = self.is_private(path);
        let stands = self.view.stands(path);
        let refusal =
            |errno, tell| Some(Refusal { target: path.to_path_buf(), access, reasons, errno, tell });
        match access {
            // The agent's own file in a private place, or a folder on the way to something that is shown.
            Access::Read if stands && (private || !explicit) => None,
            Access::Read if stands => refusal(Some(libc::EACCES), true),
            // What the view has not: the call finds nothing. That the host has it is for the record; neither an errno nor a
            // line may depend on it.
            Access::Read if explicit || on_host(path) => refusal(None, explicit),
            Access::Read => None,
            Access::Write if private && !explicit => None,
            Access::Write => {
                let quiet = self.watch.quiet.iter().any(|tree| path.starts_with(tree));
                refusal(Some(libc::EACCES), explicit || !quiet)
            }
        }
    }
}

/// Whether a rule spoke, not only a kind's default.
fn is_explicit(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.rule != "default")
}
