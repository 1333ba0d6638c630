//! Edits of the model: every kind of thing, with every kind of name.

use super::{Model, Node, beneath};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

/// Names that are odd, and few enough to meet. One that ends in `t` is copied up though nothing of it changed.
const NAMES: [&[u8]; 9] =
    [b"a", b"b", b"ct", b"new\nline", b"\xff\xfe", b"caf\xc3\xa9", b"cafe\xcc\x81", b"-r", b"x\\x41 \""];

/// What one edit does.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    /// Thirty lines, some of them changed.
    Lines(PathBuf, Vec<(usize, String)>),
    Write(PathBuf, Vec<u8>),
    Remove(PathBuf),
    Mode(PathBuf, u32),
    Link(PathBuf, Vec<u8>),
    Folder(PathBuf),
    Rename(PathBuf, PathBuf),
}

fn path() -> impl Strategy<Value = PathBuf> {
    let name = || prop::sample::select(NAMES.to_vec());
    prop::collection::vec(name(), 1..4)
        .prop_map(|parts| parts.iter().map(|part| OsStr::from_bytes(part)).collect())
}

fn changes() -> impl Strategy<Value = Vec<(usize, String)>> {
    prop::collection::vec((0..30_usize, "[xy]{0,2}\r?\n?"), 0..5)
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30),
        "([ab]\r?\n){0,12}[ab]?".prop_map(String::into_bytes),
        Just(Vec::new()),
    ]
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let mode = prop::sample::select(vec![0o600, 0o644, 0o755, 0o700, 0o664]);
    prop_oneof![
        4 => (path(), changes()).prop_map(|(path, changes)| Edit::Lines(path, changes)),
        2 => (path(), content()).prop_map(|(path, content)| Edit::Write(path, content)),
        2 => path().prop_map(Edit::Remove),
        1 => (path(), mode).prop_map(|(path, mode)| Edit::Mode(path, mode)),
        1 => (path(), path()).prop_map(|(path, to)| Edit::Link(path, to.as_os_str().as_bytes().to_vec())),
        1 => path().prop_map(|path| Edit::Link(path, b"../../../etc/passwd".to_vec())),
        1 => path().prop_map(Edit::Folder),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
    ]
}

fn remove(model: &mut Model, path: &Path) {
    model.retain(|known, _| !known.starts_with(path));
}

/// Makes room for something at a path: what is on its way becomes a folder.
fn make_way(model: &mut Model, path: &Path) {
    let above: Vec<PathBuf> = super::above(path).map(Path::to_owned).collect();
    for folder in above.into_iter().rev() {
        if !model.get(&folder).is_some_and(Node::is_folder) {
            model.insert(folder, Node::Folder(0o755));
        }
    }
}

/// Does an edit, as far as it can be done.
pub(super) fn write(model: &mut Model, edit: &Edit) {
    match edit {
        Edit::Lines(path, changes) => {
            let kept = match model.get(path) {
                Some(Node::File(mode, text)) if text.iter().filter(|byte| **byte == b'\n').count() > 20 => {
                    Some((*mode, text.clone()))
                }
                _ => None,
            };
            let fresh =
                || (0o644, (1..=30).flat_map(|number| format!("line {number}\n").into_bytes()).collect());
            let (mode, text): (u32, Vec<u8>) = kept.unwrap_or_else(fresh);
            let mut lines: Vec<Vec<u8>> =
                text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            for (at, line) in changes {
                if let Some(known) = lines.get_mut(*at) {
                    *known = line.clone().into_bytes();
                }
            }
            set(model, path, Node::File(mode, lines.concat()));
        }
        Edit::Write(path, content) => set(model, path, Node::File(0o644, content.clone())),
        Edit::Remove(path) => remove(model, path),
        Edit::Mode(path, mode) => match model.get_mut(path) {
            Some(Node::File(known, _)) => *known = *mode,
            Some(Node::Folder(known)) => *known = *mode | 0o700,
            Some(Node::Link(_)) | None => {}
        },
        Edit::Link(path, target) => set(model, path, Node::Link(target.clone())),
        Edit::Folder(path) => set(model, path, Node::Folder(0o750)),
        Edit::Rename(from, to) => rename(model, from, to),
    }
}

fn set(model: &mut Model, path: &Path, node: Node) {
    make_way(model, path);
    remove(model, path);
    model.insert(path.to_owned(), node);
}

fn rename(model: &mut Model, from: &Path, to: &Path) {
    let Some(node) = model.get(from).cloned() else { return };
    if from.starts_with(to) || to.starts_with(from) {
        return;
    }
    let inner: Vec<(PathBuf, Node)> =
        beneath(model, from).map(|path| (path.clone(), model[path].clone())).collect();
    remove(model, from);
    set(model, to, node);
    for (path, node) in inner {
        model.insert(to.join(path.strip_prefix(from).unwrap_or(&path)), node);
    }
}
