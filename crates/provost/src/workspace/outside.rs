//! Git's own folder where it lies outside the workspace: of a linked worktree, and of a submodule that is checked out.
//!
//! Owns finding it, and believing in it only where it leads back: the `.git` file lies in the workspace, so whoever wrote the
//! workspace could name any folder of the person's in it. Does not own showing it (it is read-only inside, so that `git status`,
//! `diff` and `log` work and nothing outside the staged copy changes).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes of a file that names a folder.
const LONGEST: u64 = 64 << 10;

/// Where a workspace's `.git` file leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitFolder {
    /// To this folder outside, which leads back here.
    Outside(PathBuf),
    /// To this folder outside, which is not shown, for this reason.
    Refused(PathBuf, &'static str),
}

/// Git's folder outside a workspace, by its canonical root; `None` where the workspace has none, or has it inside.
#[must_use]
pub fn git_folder(root: &Path) -> Option<GitFolder> {
    let file = root.join(".git");
    let found = file.symlink_metadata().ok()?;
    if !found.is_file() {
        return None;
    }
    let named = root.join(first_line(&file)?.strip_prefix("gitdir:").ok()?.trimmed());
    let Ok(folder) = std::fs::canonicalize(&named) else {
        return Some(GitFolder::Refused(named, "it is not there"));
    };
    if folder.starts_with(root) {
        return None;
    }
    let shown = worktree(&folder, &file).or_else(|| submodule(&folder, root));
    Some(match shown {
        None => GitFolder::Refused(folder, "it does not lead back here: it is another folder's"),
        Some(shown) if root.starts_with(&shown) => {
            GitFolder::Refused(shown, "the workspace lies in it, with the other worktrees")
        }
        Some(shown) => GitFolder::Outside(shown),
    })
}

/// The whole repository's folder, if this is a linked worktree's part of it and says that its checkout is here.
fn worktree(folder: &Path, file: &Path) -> Option<PathBuf> {
    let all = folder.parent().filter(|all| all.file_name() == Some(OsStr::new("worktrees")))?.parent()?;
    let leads = |name: &str| {
        let target = folder.join(first_line(&folder.join(name))?.trimmed());
        std::fs::canonicalize(target).ok()
    };
    let back = leads("gitdir")? == std::fs::canonicalize(file).ok()?;
    (back && leads("commondir")? == all && is_repository(all)).then(|| all.to_owned())
}

/// The folder itself, if its configuration says that its checkout is here.
fn submodule(folder: &Path, root: &Path) -> Option<PathBuf> {
    let text = read(&folder.join("config"))?;
    let mut in_core = false;
    let mut checkout = None;
    for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.starts_with(b"[") {
            in_core = line.eq_ignore_ascii_case(b"[core]");
        } else if let Some(at) = line.iter().position(|byte| *byte == b'=')
            && in_core
            && let Some((key, value)) = line.split_at_checked(at)
            && key.trim_ascii().eq_ignore_ascii_case(b"worktree")
        {
            checkout = value.get(1..).map(|value| PathBuf::from(OsStr::from_bytes(value.trim_ascii())));
        }
    }
    let back = std::fs::canonicalize(folder.join(checkout?)).ok()? == root;
    (back && is_repository(folder)).then(|| folder.to_owned())
}

fn is_repository(folder: &Path) -> bool {
    folder.join("HEAD").is_file() && folder.join("objects").is_dir() && folder.join("refs").is_dir()
}

/// A line that names a path.
struct Named(Vec<u8>);

impl Named {
    fn strip_prefix(self, prefix: &str) -> Result<Named, ()> {
        self.0.strip_prefix(prefix.as_bytes()).map(|rest| Named(rest.to_vec())).ok_or(())
    }

    fn trimmed(&self) -> &OsStr {
        OsStr::from_bytes(self.0.trim_ascii())
    }
}

fn first_line(file: &Path) -> Option<Named> {
    let text = read(file)?;
    text.split(|byte| *byte == b'\n').next().filter(|line| !line.is_empty()).map(|line| Named(line.to_vec()))
}

fn read(file: &Path) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    File::open(file).ok()?.take(LONGEST).read_to_end(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    fn git(folder: &Path, words: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        let set = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always"];
        let done = command.args(set).args(words).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn repository(place: &Path) {
        fs::create_dir_all(place).unwrap();
        git(place, &["init", "-q"]);
        git(place, &["commit", "-q", "--allow-empty", "-m", "x"]);
    }

    #[test]
    fn a_folder_that_leads_back_is_found_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| fs::canonicalize(dir.path()).unwrap().join(name);
        repository(&at("main"));
        assert_eq!(git_folder(&at("main")), None);
        git(&at("main"), &["worktree", "add", "-q", "../linked"]);
        assert_eq!(git_folder(&at("linked")), Some(GitFolder::Outside(at("main/.git"))));
        repository(&at("lib"));
        git(&at("main"), &["submodule", "add", "-q", at("lib").to_str().unwrap(), "sub"]);
        assert_eq!(git_folder(&at("main/sub")), Some(GitFolder::Outside(at("main/.git/modules/sub"))));
        // Whoever copies the file, or writes one, gets nothing by it.
        for (name, text) in [
            ("forged", fs::read_to_string(at("linked/.git")).unwrap()),
            ("named", format!("gitdir: {}\n", at("main/.git").display())),
            ("ssh", format!("gitdir: {}\n", at("secret").display())),
        ] {
            fs::create_dir_all(at(name)).unwrap();
            fs::create_dir_all(at("secret")).unwrap();
            fs::write(at(name).join(".git"), text).unwrap();
            assert!(matches!(git_folder(&at(name)), Some(GitFolder::Refused(..))), "{name}");
        }
        fs::write(at("ssh/.git"), "gitdir: ../nowhere\n").unwrap();
        assert!(matches!(git_folder(&at("ssh")), Some(GitFolder::Refused(_, "it is not there"))));
        fs::write(at("ssh/.git"), "nothing\n").unwrap();
        assert_eq!(git_folder(&at("ssh")), None);
        fs::remove_file(at("ssh/.git")).unwrap();
        std::os::unix::fs::symlink(at("linked/.git"), at("ssh/.git")).unwrap();
        assert_eq!(git_folder(&at("ssh")), None);
    }
}
