//! Crates: who may lean on whom, how many come from outside, and that every bench and source file is used.

use super::repository::{Member, files, members, page, root, sources, text};
use std::collections::BTreeSet;

/// The arrows of the house. A crate may also lean on nothing here; the tests' own crate, `e2e`, may lean on any.
const ARROWS: &[(&str, &[&str])] = &[
    ("policy", &[]),
    ("ledger", &["policy"]),
    ("admission", &["policy", "ledger"]),
    ("sandbox", &["policy", "ledger", "admission"]),
    ("gateway", &["policy", "ledger", "admission"]),
    ("insight", &["policy", "ledger"]),
    ("provost", &["policy", "ledger", "admission", "sandbox", "gateway", "insight"]),
];

const MOST_PACKAGES: usize = 350;

/// Families of TLS and of the cryptography beneath it: of each line at most one name may be in the lock file.
const ONE_OF: &[&[&str]] = &[
    &["rustls", "native-tls", "openssl", "boring", "s2n-tls", "mbedtls", "gnutls"],
    &["ring", "aws-lc-sys", "openssl-sys", "boring-sys"],
];

fn arrows_of(name: &str) -> Option<BTreeSet<&'static str>> {
    ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| to.iter().copied().collect())
}

#[test]
fn crates_lean_exactly_where_the_design_says() {
    let members = members();
    let names: BTreeSet<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let meant: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).chain(["e2e"]).collect();
    assert_eq!(names, meant, "the rooms of the house");
    for Member { name, leans_on, .. } in &members {
        let found: BTreeSet<&str> = leans_on.iter().map(String::as_str).collect();
        assert!(!found.contains("e2e"), "{name} leans on the tests");
        if let Some(arrows) = arrows_of(name) {
            assert_eq!(found, arrows, "what {name} leans on");
        }
    }
}

#[test]
fn a_crate_lives_in_the_folder_of_its_name() {
    for Member { name, folder, .. } in members() {
        assert!(folder == format!("crates/{name}") || folder == "e2e", "{name} is in {folder}");
    }
}

#[test]
fn the_lock_file_stays_small_and_holds_one_tls() {
    let lock = page("Cargo.lock");
    let names: Vec<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \""))
        .filter_map(|rest| rest.strip_suffix('"'))
        .collect();
    assert!(names.len() > 20, "the lock file is not read as it is written");
    assert!(names.len() <= MOST_PACKAGES, "{} packages in Cargo.lock, at most {MOST_PACKAGES}", names.len());
    for family in ONE_OF {
        let held: Vec<_> = family.iter().filter(|name| names.contains(name)).collect();
        assert!(held.len() <= 1, "more than one of a kind: {held:?}");
    }
}

#[test]
fn no_bench_is_forgotten() {
    let members = members();
    for file in files().iter().filter(|name| name.contains("/benches/") && name.ends_with(".rs")) {
        let (folder, rest) = file.split_once("/benches/").unwrap();
        let part = format!("mod {};", rest.trim_end_matches(".rs"));
        let beside = |other: &&String| other.starts_with(&format!("{folder}/benches/"));
        if rest.contains('/')
            || files().iter().filter(beside).any(|other| page(other).lines().any(|line| line == part))
        {
            continue;
        }
        let member = members.iter().find(|member| member.folder == folder).unwrap();
        let bench = |target: &&serde_json::Value| {
            target["kind"][0] == "bench" && target["src_path"].as_str().unwrap().ends_with(file)
        };
        assert!(member.targets.iter().any(|target| bench(&target)), "{file} is no bench of {}", member.name);
        let manifest = page(&format!("{folder}/Cargo.toml"));
        let name = rest.trim_end_matches(".rs");
        let own = manifest
            .split("[[bench]]")
            .any(|part| part.contains(&format!("name = \"{name}\"")) && part.contains("harness = false"));
        assert!(
            own,
            "{file}: its [[bench]] in {folder}/Cargo.toml says `harness = false`, or it measures nothing"
        );
    }
    assert!(page("check").contains("cargo bench"), "./check --long runs the benches");
}

/// Where `file` can be named as a module: the files that may say `mod NAME;`.
fn parents(file: &str) -> Option<(Vec<String>, &str)> {
    let (folder, name) = file.rsplit_once('/')?;
    let roots = ["lib.rs", "main.rs"].map(|root| format!("{folder}/{root}"));
    Some(([&roots[..], &[format!("{folder}.rs")]].concat(), name.trim_end_matches(".rs")))
}

/// True for files that cargo finds by itself: roots of crates, binaries, tests, benches, examples, build scripts.
fn is_root(file: &str) -> bool {
    let alone = |part: &str| file.split_once(part).is_some_and(|(_, rest)| !rest.contains('/'));
    let folders = ["/tests/", "/benches/", "/examples/", "/src/bin/"];
    file.ends_with("/lib.rs")
        || file.ends_with("/main.rs")
        || file.ends_with("/build.rs")
        || folders.iter().any(|part| alone(part))
}

#[test]
fn no_source_file_is_forgotten() {
    for file in sources().iter().filter(|file| !is_root(file)) {
        let (parents, name) = parents(file).unwrap();
        let named = parents.iter().filter(|parent| root().join(parent).is_file()).any(|parent| {
            let text = text(parent).unwrap_or_default();
            text.lines().any(|line| {
                let line = line.trim();
                line.ends_with(&format!("mod {name};")) && !line.starts_with("//")
            })
        });
        assert!(named, "{file} is part of no crate: `mod {name};` is in none of {parents:?}");
    }
}
