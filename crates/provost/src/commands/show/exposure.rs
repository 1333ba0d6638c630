//! `provost show --exposure`: what a run could have seen and reached, and what of it it did.
//!
//! Owns the one look at the disk: which files that are named like secrets lie where the run could read. That look is of now, and is
//! said to be. Does not own what was recorded (`insight`).

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use insight::Story;
use insight::exposure::Exposure;
use insight::places::{Place, Places, is_named_like_a_secret};
use ledger::{Host, OsText, Run};

use crate::commands::{DONE, each};
use crate::failure::Failure;
use crate::render::exposure::{self, Told};
use crate::render::{Out, Tone, clean};

/// Names that are looked at on the disk, at most.
const LOOKED_AT: usize = 50_000;
/// How deep beneath a tree is looked.
const DEEP: usize = 12;

pub(super) fn exposure(host: &Host, run: &Run, out: Out) -> Result<u8, Failure> {
    let (mut exposure, mut story, mut places) = (Exposure::default(), Story::default(), Places::default());
    each(host, &run.run, |event| {
        exposure.see(event);
        story.see(event);
        places.see(event);
    })?;
    let mut look = Look { left: LOOKED_AT, found: Vec::new() };
    for tree in trees(&exposure, &places) {
        look.at(&tree, &exposure, 0);
    }
    let unread: Vec<OsText> = look.found.into_iter().filter(|path| !exposure.read.contains(path)).collect();
    let told =
        Told { exposure: &exposure, story: &story, places: &places, unread: &unread, whole: look.left > 0 };
    if !out.human() {
        out.json(&exposure::json(told));
        return Ok(DONE);
    }
    let paint = out.paint();
    let task = story.opened.as_ref().map(|opened| clean(&opened.task)).unwrap_or_default();
    out.line(paint.on(Tone::Strong, format!("run {}  {task}", run.run)));
    exposure::text(told, paint, out.columns()).iter().for_each(|line| out.line(line));
    Ok(DONE)
}

/// The trees in which a person keeps things: not those of the system and of tools.
fn trees(exposure: &Exposure, places: &Places) -> Vec<PathBuf> {
    let read = exposure.confinement.as_ref().map(|asked| asked.read.clone()).unwrap_or_default();
    let own = |tree: &PathBuf| {
        let place = places.of(&OsText::new(tree.as_os_str().as_bytes()));
        matches!(place, Place::Project | Place::Home | Place::Other) && tree != Path::new("/")
    };
    let mut trees: Vec<PathBuf> = read.into_iter().filter(own).collect();
    let project = Path::new(OsStr::from_bytes(&places.project));
    if exposure.could_read(project) == Some(true) && !trees.iter().any(|tree| project.starts_with(tree)) {
        trees.push(project.to_owned());
    }
    trees
}

struct Look {
    left: usize,
    found: Vec<OsText>,
}

impl Look {
    /// Follows no link, and leaves git's own folder to git.
    fn at(&mut self, path: &Path, exposure: &Exposure, depth: usize) {
        if depth > DEEP || self.left == 0 || exposure.could_read(path) != Some(true) {
            return;
        }
        self.left -= 1;
        let Ok(data) = fs::symlink_metadata(path) else { return };
        if data.is_file() {
            let name = OsText::new(path.as_os_str().as_bytes());
            self.found.extend(is_named_like_a_secret(&name).then_some(name));
        } else if data.is_dir() && path.file_name() != Some(OsStr::new(".git")) {
            let mut within: Vec<PathBuf> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
            within.sort();
            within.iter().for_each(|path| self.at(path, exposure, depth + 1));
        }
    }
}
