//! A run that is over, taken up again: to land what it staged, or to throw it away.
//!
//! Owns opening and sealing that chapter of the ledger, and that the person who gives the command is the one who says yes
//! to what needs a person. Does not own what lands (`workspace`).

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use admission::{Admission, Answer, Asking, Scope};
use insight::Story;
use ledger::{Host, RunId, Trust};
use policy::{Context, Kind, Policy};

use crate::failure::Failure;
use crate::folders::Folders;
use crate::layers::{self, Wanted};
use crate::task;
use crate::toolchains::Toolchains;
use crate::workspace::direct::{Claim, Purpose};
use crate::workspace::{StageError, Workspace};

/// How long an ask that this command cannot answer alone stands before it is denied.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the command does with a run.
#[derive(Debug)]
pub struct Epilogue<'a> {
    /// The run's line.
    pub admission: &'a Admission,
    /// What it staged.
    pub workspace: Workspace,
    /// What judges what lands.
    pub policy: Arc<Policy>,
}

/// Takes a run up, does what is to be done, and puts it down: whatever happens in between is recorded and sealed.
///
/// # Errors
/// The run is at work, has nothing staged, or its policy or ledger cannot be used.
pub fn take_up<T>(
    (folders, host): (&Folders, &Host),
    run: &RunId,
    story: &Story,
    verb: &'static str,
    act: impl FnOnce(Epilogue<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let workspace = staged(host, run)?;
    // A run in direct mode has its folder for itself.
    let _claim = Claim::on(workspace.root(), &folders.state, Purpose::Beside)?;
    let (policy, profile) = policy(folders, story, &workspace)?;
    let loaded = layers::record(&policy, &profile);
    let writer = host.reopen(run, verb)?;
    let policy = Arc::new(policy);
    let admission = Admission::start_with(
        Arc::clone(&policy),
        writer,
        Asking { timeout: PATIENCE, ..Asking::usual(true) },
    );
    let person = answer_landings(&admission, verb)?;
    let noted = admission.note(loaded.into(), Trust::Observed, None);
    let done =
        noted.map_err(Failure::from).and_then(|_| act(Epilogue { admission: &admission, workspace, policy }));
    let sealed = admission.put_down();
    let _ = person.join();
    host.seal(run, &sealed?)?;
    done
}

/// What a run staged, under the run's own name.
///
/// # Errors
/// It is not there any more, or cannot be used.
pub fn staged(host: &Host, run: &RunId) -> Result<Workspace, Failure> {
    Workspace::reopen(&host.run_dir(run)).map_err(|error| match error {
        StageError::NothingStaged(_) => {
            Failure { what: format!("nothing is staged in run {run}"), ..Failure::from(error) }
        }
        other => Failure::from(other),
    })
}

/// The policy as it stands now, with the profile and the files of the run; and that profile.
///
/// # Errors
/// A policy file cannot be read as it stands.
pub fn policy(folders: &Folders, story: &Story, workspace: &Workspace) -> Result<(Policy, String), Failure> {
    let loaded = story.policy.clone().unwrap_or_default();
    let files: Vec<PathBuf> = loaded
        .layers
        .iter()
        .filter(|layer| layer.kind == "file")
        .map(|layer| PathBuf::from(&layer.name))
        .collect();
    let opened = story.opened.clone().unwrap_or_default();
    let context = Context {
        repo: task::repository(workspace.root()),
        agent: opened.agent.name.clone(),
        principal: task::principal().name,
        attended: true,
    };
    let profile = loaded.profile.unwrap_or_else(|| layers::USUAL.to_owned());
    let wanted = Wanted {
        profile: &profile,
        files: &files,
        workspace: workspace.root(),
        context,
        tools: &Toolchains::default(),
        shown: &[],
        registries: "",
        agent: ("command", ""),
    };
    let policy =
        layers::load(folders, &wanted).map_err(|failure| failure.during("cannot judge what lands"))?;
    Ok((policy, profile))
}

/// The command is a person's yes to the changes that it names, and to nothing else.
fn answer_landings(admission: &Admission, verb: &'static str) -> Result<JoinHandle<()>, Failure> {
    let (asks, line) = (admission.asks(), admission.clone());
    let by = task::person(&task::principal());
    let answer = move || {
        for ask in asks {
            let allow = ask.kind == Some(Kind::Land);
            let answer = Answer {
                allow,
                by: by.clone(),
                how: "command".to_owned(),
                why: Some(format!("provost {verb}")),
                scope: Scope::Once,
            };
            // An ask that ended meanwhile takes no answer.
            let _ = line.cast(&ask.ask, answer);
        }
    };
    let thread = thread::Builder::new().name("provost-yes".to_owned());
    thread.spawn(answer).map_err(|error| Failure::of(&error).during("could not start a thread"))
}
