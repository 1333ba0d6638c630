//! Keeping, forgetting and finding credentials, in folders of the test's own.

use super::*;
use std::os::unix::fs::PermissionsExt as _;

fn folders(home: &Path) -> Folders {
    Folders { home: home.to_owned(), state: home.join("state"), config: home.join("config") }
}

fn environment(home: &Path, variables: &[(&str, &str)]) -> Environment {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Environment::new(variables, home, home)
}

fn kept(name: &str, from: &str, bind: &str) -> Result<Kept, StoreError> {
    Kept::new(name, from, (&[bind.to_owned()], &["get".to_owned()]), None)
}

const BIND: &str = "https://api.example.com/v1/**";

#[test]
fn what_is_added_is_there_until_it_is_removed_and_no_value_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let folders = folders(home.path());
    assert!(all(&folders).unwrap().is_empty());
    let one = kept("api-key", "env:KEY", BIND).unwrap();
    assert_eq!((one.enters_as.as_str(), one.methods.as_slice()), ("API_KEY", &["GET".to_owned()][..]));
    add(&folders, one.clone()).unwrap();
    let two = kept("other", "command:printf %s 'a b'", BIND).unwrap();
    add(&folders, two.clone()).unwrap();
    assert_eq!(all(&folders).unwrap(), [one.clone(), two]);
    assert!(matches!(add(&folders, one), Err(StoreError::There(_))));
    let path = folders.config.join(FILE);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    remove(&folders, "api-key").unwrap();
    assert!(matches!(remove(&folders, "api-key"), Err(StoreError::NotThere(_))));
    assert_eq!(all(&folders).unwrap().len(), 1);
}

#[test]
fn a_file_that_others_write_is_not_believed() {
    let home = tempfile::tempdir().unwrap();
    let folders = folders(home.path());
    add(&folders, kept("a", "env:A", BIND).unwrap()).unwrap();
    let path = folders.config.join(FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    assert!(matches!(all(&folders), Err(StoreError::Open(_))));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for text in [
        "credential = 1",
        "more = 1",
        "[[credential]]\nname = \"a\"\nfrom = \"env:A\"\nbind = []\nas = \"A\"\n",
    ] {
        fs::write(&path, text).unwrap();
        assert!(all(&folders).is_err(), "{text}");
    }
}

#[test]
fn a_value_is_had_from_a_variable_a_file_and_a_command() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("key"), "from a file\n").unwrap();
    let here = environment(home.path(), &[("KEY", "from a variable")]);
    let value = |from: &str| kept("a", from, BIND).unwrap().value(&here).map(|value| value.expose().to_vec());
    assert_eq!(value("env:KEY").unwrap(), b"from a variable");
    assert_eq!(value("file:~/key").unwrap(), b"from a file");
    assert_eq!(value("command:printf '%s\\n' 'from a command'").unwrap(), b"from a command");
    for from in
        ["env:NONE", "file:/none", "command:false", "command:true", "command:/none", "command:printf 'a\\nb'"]
    {
        let error = value(from).unwrap_err();
        assert!(matches!(error, StoreError::Value { .. }), "{from}: {error}");
    }
    assert!(value("command:yes x").is_err(), "it is longer than any credential");
}

#[test]
fn what_is_no_credential_is_refused_with_a_hint() {
    for (name, from, bind) in [
        ("a b", "env:A", BIND),
        ("1a", "env:A", BIND),
        ("a", "A", BIND),
        ("a", "env:", BIND),
        ("a", "file:key", BIND),
        ("a", "command:'", BIND),
        ("path", "env:A", BIND),
        ("a", "env:A", "api.example.com"),
        ("a", "env:A", "https://*.example.com/**"),
        ("a", "env:A", "https://api.example.com"),
        ("a", "env:A", "http://api.example.com/**"),
        ("a", "env:A", "https://api.example.com/../**"),
    ] {
        let error = kept(name, from, bind).unwrap_err();
        assert!(error.hint().is_some(), "{name} {from} {bind}: {error}");
    }
    assert!(kept("a", "env:A", "http://127.0.0.1:80/**").is_ok());
}

#[test]
fn it_is_good_for_the_requests_it_is_bound_to_and_no_others() {
    let one = kept("a", "env:A", "https://api.example.com:8443/v1/**").unwrap();
    let [(place, requests)] = one.requests().unwrap().try_into().unwrap();
    assert_eq!(place.to_string(), "api.example.com:8443");
    let here = policy::Here { folder: Path::new("/"), home: Path::new("/"), program: &|_| None };
    let covers = |words: &str| {
        let words: Vec<std::ffi::OsString> = words.split(' ').map(Into::into).collect();
        requests.covers(&policy::Action::from_words(policy::Kind::Http, &words, here).unwrap())
    };
    assert!(covers("GET https://api.example.com:8443/v1/x"));
    for other in [
        "POST https://api.example.com:8443/v1/x",
        "GET https://api.example.com:8443/v2/x",
        "GET https://api.example.com/v1/x",
        "GET https://other.example.com:8443/v1/x",
    ] {
        assert!(!covers(other), "{other}");
    }
}
