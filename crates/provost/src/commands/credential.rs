//! `provost credential`: keys that stay outside.

use std::path::Path;

use gateway::State;
use serde_json::json;

use super::DONE;
use crate::agents::Host;
use crate::cli::{AddCredential, Credential};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::logins::{self, Found};
use crate::render::{Out, clean, table};
use crate::store::{self, Kept, Source};
use crate::toolchains::Environment;

pub(super) fn credential(order: &Credential, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    match order {
        Credential::Add(order) => add(order, &folders, out),
        Credential::List => list(&folders, out),
        Credential::Remove { name } => {
            store::remove(&folders, name)?;
            if out.human() {
                out.line(format!("{name}: forgotten. Runs at work keep what they have."));
            } else {
                out.json(&json!({ "name": name, "state": "removed" }));
            }
            Ok(DONE)
        }
    }
}

fn add(order: &AddCredential, folders: &Folders, out: Out) -> Result<u8, Failure> {
    let bound = (order.bind.as_slice(), order.method.as_slice());
    let kept = Kept::new(&order.name, &order.from, bound, order.enters_as.as_deref())?;
    // One that cannot be had now is mostly mistyped; one that is locked now may be had later.
    let missing = kept.value(&here(folders)).err();
    store::add(folders, kept.clone())?;
    if !out.human() {
        let mut line = told(&kept, Some(missing.is_none()));
        line["state"] = "added".into();
        out.json(&line);
        return Ok(DONE);
    }
    out.line(format!(
        "{}: runs find a stand-in in {}; it is good for {}",
        kept.name,
        kept.enters_as,
        requests(&kept)
    ));
    if let Some(missing) = missing {
        out.line(format!("For now {missing}; a run that begins without it says so."));
    }
    Ok(DONE)
}

fn list(folders: &Folders, out: Out) -> Result<u8, Failure> {
    let all = store::all(folders)?;
    let here = here(folders);
    // A command may ask for a password or a finger: it is run when a run begins, and not to make a list.
    let there = |kept: &Kept| match kept.from {
        Source::Command(_) => None,
        Source::Variable(_) | Source::File(_) => Some(kept.value(&here).is_ok()),
    };
    let logins = logins_of(&here, &folders.home)?;
    if !out.human() {
        all.iter().for_each(|kept| out.json(&told(kept, there(kept))));
        logins.iter().for_each(|(found, state)| out.json(&login(found, state)));
        return Ok(DONE);
    }
    if all.is_empty() && logins.is_empty() {
        out.line("No credential yet. `provost credential add --help` shows how.");
        return Ok(DONE);
    }
    let mut rows = vec![["NAME", "VARIABLE", "FROM", "GOOD FOR", ""].map(str::to_owned).to_vec()];
    rows.extend(all.iter().map(|kept| {
        let state = if there(kept) == Some(false) { "not to be had now" } else { "" };
        vec![
            kept.name.clone(),
            kept.enters_as.clone(),
            clean(&kept.from.to_string()),
            requests(kept),
            state.to_owned(),
        ]
    }));
    rows.extend(logins.iter().map(|(found, state)| {
        let good_for: Vec<&str> = found.good_for.iter().map(|(pattern, _)| pattern.as_str()).collect();
        let state = match *state {
            "over" => "over: refreshed when it is needed",
            state => state,
        };
        vec![
            found.name.to_owned(),
            "-".to_owned(),
            clean(&found.file.display().to_string()),
            clean(&good_for.join(" ")),
            state.to_owned(),
        ]
    }));
    table::rows(&rows).iter().for_each(|line| out.line(line.trim_end()));
    Ok(DONE)
}

/// The logins that runs would use, each with how good it is now.
fn logins_of(here: &Environment, home: &Path) -> Result<Vec<(Found, &'static str)>, Failure> {
    let all = logins::all(&Host { environment: here, argv: &[], folder: home });
    let with_state = |found: Found| {
        let state = match logins::state(&found) {
            Ok(State::Good) => "good",
            Ok(State::Ending | State::Over) => "over",
            Err(_) => "not to be had now",
        };
        (found, state)
    };
    all.into_iter().map(|found| Ok(with_state(found.map_err(|error| Failure::of(&error))?))).collect()
}

fn login(found: &Found, state: &str) -> serde_json::Value {
    let good_for: Vec<&str> = found.good_for.iter().map(|(pattern, _)| pattern.as_str()).collect();
    json!({
        "name": found.name, "from": found.file.display().to_string(), "bind": good_for, "token": found.token,
        "state": state,
    })
}

fn requests(kept: &Kept) -> String {
    let methods =
        if kept.methods.is_empty() { String::new() } else { format!("{} ", kept.methods.join(",")) };
    clean(&format!("{methods}{}", kept.bind.join(" ")))
}

fn told(kept: &Kept, there: Option<bool>) -> serde_json::Value {
    json!({
        "name": kept.name, "as": kept.enters_as, "from": kept.from.to_string(), "bind": kept.bind,
        "methods": kept.methods, "there": there,
    })
}

fn here(folders: &Folders) -> Environment {
    Environment::new(std::env::vars_os(), &folders.home, &folders.home)
}
