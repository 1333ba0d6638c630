//! The commits that a run made, checked in a repository of ours before anything of them comes near the person's.
//!
//! Owns the order: what was taken is indexed, what of it the branches lead to and the person does not have is packed anew,
//! and that pack alone goes into a second repository, where git checks every object as a server does that is pushed to
//! (names like `.git` in trees, `.gitmodules`, broken objects), and that nothing is missing. Our repositories know the
//! person's objects and nothing else of theirs. Does not own what is taken (`take`), nor landing (`land`).

use std::collections::HashSet;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::take;
use super::tips;
use crate::workspace::beneath::Root;
use crate::workspace::git::{Git, GitError};

/// How long the checks of all objects may take, each.
const LONG: Duration = Duration::from_secs(300);
/// How long they may take together: how many questions there are to git is the adversary's to say.
const ALL: Duration = Duration::from_secs(600);
/// Most branches that lead to new commits.
const TIPS: usize = 64;

/// The person's repository, as far as it is needed.
#[derive(Debug)]
pub(super) struct Persons {
    pub(super) git: Git,
    objects: PathBuf,
    shallow: PathBuf,
    format: &'static str,
    /// Digits of an id.
    pub(super) digits: usize,
    /// Where its references lead.
    tips: Vec<String>,
    /// When nothing is asked any more.
    until: Instant,
}

/// A branch of the run that leads to new commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NewTip {
    pub(super) from: String,
    /// The reference that it becomes.
    pub(super) name: String,
    pub(super) id: String,
    pub(super) commits: u64,
}

impl Persons {
    pub(super) fn look(root: &Path) -> Result<Persons, GitError> {
        let until = Instant::now() + ALL;
        let git = Git::persons(root)?.until(until);
        let words = ["rev-parse", "--git-path", "objects", "--git-path", "shallow", "--show-object-format"];
        let told = git.ask(words).line()?;
        let mut lines = told.lines();
        let mut place = || root.join(lines.next().unwrap_or_default());
        let (objects, shallow) = (place(), place());
        // A git that does not know the question repeats it: it knows one format only.
        let (format, digits) = if lines.next() == Some("sha256") { ("sha256", 64) } else { ("sha1", 40) };
        let refs = git.ask(["for-each-ref", "--format=%(objectname)"]).line()?;
        let head = git.ask(["rev-parse", "--quiet", "--verify", "HEAD"]).line().unwrap_or_default();
        let all = refs.lines().chain(std::iter::once(head.as_str()));
        let mut tips: Vec<String> = all.filter_map(|id| tips::id(id.as_bytes(), digits)).collect();
        tips.sort();
        tips.dedup();
        Ok(Persons { git, objects, shallow, format, digits, tips, until })
    }

    /// Git over a repository of ours, for as long as this one is asked.
    pub(super) fn ours(&self, folder: &Path) -> Result<Git, GitError> {
        Ok(Git::ours(folder)?.until(self.until))
    }

    /// A repository of ours that knows the person's objects.
    fn beside(&self, folder: &Path) -> Result<Git, String> {
        let said = |error: std::io::Error| format!("`{}` cannot be made: {error}", folder.display());
        DirBuilder::new().mode(0o700).create(folder).map_err(said)?;
        let git = self.ours(folder).map_err(words)?;
        let format = format!("--object-format={}", self.format);
        let mut init = vec!["init", "--quiet", "--bare", "--template="];
        if self.format != "sha1" {
            init.push(&format);
        }
        git.ask(init).answer().map_err(words)?;
        let info = folder.join("objects/info");
        std::fs::create_dir_all(&info).map_err(said)?;
        let known = [self.objects.as_os_str().as_encoded_bytes(), b"\n"].concat();
        std::fs::write(info.join("alternates"), known).map_err(said)?;
        if self.shallow.is_file() {
            std::fs::copy(&self.shallow, folder.join("shallow")).map_err(said)?;
        }
        Ok(git)
    }

    /// Commits and what the person has of them, as git reads them from its input: what is new on these tips.
    pub(super) fn new_on<'a>(&self, tips: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let mut revisions = Vec::new();
        for tip in tips {
            revisions.extend([tip.as_bytes(), b"\n"].concat());
        }
        for tip in &self.tips {
            revisions.extend([b"^", tip.as_bytes(), b"\n"].concat());
        }
        revisions
    }
}

/// Checks the commits that the run left, in the empty folder `at`. What is whole is in `at/checked` then.
///
/// # Errors
/// In words, why they cannot be taken over.
pub(super) fn check(
    at: &Path,
    persons: &Persons,
    (left, now): (&Root, &Root),
    prefix: &str,
) -> Result<Vec<NewTip>, String> {
    let found = tips::read(left, now, persons.digits)?;
    let found: Vec<tips::Tip> =
        found.into_iter().filter(|tip| persons.tips.binary_search(&tip.id).is_err()).collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let taken = at.join("taken");
    let raw = persons.beside(&taken)?;
    let packs = take::objects(left, &persons.objects, &taken.join("objects"), persons.digits)?;
    for pack in packs {
        let pack = taken.join("objects/pack").join(pack);
        raw.ask(["index-pack".as_ref(), pack.as_os_str()]).within(LONG).answer().map_err(words)?;
    }
    let new = new_tips(&raw, persons, found, prefix)?;
    if new.is_empty() {
        return Ok(new);
    }
    let revisions = persons.new_on(new.iter().map(|tip| tip.id.as_str()));
    let list = raw.ask(["rev-list", "--objects", "--stdin"]).within(LONG);
    let list = list.reading(&revisions).and_then(|list| list.answer()).map_err(words)?;
    let place = at.join("pack");
    let made = File::options().read(true).write(true).create_new(true).mode(0o600).open(&place);
    let pack = made.map_err(|error| format!("`{}` cannot be made: {error}", place.display()))?;
    let words_of = ["pack-objects", "--stdout", "-q", "--window=0", "--threads=1", "--delta-base-offset"];
    let packing = raw.ask(words_of).within(LONG).reading(&list).map_err(words)?;
    packing.answer_to(&pack, take::MOST).map_err(words)?;
    let checked = persons.beside(&at.join("checked"))?;
    let pack = File::open(&place).map_err(|error| error.to_string())?;
    let strict = checked.ask(["index-pack", "--stdin", "--strict"]).within(LONG).reading_file(pack);
    strict.answer().map_err(words)?;
    whole(&checked, persons, &new)?;
    let cleared = std::fs::remove_dir_all(taken).and_then(|()| std::fs::remove_file(place));
    cleared.map_err(|error| format!("what was taken cannot be removed again: {error}"))?;
    Ok(new)
}

/// Whether nothing is missing that the tips lead to and the person does not have.
pub(super) fn whole(checked: &Git, persons: &Persons, tips: &[NewTip]) -> Result<(), String> {
    let revisions = persons.new_on(tips.iter().map(|tip| tip.id.as_str()));
    let walk = checked.ask(["rev-list", "--objects", "--quiet", "--stdin"]).within(LONG);
    walk.reading(&revisions).and_then(|walk| walk.answer()).map_err(words).map(drop)
}

/// Of the branches, those that lead to commits that neither the person has nor an earlier one leads to.
fn new_tips(
    raw: &Git,
    persons: &Persons,
    found: Vec<tips::Tip>,
    prefix: &str,
) -> Result<Vec<NewTip>, String> {
    let ids: String = found.iter().map(|tip| format!("{}\n", tip.id)).collect();
    let types = raw.ask(["cat-file", "--batch-check=%(objecttype)"]).reading(ids.as_bytes());
    let types = types.and_then(|types| types.line()).map_err(words)?;
    // A branch costs a question only where it leads to something that no branch before it does.
    let mut fresh: HashSet<String> =
        commits_on(raw, &persons.new_on(found.iter().map(|tip| tip.id.as_str())))?;
    let mut new: Vec<NewTip> = Vec::new();
    for (tip, kind) in found.into_iter().zip(types.lines()) {
        if kind != "commit" {
            return Err(format!("`{}` leads to no commit that is there", tip.from));
        }
        if !fresh.contains(&tip.id) {
            continue;
        }
        if new.len() == TIPS {
            return Err(format!("more than {TIPS} branches lead to new commits"));
        }
        let mut revisions = persons.new_on([tip.id.as_str()]);
        for known in &new {
            revisions.extend(format!("^{}\n", known.id).bytes());
        }
        let its = commits_on(raw, &revisions)?;
        fresh.retain(|id| !its.contains(id));
        let (name, commits) = (name(prefix, &tip.from, &new), its.len() as u64);
        new.push(NewTip { from: tip.from, name, id: tip.id, commits });
    }
    Ok(new)
}

/// The commits that these revisions lead to.
fn commits_on(raw: &Git, revisions: &[u8]) -> Result<HashSet<String>, String> {
    let list = raw.ask(["rev-list", "--stdin"]).within(LONG).reading(revisions);
    let list = list.and_then(|list| list.line()).map_err(words)?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// The reference that a branch becomes: the first is the run's, others say which they were.
fn name(prefix: &str, from: &str, taken: &[NewTip]) -> String {
    if taken.is_empty() {
        return prefix.to_owned();
    }
    let plain = |one: char| if one.is_ascii_alphanumeric() || one == '_' { one } else { '-' };
    let short: String = from.trim_start_matches("refs/heads/").chars().take(60).map(plain).collect();
    let mut name = format!("{prefix}-{short}");
    while taken.iter().any(|tip| tip.name == name) {
        name.push('x');
    }
    name
}

/// What git said, with what to do about it.
pub(super) fn words(error: GitError) -> String {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    match error.hint() {
        Some(hint) => format!("{error}{cause} ({hint})"),
        None => format!("{error}{cause}"),
    }
}
