//! Commits that `apply` wrote of what is put back: they stay, and that is said.
//!
//! Owns which commits those are, by the ledger, and how they are taken back. Does not own putting files back, nor
//! taking a commit back: it is the person's, and may be elsewhere already.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ledger::event::{Body, MovedBy, OsText};
use ledger::{Host, RunId};
use serde::Serialize;

use crate::commands::each;
use crate::failure::Failure;
use crate::render::clean;
use crate::workspace::{Leads, leads_to, short};

/// How many files a line of advice names.
const ADVISED: usize = 4;

/// For each file the landings of it that stand, the newest last: with the branch and the commit that holds it, if one does.
#[derive(Debug, Default)]
pub(in crate::commands) struct Committed(HashMap<PathBuf, Vec<Option<(String, String)>>>);

/// A commit that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Stay {
    /// The reference that leads to it.
    name: String,
    /// The commit.
    id: String,
    /// What was put back of it, beneath the workspace.
    files: Vec<String>,
    /// Whether it is what is checked out, and something was before it.
    #[serde(skip)]
    is_last: bool,
    /// The files as they are typed, if they can be and are few.
    #[serde(skip)]
    typed: Option<String>,
}

impl Committed {
    /// What the ledger of a run says.
    pub(in crate::commands) fn of(host: &Host, run: &RunId) -> Result<Committed, Failure> {
        let mut committed = Committed::default();
        each(host, run, |event| committed.see(&event.body))?;
        Ok(committed)
    }

    fn see(&mut self, body: &Body) {
        match body {
            Body::Landed(landed) => self.0.entry(landed.path.to_path()).or_default().push(None),
            Body::RefMoved(moved) if moved.by == MovedBy::Commit => {
                for file in &moved.files {
                    let landing = self.0.get_mut(&file.to_path()).and_then(|landings| landings.last_mut());
                    if let Some((landing, to)) = landing.zip(moved.to.clone()) {
                        *landing = Some((moved.name.clone(), to));
                    }
                }
            }
            Body::Undone(undone) => {
                self.0.get_mut(&undone.path.to_path()).and_then(Vec::pop);
            }
            _ => {}
        }
    }

    /// Of what was put back: the commits that hold it and are still on their branch.
    pub(super) fn standing(&self, root: &Path, back: &[PathBuf]) -> Vec<Stay> {
        let mut held: Vec<(&(String, String), Vec<&Path>)> = Vec::new();
        for path in back {
            let Some(commit) = self.0.get(path).and_then(|landings| landings.last()?.as_ref()) else {
                continue;
            };
            match held.iter_mut().find(|(known, _)| *known == commit) {
                Some((_, files)) => files.push(path),
                None => held.push((commit, vec![path])),
            }
        }
        held.into_iter().filter_map(|(commit, files)| stay(root, commit, &files)).collect()
    }
}

fn stay(root: &Path, (name, id): &(String, String), files: &[&Path]) -> Option<Stay> {
    let leads = leads_to(root, name, id)?;
    let typed: Option<Vec<_>> =
        files.iter().map(|path| shlex::try_quote(path.to_str()?).ok().filter(|_| is_plain(path))).collect();
    Some(Stay {
        name: name.clone(),
        id: id.clone(),
        files: files.iter().map(|path| OsText::from(*path).to_string()).collect(),
        is_last: leads == Leads::Last,
        typed: typed.filter(|typed| typed.len() <= ADVISED).map(|typed| typed.join(" ")),
    })
}

/// Whether a name can be shown as it is typed.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.starts_with(':') && clean(path) == path)
}

impl Stay {
    /// It in lines, with what to type.
    pub(super) fn lines(&self) -> Vec<String> {
        let (commit, branch) = (short(&self.id), clean(self.name.trim_start_matches("refs/heads/")));
        let files = self.typed.as_deref().unwrap_or("FILE..");
        let mut lines = vec![format!("The commit stays: {commit} on {branch}. To take it back as well:")];
        if self.is_last {
            lines.push(format!("  git reset {commit}~1    off the branch, if nobody else has it yet"));
        }
        lines.push(format!("  git commit --message 'Take back {commit}' -- {files}    or by a new commit"));
        lines
    }
}

#[cfg(test)]
mod tests {
    use ledger::event::{Landed, RefMoved, Undone};

    use super::*;

    fn seen(bodies: Vec<Body>) -> Committed {
        let mut committed = Committed::default();
        bodies.iter().for_each(|body| committed.see(body));
        committed
    }

    fn landed(path: &str) -> Body {
        Body::Landed(Landed { path: path.into(), ..Landed::default() })
    }

    fn commit(id: &str, files: &[&str]) -> Body {
        let files = files.iter().map(|file| OsText::from(*file)).collect();
        let (name, by) = ("refs/heads/main".to_owned(), MovedBy::Commit);
        Body::RefMoved(RefMoved { name, to: Some(id.to_owned()), by, files, ..RefMoved::default() })
    }

    #[test]
    fn a_commit_belongs_to_the_landing_before_it_and_goes_with_it() {
        let undone = || Body::Undone(Undone { path: "a".into(), ..Undone::default() });
        let of_a = |committed: &Committed| {
            committed.0[Path::new("a")].last().cloned().flatten().map(|(_, commit)| commit)
        };
        let both =
            || vec![landed("a"), commit("one", &["a"]), landed("a"), landed("b"), commit("two", &["a"])];
        assert_eq!(of_a(&seen(both())).as_deref(), Some("two"));
        assert_eq!(seen(both()).0[Path::new("b")], [None]);
        let mut back = both();
        back.push(undone());
        assert_eq!(of_a(&seen(back)).as_deref(), Some("one"));
        assert_eq!(of_a(&seen(vec![landed("a"), commit("one", &["a"]), undone(), landed("a")])), None);
    }
}
