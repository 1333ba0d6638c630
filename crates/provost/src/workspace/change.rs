//! What a run changed.
//!
//! Owns: from the two sides to a list of files, each with its kind, its counts, and why it must not land unseen or at all.
//! The cost grows with what changed. Does not own finding what may have changed (`change/overlay`, `change/copied`), hunks
//! (`hunk`), or the judgement of handoffs (`handoff`).

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use ledger::event::{self, ChangeStaged, StagedFile};

use super::base::{Entry, is_git};
use super::beneath::{Found, Kind, Root, same};
use super::handoff::{self, Handoff};
use super::hunk::{self, Hunk, Mark};
use super::ignored::Ignored;
use super::left::Left;
use super::risk::{self, Facts, Risk};
use super::sides::{LARGE, Sides, read_small};

mod copied;
mod overlay;

/// What a run changed and has not landed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The files, sorted by path.
    pub files: Vec<FileChange>,
    /// What git ignores, topmost, sorted: it stays with the workspace and never lands. A folder stands for all in it.
    pub ignored: Vec<PathBuf>,
    /// Git's own bookkeeping that changed (objects, references, index): it never lands as files.
    pub git: Vec<PathBuf>,
}

/// One file, link or folder that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Beneath the workspace.
    pub path: PathBuf,
    /// What became of it.
    pub kind: event::Change,
    /// What was there when the run began.
    pub pre: Option<Side>,
    /// What the run left.
    pub post: Option<Side>,
    /// What is known of its lines.
    pub content: Content,
    /// Who would obey it, if it is a handoff file.
    pub handoff: Option<Handoff>,
    /// Why it can never land, if it cannot.
    pub never: Option<&'static str>,
    /// Whether the repository has changed here since the run began.
    pub moved: bool,
    /// How much there is to lose by landing it.
    pub risk: Risk,
}

/// One side of a changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// What it is.
    pub what: What,
    /// Its permission bits.
    pub mode: u32,
}

/// What something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link, and where it says it leads.
    Link(PathBuf),
    /// A folder.
    Folder,
    /// A pipe, a socket or a device.
    Special,
}

/// What is known of a changed file's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Text on both sides, with lines added and removed.
    Lines {
        /// Lines added.
        added: u64,
        /// Lines removed.
        removed: u64,
    },
    /// A side is no text.
    Binary,
    /// A side is too large to be compared line by line.
    Large,
    /// What was there is gone: the repository has moved.
    Unknown,
    /// The content is the same, or there is none.
    None,
}

impl FileChange {
    /// Why it waits for a person, or can never land.
    #[must_use]
    pub fn why(&self) -> Option<&'static str> {
        self.never.or(self.handoff.map(Handoff::why))
    }

    /// Whether the person changed it too, and what both began from is not known.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.moved && self.pre.is_some() && matches!(self.content, Content::Unknown | Content::Large)
    }

    /// Lines added and removed; 0 for what is no text.
    #[must_use]
    pub fn lines(&self) -> (u64, u64) {
        match self.content {
            Content::Lines { added, removed } => (added, removed),
            Content::Binary | Content::Large | Content::Unknown | Content::None => (0, 0),
        }
    }

    fn event(&self, left: &Left) -> StagedFile {
        let (added, removed) = self.lines();
        let size = match self.post.as_ref().map(|side| &side.what) {
            Some(What::File(size)) => *size,
            Some(What::Link(_) | What::Folder | What::Special) | None => 0,
        };
        let handoff = self.handoff.is_some();
        let why = self.why().map(str::to_owned);
        let (path, change, risk) = (self.path.as_path().into(), self.kind, self.risk.grade);
        let digest = left.digest(&self.path);
        StagedFile { path, change, added, removed, size, handoff, why, risk, digest }
    }

    /// What is known of it beside its lines.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let unread = match self.content {
            Content::Binary => Some("it is binary: nobody reads it"),
            Content::Large => Some("it is too large to be shown"),
            Content::Unknown => Some("what was there is gone: what differs is not known"),
            Content::Lines { .. } | Content::None => None,
        };
        let stands = (self.pre.is_some(), self.post.is_some());
        Facts { path: &self.path, handoff: self.handoff, stands, unread }
    }
}

impl Change {
    /// Whether nothing changed that could land.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The event that says what is staged.
    #[must_use]
    pub(crate) fn event(&self, left: &Left) -> ChangeStaged {
        ChangeStaged { files: self.files.iter().map(|file| file.event(left)).collect() }
    }

    /// Lines added and removed in all.
    #[must_use]
    pub fn lines(&self) -> (u64, u64) {
        self.files.iter().map(FileChange::lines).fold((0, 0), |sum, file| (sum.0 + file.0, sum.1 + file.1))
    }
}

/// Compares the sides of a workspace.
pub(crate) fn compare(sides: &Sides, root: &Path) -> io::Result<Change> {
    let mut found = Finding { sides, ignored: Ignored::new(sides, root), change: Change::default() };
    if sides.is_overlay {
        overlay::visit(&mut found)?;
    } else {
        copied::visit(&mut found)?;
    }
    let mut change = found.change;
    change.files.sort_by(|one, other| one.path.cmp(&other.path));
    change.ignored.sort();
    change.ignored.dedup();
    change.git.sort();
    Ok(change)
}

/// A comparison in progress. The visitors tell it what may have changed.
#[derive(Debug)]
struct Finding<'a> {
    sides: &'a Sides,
    ignored: Ignored<'a>,
    change: Change,
}

impl Finding<'_> {
    /// Whether a path is ignored; if so it is listed apart, and nothing in it is looked at.
    fn sets_aside(&mut self, path: &Path, is_folder: bool) -> bool {
        let ignored = self.ignored.is_ignored(path, is_folder);
        if ignored {
            let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            let topmost = above.filter(|above| self.ignored.is_ignored(above, true)).last().unwrap_or(path);
            self.change.ignored.push(topmost.to_owned());
        }
        ignored
    }

    /// Something that cannot be looked at.
    fn shut(&mut self, path: &Path, never: &'static str) {
        let pre = self.sides.was(path).map(side_before);
        let kind = if pre.is_some() { event::Change::Modified } else { event::Change::Added };
        self.change.files.push(FileChange {
            path: path.to_owned(),
            kind,
            pre,
            post: None,
            content: Content::None,
            handoff: handoff::by_name(path),
            never: Some(never),
            moved: false,
            risk: Risk::default(),
        });
    }

    /// All that was at a path and beneath it is gone.
    fn gone(&mut self, path: &Path) -> io::Result<()> {
        let sides = self.sides;
        if let Some(entry) = sides.was(path) {
            self.pair(path, Some(entry), None)?;
            self.gone_beneath(path)?;
        }
        Ok(())
    }

    /// All that was beneath a path is gone.
    fn gone_beneath(&mut self, path: &Path) -> io::Result<()> {
        let sides = self.sides;
        sides.base.beneath(path).iter().try_for_each(|entry| self.pair(&entry.path, Some(entry), None))
    }

    /// Compares what was with what is left at one path.
    fn pair(&mut self, path: &Path, was: Option<&Entry>, left: Option<Found>) -> io::Result<()> {
        let is_folder = left.map_or(was.is_some_and(|was| was.found.is_folder()), |left| left.is_folder());
        if !is_folder && self.sets_aside(path, false) {
            return Ok(());
        }
        let Some(kind) = self.kind(path, was, left)? else { return Ok(()) };
        if is_git(path) && is_bookkeeping(path) {
            self.change.git.push(path.to_owned());
            return Ok(());
        }
        let post = left.map(|left| self.side_after(path, left)).transpose()?;
        let (content, hunks) = self.content(path, was, left, kind)?;
        let moved = match was {
            Some(entry) => !self.sides.is_untouched(entry),
            None => self.sides.now.find(path).ok().flatten().is_some(),
        };
        let never = never(path, was, left);
        let handoff = judge(path, was, left, self.sides.now.find(path).ok().flatten());
        let handoff = handoff.or_else(|| is_in_bare(path, &self.sides.now).then_some(Handoff::Git));
        let pre = was.map(side_before);
        let path = path.to_owned();
        let mut file =
            FileChange { path, kind, pre, post, content, handoff, never, moved, risk: Risk::default() };
        file.risk = risk::of_file(&file.facts(), hunks.iter().flat_map(|hunk| &hunk.lines));
        self.change.files.push(file);
        Ok(())
    }

    /// What became of it; `None` if nothing did, or if what is in it says so too.
    fn kind(
        &self,
        path: &Path,
        was: Option<&Entry>,
        left: Option<Found>,
    ) -> io::Result<Option<event::Change>> {
        use event::Change as Became;
        let kinds = (was.map(|was| was.found.kind), left.map(|left| left.kind));
        let mode = match (was, left) {
            (Some(was), Some(left)) => (was.found.mode != left.mode).then_some(Became::Mode),
            _ => None,
        };
        Ok(match kinds {
            (None, None) => None,
            (None, Some(Kind::Folder)) => self.is_left_empty(path)?.then_some(Became::Added),
            (Some(Kind::Folder), None) => self.sides.base.is_empty(path).then_some(Became::Deleted),
            (Some(Kind::Folder), Some(Kind::Folder)) => mode,
            (None | Some(Kind::Folder), Some(Kind::Link)) => Some(Became::Link),
            (None | Some(Kind::Folder), Some(_)) => Some(Became::Added),
            (Some(_), None | Some(Kind::Folder)) => Some(Became::Deleted),
            (Some(Kind::Link), Some(Kind::Link)) => {
                let now = self.sides.left.link(path)?;
                (was.and_then(|was| was.target.as_ref()) != Some(&now)).then_some(Became::Link)
            }
            (Some(Kind::Link), Some(_)) | (Some(_), Some(Kind::Link)) => Some(Became::Link),
            (Some(Kind::File), Some(Kind::File)) => match self.is_same(path, was, left) {
                true => mode,
                false => Some(Became::Modified),
            },
            (Some(_), Some(_)) => Some(Became::Modified),
        })
    }

    /// Whether a folder that the run left holds nothing.
    fn is_left_empty(&self, path: &Path) -> io::Result<bool> {
        for name in self.sides.left.names(path)? {
            let found = self.sides.left.find(&path.join(name))?;
            let gone = Kind::Special { whiteout: true };
            if found.is_some_and(|found| !self.sides.is_overlay || found.kind != gone) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether two files surely hold the same. What cannot be read on either side does not.
    fn is_same(&self, path: &Path, was: Option<&Entry>, left: Option<Found>) -> bool {
        let (Some(was), Some(left)) = (was, left) else { return false };
        if was.found.stamp.size != left.stamp.size {
            return false;
        }
        let files = self.sides.before(was).and_then(|before| Ok(before.zip(Some(self.sides.after(path)?))));
        match files {
            Ok(Some((mut before, mut after))) => same(&mut before, &mut after).unwrap_or(false),
            Ok(None) | Err(_) => false,
        }
    }

    fn side_after(&self, path: &Path, left: Found) -> io::Result<Side> {
        let what = match left.kind {
            Kind::File => What::File(left.stamp.size),
            Kind::Folder => What::Folder,
            Kind::Link => What::Link(self.sides.left.link(path)?),
            Kind::Special { .. } => What::Special,
        };
        Ok(Side { what, mode: left.mode })
    }

    /// The lines of a file that changed, counted and as they are.
    fn content(
        &self,
        path: &Path,
        was: Option<&Entry>,
        left: Option<Found>,
        kind: event::Change,
    ) -> io::Result<(Content, Vec<Hunk>)> {
        let was = was.filter(|was| was.found.kind == Kind::File);
        let left = left.filter(|left| left.kind == Kind::File);
        if kind == event::Change::Mode || (was.is_none() && left.is_none()) {
            return Ok((Content::None, Vec::new()));
        }
        let sizes = [was.map(|was| was.found.stamp.size), left.map(|left| left.stamp.size)];
        if sizes.into_iter().flatten().any(|size| size > LARGE) {
            return Ok((Content::Large, Vec::new()));
        }
        Ok(match texts(self.sides, path, was, left.is_some()) {
            Ok(Texts::Both(before, after)) => {
                let hunks = hunk::hunks(path, &before, &after);
                let count = |mark| hunks.iter().map(|hunk| hunk.count(mark)).sum();
                (Content::Lines { added: count(Mark::Added), removed: count(Mark::Removed) }, hunks)
            }
            Ok(Texts::Binary) => (Content::Binary, Vec::new()),
            Ok(Texts::Gone) | Err(_) => (Content::Unknown, Vec::new()),
        })
    }
}

/// The contents of both sides, if both are text.
pub(crate) enum Texts {
    Both(Vec<u8>, Vec<u8>),
    Binary,
    Gone,
}

/// Reads both sides of a file. A side that is no file is empty.
pub(crate) fn texts(sides: &Sides, path: &Path, was: Option<&Entry>, left: bool) -> io::Result<Texts> {
    let before = match was {
        Some(was) => match sides.before(was)? {
            Some(file) => read_small(&file)?,
            None => return Ok(Texts::Gone),
        },
        None => Some(Vec::new()),
    };
    let after = if left { read_small(&sides.after(path)?)? } else { Some(Vec::new()) };
    Ok(match (before, after) {
        (Some(before), Some(after)) if !before.contains(&0) && !after.contains(&0) => {
            Texts::Both(before, after)
        }
        _ => Texts::Binary,
    })
}

fn side_before(entry: &Entry) -> Side {
    let what = match entry.found.kind {
        Kind::File => What::File(entry.found.stamp.size),
        Kind::Folder => What::Folder,
        Kind::Link => What::Link(entry.target.clone().unwrap_or_default()),
        Kind::Special { .. } => What::Special,
    };
    Side { what, mode: entry.found.mode }
}

/// Whether a folder above it is what git takes for a repository, whatever it is called: its configuration and hooks name
/// programs.
fn is_in_bare(path: &Path, now: &Root) -> bool {
    path.ancestors()
        .skip(1)
        .any(|above| matches!(now.find(&above.join("HEAD")), Ok(Some(head)) if !head.is_folder()))
}

/// Who would obey what is there now. A link to elsewhere and a right that is given say so before a name does.
/// A right that the person has given meanwhile is not the run's to give.
fn judge(path: &Path, was: Option<&Entry>, left: Option<Found>, now: Option<Found>) -> Option<Handoff> {
    let named = handoff::by_name(path);
    let Some(left) = left else { return named };
    let alike = [was.map(|was| was.found), now].into_iter().flatten().filter(|one| one.kind == left.kind);
    let before = alike.map(|one| one.mode).reduce(|one, other| one | other);
    named.or(match left.kind {
        Kind::Link => Some(Handoff::Link),
        Kind::File | Kind::Folder => {
            handoff::opens(before, left.mode, left.is_folder()).then_some(Handoff::Mode)
        }
        Kind::Special { .. } => None,
    })
}

/// Most bytes of a file that may land. A file of holes costs the agent nothing, and reading it costs the person hours.
const LARGEST: u64 = 4 << 30;

/// Running it takes the rights of its owner or group.
const SET_ID: u32 = 0o6000;

/// Why something can never land.
fn never(path: &Path, was: Option<&Entry>, left: Option<Found>) -> Option<&'static str> {
    let kinds = [was.map(|was| was.found.kind), left.map(|left| left.kind)];
    if is_git(path) {
        return Some("git's own files never land as files");
    }
    if left.is_some_and(|left| left.kind == Kind::File && left.stamp.size > LARGEST) {
        return Some("a file larger than 4 GiB never lands: copy it yourself");
    }
    let known = was.filter(|was| was.found.kind == Kind::File).map_or(0, |was| was.found.mode);
    if left.is_some_and(|left| left.kind == Kind::File && left.mode & !known & SET_ID != 0) {
        return Some("a program that takes its owner's rights never lands: set the bit yourself");
    }
    let special = kinds.into_iter().flatten().any(|kind| matches!(kind, Kind::Special { .. }));
    special.then_some("a pipe, socket or device never lands")
}

/// Whether a path within git's folder is what git writes all the time: objects, references, index. What git obeys (its
/// configuration, hooks, attributes) is not.
fn is_bookkeeping(path: &Path) -> bool {
    const FOLDERS: [&str; 7] =
        ["objects", "refs", "logs", "rebase-merge", "rebase-apply", "sequencer", "lfs"];
    const FILES: [&str; 7] =
        ["index", "packed-refs", "shallow", "gc.log", "gc.pid", "description", "fetch_head"];
    let within: Vec<&OsStr> = path.iter().skip_while(|name| *name != ".git").skip(1).collect();
    // A submodule and a linked worktree have such a folder of their own within it. A submodule's name may have any depth.
    let own = match within.split_first() {
        Some((first, [_, own @ ..])) if *first == "worktrees" => own,
        Some((first, [_, rest @ ..])) if *first == "modules" => {
            let is_kept = |name: &&OsStr| *name == "hooks" || *name == "info" || *name == "config";
            if rest.iter().any(is_kept) {
                return false;
            }
            let folder =
                rest.iter().position(|name| name.to_str().is_some_and(|name| FOLDERS.contains(&name)));
            rest.get(folder.unwrap_or(rest.len().saturating_sub(1))..).unwrap_or_default()
        }
        _ => within.as_slice(),
    };
    let (Some(first), rest) = (own.first().and_then(|name| name.to_str()), own.get(1)) else {
        return false;
    };
    let first = first.strip_suffix(".lock").unwrap_or(first);
    let in_capitals = first.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    FOLDERS.contains(&first) || (rest.is_none() && (in_capitals || FILES.contains(&first)))
}
