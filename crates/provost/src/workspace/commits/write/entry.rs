//! One path as git keeps it, and an edit of it carried over to another version.
//!
//! Owns: writing contents as blobs the way git itself would for that path, and bringing an edit to what the person's HEAD
//! and index hold, so that neither their lines get into the commit nor the commit's inverse into their index. Programs that
//! filter contents are not run: a path that has one is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::workspace::commits::check::words;
use crate::workspace::git::Git;
use crate::workspace::merge::merged;
use crate::workspace::sides::LARGE;

/// A path's entry in a tree or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: String,
    pub(super) id: String,
}

/// A content that is to become one.
#[derive(Debug)]
pub(super) enum Content {
    Nothing,
    File { content: File, mode: u32 },
    Text { text: Vec<u8>, mode: u32 },
    Link(PathBuf),
}

/// The entries of an index, by path. One that is in conflict has none, and is named.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) entries: BTreeMap<PathBuf, Entry>,
    pub(super) clashing: Vec<PathBuf>,
}

impl Index {
    pub(super) fn read(git: &Git) -> Result<Index, String> {
        let listed = git.ask(["ls-files", "--stage", "-z"]).answer().map_err(words)?;
        let mut index = Index::default();
        for line in listed.split(|byte| *byte == 0) {
            let Some(tab) = line.iter().position(|byte| *byte == b'\t') else { continue };
            let (head, path) = line.split_at(tab);
            let head = String::from_utf8_lossy(head).into_owned();
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(path.get(1..).unwrap_or_default()));
            let mut parts = head.split(' ').map(str::to_owned);
            match (parts.next(), parts.next(), parts.next().as_deref()) {
                (Some(mode), Some(id), Some("0")) => drop(index.entries.insert(path, Entry { mode, id })),
                _ => index.clashing.push(path),
            }
        }
        Ok(index)
    }

    /// What cannot be in an index together with a file of this path, and does not go: a file or a submodule in place of one
    /// of its folders, or a folder in its own place. Git would take it out without a word.
    pub(super) fn beside(&self, path: &Path, gone: &BTreeSet<PathBuf>) -> Option<&Path> {
        let above = path.ancestors().skip(1).filter_map(|above| self.entries.get_key_value(above));
        let from = self.entries.range(path.to_owned()..).skip_while(|(entry, _)| *entry == path);
        let beneath = from.take_while(|(entry, _)| entry.starts_with(path));
        above.chain(beneath).map(|(entry, _)| entry.as_path()).find(|entry| !gone.contains(*entry))
    }
}

/// Writes a content as a blob, as git would for this path.
pub(super) fn write(git: &Git, path: &Path, content: Content) -> Result<Option<Entry>, String> {
    let mut converted = [b"--path=", path.as_os_str().as_bytes()].concat();
    let (mode, question) = match content {
        Content::Nothing => return Ok(None),
        Content::File { content, mode } => (mode_of(mode), Ok(git.ask(["x"; 0]).reading_file(content))),
        Content::Text { text, mode } => (mode_of(mode), git.ask(["x"; 0]).reading(&text)),
        Content::Link(target) => {
            converted = b"--no-filters".to_vec();
            ("120000", git.ask(["x"; 0]).reading(target.as_os_str().as_bytes()))
        }
    };
    let question = question.map_err(words)?;
    let words_of =
        [b"hash-object".as_slice(), b"-w", b"--stdin", &converted].map(std::ffi::OsStr::from_bytes);
    let id = question.with_words(words_of).line().map_err(words)?;
    Ok(Some(Entry { mode: mode.to_owned(), id }))
}

fn mode_of(mode: u32) -> &'static str {
    if mode & 0o100 == 0 { "100644" } else { "100755" }
}

/// What `version` becomes with the edit that leads from `was` to `is`.
///
/// # Errors
/// In words, where the two cannot be brought together.
pub(super) fn carried(
    git: &Git,
    (was, is): (Option<&Entry>, Option<&Entry>),
    version: Option<&Entry>,
    whose: &str,
) -> Result<Option<Entry>, String> {
    if version == was || version == is {
        return Ok(is.cloned());
    }
    let (Some(was), Some(is), Some(version)) = (was, is, version) else {
        return Err(format!("{whose} holds another version of it: commit it yourself"));
    };
    let mode = match (was.mode == is.mode, version.mode == was.mode) {
        (true, _) => &version.mode,
        (false, true) => &is.mode,
        (false, false) => return Err(format!("its mode is another in {whose}: commit it yourself")),
    };
    if version.id == was.id {
        return Ok(Some(Entry { mode: mode.clone(), id: is.id.clone() }));
    }
    let plain = |entry: &&Entry| entry.mode.starts_with("100");
    let texts: Option<Vec<Vec<u8>>> =
        [was, version, is].iter().map(|entry| plain(entry).then(|| text(git, entry))?).collect();
    let texts = texts.ok_or_else(|| format!("it is no text, and {whose} holds another version of it"))?;
    let [was, mine, edit] = texts.as_slice() else { return Err("it cannot be read".to_owned()) };
    let both = merged(was, mine, edit).map_err(|clashes| {
        let first = clashes.first().map(|clash| format!(" ({clash})")).unwrap_or_default();
        format!("your own changes since {whose} touch the same lines{first}: commit it yourself")
    })?;
    let question = git.ask(["hash-object", "-w", "--stdin", "--no-filters"]).reading(&both);
    let id = question.and_then(|question| question.line()).map_err(words)?;
    Ok(Some(Entry { mode: mode.clone(), id }))
}

/// A blob that is text and not too large.
fn text(git: &Git, entry: &Entry) -> Option<Vec<u8>> {
    let bytes = git.ask(["cat-file", "blob", &entry.id]).answer().ok()?;
    (bytes.len() as u64 <= LARGE && !bytes.contains(&0)).then_some(bytes)
}

/// Why a program of the person's, or a re-encoding, stands between this path and its blob, if one does.
pub(super) fn filtered(git: &Git, paths: &[&Path]) -> Result<BTreeMap<PathBuf, &'static str>, String> {
    let input: Vec<u8> =
        paths.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let ask = git.ask(["check-attr", "-z", "--stdin", "filter", "ident", "working-tree-encoding"]);
    let answer = ask.reading(&input).and_then(|ask| ask.answer()).map_err(words)?;
    let mut tokens = answer.split(|byte| *byte == 0);
    let mut found = BTreeMap::new();
    while let (Some(path), Some(_), Some(value)) = (tokens.next(), tokens.next(), tokens.next()) {
        if value != b"unspecified" && value != b"unset" {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            found.insert(path, "git converts it with a filter of yours: commit it yourself");
        }
    }
    Ok(found)
}

/// Puts entries into the index that `git` has; `None` takes a path out.
pub(super) fn put(git: &Git, entries: &[(PathBuf, Option<Entry>)], digits: usize) -> Result<(), String> {
    let mut input = Vec::new();
    let none = Entry { mode: "0".to_owned(), id: "0".repeat(digits) };
    // What goes comes first: a file may take the place of a folder.
    let (gone, there): (Vec<_>, Vec<_>) = entries.iter().partition(|(_, entry)| entry.is_none());
    for (path, entry) in gone.into_iter().chain(there) {
        let Entry { mode, id } = entry.as_ref().unwrap_or(&none);
        input.extend(format!("{mode} {id}\t").bytes());
        input.extend([path.as_os_str().as_bytes(), b"\0"].concat());
    }
    let ask = git.ask(["update-index", "--add", "--replace", "-z", "--index-info"]);
    ask.reading(&input).and_then(|ask| ask.answer()).map_err(words).map(drop)
}
