//! A real agent's patch on real open source: what is accepted of it lands, builds and passes the project's own tests; the
//! hunk that breaks them is rejected, and stays away.

use crate::real_agents::{KEY, governed, set_up_for};
use crate::real_work::toolchain;
use e2e::built;
use e2e::doubles::model::{Call, Script};
use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A crate that Provost itself is built from, so that cargo has its source wherever this test was built. It has no
/// dependency, and tests in every file.
const CRATE: &str = "heck";

/// Where cargo keeps the source of a crate that Provost is built from.
pub(crate) fn source(name: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = std::process::Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform"]);
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    metadata.arg(triple).arg("--manifest-path").arg(manifest);
    let said = run(&mut metadata).ended(0).json().remove(0);
    let packages = said["packages"].as_array().unwrap();
    let found = packages.iter().find(|package| package["name"] == name).unwrap();
    Path::new(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// Makes the stage's workspace a checkout of it.
fn check_out(stage: &Stage) {
    stage.git(&["rm", "-r", "--quiet", "."]);
    let source = source(CRATE);
    let mut open = vec![source.clone()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                open.push(path);
            } else if !name.starts_with(".cargo") && !name.ends_with(".orig") {
                stage.write(&name, &std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    stage.write(".gitignore", "/target\n/Cargo.lock\n");
    stage.git(&["add", "--all"]);
    stage.git(&["commit", "--quiet", "--message=as it was published"]);
}

const NEW: &str = r#"use alloc::{
    borrow::ToOwned,
    fmt,
    string::{String, ToString},
};

use crate::{lowercase, transform};

/// This trait defines a dot case conversion.
pub trait ToDotCase: ToOwned {
    /// Convert this type to dot case.
    fn to_dot_case(&self) -> Self::Owned;
}

impl ToDotCase for str {
    fn to_dot_case(&self) -> String {
        AsDotCase(self).to_string()
    }
}

/// This wrapper performs a dot case conversion in [`fmt::Display`].
pub struct AsDotCase<T: AsRef<str>>(pub T);

impl<T: AsRef<str>> fmt::Display for AsDotCase<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        transform(self.0.as_ref(), lowercase, |f| write!(f, "."), f)
    }
}

#[cfg(test)]
mod tests {
    use super::ToDotCase;

    #[test]
    fn dots() {
        assert_eq!("XMLHttpRequest".to_dot_case(), "xml.http.request");
    }
}
"#;

/// A patch over four files. One of its hunks breaks what the project's tests hold, in a file with a good one.
fn work() -> Script {
    let shell = |line: &str| Call::Shell(line.to_owned());
    let calls = [
        Call::Read("src/snake.rs".to_owned()),
        Call::Write { path: "src/dot.rs".to_owned(), content: NEW.to_owned() },
        shell(
            "sed -i 's/^mod kebab;/mod dot;\\nmod kebab;/; s/^pub use kebab::/pub use dot::{AsDotCase, ToDotCase};\\npub use kebab::/' src/lib.rs",
        ),
        shell(
            "sed -i 's|^/// In snake_case, word|/// In snake_case all is lowercase; word|; s/write!(f, \"_\")/write!(f, \"-\")/' src/snake.rs",
        ),
        shell("printf '\\n## Dots\\n\\n`ToDotCase` too.\\n' >> README.md"),
    ];
    Script::of(calls, "Dots are there.").for_key(KEY)
}

/// The hunk with this in its new lines, and its file's other hunks.
fn hunk_of(review: &Value, path: &str, new: &str) -> (String, usize) {
    let files = review["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{review:#}"));
    let hunks = file["hunks"].as_array().unwrap();
    let holds = |hunk: &&Value| {
        let mut lines = hunk["lines"].as_array().unwrap().iter();
        lines.any(|line| line.as_str().is_some_and(|line| line.starts_with('+') && line.contains(new)))
    };
    let found = hunks.iter().find(holds).unwrap_or_else(|| panic!("{file:#}"));
    (found["id"].as_str().unwrap().to_owned(), hunks.len() - 1)
}

fn patched(person: Person, agent: &[&str]) {
    let Some((stage, _server)) = set_up_for(person, work()) else { return };
    check_out(&stage);
    let place = tempfile::tempdir_in(built::stages(person)).unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    toolchain(&place.path().join("rust"), person);
    let tests = |more: &str| {
        let bin = place.path().join("rust/bin");
        let line = format!("PATH={}:/usr/bin:/bin cargo test --offline {more} 2>&1", bin.display());
        stage.outside(&line)
    };
    governed(&stage, agent).ended(0).printed("Dots are there.");
    let id = {
        let review = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(review["files"].as_array().unwrap().len(), 4, "{review:#}");
        let (id, others) = hunk_of(&review, "src/snake.rs", "\"-\"");
        assert_eq!(others, 1, "{review:#}");
        id
    };

    // All of it: the project's own tests find the bad hunk. It is taken back.
    stage.says(&["apply", "--all"]).ended(0);
    let ran = tests("--lib");
    assert!(ran.status != 0 && ran.stdout.contains("snake"), "the hunk breaks nothing: {ran}");
    stage.says(&["undo"]).ended(0);
    assert_eq!(stage.git(&["status", "--porcelain"]), "");

    // All but that.
    stage.says(&["apply", "--all", "--reject", &id, "--why", "snakes have no dashes"]).ended(0);
    let ran = tests("").ended(0);
    assert!(ran.stdout.contains("dot::tests::dots ... ok") && !ran.stdout.contains("FAILED"), "{ran}");
    let snake = std::fs::read_to_string(stage.workspace.join("src/snake.rs")).unwrap();
    assert!(snake.contains("all is lowercase; word") && snake.contains("write!(f, \"_\")"), "{snake}");
    let ledger = stage.ledger();
    assert_eq!(ledger.of("change.rejected").next().unwrap()["why"], "snakes have no dashes");
    stage.says(&["ledger", "verify"]).ended(0).printed("whole");
}

#[test]
fn what_is_accepted_of_a_patch_by_codex_passes_the_projects_own_tests() {
    patched(Person::myself(), &["codex", "exec", "add a dot case"]);
}

#[test]
fn what_is_accepted_of_a_patch_by_claude_passes_the_projects_own_tests() {
    let person = Person::everybody().pop().unwrap();
    patched(person, &["claude", "-p", "add a dot case"]);
}
