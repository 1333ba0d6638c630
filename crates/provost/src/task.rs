//! What is asked: who, what, where, and whether somebody attends.
//!
//! Owns understanding an order into absolute, checked facts. Does not own whether the folder may be a workspace
//! (`workspace`), or who the agent is (`agents`).

use std::ffi::OsString;
use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agents;
use crate::cli::RunFlags;
use crate::failure::Failure;
use crate::folders::Folders;
use crate::toolchains::Environment;

/// A task, understood.
#[derive(Debug, Clone)]
pub struct Task {
    /// What was asked of the agent, in the person's words.
    pub text: String,
    /// The command.
    pub argv: Vec<OsString>,
    /// The folder it works on, links resolved.
    pub workspace: PathBuf,
    /// Where it starts, within the workspace.
    pub folder: PathBuf,
    /// The repository as `owner/name`, as its own configuration says.
    pub repo: Option<String>,
    /// On whose behalf.
    pub principal: ledger::Principal,
    /// Whether somebody can be asked.
    pub attended: bool,
    /// Where its writes go.
    pub mode: ledger::Mode,
    /// What it rests on.
    pub tier: policy::Tier,
    /// How much of it is recorded.
    pub evidence: ledger::Evidence,
    /// When it is ended.
    pub timeout: Option<Duration>,
    /// How long a question stands.
    pub ask_timeout: Duration,
    /// How much of the machine it may use at most, beside what the policy says.
    pub limits: Vec<(policy::Limit, u64)>,
    /// The variables, the home, the workspace.
    pub environment: Environment,
}

impl Task {
    /// Understands what was typed.
    ///
    /// # Errors
    /// The folder is not there.
    pub fn understand(
        flags: &RunFlags,
        text: Option<&str>,
        argv: &[OsString],
        folders: &Folders,
    ) -> Result<Task, Failure> {
        let here = std::env::current_dir().map_err(|error| {
            Failure::of(&error)
                .during("could not tell the current folder")
                .hint("is it gone? change to one that is there")
        })?;
        let (workspace, folder) = place(flags.workspace.as_deref(), &here, &folders.home)?;
        let environment = Environment::new(std::env::vars_os(), &folders.home, &workspace);
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        Ok(Task {
            text: text.map_or_else(|| words(argv), str::to_owned),
            argv: argv.to_vec(),
            repo: repository(&workspace),
            workspace,
            folder,
            principal: principal(),
            attended: !flags.unattended && (flags.attended || terminal),
            mode: match flags.mode {
                crate::cli::Mode::Staged => ledger::Mode::Staged,
                crate::cli::Mode::Direct => ledger::Mode::Direct,
            },
            tier: match flags.tier {
                crate::cli::Tier::Namespaces => policy::Tier::Namespaces,
                crate::cli::Tier::Landlock => policy::Tier::Landlock,
            },
            evidence: match flags.evidence {
                crate::cli::Evidence::Full => ledger::Evidence::Full,
                crate::cli::Evidence::Writes => ledger::Evidence::Writes,
                crate::cli::Evidence::Exec => ledger::Evidence::Exec,
            },
            timeout: flags.timeout,
            ask_timeout: flags.ask_timeout.unwrap_or(admission::ASK_TIMEOUT),
            limits: flags.limit.clone(),
            environment,
        })
    }

    /// The host as an adapter sees it.
    pub fn seen(&self) -> agents::Host<'_> {
        agents::Host { environment: &self.environment, argv: &self.argv, folder: &self.folder }
    }
}

/// The workspace, and where in it to start.
pub fn place(named: Option<&Path>, here: &Path, home: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let real = |path: &Path| {
        fs::canonicalize(path).map_err(|error| {
            Failure::of(&error)
                .during(format!("cannot work in `{}`", path.display()))
                .hint("name a folder that is there: --workspace DIR")
        })
    };
    let here = real(here)?;
    let Some(named) = named else {
        let repository = here.ancestors().find(|folder| folder.join(".git").exists());
        // A home that is a repository (of dot files) is no workspace; the folder within it may be.
        let root = repository.filter(|root| *root != home).unwrap_or(&here).to_owned();
        return Ok((root, here));
    };
    let root = real(named)?;
    if !root.is_dir() {
        return Err(Failure::new(format!("cannot work in `{}`: it is no folder", named.display()))
            .hint("name a folder: --workspace DIR"));
    }
    let folder = if here.starts_with(&root) { here } else { root.clone() };
    Ok((root, folder))
}

/// The command as one line.
fn words(argv: &[OsString]) -> String {
    argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// `owner/name` from the address of the remote `origin`; text is read, nothing is run.
pub fn repository(workspace: &Path) -> Option<String> {
    let config = fs::read_to_string(git_folder(workspace)?.join("config")).ok()?;
    let mut in_origin = false;
    let mut address = None;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            in_origin = line.replace(' ', "") == "[remote\"origin\"]";
        } else if let Some((key, value)) = line.split_once('=')
            && in_origin
            && key.trim() == "url"
        {
            address = Some(value.trim().to_owned());
        }
    }
    owner_and_name(&address?)
}

/// Where the repository's own things lie; a worktree says so in a file.
fn git_folder(workspace: &Path) -> Option<PathBuf> {
    let git = workspace.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    let named = workspace.join(text.strip_prefix("gitdir:")?.trim());
    let common = fs::read_to_string(named.join("commondir")).ok();
    Some(common.map_or(named.clone(), |common| named.join(common.trim())))
}

fn owner_and_name(address: &str) -> Option<String> {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?.1,
        None => address.split_once(':')?.1,
    };
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let mut names = path.rsplit('/');
    let (name, owner) = (names.next()?, names.next()?);
    let fine = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    (fine(name) && fine(owner)).then(|| format!("{owner}/{name}"))
}

/// Who runs this, as the system knows them.
pub fn principal() -> ledger::Principal {
    principal_of(rustix::process::getuid().as_raw())
}

/// Somebody of this host, as the system knows them.
pub fn principal_of(uid: u32) -> ledger::Principal {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_mine = |line: &&str| line.split(':').nth(2) == Some(uid.to_string().as_str());
    let name = users.lines().find(is_mine).and_then(|line| line.split(':').next());
    let name = name.unwrap_or_default().to_owned();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    ledger::Principal { uid, name, host }
}

/// The same in a word. A person of a directory service, or of a container that knows no names, is somebody too.
pub fn person(principal: &ledger::Principal) -> String {
    match principal.name.is_empty() {
        true => format!("uid {}", principal.uid),
        false => principal.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_named_by_its_origin() {
        for (address, name) in [
            ("git@host.example:acme/shop.git", Some("acme/shop")),
            ("https://host.example/acme/shop", Some("acme/shop")),
            ("ssh://git@host.example:22/group/acme/shop.git/", Some("acme/shop")),
            ("/srv/git/shop.git", None),
            ("https://host.example/shop", None),
        ] {
            assert_eq!(owner_and_name(address).as_deref(), name, "{address}");
        }
    }

    #[test]
    fn the_workspace_is_the_repository_around_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap();
        let inner = home.join("shop/src");
        fs::create_dir_all(&inner).unwrap();
        assert_eq!(place(None, &inner, &home).unwrap(), (inner.clone(), inner.clone()));
        fs::create_dir(home.join("shop/.git")).unwrap();
        assert_eq!(place(None, &inner, &home).unwrap(), (home.join("shop"), inner.clone()));
        assert_eq!(place(Some(&inner), &home, &home).unwrap(), (inner.clone(), inner.clone()));
        fs::create_dir(home.join(".git")).unwrap();
        fs::remove_dir(home.join("shop/.git")).unwrap();
        assert_eq!(place(None, &inner, &home).unwrap(), (inner.clone(), inner), "a home is no workspace");
        assert!(place(Some(&home.join("none")), &home, &home).unwrap_err().hint.is_some());
    }
}
