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
        http = ["https://example.com/**", "http://localhost:3000/"]
        methods = ["GET", "POST"]
        tool = ["mcp/github/*"]
        credential = ["github-token api.github.com", "*"]
        spend = ["tokens > 200_000", "usd"]
    "#;
    Layer::parse("p", LayerKind::File, text).unwrap_or_else(|error| panic!("{error} {:?}", error.hint));
}
