//! `provost doctor`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::person::Person;

fn layer<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["layers"].as_array().unwrap().iter().find(|layer| layer["layer"] == name).unwrap()
}

fn report(person: &Person) -> (Option<i32>, Value) {
    person.says_json(&person.project(), &["doctor"])
}

#[test]
fn the_status_says_whether_runs_can_start() {
    let person = Person::new();
    let (status, report) = report(&person);
    let lacking = |layer: &&Value| layer["needed"] == true && layer["state"] != "given";
    let lacks = report["layers"].as_array().unwrap().iter().filter(lacking).count();
    assert_eq!(report["can_run"] == true, lacks == 0, "{report:#}");
    assert_eq!(status, Some(if lacks == 0 { 0 } else { 125 }));
    let (again, text, _) = person.says(&["doctor"]);
    assert_eq!(again, status);
    assert!(
        text.contains(if lacks == 0 { "Runs can start here." } else { "Runs cannot start here" }),
        "{text}"
    );
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(layer(&report, "kernel")["found"], kernel.trim());
}

#[test]
fn a_trial_leaves_nothing_behind() {
    let person = Person::new();
    report(&person);
    let left: Vec<_> =
        fs::read_dir(person.state()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("doctor")), "{left:?}");
}

#[test]
fn credentials_are_named_and_never_shown() {
    let (_, text, beside) = Person::new().says(&["doctor"]);
    assert!(text.contains("SHOP_API_TOKEN") && !(text + &beside).contains("hunter2"));
}

#[test]
fn a_key_that_others_can_read_stops_runs() {
    let person = Person::new();
    assert_eq!(report(&person).1["state"]["mode"], "0700");
    fs::set_permissions(person.state().join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let (status, report) = report(&person);
    assert_eq!((status, &report["can_run"]), (Some(125), &Value::Bool(false)));
    assert!(report["state"]["because"].as_str().unwrap().contains("must be yours alone"));
}

#[test]
fn a_state_that_cannot_be_made_is_said_so() {
    let person = Person::new();
    fs::write(person.home().join(".local"), "").unwrap();
    let (status, _, said) = person.says(&["doctor"]);
    assert_eq!(status, Some(125));
    assert!(said.contains(".local/state") && said.contains("set XDG_STATE_HOME"), "{said}");
}

#[test]
fn a_folder_that_can_be_no_workspace_is_no_fault_of_the_machine() {
    let person = Person::new();
    let (here, in_home) = (report(&person), person.says_json(&person.home(), &["doctor"]));
    assert_eq!(here.0, in_home.0);
    assert!(in_home.1["workspace"]["because"].as_str().unwrap().contains("cannot be a workspace"));
    assert_eq!(here.1["workspace"]["because"], Value::Null);
}

#[test]
fn a_policy_that_is_refused_stops_runs_here() {
    let person = Person::new();
    person.write(".provost/policy.toml", "version = 1\nrules = 3\n");
    let (status, report) = report(&person);
    assert_eq!(status, Some(125));
    let because = report["workspace"]["because"].as_str().unwrap();
    assert!(because.contains(".provost/policy.toml:2:1"), "{because}");
}

/// As in many containers. The tools' caches are part of it: one that is there is laid beneath what the run adds.
#[test]
fn a_state_on_an_overlay_means_copies_and_runs_all_the_same() {
    let person = Person::new();
    for folder in [".cargo/registry/index/x", ".cargo/bin", "lower", "upper", "work", "state"] {
        fs::create_dir_all(person.home().join(folder)).unwrap();
    }
    let cargo = person.home().join(".cargo/bin/cargo");
    fs::write(&cargo, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let script = r#"
        export PATH="$PATH:$HOME/.cargo/bin"
        cd "$HOME" && mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr state || exit 99
        export XDG_STATE_HOME="$HOME/state" && cd project || exit 98
        "$PROVOST" --format json doctor > ../report || exit 97
        "$PROVOST" run --unattended -- sh -c 'echo changed > file && ls' 2> ../summary
    "#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", person.home())
        .env("PROVOST", env!("CARGO_BIN_EXE_provost"));
    let output = command.output().unwrap();
    let summary = fs::read_to_string(person.home().join("summary")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{summary}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"file\n");
    assert!(!person.project().join("file").exists());
    let report: Value =
        serde_json::from_str(&fs::read_to_string(person.home().join("report")).unwrap()).unwrap();
    let overlay = layer(&report, "overlay");
    assert_eq!((&overlay["state"], &overlay["needed"]), (&"missing".into(), &false.into()));
    assert_eq!(report["can_run"], true);
}

/// The limit is set for this test alone, in a user namespace.
#[test]
fn without_namespaces_it_says_which_setting_closes_them() {
    let person = Person::new();
    let script = r#"
        echo 0 > /proc/sys/user/max_user_namespaces || exit 99
        exec "$PROVOST" --format json doctor
    "#;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script]).env_clear().current_dir(person.project());
    command
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", person.home())
        .env("PROVOST", env!("CARGO_BIN_EXE_provost"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(125), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let closed = layer(&report, "user namespace");
    assert_eq!(closed["state"], "missing");
    assert!(closed["fixes"][0]["why"].as_str().unwrap().contains("user.max_user_namespaces"), "{closed:#}");
    assert_eq!(layer(&report, "seccomp")["state"], "untried");
}
