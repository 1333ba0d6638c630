//! Who the person is to git, so that commits inside carry their name: a private `~/.gitconfig` of nothing but safe
//! settings.
//!
//! Owns: asking the host's git for the person's settings, the list of those that are safe, and writing them so that a
//! value can only be a value. Of addresses only those that stand for others. Left out is whatever names a program, a file or a key.

use super::Environment;
use super::places::has_userinfo;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Longest value that is a name or an address.
const LONGEST: usize = 256;

/// What a safe setting may hold.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Truth,
    One(&'static [&'static str]),
}

const SAFE: &[(&str, Holds)] = &[
    ("user.name", Holds::Text),
    ("user.email", Holds::Text),
    ("init.defaultbranch", Holds::Text),
    ("core.autocrlf", Holds::One(&["true", "false", "input"])),
    ("core.eol", Holds::One(&["lf", "crlf", "native"])),
    ("core.quotepath", Holds::Truth),
    ("core.safecrlf", Holds::One(&["true", "false", "warn"])),
    ("pull.rebase", Holds::One(&["true", "false", "merges", "interactive"])),
    ("pull.ff", Holds::One(&["true", "false", "only"])),
    ("push.default", Holds::One(&["nothing", "current", "upstream", "tracking", "simple", "matching"])),
    ("push.autosetupremote", Holds::Truth),
    ("fetch.prune", Holds::Truth),
    ("rebase.autosquash", Holds::Truth),
    ("rebase.autostash", Holds::Truth),
    ("merge.conflictstyle", Holds::One(&["merge", "diff3", "zdiff3"])),
    ("merge.ff", Holds::One(&["true", "false", "only"])),
    ("diff.algorithm", Holds::One(&["default", "myers", "minimal", "patience", "histogram"])),
    ("diff.renames", Holds::One(&["true", "false", "copies"])),
    ("color.ui", Holds::One(&["true", "false", "auto", "always", "never"])),
    ("advice.detachedhead", Holds::Truth),
    ("help.autocorrect", Holds::One(&["0", "never", "prompt", "immediate"])),
    ("tag.sort", Holds::One(&["refname", "-refname", "version:refname", "-version:refname"])),
];

/// A question to the host's git, asked while there is something else to do.
#[derive(Debug)]
pub struct Asked(Option<Child>);

/// The system's git.
#[must_use]
pub fn system() -> Option<&'static Path> {
    ["/usr/bin/git", "/usr/local/bin/git", "/bin/git"].iter().map(Path::new).find(|git| git.is_file())
}

/// Asks for the person's own settings, and no others.
#[must_use]
pub fn ask(environment: &Environment) -> Asked {
    let Some(git) = system().map(Path::to_owned).or_else(|| on_path(environment)) else {
        return Asked(None);
    };
    let mut command = Command::new(git);
    command.args(["config", "--global", "--no-includes", "--list", "-z"]).current_dir("/").env_clear();
    command
        .env("HOME", &environment.home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for name in ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"] {
        if let Some(value) = environment.get(name) {
            command.env(name, value);
        }
    }
    Asked(command.spawn().ok())
}

impl Asked {
    /// The private `~/.gitconfig`, or nothing if git is not there or knows nothing.
    #[must_use]
    pub fn identity(self) -> Option<Vec<u8>> {
        let output = self.0?.wait_with_output().ok()?;
        let listing = output.status.success().then_some(output.stdout)?;
        Some(private_config(&listing)).filter(|config| !config.is_empty())
    }
}

/// A git outside the system's folders: only from an entry of PATH that is fit to be shown.
fn on_path(environment: &Environment) -> Option<std::path::PathBuf> {
    let places = super::places::Places::of(environment);
    let entries = super::search::entries(&environment.path)
        .filter_map(|entry| super::search::judge(entry, &places).ok());
    entries
        .filter(|entry| !places.in_workspace(entry))
        .map(|entry| entry.join("git"))
        .find(|git| git.is_file())
}

/// A configuration with the safe settings of a listing (`key`, line end, `value`, NUL). The last value of a key holds,
/// as it does for git.
#[must_use]
pub fn private_config(listing: &[u8]) -> Vec<u8> {
    let entries: Vec<(&str, &str)> = listing.split(|byte| *byte == 0).filter_map(entry).collect();
    let mut config = String::new();
    for (key, holds) in SAFE {
        let value =
            entries.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value);
        let Some((section, name)) = key.split_once('.') else { continue };
        if let Some(value) = value.filter(|value| fits(value, *holds)) {
            config.push_str(&format!("[{section}]\n\t{name} = \"{}\"\n", escaped(value)));
        }
    }
    for (key, value) in &entries {
        let Some(base) = stands_in(key) else { continue };
        if fits(base, Holds::Text) && fits(value, Holds::Text) && !has_userinfo(value) {
            config.push_str(&format!("[url \"{}\"]\n\tinsteadof = \"{}\"\n", escaped(base), escaped(value)));
        }
    }
    config.into_bytes()
}

/// The web address that stands for others by this key, if nobody signs in there by it.
fn stands_in(key: &str) -> Option<&str> {
    let base = key.strip_prefix("url.")?.strip_suffix(".insteadof")?;
    let is_web = base.starts_with("https://") || base.starts_with("http://");
    Some(base).filter(|_| is_web && !has_userinfo(base))
}

/// A key and its value; a key alone means true.
fn entry(entry: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(entry).ok().filter(|text| !text.is_empty())?;
    Some(text.split_once('\n').unwrap_or((text, "true")))
}

fn fits(value: &str, holds: Holds) -> bool {
    match holds {
        Holds::Text => !value.is_empty() && value.len() <= LONGEST && !value.chars().any(char::is_control),
        Holds::Truth => ["true", "false", "yes", "no", "on", "off", "1", "0"].contains(&value),
        Holds::One(words) => words.contains(&value),
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"")
}
