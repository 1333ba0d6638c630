//! The examples of rules: what must match it, and what must not.
//!
//! Owns how an example is read. It is judged by its rule alone, at places that no pattern can name literally, so that what
//! holds of it on one machine holds on every other.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::layer::PolicyError;
use crate::layer::rule::{Example, Rule};
use crate::pattern::{Family, Pattern, Places, family, glob, regex, spell};
use crate::policy::conditions;
use crate::{AbsPath, Action, HttpRequest, Kind, words};

/// What came of one example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// The rule.
    pub rule: String,
    /// The example as it is written.
    pub example: String,
    /// Whether it must match.
    pub must_match: bool,
    /// Where it stands.
    pub line: usize,
    /// What is wrong; none if it is as it must be.
    pub fault: Option<String>,
}

/// Checks every example of a layer; the first that is wrong refuses it.
pub(crate) fn check(name: &str, rules: &[Rule], text: &str) -> Result<(), PolicyError> {
    for rule in rules {
        for (example, _, fault) in judge(rule) {
            if let Some(because) = fault {
                let error = PolicyError::at(name, text, &example.span, because);
                return Err(error.hint("mend the rule, or the example"));
            }
        }
    }
    Ok(())
}

/// Judges every example of a file.
pub(crate) fn test(name: &str, rules: &[Rule], text: &str) -> Vec<Tested> {
    let tested = |rule: &Rule| {
        let outcomes = judge(rule).into_iter().map(|(example, must_match, fault)| Tested {
            rule: rule.id.clone(),
            example: example.text.clone(),
            must_match,
            line: PolicyError::at(name, text, &example.span, "").line,
            fault,
        });
        outcomes.collect::<Vec<_>>()
    };
    rules.iter().flat_map(tested).collect()
}

/// Each example of a rule, whether it must match, and what is wrong.
fn judge(rule: &Rule) -> Vec<(&Example, bool, Option<String>)> {
    let (Some(first), false) = (rule.kinds().first().copied(), rule.yes.is_empty() && rule.no.is_empty())
    else {
        return Vec::new();
    };
    let places = nowhere();
    let kinds = rule.kinds();
    let written = |pattern: &Pattern| pattern.regex(&places);
    let says: Vec<String> = kinds.iter().flat_map(|kind| rule.patterns(*kind)).map(written).collect();
    let holes: Vec<String> = kinds.iter().flat_map(|kind| rule.holes(*kind)).map(written).collect();
    let fault = |example: &Example, must_match: bool| match spelled(first, &example.text, &places) {
        Err(because) => Some(format!("the example cannot be read: {because}")),
        Ok((input, request)) => match (
            must_match,
            regex::is_match(&says, &input)
                && !regex::is_match(&holes, &input)
                && request.is_none_or(|request| conditions::hold(rule, &request)),
        ) {
            (true, false) => Some(format!("the example does not match rule `{}`, and must", rule.id)),
            (false, true) => Some(format!("the example matches rule `{}`, and must not", rule.id)),
            _ => None,
        },
    };
    let yes = rule.yes.iter().map(|example| (example, true));
    let all = yes.chain(rule.no.iter().map(|example| (example, false)));
    all.map(|(example, must_match)| (example, must_match, fault(example, must_match))).collect()
}

/// A control character stands in no pattern, so no pattern names these.
fn nowhere() -> Places {
    Places { workspace: PathBuf::from("/\u{1}workspace"), home: PathBuf::from("/\u{1}home") }
}

/// The bytes that an example is matched by; of a request, what conditions are asked of too.
fn spelled(kind: Kind, text: &str, places: &Places) -> Result<(Vec<u8>, Option<HttpRequest>), String> {
    let mut buffer = Vec::new();
    let action = match family(kind) {
        Family::Command => return Ok((command(text, places)?, None)),
        Family::Path => Action::Read(AbsPath::new(&path(text, places)?).map_err(|error| error.to_string())?),
        Family::Connect => Action::Connect(words::endpoint(text)?),
        Family::Http => {
            let mut said = text.split(" | ");
            let line = said.next().and_then(|line| line.split_once(' '));
            let (method, address) = line.ok_or("write `GET https://host/path`")?;
            let headers = said.map(words::header).collect::<Result<Vec<_>, _>>()?;
            Action::Http(words::request(method, address.trim())?.with_headers(headers))
        }
        Family::Tool => Action::Tool { name: text.to_owned() },
        Family::Credential => {
            let (name, to) = text.split_once(' ').ok_or("write `name host:port`")?;
            Action::Credential { name: name.to_owned(), to: words::endpoint(to.trim())? }
        }
        Family::Spend => {
            let (amount, unit) = text.split_once(' ').ok_or("write `200000 tokens`")?;
            let amount = amount.parse().map_err(|_| "write `200000 tokens`")?;
            Action::Spend { unit: unit.to_owned(), amount }
        }
    };
    let bytes = spell::action(&action, &mut buffer).map(<[u8]>::to_vec).map_err(|error| error.to_string())?;
    let request = if let Action::Http(request) = action { Some(request) } else { None };
    Ok((bytes, request))
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
    let (env, argv) = words::variables(glob::words(text).map_err(|error| error.because)?);
    let program = argv.first().ok_or("a command has no program")?;
    let program = match std::str::from_utf8(program) {
        Ok(text) if text.contains('/') => path(text, places)?.into_os_string().into_encoded_bytes(),
        _ => program.clone(),
    };
    let mut bytes = Vec::new();
    spell::command(&mut bytes, &env, &program, argv.get(1..).unwrap_or_default())
        .map_err(|error| error.to_string())?;
    Ok(bytes)
}
