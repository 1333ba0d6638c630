//! The rule that is offered where something is asked by default.

use policy::{Action, Endpoint, HttpRequest, LayerKind, Policy, Scheme};

use crate::common::{compile, connect, exec, layer, read, said};

fn asking() -> Policy {
    compile(vec![layer(
        LayerKind::User,
        r#"
        default = { connect = "ask", http = "ask", tool = "ask", read = "ask", exec = "ask" }
        [[rule]]
        id = "seen"
        http = ["https://api.example/known/**"]
        need = "human"
        [[rule]]
        id = "ruled"
        connect = ["ruled.example"]
        need = "human"
        "#,
    )])
}

fn request(method: &str, url_path: &str) -> Action {
    let endpoint = Endpoint::parse("api.example:443").unwrap();
    Action::Http(HttpRequest::new(Scheme::Https, endpoint, method, url_path).unwrap())
}

fn offer(policy: &Policy, action: &Action) -> Option<String> {
    policy.offer(action, policy.decide(action, &[]).reasons())
}

#[test]
fn the_rule_that_is_offered_allows_what_was_asked_and_nothing_beside() {
    let policy = asking();
    let offered = offer(&policy, &connect("api.other.example:443")).unwrap();
    assert_eq!(
        offered,
        "[[rule]]\nid = \"allow-api.other.example\"\nconnect = [\"api.other.example:443\"]\nneed = \"none\"\n"
    );
    let text = offer(&policy, &request("POST", "/a/b?c=d")).unwrap();
    assert_eq!(
        text,
        "[[rule]]\nid = \"allow-post-api.example\"\nhttp = [\"https://api.example:443/a/b\"]\nmethods = [\"POST\"]\nneed = \"none\"\n"
    );
    for action in [
        connect("a.example:8443"),
        connect("127.0.0.1:5432"),
        connect("[2001:db8::1]:443"),
        request("GET", "/a/%C3%A4"),
        Action::Tool { name: "openai/web_search".into() },
    ] {
        let rule = offer(&policy, &action).unwrap_or_else(|| panic!("{action}"));
        let with = compile(vec![
            layer(LayerKind::Profile, "default = { connect = \"ask\", http = \"ask\", tool = \"ask\" }"),
            layer(LayerKind::User, &rule),
        ]);
        assert!(said(&with, &action).starts_with("allow: allow-"), "{rule}");
        assert!(said(&with, &connect("another.example:443")).starts_with("ask"), "{rule}");
        assert_eq!(offer(&with, &action), None, "it is allowed now");
    }
}

#[test]
fn where_a_rule_asks_or_the_text_would_say_more_nothing_is_offered() {
    let policy = asking();
    for action in [
        connect("ruled.example:443"),
        request("GET", "/known/a"),
        request("GET", "/a*b"),
        request("GET", "/{a,b}"),
        Action::Tool { name: "a/*".into() },
        Action::Tool { name: "a\"]\nneed = \"none".into() },
        read("/home/ann/notes"),
        exec("curl x"),
    ] {
        assert_eq!(offer(&policy, &action), None, "{action}");
    }
}
