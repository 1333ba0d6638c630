//! On which terms rules let pass: those of every rule that speaks, each for itself.

use policy::{Action, Endpoint, HttpRequest, LayerKind, Policy, Rate, Scheme};

use crate::common::{compile, connect, layer, said};

fn policy() -> Policy {
    let floor = layer(
        LayerKind::Floor,
        "[[rule]]\nid = \"least\"\nconnect = [\"**.h.example\"]\nneed = \"none\"\nup = \"1MiB\"\ndown = \"2GiB\"\n",
    );
    let user = layer(
        LayerKind::User,
        r#"
        [[rule]]
        id = "site"
        connect = ["api.h.example"]
        need = "none"
        up = "20MiB"
        rate = "10/s"
        [[rule]]
        id = "post"
        http = ["https://api.h.example/issues"]
        methods = ["POST"]
        headers = { "content-type" = ["application/json"] }
        need = "none"
        rate = "100/m"
        credential = "token"
        [[rule]]
        id = "read"
        http = ["https://api.h.example/**"]
        need = "none"
        "#,
    );
    compile(vec![user, floor])
}

fn request(method: &str, path: &str, content: &str) -> Action {
    let endpoint = Endpoint::parse("api.h.example:443").unwrap();
    let request = HttpRequest::new(Scheme::Https, endpoint, method, path).unwrap();
    Action::Http(request.with_headers([("content-type", content.as_bytes())]))
}

fn rules(policy: &Policy, action: &Action) -> Vec<String> {
    policy.terms(action).into_iter().map(|terms| format!("{} {}", terms.layer, terms.rule)).collect()
}

#[test]
fn every_rule_that_speaks_holds_to_its_own() {
    let policy = policy();
    assert_eq!(rules(&policy, &connect("api.h.example:443")), ["user site", "floor least"]);
    assert_eq!(rules(&policy, &connect("other.h.example:443")), ["floor least"]);
    assert_eq!(rules(&policy, &connect("else.example:443")), Vec::<String>::new());
    assert_eq!(rules(&policy, &request("POST", "/issues", "application/json")), ["user post"]);
    assert_eq!(
        rules(&policy, &request("POST", "/issues", "text/xml")),
        Vec::<String>::new(),
        "its conditions do not hold"
    );
    let floor = &policy.terms(&connect("other.h.example:443"))[0];
    assert_eq!((floor.terms.up, floor.terms.down, floor.narrows), (Some(1 << 20), Some(2 << 30), true));
    let site = &policy.terms(&connect("api.h.example:443"))[0];
    assert_eq!(site.terms.rate, Some(Rate { count: 10, window_ms: 1_000 }));
}

#[test]
fn a_credential_that_goes_along_may_go_there_and_is_tied_to_the_rule() {
    let policy = policy();
    let to = |place: &str| Action::Credential { name: "token".into(), to: Endpoint::parse(place).unwrap() };
    assert_eq!(said(&policy, &to("api.h.example:443")), "allow: post");
    assert_eq!(said(&policy, &to("other.h.example:443")), "deny: default");
    let goes =
        |policy: &Policy, action: Action| policy.goes_with("token", &[connect("api.h.example:443"), action]);
    assert!(goes(&policy, request("POST", "/issues", "application/json")));
    assert!(
        !goes(&policy, request("POST", "/issues", "text/xml")) && !goes(&policy, request("GET", "/x", ""))
    );
    assert!(policy.goes_with("other", &[]), "nobody names it");
    let repo =
        "[[rule]]\nid = \"r\"\nhttp = [\"https://h.example/**\"]\nneed = \"none\"\ncredential = \"token\"\n";
    let repo = compile(vec![layer(LayerKind::Repo, repo)]);
    assert!(!goes(&repo, request("GET", "/x", "")));
    assert_eq!(said(&repo, &to("h.example:443")), "deny: default, r", "what only narrows opens nothing");
}

#[test]
fn what_is_listed_says_conditions_and_terms() {
    let listed = policy().listed();
    let of = |rule: &str| listed.iter().find(|line| line.rule == rule).unwrap();
    assert_eq!(of("post").conditions, ["methods POST", "header content-type = \"application/json\""]);
    assert_eq!(of("post").terms, ["rate 100/m", "credential token"]);
    assert_eq!(of("site").terms, ["up 20 MiB", "rate 10/s"]);
    assert!(of("read").conditions.is_empty() && of("read").terms.is_empty());
}

#[test]
fn a_rate_reads_as_it_is_written() {
    for text in ["1/s", "10/m", "1000/h", "4294967295/s"] {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
    }
    for text in ["", "/s", "0/s", "01/s", "-1/s", "+1/s", "1", "1/d", "1/ s", "4294967296/s", "1/s/s"] {
        assert!(text.parse::<Rate>().is_err(), "{text}");
    }
}

#[test]
fn a_name_leads_to_the_networks_that_its_own_rule_names_and_no_others() {
    let user = layer(
        LayerKind::User,
        r#"
        [[rule]]
        id = "packages"
        http = ["https://packages.example/**"]
        methods = ["GET"]
        need = "none"
        leads_to = ["10.20.0.0/16", "[fd00::]/8", "127.0.0.1"]
        "#,
    );
    let policy = compile(vec![user]);
    let endpoint = |host: &str| Endpoint::parse(host).unwrap();
    let get = |host: &str, method: &str| {
        Action::Http(HttpRequest::new(Scheme::Https, endpoint(host), method, "/x").unwrap())
    };
    let leads =
        |action: &Action, address: &str| !policy.leads_to(action, address.parse().unwrap()).is_empty();
    for address in ["10.20.1.2", "fd00::1", "127.0.0.1"] {
        assert!(leads(&get("packages.example:443", "GET"), address), "{address}");
        assert!(!leads(&get("packages.example:443", "PUT"), address), "{address}");
        assert!(!leads(&get("other.example:443", "GET"), address), "{address}");
    }
    assert!(!leads(&get("packages.example:443", "GET"), "10.21.0.1"));
    let text = |kind, leads_to: &str| {
        let rule = "version = 1\n[[rule]]\nid = \"a\"\nconnect = [\"a.example\"]\nneed = \"none\"\n";
        policy::Layer::parse("x", kind, &format!("{rule}leads_to = {leads_to}\n"))
    };
    assert!(text(LayerKind::User, "[\"10.0.0.0/8\"]").is_ok());
    for bad in ["[\"a.example\"]", "[\"0.0.0.0/0\"]", "[\"10.0.0.1/8\"]", "\"10.0.0.0/8\"", "[]", "[\"*\"]"] {
        assert!(text(LayerKind::User, bad).is_err(), "{bad}");
    }
    assert!(text(LayerKind::Floor, "[\"10.0.0.0/8\"]").is_err(), "a floor opens nothing");
    let repo = policy::Layer::parse(
        "repo",
        LayerKind::Repo,
        "version = 1\n[[rule]]\nid = \"a\"\nhttp = [\"https://packages.example/**\"]\nneed = \"none\"\nleads_to = [\"192.168.0.0/16\"]\n",
    );
    let policy = compile(vec![repo.unwrap()]);
    let address = "192.168.0.1".parse().unwrap();
    assert!(
        policy.leads_to(&get("packages.example:443", "GET"), address).is_empty(),
        "nor does a repository"
    );
}
