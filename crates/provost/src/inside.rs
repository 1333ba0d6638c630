//! What answers at the door of the inside: requests for a capability, questions to a person.
//!
//! Owns what may be asked there and that it is recorded as the inside's own word. It can ask, never decide. Does not own
//! the door (`gateway`).

use admission::Admission;
use gateway::{Inside, InsideAnswer};
use ledger::{RequestInside, Trust};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The path of requests at the door.
pub const REQUEST: &str = "/request";
/// The variable that names the way to the door.
pub const DOOR_VARIABLE: &str = "PROVOST_DOOR";
/// Longest text of a request, in characters.
const LONGEST: usize = 4096;
/// What may be asked for.
pub const KINDS: [&str; 4] = ["connect", "read", "exec", "question"];

/// A request, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// One of [`KINDS`].
    pub what: String,
    /// The resource, or the question.
    pub text: String,
    /// The justification.
    pub why: String,
}

/// See the module.
#[derive(Debug)]
pub struct Door {
    /// The run's line.
    pub admission: Admission,
}

impl Inside for Door {
    fn answer(&self, path: &str, body: &[u8]) -> InsideAnswer {
        if path != REQUEST {
            return answer(
                404,
                "there is nothing at this path",
                "`provost request` knows the one that is there",
            );
        }
        match serde_json::from_slice::<Asked>(body) {
            Ok(asked) => self.request(asked),
            Err(error) => {
                answer(400, &format!("not a request: {error}"), "`provost request` sends it as it must be")
            }
        }
    }
}

impl Door {
    fn request(&self, asked: Asked) -> InsideAnswer {
        if !KINDS.contains(&asked.what.as_str()) {
            return answer(400, "no such kind of request", "ask for connect, read, exec, or put a question");
        }
        let length = asked.text.chars().count().max(asked.why.chars().count());
        if asked.text.trim().is_empty() || asked.why.trim().is_empty() || length > LONGEST {
            return answer(
                400,
                "what is asked, and why, must be said in at most 4096 characters",
                "say it shorter",
            );
        }
        let Asked { what, text, why } = asked;
        match self.admission.note(RequestInside { what, text, why }.into(), Trust::Reported, None) {
            Ok(seq) => InsideAnswer {
                status: 202,
                json: json!({
                    "status": "recorded",
                    "event": seq,
                    "message": "A person reads this when the run is over. Go on without it, or stop and say what you lack.",
                }),
            },
            Err(closed) => answer(503, &closed.to_string(), "the run is ending"),
        }
    }
}

fn answer(status: u16, because: &str, hint: &str) -> InsideAnswer {
    InsideAnswer { status, json: json!({ "status": "refused", "because": because, "hint": hint }) }
}
