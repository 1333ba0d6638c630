//! `provost init`.

use std::fs;

use crate::person::Person;

#[test]
fn the_first_policy_holds_and_narrows_at_once() {
    let person = Person::new();
    for (path, text) in
        [("Cargo.toml", ""), (".env", "PASSWORD=hunter2\n"), (".git/HEAD", ""), ("src/lib.rs", "")]
    {
        person.write(path, text);
    }
    let (status, text, _) = person.says(&["init"]);
    assert!(status == Some(0) && text.contains("Cargo") && text.contains("provost trust"), "{text}");
    assert!(!text.contains("hunter2"));
    for words in [&["check", ".provost/policy.toml"][..], &["test", ".provost/policy.toml"]] {
        assert_eq!(person.says(&[&["policy"], words].concat()).0, Some(0));
    }
    let verdict = |words: &[&str]| person.says(&[&["policy", "explain"], words].concat()).1;
    assert!(verdict(&["read", ".env"]).starts_with("deny"));
    assert!(verdict(&["read", "src/lib.rs"]).starts_with("allow"));
}

#[test]
fn a_policy_that_is_there_stays_unless_it_is_forced() {
    let person = Person::new();
    person.write(".provost/policy.toml", "version = 1\n# mine\n");
    let (status, _, said) = person.says(&["init"]);
    assert!(status == Some(125) && said.contains("--force"), "{said}");
    let path = person.project().join(".provost/policy.toml");
    assert!(fs::read_to_string(&path).unwrap().contains("# mine"));
    assert_eq!(person.says(&["init", "--force"]).0, Some(0));
    assert!(!fs::read_to_string(&path).unwrap().contains("# mine"));
    let left: Vec<_> = fs::read_dir(person.project().join(".provost")).unwrap().collect();
    assert_eq!(left.len(), 1);
}

#[test]
fn a_link_leads_it_nowhere() {
    let person = Person::new();
    let elsewhere = person.home().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, person.project().join(".provost")).unwrap();
    let (status, _, said) = person.says(&["init", "--force"]);
    assert!(status == Some(125) && said.contains("is no folder"), "{said}");
    assert!(fs::read_dir(&elsewhere).unwrap().next().is_none());
}

#[test]
fn it_writes_to_the_top_of_the_repository_and_never_to_a_home() {
    let person = Person::new();
    person.write(".git/HEAD", "");
    person.write("src/deep/x", "");
    let output = person.calls(&person.project().join("src/deep"), &["init"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(person.project().join(".provost/policy.toml").is_file());
    assert_eq!(person.calls(&person.home(), &["init"]).status.code(), Some(125));
    assert!(!person.home().join(".provost").exists());
}
