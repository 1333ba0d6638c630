//! What the person's repository says of a commit or a line, for whoever asks where it comes from.
//!
//! Owns: reading a commit with its last lines, and which commit a line is of. Does not own what a run has to do with it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::workspace::git::{Git, GitError};
use crate::workspace::hunk::line_before;

/// A commit of the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traced {
    pub(crate) id: String,
    pub(crate) subject: Vec<u8>,
    pub(crate) author: Vec<u8>,
    /// The run that it names, if it names one: `Provost-Run`.
    pub(crate) run: Option<String>,
    /// The ledger that it names: how many events, and the root over them in hex.
    pub(crate) ledger: Option<(u64, String)>,
}

/// Which commit a line is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Blamed {
    /// This one, in which the file had this path.
    Commit(String, PathBuf),
    /// None yet: git does not know the line, or not the file.
    NotYet,
}

/// A commit, by any name that git knows it by. Nothing where there is none.
pub(crate) fn commit_named(root: &Path, name: &str) -> Result<Option<Traced>, GitError> {
    let git = Git::persons(root)?;
    let wanted = format!("{name}^{{commit}}");
    let id = match git.ask(["rev-parse", "--quiet", "--verify", "--end-of-options", &wanted]).line() {
        Ok(id) => id,
        Err(error @ GitError::Refused { .. }) if error.hint().is_some() => return Err(error),
        Err(GitError::Refused { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let raw = git.ask(["cat-file", "commit", &id]).answer()?;
    Ok(Some(traced(id, &raw)))
}

/// How a branch leads to a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leads {
    /// It is the last commit of what is checked out, and there is one before it.
    Last,
    /// In another way.
    Yes,
}

/// Whether a branch leads to a commit, and how. Nothing where it does not, or where git does not say.
pub(crate) fn leads_to(root: &Path, name: &str, id: &str) -> Option<Leads> {
    let git = Git::persons(root).ok()?;
    git.ask(["merge-base", "--is-ancestor", id, name]).line().ok()?;
    let says = |words: &[&str], what: &str| git.ask(words).line().is_ok_and(|line| line == what);
    let is_last = says(&["rev-parse", "--quiet", "--verify", name], id)
        && says(&["symbolic-ref", "--quiet", "HEAD"], name)
        && git.ask(["rev-parse", "--quiet", "--verify", &format!("{id}~1")]).line().is_ok();
    Some(if is_last { Leads::Last } else { Leads::Yes })
}

fn traced(id: String, raw: &[u8]) -> Traced {
    let mut traced = Traced { id, ..Traced::default() };
    let mut lines = raw.split(|byte| *byte == b'\n');
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if let Some(author) = line.strip_prefix(b"author ") {
            let end = author.iter().rposition(|byte| *byte == b'>').map_or(author.len(), |end| end + 1);
            traced.author = author.get(..end).unwrap_or_default().to_vec();
        }
    }
    let body: Vec<&[u8]> = lines.collect();
    traced.subject = body.iter().find(|line| !line.is_empty()).map(|line| line.to_vec()).unwrap_or_default();
    // Only the last paragraph speaks of the commit as a whole.
    let last = body.iter().rev().skip_while(|line| line.is_empty()).take_while(|line| !line.is_empty());
    for line in last.filter_map(|line| std::str::from_utf8(line).ok()) {
        match line.split_once(": ") {
            Some(("Provost-Run", run)) => traced.run = Some(run.trim().to_owned()),
            Some(("Provost-Ledger", head)) => {
                let (size, root) = head.trim().split_once(' ').unwrap_or_default();
                traced.ledger = size.parse().ok().map(|size| (size, root.to_owned()));
            }
            _ => {}
        }
    }
    traced
}

/// Which commit a line of a file is of, as the file stands in the folder with this content. The content is held against
/// what HEAD has, line by line: git is not given the file, so that no filter is run over it.
pub(crate) fn blame(root: &Path, path: &Path, (line, content): (usize, &[u8])) -> Result<Blamed, GitError> {
    let git = Git::persons(root)?;
    let at = [b"HEAD:./".as_slice(), path.as_os_str().as_bytes()].concat();
    let words = [b"cat-file".as_slice(), b"blob", &at].map(std::ffi::OsStr::from_bytes);
    let committed = match git.ask(words).answer() {
        Ok(committed) => committed,
        Err(error @ GitError::Refused { .. }) if error.hint().is_some() => return Err(error),
        // A file that git does not know, or no commit at all.
        Err(GitError::Refused { .. }) => return Ok(Blamed::NotYet),
        Err(error) => return Err(error),
    };
    let Some(line) = line_before(&plain(&committed), &plain(content), line) else {
        return Ok(Blamed::NotYet);
    };
    let range = format!("{line},{line}");
    let words =
        ["blame", "--porcelain", "--no-textconv", "-L", &range, "HEAD", "--"].map(std::ffi::OsStr::new);
    let told = git.ask(words.into_iter().chain([path.as_os_str()])).answer()?;
    let text = String::from_utf8_lossy(&told);
    let id = text.split(' ').next().unwrap_or_default().to_owned();
    let name = text.lines().find_map(|line| line.strip_prefix("filename ")).unwrap_or_default();
    // A name that git quotes is left as it was asked for: it is the same but after a rename.
    let name = if name.is_empty() || name.starts_with('"') { path } else { Path::new(name) };
    Ok(Blamed::Commit(id, name.to_owned()))
}

/// A text with one kind of line ends, as git may keep it.
fn plain(text: &[u8]) -> Vec<u8> {
    let ends = |at: usize| text.get(at) == Some(&b'\r') && text.get(at + 1) == Some(&b'\n');
    text.iter().enumerate().filter(|(at, _)| !ends(*at)).map(|(_, byte)| *byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_a_commit_name_its_run() {
        let raw = |message: &str| format!("tree x\nauthor A <a@b> 1 +0000\n\n{message}");
        let of = |message: &str| traced("c".to_owned(), raw(message).as_bytes());
        let told = of("Do it\n\nProvost-Run: r1\nProvost-Ledger: 7 ab\n");
        assert_eq!((told.run.as_deref(), told.ledger), (Some("r1"), Some((7, "ab".to_owned()))));
        assert_eq!((told.subject, told.author), (b"Do it".to_vec(), b"A <a@b>".to_vec()));
        assert_eq!(of("Do it\n\nProvost-Run: r1\n\nmore words\n").run, None);
        assert_eq!(of("Do it\n\nProvost-Ledger: many ab\n").ledger, None);
        assert_eq!(of("").subject, b"");
    }
}
