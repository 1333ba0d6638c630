//! Which commits a run's branches lead to, read from the git folder that it left.
//!
//! Owns: reading `HEAD`, `refs/heads` and `packed-refs` by descriptor, byte by byte, as git writes them and no other way.
//! Nothing is followed: no link, no reference to a reference but `HEAD`'s. Does not own whether the commits are any good.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::workspace::beneath::{Kind, Root};

/// Most branches that are looked at.
const BRANCHES: usize = 4096;
/// Most folders deep that a branch's name is.
const DEEP: usize = 16;
/// Most bytes of a file of references.
const LARGEST: u64 = 4 << 20;

/// A branch, and the commit that it leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tip {
    /// `refs/heads/..`, or `HEAD` where no branch is checked out.
    pub(super) from: String,
    /// The commit.
    pub(super) id: String,
}

/// Where the branches lead, that of `HEAD` first. What cannot be a branch is not one.
///
/// # Errors
/// In words, where it is not a git folder as git makes them.
pub(super) fn read(left: &Root, now: &Root, digits: usize) -> Result<Vec<Tip>, String> {
    let git = Path::new(".git");
    if matches!(left.find(&git.join("reftable")), Ok(Some(_))) {
        return Err("its references are kept in a table, which Provost does not read".to_owned());
    }
    let mut branches = BTreeMap::new();
    if let Some(packed) = small(left, &git.join("packed-refs"))? {
        branches.extend(packed_refs(&packed, digits));
    }
    loose(left, digits, &mut branches)?;
    // In an overlay a file that the run did not write is not there: it is the repository's.
    let head = match small(left, &git.join("HEAD"))? {
        Some(head) => Some(head),
        None => small(now, &git.join("HEAD"))?,
    };
    let head = head.as_deref().and_then(|head| head.strip_suffix(b"\n").or(Some(head))).unwrap_or_default();
    let mut tips = Vec::new();
    if let Some(branch) = head.strip_prefix(b"ref: ").and_then(branch) {
        tips.extend(branches.remove(&branch).map(|id| Tip { from: branch, id }));
    } else if let Some(id) = id(head, digits) {
        tips.push(Tip { from: "HEAD".to_owned(), id });
    }
    tips.extend(branches.into_iter().map(|(from, id)| Tip { from, id }));
    Ok(tips)
}

/// The branches that are files of their own; a file wins over a line in `packed-refs`.
fn loose(left: &Root, digits: usize, branches: &mut BTreeMap<String, String>) -> Result<(), String> {
    let mut open = vec![(PathBuf::from("refs/heads"), 0)];
    let mut seen = 0;
    while let Some((folder, deep)) = open.pop() {
        let at = Path::new(".git").join(&folder);
        match left.find(&at) {
            Ok(Some(found)) if found.is_folder() => {}
            Ok(None) => continue,
            Ok(Some(_)) | Err(_) => return Err(format!("`.git/{}` is no folder", folder.display())),
        }
        let names = left.names(&at).map_err(|error| format!("its branches cannot be listed: {error}"))?;
        for name in names {
            seen += 1;
            if seen > BRANCHES {
                return Err(format!("it has more than {BRANCHES} branches"));
            }
            let (path, place) = (folder.join(&name), at.join(&name));
            match left.find(&place).ok().flatten().map(|found| found.kind) {
                Some(Kind::Folder) if deep < DEEP => open.push((path, deep + 1)),
                Some(Kind::File) => {
                    let Some(name) = path.to_str().map(str::as_bytes).and_then(branch) else { continue };
                    let value = small(left, &place)?.unwrap_or_default();
                    let value = value.strip_suffix(b"\n").unwrap_or(&value);
                    match id(value, digits) {
                        Some(id) => drop(branches.insert(name, id)),
                        None => drop(branches.remove(&name)),
                    }
                }
                // A file that an overlay says is gone hides no line in `packed-refs`.
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

fn packed_refs(text: &[u8], digits: usize) -> impl Iterator<Item = (String, String)> {
    text.split(|byte| *byte == b'\n').take(BRANCHES * 16).filter_map(move |line| {
        let (value, rest) = line.split_at_checked(digits)?;
        Some((branch(rest.strip_prefix(b" ")?)?, id(value, digits)?))
    })
}

/// A small regular file; nothing where there is none, or something else.
fn small(root: &Root, path: &Path) -> Result<Option<Vec<u8>>, String> {
    match root.find(path) {
        Ok(Some(found)) if found.kind == Kind::File && found.stamp.size <= LARGEST => {}
        Ok(Some(found)) if found.kind == Kind::File => {
            return Err(format!("`{}` is larger than git makes it", path.display()));
        }
        Ok(_) | Err(_) => return Ok(None),
    }
    let mut bytes = Vec::new();
    let read = root.file(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    Ok(Some(bytes))
}

/// An object's id: so many lower-case hexadecimal digits, not all of them zero.
pub(super) fn id(text: &[u8], digits: usize) -> Option<String> {
    let is_digit = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let good = text.len() == digits && text.iter().all(is_digit) && text.iter().any(|byte| *byte != b'0');
    good.then(|| String::from_utf8_lossy(text).into_owned())
}

/// A branch's whole name, by the rules of `git check-ref-format` and in plain ASCII.
pub(super) fn branch(text: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(text).ok()?;
    let short = name.strip_prefix("refs/heads/")?;
    let is_plain = |one: char| one.is_ascii_graphic() && !"~^:?*[\\".contains(one);
    let good =
        name.len() <= 200 && short.chars().all(is_plain) && !short.contains("..") && !short.contains("@{");
    let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock");
    let good = good && short.split('/').all(part) && !short.ends_with('.') && short != "@" && short != "HEAD";
    good.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn git(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(".git").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn tips(dir: &tempfile::TempDir) -> Result<Vec<(String, String)>, String> {
        let root = Root::open(&fs::canonicalize(dir.path()).unwrap()).unwrap();
        let tips = read(&root, &root, 40)?;
        Ok(tips.into_iter().map(|tip| (tip.from, tip.id.chars().take(1).collect())).collect())
    }

    fn told(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(from, id)| ((*from).to_owned(), (*id).to_owned())).collect()
    }

    #[test]
    fn branches_are_read_as_git_writes_them() {
        let [a, b, c] = ["a", "b", "c"].map(|digit| format!("{}\n", digit.repeat(40)));
        let packed =
            format!("# pack-refs with: peeled\n{} refs/heads/old\n{} refs/tags/t\n^{c}", &a[..40], &b[..40]);
        let dir = git(&[
            ("HEAD", "ref: refs/heads/main\n"),
            ("refs/heads/main", &a),
            ("refs/heads/deep/er", &b),
            ("refs/heads/old", &c),
            ("packed-refs", &packed),
        ]);
        let all = told(&[("refs/heads/main", "a"), ("refs/heads/deep/er", "b"), ("refs/heads/old", "c")]);
        assert_eq!(tips(&dir).unwrap(), all);
        fs::write(dir.path().join(".git/HEAD"), &c).unwrap();
        assert_eq!(tips(&dir).unwrap().first().unwrap().0, "HEAD");
    }

    #[test]
    fn what_is_no_branch_leads_nowhere() {
        let a = "a".repeat(40);
        let dir = git(&[
            ("HEAD", "ref: refs/heads/../../../etc/passwd\n"),
            ("refs/heads/short", "abc\n"),
            ("refs/heads/upper", &"A".repeat(40)),
            ("refs/heads/zero", &"0".repeat(40)),
            ("refs/heads/more", &format!("{a}\n{a}\n")),
            ("refs/heads/symbolic", "ref: refs/heads/main\n"),
            ("refs/heads/-rf", &a),
            ("refs/heads/a.lock", &a),
            ("refs/heads/a b", &a),
            ("refs/heads/a\u{202e}b", &a),
            ("refs/heads/.hidden/x", &a),
            ("packed-refs", &format!("{a} refs/heads/../x\n{a}refs/heads/y\n{a} refs/heads/z\r\n")),
        ]);
        symlink("/etc/hostname", dir.path().join(".git/refs/heads/link")).unwrap();
        assert_eq!(tips(&dir).unwrap(), []);
        fs::remove_dir_all(dir.path().join(".git/refs/heads")).unwrap();
        symlink("/etc", dir.path().join(".git/refs/heads")).unwrap();
        assert!(tips(&dir).unwrap_err().contains("is no folder"));
    }

    #[test]
    fn a_table_and_a_flood_are_refused() {
        assert!(tips(&git(&[("reftable/tables.list", "")])).unwrap_err().contains("table"));
        let large = git(&[("packed-refs", "")]);
        fs::File::create(large.path().join(".git/packed-refs")).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(tips(&large).unwrap_err().contains("larger"));
        let many = git(&[("refs/heads/x", "")]);
        (0..=BRANCHES)
            .for_each(|at| fs::write(many.path().join(format!(".git/refs/heads/{at}")), "").unwrap());
        assert!(tips(&many).unwrap_err().contains("more than"));
    }
}
