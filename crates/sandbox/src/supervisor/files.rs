//! Files: what is opened, renamed and linked.
//!
//! Owns: seeing every open and, where only that can hold a rule, the way of each from the held call to its answer. Does not
//! own: how it is done (`deed.rs`), the judgement (`weigh.rs`), asking (`held.rs`).

use super::weigh::{Judged, is_explicit};
use super::{Refusal, Supervisor};
use crate::caller;
use crate::deed::{Deed, Done};
use crate::names::Change;
use crate::open::{self, Goal, Opening, TRIES_MAX, Waiting, Wanted};
use crate::sys::notify::{self, Notification};
use crate::view::{Found, Own, through_own};
use ledger::Access;
use rustix::fd::AsFd as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often a path may lead through the caller's own entries.
const OWN_MAX: usize = 8;
/// How many opens may wait for the other end of a pipe at once.
const WAITERS_MAX: usize = 256;

/// What became of a call.
pub(super) enum Came {
    /// It was answered, or will be.
    Done,
    Refused(Refusal),
    /// Something else lies there by now than what was judged.
    Exchanged,
}

impl Supervisor {
    pub(super) fn open(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let wanted = open::read(call)?;
        if self.bare.is_some() && wanted.points_only() {
            // It tells what a look at the name tells, which nothing here holds; whatever is done with it is judged.
            self.let_go(call);
            return Ok(None);
        }
        if self.watch.judged_opens {
            return self.open_on_behalf(call, &wanted);
        }
        self.see_open(call, wanted)
    }

    /// Every open is judged on what it leads to, and done by us: nothing that the caller changes afterwards matters.
    fn open_on_behalf(&mut self, call: &Notification, wanted: &Wanted) -> io::Result<Option<Refusal>> {
        for _ in 0..TRIES_MAX {
            let asked = caller::asked(call.pid, wanted.folder, &wanted.path)?;
            let goal = self.goal(call, asked)?;
            let opening = match Opening::find(&self.view, goal, wanted.clone(), call.pid) {
                Ok(opening) => opening,
                Err(error) => return self.unfound(call, wanted, error),
            };
            match self.on_behalf(call, Deed::Open(opening))? {
                Came::Done => return Ok(None),
                Came::Refused(refusal) => return Ok(Some(refusal)),
                // Something came to be there meanwhile, and is judged as what it is.
                Came::Exchanged => {}
            }
        }
        Err(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// What the view has not, or does not open, fails as it does; where policy is why, that is recorded and told.
    fn unfound(
        &mut self,
        call: &Notification,
        wanted: &Wanted,
        error: io::Error,
    ) -> io::Result<Option<Refusal>> {
        let errno = error.raw_os_error().filter(|errno| matches!(*errno, libc::ENOENT | libc::EACCES));
        let path = self.name(call, wanted.folder, wanted.path.clone())?;
        let denies = errno.is_some() && self.denies(&path, wanted.access());
        let refusal = if denies { self.denied(&path, wanted.access()) } else { None };
        refusal.map_or(Err(error), |refusal| Ok(Some(Refusal { errno, ..refusal })))
    }

    /// Whatever changes what a name means is judged and done by us.
    pub(super) fn change_names(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        let change = Change::read(&self.view, call)?;
        match self.on_behalf(call, Deed::Change(change))? {
            Came::Done => Ok(None),
            Came::Refused(refusal) => {
                let quiet = self.watch.quiet.iter().any(|tree| refusal.target.starts_with(tree));
                let tell = is_explicit(&refusal.reasons) || !quiet;
                Ok(Some(Refusal { tell, access: Access::Write, ..refusal }))
            }
            Came::Exchanged => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
        }
    }

    /// Judges what a call wants done, and does it, or has somebody asked first.
    fn on_behalf(&mut self, call: &Notification, deed: Deed) -> io::Result<Came> {
        if !notify::still_held(self.listener.as_fd(), call.id) {
            // What was read may have been somebody else's.
            return Err(io::Error::from_raw_os_error(libc::EINTR));
        }
        match self.judge_deed(call.pid, &deed)? {
            Judged::Clear => self.perform(call, deed),
            Judged::Refused { path, access, reasons } => {
                Ok(Came::Refused(Refusal::of(path, access, reasons)))
            }
            Judged::Asks(needed) => Ok(self.ask(call, deed, needed).map_or(Came::Done, Came::Refused)),
        }
    }

    /// Does what was judged, and answers the call.
    pub(super) fn perform(&mut self, call: &Notification, deed: Deed) -> io::Result<Came> {
        let (close_on_exec, access) = (deed.close_on_exec(), deed.access());
        let pid = self.identities.of(call.pid).pid;
        match deed.perform(&self.view, call.pid)? {
            Done::File { file, path } => {
                self.notary.opened(pid, access, None, path);
                notify::inject(self.listener.as_fd(), call.id, file.as_fd(), close_on_exec)?;
            }
            Done::Blocks(waiting) => {
                self.notary.opened(pid, access, None, waiting.path.clone());
                self.wait_for_other_end(call, waiting, close_on_exec)?;
            }
            Done::Pointed { path } => {
                self.notary.opened(pid, access, None, path);
                self.let_go(call);
            }
            Done::Changed { acts } => {
                for (act, path) in acts {
                    self.notary.opened(pid, access, Some(act), path);
                }
                // A caller that was killed meanwhile needs no answer.
                let _ = notify::succeed(self.listener.as_fd(), call.id);
            }
            Done::Exchanged => return Ok(Came::Exchanged),
        }
        Ok(Came::Done)
    }

    /// What a path leads to; its way through the caller's own entries of /proc is gone for it.
    pub(super) fn goal(&mut self, call: &Notification, mut path: PathBuf) -> io::Result<Goal> {
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
}

/// Whether a call changes what a name means.
pub(super) fn changes_names(number: i64) -> bool {
    matches!(
        number,
        libc::SYS_unlink
            | libc::SYS_unlinkat
            | libc::SYS_rmdir
            | libc::SYS_truncate
            | libc::SYS_mkdir
            | libc::SYS_mkdirat
            | libc::SYS_symlink
            | libc::SYS_symlinkat
            | libc::SYS_mknod
            | libc::SYS_mknodat
            | libc::SYS_rename
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_link
            | libc::SYS_linkat
    )
}
