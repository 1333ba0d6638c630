//! What of the host is never shown to an agent for the sake of a toolchain, whoever names it.
//!
//! Owns: the list of places that hold secrets or everything, and what counts as the system. Does not own: the built-in
//! floor of the policy, which holds whatever this list forgets about Provost itself.

use super::Environment;
use super::ways::{Way, Ways};
use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

/// Trees that every run sees anyway: the shipped system layer shows them.
const SYSTEM: [&str; 12] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
];

/// Trees of the kernel or of running services: no toolchain lives there.
const NEVER: [&str; 9] =
    ["/proc", "/sys", "/dev", "/run", "/boot", "/var/run", "/var/lib", "/etc", "/lost+found"];

/// Beneath the home: they, what is in them and what they are in stay out.
const SECRET: [&str; 62] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".docker",
    ".netrc",
    ".git-credentials",
    ".gitconfig",
    ".pypirc",
    ".password-store",
    ".vault-token",
    ".terraform.d",
    ".boto",
    ".s3cfg",
    ".config/gcloud",
    ".config/gh",
    ".config/glab-cli",
    ".config/hub",
    ".config/git",
    ".config/op",
    ".config/rclone",
    ".config/sops",
    ".config/doctl",
    ".config/containers",
    ".config/pypoetry/auth.toml",
    ".config/composer/auth.json",
    ".composer/auth.json",
    ".config/configstore",
    ".config/provost",
    ".config/google-chrome",
    ".config/chromium",
    ".config/BraveSoftware",
    ".config/Code",
    ".config/Cursor",
    ".config/systemd",
    ".local/share/keyrings",
    ".local/share/uv/credentials",
    ".local/share/gem/credentials",
    ".local/share/containers",
    ".local/state/provost",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".m2/settings-security.xml",
    ".hex/hex.config",
    ".android/adbkey",
    ".dotnet/corefx",
    ".pub-cache/credentials.json",
    ".cache/huggingface/token",
    ".mozilla",
    ".thunderbird",
    ".pki",
    ".claude",
    ".claude.json",
    ".codex",
    ".gemini",
    ".bash_history",
    ".zsh_history",
    ".python_history",
    ".node_repl_history",
    ".psql_history",
];

/// Beneath the home, in a secret place: programs that agents install beside their secrets.
const PROGRAMS: [&str; 2] = [".claude/local", ".codex/packages"];

/// Beneath the home: too much of everything to be shown whole; what is in them may be.
const WIDE: [&str; 22] = [
    ".config",
    ".local",
    ".local/share",
    ".local/state",
    ".cache",
    ".cargo",
    ".gradle",
    ".m2",
    ".gem",
    ".npm",
    ".nuget",
    ".android",
    ".dotnet",
    ".pub-cache",
    ".hex",
    ".var",
    "snap",
    "Desktop",
    "Documents",
    "Downloads",
    "Library",
    "src",
];

/// The places of one person that decide what may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    home: PathBuf,
    home_real: PathBuf,
    workspace: PathBuf,
    workspace_real: PathBuf,
    ways: Ways,
}

impl Places {
    pub(crate) fn of(environment: &Environment) -> Self {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self {
            home: environment.home.clone(),
            home_real: real(&environment.home),
            workspace: environment.workspace.clone(),
            workspace_real: real(&environment.workspace),
            ways: Ways::default(),
        }
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn in_workspace(&self, path: &Path) -> bool {
        path.starts_with(&self.workspace) || path.starts_with(&self.workspace_real)
    }

    /// Where a path leads to, spelt through the home as the person spells it; `None` if it leads nowhere.
    pub(crate) fn real(&self, path: &Path) -> Option<PathBuf> {
        self.way(path).map(|way| way.real)
    }

    /// The same, with the links that are passed.
    pub(crate) fn way(&self, path: &Path) -> Option<Way> {
        let Way { real, links } = self.ways.of(path)?;
        let real = match real.strip_prefix(&self.home_real) {
            Ok(rest) if self.home != self.home_real => self.home.join(rest),
            _ => real,
        };
        Some(Way { real, links })
    }

    /// See [`Ways::know_plain`]. `folder` may be spelt through the home.
    pub(crate) fn know_plain(&self, folder: &Path, names: HashSet<OsString>) {
        let folder =
            folder.strip_prefix(&self.home).map_or(folder.to_owned(), |rest| self.home_real.join(rest));
        self.ways.know_plain(&folder, names);
    }

    /// The part of a path beneath the home.
    pub(crate) fn beneath_home<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.home).or_else(|_| path.strip_prefix(&self.home_real)).ok()
    }

    /// Why this path may not be shown, if it may not.
    pub(crate) fn refusal(&self, path: &Path) -> Option<&'static str> {
        if !is_plain(path) {
            return Some("it is not a plain absolute path");
        }
        if self.home.starts_with(path) || self.home_real.starts_with(path) {
            return Some("the whole home lies in it");
        }
        if self.workspace_real.starts_with(path) && self.workspace_real != path {
            return Some("the workspace lies in it");
        }
        if NEVER.iter().any(|place| path.starts_with(place)) {
            return Some("it belongs to the system's services");
        }
        let rest = self.beneath_home(path)?;
        let first = rest.components().next();
        if WIDE.iter().any(|place| begins(place, first) && rest == Path::new(place)) {
            return Some("it holds much that is no toolchain");
        }
        if PROGRAMS.iter().any(|place| rest.starts_with(place)) {
            return None;
        }
        let secret = |place: &&str| rest.starts_with(place) || Path::new(place).starts_with(rest);
        SECRET.iter().filter(|place| begins(place, first)).any(secret).then_some("it holds secrets")
    }
}

/// Whether the system's own part of the view covers this path.
pub(crate) fn is_system(path: &Path) -> bool {
    let mut parts = path.components();
    let first = parts.next().and_then(|_| parts.next());
    SYSTEM.iter().filter(|place| begins(&place[1..], first)).any(|place| path.starts_with(place))
}

/// Whether a place of a list may begin with this part: whether it begins with its letters. All of PATH is held against the
/// lists, and few paths are near anything on them.
fn begins(place: &str, first: Option<Component<'_>>) -> bool {
    first.is_none_or(|first| place.as_bytes().starts_with(first.as_os_str().as_bytes()))
}

/// Absolute, without `.` or `..`.
pub(crate) fn is_plain(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

/// Whether somebody else could put a program there: the folder, or a folder above it, is open to all for writing. A
/// folder above with the sticky bit (`/tmp`) only lets people add, not replace what is there.
pub(crate) fn is_open_to_all(folder: &Path) -> bool {
    folder.ancestors().enumerate().any(|(above, folder)| {
        let Ok(found) = std::fs::metadata(folder) else { return false };
        let (open, sticky) = (found.mode() & 0o002 != 0, found.mode() & 0o1000 != 0);
        open && (above == 0 || !sticky)
    })
}

/// Whether the text of a configuration file names something that looks like a secret.
pub(crate) fn carries_secret(text: &str) -> bool {
    const WORDS: [&str; 14] = [
        "token",
        "secret",
        "passw",
        "_auth",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "private_key",
        "privatekey",
        "bearer",
        "authorization",
        "access_key",
        "username",
    ];
    let lower = text.to_ascii_lowercase();
    let settings = lower.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
    settings.into_iter().any(|line| WORDS.iter().any(|word| line.contains(word)) || has_userinfo(line))
}

/// Whether a text contains a web address with a user in it.
pub(crate) fn has_userinfo(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let place = text.get(at + mark.len()..).unwrap_or_default();
        let end = place.find(|one: char| matches!(one, '/' | '?' | '#' | '"' | '\'') || one.is_whitespace());
        place.get(..end.unwrap_or(place.len())).unwrap_or_default().contains('@')
    })
}
