//! Promises as tests: each file is named for what it promises, and runs the real binary on the real kernel.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this is tests, their helpers included"
)]

mod asks;
mod cli;
mod commits;
mod complete;
mod credentials;
mod demo;
mod deps;
mod desk;
mod desk_calls;
mod direct;
mod doubles;
mod escapes;
mod gate;
mod half_landed;
mod held;
mod killed;
mod kinds;
mod limits;
mod live;
mod logins;
mod models;
mod no_proxy;
mod real_agents;
mod real_patch;
mod real_work;
mod recorded;
mod requests;
mod shows;
mod suites;
mod syncs;
mod talks;
mod tier;
mod tls;
mod trees_agree;
mod words;

/// A file that no module names is never run.
#[test]
fn no_file_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e");
    let named = |parent: &std::path::Path| std::fs::read_to_string(parent).unwrap();
    let mut folders = vec![(folder.clone(), folder.join("main.rs"))];
    while let Some((folder, parent)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push((path.clone(), path.with_extension("rs")));
            } else if path.extension().is_some_and(|end| end == "rs") && stem != "main" {
                let module = format!("mod {stem};");
                assert!(named(&parent).contains(&module), "{} lacks `{module}`", parent.display());
            }
        }
    }
}
