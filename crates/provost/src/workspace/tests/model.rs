//! Changes of every kind, staged, partly accepted, landed and taken back, against a file system that is only a map.

use super::super::*;
use super::desk::{Desk, Line, line_for};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use proptest::prelude::*;

mod edits;
use edits::{Edit, edit, write};

/// A thing of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    File(u32, Vec<u8>),
    Link(Vec<u8>),
    Folder(u32),
}

impl Node {
    fn is_folder(&self) -> bool {
        matches!(self, Node::Folder(_))
    }
}

/// All that is there, by path; what holds something is there too.
pub(super) type Model = BTreeMap<PathBuf, Node>;

/// What lies in a folder, at any depth.
fn beneath<'a>(model: &'a Model, folder: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
    model.keys().filter(move |path| path.starts_with(folder) && *path != folder)
}

fn above(path: &Path) -> impl Iterator<Item = &Path> {
    path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty())
}

/// The folder as it is on disk.
fn read(root: &Path) -> Model {
    let mut model = Model::new();
    let mut open = vec![PathBuf::new()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let found = fs::symlink_metadata(root.join(&path)).unwrap();
            let mode = found.mode() & 0o7777;
            let node = if found.is_dir() {
                open.push(path.clone());
                Node::Folder(mode)
            } else if found.is_symlink() {
                Node::Link(fs::read_link(root.join(&path)).unwrap().as_os_str().as_bytes().to_vec())
            } else {
                Node::File(mode, fs::read(root.join(&path)).unwrap())
            };
            model.insert(path, node);
        }
    }
    model
}

/// Makes a folder that is as one model says be as another says; only what differs is touched.
fn become_of(root: &Path, from: &Model, to: &Model) {
    for (path, node) in from.iter().rev() {
        let stays =
            to.get(path).is_some_and(|other| node == other || (node.is_folder() && other.is_folder()));
        match node {
            _ if stays => {}
            Node::Folder(_) => fs::remove_dir(root.join(path)).unwrap(),
            _ => fs::remove_file(root.join(path)).unwrap(),
        }
    }
    for (path, node) in to.iter().filter(|(path, node)| from.get(*path) != Some(node)) {
        let place = root.join(path);
        match node {
            Node::Folder(_) => drop(fs::create_dir(&place)),
            Node::Link(target) => symlink(OsStr::from_bytes(target), &place).unwrap(),
            Node::File(_, content) => fs::write(&place, content).unwrap(),
        }
        if let Node::File(mode, _) | Node::Folder(mode) = node {
            fs::set_permissions(&place, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// The paths at which a change is told between two models.
fn differ(was: &Model, is: &Model) -> BTreeSet<PathBuf> {
    let paths: BTreeSet<&PathBuf> = was.keys().chain(is.keys()).collect();
    let empty = |model: &Model, path: &Path| beneath(model, path).next().is_none();
    let told = |path: &&&PathBuf| match (was.get(**path), is.get(**path)) {
        (None, Some(Node::Folder(_))) => empty(is, path),
        (Some(Node::Folder(_)), None) => empty(was, path),
        (one, other) => one != other,
    };
    paths.iter().filter(told).map(|path| (*path).clone()).collect()
}

/// Puts what the run left at one path into a model.
fn put(now: &mut Model, seen: &Model, path: &Path, content: Option<Vec<u8>>) {
    match (seen.get(path), content) {
        (Some(Node::File(..)), Some(content)) => {
            if let Some(Node::File(_, text)) = now.get_mut(path) {
                *text = content;
            }
        }
        (Some(node), _) => {
            for above in above(path)
                .filter(|above| !now.get(*above).is_some_and(Node::is_folder))
                .map(Path::to_owned)
                .collect::<Vec<_>>()
            {
                now.insert(above.clone(), seen[&above].clone());
            }
            now.insert(path.to_owned(), node.clone());
        }
        (None, _) => {
            now.remove(path);
            for above in above(path) {
                if seen.get(above).is_some_and(Node::is_folder) || beneath(now, above).next().is_some() {
                    break;
                }
                now.remove(above);
            }
        }
    }
}

/// Whether a change may have to wait for another: somewhere on its way, or in it, a folder takes the place of something
/// else, or something else that of a folder.
fn is_entangled(was: &Model, is: &Model, path: &Path) -> bool {
    let turns = |path: &Path| match (was.get(path), is.get(path)) {
        (Some(one), Some(other)) => one.is_folder() != other.is_folder(),
        _ => false,
    };
    turns(path) || above(path).any(turns)
}

/// A workspace as an overlay or as a copy of one model, in which a run has made another of it.
fn staged(desk: &Desk, copied: bool, was: &Model, is: &Model) -> Workspace {
    become_of(&desk.root(), &read(&desk.root()), was);
    if !copied {
        let workspace = desk.stage();
        desk.edited(&workspace, |seen| become_of(seen, was, is));
        return workspace;
    }
    let held = Root::open(&desk.root()).unwrap();
    for folder in ["staged", "base"] {
        fs::create_dir(desk.run_dir().join(folder)).unwrap();
    }
    let mut base = Base::take(&held, now()).unwrap();
    let stage = stage::private_copy(&held, &mut base, &desk.run_dir().join("staged")).unwrap();
    base.save(&desk.run_dir().join("base")).unwrap();
    let past = Past::Taken(Arc::new(base));
    let workspace =
        Workspace::staged_as(desk.root(), &desk.run_dir(), stage, Some("a test".into()), past).unwrap();
    let Stage::Copy { from } = workspace.staged() else { panic!() };
    become_of(from, was, is);
    workspace
}

/// What of a change is accepted.
struct Accepted {
    pick: Pick,
    /// Whole files.
    files: BTreeSet<PathBuf>,
    /// Files by some of their hunks, with the text that they then are.
    parts: BTreeMap<PathBuf, Vec<u8>>,
}

/// Accepts files and hunks by the bits of a number, from what a review shows and nothing else.
fn accept(review: &Review, was: &Model, mut bits: u64) -> Accepted {
    let mut next = || {
        bits = bits.rotate_right(1);
        bits & 1 == 1
    };
    let (mut files, mut parts, mut ids) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for file in &review.files {
        let path = file.path.to_path();
        if file.hunks.len() < 2 || next() {
            if next() {
                files.insert(path);
            }
            continue;
        }
        let chosen: Vec<&HunkReview> = file.hunks.iter().filter(|_| next()).collect();
        if chosen.is_empty() {
            continue;
        }
        let Some(Node::File(_, text)) = was.get(&path) else { panic!("hunks of no file: {path:?}") };
        ids.extend(chosen.iter().map(|hunk| hunk.id.clone()));
        parts.insert(path, with_hunks(text, &chosen));
    }
    let pick = Pick::default().with_files(files.iter().cloned()).with_hunks(ids).with_handoffs();
    Accepted { pick, files, parts }
}

/// A text with what is shown of hunks done to it.
fn with_hunks(text: &[u8], hunks: &[&HunkReview]) -> Vec<u8> {
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let (mut to, mut at) = (Vec::new(), 0);
    for hunk in hunks {
        let start = if hunk.old.1 == 0 { hunk.old.0 } else { hunk.old.0 - 1 };
        to.extend(lines[at..start].concat());
        for line in hunk.lines.iter().filter(|line| line.as_bytes()[0] != b'-') {
            to.extend(&line.as_bytes()[1..]);
        }
        at = start + hunk.old.1;
    }
    to.extend(lines[at..].concat());
    to
}

/// Lands what is accepted, and says what the workspace is then by the model.
fn land(workspace: &Workspace, line: &Line, accepted: &Accepted, (was, is): (&Model, &Model)) -> Model {
    let change = workspace.change().unwrap();
    let landing = workspace.land(&line.admission, &change, &accepted.pick).unwrap();
    let named: BTreeSet<&PathBuf> = accepted.files.iter().chain(accepted.parts.keys()).collect();
    let told = landing.landed.iter().chain(landing.refused.iter().map(|kept| &kept.path)).collect();
    assert_eq!(named, told, "what was named has either landed or was kept back, and nothing else");
    let waits = |kept: &Kept| is_entangled(was, is, &kept.path);
    assert!(landing.refused.iter().all(waits), "kept back for no reason: {:?}", landing.refused);
    let mut now = was.clone();
    let (gone, come): (Vec<_>, Vec<_>) = landing.landed.iter().partition(|path| !is.contains_key(*path));
    for path in gone.into_iter().rev().chain(come) {
        put(&mut now, is, path, accepted.parts.get(path).cloned());
    }
    now
}

fn cases() -> u32 {
    if std::env::var_os("PROVOST_LONG").is_some() { 500 } else { 32 }
}

fn tree(most: usize) -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_lands_as_the_model_says_and_can_be_taken_back(
        before in tree(16), edits in tree(14), copied: bool, bits: u64, more: u64
    ) {
        let mut was = Model::new();
        before.iter().for_each(|edit| write(&mut was, edit));
        let mut is = was.clone();
        edits.iter().for_each(|edit| write(&mut is, edit));
        let desk = Desk::new();
        let line = line_for(&desk.root());
        let workspace = staged(&desk, copied, &was, &is);
        let paths = |change: &Change| change.files.iter().map(|file| file.path.clone()).collect::<BTreeSet<_>>();
        let change = workspace.settle(&line.admission).unwrap();
        prop_assert_eq!(paths(&change), differ(&was, &is));

        // A part lands; the rest waits, as it was.
        let accepted = accept(&workspace.review(&change).unwrap(), &was, bits);
        let once = land(&workspace, &line, &accepted, (&was, &is));
        prop_assert_eq!(&read(&desk.root()), &once);
        let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
        let waiting = workspace.change().unwrap();
        prop_assert_eq!(paths(&waiting), differ(&once, &is));
        prop_assert!(!waiting.files.iter().any(|file| file.moved), "{:?}", waiting);

        // Taken back, all is as it was; landed again, as it was then.
        if once != was {
            let undone = workspace.undo(&line.admission).unwrap();
            prop_assert_eq!(&undone.refused, &vec![]);
            prop_assert_eq!(&read(&desk.root()), &was);
            prop_assert_eq!(&workspace.change().unwrap(), &change);
            prop_assert_eq!(&land(&workspace, &line, &accepted, (&was, &is)), &once);
            prop_assert_eq!(&read(&desk.root()), &once);
        }

        // Another part of what waits, and then the rest: the whole, however it was cut.
        let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
        let waiting = workspace.change().unwrap();
        let accepted = accept(&workspace.review(&waiting).unwrap(), &once, more);
        let twice = land(&workspace, &line, &accepted, (&once, &is));
        prop_assert_eq!(&read(&desk.root()), &twice);
        let rest = workspace.change().unwrap();
        let landing = workspace.land(&line.admission, &rest, &Pick::all().with_handoffs()).unwrap();
        prop_assert_eq!(&landing.refused, &vec![]);
        prop_assert_eq!(&read(&desk.root()), &is);
        prop_assert_eq!(&workspace.change().unwrap(), &Change::default());

        // And all the way back.
        while let Ok(undone) = workspace.undo(&line.admission) {
            prop_assert_eq!(&undone.refused, &vec![]);
        }
        prop_assert_eq!(&read(&desk.root()), &was);
        prop_assert_eq!(&workspace.change().unwrap(), &change);
        line.ends_whole();
    }
}
