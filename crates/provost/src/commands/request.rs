//! `provost request`, from inside a run: ask for a capability, or put a question to a person.

use super::DONE;
use crate::cli::Request;
use crate::failure::{Failure, NO};
use crate::inside::{Asked, DOOR_VARIABLE, KINDS, REQUEST};
use crate::render::{Out, clean};

pub(super) fn request(order: &Request, out: Out) -> Result<u8, Failure> {
    let Some((what, words)) = order.what.split_first().filter(|(what, _)| KINDS.contains(&what.as_str()))
    else {
        return Err(
            Failure::new("no such kind of request").hint("ask for connect, read, exec, or put a question")
        );
    };
    let outside = || {
        Failure::new("this is not the inside of a run")
            .hint("from outside, give a policy: provost run --policy FILE")
    };
    let door = std::env::var(DOOR_VARIABLE).map_err(|_| outside())?;
    let asked = Asked { what: what.clone(), text: words.join(" "), why: order.why.clone() };
    let body = serde_json::to_vec(&asked).unwrap_or_default();
    let answer = gateway::ask_inside(&door, REQUEST, &body)
        .map_err(|error| Failure::of(&error).during("could not reach the door of this run"))?;
    if !out.human() {
        out.json(&answer.json);
    } else {
        let field = |name: &str| {
            answer.json.get(name).and_then(|value| value.as_str()).map(clean).unwrap_or_default()
        };
        out.line(format!("{}: {}{}", field("status"), field("message"), field("because")));
    }
    Ok(if (200..300).contains(&answer.status) { DONE } else { NO })
}
