//! Patterns on paths: `/x`, `./x` (the workspace), `~/x` (the home), with stars and `**`.
//!
//! A pattern without stars is a **Tree**: the file of that name, or the folder with all that is beneath it (a mount can
//! show or hide nothing less). So is one that ends in `/**` and has no star before. Everything else is a **Shape**, which
//! only somebody who looks at every open can hold.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::pattern::glob::{self, Between, Glob, Part};
use crate::pattern::regex::Regex;
use crate::pattern::{PatternError, Places};

/// Where a path pattern starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// `/`
    Root,
    /// `./`
    Workspace,
    /// `~/`
    Home,
}

/// A pattern on paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathPattern {
    pub(crate) anchor: Anchor,
    pub(crate) parts: Vec<Part>,
}

/// Any number of folder names, none of them empty.
const ANY_FOLDERS: &str = "(?:/[^/\\x00]+)*";

/// How many trees one pattern with alternatives is at most; one with more is a Shape.
const MOST_TREES: usize = 64;

impl PathPattern {
    pub(crate) fn parse(text: &str) -> Result<PathPattern, PatternError> {
        if let Some(folder) = text.strip_suffix('/').filter(|start| !matches!(*start, "" | "." | "~")) {
            return Err(PatternError::new("a path ends in a slash")
                .hint(format!("write `{folder}/**` for the folder and all that is beneath it")));
        }
        PathPattern::of(glob::globs(text, Between::Folders)?)
    }

    /// From folder names; the first says where it starts.
    pub(crate) fn of(folders: Vec<Glob>) -> Result<PathPattern, PatternError> {
        let mut folders = folders.into_iter();
        let anchor = match folders.next().and_then(|first| first.text()).as_deref() {
            Some(b"") => Anchor::Root,
            Some(b".") => Anchor::Workspace,
            Some(b"~") => Anchor::Home,
            _ => {
                return Err(PatternError::new("a path starts nowhere")
                    .hint("start it with `./` (the workspace), `~/` (your home) or `/` (the root)"));
            }
        };
        let mut folders: Vec<Glob> = folders.collect();
        // `/`, `./` and `~/` are the place itself.
        if folders == [Glob::default()] {
            folders.clear();
        }
        let parts: Vec<Part> = folders.into_iter().map(glob::part).collect::<Result<_, _>>()?;
        parts.iter().try_for_each(check)?;
        Ok(PathPattern { anchor, parts })
    }

    /// The path itself and, with `beneath`, all under it; whatever characters it has.
    pub(crate) fn literal(path: &Path, beneath: bool) -> PathPattern {
        let names = path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        let mut parts: Vec<Part> = names.map(|name| Part::One(Glob::literal(name))).collect();
        if beneath {
            parts.push(Part::Any);
        }
        PathPattern { anchor: Anchor::Root, parts }
    }

    /// The trees it is, or `None` for a Shape.
    pub(crate) fn trees(&self, places: &Places) -> Option<Vec<PathBuf>> {
        let mut trees = vec![self.start(places).to_path_buf()];
        let parts = match self.parts.split_last() {
            Some((Part::Any, before)) => before,
            _ => self.parts.as_slice(),
        };
        for part in parts {
            let Part::One(glob) = part else { return None };
            let names = glob.texts(MOST_TREES)?;
            if trees.len() * names.len() > MOST_TREES {
                return None;
            }
            let below = |tree: &PathBuf| -> Vec<PathBuf> {
                names.iter().map(|name| tree.join(OsString::from_vec(name.clone()))).collect()
            };
            trees = trees.iter().flat_map(below).collect();
        }
        Some(trees)
    }

    /// The folder that everything it speaks of lies in.
    pub(crate) fn fixed_prefix(&self, places: &Places) -> PathBuf {
        let mut prefix = self.start(places).to_path_buf();
        for part in &self.parts {
            let Part::One(glob) = part else { break };
            let Some(name) = glob.text() else { break };
            prefix.push(OsString::from_vec(name));
        }
        prefix
    }

    fn start<'a>(&self, places: &'a Places) -> &'a Path {
        match self.anchor {
            Anchor::Root => Path::new("/"),
            Anchor::Workspace => &places.workspace,
            Anchor::Home => &places.home,
        }
    }

    /// Over the bytes of a path, `/` being none: so every name has a slash before it.
    pub(crate) fn write(&self, out: &mut Regex, places: &Places) {
        self.write_exact(out, places);
        // What has no star is a tree; see above.
        if self.is_plain() {
            out.raw(ANY_FOLDERS);
        }
    }

    /// The same, but a name is that file only: for programs, which are no folders.
    pub(crate) fn write_exact(&self, out: &mut Regex, places: &Places) {
        out.literal(spelled(self.start(places)));
        write_folders(out, &self.parts, ANY_FOLDERS);
    }

    fn is_plain(&self) -> bool {
        let plain = |part: &Part| matches!(part, Part::One(glob) if glob.texts(MOST_TREES).is_some());
        self.parts.iter().all(plain)
    }
}

/// A canonical path as it is matched.
pub(crate) fn spelled(path: &Path) -> &[u8] {
    let bytes = path.as_os_str().as_bytes();
    if bytes == b"/" { b"" } else { bytes }
}

/// Folder names, each after its slash; `any` is what `**` stands for.
pub(crate) fn write_folders(out: &mut Regex, parts: &[Part], any: &str) {
    for part in parts {
        match part {
            Part::Any => out.raw(any),
            Part::One(glob) if glob.is_star() => out.raw("/[^/\\x00]+"),
            Part::One(glob) => {
                out.raw("/");
                out.glob(glob, "[^/\\x00]");
            }
        }
    }
}

fn check(part: &Part) -> Result<(), PatternError> {
    let Part::One(glob) = part else { return Ok(()) };
    for name in glob.texts(MOST_TREES).unwrap_or_default() {
        match name.as_slice() {
            b"" => return Err(PatternError::new("a path has an empty folder name (`//`)")),
            b"." | b".." => {
                return Err(PatternError::new("a path contains `.` or `..` as a name")
                    .hint("links are followed before rules are asked, so write where it really leads"));
            }
            _ => {}
        }
    }
    Ok(())
}
