//! A person's home, a repository in it, and the built `provost` as that person runs it.

use crate::built;
use crate::person::Person;
use crate::ran::{Ran, run};
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What nobody but the person may read: tests look for it everywhere else.
pub const SECRET: &str = "the-secret-of-the-person";

/// Where a test plays. All of it is gone when dropped.
#[derive(Debug)]
pub struct Stage {
    /// On whose behalf.
    pub person: Person,
    /// The person's home. It holds `.ssh/id_rsa` with [`SECRET`].
    pub home: PathBuf,
    /// A folder of the person's beside the home: no part of any view.
    pub elsewhere: PathBuf,
    /// A git repository in the home with one commit: `README.md`, `src/greeting.txt`, `check.sh`.
    pub workspace: PathBuf,
    variables: Vec<(OsString, OsString)>,
    _folder: TempDir,
}

impl Stage {
    /// A new home with a repository in it.
    #[must_use]
    pub fn new(person: Person) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("provost-e2e-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir_in(built::stages(person))
            .expect("a folder can be made");
        let root = folder.path().canonicalize().expect("the folder is there");
        let (home, elsewhere) = (root.join("ada"), root.join("elsewhere"));
        let workspace = home.join("project");
        std::fs::create_dir(&elsewhere).expect("a folder can be made");
        person.owns(&elsewhere);
        let stage = Self { person, home, elsewhere, workspace, variables: Vec::new(), _folder: folder };
        stage.in_home(".ssh/id_rsa", SECRET);
        stage.in_home(".gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.org\n");
        stage.write("README.md", "# A project\n");
        stage.write("src/greeting.txt", "hello\n");
        stage.write("check.sh", "#!/bin/sh\ngrep -q hello src/greeting.txt && echo the greeting is right\n");
        stage.git(&["init", "--quiet", "--initial-branch=main"]);
        stage.git(&["add", "--all"]);
        stage.git(&["commit", "--quiet", "--message=first"]);
        stage
    }

    /// Writes a file of the workspace.
    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        self.put(&self.workspace.join(path), content)
    }

    /// Writes a file of the home.
    pub fn in_home(&self, path: &str, content: &str) -> PathBuf {
        self.put(&self.home.join(path), content)
    }

    /// A policy file, for `--policy`.
    pub fn policy(&self, text: &str) -> String {
        self.in_home("policy.toml", text).display().to_string()
    }

    fn put(&self, path: &Path, content: &str) -> PathBuf {
        let folder = path.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(folder).expect("a folder can be made");
        std::fs::write(path, content).expect("a file can be written");
        if self.person != Person::myself() {
            for made in path.ancestors().take_while(|made| made.starts_with(&self.home)) {
                std::os::unix::fs::lchown(made, Some(self.person.uid), Some(self.person.uid))
                    .expect("a file can be given away");
            }
        }
        path.to_owned()
    }

    /// Sets a variable for every command that follows.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.into(), value.as_ref().to_owned()));
    }

    /// A command of this person, in the workspace, with what a login gives and no more.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.person.command(program);
        command
            .current_dir(&self.workspace)
            .env("HOME", &self.home)
            .env("USER", "ada")
            .env("LOGNAME", "ada")
            .env("SHELL", "/bin/sh")
            .env("LANG", "C.UTF-8")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// `provost` with these words.
    pub fn provost<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        let mut command = self.command(built::provost(self.person));
        command.args(words);
        command
    }

    /// Runs `provost` with these words.
    pub fn says(&self, words: &[&str]) -> Ran {
        run(&mut self.provost(words))
    }

    /// Runs a line of shell inside, unattended.
    pub fn inside(&self, line: &str) -> Ran {
        self.inside_with(&[], line)
    }

    /// The same, with options for `provost run`.
    pub fn inside_with(&self, options: &[&str], line: &str) -> Ran {
        let mut words = vec!["run", "--unattended"];
        words.extend(options);
        words.extend(["--", "sh", "-c", line]);
        self.says(&words)
    }

    /// The same line of shell outside: what the person could do.
    pub fn outside(&self, line: &str) -> Ran {
        run(self.command("/bin/sh").arg("-c").arg(line))
    }

    /// Runs git in the workspace.
    pub fn git(&self, words: &[&str]) -> String {
        run(self.command("git").args(words)).ended(0).stdout
    }

    /// The ledger of the last run.
    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        Ledger(self.says(&["ledger", "tail", "--count", "1000000", "--format", "json"]).ended(0).json())
    }

    /// Where Provost keeps its state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home.join(".local/state/provost")
    }
}

impl Drop for Stage {
    /// The kernel keeps folders beneath an overlay that are closed even to whom they belong: opened, they can go.
    fn drop(&mut self) {
        open_up(&self.home);
    }
}

fn open_up(folder: &Path) {
    let Ok(data) = std::fs::symlink_metadata(folder) else { return };
    if !data.is_dir() {
        return;
    }
    if data.permissions().mode() & 0o700 == 0 {
        drop(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)));
    }
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        open_up(&entry.path());
    }
}

/// The events of a run.
#[derive(Debug, Clone)]
pub struct Ledger(pub Vec<Value>);

impl Ledger {
    /// Those of a type.
    pub fn of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |event| event["type"] == kind)
    }

    /// The denial of something whose name ends so, at the call or at the gateway. There must be one, and it must name a
    /// rule or the default.
    #[track_caller]
    pub fn denial(&self, what: &str, target: &str) -> &Value {
        let is = |event: &&Value| {
            let ends = |member: &Value| member.as_str().is_some_and(|known| known.ends_with(target));
            match event["type"].as_str() {
                Some("denied") => event["what"] == what && ends(&event["target"]),
                Some("decision") => {
                    event["verdict"] == "deny" && event["action"]["kind"] == what && ends(&event["text"])
                }
                _ => false,
            }
        };
        let found = self.0.iter().find(is);
        let found = found.unwrap_or_else(|| {
            panic!("no denial of {what} `{target}` among {:#?}", self.of("denied").collect::<Vec<_>>())
        });
        let reasons = found["reasons"].as_array().map_or(0, Vec::len);
        assert!(reasons > 0, "a denial without a reason: {found:#}");
        found
    }
}
