//! Making a landing ready: what stands is held against what was there, and the new content lies beside its place.
//!
//! Owns: that nothing lands over what the run did not see, and that an edit made meanwhile to other lines is kept beside
//! the run's. Does not own how two edits come together (`merge`), nor changing anything in the repository that has a name
//! of its own (`swap`).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use ledger::event::Manner;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::journal::{Hand, Journal, Stands, Step, Temp};
use super::said;
use crate::workspace::base::{Base, Entry};
use crate::workspace::beneath::{Found, Kind, Root, digest, find_in, is_absent};
use crate::workspace::change::{self, FileChange, Side, Texts, What};
use crate::workspace::hunk::Edits;
use crate::workspace::merge::{Clash, merged};
use crate::workspace::sides::{LARGE, Sides, hex, keep_content, read_small};
use crate::workspace::{copy, hunk};

/// Why a file cannot be made ready.
#[derive(Debug)]
pub(super) enum Unready {
    /// The repository is not what it was, in words; and what each side made of the same lines, as far as that is known.
    Moved(&'static str, Vec<Clash>),
    /// For this reason.
    Cannot(String),
}

impl From<String> for Unready {
    fn from(because: String) -> Unready {
        Unready::Cannot(because)
    }
}

/// What is to land of a file.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) file: &'a FileChange,
    /// The hunks, if not all of it.
    pub(super) part: Option<&'a [String]>,
    /// What a person made of some of them.
    pub(super) edits: &'a Edits,
}

/// What stands where a file is to land, and the new content if that is not simply what the run left.
struct Ready {
    pre: Stands,
    text: Option<Vec<u8>>,
    /// What the run left with a person's edit in it, if there is one.
    edited: Option<Vec<u8>>,
    manner: Manner,
}

/// The nearest folder above a path that is there: where its new content is made ready.
pub(super) fn beside(sides: &Sides, path: &Path) -> Option<PathBuf> {
    for above in path.ancestors().skip(1) {
        match sides.now.find(above) {
            Ok(Some(found)) if found.is_folder() => return Some(above.to_owned()),
            Ok(_) | Err(_) => {}
        }
    }
    None
}

/// Checks that what stands is what was there, keeps it, and makes the new content ready.
pub(super) fn make(sides: &Sides, wanted: &Wanted<'_>, temp: &Temp, kept: &Path) -> Result<Step, Unready> {
    let file = wanted.file;
    let was = sides.was(&file.path);
    let now = match sides.now.find(&file.path) {
        // A link on the way is in nobody's way if it goes first. If it stays, the step ends at it.
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) && file.pre.is_none() => None,
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            return Err("a link stands on its way".to_owned().into());
        }
        found => found.map_err(said("look at it"))?,
    };
    let Ready { pre, text, edited, manner } = match before(sides, was, now, file, kept) {
        Err(Unready::Moved(what, _)) => {
            meanwhile(sides, now, wanted, kept, what).map_err(|why| seen(why, sides, now, file))?
        }
        pre => part(sides, wanted, pre?)?,
    };
    let hand = edited.map(|edited| hand(sides, &file.path, &edited, kept)).transpose();
    let hand = hand.map_err(said("keep what you edited"))?;
    let mut post = match &file.post {
        None => Stands::Nothing,
        Some(Side { what: What::Folder, mode }) => Stands::Folder { mode: *mode },
        Some(Side { what: What::Link(target), .. }) => Stands::Link { target: target.as_path().into() },
        Some(Side { what: What::Special, .. }) => return Err("it is no file".to_owned().into()),
        Some(Side { what: What::File(_), mode }) => Stands::File { digest: String::new(), mode: *mode },
    };
    let holder = sides.now.folder(&temp.folder()).map_err(said("open its folder"))?;
    let owner = owner(&holder, now)?;
    match &mut post {
        Stands::File { digest: known, mode } => {
            if let (Some(now), Some(Side { mode: was, .. })) = (now, &file.pre)
                && (*mode == *was || wanted.part.is_some())
                && now.kind == Kind::File
            {
                // The run did not touch the mode, or only lines were chosen: it stays what it is.
                *mode = now.mode;
            }
            let content = sides.after(&file.path).map_err(said("read what the run left"))?;
            let like = standing_file(sides, &file.path, now)?;
            *known = match (&pre, &text) {
                (_, Some(text)) => {
                    write(&sides.now, temp, |fresh| fresh.write_all(text), *mode, (owner, like.as_ref()))?
                }
                (Stands::File { digest, .. }, None) if file.kind == ledger::event::Change::Mode => {
                    digest.clone()
                }
                _ => {
                    let fill = |fresh: &mut File| copy::copy_content(&content, fresh);
                    write(&sides.now, temp, fill, *mode, (owner, like.as_ref()))?
                }
            };
        }
        Stands::Link { target } => {
            rustix::fs::symlinkat(target.to_path(), &holder, temp.name.as_str())
                .map_err(|error| said("write beside it")(error.into()))?;
        }
        Stands::Nothing | Stands::Folder { .. } => {}
    }
    Ok(Step {
        path: file.path.as_path().into(),
        temp: temp.clone(),
        pre,
        post,
        seen: now.map(|now| now.stamp.into()),
        cause: None,
        owner: now.map(|now| (now.uid, now.gid)),
        manner,
        hunks: verbatim(wanted),
        hand,
    })
}

/// The chosen hunks that land as they are.
fn verbatim(wanted: &Wanted<'_>) -> Vec<String> {
    let chosen = wanted.part.unwrap_or_default().iter();
    chosen.filter(|id| !wanted.edits.contains_key(*id)).cloned().collect()
}

/// What is to land over what was there: all of it, or the old text with the chosen hunks.
fn part(sides: &Sides, wanted: &Wanted<'_>, pre: Stands) -> Result<Ready, Unready> {
    if wanted.part.is_none() && wanted.edits.is_empty() {
        return Ok(Ready { pre, text: None, edited: None, manner: Manner::Verbatim });
    }
    let both = three(sides, wanted.file).map_err(said("read both sides"))?;
    let (base, left) =
        both.ok_or_else(|| Unready::from("it is no text: its hunks cannot be chosen".to_owned()))?;
    let (text, edited) = chosen_of(wanted, &base, &left);
    let manner = if edited.is_some() { Manner::Edited } else { Manner::Part };
    Ok(Ready { pre, text: Some(text), edited, manner })
}

/// The old text with the chosen hunks, and, where a person edited some, with all of them.
fn chosen_of(wanted: &Wanted<'_>, base: &[u8], left: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let hunks = hunk::hunks(&wanted.file.path, base, left);
    let all: Vec<String> = hunks.iter().map(|hunk| hunk.id.clone()).collect();
    let chosen = wanted.part.unwrap_or(&all);
    let edited = !wanted.edits.is_empty();
    let with = |chosen: &[String]| hunk::with_only(base, &hunks, chosen, wanted.edits);
    (with(chosen), edited.then(|| with(&all)))
}

/// Keeps what the run left of a file, and what a person's edit makes of it.
fn hand(sides: &Sides, path: &Path, edited: &[u8], kept: &Path) -> io::Result<Hand> {
    let before = keep_content(&sides.after(path)?, kept, true)?;
    let fresh = kept.join("edited");
    std::fs::write(&fresh, edited)?;
    let after = keep_content(&File::open(&fresh)?, kept, true)?;
    std::fs::remove_file(fresh)?;
    Ok(Hand { before: hex(&before), after: hex(&after) })
}

/// The text that was there and the text that the run left, where both are known. Of a file that is new, the first is empty.
fn three(sides: &Sides, file: &FileChange) -> io::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let is_file = |side: &Option<Side>| matches!(side, Some(Side { what: What::File(_), .. }));
    if !(file.pre.is_none() || is_file(&file.pre)) || !is_file(&file.post) {
        return Ok(None);
    }
    Ok(match change::texts(sides, &file.path, sides.was(&file.path), true)? {
        Texts::Both(base, left) => Some((base, left)),
        Texts::Binary | Texts::Gone => None,
    })
}

/// Adds what each side made of the same lines to what cannot be brought together, where all of it is text.
fn seen(why: Unready, sides: &Sides, now: Option<Found>, file: &FileChange) -> Unready {
    let Unready::Moved(what, clashes) = why else { return why };
    if !clashes.is_empty() {
        return Unready::Moved(what, clashes);
    }
    let is_link = |side: &Option<Side>| matches!(side, Some(Side { what: What::Link(_) | What::Folder, .. }));
    let shown = || -> io::Result<Option<Vec<Clash>>> {
        if is_link(&file.pre) || is_link(&file.post) || now.is_some_and(|now| now.kind != Kind::File) {
            return Ok(None);
        }
        let texts = change::texts(sides, &file.path, sides.was(&file.path), file.post.is_some())?;
        let Texts::Both(base, left) = texts else { return Ok(None) };
        let mine = now.map(|_| sides.now.file(&file.path).and_then(|mine| read_small(&mine))).transpose()?;
        let mine = mine.unwrap_or(Some(Vec::new())).filter(|mine| !mine.contains(&0));
        Ok(mine.and_then(|mine| merged(&base, &mine, &left).err()))
    };
    // What cannot be read is not shown: that the file stays is said all the same.
    Unready::Moved(what, shown().ok().flatten().unwrap_or_default())
}

/// What can be done where the repository is not what it was: nothing, if somebody did the same by hand; or both edits,
/// where they touch no common lines.
fn meanwhile(
    sides: &Sides,
    now: Option<Found>,
    wanted: &Wanted<'_>,
    kept: &Path,
    what: &'static str,
) -> Result<Ready, Unready> {
    let file = wanted.file;
    if wanted.part.is_none()
        && wanted.edits.is_empty()
        && let Some(pre) = already(sides, now, file, kept)?
    {
        return Ok(Ready { pre, text: None, edited: None, manner: Manner::Already });
    }
    let moved = || Unready::Moved(what, Vec::new());
    if sides.frozen {
        return Err(moved());
    }
    let now = now.filter(|now| now.kind == Kind::File && now.stamp.size <= LARGE).ok_or_else(moved)?;
    let (pre, post) = (file.pre.as_ref(), file.post.as_ref().ok_or_else(moved)?);
    if pre.is_none_or(|pre| pre.mode != now.mode)
        && pre.is_none_or(|pre| pre.mode != post.mode)
        && post.mode != now.mode
    {
        return Err(moved());
    }
    let (base, left) = three(sides, file).map_err(said("read both sides"))?.ok_or_else(moved)?;
    let standing = sides.now.file(&file.path).map_err(said("read what is there"))?;
    let digest = keep_content(&standing, kept, true).map_err(said("keep what is there"))?;
    // What is brought together is what was kept to be put back, however fast an editor is.
    let mine = File::open(kept.join(hex(&digest))).and_then(|mine| read_small(&mine));
    let mine =
        mine.map_err(said("read what is there"))?.filter(|mine| !mine.contains(&0)).ok_or_else(moved)?;
    let both = |edit: &[u8]| merged(&base, &mine, edit).map_err(|clashes| Unready::Moved(what, clashes));
    let whole = both(&left)?;
    let (text, edited) = match wanted.part.is_some() || !wanted.edits.is_empty() {
        true => {
            let (chosen, edited) = chosen_of(wanted, &base, &left);
            (both(&chosen)?, edited.map(|edited| both(&edited)).transpose()?)
        }
        false => (whole.clone(), None),
    };
    // ORDER: what the run left holds the person's edit before it lands; a crash in between leaves nothing that would take
    // that edit back.
    sides.leave(&file.path, &whole).map_err(said("write to what the run left"))?;
    let pre = Stands::File { digest: hex(&digest), mode: now.mode };
    let manner = if edited.is_some() { Manner::Edited } else { Manner::Merged };
    Ok(Ready { pre, text: Some(text), edited, manner })
}

/// What stands, if it is what was there, kept so that it can be put back.
fn before(
    sides: &Sides,
    was: Option<&Entry>,
    now: Option<Found>,
    file: &FileChange,
    kept: &Path,
) -> Result<Stands, Unready> {
    let (was, now) = match (was, now) {
        (None, None) => return Ok(Stands::Nothing),
        (None, Some(_)) => return Err(Unready::Moved("something else was put there", Vec::new())),
        (Some(_), None) => return Err(Unready::Moved("it was removed", Vec::new())),
        (Some(was), Some(now)) => (was, now),
    };
    const CHANGED: Unready = Unready::Moved("it was changed", Vec::new());
    if was.found.kind != now.kind {
        return Err(CHANGED);
    }
    let touches_mode =
        file.pre.as_ref().zip(file.post.as_ref()).is_some_and(|(pre, post)| pre.mode != post.mode);
    if touches_mode && was.found.mode != now.mode {
        return Err(CHANGED);
    }
    match now.kind {
        Kind::Folder => Ok(Stands::Folder { mode: now.mode }),
        Kind::Link => {
            let target = sides.now.link(&file.path).map_err(said("read where it leads"))?;
            let same = was.target.as_ref() == Some(&target);
            if same { Ok(Stands::Link { target: target.as_path().into() }) } else { Err(CHANGED) }
        }
        Kind::File => {
            let known = sides.digest_before(was).map_err(said("read what was there"))?;
            let content = sides.now.file(&file.path).map_err(said("read what is there"))?;
            let stands = keep_content(&content, kept, true).map_err(said("keep what is there"))?;
            let same = known == Some(stands);
            if same { Ok(Stands::File { digest: hex(&stands), mode: now.mode }) } else { Err(CHANGED) }
        }
        Kind::Special { .. } => Err("it is no file".to_owned().into()),
    }
}

/// What stands, if somebody did by hand what would land.
fn already(
    sides: &Sides,
    now: Option<Found>,
    file: &FileChange,
    kept: &Path,
) -> Result<Option<Stands>, Unready> {
    match (now, &file.post) {
        (None, None) => Ok(Some(Stands::Nothing)),
        (Some(now), Some(Side { what: What::File(size), mode }))
            if now.kind == Kind::File && now.stamp.size == *size && now.mode == *mode =>
        {
            let content = sides.now.file(&file.path).map_err(said("read what is there"))?;
            let mut left = sides.after(&file.path).map_err(said("read what the run left"))?;
            let stands = keep_content(&content, kept, true).map_err(said("keep what is there"))?;
            let same = digest(&mut left).map_err(said("read what the run left"))? == stands;
            Ok(same.then(|| Stands::File { digest: hex(&stands), mode: now.mode }))
        }
        _ => Ok(None),
    }
}

/// Who will own it: who owns what it replaces; for something new, as root, who owns the folder.
pub(super) fn owner(folder: &rustix::fd::OwnedFd, now: Option<Found>) -> Result<Option<(u32, u32)>, Unready> {
    let own = rustix::process::geteuid();
    match now {
        Some(now) if own.is_root() => Ok(Some((now.uid, now.gid))),
        Some(now) if now.uid != own.as_raw() => Err("it belongs to another user".to_owned().into()),
        Some(now) => Ok(Some((now.uid, now.gid))),
        None if own.is_root() => {
            let folder =
                rustix::fs::fstat(folder).map_err(|error| said("look at its folder")(error.into()))?;
            Ok(Some((folder.st_uid, folder.st_gid)))
        }
        None => Ok(None),
    }
}

/// The file that stands at a path, if one does.
pub(super) fn standing_file(sides: &Sides, path: &Path, now: Option<Found>) -> Result<Option<File>, Unready> {
    let stands = now.is_some_and(|now| now.kind == Kind::File);
    Ok(stands.then(|| sides.now.file(path)).transpose().map_err(said("read what is there"))?)
}

/// Writes the new content beside its place, and digests what was written. It carries what the file carries in whose place
/// it comes.
pub(super) fn write(
    now: &Root,
    temp: &Temp,
    content: impl FnOnce(&mut File) -> io::Result<()>,
    mode: u32,
    (owner, like): (Option<(u32, u32)>, Option<&File>),
) -> Result<String, Unready> {
    let write = || -> io::Result<String> {
        let mut fresh = copy::create(now, &temp.path())?;
        content(&mut fresh)?;
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(&fresh, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        // ORDER: the mode after the access list, whose mask it is.
        like.map_or(Ok(()), |like| copy::copy_attributes(like, &fresh))?;
        rustix::fs::fchmod(&fresh, Mode::from_raw_mode(mode))?;
        io::Seek::rewind(&mut fresh)?;
        Ok(hex(&digest(&mut fresh)?))
    };
    Ok(write().map_err(said("write beside it"))?)
}

/// From so many files on, one sync of the whole file system is faster than one of each.
const MANY: usize = 32;

/// What was made ready, and what was kept to be put back, outlasts a power failure from here on.
pub(super) fn sync(now: &Root, kept: &Path, steps: &[Step]) -> io::Result<()> {
    if steps.len() > MANY {
        rustix::fs::syncfs(now.reading()?)?;
        return Ok(rustix::fs::syncfs(File::open(kept)?)?);
    }
    for step in steps {
        if let Stands::File { digest, .. } = &step.pre {
            File::open(kept.join(digest))?.sync_data()?;
        }
        if let Some(hand) = &step.hand {
            File::open(kept.join(&hand.before))?.sync_data()?;
            File::open(kept.join(&hand.after))?.sync_data()?;
        }
        if !matches!(step.post, Stands::File { .. }) || step.is_mode() {
            continue;
        }
        let (folder, name) = (now.folder(&step.temp.folder())?, step.temp.name.as_str());
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, name, flags, Mode::empty()) {
            Ok(file) => rustix::fs::fdatasync(file)?,
            // A file that may not be read by whom it belongs to is synced by nobody but the kernel.
            Err(Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    File::open(kept)?.sync_all()?;
    sync_folders(now, steps.iter())
}

/// So do the names.
pub(super) fn sync_folders<'a>(now: &Root, steps: impl Iterator<Item = &'a Step>) -> io::Result<()> {
    let steps: Vec<&Step> = steps.collect();
    if steps.len() > MANY {
        return Ok(rustix::fs::syncfs(now.reading()?)?);
    }
    let steps = steps.into_iter();
    let folders: BTreeSet<PathBuf> = steps
        .flat_map(|step| [Some(step.temp.folder()), step.path().parent().map(Path::to_owned)])
        .flatten()
        .collect();
    for folder in folders {
        match now.sync(&folder) {
            Err(error) if is_absent(&error) || is_behind(&error) => {}
            done => done?,
        }
    }
    Ok(())
}

/// The folders that the steps need and that are not there, as the run left them, and those that change their mode.
pub(super) fn folders(sides: &Sides, steps: &[Step]) -> io::Result<Vec<(PathBuf, u32)>> {
    let mut folders = BTreeSet::new();
    for step in steps {
        if let Stands::Folder { mode } = step.post {
            folders.insert((step.path(), mode));
        }
        if step.post == Stands::Nothing {
            continue;
        }
        for above in step.path().ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            let is_there = matches!(sides.now.find(above), Ok(Some(found)) if found.is_folder());
            if !is_there && let Some(left) = sides.left_at(above)?.filter(Found::is_folder) {
                folders.insert((above.to_owned(), left.mode));
            }
        }
    }
    Ok(folders.into_iter().collect())
}

/// The folders above the steps as they stand now: their mode, or that they are not there.
pub(super) fn above(now: &Root, steps: &[Step]) -> io::Result<Vec<(PathBuf, Option<u32>)>> {
    let paths = steps.iter().map(Step::path).collect::<Vec<_>>();
    let above = paths.iter().flat_map(|path| path.ancestors().skip(1));
    let above: BTreeSet<&Path> = above.filter(|above| !above.as_os_str().is_empty()).collect();
    let look = |path: &Path| match now.find(path) {
        Ok(found) => Ok((path.to_owned(), found.filter(Found::is_folder).map(|found| found.mode))),
        Err(error) if is_behind(&error) => Ok((path.to_owned(), None)),
        Err(error) => Err(error),
    };
    above.into_iter().map(look).collect()
}

/// Whether an error says that the path leads through a link, or a folder that does not let us in: not to a place of ours.
fn is_behind(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::ACCESS))
}

/// The base after these steps: what landed is what was there.
pub(super) fn rebased(sides: &Sides, steps: &[&Step], journal: &Journal) -> io::Result<Base> {
    let mut base = (*sides.base).clone();
    let is_back = journal.undoes().is_some();
    for path in journal.gone() {
        base.set(&path, standing(sides, &path, is_back)?);
    }
    for step in steps {
        let path = step.path();
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            let now = standing(sides, above, is_back)?;
            if now.is_none() || base.get(above).is_none() {
                base.set(above, now);
            }
        }
        base.set(&path, standing(sides, &path, is_back || step.leaves_some())?);
    }
    Ok(base)
}

/// What stands at a path, as something that was there. Where something of the run still waits, it is not what the run left.
fn standing(sides: &Sides, path: &Path, waits: bool) -> io::Result<Option<Entry>> {
    let found = match sides.now.find(path) {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(error) if is_behind(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let target = if found.kind == Kind::Link { Some(sides.now.link(path)?) } else { None };
    // In a copy it counts as given: what the run left there is what stands here.
    let copied = match (sides.is_overlay, waits) {
        (true, _) => None,
        (false, true) => Some(found.stamp),
        (false, false) => sides.left_at(path)?.map(|left| left.stamp),
    };
    Ok(Some(Entry { path: path.to_owned(), found, target, copied, late: false }))
}

/// What stands under a name, by content.
pub(super) fn stands(folder: &rustix::fd::OwnedFd, name: &std::ffi::OsStr) -> io::Result<Stands> {
    let Some(found) = find_in(folder, name)? else { return Ok(Stands::Nothing) };
    Ok(match found.kind {
        Kind::Folder => Stands::Folder { mode: found.mode },
        Kind::Link => {
            Stands::Link { target: crate::workspace::beneath::link_in(folder, name)?.as_path().into() }
        }
        Kind::File => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
            Stands::File { digest: hex(&digest(&mut file)?), mode: found.mode }
        }
        Kind::Special { .. } => return Err(io::Error::from(Errno::INVAL)),
    })
}

/// Takes away what was made ready and is not needed.
pub(super) fn take_away(now: &Root, temp: &Temp) {
    if let Ok(folder) = now.folder(&temp.folder()) {
        // One that is not there is what was wanted.
        let _ = rustix::fs::unlinkat(folder, temp.name.as_str(), AtFlags::empty());
    }
}
