//! `provost policy`.

use crate::person::Person;

const OWN: &str = r#"version = 1
[[rule]]
id = "no-force"
exec = ["git push ** {--force,-f} **"]
need = "never"
why = "Push a new branch instead."
yes = ["git push -f origin x"]
no = ["git push origin x"]
"#;

/// The first word of the answer.
fn verdict(person: &Person, words: &[&str]) -> String {
    let (status, text, beside) = person.says(&[&["policy", "explain"], words].concat());
    assert_eq!(status, Some(0), "{text}{beside}");
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn the_first_word_is_the_verdict() {
    let person = Person::new();
    person.write(".provost/policy.toml", OWN);
    person.write("src/main.rs", "");
    for (words, expected) in [
        (&["read", "src/main.rs"][..], "allow"),
        (&["read", "./src/main.rs"], "allow"),
        (&["read", "~/letters/one"], "deny"),
        (&["read", "/etc/shadow"], "deny"),
        (&["write", ".git/hooks/pre-commit"], "deny"),
        (&["exec", "sh", "-c", "true"], "allow"),
        (&["connect", "api.shop.example"], "ask"),
        (&["connect", "api.shop.example:8443"], "ask"),
        (&["http", "GET", "https://api.shop.example/x"], "ask"),
        (&["land", ".git/config"], "deny"),
        (&["land", "src/main.rs"], "ask"),
        (&["--profile", "review", "connect", "api.shop.example"], "deny"),
        (&["--profile", "review", "write", "src/main.rs"], "deny"),
    ] {
        assert_eq!(verdict(&person, words), expected, "{words:?}");
    }
}

#[test]
fn links_are_followed_before_it_is_judged() {
    let person = Person::new();
    std::os::unix::fs::symlink("/etc/shadow", person.project().join("notes")).unwrap();
    let (_, text, _) = person.says(&["policy", "explain", "read", "notes"]);
    assert!(text.starts_with("deny  read /etc/shadow"), "{text}");
}

#[test]
fn provosts_own_files_are_out_of_reach_whatever_is_said() {
    let person = Person::new();
    let all = person.home().join("all.toml");
    std::fs::write(&all, "version = 1\n[[rule]]\nid = \"all\"\nread = [\"/**\"]\nneed = \"none\"\n").unwrap();
    let all = all.to_str().unwrap();
    assert_eq!(verdict(&person, &["--policy", all, "read", "~/letters/one"]), "allow");
    let (_, text, _) =
        person.says(&["policy", "explain", "--policy", all, "read", "~/.local/state/provost/key"]);
    assert!(text.starts_with("deny") && text.contains("nothing lifts it"), "{text}");
}

#[test]
fn it_says_which_rule_and_what_to_do() {
    let person = Person::new();
    person.write(".provost/policy.toml", OWN);
    person.write("bin/git", "");
    let (_, text, _) = person.says(&["policy", "explain", "exec", "./bin/git", "push", "-f"]);
    for part in [
        "deny",
        "no-force",
        "./.provost/policy.toml",
        "Push a new branch instead.",
        "this repository's own word",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (_, text, _) =
        person.says(&["policy", "explain", "--profile", "refactor", "connect", "api.shop.example"]);
    assert!(
        text.contains("policy.toml` can allow it: connect = [\"api.shop.example:443\"], need = \"none\""),
        "{text}"
    );
}

/// What it offers is what allows it.
#[test]
fn the_rule_that_it_offers_allows_it() {
    let person = Person::new();
    let words = ["policy", "explain", "--profile", "refactor", "read", "/srv/data/x y"];
    let (_, text, _) = person.says(&words);
    let offered = text.lines().find_map(|line| line.split_once("can allow it: ")).unwrap().1;
    let rule = offered.replace(", need", "\nneed");
    let config = person.home().join(".config/provost");
    std::fs::create_dir_all(&config).unwrap();
    std::fs::write(config.join("policy.toml"), format!("version = 1\n[[rule]]\nid = \"mine\"\n{rule}\n"))
        .unwrap();
    let (_, text, beside) = person.says(&words);
    assert!(text.starts_with("allow"), "{text}{beside}");
}

#[test]
fn programs_get_the_whole_of_it() {
    let person = Person::new();
    let (status, why) =
        person.says_json(&person.project(), &["policy", "explain", "connect", "api.shop.example"]);
    assert_eq!((status, &why["verdict"], &why["need"]), (Some(0), &"ask".into(), &"human".into()));
    assert_eq!(why["default"]["layer"], "build");
    assert!(why["notes"].is_array());
}

#[test]
fn what_is_no_action_is_said_so() {
    let person = Person::new();
    for (words, part) in [
        (&["fly", "x"][..], "the kinds of action are"),
        (&["connect", "a b"], "write `connect HOST`"),
        (&["exec", "no-such-program-anywhere"], "no program `no-such-program-anywhere`"),
        (&["--profile", "none", "read", "x"], "the profiles are build"),
    ] {
        let (status, _, said) = person.says(&[&["policy", "explain"], words].concat());
        assert_eq!(status, Some(125), "{words:?}");
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn check_and_test_say_where_a_file_is_wrong() {
    let person = Person::new();
    person.write("good.toml", OWN);
    person.write("bad.toml", "version = 1\n[[rule]]\nid = \"x\"\nread = [\"relative\"]\nneed = \"none\"\n");
    person
        .write("wrong.toml", &OWN.replace("no = [\"git push origin x\"]", "no = [\"git push -f origin x\"]"));
    person.write("policy.d/floor.toml", OWN);
    let (status, text, _) = person.says(&["policy", "check", "good.toml"]);
    assert!(status == Some(0) && text.starts_with("ok  good.toml: 1 rule"), "{text}");
    for (words, part) in [
        (["check", "bad.toml"], "bad.toml:4:"),
        (["test", "bad.toml"], "bad.toml:4:"),
        (["check", "wrong.toml"], "wrong.toml:8:"),
        (["test", "wrong.toml"], "wrong.toml:8: rule no-force no `git push -f origin x`"),
        (["check", "gone.toml"], "could not read the policy `gone.toml`"),
        (["check", "policy.d/floor.toml"], "rests on commands alone"),
    ] {
        let (status, _, said) = person.says(&[&["policy"][..], &words].concat());
        assert_eq!(status, Some(1), "{words:?}");
        assert!(said.contains(part), "{said}");
    }
    let (status, text, _) = person.says(&["policy", "test", "good.toml"]);
    assert!(status == Some(0) && text.lines().filter(|line| line.starts_with("ok")).count() == 2, "{text}");
}

#[test]
fn profiles_are_shown_to_the_letter() {
    let person = Person::new();
    let (_, all, _) = person.says(&["policy", "show", "--profiles"]);
    let names: Vec<&str> = all.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names.len(), 5);
    for name in names {
        let (status, text, _) = person.says(&["policy", "show", "--profile", name]);
        assert_eq!(status, Some(0));
        person.write("shown.toml", &text);
        assert_eq!(person.says(&["policy", "check", "shown.toml"]).0, Some(0), "{name}");
    }
}

#[test]
fn what_is_shown_is_every_layer_of_a_run_here() {
    let person = Person::new();
    person.write(".provost/policy.toml", OWN);
    let (status, text, _) = person.says(&["policy", "show"]);
    assert_eq!(status, Some(0));
    let layer_of = |part: &str| {
        text.lines().find(|line| line.contains(part)).unwrap().split_whitespace().next().unwrap()
    };
    assert_eq!(layer_of("/etc/provost/**"), "built-in");
    assert_eq!(layer_of("/usr/**"), "system");
    assert_eq!(layer_of("./.git/hooks/**"), "build");
    assert_eq!(layer_of("{--force,-f}"), "./.provost/policy.toml");
    let shown = |words: &[&str]| {
        let output = person.calls(&person.project(), words);
        String::from_utf8(output.stdout).unwrap().lines().count()
    };
    assert_eq!(shown(&["policy", "show", "--format", "json"]), text.lines().count() - 1);
}
