//! What a person accepted, written as a commit of theirs: on the branch that is checked out, or on a new one.
//!
//! Owns: that such a commit holds exactly the accepted edits on top of HEAD. What else the person has changed, in these
//! files or in others, in the folder or in the index, is not in it and stays as it is. The tree is made in an index of its
//! own. Hooks are not run and nothing is signed. The commit names run, agent, person and ledger in its last lines.
//!
//! Does not own landing (`land`), or how one path is carried over (`write/entry`).

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use admission::{Admission, LedgerClosed, Outcome, Receipt};
use ledger::event::{LandRefused, MovedBy, OsText, RefMoved};
use ledger::{Head, Trust};

use super::check::words;
use super::land::set;
use super::tips;
use crate::workspace::beneath::digest;
use crate::workspace::change::{self, Change, Side, Texts, What};
use crate::workspace::git::Git;
use crate::workspace::hunk;
use crate::workspace::land::{ALTERED, Kept, LandError, Landing, Permitted, Pick, Standing, Stood};
use crate::workspace::left::Left;
use crate::workspace::sides::{Sides, hex};
use crate::workspace::{StageError, Workspace, io_error};
use entry::{Content, Entry, Index};

mod entry;

/// What a commit says.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// The person's own words, or what was asked of the agent.
    pub(crate) text: String,
    pub(crate) run: String,
    /// The agent that made the changes.
    pub(crate) agent: String,
}

/// A commit that was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The branch, and the commit; nothing where none was written.
    pub(crate) commit: Option<(String, String)>,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) refused: Vec<Kept>,
}

/// A commit could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// For this reason; nothing was changed by it.
    #[error("no commit can be written: {because}")]
    Refused {
        /// Why.
        because: String,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// Either side could not be used.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// Landing went wrong.
    #[error(transparent)]
    Land(#[from] LandError),
    /// The ledger takes nothing more.
    #[error(transparent)]
    Ledger(#[from] LedgerClosed),
}

/// What can be told before anything lands: where the commit goes, and who writes it.
#[derive(Debug)]
pub(crate) struct Target {
    git: Git,
    /// The reference that moves.
    name: String,
    /// The commit beneath, if there is one.
    onto: Option<String>,
    digits: usize,
    person: String,
    is_new: bool,
}

/// An edit of one path.
struct Edit {
    path: PathBuf,
    was: Content,
    is: Content,
}

/// An edit as it goes into the tree, and into the person's index.
struct Piece {
    path: PathBuf,
    tree: Option<Entry>,
    index: Option<Entry>,
}

impl CommitError {
    fn refused(because: impl Into<String>) -> CommitError {
        CommitError::Refused { because: because.into(), hint: None }
    }

    fn hinted(because: impl Into<String>, hint: &'static str) -> CommitError {
        CommitError::Refused { because: because.into(), hint: Some(hint) }
    }
}

fn git_failed(error: crate::workspace::git::GitError) -> CommitError {
    CommitError::Refused { because: words_only(&error), hint: error.hint() }
}

fn words_only(error: &crate::workspace::git::GitError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

impl Workspace {
    /// Where a commit would go: on the branch that is checked out, or on a new one of this name.
    ///
    /// # Errors
    /// There is no repository, no name to commit under, or no branch that could take it.
    pub(crate) fn commit_target(&self, branch: Option<&str>) -> Result<Target, CommitError> {
        if !self.root.join(".git").exists() {
            return Err(CommitError::hinted(
                format!("`{}` is no git repository", self.root.display()),
                "land the files without a commit, or make it one: git init",
            ));
        }
        let git = Git::persons(&self.root).map_err(git_failed)?;
        // ORDER: first whether the repository can be used at all, so that its own refusal is the one that is told.
        let folder = git.ask(["rev-parse", "--absolute-git-dir"]).line().map_err(git_failed)?;
        let person = git.ask(["var", "GIT_COMMITTER_IDENT"]).line().map_err(|error| match error {
            crate::workspace::git::GitError::Refused { .. } => CommitError::hinted(
                "git does not know who you are",
                "git config --global user.name NAME; git config --global user.email ADDRESS",
            ),
            other => git_failed(other),
        })?;
        let person = person.rfind('>').and_then(|end| person.get(..=end)).unwrap_or(&person).to_owned();
        let onto = git.ask(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]).line().ok();
        let format = git.ask(["rev-parse", "--show-object-format"]).line().unwrap_or_default();
        let digits = if format == "sha256" { 64 } else { 40 };
        let name = match branch {
            Some(branch) => new_branch(&git, branch)?,
            None => {
                under_way(Path::new(&folder))?;
                git.ask(["symbolic-ref", "--quiet", "HEAD"]).line().map_err(|_| {
                    CommitError::hinted(
                        "no branch is checked out",
                        "check one out first, or write the commit on a new one: --branch NAME",
                    )
                })?
            }
        };
        Ok(Target { git, name, onto, digits, person, is_new: branch.is_some() })
    }

    /// Commits what landed last, of these files, on the branch that is checked out.
    ///
    /// # Errors
    /// It could not be written; what landed stands all the same.
    pub(crate) fn commit_landed(
        &self,
        admission: &Admission,
        target: &Target,
        (landed, message): (&[PathBuf], &Message),
    ) -> Result<Written, CommitError> {
        let sides = self.sides()?;
        let mut written = Written::default();
        let mut edits = Vec::new();
        for stood in self.stood(landed)? {
            if stood.before == stood.after {
                continue;
            }
            match self.landed_edit(&sides, &stood) {
                Ok(edit) => edits.push(edit),
                Err(because) => self.keep(admission, &mut written, &stood.path, because)?,
            }
        }
        self.commit(admission, target, (edits, message), written)
    }

    /// Commits what is picked of a change on a new branch. Folder, HEAD and index stay as they are, and so does what is staged.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn commit_staged(
        &self,
        admission: &Admission,
        target: &Target,
        (change, pick, message): (&Change, &Pick, &Message),
    ) -> Result<Written, CommitError> {
        let sides = self.sides()?;
        let base_dir = self.run_dir.join("base");
        let left = Left::load(&base_dir).map_err(io_error("read", &base_dir))?;
        let mut landing = Landing::default();
        let permitted = self.permitted(admission, change, pick, &mut landing)?;
        let mut written = Written { refused: landing.refused, ..Written::default() };
        let (mut edits, mut receipts) = (Vec::new(), Vec::new());
        for one in permitted {
            let altered = left.as_ref().is_some_and(|left| !left.holds(&sides.left, &one.file.path));
            let edit = if altered { Err(ALTERED.to_owned()) } else { staged_edit(&sides, &one) };
            let path = one.file.path.clone();
            let (_, receipt) = one.permit.begin();
            match edit {
                Ok(edit) => {
                    receipts.push((path, receipt));
                    edits.push(edit);
                }
                Err(because) => {
                    receipt.settle(Outcome::failed(because.clone()));
                    self.keep(admission, &mut written, &path, because)?;
                }
            }
        }
        let written = self.commit(admission, target, (edits, message), written);
        let is_in = |path: &PathBuf| written.as_ref().is_ok_and(|written| written.files.contains(path));
        receipts.into_iter().for_each(|(path, receipt)| settle(receipt, is_in(&path)));
        written
    }

    fn keep(
        &self,
        admission: &Admission,
        written: &mut Written,
        path: &Path,
        because: String,
    ) -> Result<(), LedgerClosed> {
        let because = format!("it is not in the commit: {because}");
        let refused = LandRefused { path: path.into(), because: because.clone() };
        admission.note(refused.into(), Trust::Observed, None)?;
        written.refused.push(Kept { path: path.to_owned(), because, conflicts: Vec::new(), lands_by: None });
        Ok(())
    }

    /// What a landing did to one file.
    fn landed_edit(&self, sides: &Sides, stood: &Stood) -> Result<Edit, String> {
        let said = |error: std::io::Error| format!("it cannot be read: {error}");
        let was = match &stood.before {
            Standing::Nothing => Content::Nothing,
            Standing::Link(target) => Content::Link(target.clone()),
            Standing::File { digest, mode } => {
                Content::File { content: File::open(self.kept(digest)).map_err(said)?, mode: *mode }
            }
        };
        let is = match &stood.after {
            Standing::Nothing => Content::Nothing,
            Standing::Link(target) => Content::Link(target.clone()),
            Standing::File { digest: landed, mode } => {
                let mut content = sides.now.file(&stood.path).map_err(said)?;
                if hex(&digest(&mut content).map_err(said)?) != *landed {
                    return Err("it was changed since it landed".to_owned());
                }
                std::io::Seek::rewind(&mut content).map_err(said)?;
                Content::File { content, mode: *mode }
            }
        };
        Ok(Edit { path: stood.path.clone(), was, is })
    }

    fn commit(
        &self,
        admission: &Admission,
        target: &Target,
        (edits, message): (Vec<Edit>, &Message),
        mut written: Written,
    ) -> Result<Written, CommitError> {
        let own = self.run_dir.join("index");
        let git = target.git.with_index(&own);
        let tree = |error| CommitError::refused(words(error));
        let _ = std::fs::remove_file(&own);
        let base = target.onto.as_ref().map_or_else(|| vec!["--empty"], |onto| vec![onto.as_str()]);
        git.ask(["read-tree"].into_iter().chain(base)).answer().map_err(tree)?;
        let pieces = self.pieces(admission, target, (edits, &git), &mut written)?;
        if pieces.is_empty() {
            return match written.refused.first() {
                Some(_) => Ok(written),
                None => Err(CommitError::refused("nothing of it differs from what is committed already")),
            };
        }
        let entries = |of: fn(&Piece) -> &Option<Entry>| -> Vec<(PathBuf, Option<Entry>)> {
            pieces.iter().map(|piece| (piece.path.clone(), of(piece).clone())).collect()
        };
        entry::put(&git, &entries(|piece| &piece.tree), target.digits).map_err(CommitError::refused)?;
        let tree = git.ask(["write-tree"]).line().map_err(tree)?;
        let _ = std::fs::remove_file(&own);
        let permit = self.admit_ref(admission, &target.name);
        let permit = permit.map_err(|(because, _)| CommitError::refused(because))?;
        // ORDER: the ledger that the commit names holds the decision to write it.
        let head = admission.head()?;
        let (_, receipt) = permit.begin();
        let index = (!target.is_new).then(|| entries(|piece| &piece.index));
        let files: Vec<PathBuf> = pieces.into_iter().map(|piece| piece.path).collect();
        match target.write(&tree, &message.whole(&target.person, head), index) {
            Ok(commit) => {
                let by = if target.is_new { MovedBy::Branch } else { MovedBy::Commit };
                let moved = RefMoved {
                    name: target.name.clone(),
                    from: target.onto.clone().filter(|_| !target.is_new),
                    to: Some(commit.clone()),
                    by,
                    files: files.iter().map(|path| OsText::from(path.as_path())).collect(),
                    more: 0,
                };
                admission.note(moved.within_an_event().into(), Trust::Observed, Some(receipt.seq()))?;
                receipt.settle(Outcome::done());
                admission.barrier()?;
                Ok(Written { commit: Some((target.name.clone(), commit)), files, ..written })
            }
            Err(because) => {
                receipt.settle(Outcome::failed(because.clone()));
                Err(CommitError::refused(because))
            }
        }
    }

    /// The edits as entries of the tree and of the person's index. What cannot be one is kept out.
    fn pieces(
        &self,
        admission: &Admission,
        target: &Target,
        (edits, own): (Vec<Edit>, &Git),
        written: &mut Written,
    ) -> Result<Vec<Piece>, CommitError> {
        let head = Index::read(own).map_err(CommitError::refused)?;
        let index = Index::read(&target.git).map_err(CommitError::refused)?;
        let paths: Vec<&Path> = edits.iter().map(|edit| edit.path.as_path()).collect();
        let filtered = entry::filtered(&target.git, &paths).map_err(CommitError::refused)?;
        let mut pieces = Vec::new();
        for Edit { path, was, is } in edits {
            let piece = || -> Result<Option<Piece>, String> {
                if let Some(why) = filtered.get(&path) {
                    return Err((*why).to_owned());
                }
                if !target.is_new && index.clashing.contains(&path) {
                    return Err("your index holds a conflict about it".to_owned());
                }
                let was = entry::write(&target.git, &path, was)?;
                let is = entry::write(&target.git, &path, is)?;
                let edit = (was.as_ref(), is.as_ref());
                let committed = head.entries.get(&path);
                let tree = entry::carried(&target.git, edit, committed, "HEAD")?;
                let index = match target.is_new {
                    true => None,
                    false => entry::carried(&target.git, edit, index.entries.get(&path), "your index")?,
                };
                Ok((tree.as_ref() != committed).then(|| Piece { path: path.clone(), tree, index }))
            };
            match piece() {
                Ok(piece) => pieces.extend(piece),
                Err(because) => self.keep(admission, written, &path, because)?,
            }
        }
        let gone: BTreeSet<PathBuf> =
            pieces.iter().filter(|piece| piece.tree.is_none()).map(|piece| piece.path.clone()).collect();
        let mut clear = Vec::new();
        for piece in pieces {
            let places = [(&head, "HEAD"), (&index, "your index")];
            let places = places.into_iter().take(if target.is_new { 1 } else { 2 });
            let is_there = piece.tree.is_some();
            let other = places.filter(|_| is_there).find_map(|(index, whose)| {
                Some(format!(
                    "{whose} has `{}`: commit it yourself",
                    index.beside(&piece.path, &gone)?.display()
                ))
            });
            match other {
                Some(because) => self.keep(admission, written, &piece.path, because)?,
                None => clear.push(piece),
            }
        }
        Ok(clear)
    }
}

fn settle(receipt: Receipt, done: bool) {
    receipt.settle(if done { Outcome::done() } else { Outcome::failed("it is not in the commit") });
}

/// What the run did to one file, or the chosen hunks of that.
fn staged_edit(sides: &Sides, one: &Permitted<'_>) -> Result<Edit, String> {
    let file = one.file;
    let said = |error: std::io::Error| format!("it cannot be read: {error}");
    let path = file.path.clone();
    let mode = |side: &Option<Side>| side.as_ref().map_or(0o644, |side| side.mode);
    let was = match &file.pre {
        None | Some(Side { what: What::Folder | What::Special, .. }) => Content::Nothing,
        Some(Side { what: What::Link(target), .. }) => Content::Link(target.clone()),
        Some(Side { what: What::File(_), mode }) => {
            let before = sides.was(&path).map(|was| sides.before(was)).transpose().map_err(said)?.flatten();
            let content = before.ok_or("what was there when the run began is gone")?;
            Content::File { content, mode: *mode }
        }
    };
    if one.part.is_some() || !one.edits.is_empty() {
        let is_file = |side: &Option<Side>| matches!(side, Some(Side { what: What::File(_), .. }));
        let entry = sides.was(&path).filter(|_| is_file(&file.pre));
        let Texts::Both(base, left) =
            change::texts(sides, &path, entry, is_file(&file.post)).map_err(said)?
        else {
            return Err("it is no text: its hunks cannot be chosen".to_owned());
        };
        let hunks = hunk::hunks(&path, &base, &left);
        let all: Vec<String> = hunks.iter().map(|hunk| hunk.id.clone()).collect();
        let text = hunk::with_only(&base, &hunks, one.part.as_deref().unwrap_or(&all), &one.edits);
        // Of a new file, or one that is gone, there is one mode; else only lines were chosen.
        let mode = if file.pre.is_some() { mode(&file.pre) } else { mode(&file.post) };
        return Ok(Edit { path, was, is: Content::Text { text, mode } });
    }
    let is = match &file.post {
        None | Some(Side { what: What::Folder, .. }) => Content::Nothing,
        Some(Side { what: What::Special, .. }) => return Err("it is no file".to_owned()),
        Some(Side { what: What::Link(target), .. }) => Content::Link(target.clone()),
        Some(Side { what: What::File(_), mode }) => {
            Content::File { content: sides.after(&path).map_err(said)?, mode: *mode }
        }
    };
    Ok(Edit { path, was, is })
}

/// Whether the name can be that of a new branch.
fn new_branch(git: &Git, branch: &str) -> Result<String, CommitError> {
    let name = tips::branch(format!("refs/heads/{branch}").as_bytes());
    let name =
        name.ok_or_else(|| CommitError::refused(format!("`{branch}` cannot be the name of a branch")))?;
    match git.ask(["rev-parse", "--quiet", "--verify", &name]).line() {
        Ok(_) => {
            Err(CommitError::hinted(format!("branch `{branch}` is there already"), "name one that is new"))
        }
        Err(_) => Ok(name),
    }
}

/// Whether something is under way in the repository that a commit would come in between of.
fn under_way(git: &Path) -> Result<(), CommitError> {
    let signs = [
        ("MERGE_HEAD", "a merge"),
        ("CHERRY_PICK_HEAD", "a cherry-pick"),
        ("REVERT_HEAD", "a revert"),
        ("rebase-merge", "a rebase"),
        ("rebase-apply", "a rebase"),
    ];
    match signs.iter().find(|(sign, _)| git.join(sign).exists()) {
        Some((_, what)) => Err(CommitError::hinted(
            format!("{what} is under way"),
            "finish it first, or write the commit on a new branch: --branch NAME",
        )),
        None => Ok(()),
    }
}

impl Target {
    /// Writes the commit, brings the index along, and moves the branch.
    fn write(
        &self,
        tree: &str,
        message: &str,
        index: Option<Vec<(PathBuf, Option<Entry>)>>,
    ) -> Result<String, String> {
        let mut words_of = vec!["commit-tree", tree];
        words_of.extend(self.onto.iter().flat_map(|onto| ["-p", onto.as_str()]));
        words_of.extend(["-F", "-"]);
        let commit = self.git.ask(words_of).reading(message.as_bytes());
        let commit = commit.and_then(|commit| commit.line()).map_err(words)?;
        // ORDER: the index first. Where the branch then does not move, the index holds a change that is not committed yet;
        // the other way round it would hold the commit's inverse.
        if let Some(index) = index {
            entry::put(&self.git, &index, self.digits)?;
        }
        let from = self.onto.as_deref().filter(|_| !self.is_new);
        set(&self.git, &self.name, &commit, from, "commit of what was accepted")?;
        Ok(commit)
    }
}

impl Message {
    /// With the lines that say where it comes from.
    fn whole(&self, person: &str, head: Head) -> String {
        let (run, agent) = (&self.run, &self.agent);
        let (text, size, root) = (self.text.trim_end(), head.size, hex(&head.root));
        format!(
            "{text}\n\nProvost-Run: {run}\nAssisted-by: {agent}\nReviewed-by: {person}\nProvost-Ledger: {size} {root}\n"
        )
    }
}
