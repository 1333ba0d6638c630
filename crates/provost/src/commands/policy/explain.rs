//! `provost policy explain`: why an action would be allowed, asked about, or denied.
//!
//! Owns reading what was typed as a run would meet it, links resolved, and saying what to do. The answer is the judge's own
//! (`policy::Explanation`).

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use ::policy::{AbsPath, Action, Explanation, Here, Kind, Layer, LayerKind, Need};

use crate::cli::{PolicyExplain, RunFlags};
use crate::commands::DONE;
use crate::failure::Failure;
use crate::folders::{Folders, resolved};
use crate::render::{Out, Tone, clean, table};
use crate::run::Prepared;

pub(super) fn explain(order: &PolicyExplain, out: Out) -> Result<u8, Failure> {
    let folders = Folders::find()?;
    let flags =
        RunFlags { profile: order.profile.clone(), policy: order.policy.clone(), ..RunFlags::default() };
    let prepared = super::prepared(&flags, order.agent.as_ref(), &folders)?;
    let action = action(&order.words, &prepared, &folders)?;
    let mut why = prepared.policy.explain(&action);
    let beside = beside(&action, &mut why, &prepared);
    let mut notes = notes(&action, &why, &prepared, &folders);
    notes.extend(misplaced(&order.words));
    notes.extend(beside);
    if out.human() {
        told(&why, &notes, &|layer| brief(layer, &prepared.task.workspace, &folders.home), out);
    } else {
        let mut value = serde_json::to_value(&why).unwrap_or_default();
        if let Some(value) = value.as_object_mut() {
            value.insert("notes".to_owned(), notes.into());
        }
        out.json(&value);
    }
    Ok(DONE)
}

/// What looks like an option of ours among the words of an action.
fn misplaced(words: &[OsString]) -> Option<String> {
    let ours = ["--policy", "--profile", "--agent", "--format"];
    let word = words.iter().filter_map(|word| word.to_str()).find(|word| ours.contains(word))?;
    Some(format!("`{word}` was taken as a word of the action: options of `explain` come before the kind"))
}

/// What was typed, as a run here would meet it.
fn action(words: &[OsString], prepared: &Prepared, folders: &Folders) -> Result<Action, Failure> {
    let (kind, words) = words.split_first().ok_or_else(|| Failure::new("no action is named"))?;
    let kind: Kind = kind.to_string_lossy().parse().map_err(|error: ::policy::action::NotAKind| {
        let all: Vec<&str> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        Failure::of(&error).hint(format!("the kinds of action are {}", all.join(", ")))
    })?;
    let inside = prepared.inside_path();
    let here =
        Here { folder: &prepared.task.workspace, home: &folders.home, program: &|name| find(name, &inside) };
    let read = Action::from_words(kind, words, here)
        .map_err(|error| Failure::new(error.because.clone()).hint(error.hint))?;
    real(read, prepared)
}

/// Whether a program lies where nobody inside can write, as far as that can be told without a run: it is shown, and
/// neither written nor in a place that is the run's own.
fn is_installed(program: &AbsPath, prepared: &Prepared) -> bool {
    let decide = |action: Action| prepared.policy.decide(&action, &[]).word();
    let own = [prepared.task.workspace.as_path(), Path::new("/dev"), Path::new("/proc")];
    decide(Action::Read(program.clone())) == "allow"
        && decide(Action::Write(program.clone())) == "deny"
        && !own.iter().any(|place| program.as_path().starts_with(place))
}

/// A program on the PATH of the inside.
fn find(name: &OsStr, path: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    path.split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(name))
        .find(is_program)
}

/// Links are followed before a run judges what is opened or started; what lands is judged by its own name.
fn real(action: Action, prepared: &Prepared) -> Result<Action, Failure> {
    let real = |path: AbsPath| AbsPath::new(&resolved(path.as_path())).map_err(|error| Failure::of(&error));
    Ok(match action {
        Action::Read(path) => Action::Read(real(path)?),
        Action::Write(path) => Action::Write(real(path)?),
        Action::Exec(mut command) => {
            command.program = real(command.program)?;
            command.installed = is_installed(&command.program, prepared);
            Action::Exec(command)
        }
        Action::Launch(mut command) => {
            command.program = real(command.program)?;
            Action::Launch(command)
        }
        other => other,
    })
}

// === what to do, and what to know ===

fn notes(action: &Action, why: &Explanation, prepared: &Prepared, folders: &Folders) -> Vec<String> {
    let mut notes = Vec::new();
    if let Action::Read(path) | Action::Write(path) = action {
        let (path, workspace) = (path.as_path(), &prepared.task.workspace);
        if sandbox::plan::is_private(path, &folders.home) && !path.starts_with(workspace) {
            notes.push("this speaks of the host's; inside, the run has an empty place of its own there, and may use it".to_owned());
        }
    }
    if matches!(action, Action::Write(_)) && why.need == Need::None {
        notes.push("it is staged: nothing changes in the folder until it lands".to_owned());
    }
    if why.judged_as.is_some() {
        notes.push("no rule looks at requests there, so the connection is what is judged".to_owned());
    }
    match why.need {
        Need::None => {}
        Need::Never => notes.extend(remedies(action, why, prepared, folders)),
        _ => {
            if matches!(action, Action::Read(_) | Action::Write(_)) {
                notes.push("it is shown, and whoever opens it waits for the answer".to_owned());
            }
            notes.push("where nobody can be asked (--unattended), it is denied".to_owned());
        }
    }
    notes
}

/// What rules say of the connection under a request: it is judged as well, and the stricter holds.
fn beside(action: &Action, why: &mut Explanation, prepared: &Prepared) -> Option<String> {
    let Action::Http(request) = action else { return None };
    if why.judged_as.is_some() {
        return None;
    }
    let under = prepared.policy.explain(&Action::Connect(request.endpoint.clone()));
    if under.spoke.is_empty() {
        return None;
    }
    let rules: Vec<String> = under.decided_by.iter().map(|reason| rule(&reason.rule)).collect();
    let said = format!(
        "the connection to {} is judged beside it: {}, by {}",
        under.action.trim_start_matches("connect "),
        under.verdict,
        rules.join(", ")
    );
    if under.need <= why.need {
        return Some(said);
    }
    let own = why.verdict;
    (why.verdict, why.need, why.decided_by, why.ask, why.decision) =
        (under.verdict, under.need, under.decided_by, under.ask, under.decision);
    Some(format!("{said}; the request alone would be: {own}"))
}

/// How it could be allowed, or that it cannot.
fn remedies(action: &Action, why: &Explanation, prepared: &Prepared, folders: &Folders) -> Vec<String> {
    let mut deciding: Vec<&str> =
        why.spoke.iter().filter(|spoke| spoke.decides).map(|spoke| spoke.layer.as_str()).collect();
    deciding.dedup();
    if !deciding.is_empty() {
        return deciding.into_iter().map(|layer| whose(layer, prepared.policy.layers())).collect();
    }
    let own = folders.config.join("policy.toml");
    let rule = written(action, &prepared.task.workspace, &folders.home);
    let rule = rule.map(|rule| format!(": {rule}, need = \"none\"")).unwrap_or_default();
    vec![format!("no rule speaks of it: a [[rule]] in `{}` can allow it{rule}", own.display())]
}

/// Whose word a rule is that denies. The strictest rule holds, so no other lifts it.
fn whose(name: &str, layers: &[Layer]) -> String {
    let layer = layers.iter().find(|layer| layer.name == name);
    match layer.map(|layer| layer.kind) {
        Some(LayerKind::Floor) if name == "built-in" => "this is built in, and nothing lifts it".to_owned(),
        Some(LayerKind::Floor) => format!("`{name}` is a floor: only who keeps that file can change it"),
        Some(LayerKind::Repo) => format!("it is this repository's own word, in `{name}`"),
        Some(LayerKind::User | LayerKind::File) => format!("it is your own word, in `{name}`"),
        Some(LayerKind::Profile) => {
            format!("the profile `{name}` denies it: another one may not (--profile)")
        }
        _ => format!("the shipped layer `{name}` denies it, and no rule lifts what another denies"),
    }
}

/// What a rule of its own would say, where that can be written plainly.
fn written(action: &Action, workspace: &Path, home: &Path) -> Option<String> {
    let text = match action {
        Action::Read(path) | Action::Write(path) | Action::Land(path) => {
            let path = path.as_path();
            let beneath = |base: &Path, start: &str| {
                Some(format!("{start}{}", path.strip_prefix(base).ok()?.to_str()?))
            };
            beneath(workspace, "./")
                .or_else(|| beneath(home, "~/"))
                .or_else(|| path.to_str().map(str::to_owned))?
        }
        Action::Connect(endpoint) => endpoint.to_string(),
        Action::Http(request) => request.plainly(),
        Action::Tool { name } => name.clone(),
        Action::Exec(_) | Action::Launch(_) | Action::Credential { .. } | Action::Spend { .. } => {
            return None;
        }
    };
    let plain =
        !text.contains(['*', '?', '{', '}', '[', ']', '\\', '"']) && !text.chars().any(char::is_control);
    plain.then(|| format!("{} = [\"{text}\"]", action.kind().word()))
}

/// A layer's name, its file as seen from the workspace or the home.
pub(super) fn brief(name: &str, workspace: &Path, home: &Path) -> String {
    let beneath = |base: &Path, start: &str| {
        let rest = Path::new(name).strip_prefix(base).ok().filter(|rest| !rest.as_os_str().is_empty())?;
        Some(format!("{start}{}", rest.display()))
    };
    let brief = beneath(workspace, "./").or_else(|| beneath(home, "~/"));
    clean(&brief.unwrap_or_else(|| name.to_owned()))
}

// === for people ===

fn told(why: &Explanation, notes: &[String], layer: &dyn Fn(&str) -> String, out: Out) {
    let tone = match why.need {
        Need::None => Tone::Good,
        Need::Never => Tone::Bad,
        _ => Tone::Notice,
    };
    out.line(format!("{}  {}", out.paint().on(tone, why.verdict), clean(&why.action)));
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, text: String| rows.push(vec![format!("  {name}"), text]);
    why.judged_as.iter().for_each(|judged| row("judged as", clean(judged)));
    for (at, reason) in why.decided_by.iter().enumerate() {
        let said = reason.why.as_deref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
        row(
            if at == 0 { "because" } else { "" },
            format!("{}, in {}{said}", rule(&reason.rule), layer(&reason.layer)),
        );
    }
    for (at, spoke) in why.spoke.iter().enumerate() {
        let narrows = if spoke.narrows { ", only narrows" } else { "" };
        let terms: String = spoke.terms.iter().map(|terms| format!("; {terms}")).collect();
        let patterns = clean(&format!("{}{terms}", spoke.patterns.join(" ")));
        row(
            if at == 0 { "spoke" } else { "" },
            format!(
                "{} in {} needs {}{narrows}  {patterns}",
                rule(&spoke.rule),
                layer(&spoke.layer),
                spoke.need
            ),
        );
    }
    if why.spoke.is_empty() {
        row(
            "default",
            format!("{}, in {}: no rule speaks of it", why.default.need, layer(&why.default.layer)),
        );
    }
    if let Some(near) = &why.nearest {
        row(
            "nearest",
            format!(
                "{} in {} needs {}  {}",
                rule(&near.rule),
                layer(&near.layer),
                near.need,
                clean(&near.pattern)
            ),
        );
        row("", clean(&near.because));
    }
    notes.iter().for_each(|note| row("note", clean(note)));
    table::rows(&rows).iter().for_each(|line| out.line(line));
}

fn rule(id: &str) -> String {
    if id == "default" { "the default".to_owned() } else { format!("rule {}", clean(id)) }
}
