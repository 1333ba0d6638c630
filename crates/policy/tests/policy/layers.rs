//! A file is read whole or refused whole, with the place and what to do.

use policy::{Layer, LayerKind, PolicyError};

fn refused(text: &str) -> PolicyError {
    match Layer::parse("p.toml", LayerKind::File, text) {
        Err(error) => error,
        Ok(_) => panic!("taken: {text}"),
    }
}

/// A file with one rule of these lines.
fn rule(lines: &str) -> String {
    format!("version = 1\n[[rule]]\nid = \"x\"\nneed = \"none\"\n{lines}\n")
}

#[test]
fn the_place_the_text_and_a_hint_are_given() {
    let error = refused("version = 1\n[[rule]]\nid = \"x\"\nned = \"none\"\nread = [\"./**\"]\n");
    assert_eq!(error.to_string(), "p.toml:4:1: the key `ned` is not known");
    assert_eq!(
        (error.text.as_str(), error.hint.as_deref()),
        ("ned = \"none\"", Some("did you mean `need`?"))
    );
    let error = refused(&rule("read = [\"./**\", \"src/**\"]"));
    assert_eq!((error.line, error.column), (5, 17));
    assert!(error.because.contains("starts nowhere") && error.hint.unwrap().contains("./"));
    let error = refused("version = 1\nversion = 1\n");
    assert!(error.line == 2 && error.because.starts_with("it is no TOML"), "{error}");
    let error = refused("version = 1\nx = \"\u{7}\u{1b}[2J\"");
    assert!(!error.text.contains('\u{1b}') && !error.to_string().contains('\u{1b}'), "{error:?}");
}

#[test]
fn what_is_wrong_is_refused() {
    for text in [
        "",
        "rule = []",
        "version = 2",
        "version = \"1\"",
        "version = 1\nrules = []",
        "version = 1\nrule = 3",
        "version = 1\nrule = [3]",
        "version = 1\ndefault = 3",
        "version = 1\ndefault = { reed = \"none\" }",
        "version = 1\ndefault = { read = \"maybe\" }",
        "version = 1\ndefault = { read = 1 }",
        "version = 1\nnested = 1",
        "version = 1\nwhen = { repos = \"x\" }",
        "version = 1\nwhen = { attended = \"yes\" }",
        "version = 1\nwhen = true",
        "version = 1\n[[rule]]\nneed = \"none\"\nread = [\"./**\"]",
        "version = 1\n[[rule]]\nid = \"x\"\nread = [\"./**\"]",
        "version = 1\n[[rule]]\nid = \"default\"\nneed = \"none\"\nread = [\"./**\"]",
        "version = 1\n[[rule]]\nid = \"a b\"\nneed = \"none\"\nread = [\"./**\"]",
        "version = 1\n[[rule]]\nid = \"x\"\nneed = \"humans(1)\"\nread = [\"./**\"]",
    ] {
        refused(text);
    }
    for lines in [
        "",
        "why = \"nothing\"",
        "read = \"./**\"",
        "read = []",
        "read = [1]",
        "read = [\"\"]",
        "read = [\"./a\\u0000b\"]",
        "read = [\"./**x\"]",
        "read = [\"./a/\"]",
        "read = [\"./../x\"]",
        "read = [\"./[ab]\"]",
        "read = [\"./{a\"]",
        "read = [\"./**\"]\nwhy = \"two\\nlines\"",
        "read = [\"./**\"]\nmethods = [\"GET\"]",
        "http = [\"https://a.example/**\"]\nmethods = [\"get\"]",
        "http = [\"https://a.example\"]",
        "http = [\"a.example/\"]",
        "read = [\"./**\"]\nup = \"1MiB\"",
        "connect = [\"a.example\"]\nup = \"20\"",
        "connect = [\"a.example\"]\nup = 20",
        "connect = [\"a.example\"]\ndown = \"0KiB\"",
        "connect = [\"a.example\"]\nrate = \"0/s\"",
        "connect = [\"a.example\"]\nrate = \"10/d\"",
        "connect = [\"a.example\"]\nrate = 10",
        "connect = [\"a.example\"]\nrecord = \"some\"",
        "connect = [\"a.example\"]\ncredential = \"a*\"",
        "connect = [\"a.example\"]\ncredential = \"a b\"",
        "read = [\"./**\"]\ncredential = \"key\"",
        "read = [\"./**\"]\nconnect = [\"a.example\"]\nexcept = [\"./x\"]",
        "read = [\"./**\"]\nexec = [\"ls\"]\nyes = [\"ls\"]",
        "read = [\"./**\"]\nyes = [\"/elsewhere\"]",
        "read = [\"./**\"]\nno = [\"./inside\"]",
        "read = [\"./**\"]\nyes = [\"nowhere\"]",
        "exec = [\"ls | wc\"]",
        "exec = [\"git 'push\"]",
    ] {
        refused(&rule(lines));
    }
    let two = "version = 1\n[[rule]]\nid = \"x\"\nneed = \"none\"\nread = [\"./a\"]\n[[rule]]\nid = \"x\"\nneed = \"none\"\nread = [\"./b\"]\n";
    assert_eq!(refused(two).line, 6);
    let floor =
        Layer::parse("f", LayerKind::Floor, "version = 1\ndefault = { read = \"deny\" }").unwrap_err();
    assert!(floor.because.contains("no defaults"));
    refused(&format!("version = 1\n# {}", "x".repeat(1 << 20)));
}

#[test]
fn the_whole_language_is_taken() {
    let text = r#"
        version = 1
        nested = true
        when = { repo = "acme/*", agent = ["codex", "claude"], principal = "ann", attended = true }
        [default]
        exec = "none"
        read = "deny"
        connect = "ask"
        land = "humans(2)"
        [[rule]]
        id = "everything"
        why = "To see it read."
        need = "model"
        launch = ["codex **"]
        exec = ["GIT_DIR=* git **", "/usr/bin/make **", "**", "'two words' {a,b}"]
        read = ["./**", "~/x", "/usr/{lib,share}/**", "./**/*.rs"]
        write = ["./**"]
        land = ["./**"]
        connect = ["example.com", "*.example.com:*", "10.0.0.0/8:5432", "[fd00::]/8", "localhost:{1,2}"]
        http = ["https://example.com/**", "http://localhost:3000/", "wss://example.com/live/**"]
        methods = ["GET", "POST"]
        query = { per_page = ["?", "??"], q = "a*" }
        headers = { "content-type" = ["application/json*", false], "x-debug" = false }
        up = "20MiB"
        down = "2GiB"
        rate = "10/s"
        record = "full"
        tool = ["mcp/github/*"]
        credential = ["github-token api.github.com", "*"]
        spend = ["tokens > 200_000", "usd"]
    "#;
    Layer::parse("p", LayerKind::File, text).unwrap_or_else(|error| panic!("{error} {:?}", error.hint));
}

#[test]
fn every_example_of_a_file_is_reported() {
    let text = "version = 1\n[[rule]]\nid = \"x\"\nneed = \"never\"\nexec = [\"git push -f\"]\nyes = [\"git push -f\", \"git push\"]\nno = [\"git pull\", \"git push -f\", \"'\"]\n";
    let tested = Layer::test("p", LayerKind::File, text).unwrap();
    let wrong: Vec<_> = tested
        .iter()
        .map(|one| (one.line, one.must_match, one.example.as_str(), one.fault.is_some()))
        .collect();
    assert_eq!(
        wrong,
        [
            (6, true, "git push -f", false),
            (6, true, "git push", true),
            (7, false, "git pull", false),
            (7, false, "git push -f", true),
            (7, false, "'", true)
        ]
    );
    assert!(tested[1].fault.as_deref().unwrap().contains("does not match rule `x`"));
    assert!(Layer::test("p", LayerKind::File, "version = 3").is_err());
    assert_eq!(refused(text).line, 6);
}

#[test]
fn a_floor_that_rests_on_commands_alone_is_refused_when_checked() {
    let text = "version = 1\n[[rule]]\nid = \"both\"\nneed = \"never\"\nexec = [\"curl **\"]\nconnect = [\"**\"]\n[[rule]]\nid = \"alone\"\nneed = \"never\"\nexec = [\"curl **\"]\n";
    let check = |kind| Layer::parse("p", kind, text).unwrap().check();
    let error = check(LayerKind::Floor).unwrap_err();
    assert_eq!((error.line, error.text.as_str()), (7, "[[rule]]"));
    assert!(error.because.contains("`alone`") && error.hint.is_some());
    assert_eq!(check(LayerKind::User), Ok(()));
}

#[test]
fn every_rule_is_listed_with_why_it_does_not_count() {
    use crate::common::{compile, layer};
    let text = "default = { connect = \"ask\" }\n[[rule]]\nid = \"x\"\nneed = \"none\"\nread = [\"./a/**\", \"./b\"]\nexcept = [\"./a/c\"]\nwhen = { agent = \"claude\" }\n";
    let listed = compile(vec![layer(LayerKind::User, text)]).listed();
    let user: Vec<_> = listed.iter().filter(|one| one.layer == "user").collect();
    assert_eq!(user.len(), 3);
    assert_eq!(
        (user[0].rule.as_str(), user[0].pattern.as_deref(), user[0].idle.as_deref()),
        ("default", None, None)
    );
    assert_eq!((user[1].pattern.as_deref(), user[1].except.join(" ")), (Some("./a/**"), "./a/c".to_owned()));
    assert_eq!(user[2].idle.as_deref(), Some("agent is codex, not claude"));
    assert!(listed.iter().any(|one| one.layer == "built-in" && one.narrows));
}
