//! Places: what a path is to a person.
//!
//! Owns telling the project from the home, the tools, the system and what passes, and which names sound like secrets. A name is a
//! hint to look first and no more: what is called otherwise may hold a secret too. Does not own what may be read.

use ledger::OsText;
use ledger::event::{Body, Event};

/// What a path is to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The workspace.
    Project,
    /// The home folder.
    Home,
    /// Tools and their caches, wherever they live.
    Tools,
    /// The system.
    System,
    /// What is gone when the run is over.
    Passing,
    /// Elsewhere.
    Other,
}

/// Where things are in a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The workspace's root.
    pub project: Vec<u8>,
    /// The home folder.
    pub home: Vec<u8>,
}

/// Folders of the system.
const SYSTEM: [&[u8]; 12] = [
    b"/usr", b"/lib", b"/lib64", b"/lib32", b"/libx32", b"/bin", b"/sbin", b"/etc", b"/opt", b"/sys",
    b"/var", b"/nix",
];
/// Folders of the home that hold tools and what they fetched.
const TOOLS: [&[u8]; 22] = [
    b".cache",
    b".cargo",
    b".rustup",
    b".npm",
    b".nvm",
    b".pyenv",
    b".rbenv",
    b".gradle",
    b".m2",
    b".local/bin",
    b".local/lib",
    b".local/share/uv",
    b".local/share/pnpm",
    b"go",
    b".go",
    b".sdkman",
    b".deno",
    b".bun",
    b".volta",
    b".asdf",
    b".nix-profile",
    b"node_modules",
];
/// What passes.
const PASSING: [&[u8]; 4] = [b"/tmp", b"/dev", b"/proc", b"/var/tmp"];

impl Places {
    /// Learns from an event where things are.
    pub fn see(&mut self, event: &Event) {
        match &event.body {
            Body::RunOpened(opened) => self.project = opened.workspace.as_bytes().to_vec(),
            Body::EnvironmentRecorded(environment) => self.home = environment.home.as_bytes().to_vec(),
            _ => {}
        }
    }

    /// What a path is.
    pub fn of(&self, path: &OsText) -> Place {
        let path = path.as_bytes();
        if beneath(path, &self.project).is_some() {
            return Place::Project;
        }
        if let Some(rest) = beneath(path, &self.home) {
            let tools = TOOLS.iter().any(|tool| beneath(rest, tool).is_some());
            return if tools { Place::Tools } else { Place::Home };
        }
        if PASSING.iter().any(|folder| beneath(path, folder).is_some()) {
            return Place::Passing;
        }
        if SYSTEM.iter().any(|folder| beneath(path, folder).is_some()) { Place::System } else { Place::Other }
    }

    /// As a person writes it: beneath the project without its name, beneath the home with `~`.
    pub fn short(&self, path: &OsText) -> String {
        let text = path.to_string();
        let within = |root: &[u8]| {
            let root = OsText::new(root).to_string();
            text.strip_prefix(&root).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        if !self.project.is_empty() {
            if path.as_bytes() == self.project {
                return ".".to_owned();
            }
            if let Some(rest) = within(&self.project) {
                return rest;
            }
        }
        match within(&self.home).filter(|_| self.home.len() > 1) {
            Some(rest) => format!("~/{rest}"),
            None => text,
        }
    }
}

/// What of a path lies beneath a folder: nothing for the folder itself.
fn beneath<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(folder).filter(|_| !folder.is_empty())?;
    match rest.first() {
        None => Some(rest),
        Some(b'/') => rest.get(1..),
        Some(_) => None,
    }
}

/// Whether a file is named as secrets are.
pub fn is_named_like_a_secret(path: &OsText) -> bool {
    const NAMES: [&[u8]; 20] = [
        b".env",
        b".netrc",
        b".pgpass",
        b".npmrc",
        b".pypirc",
        b".git-credentials",
        b".htpasswd",
        b"credentials",
        b"id_rsa",
        b"id_dsa",
        b"id_ecdsa",
        b"id_ed25519",
        b"shadow",
        b"gshadow",
        b".vault-token",
        b"auth.json",
        b".dockerconfigjson",
        b"credentials.json",
        b"secrets.yml",
        b"secrets.yaml",
    ];
    const ENDINGS: [&[u8]; 8] =
        [b".pem", b".key", b".p12", b".pfx", b".jks", b".keystore", b".kdbx", b".asc"];
    const FOLDERS: [&[u8]; 6] = [b".ssh", b".gnupg", b".aws", b".azure", b".kube", b".password-store"];
    let path = path.as_bytes();
    let mut parts = path.rsplit(|byte| *byte == b'/');
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    // Certificates and what systems ship with are no secrets.
    if [&b"/usr/"[..], b"/etc/ssl/", b"/etc/ca-certificates", b"/proc/"]
        .iter()
        .any(|known| path.starts_with(known))
    {
        return false;
    }
    let env = name.starts_with(b".env.") && !name.ends_with(b".example") && !name.ends_with(b".sample");
    let key = ENDINGS.iter().any(|ending| name.ends_with(ending));
    let word = name.starts_with(b"secret") || name.ends_with(b"_token") || name == b"token";
    NAMES.contains(&name.as_slice()) || env || key || word || parts.any(|part| FOLDERS.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> Places {
        Places { project: b"/home/ada/p".to_vec(), home: b"/home/ada".to_vec() }
    }

    #[test]
    fn a_path_is_told_by_where_it_lies() {
        let of = |path: &str| places().of(&path.into());
        assert_eq!(of("/home/ada/p/src/a.rs"), Place::Project);
        assert_eq!(of("/home/ada/p"), Place::Project);
        assert_eq!(of("/home/ada/pp"), Place::Home, "a name that only begins alike");
        assert_eq!(of("/home/ada/.cargo/registry/x"), Place::Tools);
        assert_eq!(of("/usr/lib/libc.so.6"), Place::System);
        assert_eq!(of("/var/tmp/x"), Place::Passing);
        assert_eq!(of("/srv/x"), Place::Other);
        assert_eq!(Places::default().of(&"/x".into()), Place::Other, "nothing is known of this run");
    }

    #[test]
    fn a_path_is_short_as_a_person_writes_it() {
        let short = |path: &str| places().short(&path.into());
        assert_eq!(short("/home/ada/p/src/a.rs"), "src/a.rs");
        assert_eq!(short("/home/ada/p"), ".");
        assert_eq!(short("/home/ada/.ssh/id_rsa"), "~/.ssh/id_rsa");
        assert_eq!(short("/home/adam"), "/home/adam");
        let root = Places { project: b"/".to_vec(), home: b"/".to_vec() };
        assert_eq!(root.short(&"/etc/x".into()), "/etc/x");
    }

    #[test]
    fn names_like_secrets_are_told_and_certificates_are_not() {
        for path in [
            "/p/.env",
            "/h/.ssh/config",
            "/p/deploy.pem",
            "/p/.env.local",
            "/p/SECRETS.txt",
            "/h/.aws/config",
        ] {
            assert!(is_named_like_a_secret(&path.into()), "{path}");
        }
        for path in [
            "/p/.env.example",
            "/etc/ssl/certs/ca.pem",
            "/p/src/token.rs",
            "/usr/share/x/id_rsa",
            "/p/keys.rs",
        ] {
            assert!(!is_named_like_a_secret(&path.into()), "{path}");
        }
    }
}
