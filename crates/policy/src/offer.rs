//! The rule that a person can put into a file of theirs where nobody wants to be asked again.
//!
//! Pure. Owns its text, and that it allows what was asked and no more than one place. There is none where a rule asks: the
//! strictest rule holds, so no other lifts it.

use crate::decide::Reason;
use crate::{Action, Host, Layer, LayerKind, Policy};

impl Policy {
    /// The text of a rule that would allow an action of which no rule speaks.
    pub fn offer(&self, action: &Action, reasons: &[Reason]) -> Option<String> {
        if reasons.is_empty() || reasons.iter().any(|reason| reason.rule != "default") {
            return None;
        }
        let (example, says) = match action {
            Action::Connect(endpoint) => {
                let place = endpoint.to_string();
                (place.clone(), vec![format!("connect = [\"{place}\"]")])
            }
            Action::Http(request) => {
                let url = request.plainly();
                let method = &request.method;
                let says = vec![format!("http = [\"{url}\"]"), format!("methods = [\"{method}\"]")];
                (format!("{method} {url}"), says)
            }
            Action::Tool { name } => (name.clone(), vec![format!("tool = [\"{name}\"]")]),
            _ => return None,
        };
        // What means something in a pattern or in a file would say more than was asked.
        if example.chars().any(|odd| odd.is_control() || "*?{}\\\"".contains(odd)) {
            return None;
        }
        let rule = format!("[[rule]]\nid = \"{}\"\n{}\nneed = \"none\"\n", id(action), says.join("\n"));
        let checked = format!("version = 1\n{rule}yes = [\"{example}\"]\n");
        Layer::parse("offer", LayerKind::User, &checked).ok().map(|_| rule)
    }
}

/// A name that says what it allows.
fn id(action: &Action) -> String {
    let name = match action {
        Action::Connect(endpoint) => host(&endpoint.host),
        Action::Http(request) => {
            format!("{}-{}", request.method.to_ascii_lowercase(), host(&request.endpoint.host))
        }
        other => other.resource(),
    };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let name: String = name.chars().map(|letter| if plain(letter) { letter } else { '-' }).take(56).collect();
    format!("allow-{name}")
}

fn host(host: &Host) -> String {
    match host {
        Host::Name(name) => name.clone(),
        Host::Ip(address) => address.to_string(),
    }
}
