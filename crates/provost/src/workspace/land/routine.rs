//! What lands by itself while a run goes on: routine files, where a person has said so once for the workspace.
//!
//! Owns what is routine, and that what lands is what was judged although the agent is at work: the files are copied first,
//! and the copy is judged and landed. Does not own when (`run`), nor whether a rule lets a file land (`policy`).

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use admission::Admission;
use ledger::event::{Change as Became, Risk};
use policy::{AbsPath, Action, Decision};
use sandbox::plan::Stage;

use super::pick::Taken;
use super::{LandError, Landing, Pick};
use crate::workspace::beneath::{Found, Kind, Root};
use crate::workspace::change::{FileChange, Side, What};
use crate::workspace::sides::LARGE;
use crate::workspace::{Past, Workspace, copy, io_error};

impl Workspace {
    /// Lands what is routine and settled, as far as rules allow it without anybody being asked. Nothing does where the agent
    /// works on a copy.
    ///
    /// # Errors
    /// The landing could not go on.
    pub fn land_routine(
        &self,
        admission: &Admission,
        is_settled: &dyn Fn(&Path) -> bool,
    ) -> Result<Landing, LandError> {
        let Stage::Overlay { lower, upper, work } = &self.staged else { return Ok(Landing::default()) };
        let change = self.change()?;
        let calm = change.files.iter().filter(|file| is_routine(file) && is_settled(&file.path));
        let calm: Vec<&Path> = calm.map(|file| file.path.as_path()).collect();
        if calm.is_empty() {
            return Ok(Landing::default());
        }
        let place = self.run_dir.join("staged/settled");
        let freezing = io_error("copy what the run left to", &place);
        freeze(&Root::open(upper).map_err(io_error("open", upper))?, &place, &calm).map_err(freezing)?;
        let staged = Stage::Overlay { lower: lower.clone(), upper: place.clone(), work: work.clone() };
        let frozen = Workspace {
            root: self.root.clone(),
            run_dir: self.run_dir.clone(),
            staged,
            why_copy: None,
            base: Mutex::new(Past::Taken(self.base()?)),
            stays: None,
            direct: false,
            ground: None,
            frozen: true,
        };
        let landing = frozen.land_frozen(admission, &calm);
        // ORDER: what has landed is the base of what the run goes on to change.
        self.set_base(Arc::clone(&frozen.base()?));
        std::fs::remove_dir_all(&place).map_err(io_error("remove", &place))?;
        let landing = landing?;
        let base_dir = self.run_dir.join("base");
        // The person may edit what has landed, and the run too: what both began from stays known.
        let landed = landing.landed.iter().map(PathBuf::as_path);
        self.sides()?.keep(landed).map_err(io_error("keep contents in", &base_dir))?;
        Ok(landing)
    }

    /// Lands of a copy what is routine as it stands there.
    fn land_frozen(&self, admission: &Admission, calm: &[&Path]) -> Result<Landing, LandError> {
        let (mut change, sides, rejected) = (self.change()?, self.sides()?, self.rejected()?);
        let all = Pick::all();
        change.files.retain(|file| {
            calm.contains(&file.path.as_path())
                && is_routine(file)
                && all.of(&sides, file, &rejected) == Taken::Whole
                && self.is_allowed(admission, &file.path)
        });
        if change.files.is_empty() { Ok(Landing::default()) } else { self.land(admission, &change, &all) }
    }

    fn is_allowed(&self, admission: &Admission, path: &Path) -> bool {
        let path = AbsPath::new(&self.root.join(path));
        path.is_ok_and(|path| matches!(admission.decide(&Action::Land(path)), Decision::Allow { .. }))
    }
}

/// Whether a change is one that nobody has to look at before it is in the folder: a file of some lines that is new or
/// differs, that nobody obeys, in which no sign of a risk is, and that nobody else has touched.
fn is_routine(file: &FileChange) -> bool {
    let is_small = |side: &Side| matches!(side.what, What::File(size) if size <= LARGE);
    matches!(file.kind, Became::Added | Became::Modified)
        && file.handoff.is_none()
        && file.never.is_none()
        && !file.moved
        && file.risk.grade.is_none_or(|grade| grade < Risk::Medium)
        && file.post.as_ref().is_some_and(is_small)
        && file.pre.as_ref().is_none_or(is_small)
}

/// Copies these files, with the folders above them, to an empty place that looks like an upper layer with nothing else.
fn freeze(left: &Root, place: &Path, paths: &[&Path]) -> io::Result<()> {
    match std::fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new().mode(0o700).create(place)?;
    let to = Root::open(&std::fs::canonicalize(place)?)?;
    for path in paths {
        // One that is gone or is something else by now waits for the next quiet point.
        let Ok(from) = left.file(path) else { continue };
        if from.metadata()?.len() > LARGE {
            continue;
        }
        let mut above: Vec<&Path> =
            path.ancestors().skip(1).filter(|one| !one.as_os_str().is_empty()).collect();
        above.reverse();
        for folder in above {
            if to.find(folder)?.is_none() {
                let (parent, name) = to.parent(folder)?;
                rustix::fs::mkdirat(parent, name, rustix::fs::Mode::RWXU)?;
                if let Some(like) = left.find(folder)?.filter(|like| like.kind == Kind::Folder) {
                    // Ours to go into, whatever the agent made of its own.
                    to.dress(folder, &Found { mode: like.mode | 0o700, ..like })?;
                }
            }
        }
        freeze_file(&from, &to, path)?;
    }
    Ok(())
}

fn freeze_file(from: &File, to: &Root, path: &Path) -> io::Result<()> {
    let mut fresh = copy::create(to, path)?;
    copy::copy_content(from, &mut fresh)?;
    let mode = rustix::fs::fstat(from)?.st_mode & 0o7777;
    Ok(rustix::fs::fchmod(&fresh, rustix::fs::Mode::from_raw_mode(mode))?)
}
