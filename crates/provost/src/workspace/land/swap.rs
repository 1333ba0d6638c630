//! The one step in which a file lands, and where it stands after a crash.
//!
//! Owns: that each file changes in one step beneath the root, by descriptor, and that nothing but what was judged is
//! replaced: what comes out of its place is looked at, and put back if it is another. Does not own which steps there are.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use admission::{Land, Outcome, Permit};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::journal::{Journal, Stands, Step};
use super::{ready, said};
use crate::workspace::beneath::{Kind, Root, find_in, is_absent};
use crate::workspace::sides::Sides;

/// What became of a step: the decision that let it happen, if it happened now; or why it did not.
pub(super) type Done = Result<Option<u64>, String>;

/// How far a step got before a crash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It is done.
    Done,
    /// It is still to be done.
    Not,
    /// It cannot be done any more.
    Lost(String),
}

const CHANGED: &str = "it was changed while it was landing; nothing of yours was replaced";

/// Steps in the order in which they can be done, each with its permit.
pub(super) fn in_order(steps: &[Step], permits: Vec<Permit<Land>>) -> Vec<(&Step, Permit<Land>)> {
    let mut pairs: Vec<_> = steps.iter().zip(permits).collect();
    pairs.sort_by(|(one, _), (other, _)| order(one, other));
    pairs
}

/// Steps in the order in which they can be done.
pub(super) fn by_order(steps: &[Step]) -> Vec<&Step> {
    let mut steps: Vec<_> = steps.iter().collect();
    steps.sort_by(|one, other| order(one, other));
    steps
}

// ORDER: folders open before anything in them changes; what goes makes room, the innermost first; then what comes.
fn order(one: &Step, other: &Step) -> std::cmp::Ordering {
    let class = |step: &Step| match (&step.pre, &step.post) {
        (Stands::Folder { .. }, Stands::Folder { .. }) => 0,
        (_, Stands::Nothing) | (Stands::File { .. } | Stands::Link { .. }, Stands::Folder { .. }) => 1,
        _ => 2,
    };
    let paths = || one.path().cmp(&other.path());
    class(one).cmp(&class(other)).then_with(|| if class(one) == 1 { paths().reverse() } else { paths() })
}

/// Does one step, with its permit.
pub(super) fn perform(permit: Permit<Land>, step: &Step, sides: &Sides, folders: &[(PathBuf, u32)]) -> Done {
    let (Land(path), receipt) = permit.begin();
    let done = match path.as_path().ends_with(step.path()) {
        true => swap(step, &sides.now, folders),
        false => Err("the permit is for another file".to_owned()),
    };
    let cause = receipt.seq();
    receipt.settle(match &done {
        Ok(()) => Outcome::done(),
        Err(because) => Outcome::failed(because.clone()),
    });
    done.map(|()| Some(cause))
}

/// Where a step happens: a name in a folder, and another beside it.
struct Place {
    folder: OwnedFd,
    name: OsString,
    beside: OwnedFd,
    temp: String,
}

impl Place {
    fn of(step: &Step, now: &Root) -> io::Result<Place> {
        let path = step.path();
        let (folder, name) = now.parent(&path)?;
        let beside = now.folder(&step.temp.folder())?;
        Ok(Place { folder, name: name.to_owned(), beside, temp: step.temp.name.clone() })
    }

    /// Puts what is ready into its place, where nothing is.
    fn put(&self) -> rustix::io::Result<()> {
        renameat_with(&self.beside, self.temp.as_str(), &self.folder, &self.name, RenameFlags::NOREPLACE)
    }

    /// Takes what is in the place out of it.
    fn take(&self) -> rustix::io::Result<()> {
        renameat_with(&self.folder, &self.name, &self.beside, self.temp.as_str(), RenameFlags::NOREPLACE)
    }

    /// Lets both change places.
    fn exchange(&self) -> rustix::io::Result<()> {
        renameat_with(&self.beside, self.temp.as_str(), &self.folder, &self.name, RenameFlags::EXCHANGE)
    }

    /// Whether what is under a name is what was judged.
    fn judged(&self, step: &Step, folder: &OwnedFd, name: impl AsRef<OsStr>) -> bool {
        find_in(folder, name.as_ref()).is_ok_and(|found| found.is_some_and(|found| step.has_seen(&found)))
    }

    fn drop_temp(&self) -> Result<(), String> {
        match unlinkat(&self.beside, self.temp.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(said("take away what was replaced")(error.into())),
        }
    }

    /// What came out was not what was judged: it goes back, or, where somebody was faster still, stays beside.
    fn give_back(&self, back: rustix::io::Result<()>) -> Result<(), String> {
        if back.is_ok() {
            return Err(CHANGED.to_owned());
        }
        let mut kept = self.name.clone();
        kept.push(".yours");
        kept.push(&self.temp);
        renameat(&self.beside, self.temp.as_str(), &self.beside, &kept)
            .map_err(|error| said("put it back")(error.into()))?;
        Err(format!("{CHANGED}; a version of yours is in `{}`", kept.display()))
    }
}

fn swap(step: &Step, now: &Root, folders: &[(PathBuf, u32)]) -> Result<(), String> {
    if step.post != Stands::Nothing {
        make_parents(step, now, folders).map_err(said("make its folder"))?;
    }
    let place = Place::of(step, now).map_err(said("reach it"))?;
    match (&step.pre, &step.post) {
        (Stands::Folder { .. }, Stands::Folder { mode }) => open_folder(&place, *mode),
        _ if step.is_mode() => set_mode(&place, step),
        (Stands::Folder { .. }, Stands::Nothing) => remove_folder(&place),
        (Stands::Nothing, Stands::Nothing) => Ok(()),
        (_, Stands::Nothing) => remove(&place, step),
        (Stands::Nothing, Stands::Folder { .. }) => make_folder(&place),
        (_, Stands::Folder { .. }) => {
            if find_in(&place.folder, &place.name).map_err(said("look at it"))?.is_some() {
                remove(&place, step)?;
            }
            make_folder(&place)
        }
        (Stands::Nothing, _) => put(&place),
        (Stands::Folder { .. }, _) => {
            remove_folder(&place)?;
            put(&place)
        }
        _ => replace(&place, step),
    }
}

fn put(place: &Place) -> Result<(), String> {
    match place.put() {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => Err(CHANGED.to_owned()),
        Err(error) => Err(said("put it there")(error.into())),
    }
}

fn replace(place: &Place, step: &Step) -> Result<(), String> {
    if !place.judged(step, &place.folder, &place.name) {
        return Err(CHANGED.to_owned());
    }
    match place.exchange() {
        Ok(()) if place.judged(step, &place.beside, &place.temp) => place.drop_temp(),
        Ok(()) => place.give_back(place.exchange()),
        // A file system that cannot exchange: one that replaces in one step is next best.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            renameat(&place.beside, place.temp.as_str(), &place.folder, &place.name)
                .map_err(|error| said("put it there")(error.into()))
        }
        Err(error) => Err(said("put it there")(error.into())),
    }
}

fn remove(place: &Place, step: &Step) -> Result<(), String> {
    if !place.judged(step, &place.folder, &place.name) {
        return Err(CHANGED.to_owned());
    }
    match place.take() {
        Ok(()) if place.judged(step, &place.beside, &place.temp) => place.drop_temp(),
        Ok(()) => place.give_back(place.put()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            unlinkat(&place.folder, &place.name, AtFlags::empty())
                .map_err(|error| said("remove it")(error.into()))
        }
        Err(error) => Err(said("remove it")(error.into())),
    }
}

fn remove_folder(place: &Place) -> Result<(), String> {
    match unlinkat(&place.folder, &place.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Err("its folder still holds something".to_owned()),
        Err(error) => Err(said("remove the folder")(error.into())),
    }
}

/// Makes a folder that is its maker's alone until all is done.
fn make_folder(place: &Place) -> Result<(), String> {
    match rustix::fs::mkdirat(&place.folder, &place.name, Mode::RWXU) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => match find_in(&place.folder, &place.name) {
            Ok(Some(found)) if found.is_folder() => Ok(()),
            _ => Err(CHANGED.to_owned()),
        },
        Err(error) => Err(said("make the folder")(error.into())),
    }
}

/// Opens a folder whose mode changes to its owner, for the while.
fn open_folder(place: &Place, mode: u32) -> Result<(), String> {
    chmod(&place.folder, &place.name, Kind::Folder, mode | 0o700).map_err(said("set its mode"))
}

fn set_mode(place: &Place, step: &Step) -> Result<(), String> {
    let (Stands::File { mode, .. }, true) = (&step.post, place.judged(step, &place.folder, &place.name))
    else {
        return Err(CHANGED.to_owned());
    };
    chmod(&place.folder, &place.name, Kind::File, *mode).map_err(said("set its mode"))
}

/// Sets the mode of something that is no link, whatever it has become meanwhile.
fn chmod(folder: &OwnedFd, name: &OsStr, kind: Kind, mode: u32) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = rustix::fs::openat(folder, name, flags, Mode::empty())?;
    if crate::workspace::beneath::Found::of(&rustix::fs::fstat(&held)?).kind != kind {
        return Err(io::Error::from(Errno::INVAL));
    }
    // A descriptor that may not read what it names takes no mode by itself; the kernel's name for it does.
    let name = format!("/proc/self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&held));
    Ok(rustix::fs::chmod(name, Mode::from_raw_mode(mode))?)
}

/// Makes the folders above a step that the run made.
fn make_parents(step: &Step, now: &Root, folders: &[(PathBuf, u32)]) -> io::Result<()> {
    let path = step.path();
    let mut above: Vec<&Path> =
        path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
    above.reverse();
    for folder in above {
        if now.find(folder)?.is_some() || !folders.iter().any(|(known, _)| known == folder) {
            continue;
        }
        let (parent, name) = now.parent(folder)?;
        rustix::fs::mkdirat(parent, name, Mode::RWXU)?;
    }
    Ok(())
}

/// Gives the folders that were made, or opened, the mode they end in: the innermost first.
pub(super) fn shut_folders(now: &Root, folders: &[(PathBuf, u32)]) {
    for (path, mode) in folders.iter().rev() {
        if let Ok((parent, name)) = now.parent(path) {
            // One that was not made, because nothing in it landed, has no mode.
            let _ = chmod(&parent, name, Kind::Folder, *mode);
        }
    }
}

/// Removes those of the folders in which nothing is left.
pub(super) fn remove_empty(now: &Root, folders: &[PathBuf]) {
    for path in folders {
        if let Ok((parent, name)) = now.parent(path) {
            // One in which something is, is somebody's.
            let _ = unlinkat(parent, name, AtFlags::REMOVEDIR);
        }
    }
}

/// Before a folder goes that a landing had made: removes the folders in it that came with it, unless something is in them.
pub(super) fn make_way(now: &Root, journal: &Journal, step: &Step) {
    if matches!((&step.pre, &step.post), (Stands::Folder { .. }, post) if !matches!(post, Stands::Folder { .. }))
    {
        let gone: Vec<PathBuf> = journal
            .gone()
            .into_iter()
            .filter(|path| path.starts_with(step.path()) && *path != step.path())
            .collect();
        remove_empty(now, &gone);
    }
}

/// After a removal: removes the folders above it that the run removed and in which nothing is left.
pub(super) fn prune(sides: &Sides, step: &Step) {
    if step.post != Stands::Nothing {
        return;
    }
    for above in step.path().ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
        let removed = !sides.shows_folder(above).unwrap_or(true);
        let gone = || -> io::Result<()> {
            let (parent, name) = sides.now.parent(above)?;
            Ok(unlinkat(parent, name, AtFlags::REMOVEDIR)?)
        };
        if !removed || gone().is_err() {
            break;
        }
    }
}

/// Takes away whatever was made ready and was not used.
pub(super) fn clear(now: &Root, journal: &Journal) {
    journal.temps().iter().for_each(|temp| ready::take_away(now, temp));
}

/// How far a step got before a crash. What it had replaced by then, and is not needed, is taken away.
pub(super) fn standing(now: &Root, step: &Step) -> Reached {
    let place = match Place::of(step, now) {
        Ok(place) => place,
        // Its folder is not made yet, or gone with it.
        Err(error) if is_absent(&error) => {
            return if step.post == Stands::Nothing { Reached::Done } else { Reached::Not };
        }
        Err(error) => return Reached::Lost(said("reach it")(error)),
    };
    let look = |folder, name: &OsStr| ready::stands(folder, name).map_err(said("look at it"));
    let found = look(&place.folder, &place.name)
        .and_then(|here| Ok((here, look(&place.beside, place.temp.as_ref())?)));
    let (here, beside) = match found {
        Ok(found) => found,
        Err(because) => return Reached::Lost(because),
    };
    if step.is_mode() {
        return if here == step.post { Reached::Done } else { Reached::Not };
    }
    let is_new = matches!(step.post, Stands::File { .. } | Stands::Link { .. });
    match beside {
        Stands::Nothing if is_new => Reached::Done,
        Stands::Nothing if here.is_like(&step.post) => Reached::Done,
        Stands::Nothing => Reached::Not,
        beside if is_new && beside.is_like(&step.post) => Reached::Not,
        beside if beside.is_like(&step.pre) => match place.drop_temp() {
            Ok(()) if is_new || step.post == Stands::Nothing => Reached::Done,
            Ok(()) => Reached::Not,
            Err(because) => Reached::Lost(because),
        },
        _ => {
            let back = if is_new { place.exchange() } else { place.put() };
            Reached::Lost(place.give_back(back).err().unwrap_or_default())
        }
    }
}
