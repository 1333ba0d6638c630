//! An explanation is the decision and everything that led to it.

use policy::{Action, Explanation, HttpRequest, LayerKind, Policy, Scheme};

use crate::common::{compile, connect, exec, file, land, layer, profile, read};

fn nearest(policy: &Policy, action: &Action) -> String {
    match policy.explain(action).nearest {
        Some(near) => format!("{} `{}`: {}", near.rule, near.pattern, near.because),
        None => "none".to_owned(),
    }
}

#[test]
fn every_rule_that_spoke_is_there_and_who_decides() {
    let policy = compile(vec![
        layer(
            LayerKind::User,
            "[[rule]]\nid = \"api\"\nconnect = [\"api.example.com\", \"**.example.com\"]\nneed = \"none\"\nwhy = \"Ours.\"\n",
        ),
        layer(
            LayerKind::File,
            "[[rule]]\nid = \"asks\"\nconnect = [\"*.example.com:*\"]\nneed = \"human\"\n",
        ),
        layer(LayerKind::Floor, "[[rule]]\nid = \"no\"\nconnect = [\"**:443\"]\nneed = \"never\"\n"),
    ]);
    let why = policy.explain(&connect("api.example.com:443"));
    assert_eq!((why.verdict, why.action.as_str()), ("deny", "connect api.example.com:443"));
    let spoke: Vec<_> = why
        .spoke
        .iter()
        .map(|spoke| {
            (
                spoke.layer.as_str(),
                spoke.rule.as_str(),
                spoke.patterns.join(" "),
                spoke.narrows,
                spoke.decides,
            )
        })
        .collect();
    assert_eq!(
        spoke,
        [
            ("user", "api", "api.example.com **.example.com".to_owned(), false, false),
            ("file", "asks", "*.example.com:*".to_owned(), false, false),
            ("floor", "no", "**:443".to_owned(), true, true),
        ]
    );
    assert_eq!(why.ask, ["floor"]);
    assert_eq!((why.default.layer.as_str(), why.nearest), ("built-in", None));
    let asked = policy.explain(&connect("api.example.com:80"));
    assert_eq!((asked.verdict, asked.ask), ("ask", vec!["file".to_owned()]));
    assert_eq!(asked.decided_by[0].rule, "asks");
}

#[test]
fn the_rule_that_almost_spoke_is_found() {
    let policy = file(
        r#"
        [[rule]]
        id = "api"
        connect = ["api.example.com"]
        need = "none"
        [[rule]]
        id = "other"
        connect = ["*.other.net"]
        need = "none"
        when = { agent = "claude" }
        [[rule]]
        id = "docs"
        read = ["~/notes/**"]
        except = ["~/notes/private/**"]
        need = "none"
        [[rule]]
        id = "make"
        exec = ["make {all,test}"]
        need = "none"
        [[rule]]
        id = "get"
        http = ["https://api.example.com/repos/**"]
        methods = ["GET"]
        need = "none"
        "#,
    );
    let request = |method: &str, path: &str| {
        let endpoint = policy::Endpoint::parse("api.example.com:443").unwrap();
        Action::Http(HttpRequest::new(Scheme::Https, endpoint, method, path).unwrap())
    };
    for (action, expected) in [
        (connect("api.example.com:8443"), "api `api.example.com`: it speaks of port 443 only"),
        (connect("www.example.com:443"), "api `api.example.com`: it does not match"),
        (
            connect("x.other.net:443"),
            "other `*.other.net`: it does not count in this run: agent is codex, not claude",
        ),
        (connect("evil.com:443"), "none"),
        (
            read("/home/ann/notes/private/x"),
            "docs `~/notes/**`: its exception `~/notes/private/**` takes this out",
        ),
        (read("/home/ann/notesx"), "docs `~/notes/**`: it does not match"),
        (read("/home/ann/.ssh/id_rsa"), "none"),
        (exec("make install"), "make `make {all,test}`: it does not match"),
        (exec("curl x"), "none"),
        (
            request("POST", "/repos/a"),
            "get `https://api.example.com/repos/**`: it speaks of the methods GET only",
        ),
        (request("GET", "/users/a"), "get `https://api.example.com/repos/**`: it does not match"),
    ] {
        assert_eq!(nearest(&policy, &action), expected, "{action}");
    }
}

#[test]
fn a_request_that_no_rule_looks_at_is_explained_by_its_connection() {
    let policy = file("[[rule]]\nid = \"a\"\nconnect = [\"a.example\"]\nneed = \"human\"\n");
    let endpoint = policy::Endpoint::parse("a.example:443").unwrap();
    let request = Action::Http(HttpRequest::new(Scheme::Https, endpoint, "GET", "/x").unwrap());
    let why = policy.explain(&request);
    assert_eq!((why.verdict, why.judged_as.as_deref()), ("ask", Some("connect a.example:443")));
    assert_eq!((why.decided_by[0].rule.as_str(), why.action.as_str()), ("a", "http GET https://a.example/x"));
    assert_eq!(why.decision, policy.decide(&request, &[]));
}

#[test]
fn what_a_floor_says_less_strictly_than_the_default_does_not_decide() {
    let policy = compile(vec![
        layer(LayerKind::Floor, "[[rule]]\nid = \"f\"\nconnect = [\"a.example\"]\nneed = \"human\"\n"),
        layer(LayerKind::User, "default = { connect = \"deny\" }"),
    ]);
    let why = policy.explain(&connect("a.example:443"));
    assert_eq!((why.verdict, why.ask), ("deny", vec!["user".to_owned()]));
    assert!(!why.spoke[0].decides);
}

#[test]
fn the_shape_for_programs_is_stable() {
    let text = |why: &Explanation| toml::to_string(&toml::Value::try_from(why).unwrap()).unwrap();
    insta::assert_snapshot!(text(&profile("build").explain(&read("/etc/shadow"))));
    insta::assert_snapshot!(text(&profile("build").explain(&land("/home/ann/work/a"))));
}
