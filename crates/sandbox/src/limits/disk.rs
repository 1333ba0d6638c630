//! How much of the disk a run holds: the staged layer, the private caches, and the private places in memory.
//!
//! Owns: counting it. Does not own: what is too much.
//!
//! A walk adds up every file once, whatever names it has, by the blocks that it takes, and at least one block each, so that neither
//! empty files nor holes nor hard links fool it; files without a name count while somebody holds them open. Between two walks the free
//! space of the file systems tells the most that can have been added. Where a folder cannot be read, all that the file system lost
//! since the run began counts as the run's.
//!
//! Not seen: a file without a name that only a mapping, or a message under way, holds.

use super::memory::Memory;
use super::processes::Processes;
use crate::plan::{Bytes, Plan, Step};
use rustix::fd::{AsFd as _, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What a file takes at least, its entry and its description.
const LEAST: u64 = 4096;
/// Of so many times its own time a walk waits before the next, where nothing seems to be over.
const IDLE: u32 = 100;
/// The same where a limit seems to be reached.
const BUSY: u32 = 10;

/// A place on the host's disk whose content counts as the run's.
struct Counted {
    at: Bytes,
    /// It holds what is not the run's: only what is added counts.
    since_start: bool,
}

/// The places of the host's disk that a run writes to.
fn counted(plan: &Plan) -> Vec<Counted> {
    let written = |step: &Step| match step {
        Step::Layer { upper, .. } => Some(Counted { at: upper.clone(), since_start: false }),
        Step::Show { from, at, writable: true } => {
            Some(Counted { at: from.clone(), since_start: *at == plan.workspace })
        }
        _ => None,
    };
    plan.steps.iter().filter_map(written).collect()
}

/// The disk of a run.
#[derive(Debug)]
pub(crate) struct Disk {
    places: Vec<Place>,
    systems: Vec<System>,
    /// What the last walk found.
    counted: u64,
    walked: Option<(Instant, Duration)>,
}

#[derive(Debug)]
struct Place {
    folder: OwnedFd,
    /// What it held when the run began and that is not the run's.
    before: u64,
}

/// A file system that places lie on.
#[derive(Debug)]
struct System {
    device: u64,
    folder: OwnedFd,
    free_at_start: u64,
    free_at_walk: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
struct Walk {
    bytes: u64,
    /// Something could not be read.
    blind: bool,
    linked: HashSet<(u64, u64)>,
}

impl Disk {
    /// Of what this plan lets be written. Places that hold more than the run's own are counted as they are now.
    pub(crate) fn of(plan: &Plan) -> io::Result<Self> {
        let mut disk = Self { places: Vec::new(), systems: Vec::new(), counted: 0, walked: None };
        for one in counted(plan) {
            let folder = open(one.at.path())?;
            let never = AtomicBool::new(false);
            let mut walk = Walk::default();
            if one.since_start {
                walk.add(&folder, &never);
            }
            disk.know_system(&folder)?;
            disk.places.push(Place { folder, before: walk.bytes });
        }
        Ok(disk)
    }

    fn know_system(&mut self, folder: &OwnedFd) -> io::Result<()> {
        let device = rustix::fs::fstat(folder)?.st_dev;
        if self.systems.iter().all(|known| known.device != device) {
            let (folder, free) = (folder.try_clone()?, free(folder)?);
            self.systems.push(System { device, folder, free_at_start: free, free_at_walk: free });
        }
        Ok(())
    }

    /// What is held now, as far as `most` makes it worth to know.
    pub(crate) fn look(
        &mut self,
        most: u64,
        (processes, memory): (&Processes, &Memory),
        stop: &AtomicBool,
    ) -> u64 {
        let private = memory.private();
        let near = self.counted + self.lost(|system| system.free_at_walk) + private;
        let wait = match self.walked {
            None => Duration::ZERO,
            Some((_, cost)) if near >= most => (cost * BUSY).max(Duration::from_millis(20)),
            Some((_, cost)) => (cost * IDLE).max(Duration::from_secs(10)),
        };
        let rested = self.walked.is_none_or(|(at, _)| at.elapsed() >= wait);
        if rested && (self.walked.is_none() || near > self.counted + private) {
            let nameless = if near >= most { memory.nameless(processes) } else { 0 };
            self.walk(stop);
            self.counted += nameless;
        } else if near < most {
            return near;
        }
        self.counted + private
    }

    /// Counts anew. A walk that was stopped leaves what was known.
    fn walk(&mut self, stop: &AtomicBool) {
        let began = Instant::now();
        for system in &mut self.systems {
            system.free_at_walk = free(&system.folder).unwrap_or(system.free_at_walk);
        }
        let mut sum = 0;
        let mut blind = false;
        for place in &self.places {
            let mut walk = Walk::default();
            walk.add(&place.folder, stop);
            sum += walk.bytes.saturating_sub(place.before);
            blind |= walk.blind;
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let lost = self.lost(|system| system.free_at_start);
        self.counted = if blind { sum.max(lost) } else { sum };
        self.walked = Some((Instant::now(), began.elapsed()));
    }

    /// What the file systems have less than they had.
    fn lost(&self, then: impl Fn(&System) -> u64) -> u64 {
        let less = |system: &System| free(&system.folder).map_or(0, |now| then(system).saturating_sub(now));
        self.systems.iter().map(less).sum()
    }
}

impl Walk {
    /// Adds a folder and all beneath it. No link is followed, and no other file system entered.
    fn add(&mut self, top: &OwnedFd, stop: &AtomicBool) {
        let Ok(top) = open_in(top, c".") else {
            self.blind = true;
            return;
        };
        let mut open = vec![(Rc::new(top), None::<CString>)];
        while let Some((parent, name)) = open.pop() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let folder = match name {
                None => parent,
                Some(name) => match open_in(&parent, &name) {
                    Ok(folder) => Rc::new(folder),
                    // One that is gone holds nothing.
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(_) => {
                        self.blind = true;
                        continue;
                    }
                },
            };
            let Ok(listed) = Dir::read_from(folder.as_fd()) else {
                self.blind = true;
                continue;
            };
            for entry in listed {
                let Ok(entry) = entry else {
                    self.blind = true;
                    break;
                };
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let Ok(facts) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else {
                    continue;
                };
                self.file(&facts);
                if FileType::from_raw_mode(facts.st_mode).is_dir() {
                    open.push((Rc::clone(&folder), Some(name.to_owned())));
                }
            }
        }
    }

    fn file(&mut self, facts: &Stat) {
        let folder = FileType::from_raw_mode(facts.st_mode).is_dir();
        if folder || facts.st_nlink < 2 || self.linked.insert((facts.st_dev, facts.st_ino)) {
            self.bytes += (u64::try_from(facts.st_blocks).unwrap_or_default() * 512).max(LEAST);
        }
    }
}

fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

fn open_in(folder: &OwnedFd, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NOATIME | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        // Only an owner may leave the time of reading alone.
        Err(rustix::io::Errno::PERM) => {
            rustix::fs::openat(folder, name, flags - OFlags::NOATIME, Mode::empty())
        }
        other => other,
    }
}

/// Free bytes of a file system.
fn free(folder: &OwnedFd) -> io::Result<u64> {
    let system = rustix::fs::fstatfs(folder)?;
    Ok(system.f_bfree * u64::try_from(system.f_bsize).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn held(folder: &Path) -> Walk {
        let mut walk = Walk::default();
        walk.add(&open(folder).unwrap(), &AtomicBool::new(false));
        walk
    }

    #[test]
    fn names_holes_and_empty_files_fool_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one"), vec![1; 1 << 20]).unwrap();
        for name in ["two", "three"] {
            fs::hard_link(at("one"), at(name)).unwrap();
        }
        fs::File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
        std::os::unix::fs::symlink("/", at("out")).unwrap();
        let walk = held(folder.path());
        assert!((1 << 20..2 << 20).contains(&walk.bytes) && !walk.blind, "{walk:?}");
        fs::create_dir(at("many")).unwrap();
        for number in 0..500 {
            fs::write(at(&format!("many/{number}")), "").unwrap();
        }
        let grown = held(folder.path()).bytes - walk.bytes;
        assert!(grown >= 500 * LEAST, "empty files take their place too: {grown}");
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // To root nothing is closed.
        assert_eq!(held(folder.path()).blind, !rustix::process::geteuid().is_root());
    }

    #[test]
    fn depth_ends_a_walk_no_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let mut at =
            rustix::fs::open(folder.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let walk = held(folder.path());
        assert!(walk.bytes >= 3_000 * LEAST && !walk.blind, "{walk:?}");
    }
}
