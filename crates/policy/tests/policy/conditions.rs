//! What rules ask of a request beside its path, and that what is safe does not depend on how it is said.

use policy::{Action, Decision, Endpoint, Grant, HttpRequest, Layer, LayerKind, Need, Policy, Scheme};

use crate::common::{compile, file, layer, said};

/// `METHOD URL`, and headers.
fn request(line: &str, headers: &[&str]) -> Action {
    let words: Vec<std::ffi::OsString> = line.split(' ').map(Into::into).collect();
    let here = policy::Here { folder: "/".as_ref(), home: "/".as_ref(), program: &|_| None };
    let Action::Http(request) = Action::from_words(policy::Kind::Http, &words, here).unwrap() else {
        panic!()
    };
    let lines = headers.iter().map(|line| line.split_once(": ").unwrap());
    Action::Http(request.with_headers(lines.map(|(name, value)| (name, value.as_bytes()))))
}

fn refused(rule: &str) -> String {
    let text = format!("version = 1\n[[rule]]\nid = \"x\"\n{rule}\n");
    let error = Layer::parse("p", LayerKind::File, &text).unwrap_err();
    assert!(error.line > 1, "{error:?}");
    format!("{} ({})", error.because, error.hint.unwrap_or_default())
}

const OPEN: &str = r#"
    [[rule]]
    id = "page"
    http = ["https://h.example/**"]
    query = { per_page = ["?", "??"] }
    need = "none"
    [[rule]]
    id = "post"
    http = ["https://h.example/post"]
    methods = ["POST"]
    headers = { "Content-Type" = ["application/json*"], "x-debug" = false }
    need = "none"
"#;

#[test]
fn a_rule_that_allows_holds_where_every_occurrence_matches() {
    let policy = file(OPEN);
    for (line, headers, expected) in [
        ("GET https://h.example/a?per_page=5", &[][..], "allow: page"),
        ("GET https://h.example/a?x=1&per_page=50&y", &[], "allow: page"),
        ("GET https://h.example/a?per_page=500", &[], "deny: default"),
        ("GET https://h.example/a", &[], "deny: default"),
        ("GET https://h.example/a?per_page", &[], "deny: default"),
        ("POST https://h.example/post", &["content-type: application/json"], "allow: post"),
        ("POST https://h.example/post", &["content-type: application/json; charset=utf-8"], "allow: post"),
        ("POST https://h.example/post", &["content-type: application/xml"], "deny: default"),
        ("POST https://h.example/post", &[], "deny: default"),
        ("POST https://h.example/post", &["content-type: application/json", "x-debug: 1"], "deny: default"),
    ] {
        assert_eq!(said(&policy, &request(line, headers)), expected, "{line} {headers:?}");
    }
}

#[test]
fn t57_a_second_occurrence_opens_nothing() {
    let policy = file(OPEN);
    for line in [
        "GET https://h.example/a?per_page=5&per_page=500",
        "GET https://h.example/a?per_page=500&per_page=5",
        "GET https://h.example/a?per_page=5&per%5fpage=500",
        "GET https://h.example/a?per_page=5&PER_PAGE=500",
        "GET https://h.example/a?per_page=5&per.page=500",
        "GET https://h.example/a?per_page=5&per_page[]=500",
        "GET https://h.example/a?per_page=5&per_page%5B0%5D=500",
        "GET https://h.example/a?per_page=5&+per+page=500",
    ] {
        assert_eq!(said(&policy, &request(line, &[])), "deny: default", "{line}");
    }
    // Some servers part pairs at `;`, some undo escapes twice: which, nobody knows.
    for line in [
        "GET https://h.example/a?per_page=5;per_page=500",
        "GET https://h.example/a?per_page=5&per%255fpage=500",
        "GET https://h.example/a?per_page=5&x=%zz",
        "GET https://h.example/a?per_page=5&x=%ff",
        "GET https://h.example/a?per_page=5&x=%00",
    ] {
        assert_eq!(said(&policy, &request(line, &[])), "deny: canonical", "{line}");
    }
    for headers in [
        &["content-type: application/json", "content-type: text/xml"][..],
        &["content-type: text/xml", "content-type: application/json"],
        &["content-type: application/json, text/xml"],
        &["Content-Type: application/json", "CONTENT-TYPE: text/xml"],
    ] {
        assert_eq!(
            said(&policy, &request("POST https://h.example/post", headers)),
            "deny: default",
            "{headers:?}"
        );
    }
}

#[test]
fn a_rule_that_forbids_holds_where_any_occurrence_might_be_read_so() {
    let policy = file(
        r#"
        [[rule]]
        id = "all"
        http = ["https://h.example/**"]
        need = "none"
        [[rule]]
        id = "delete"
        http = ["https://h.example/**"]
        query = { action = ["delete"] }
        need = "never"
        [[rule]]
        id = "upload"
        http = ["https://h.example/**"]
        headers = { "content-type" = ["multipart/*"] }
        need = "human"
        [[rule]]
        id = "team"
        http = ["https://h.example/team/**"]
        headers = { "x-team" = [false] }
        need = "never"
        "#,
    );
    for (line, headers, expected) in [
        ("GET https://h.example/a?action=show", &[][..], "allow: all"),
        ("GET https://h.example/a?action=delete", &[], "deny: delete"),
        ("GET https://h.example/a?action=show&action=delete", &[], "deny: delete"),
        ("GET https://h.example/a?action=delete&action=show", &[], "deny: delete"),
        ("GET https://h.example/a?ACTION[]=Delete", &[], "deny: delete"),
        ("GET https://h.example/a?act%69on=del%65te", &[], "deny: delete"),
        ("GET https://h.example/a?x=1;action=delete", &[], "deny: canonical"),
        ("POST https://h.example/a", &["content-type: multipart/form-data"], "ask human: upload"),
        ("POST https://h.example/a", &["content-type: Multipart/Form-Data"], "ask human: upload"),
        ("POST https://h.example/a", &["content-type: text/plain, multipart/mixed"], "ask human: upload"),
        (
            "POST https://h.example/a",
            &["content-type: text/plain", "content-type: multipart/x"],
            "ask human: upload",
        ),
        ("POST https://h.example/a", &["content-type: text/plain"], "allow: all"),
        ("GET https://h.example/team/x", &[], "deny: team"),
        ("GET https://h.example/team/x", &["x-team: a"], "allow: all"),
    ] {
        assert_eq!(said(&policy, &request(line, headers)), expected, "{line} {headers:?}");
    }
}

#[test]
fn what_holds_of_only_one_occurrence_asks_nobody_to_open() {
    // It would be opened by a person's yes; a second value beside the one that is spoken of keeps it closed.
    let policy = file(
        r#"
        [[rule]]
        id = "ask"
        http = ["https://h.example/**"]
        query = { q = ["a"] }
        need = "human"
        "#,
    );
    assert_eq!(said(&policy, &request("GET https://h.example/?q=a", &[])), "ask human: ask");
    assert!(matches!(
        policy.decide(&request("GET https://h.example/?q=a&q=b", &[]), &[]),
        Decision::Deny { .. }
    ));
}

#[test]
fn a_websocket_is_allowed_by_its_own_name_only() {
    let policy = file(
        r#"
        [[rule]]
        id = "api"
        http = ["https://h.example/**", "http://h.example/**"]
        need = "none"
        [[rule]]
        id = "live"
        http = ["wss://h.example/live"]
        need = "none"
        [[rule]]
        id = "secret"
        http = ["https://h.example/secret/**"]
        need = "never"
        "#,
    );
    for (line, expected) in [
        ("GET https://h.example/live", "allow: api"),
        ("GET wss://h.example/live", "allow: live"),
        ("GET wss://h.example/other", "deny: default"),
        ("GET ws://h.example/live", "deny: default"),
        ("GET https://h.example/secret/x", "deny: secret"),
        ("GET wss://h.example/secret/x", "deny: secret"),
    ] {
        assert_eq!(said(&policy, &request(line, &[])), expected, "{line}");
    }
    let none = file(
        "default = { http = \"none\" }\n[[rule]]\nid = \"x\"\nhttp = [\"https://h.example/s/**\"]\nneed = \"never\"\n",
    );
    assert_eq!(said(&none, &request("GET wss://h.example/s/a", &[])), "deny: x");
}

#[test]
fn t53_a_path_that_some_servers_read_as_a_forbidden_one_is_forbidden() {
    let policy = file(
        r#"
        [[rule]]
        id = "all"
        http = ["https://h.example/**"]
        need = "none"
        [[rule]]
        id = "admin"
        http = ["https://h.example/admin/**", "https://h.example/@me/**"]
        need = "never"
        "#,
    );
    for (path, expected) in [
        ("/user", "allow: all"),
        ("/user;v=1/x", "allow: all"),
        ("/admin/x", "deny: admin"),
        ("/admin;v=1/x", "deny: admin"),
        ("/admin;/x;y", "deny: admin"),
        ("/admin%3bv/x", "deny: admin"),
        ("/%61dmin/x", "deny: admin"),
        ("/@me/x", "deny: admin"),
        ("/%40me/x", "deny: admin"),
        ("/%40me;a/x", "deny: admin"),
    ] {
        assert_eq!(said(&policy, &request(&format!("GET https://h.example{path}"), &[])), expected, "{path}");
    }
    // What opens is read as it is sent.
    let narrow = file("[[rule]]\nid = \"a\"\nhttp = [\"https://h.example/acme/**\"]\nneed = \"none\"\n");
    for path in ["/acme;x/y", "/acme-evil/y", "/acm%65x/y", "/acme"] {
        let allowed = path == "/acme";
        let decided = policy_word(&narrow, &format!("GET https://h.example{path}"));
        assert_eq!(decided == "allow", allowed, "{path}");
    }
}

fn policy_word(policy: &Policy, line: &str) -> &'static str {
    policy.decide(&request(line, &[]), &[]).word()
}

#[test]
fn a_hole_in_what_is_allowed_is_a_hole_for_a_websocket_too() {
    let policy = file(
        "[[rule]]\nid = \"a\"\nhttp = [\"wss://h.example/**\"]\nexcept = [\"https://h.example/no/**\"]\nneed = \"none\"\n",
    );
    assert_eq!(policy_word(&policy, "GET wss://h.example/yes"), "allow");
    assert_eq!(policy_word(&policy, "GET wss://h.example/no/x"), "deny");
}

#[test]
fn a_yes_holds_for_what_was_shown_and_for_nothing_that_rules_tell_apart() {
    let policy = file(
        r#"
        [[rule]]
        id = "ask"
        http = ["https://h.example/**"]
        query = { q = ["*"] }
        headers = { "x-team" = ["*", false] }
        need = "human"
        "#,
    );
    let heeded = |line: &str, headers: &[&str]| match request(line, headers) {
        Action::Http(request) => Action::Http(policy.heeding(request)),
        _ => panic!(),
    };
    let asked = heeded("GET https://h.example/f/a?q=1&other=2", &["x-team: a", "date: today"]);
    assert_eq!(asked.to_string(), "http GET https://h.example/f/a?q=1 x-team: a");
    let granted = |selector| {
        let Decision::Ask { need, reasons } = policy.decide(&asked, &[]) else { panic!() };
        [Grant { id: "g".into(), selector, need, asked: reasons }]
    };
    let class = granted(policy.class_of(&asked).unwrap());
    let exact = granted(policy::Selector::exact(&asked));
    let lifted = |grants: &[Grant], line: &str, headers: &[&str]| {
        matches!(policy.decide(&heeded(line, headers), grants), Decision::Allow { .. })
    };
    for (line, headers, by_class, by_exact) in [
        ("GET https://h.example/f/a?q=1&other=3", &["x-team: a"][..], true, true),
        ("GET https://h.example/f/b?q=1", &["x-team: a"], true, false),
        ("GET https://h.example/f/a?q=2", &["x-team: a"], false, false),
        ("GET https://h.example/f/a?q=1", &["x-team: b"], false, false),
        ("GET https://h.example/f/a?q=1", &[], false, false),
        ("GET https://h.example/f/a?q=1&q=1", &["x-team: a"], false, false),
        ("POST https://h.example/f/a?q=1", &["x-team: a"], false, false),
        ("GET wss://h.example/f/a?q=1", &["x-team: a"], false, false),
    ] {
        assert_eq!(lifted(&class, line, headers), by_class, "class: {line} {headers:?}");
        assert_eq!(lifted(&exact, line, headers), by_exact, "exact: {line} {headers:?}");
    }
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_line_and_what_to_write() {
    for (rule, expected) in [
        (
            "connect = [\"h.example\"]\nneed = \"none\"\nquery = { a = [\"b\"] }",
            "a rule has query and does not speak of `http` ()",
        ),
        ("http = [\"https://h.example/\"]\nneed = \"none\"\nquery = {}", "no condition is named"),
        ("http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a = [] }", "`a` is asked for nothing"),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a = [true] }",
            "`a` is asked for nothing",
        ),
        ("http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a = 1 }", "`a` is asked for nothing"),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a_b = [\"1\"], \"A.B\" = [\"2\"] }",
            "is the same to a server",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { \"a%62\" = [\"1\"] }",
            "it is no key of a query",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a = [\"{b,c}\"] }",
            "means nothing in a value (write each value by itself",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nheaders = { host = [\"a\"] }",
            "nothing can be asked of the header `host`",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nheaders = { Authorization = [\"a\"] }",
            "said with `credential`",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nheaders = { Upgrade = [\"a\"] }",
            "write `wss://`",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nheaders = { \"a b\" = [\"a\"] }",
            "it is no name of a header",
        ),
        (
            "http = [\"https://h.example/\"]\nneed = \"none\"\nheader = { a = [\"a\"] }",
            "did you mean `headers`?",
        ),
        (
            "http = [\"wss://h.example/\"]\nneed = \"none\"\nmethods = [\"POST\"]",
            "a WebSocket begins with `GET`",
        ),
        ("http = [\"ftp://h.example/\"]\nneed = \"none\"", "a request has no scheme"),
        ("http = [\"https://h.example/%40me\"]\nneed = \"never\"", "write it as in `/@me`"),
        ("http = [\"https://h.example/a;b\"]\nneed = \"human\"", "write it as in `/a`"),
    ] {
        let told = refused(rule);
        assert!(told.contains(expected), "{rule}\n{told}");
    }
}

#[test]
fn examples_and_explanations_speak_of_conditions() {
    let policy = file(&format!(
        "{OPEN}yes = [\"POST https://h.example/post | content-type: application/json\"]\nno = [\"POST https://h.example/post\", \"POST https://h.example/post | content-type: application/json | x-debug: 1\"]\n"
    ));
    let why = policy.explain(&request("POST https://h.example/post?secret=1", &["content-type: text/xml"]));
    assert_eq!(why.action, "http POST https://h.example/post content-type: text/xml");
    let nearest = why.nearest.unwrap();
    assert_eq!(
        (nearest.rule.as_str(), nearest.because.as_str()),
        ("page", "its condition does not hold: query per_page = \"?\" or \"??\"")
    );
    let why = policy.explain(&request("GET https://h.example/?per_page=5", &[]));
    assert_eq!((why.verdict, why.decision.word()), ("allow", "allow"));
    let wrong = "http = [\"https://h.example/\"]\nneed = \"none\"\nquery = { a = [\"1\"] }\nyes = [\"GET https://h.example/?a=2\"]";
    assert!(refused(wrong).contains("does not match rule `x`, and must"));
}

#[test]
fn layers_meet_as_without_conditions() {
    let floor = layer(
        LayerKind::Floor,
        "[[rule]]\nid = \"f\"\nhttp = [\"https://h.example/**\"]\nquery = { page = [\"???*\"] }\nneed = \"never\"\n",
    );
    let user =
        layer(LayerKind::User, "[[rule]]\nid = \"u\"\nhttp = [\"https://h.example/**\"]\nneed = \"none\"\n");
    let policy = compile(vec![user, floor]);
    assert_eq!(
        said(&policy, &request("GET https://h.example/?page=12", &[])),
        "allow: f, u".replace("f, u", "u")
    );
    assert_eq!(said(&policy, &request("GET https://h.example/?page=123", &[])), "deny: f");
    let repo = layer(
        LayerKind::Repo,
        "[[rule]]\nid = \"r\"\nhttp = [\"https://h.example/**\"]\nquery = { page = [\"1\"] }\nneed = \"none\"\n",
    );
    let policy = compile(vec![repo]);
    assert_eq!(
        policy_word(&policy, "GET https://h.example/?page=1"),
        "deny",
        "what only narrows opens nothing"
    );
}

#[test]
fn a_request_made_by_hand_is_judged_as_it_is() {
    let policy = file(OPEN);
    let endpoint = Endpoint::parse("h.example:443").unwrap();
    let mut made = HttpRequest::new(Scheme::Https, endpoint, "GET", "/a?per_page=5").unwrap();
    assert_eq!(policy.decide(&Action::Http(made.clone()), &[]).word(), "allow");
    made.path = "/a/../b".into();
    assert_eq!(policy.decide(&Action::Http(made), &[]).word(), "deny");
    assert!(Need::None < Need::Never);
}
