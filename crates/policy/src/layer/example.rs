//! The examples of a rule: what must match it, and what must not.
//!
//! Owns how an example is read. It is judged by its rule alone, at places that no pattern can name literally, so that what
//! holds of it on one machine holds on every other.

use std::path::{Path, PathBuf};

use crate::layer::rule::{Example, Rule};
use crate::layer::{Layer, PolicyError};
use crate::pattern::{Family, Places, family, glob, regex, spell};
use crate::{AbsPath, Action, Endpoint, HttpRequest, Kind, Scheme};

/// Checks every example of a layer.
pub(crate) fn check(layer: &Layer, text: &str) -> Result<(), PolicyError> {
    for outcome in layer.content.rules.iter().flat_map(judge) {
        if let Some(because) = outcome.fault {
            let error = PolicyError::at(&layer.name, text, &outcome.example.span, because);
            return Err(error.hint("mend the rule, or the example"));
        }
    }
    Ok(())
}

/// What came of an example.
pub(crate) struct Outcome<'a> {
    pub(crate) example: &'a Example,
    /// Why it is not as it must be.
    pub(crate) fault: Option<String>,
}

/// Judges the examples of a rule.
pub(crate) fn judge(rule: &Rule) -> Vec<Outcome<'_>> {
    let (Some(first), false) = (rule.kinds().first().copied(), rule.yes.is_empty() && rule.no.is_empty())
    else {
        return Vec::new();
    };
    let places = nowhere();
    let all = |patterns: &dyn Fn(Kind) -> Vec<String>| -> Vec<String> {
        rule.kinds().into_iter().flat_map(patterns).collect()
    };
    let says = all(&|kind| rule.patterns(kind).map(|pattern| pattern.regex(&places)).collect());
    let holes = all(&|kind| rule.holes(kind).map(|pattern| pattern.regex(&places)).collect());
    let must = rule.yes.iter().map(|example| (example, true));
    let must_not = rule.no.iter().map(|example| (example, false));
    let outcome = |(example, expected): (&'_ Example, bool)| -> Option<String> {
        let input = match spelled(first, &example.text, &places) {
            Ok(input) => input,
            Err(because) => return Some(format!("the example cannot be read: {because}")),
        };
        let matches = regex::is_match(&says, &input) && !regex::is_match(&holes, &input);
        match (expected, matches) {
            (true, false) => Some(format!("the example does not match rule `{}`, and must", rule.id)),
            (false, true) => Some(format!("the example matches rule `{}`, and must not", rule.id)),
            _ => None,
        }
    };
    must.chain(must_not)
        .map(|(example, expected)| Outcome { example, fault: outcome((example, expected)) })
        .collect()
}

/// A control character stands in no pattern, so no pattern names these.
fn nowhere() -> Places {
    Places { workspace: PathBuf::from("/\u{1}workspace"), home: PathBuf::from("/\u{1}home") }
}

/// The bytes that an example is matched by.
fn spelled(kind: Kind, text: &str, places: &Places) -> Result<Vec<u8>, String> {
    let mut buffer = Vec::new();
    let action = match family(kind) {
        Family::Command => return command(text, places),
        Family::Path => Action::Read(AbsPath::new(&path(text, places)?).map_err(|error| error.to_string())?),
        Family::Connect => Action::Connect(endpoint(text)?),
        Family::Http => Action::Http(request(text)?),
        Family::Tool => Action::Tool { name: text.to_owned() },
        Family::Credential => {
            let (name, to) = text.split_once(' ').ok_or("write `name host:port`")?;
            Action::Credential { name: name.to_owned(), to: endpoint(to.trim())? }
        }
        Family::Spend => {
            let (amount, unit) = text.split_once(' ').ok_or("write `200000 tokens`")?;
            let amount = amount.parse().map_err(|_| "write `200000 tokens`")?;
            Action::Spend { unit: unit.to_owned(), amount }
        }
    };
    spell::action(&action, &mut buffer).map(<[u8]>::to_vec).map_err(|error| error.to_string())
}

/// An absolute path from what starts at the root, the workspace or the home.
fn path(text: &str, places: &Places) -> Result<PathBuf, String> {
    if text == "." || text == "~" {
        return path(&format!("{text}/"), places);
    }
    match (text.strip_prefix("./"), text.strip_prefix("~/")) {
        (Some(rest), _) => Ok(places.workspace.join(rest)),
        (_, Some(rest)) => Ok(places.home.join(rest)),
        _ if text.starts_with('/') => Ok(Path::new(text).to_owned()),
        _ => Err("a path starts with `./`, `~/` or `/`".to_owned()),
    }
}

/// `NAME=value program word word`: a program without a folder is known by its name alone.
fn command(text: &str, places: &Places) -> Result<Vec<u8>, String> {
    let mut words = glob::words(text).map_err(|error| error.because)?.into_iter().peekable();
    let mut bytes = Vec::new();
    let is_variable = |word: &Vec<u8>| {
        word.split(|byte| *byte == b'=')
            .next()
            .is_some_and(|name| name.len() < word.len() && crate::action::is_steering(name))
    };
    while let Some(variable) = words.next_if(is_variable) {
        bytes.extend(variable);
        bytes.push(0);
    }
    bytes.push(0);
    let program = words.next().ok_or("a command has no program")?;
    let program = match std::str::from_utf8(&program) {
        Ok(text) if text.contains('/') => path(text, places)?.into_os_string().into_encoded_bytes(),
        _ => program,
    };
    for word in std::iter::once(program).chain(words) {
        bytes.extend(word);
        bytes.push(0);
    }
    Ok(bytes)
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let text = if has_port { text.to_owned() } else { format!("{text}:443") };
    Endpoint::parse(&text).map_err(|error| error.to_string())
}

/// `GET https://host/path`
pub(crate) fn request(text: &str) -> Result<HttpRequest, String> {
    let (method, address) = text.split_once(' ').ok_or("write `GET https://host/path`")?;
    let (scheme, rest, port) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
        (Some(rest), _) => (Scheme::Https, rest, 443),
        (_, Some(rest)) => (Scheme::Http, rest, 80),
        _ => return Err("an address begins with `https://` or `http://`".to_owned()),
    };
    let at = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(at);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    let endpoint = Endpoint::parse(&host).map_err(|error| error.to_string())?;
    let path = if path.is_empty() { "/" } else { path };
    HttpRequest::new(scheme, endpoint, method, path).map_err(|error| error.to_string())
}
