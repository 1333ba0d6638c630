//! The repository as the other checks read it: the files git knows, their text, the crates cargo knows.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that holds the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file git knows, or would know with the next commit, by its path from the root.
///
/// What exists only as a deletion is left out. Git is told to trust the folder: whoever runs the tests need not own it.
pub(crate) fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the repository's files");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let mut files: Vec<String> = String::from_utf8(listed.stdout)
        .unwrap()
        .split_terminator('\0')
        .filter(|name| root().join(name).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    assert!(files.len() > 50, "only {} files: is this the repository?", files.len());
    files
}

/// The files of Rust's source.
pub(crate) fn sources() -> Vec<String> {
    files().into_iter().filter(|name| name.ends_with(".rs")).collect()
}

/// The text of one file, or nothing where it is not text.
pub(crate) fn text(name: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(name)).unwrap()).ok()
}

/// A standing page, which must be there.
pub(crate) fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// One crate of the workspace.
pub(crate) struct Member {
    /// Its name.
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) folder: String,
    /// The crates of the workspace it depends on, in any way.
    pub(crate) leans_on: Vec<String>,
    /// Its targets as cargo's metadata has them.
    pub(crate) targets: Vec<Value>,
}

/// The crates of the workspace.
pub(crate) fn members() -> Vec<Member> {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo describes the workspace");
    assert!(told.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let members: Vec<Member> = told["packages"].as_array().unwrap().iter().map(member).collect();
    assert!(members.len() > 5);
    members
}

fn member(package: &Value) -> Member {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let folder = manifest.parent().unwrap().strip_prefix(root().canonicalize().unwrap()).unwrap();
    let local = |dependency: &&Value| dependency["path"].is_string();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    Member {
        name: name(package),
        folder: folder.to_str().unwrap().to_owned(),
        leans_on: package["dependencies"].as_array().unwrap().iter().filter(local).map(name).collect(),
        targets: package["targets"].as_array().unwrap().clone(),
    }
}
