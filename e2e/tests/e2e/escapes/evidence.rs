//! Evidence: no bit of it changes unnoticed, and no secret is in it.

use super::everybody;
use e2e::stage::{SECRET, Stage};
use std::path::{Path, PathBuf};

/// Every file beneath a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        // The kernel keeps folders beneath an overlay that are closed even to whom they belong.
        let closed =
            std::os::unix::fs::PermissionsExt::mode(&folder.metadata().unwrap().permissions()) & 0o700 == 0;
        let entries = (!closed).then(|| std::fs::read_dir(folder).unwrap());
        for entry in entries.into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                all.push(path);
            }
        }
    }
    all.sort();
    all
}

fn segment(stage: &Stage) -> PathBuf {
    let mut all = files(&stage.state().join("runs"));
    all.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    all.pop().expect("a run has a segment")
}

#[test]
fn a_byte_that_changed_is_named_and_a_run_that_is_gone_shows() {
    everybody(|stage| {
        stage.inside("true").ended(0);
        stage.says(&["ledger", "verify"]).ended(0).printed("whole");
        let path = segment(stage);
        let honest = std::fs::read(&path).unwrap();
        for at in [honest.len() / 3, honest.len() / 2, honest.len() - 40] {
            let mut forged = honest.clone();
            forged[at] ^= 1;
            std::fs::write(&path, &forged).unwrap();
            stage.says(&["ledger", "verify"]).ended(1).printed("broken");
        }
        std::fs::write(&path, &honest[..honest.len() / 2]).unwrap();
        stage.says(&["ledger", "verify"]).ended(1).printed("broken");
        std::fs::write(&path, &honest).unwrap();
        stage.says(&["ledger", "verify", "--all"]).ended(0).printed("whole");
        let run =
            path.ancestors().find(|part| part.parent().is_some_and(|above| above.ends_with("runs"))).unwrap();
        std::fs::rename(run, stage.home.join("taken-away")).unwrap();
        stage.says(&["ledger", "verify", "--all"]).ended(1).printed("broken");
    });
}

#[test]
fn no_secret_of_the_environment_or_the_home_is_in_the_state() {
    everybody(|stage| {
        let value = "a-token-that-nobody-else-may-see";
        for name in ["GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD", "DATABASE_URL"] {
            stage.set(name, value);
        }
        stage.inside("cat ~/.ssh/id_rsa; env; true").ended(0);
        for path in files(&stage.state()) {
            let bytes = std::fs::read(&path).unwrap();
            for secret in [value, SECRET] {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "`{secret}` is in {}", path.display());
            }
        }
    });
}

#[test]
fn the_state_is_the_persons_alone() {
    everybody(|stage| {
        stage.inside("true").ended(0);
        let mode = |path: &Path| {
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
        };
        assert_eq!(mode(&stage.state()), 0o700);
        assert_eq!(mode(&stage.state().join("key")), 0o600);
    });
}

/// The one file and the one line that are handed out are enough, in a home where Provost was never used; and a run that landed is
/// as whole as one that did not.
#[test]
fn a_run_convinces_on_another_machine() {
    everybody(|stage| {
        stage.inside("echo more >> README.md; cat ~/.ssh/id_rsa; true").ended(0);
        stage.says(&["apply", "--all"]);
        stage.says(&["ledger", "verify"]).ended(0).printed("whole");
        stage.says(&["ledger", "export", "--out", "run.bundle"]).ended(0).printed("exported");
        stage.says(&["ledger", "export", "--out", "run.bundle"]).ended(125).complained("--force");
        stage.says(&["ledger", "export", "--out", "run.bundle", "--force"]).ended(0);
        let bundle = stage.workspace.join("run.bundle");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&bundle).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(&stage.workspace).unwrap().filter(hidden_bundle).count(), 0);
        let key = stage.says(&["ledger", "key"]).ended(0).stdout;
        let proof = stage.says(&["ledger", "prove", "--event", "3"]).ended(0).stdout;
        assert!(proof.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{proof}");
        assert!(stage.says(&["ledger", "prove", "--from", "2"]).ended(0).stdout.starts_with("old 2\n"));

        let stranger = Stage::new(stage.person);
        let copy = stranger.write("copy", "");
        let honest = std::fs::read(&bundle).unwrap();
        let verify = |bytes: &[u8], key: Option<&str>| {
            std::fs::write(&copy, bytes).unwrap();
            let mut words = vec!["ledger", "verify", "./copy"];
            words.extend(key.iter().flat_map(|key| ["--host-key", key]));
            stranger.says(&words)
        };
        verify(&honest, Some(key.trim())).ended(0).printed("whole").printed("that you trust");
        verify(&honest, None).ended(0).printed("only").printed(key.trim());
        let another = stranger.says(&["ledger", "key"]).ended(0).stdout;
        verify(&honest, Some(another.trim())).ended(1).printed("broken").printed("another host");
        verify(&honest, Some("nonsense")).ended(125).complained("--host-key");
        for at in [600, honest.len() / 2, honest.len() - 1] {
            let mut forged = honest.clone();
            forged[at] ^= 1;
            verify(&forged, Some(key.trim())).ended(1).printed("broken");
        }
        verify(&honest[..honest.len() - 512], None).ended(1).printed("broken");
    });
}

fn hidden_bundle(entry: &std::io::Result<std::fs::DirEntry>) -> bool {
    entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".run.bundle")
}
