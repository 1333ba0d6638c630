//! A person with a home of their own and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Their home is gone with this value.
pub(crate) struct Person(tempfile::TempDir);

impl Person {
    pub(crate) fn new() -> Person {
        let person = Person(tempfile::tempdir().unwrap());
        fs::create_dir(person.project()).unwrap();
        person
    }

    pub(crate) fn home(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).unwrap()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.home().join(".local/state/provost")
    }

    /// The folder that they work on.
    pub(crate) fn project(&self) -> PathBuf {
        self.home().join("project")
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Calls Provost in a folder.
    pub(crate) fn calls(&self, folder: &Path, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provost"));
        command.args(words).current_dir(folder).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.home()).env("SHOP_API_TOKEN", "hunter2");
        command.output().unwrap()
    }

    /// Calls Provost in the project: status, answer, and what stands beside it.
    pub(crate) fn says(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let output = self.calls(&self.project(), words);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// The same for programs.
    pub(crate) fn says_json(&self, folder: &Path, words: &[&str]) -> (Option<i32>, Value) {
        let output = self.calls(folder, &[&["--format", "json"], words].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
    }
}
