//! What the build made and what `install-agents` installed, where a person can reach it.

use crate::person::Person;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// The folder that cargo builds into: the test's own program lies in `PROFILE/deps` beneath it.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("a program knows where it lies");
    own.ancestors().nth(3).expect("a test lies in target/PROFILE/deps").to_owned()
}

/// The program under test, where this person can start it: `PROVOST_BIN`, or the one beside the test.
#[must_use]
pub fn provost(person: Person) -> PathBuf {
    reachable(&unreached_provost(), person)
}

fn unreached_provost() -> PathBuf {
    if let Some(named) = std::env::var_os("PROVOST_BIN") {
        return named.into();
    }
    let own = std::env::current_exe().expect("a program knows where it lies");
    let beside =
        own.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps").join("provost");
    assert!(beside.exists(), "{} is missing: build it first (./check does)", beside.display());
    beside
}

/// What `e2e/install-agents` installed, where this person can use it.
///
/// `None` only where `PROVOST_TEST_SKIP_AGENTS` says why they are not to be used; that is printed.
#[must_use]
pub fn agents(person: Person) -> Option<PathBuf> {
    if let Some(why) = std::env::var_os("PROVOST_TEST_SKIP_AGENTS") {
        // Straight to standard error: what a test that passes prints is thrown away.
        let said = format!("SKIPPED, for no agents are to be used here: {}\n", why.display());
        drop(std::io::stderr().write_all(said.as_bytes()));
        return None;
    }
    let folder =
        std::env::var_os("PROVOST_TEST_AGENTS").map_or_else(|| target().join("agents"), PathBuf::from);
    assert!(
        folder.join("installed").exists(),
        "no agents are installed in {}: run e2e/install-agents, or set PROVOST_TEST_SKIP_AGENTS to the reason why not",
        folder.display()
    );
    Some(reachable(&folder, person))
}

/// A folder for a person's stage: beneath the build, or in another place that is nothing but a folder of this machine:
/// in no repository, and not where every run has a private place of its own.
#[must_use]
pub fn stages(person: Person) -> PathBuf {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let places = [
        Some(target().join("tmp")),
        Some(PathBuf::from("/home/provost-e2e")),
        home.map(|home| home.join(".cache/provost-e2e")),
    ];
    let found = places.into_iter().flatten().find(|place| {
        is_plain(place) && std::fs::create_dir_all(place).is_ok() && writable(place) && person.reaches(place)
    });
    found.expect("a folder for stages: in /home or the home, in no repository")
}

/// Whether a place means nothing to a run but where it is.
fn is_plain(place: &Path) -> bool {
    let private = ["/tmp", "/var/tmp", "/dev/shm", "/run"].iter().any(|private| place.starts_with(private));
    !private && !place.ancestors().any(|above| above.join(".git").exists())
}

fn writable(place: &Path) -> bool {
    tempfile::tempfile_in(place).is_ok()
}

/// The path itself if this person can reach it; else that of a copy (links to the same content, where that is possible).
#[must_use]
pub fn reachable(path: &Path, person: Person) -> PathBuf {
    static COPIES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if person.reaches(&path) {
        return path;
    }
    let mut copies = COPIES.lock().expect("nothing panics while it copies");
    let shelf = Path::new("/var/tmp/provost-e2e");
    std::fs::create_dir_all(shelf).expect("/var/tmp can be written");
    std::fs::set_permissions(shelf, std::fs::Permissions::from_mode(0o755))
        .expect("the shelf is the tests' own");
    let copy = shelf.join(path.file_name().expect("what is copied has a name"));
    if copies.contains(&copy) {
        return copy;
    }
    let taken = |how: &str| {
        Command::new("cp")
            .args([how, "--no-target-directory"])
            .arg(&path)
            .arg(&copy)
            .status()
            .is_ok_and(|status| status.success())
    };
    drop(std::fs::remove_dir_all(&copy));
    drop(std::fs::remove_file(&copy));
    assert!(taken("-al") || taken("-a"), "cannot copy {} to {}", path.display(), copy.display());
    copies.insert(copy.clone());
    copy
}
