//! Files: what is opened, renamed and linked, and what of it is denied.
//!
//! Owns: seeing every open, and judging each where only that can hold a rule. Does not own: the opening itself
//! (`open.rs`), the rules.

use super::{Refusal, Supervisor, judge, on_host};
use crate::caller;
use crate::open::{self, Opened, Wanted, is_of_the_kernel};
use crate::plan::is_private;
use crate::sys::notify::{self, Notification};
use crate::view::{Own, through_own};
use ledger::Access;
use policy::Reason;
use rustix::fd::AsFd as _;
use std::io;
use std::path::{Path, PathBuf};

impl Supervisor {
    pub(super) fn open(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
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
        let who = self.identities.of(call.pid);
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
        let inside = self.identities.of(call.pid).inside;
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
                let who = self.identities.of(call.pid);
                self.notary.opened(who.pid, access, path);
                Ok(None)
            }
            Opened::Denied { path, reasons } => Ok(Some(Refusal::of(path, access, reasons))),
        }
    }

    /// Whatever changes what a name means is judged and done by us.
    pub(super) fn change_names(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let change = match call.number {
            libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => open::remove,
            libc::SYS_truncate => open::truncate,
            _ => open::rename_or_link,
        };
        match change(&self.view, call, &mut |path, access| self.binding(path, access))? {
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
        if held.is_absolute()
            && !is_of_the_kernel(&held)
            && let Some(reasons) = self.binding(&held, access)
        {
            return Ok(Some(Refusal::of(held, access, reasons)));
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
}

/// Whether a rule spoke, not only a kind's default.
fn is_explicit(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.rule != "default")
}
