//! The words of a Codex command: where its subcommand is, what they say about sandbox, settings and profile.

use std::ffi::OsString;
use toml::Value;

/// Options that take the next word.
const TAKES_A_WORD: [&str; 27] = [
    "-c",
    "--config",
    "--enable",
    "--disable",
    "--remote",
    "--remote-auth-token-env",
    "-i",
    "--image",
    "-m",
    "--model",
    "--local-provider",
    "-p",
    "--profile",
    "-s",
    "--sandbox",
    "-C",
    "--cd",
    "--add-dir",
    "-a",
    "--ask-for-approval",
    "--output-schema",
    "--color",
    "-o",
    "--output-last-message",
    "--thread-source",
    "--cyber-access-program",
    "--session-id",
];

/// Subcommands that let a model act.
const ACTS: [&str; 5] = ["exec", "e", "review", "resume", "fork"];

/// Subcommands that do something else; a first word that is none of both is a prompt.
const OTHER: [&str; 26] = [
    "agents",
    "login",
    "logout",
    "mcp",
    "mcp-server",
    "plugin",
    "app-server",
    "remote-control",
    "completion",
    "update",
    "doctor",
    "sandbox",
    "debug",
    "apply",
    "a",
    "queue",
    "archive",
    "delete",
    "migrate-rollouts",
    "migrate-nfs-db",
    "unarchive",
    "cloud",
    "exec-server",
    "features",
    "help",
    "app",
];

const BYPASS: &str = "--dangerously-bypass-approvals-and-sandbox";

/// Words of the person that say how Codex is to confine itself or to ask.
const OWN_WORD: [&str; 4] = [BYPASS, "--yolo", "--full-auto", "--approve-for-me"];
const OWN_OPTION: [&str; 4] = ["-s", "--sandbox", "-a", "--ask-for-approval"];
const OWN_SETTING: [&str; 2] = ["sandbox_mode", "approval_policy"];

/// The command with Codex's own sandbox and questions off, unless its words say otherwise; and what to tell the person.
pub(super) fn with_sandbox_off(argv: &[OsString], lead: usize) -> (Vec<OsString>, Vec<String>) {
    let mut words = argv.to_vec();
    let at = match subcommand(argv, lead) {
        Some((_, word)) if OTHER.contains(&word) => return (words, Vec::new()),
        // Some versions know the option only after the subcommand.
        Some((at, word)) if ACTS.contains(&word) && word != "review" => at + 1,
        _ => lead,
    };
    if let Some(own) = own_choice(argv, lead) {
        let stays = own != BYPASS && own != "--yolo" && !own.contains("danger-full-access");
        let note = format!(
            "Codex keeps its own `{own}`: its sandbox cannot work inside this one unless the policy says nested."
        );
        return (words, if stays { vec![note] } else { Vec::new() });
    }
    words.insert(at.min(words.len()), BYPASS.into());
    (words, Vec::new())
}

/// The options of the command, each with the word it takes.
fn options(argv: &[OsString], lead: usize) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
    let mut at = lead;
    std::iter::from_fn(move || {
        let here = at;
        let word = argv.get(here)?.to_str().unwrap_or_default();
        at += 1;
        if word == "--" {
            at = argv.len();
            return None;
        }
        if let Some((name, value)) = word.split_once('=').filter(|_| word.starts_with("--")) {
            return Some((here, name, Some(value)));
        }
        if TAKES_A_WORD.contains(&word) {
            at += 1;
            return Some((here, word, argv.get(here + 1).and_then(|word| word.to_str())));
        }
        // `-sread-only`
        let joined =
            word.split_at_checked(2).filter(|(name, value)| !value.is_empty() && TAKES_A_WORD.contains(name));
        Some(joined.map_or((here, word, None), |(name, value)| (here, name, Some(value))))
    })
}

/// The first word that is no option, with its place.
fn subcommand(argv: &[OsString], lead: usize) -> Option<(usize, &str)> {
    options(argv, lead)
        .find(|(_, word, value)| value.is_none() && !word.starts_with('-'))
        .map(|(at, word, _)| (at, word))
}

fn own_choice(argv: &[OsString], lead: usize) -> Option<String> {
    options(argv, lead).find_map(|(_, name, value)| match value {
        None => OWN_WORD.contains(&name).then(|| name.to_owned()),
        Some(value) if OWN_OPTION.contains(&name) => Some(format!("{name} {value}")),
        Some(value) if matches!(name, "-c" | "--config") => {
            let key = value.split('=').next().unwrap_or_default().trim();
            OWN_SETTING.contains(&key).then(|| format!("{name} {value}"))
        }
        Some(_) => None,
    })
}

/// The profile that the command names; a name that is no plain word is none.
pub(super) fn profile(argv: &[OsString], lead: usize) -> Option<String> {
    let named = options(argv, lead).filter(|(_, name, _)| matches!(*name, "-p" | "--profile")).last()?.2?;
    let plain = !named.is_empty()
        && named.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    plain.then(|| named.to_owned())
}

/// `Some` if the command wants a provider on this machine, and which, if it says.
pub(super) fn local_provider(argv: &[OsString], lead: usize) -> Option<Option<String>> {
    let named =
        options(argv, lead).find(|(_, name, _)| *name == "--local-provider").and_then(|(_, _, value)| value);
    options(argv, lead).any(|(_, name, _)| name == "--oss").then(|| named.map(str::to_owned))
}

/// Settings that the command overrides: key and value, as Codex reads them.
pub(super) fn overrides(argv: &[OsString], lead: usize) -> Vec<(Vec<String>, Value)> {
    let pairs = options(argv, lead)
        .filter(|(_, name, _)| matches!(*name, "-c" | "--config"))
        .filter_map(|(_, _, value)| value);
    let mut all: Vec<(Vec<String>, Value)> = pairs.filter_map(pair).collect();
    let model = options(argv, lead)
        .filter(|(_, name, _)| matches!(*name, "-m" | "--model"))
        .filter_map(|(_, _, value)| value);
    all.extend(model.map(|model| (vec!["model".to_owned()], Value::from(model))));
    all
}

fn pair(text: &str) -> Option<(Vec<String>, Value)> {
    let (key, value) = text.split_once('=')?;
    let parts = key.trim().split('.').map(|part| part.trim_matches('"').to_owned()).collect();
    let read = format!("x = {value}").parse::<toml::Table>().ok().and_then(|mut table| table.remove("x"));
    Some((parts, read.unwrap_or_else(|| Value::from(value.trim()))))
}
