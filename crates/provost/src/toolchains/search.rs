//! PATH, entry by entry.
//!
//! | entry | inside |
//! | --- | --- |
//! | of the system | kept |
//! | somewhere else | shown with the installations behind it, kept |
//! | in the workspace | kept where it stands (an activated environment), not shown: the workspace is there anyway |
//! | empty, `.`, relative | left out: another folder in every folder |
//! | not there, no folder | left out |
//! | open to everybody for writing | left out: anyone on this machine could put a program there |
//! | the home, what contains it, what holds secrets | left out |
//!
//! An entry that the inside cannot reach as it is written (a link on the way leads to more than is shown, or lies where
//! the inside has something else) is kept as where it really is.

use super::installation::Gathered;
use super::places::{self, Places};
use super::{Environment, LeftOut, Names};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// No folder of programs has more; one that does is not read to its end.
const ENTRIES: usize = 20_000;

/// What PATH came to.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Entries to keep, in order, without doubles: as written, and where they really are.
    pub(super) entries: Vec<(PathBuf, PathBuf)>,
    /// Every name that can be called.
    pub(super) programs: Names,
    pub(super) left_out: Vec<LeftOut>,
}

/// The entries of a PATH, as written.
pub(crate) fn entries(path: &OsStr) -> impl Iterator<Item = &Path> {
    path.as_bytes().split(|byte| *byte == b':').map(|entry| Path::new(OsStr::from_bytes(entry)))
}

pub(super) fn walk(environment: &Environment, places: &Places, gathered: &mut Gathered) -> Found {
    let mut found = Found::default();
    for entry in entries(&environment.path) {
        match judge(entry, places) {
            Ok(real) => {
                let written: PathBuf = entry.components().collect();
                if !found.entries.iter().any(|(known, _)| *known == written) {
                    let known = found.entries.iter().any(|(_, known)| *known == real);
                    show((entry, known), &real, places, gathered, &mut found.programs);
                    found.entries.push((written, real));
                }
            }
            Err(because) => {
                let left =
                    LeftOut { what: format!("`{}` on PATH", entry.display()), because: because.to_owned() };
                found.left_out.push(left);
            }
        }
    }
    found
}

/// What the entry really is, or why it is left out.
pub(crate) fn judge(entry: &Path, places: &Places) -> Result<PathBuf, &'static str> {
    if !entry.is_absolute() {
        return Err("it is another folder in every folder");
    }
    let real = places.real(entry).filter(|real| real.is_dir()).ok_or("it is not there")?;
    if places.in_workspace(&real) || places::is_system(&real) {
        return Ok(real);
    }
    if let Some(because) = places.refusal(&real) {
        return Err(because);
    }
    if places::is_open_to_all(&real) {
        return Err("everybody on this machine can write to it");
    }
    Ok(real)
}

/// Shows the folder, and what the programs in it lead to, unless that is `known` under another name.
fn show(
    (entry, known): (&Path, bool),
    real: &Path,
    places: &Places,
    gathered: &mut Gathered,
    programs: &mut Names,
) {
    const WHY: &str = "on PATH";
    let own = !places::is_system(real) && !places.in_workspace(real);
    if own {
        gathered.follow(entry, places, WHY);
        gathered.tree(real, places, WHY);
    }
    let Some(Ok(listing)) = (!known).then(|| fs::read_dir(real)) else { return };
    let (mut links, mut others) = (Vec::new(), HashSet::new());
    let mut files = Vec::new();
    for file in listing.flatten().take(ENTRIES) {
        let name = file.file_name();
        match file.file_type() {
            Ok(kind) if kind.is_symlink() => links.push(name),
            Ok(kind) => {
                files.extend((own && kind.is_file()).then(|| name.clone()));
                others.insert(name);
            }
            Err(_) => drop(programs.insert(name)),
        }
    }
    programs.extend(links.iter().chain(&others).cloned());
    places.know_plain(real, others);
    // A link may lead anywhere; of the rest, only the person's own scripts name interpreters outside the system.
    for name in links.into_iter().chain(files) {
        gathered.program(&real.join(name), places, WHY);
    }
}
