//! Opens and changes of names that are let go: seen, told where the confinement will refuse them, and no more.
//!
//! Owns: what is recorded of a call that the kernel then does by itself: what it names, and whether it will succeed, looked
//! at while the caller is held. Does not own: calls that are judged (`files.rs`), how a path is followed (`sight.rs`). A program
//! that changes its own memory or names while it is held can make the record of its own acts wrong; nothing rests on it.

use super::{Refusal, Supervisor};
use crate::caller::{self, Memory};
use crate::open::{Wanted, is_of_the_kernel};
use crate::sight::{Sight, Thing};
use crate::sys::notify::Notification;
use ledger::{Access, Evidence, NameAct};
use rustix::fs::OFlags;
use std::io;
use std::path::{Path, PathBuf};

/// A change of names, as it will be if it succeeds.
#[derive(Debug, Default)]
pub(super) struct Change {
    entries: Vec<(NameAct, PathBuf)>,
    /// A folder whose change the kernel may refuse for what lies in it or beneath it: its name, and what it is.
    folder: Option<(PathBuf, u64)>,
    /// Nothing leads through these names to others: what was seen of folders stays so.
    aside: bool,
}

/// A change of names that was let go, until its thread calls again.
#[derive(Debug)]
pub(super) struct Changing {
    pid: i32,
    /// Where only what is there afterwards tells whether it was done.
    doubt: Option<Change>,
}

impl Supervisor {
    /// Sees an open that the kernel does.
    pub(super) fn see_open(&mut self, call: &Notification, wanted: Wanted) -> io::Result<Option<Refusal>> {
        let access = wanted.access();
        // At a lesser depth only openat2 comes here to read: its flags are behind a pointer.
        if access == Access::Read && self.watch.evidence != Evidence::Full {
            self.let_go(call);
            return Ok(None);
        }
        self.settle_sight();
        let path = self.name(call, wanted.folder, wanted.path)?;
        if is_of_the_kernel(&path) {
            self.let_go(call);
            return Ok(None);
        }
        if access == Access::Write
            && let Some(refusal) = self.denied(&path, access)
        {
            return Ok(Some(refusal));
        }
        let found = self.sight.opened(&path, wanted.flags);
        // What the view shows may be read; why something cannot be, the policy knows.
        if found.is_none()
            && access == Access::Read
            && let Some(refusal) = self.denied(&path, access)
        {
            return Ok(Some(refusal));
        }
        let who = self.identities.of(call.pid);
        // A call that is not held any more was not made, and what was read of it may be another's.
        if self.let_go(call)
            && let Some(found) = found
        {
            self.notary.opened(who.pid, access, None, found);
        }
        Ok(None)
    }

    /// What a path of the caller's names, as an absolute path of the inside.
    pub(super) fn name(&mut self, call: &Notification, folder: i32, path: PathBuf) -> io::Result<PathBuf> {
        let asked = self.bases.asked(call.pid, folder, path)?;
        if caller::is_folded(&asked) {
            return Ok(asked);
        }
        if caller::goes_up(&asked)
            && let (Some(folder), Some(name)) = (asked.parent(), asked.file_name())
            && let Some(folder) = self.sight.folder(folder)
        {
            return Ok(folder.join(name));
        }
        Ok(caller::named(Path::new("/"), &asked))
    }

    /// While names are being changed, nothing that was seen of folders can be relied on.
    fn settle_sight(&mut self) {
        if !self.changing.is_empty() {
            self.sight.forget();
        }
    }

    /// Sees a change of names that the kernel does.
    pub(super) fn see_change(&mut self, call: &Notification) -> io::Result<Option<Refusal>> {
        // What cannot be read fails by itself.
        let change = self.read_change(call).unwrap_or_default();
        let pid = self.identities.of(call.pid).pid;
        let denied = change.entries.iter().find_map(|(_, path)| self.denied(path, Access::Write));
        if let Some(refusal) = denied {
            return Ok(Some(refusal));
        }
        if !change.aside {
            self.sight.forget();
        }
        self.decide_doubts(&change);
        if self.let_go(call) {
            self.let_change(call.pid, pid, change);
        }
        Ok(None)
    }

    /// A change of names was let go: it is told, or what comes of it is waited for.
    fn let_change(&mut self, thread: i32, pid: i32, change: Change) {
        if change.aside {
            return self.tell(pid, change);
        }
        let (doubt, sure) = match change.folder {
            Some(_) => (Some(change), Change::default()),
            None => (None, change),
        };
        self.changing.insert(thread, Changing { pid, doubt });
        self.tell(pid, sure);
    }

    /// What a change of names comes to: nothing, where it will fail.
    fn read_change(&mut self, call: &Notification) -> io::Result<Change> {
        self.settle_sight();
        let names = Names::of(call);
        let mut memory = Memory::of(call.pid);
        let mut path = |(folder, address): (i32, u64)| {
            let path = memory.path(address)?;
            if !path.as_os_str().is_empty() {
                return self.name(call, folder, path);
            }
            // Only linkat takes a descriptor for a name, if it is told to.
            let by_descriptor =
                call.number == libc::SYS_linkat && names.flags & libc::AT_EMPTY_PATH as u32 != 0;
            let own = PathBuf::from(format!("/proc/self/fd/{folder}"));
            if by_descriptor { Ok(own) } else { Err(io::Error::from_raw_os_error(libc::ENOENT)) }
        };
        let one = path(names.one)?;
        let other = names.other.map(&mut path).transpose()?;
        Ok(names.change(&mut self.sight, &one, other.as_deref()).unwrap_or_default())
    }

    fn tell(&mut self, pid: i32, change: Change) {
        for (act, path) in change.entries {
            self.notary.opened(pid, Access::Write, Some(act), path);
        }
    }

    /// A thread is back: what it did to names is done, or was not.
    pub(super) fn back(&mut self, thread: i32) {
        if let Some(changing) = self.changing.remove(&thread) {
            self.resolve(changing);
        }
    }

    /// A process is gone.
    pub(super) fn gone(&mut self, pid: i32) {
        let gone: Vec<_> = self.changing.extract_if(|_, changing| changing.pid == pid).collect();
        gone.into_iter().for_each(|(_, changing)| self.resolve(changing));
    }

    /// What is in doubt about a name is decided before the name changes again: afterwards it would be taken for the other's.
    fn decide_doubts(&mut self, change: &Change) {
        let is_about = |doubt: &mut Change| {
            doubt.folder.as_ref().is_some_and(|(folder, _)| {
                change.entries.iter().any(|(_, changes)| folder.starts_with(changes))
            })
        };
        let due = self.changing.values_mut().filter_map(|changing| {
            let doubt = changing.doubt.take_if(is_about);
            doubt.map(|doubt| Changing { pid: changing.pid, doubt: Some(doubt) })
        });
        let due: Vec<_> = due.collect();
        due.into_iter().for_each(|changing| self.resolve(changing));
    }

    /// A folder that is not there any more by the name it had was removed, or renamed.
    fn resolve(&mut self, Changing { pid, doubt }: Changing) {
        // What was seen of folders since it was let go may have been seen before it was done.
        self.sight.forget();
        let Some(change) = doubt else { return };
        let mut stays = |(path, inode): &(PathBuf, u64)| {
            self.sight.named(path).is_some_and(|thing| thing.facts.st_ino == *inode)
        };
        if !change.folder.as_ref().is_some_and(&mut stays) {
            self.tell(pid, change);
        }
    }
}

/// The arguments of a call that changes names.
struct Names {
    act: NameAct,
    one: (i32, u64),
    other: Option<(i32, u64)>,
    flags: u32,
}

/// Flags of renameat2 and linkat.
const NOREPLACE: u32 = 1;
const EXCHANGE: u32 = 2;

impl Names {
    fn of(call: &Notification) -> Self {
        let [a0, a1, a2, a3, a4, _] = call.args;
        let here = libc::AT_FDCWD;
        let (act, one, other, flags) = match call.number {
            libc::SYS_unlink => (NameAct::Removed, (here, a0), None, 0),
            libc::SYS_rmdir => (NameAct::Removed, (here, a0), None, libc::AT_REMOVEDIR as u32),
            libc::SYS_unlinkat => (NameAct::Removed, (a0 as i32, a1), None, a2 as u32),
            libc::SYS_truncate => (NameAct::Truncated, (here, a0), None, 0),
            libc::SYS_mkdir | libc::SYS_mknod => (NameAct::Made, (here, a0), None, 0),
            libc::SYS_mkdirat | libc::SYS_mknodat => (NameAct::Made, (a0 as i32, a1), None, 0),
            libc::SYS_symlink => (NameAct::Made, (here, a1), None, 0),
            libc::SYS_symlinkat => (NameAct::Made, (a1 as i32, a2), None, 0),
            libc::SYS_link => (NameAct::Linked, (here, a0), Some((here, a1)), 0),
            libc::SYS_linkat => (NameAct::Linked, (a0 as i32, a1), Some((a2 as i32, a3)), a4 as u32),
            libc::SYS_rename => (NameAct::Renamed, (here, a0), Some((here, a1)), 0),
            libc::SYS_renameat => (NameAct::Renamed, (a0 as i32, a1), Some((a2 as i32, a3)), 0),
            _ => (NameAct::Renamed, (a0 as i32, a1), Some((a2 as i32, a3)), a4 as u32),
        };
        Self { act, one, other, flags }
    }

    /// What comes of it; `None` where it fails.
    fn change(&self, sight: &mut Sight, one: &Path, other: Option<&Path>) -> Option<Change> {
        let single = |path| Change { entries: vec![(self.act, path)], ..Change::default() };
        let beside = |path| Change { aside: true, ..single(path) };
        match (self.act, other) {
            (NameAct::Made, _) => sight.unnamed(one).map(single),
            (NameAct::Truncated, _) => {
                sight.opened(one, OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC).map(beside)
            }
            (NameAct::Removed, _) => {
                let thing = sight.named(one).filter(|thing| thing.movable)?;
                let folder = self.flags & libc::AT_REMOVEDIR as u32 != 0;
                (thing.is_folder() == folder).then(|| Change {
                    folder: doubtful(&thing),
                    aside: !thing.leads_on(),
                    ..single(thing.path)
                })
            }
            (NameAct::Linked, Some(other)) => {
                let there = is_of_the_kernel(one) || sight.named(one).is_some_and(|thing| !thing.is_folder());
                sight.unnamed(other).filter(|_| there).map(single)
            }
            (NameAct::Renamed, Some(other)) => self.rename(sight, one, other),
            _ => None,
        }
    }

    fn rename(&self, sight: &mut Sight, one: &Path, other: &Path) -> Option<Change> {
        let from = sight.named(one).filter(|thing| thing.movable)?;
        let to = sight.named(other);
        if to.as_ref().is_some_and(|to| same(to, &from)) {
            return None;
        }
        let fits = match &to {
            _ if self.flags & EXCHANGE != 0 => to.is_some(),
            Some(to) => self.flags & NOREPLACE == 0 && to.movable && to.is_folder() == from.is_folder(),
            None => true,
        };
        let aside = !from.leads_on() && !to.as_ref().is_some_and(Thing::leads_on);
        let to = match to {
            Some(to) => to.path,
            None => sight.unnamed(other)?,
        };
        let folder = doubtful(&from);
        fits.then(|| Change { entries: vec![(self.act, from.path), (self.act, to)], folder, aside })
    }
}

fn same(one: &Thing, other: &Thing) -> bool {
    (one.facts.st_dev, one.facts.st_ino) == (other.facts.st_dev, other.facts.st_ino)
}

fn doubtful(thing: &Thing) -> Option<(PathBuf, u64)> {
    thing.is_folder().then(|| (thing.path.clone(), thing.facts.st_ino))
}
