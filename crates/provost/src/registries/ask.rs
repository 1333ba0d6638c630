//! Asking a tool what it is set to.
//!
//! Owns which program is asked, and for how long. It is one that the person installed, never the workspace's, and it is asked
//! in a folder that is not the workspace: what a repository says is not heard.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::toolchains::places::Places;
use crate::toolchains::{Environment, search};

/// A tool that has not answered by then is not heard.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked at.
const OFTEN: Duration = Duration::from_millis(5);

/// The tools that can be asked.
pub(super) struct Tools<'a> {
    environment: &'a Environment,
    folders: Vec<PathBuf>,
}

impl Tools<'_> {
    pub(super) fn of(environment: &Environment) -> Tools<'_> {
        let places = Places::of(environment);
        let judged =
            search::entries(&environment.path).filter_map(|entry| search::judge(entry, &places).ok());
        Tools { environment, folders: judged.filter(|folder| !places.in_workspace(folder)).collect() }
    }

    /// What it prints, if it ends well and in time.
    pub(super) fn ask(&self, tool: &str, words: &[&str]) -> Option<String> {
        let words: Vec<PathBuf> = words.iter().map(PathBuf::from).collect();
        ended(self.start(tool, &words, &[])?)
    }

    /// Starts it, with these variables beside the person's.
    pub(super) fn start(&self, tool: &str, words: &[PathBuf], variables: &[(&str, &OsStr)]) -> Option<Child> {
        let is_program = |path: &PathBuf| {
            std::fs::metadata(path)
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let program = self.folders.iter().map(|folder| folder.join(tool)).find(is_program)?;
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
            .env("PATH", self.path())
            .env("HOME", &self.environment.home)
            .env_remove("PWD")
            .env_remove("OLDPWD");
        // They are to say what they are set to, and to fetch nothing for it.
        command.env("COREPACK_ENABLE_NETWORK", "0").env("GOTOOLCHAIN", "local").env("PYTHONSAFEPATH", "1");
        command.envs(variables.iter().copied());
        command.spawn().ok()
    }

    /// Where cargo keeps what it fetched.
    pub(super) fn cargo_home(&self) -> PathBuf {
        let named = self.environment.get("CARGO_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        named.unwrap_or_else(|| self.environment.home.join(".cargo"))
    }

    fn path(&self) -> OsString {
        std::env::join_paths(&self.folders).unwrap_or_default()
    }
}

/// What it printed, if it ended well and in time.
pub(super) fn ended(mut child: Child) -> Option<String> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => {
                let mut text = String::new();
                child.stdout.take()?.read_to_string(&mut text).ok()?;
                return Some(text);
            }
            Ok(None) => std::thread::sleep(OFTEN),
            Ok(Some(_)) | Err(_) => return None,
        }
    }
    // It is not heard any more: whether it can still be ended does not matter.
    let _ = child.kill();
    let _ = child.wait();
    None
}
