//! Where the demo plays: a scratch folder with a small project, a home with a decoy key, and Provost's state.
//!
//! Owns making it, looking at it, and that nothing of it stays. Does not own what is done in it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use ledger::RunId;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::layers::hex;

/// The decoy: whoever says this has read the key.
pub(super) const SECRET: &str = "a-decoy-key-that-nobody-may-read";
/// Variables of the person that the demo keeps; everything else is its own.
const KEPT: [&str; 10] =
    ["PATH", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "NO_COLOR", "TMPDIR"];

const FILES: [(&str, &str); 5] = [
    ("project/greet.sh", "#!/bin/sh\necho \"Helo, ${1:-world}!\"\n"),
    (
        "project/test.sh",
        "#!/bin/sh\nif [ \"$(sh greet.sh Ada)\" = \"Hello, Ada!\" ]; then\n    echo \"ok: it greets by name\"\nelse\n    echo \"FAILED: it greets wrongly\"\n    exit 1\nfi\n",
    ),
    ("project/README.md", "# Greetings\n\nA script that greets, and its test.\n"),
    ("home/.ssh/id_rsa", SECRET),
    ("policy.toml", include_str!("policy.toml")),
];

/// The scratch folder. All of it is gone when dropped.
#[derive(Debug)]
pub(super) struct Scene {
    root: PathBuf,
    /// This program.
    pub(super) program: PathBuf,
}

impl Scene {
    /// Makes it.
    pub(super) fn make() -> Result<Scene, Failure> {
        let failed = |error: io::Error| {
            Failure::of(&error)
                .during("could not make a scratch folder")
                .hint("set TMPDIR to a folder that you can write")
        };
        let program = std::env::current_exe().and_then(fs::canonicalize).map_err(failed)?;
        let mut name = [0; 6];
        getrandom::fill(&mut name).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let folder = fs::canonicalize(std::env::temp_dir()).map_err(failed)?;
        let root = folder.join(format!("provost-demo-{}", hex(&name)));
        DirBuilder::new().mode(0o700).create(&root).map_err(failed)?;
        let scene = Scene { root, program };
        scene.fill().map_err(failed)?;
        Ok(scene)
    }

    fn fill(&self) -> io::Result<()> {
        for (path, content) in FILES {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
            fs::write(path, content)?;
        }
        Ok(())
    }

    /// Removes it.
    pub(super) fn clear(self) -> Result<(), Failure> {
        crate::workspace::remove_folder(&self.root).map_err(|error| {
            Failure::of(&error).during(format!("could not remove `{}`", self.root.display()))
        })
    }

    /// The project that the agent works on.
    pub(super) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// The decoy home.
    pub(super) fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The demo's rules.
    pub(super) fn policy(&self) -> PathBuf {
        self.root.join("policy.toml")
    }

    /// The ledger of the one run.
    pub(super) fn ledger(&self) -> Option<(RunId, PathBuf)> {
        let entry = fs::read_dir(self.root.join("state/provost/runs")).ok()?.next()?.ok()?;
        Some((RunId::parse(entry.file_name().to_str()?)?, entry.path().join("ledger")))
    }

    /// This program, in the project, with the state of the demo.
    pub(super) fn provost<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        self.provost_with("state", words)
    }

    /// The same, with the state in another folder of the scratch folder.
    pub(super) fn provost_with<W: AsRef<OsStr>>(
        &self,
        state: &str,
        words: impl IntoIterator<Item = W>,
    ) -> Command {
        let mut command = self.command(&self.program);
        command.env("XDG_STATE_HOME", self.root.join(state)).args(words);
        command
    }

    /// Any program, in the project, with the home of the demo.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let kept = KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let mut command = Command::new(program);
        command.env_clear().envs(kept).current_dir(self.project());
        command.env("HOME", self.home()).env("XDG_CONFIG_HOME", self.root.join("config"));
        command
    }

    /// A file of the project, as it is on the disk.
    pub(super) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.project().join(file)).unwrap_or_default()
    }

    /// A digest of the project: names, modes, contents.
    pub(super) fn digest(&self) -> io::Result<String> {
        let mut entries: Vec<_> = fs::read_dir(self.project())?.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut digest = Sha256::new();
        for entry in entries {
            let found = entry.metadata()?;
            digest.update(format!("{:?} {:o} {} ", entry.file_name(), found.mode(), found.len()));
            digest.update(fs::read(entry.path())?);
        }
        Ok(hex(&digest.finalize()))
    }

    /// A copy of what `ledger verify` looks at, in the folder `to`. Gives the copied ledger of the one run.
    pub(super) fn copy_evidence(&self, to: &str) -> io::Result<PathBuf> {
        let (run, ledger) = self.ledger().ok_or(io::ErrorKind::NotFound)?;
        let (from, copy) = (self.root.join("state/provost"), self.root.join(to).join("provost"));
        let copied = copy.join("runs").join(run.as_str()).join("ledger");
        DirBuilder::new().recursive(true).mode(0o700).create(&copied)?;
        fs::copy(from.join("key"), copy.join("key"))?;
        copy_folder(&from.join("register"), &copy.join("register"))?;
        copy_folder(&ledger, &copied)?;
        Ok(copied)
    }
}

/// Copies a folder of files, modes included.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

impl Drop for Scene {
    fn drop(&mut self) {
        // Where the demo was broken off; what cannot be removed then does no harm.
        let _ = crate::workspace::remove_folder(&self.root);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scene_leaves_nothing_behind() {
        let scene = Scene::make().unwrap();
        let (root, before) = (scene.root.clone(), scene.digest().unwrap());
        assert_eq!(before, scene.digest().unwrap());
        fs::write(scene.project().join("greet.sh"), "other").unwrap();
        assert_ne!(before, scene.digest().unwrap());
        drop(scene);
        assert!(!root.exists());
    }
}
