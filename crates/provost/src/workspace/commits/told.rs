//! The commits of a run as a person reads them, and the same as data.
//!
//! Owns: what is told of each commit (who, what, which files, what is risky about them), read from git's own raw forms and
//! not from what git makes for people. The branch is not checked out by taking it over; the risk says what would come with
//! it then. Whatever the agent wrote is shown, not obeyed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use ledger::event::{Change as Became, OsText};
use serde::Serialize;

use super::check::{NewTip, Persons, words};
use crate::workspace::Handoff;
use crate::workspace::base::is_git;
use crate::workspace::diff::harmless;
use crate::workspace::git::Git;
use crate::workspace::handoff;
use crate::workspace::risk::{self, Facts, Risk};

/// Files of a commit that are shown as text.
const SHOWN: usize = 12;
/// How long the counting of lines may take in all; without it the counts are left out.
const COUNTING: Duration = Duration::from_secs(20);
/// How long the telling may take in all.
const TELLING: Duration = Duration::from_secs(120);

/// The commits that a run made and that the repository does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Commits {
    /// The branches that lead to them.
    pub branches: Vec<Branch>,
    /// The commits, branch by branch, the newest first.
    pub commits: Vec<Commit>,
    /// Why they cannot be taken over, where they cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A branch of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Branch {
    /// Its name in the run.
    pub from: String,
    /// The branch that it becomes.
    pub name: String,
    /// The commit it leads to.
    pub tip: String,
    /// How many commits are new on it.
    pub commits: u64,
}

/// A commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// The branch that it becomes part of.
    pub branch: String,
    /// Its parents.
    pub parents: Vec<String>,
    /// Who wrote it, as it says itself.
    pub author: OsText,
    /// When, as it says itself: seconds since 1970.
    pub time: i64,
    /// The first line of its message.
    pub subject: OsText,
    /// The files that it changes against its first parent.
    pub files: Vec<CommitFile>,
    /// Lines added.
    pub added: u64,
    /// Lines removed.
    pub removed: u64,
    /// What would come with it, were it checked out.
    pub risk: Risk,
}

/// A file of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitFile {
    /// Its path in the repository.
    pub path: OsText,
    /// What became of it.
    pub change: Became,
    /// Whether it is another repository, named by a commit of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub submodule: bool,
    /// Who would obey it, if it is a handoff file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handoff: Option<Handoff>,
}

/// What is told of the commits of a run. The tips were checked.
///
/// # Errors
/// In words, where they hold what never lands, or git does not answer.
pub(super) fn tell(checked: &Git, persons: &Persons, tips: &[NewTip]) -> Result<Commits, String> {
    let began = Instant::now();
    let (checked, counting) = (&checked.until(began + TELLING), began + COUNTING);
    let mut told = Commits::default();
    let mut before: Vec<&str> = Vec::new();
    for tip in tips {
        let mut revisions = persons.new_on([tip.id.as_str()]);
        before.iter().for_each(|known| revisions.extend(format!("^{known}\n").bytes()));
        let list = checked.ask(["rev-list", "--topo-order", "--stdin"]).reading(&revisions);
        let list = list.and_then(|list| list.answer()).map_err(words)?;
        let commits = read_commits((checked, counting), &list, persons.digits, &tip.name)?;
        before.push(&tip.id);
        if commits.is_empty() {
            // The person has them by now.
            continue;
        }
        told.branches.push(Branch {
            from: tip.from.clone(),
            name: tip.name.clone(),
            tip: tip.id.clone(),
            commits: commits.len() as u64,
        });
        told.commits.extend(commits);
    }
    Ok(told)
}

fn read_commits(
    (checked, counting): (&Git, Instant),
    list: &[u8],
    digits: usize,
    branch: &str,
) -> Result<Vec<Commit>, String> {
    let ask = |words_of: &[&str]| checked.ask(words_of.iter().copied()).reading(list);
    let raw = ask(&["cat-file", "--batch"]).and_then(|raw| raw.answer()).map_err(words)?;
    let mut commits = commits(&raw, digits, branch).ok_or("git told of them in a way that is not known")?;
    let diff = [
        "diff-tree",
        "--stdin",
        "-r",
        "-m",
        "--root",
        "-z",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
    ];
    let names = [&diff[..], &["--raw", "--no-abbrev"]].concat();
    let names = ask(&names).and_then(|names| names.answer()).map_err(words)?;
    let mut files = changed(&names, digits);
    let counts = [&diff[..], &["--numstat"]].concat();
    let left = counting.saturating_duration_since(Instant::now());
    // What takes too long to be counted is shown without counts.
    let counts = ask(&counts).and_then(|counts| counts.within(left).answer()).unwrap_or_default();
    let counts = counted(&counts, digits);
    for commit in &mut commits {
        commit.files = files.remove(&commit.id).unwrap_or_default();
        if let Some(file) = commit.files.iter().find(|file| is_git(&file.path.to_path())) {
            let name = harmless(file.path.as_bytes());
            return Err(format!("commit {} holds `{name}`: git's own files never land", short(&commit.id)));
        }
        (commit.added, commit.removed) = counts.get(&commit.id).copied().unwrap_or_default();
        commit.risk = risk(&commit.files);
    }
    Ok(commits)
}

/// Commits out of git's own form of them, one after the other behind a line with id, type and size.
fn commits(mut raw: &[u8], digits: usize, branch: &str) -> Option<Vec<Commit>> {
    let mut commits = Vec::new();
    while !raw.is_empty() {
        let end = raw.iter().position(|byte| *byte == b'\n')?;
        let mut head = std::str::from_utf8(raw.get(..end)?).ok()?.split(' ');
        let (id, kind, size) = (head.next()?, head.next()?, head.next()?.parse::<usize>().ok()?);
        let start = end + 1;
        let body = raw.get(start..start.checked_add(size)?)?;
        if kind != "commit" || id.len() != digits {
            return None;
        }
        commits.push(commit(id, body, branch));
        raw = raw.get(start + size + 1..)?;
    }
    Some(commits)
}

fn commit(id: &str, body: &[u8], branch: &str) -> Commit {
    let mut commit = Commit { id: id.to_owned(), branch: branch.to_owned(), ..Commit::default() };
    let mut lines = body.split(|byte| *byte == b'\n');
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        if let Some(parent) = line.strip_prefix(b"parent ") {
            commit.parents.push(String::from_utf8_lossy(parent).into_owned());
        } else if let Some(author) = line.strip_prefix(b"author ") {
            let end = author.iter().rposition(|byte| *byte == b'>').map_or(0, |end| end + 1);
            let (who, when) = author.split_at(end);
            commit.author = OsText::new(who);
            let when = String::from_utf8_lossy(when);
            commit.time = when.split_whitespace().next().and_then(|when| when.parse().ok()).unwrap_or(0);
        }
    }
    commit.subject = OsText::new(lines.find(|line| !line.is_empty()).unwrap_or_default());
    commit
}

/// The files of each commit, out of `diff-tree --raw -z`. Of a merge, only those that differ from its first parent.
fn changed(raw: &[u8], digits: usize) -> BTreeMap<String, Vec<CommitFile>> {
    let mut all: BTreeMap<String, Vec<CommitFile>> = BTreeMap::new();
    let mut tokens = raw.split(|byte| *byte == 0);
    let mut current: Option<String> = None;
    while let Some(token) = tokens.next() {
        if let Some(entry) = token.strip_prefix(b":") {
            let Some(path) = tokens.next() else { break };
            let entry = String::from_utf8_lossy(entry).into_owned();
            if let Some(files) = current.as_ref().and_then(|id| all.get_mut(id)) {
                files.extend(file(&entry, path));
            }
        } else if token.len() == digits {
            let id = String::from_utf8_lossy(token).into_owned();
            let is_first = !all.contains_key(&id);
            current = is_first.then_some(id);
            all.extend(current.clone().map(|id| (id, Vec::new())));
        }
    }
    all
}

/// One line of it: `oldmode newmode oldid newid letter`.
fn file(entry: &str, path: &[u8]) -> Option<CommitFile> {
    let mut parts = entry.split(' ');
    let mode = |part: Option<&str>| part.and_then(|mode| u32::from_str_radix(mode, 8).ok());
    let (old, new) = (mode(parts.next())?, mode(parts.next())?);
    let (was, is) = (parts.next()?, parts.next()?);
    const LINK: u32 = 0o120_000;
    const SUBMODULE: u32 = 0o160_000;
    let change = match (old, new) {
        (LINK, _) | (_, LINK) => Became::Link,
        (0, _) => Became::Added,
        (_, 0) => Became::Deleted,
        _ if was == is => Became::Mode,
        _ => Became::Modified,
    };
    let path = OsText::new(path);
    let named = handoff::by_name(&path.to_path());
    let handoff = named.or(match new {
        LINK => Some(Handoff::Link),
        0o100_755 if old != 0o100_755 => Some(Handoff::Mode),
        _ => None,
    });
    Some(CommitFile { path, change, submodule: old == SUBMODULE || new == SUBMODULE, handoff })
}

/// Lines added and removed by each commit, out of `diff-tree --numstat -z`.
fn counted(raw: &[u8], digits: usize) -> BTreeMap<String, (u64, u64)> {
    let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut current: Option<String> = None;
    for token in raw.split(|byte| *byte == 0) {
        let text = String::from_utf8_lossy(token);
        let mut parts = text.splitn(3, '\t');
        if let (Some(added), Some(removed), Some(_)) = (parts.next(), parts.next(), parts.next()) {
            if let Some(sum) = current.as_ref().and_then(|id| all.get_mut(id)) {
                let count = |part: &str| part.parse::<u64>().unwrap_or(0);
                *sum = (sum.0.saturating_add(count(added)), sum.1.saturating_add(count(removed)));
            }
        } else if token.len() == digits {
            let is_first = !all.contains_key(text.as_ref());
            current = is_first.then(|| text.into_owned());
            all.extend(current.clone().map(|id| (id, (0, 0))));
        }
    }
    all
}

/// What would come with a commit: the gravest sign first, each with the file that it is about.
fn risk(files: &[CommitFile]) -> Risk {
    let mut signs: Vec<(Option<risk::Grade>, String)> = Vec::new();
    for file in files {
        let path = file.path.to_path();
        let stands = (file.change != Became::Added, file.change != Became::Deleted);
        let of_file = risk::of_file(&Facts { path: &path, handoff: file.handoff, stands, unread: None }, []);
        let name = harmless(file.path.as_bytes());
        signs.extend(of_file.reasons.first().map(|why| (of_file.grade, format!("{why}: {name}"))));
        if file.submodule {
            signs.push((
                Some(risk::Grade::Medium),
                format!("it names a commit of another repository: {name}"),
            ));
        }
    }
    signs.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    let grade = signs.first().and_then(|(grade, _)| *grade);
    Risk { grade, reasons: signs.into_iter().map(|(_, why)| why).take(SHOWN).collect() }
}

/// The first digits of an id.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

impl Commits {
    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.refused.is_none()
    }

    /// Whether there is something that could be taken over.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.branches.is_empty() && self.refused.is_none()
    }

    /// The whole as text, for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(refused) = &self.refused {
            let _ = writeln!(text, "commits of the run are kept back: {}", harmless(refused.as_bytes()));
        }
        for branch in &self.branches {
            let commits = if branch.commits == 1 { "commit" } else { "commits" };
            let shown = |name: &str| harmless(name.trim_start_matches("refs/heads/").as_bytes());
            let _ = writeln!(
                text,
                "{} {commits} of the run on {}, to land as branch {}",
                branch.commits,
                shown(&branch.from),
                shown(&branch.name)
            );
            self.commits
                .iter()
                .filter(|commit| commit.branch == branch.name)
                .for_each(|one| one.write(&mut text));
        }
        text
    }
}

impl Commit {
    fn write(&self, text: &mut String) {
        let (subject, author) = (harmless(self.subject.as_bytes()), harmless(self.author.as_bytes()));
        let (added, removed, count) = (self.added, self.removed, self.files.len());
        let files = if count == 1 { "file" } else { "files" };
        let merge = if self.parents.len() > 1 { ", a merge" } else { "" };
        let _ = writeln!(text, "  {} {subject}", short(&self.id));
        let _ = writeln!(text, "    by {author}, +{added} -{removed} in {count} {files}{merge}");
        for file in self.files.iter().take(SHOWN) {
            let word = match (file.submodule, file.change) {
                (true, _) => "submodule",
                (_, Became::Added) => "added",
                (_, Became::Modified) => "modified",
                (_, Became::Deleted) => "deleted",
                (_, Became::Mode) => "mode",
                (_, Became::Link) => "link",
            };
            let _ = writeln!(text, "      {word} {}", harmless(file.path.as_bytes()));
        }
        if let Some(more) = count.checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "      and {more} more");
        }
        if let Some(grade) = self.risk.grade {
            let word = match grade {
                risk::Grade::Low => "low",
                risk::Grade::Medium => "medium",
                risk::Grade::High => "high",
            };
            let _ = writeln!(text, "    {word} risk: {}", self.risk.reasons.join("; "));
        }
    }
}
