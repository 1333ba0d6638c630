//! What answers at the door of the inside: requests for a capability, questions to a person.
//!
//! Owns what may be asked there, that it is canonical and short enough to be shown, and that it is recorded as the inside's own
//! word. It can ask, never decide. Does not own the door (`gateway`), the asks (`admission`), or how paths are found
//! (`commands::request`, which runs inside and is believed in nothing).

use std::path::{Path, PathBuf};

use admission::{Admission, Denial, GrantView, Requested, Said, Waiting};
use gateway::{Answering, Inside, InsideAnswer};
use ledger::{RequestInside, Trust};
use policy::{AbsPath, Action, Command, Endpoint};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::desk::words::{self, Asker, extent};

/// The path of requests at the door.
pub const REQUEST: &str = "/request";
/// The variable that names the way to the door.
pub const DOOR_VARIABLE: &str = "PROVOST_DOOR";
/// Longest justification, in characters: it is shown beneath the exact action and must not push it out of sight.
const LONGEST_WHY: usize = 500;
/// Longest question, in characters.
const LONGEST_TEXT: usize = 1000;
/// Longest resource as it is shown, in characters.
const LONGEST_RESOURCE: usize = 4096;
/// What may be asked for.
pub const KINDS: [&str; 4] = ["connect", "read", "exec", "question"];

/// A request, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What is wanted.
    pub want: Want,
    /// The justification.
    pub why: String,
    /// Whether the answer is waited for.
    pub wait: bool,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Want {
    /// To connect to `HOST:PORT`.
    Connect(String),
    /// To read a file, by its absolute path.
    Read(PathBuf),
    /// To start a program.
    Exec {
        /// Its absolute path, links resolved.
        program: PathBuf,
        /// Its words, the first included.
        words: Vec<String>,
        /// The variables it would have; those that steer are kept.
        variables: Vec<(String, String)>,
        /// Where it would start.
        folder: PathBuf,
    },
    /// Words of a person.
    Question(String),
}

impl Want {
    fn kind(&self) -> &'static str {
        match self {
            Want::Connect(_) => "connect",
            Want::Read(_) => "read",
            Want::Exec { .. } => "exec",
            Want::Question(_) => "question",
        }
    }
}

/// A request that can be put as it is.
enum Put {
    Action(Box<Action>, Option<PathBuf>),
    Words(String),
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    /// The run's line.
    pub admission: Admission,
}

impl Inside for Door {
    fn answer(&self, path: &str, body: &[u8]) -> Answering {
        if path != REQUEST {
            let hint = "`provost request` knows the one that is there";
            return refused(404, "there is nothing at this path", hint).into();
        }
        match serde_json::from_slice::<Asked>(body) {
            Ok(asked) => self.request(asked),
            Err(error) => {
                refused(400, &format!("not a request: {error}"), "`provost request` sends it as it must be")
                    .into()
            }
        }
    }
}

impl Door {
    fn request(&self, asked: Asked) -> Answering {
        let Asked { want, why, wait } = asked;
        let what = want.kind();
        let (put, why) = match read(want).and_then(|put| Ok((put, one_line(&why, LONGEST_WHY)?))) {
            Ok(read) => read,
            Err(because) => {
                return refused(400, &because, "say what is needed, and why, in a few words").into();
            }
        };
        let text = match &put {
            Put::Action(action, _) => action.resource(),
            Put::Words(text) => text.clone(),
        };
        let event = RequestInside { what: what.to_owned(), text, why: why.clone() };
        let cause = match self.admission.note(event.into(), Trust::Reported, None) {
            Ok(cause) => cause,
            Err(closed) => return refused(503, &closed.to_string(), "the run is ending").into(),
        };
        if let Some(grant) = self.granted_before(&put) {
            return granted(200, "granted", None, None, Some(&grant)).into();
        }
        let requested = match put {
            Put::Action(action, place) => self.admission.request(*action, place, why, cause),
            Put::Words(text) => self.admission.question(text, why, cause),
        };
        match requested {
            Requested::Allowed(_) => said(200, "allowed", "it is allowed already: nobody needs to be asked"),
            Requested::Refused(denial) => denied(&denial, false),
            Requested::Unattended => said(
                202,
                "recorded",
                "Nobody attends this run. A person reads this when it is over: go on without it, or stop and say what you lack.",
            ),
            Requested::Waiting(waiting) if wait => return Answering::Later(Box::pin(heard(waiting))),
            Requested::Waiting(waiting) => {
                let ask = waiting.ask().to_owned();
                waiting.leave();
                InsideAnswer {
                    status: 202,
                    json: json!({
                        "status": "asked",
                        "ask": ask,
                        "message": "a person is asked; after a yes it passes when you try it",
                    }),
                }
            }
        }
        .into()
    }

    /// A grant in being for the very same: a person need not say it twice.
    fn granted_before(&self, put: &Put) -> Option<GrantView> {
        let Put::Action(action, place) = put else { return None };
        self.admission.granted(action, place.as_deref())
    }
}

/// What was sent, as what it must be: the inside says anything.
fn read(want: Want) -> Result<Put, String> {
    let place = |path: &Path| AbsPath::new(path).map_err(|error| format!("`{}`: {error}", path.display()));
    let (action, folder) = match want {
        Want::Connect(to) => {
            let endpoint = Endpoint::parse(&to).map_err(|error| format!("`{to}` is no place: {error}"))?;
            (Action::Connect(endpoint), None)
        }
        Want::Read(path) => (Action::Read(place(&path)?), None),
        Want::Exec { program, words, variables, folder } => {
            let argv: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
            policy::canonical::argv(&argv).map_err(|error| format!("that is no command: {error}"))?;
            let env: Vec<_> =
                variables.into_iter().map(|(name, value)| (name.into_bytes(), value.into_bytes())).collect();
            let odd = |(name, value): &(Vec<u8>, Vec<u8>)| {
                name.is_empty() || name.iter().any(|byte| matches!(byte, 0 | b'=')) || value.contains(&0)
            };
            if argv.is_empty() || env.iter().any(odd) {
                return Err("that is no command".to_owned());
            }
            let folder = place(&folder)?.as_path().to_owned();
            (Action::Exec(Command::new(place(&program)?, argv, env)), Some(folder))
        }
        Want::Question(text) => return one_line(&text, LONGEST_TEXT).map(Put::Words),
    };
    if action.resource().chars().count() > LONGEST_RESOURCE {
        return Err(format!("it is longer than {LONGEST_RESOURCE} characters, which nobody could judge"));
    }
    Ok(Put::Action(Box::new(action), folder))
}

/// Words on one line. What else could steer a terminal is escaped where it is shown.
fn one_line(text: &str, longest: usize) -> Result<String, String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() || line.chars().count() > longest {
        return Err(format!("what is asked, and why, must be said, in at most {longest} characters"));
    }
    match line.chars().any(char::is_control) {
        true => Err("control characters are no words".to_owned()),
        false => Ok(line),
    }
}

/// Waits for the answer. Dropped, it takes the question along.
async fn heard(waiting: Waiting) -> InsideAnswer {
    let ask = waiting.ask().to_owned();
    match waiting.await {
        Ok(Said { by, why, grant, .. }) => {
            let status = if grant.is_some() { "granted" } else { "answered" };
            granted(200, status, Some((&ask, &by)), why.as_deref(), grant.as_ref())
        }
        Err(denial) => denied(&denial, true),
    }
}

fn granted(
    status: u16,
    word: &str,
    said: Option<(&str, &str)>,
    why: Option<&str>,
    grant: Option<&GrantView>,
) -> InsideAnswer {
    let holds = grant.map(|grant| extent(&words::granted(grant, &Asker::default())));
    let (ask, by) = said.unzip();
    InsideAnswer { status, json: json!({ "status": word, "ask": ask, "by": by, "why": why, "holds": holds }) }
}

/// A no; of a person, or without that anybody was asked.
fn denied(denial: &Denial, asked: bool) -> InsideAnswer {
    let why = denial.reasons.first().and_then(|reason| reason.why.clone()).filter(|_| asked);
    InsideAnswer {
        status: 403,
        json: json!({
            "status": "denied",
            "asked": asked,
            "because": denial.to_string(),
            "why": why,
            "hint": denial.hint,
        }),
    }
}

fn said(status: u16, word: &str, message: &str) -> InsideAnswer {
    InsideAnswer { status, json: json!({ "status": word, "message": message }) }
}

fn refused(status: u16, because: &str, hint: &str) -> InsideAnswer {
    InsideAnswer { status, json: json!({ "status": "refused", "because": because, "hint": hint }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(words: &[&str], variables: &[(&str, &str)]) -> Want {
        let text = |text: &&str| (*text).to_owned();
        let variables = variables.iter().map(|(name, value)| (text(name), text(value))).collect();
        let words = words.iter().map(text).collect();
        Want::Exec { program: "/usr/bin/git".into(), words, variables, folder: "/w".into() }
    }

    #[test]
    fn what_is_not_as_it_must_be_is_not_put_to_anybody() {
        for odd in [
            Want::Connect("example.org".into()),
            Want::Connect("exa mple.org:1".into()),
            Want::Connect("example.org:443\u{1b}[2J".into()),
            Want::Read("relative".into()),
            Want::Read("/a/../b".into()),
            Want::Read("/a\0b".into()),
            exec(&[], &[]),
            exec(&["git", "a\0b"], &[]),
            exec(&["git"], &[("GIT_DIR=x", "y")]),
            exec(&["git", &"x".repeat(LONGEST_RESOURCE)], &[]),
            Want::Question(" \n".into()),
            Want::Question("\u{1b}]0;x\u{7}".into()),
            Want::Question("x".repeat(LONGEST_TEXT + 1)),
        ] {
            assert!(read(odd.clone()).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_command_keeps_the_variables_that_steer_it() {
        let Ok(Put::Action(action, place)) = read(exec(&["git", "tag"], &[("GIT_DIR", "x"), ("HOME", "/h")]))
        else {
            panic!("no action")
        };
        assert_eq!(action.resource(), "GIT_DIR=x git tag");
        assert_eq!(place.as_deref(), Some(Path::new("/w")));
    }
}
