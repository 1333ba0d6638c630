//! What `apply` does beside landing files: commits of a run are taken over, and what was accepted is written as a commit.
//!
//! Owns when each is done, what a commit says that nobody wrote words for, and how it is told. Does not own doing it
//! (`workspace`).

use std::path::Path;

use insight::Story;
use ledger::RunId;
use serde_json::{Value, json};

use super::stays::{Committed, Stay};
use crate::cli::Apply;
use crate::demand::Demand;
use crate::epilogue::Epilogue;
use crate::failure::Failure;
use crate::render::{Paint, Tone, clean, count};
use crate::workspace::{
    Change, Import, Landing, Message, Pick, RefLanding, Target, Terms, Voice, Written, short,
};

/// Characters of the first line of a message that nobody wrote.
const SUBJECT: usize = 60;

/// What is done beside landing files.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Commits that the run made are taken over.
    commits: bool,
    /// They are named by themselves, not only with all that may land.
    named: bool,
    /// A commit is written.
    commit: bool,
    /// What it says, in a person's words.
    message: Option<String>,
    /// It goes on a new branch of this name, and no file lands.
    branch: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(in crate::commands) struct Done {
    /// References that moved for commits of the run.
    refs: Vec<RefLanding>,
    /// The commit that was written.
    written: Option<Written>,
    /// Commits of what was put back.
    stays: Vec<Stay>,
}

impl Beside {
    pub(super) fn of(order: &Apply) -> Beside {
        Beside {
            commits: order.commits || (order.all && order.branch.is_none()),
            named: order.commits,
            commit: order.commit || order.branch.is_some(),
            message: order.message.clone(),
            branch: order.branch.clone(),
        }
    }

    /// Whether no file is to land.
    pub(super) fn is_branch(&self) -> bool {
        self.branch.is_some()
    }

    /// Where the commit is to go, if there is to be one: known before anything lands.
    pub(super) fn target(&self, epilogue: &Epilogue<'_>) -> Result<Option<Target>, Failure> {
        let target = self.commit.then(|| epilogue.workspace.commit_target(self.branch.as_deref()));
        Ok(target.transpose()?)
    }

    /// Commits what was picked on a new branch, in the place of landing it.
    pub(super) fn instead(
        &self,
        epilogue: &Epilogue<'_>,
        (target, run, story): (&Target, &RunId, &Story),
        (change, pick): (&Change, &Pick),
    ) -> Result<(Landing, Done), Failure> {
        let (workspace, message) = (&epilogue.workspace, self.message(run, story));
        let written = workspace.commit_staged(epilogue.admission, target, (change, pick, &message))?;
        let landing = Landing { refused: written.refused.clone(), ..Landing::default() };
        Ok((landing, Done { written: Some(written), ..Done::default() }))
    }

    /// What comes after landing: the commit of it, and the run's own commits.
    pub(super) fn after(
        &self,
        epilogue: &Epilogue<'_>,
        (target, run, story): (Option<&Target>, &RunId, &Story),
        (landing, voice): (&mut Landing, Option<&Voice>),
    ) -> Result<Done, Failure> {
        let (workspace, admission) = (&epilogue.workspace, epilogue.admission);
        let mut done = Done::default();
        if let Some(target) = target.filter(|_| !landing.landed.is_empty()) {
            let (landed, message) = (landing.landed.as_slice(), self.message(run, story));
            let written = workspace.commit_landed(admission, target, (landed, &message))?;
            landing.refused.extend(written.refused.iter().cloned());
            done.written = Some(written);
        }
        if self.commits {
            if let Some(voice) = voice {
                workspace.accept_commits(admission, voice)?;
            }
            let Import { moved, refused } =
                workspace.import(admission, self.terms(epilogue, story, landing))?;
            done.refs = moved;
            landing.refused.extend(refused);
        }
        Ok(done)
    }

    fn terms(&self, epilogue: &Epilogue<'_>, story: &Story, landing: &Landing) -> Terms {
        let workspace = &epilogue.workspace;
        let path = Path::new(".git").join(workspace.prefix());
        let demand = Demand::of(&epilogue.policy, workspace.root(), &path).filter(|_| !self.named);
        let held = demand.map(|demand| format!("they wait for their own yes (--commits): {demand}"));
        let tips = |made: &insight::MadeCommits| made.tips.iter().map(|tip| tip.tip.clone()).collect();
        Terms { together: !landing.landed.is_empty(), held, known: story.commits.as_ref().map(tips) }
    }

    /// What the commit says: the person's words, or what was asked of the agent.
    fn message(&self, run: &RunId, story: &Story) -> Message {
        let opened = story.opened.clone().unwrap_or_default();
        let task = clean(opened.task.lines().next().unwrap_or_default());
        let task: String = match task.char_indices().nth(SUBJECT) {
            Some((end, _)) => format!("{}..", task.get(..end).unwrap_or_default()),
            None => task,
        };
        let text = self.message.clone().unwrap_or_else(|| match task.is_empty() {
            true => format!("Changes of run {run}"),
            false => task,
        });
        let program = opened.agent.argv.first().map(|word| word.to_path());
        let program = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let name = if opened.agent.name == "command" { program.into_owned() } else { opened.agent.name };
        let version = opened.agent.version.map(|version| format!(" {version}")).unwrap_or_default();
        Message { text, run: run.to_string(), agent: clean(&format!("{name}{version}")) }
    }
}

impl Done {
    /// What is said last: of files that were committed and not landed, and of commits of what was put back.
    pub(in crate::commands) fn last(&self, run: &RunId, is_branch: bool) -> Vec<String> {
        let mut lines: Vec<String> = self.stays.iter().flat_map(Stay::lines).collect();
        let is_written = self.written.as_ref().is_some_and(|written| written.commit.is_some());
        if is_branch && is_written {
            lines.push(format!(
                "Your folder is as it was; what was committed still waits: `provost apply {run} --all` lands it there."
            ));
        } else if is_branch {
            lines.push("Nothing was committed, and no branch was made.".to_owned());
        }
        lines
    }

    /// Whether nothing came of it.
    pub(super) fn is_empty(&self) -> bool {
        self.refs.is_empty() && self.written.is_none()
    }

    /// Adds it to what is told a program.
    pub(super) fn tell_in(&self, told: &mut Value) {
        told["refs"] = json!(self.refs);
        if !self.stays.is_empty() {
            told["stays"] = json!(self.stays);
        }
        if let Some(written) = &self.written {
            let files: Vec<_> = written.files.iter().map(|path| clean(&path.to_string_lossy())).collect();
            told["commit"] = match &written.commit {
                Some((name, id)) => json!({ "name": name, "id": id, "files": files }),
                None => Value::Null,
            };
        }
    }

    /// It in lines, each beginning with the word for what was done.
    pub(super) fn lines(&self, done: &str, paint: Paint) -> Vec<String> {
        let branch = |name: &str| clean(name.trim_start_matches("refs/heads/"));
        let moved = |moved: &RefLanding| {
            let what = match moved.to {
                Some(_) => format!("{} as branch {}", count(moved.commits, "commit"), branch(&moved.name)),
                None => format!("branch {} is gone again", branch(&moved.name)),
            };
            format!("{}  {what}", paint.on(Tone::Good, format!("{done:<6}")))
        };
        let mut lines: Vec<String> = self.refs.iter().map(moved).collect();
        let written = self.written.as_ref().and_then(|written| Some((written, written.commit.as_ref()?)));
        if let Some((written, (name, commit))) = written {
            let files = count(written.files.len() as u64, "file");
            lines.push(format!("committed {files} on {}: {}", branch(name), short(commit)));
        }
        lines
    }
}

/// Takes the last step back: files, commits, or both.
pub(in crate::commands) fn undo(
    epilogue: &Epilogue<'_>,
    committed: &Committed,
) -> Result<(Landing, Done), Failure> {
    let (workspace, admission) = (&epilogue.workspace, epilogue.admission);
    let import = workspace.undo_import(admission)?;
    let mut landing = match &import {
        // They were a step of their own, the last one.
        Some((_, false)) => Landing::default(),
        Some((_, true)) | None => workspace.undo_last(admission)?,
    };
    let import = import.map(|(import, _)| import).unwrap_or_default();
    landing.refused.extend(import.refused);
    let stays = committed.standing(workspace.root(), &landing.landed);
    Ok((landing, Done { refs: import.moved, written: None, stays }))
}
