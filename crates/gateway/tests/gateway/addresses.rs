//! That a name may be reached says nothing about where it leads: addresses are judged for themselves.

use ledger::Body;

use crate::common::{Server, Setting, Stage, allow};

fn refused_for(stage: &Stage, url: &str) -> String {
    let reply = stage.get(url);
    assert_eq!(reply.status, 403, "{url}: {}", reply.text());
    let error = reply.error();
    assert_eq!(error["rule"], "address", "{error}");
    error["why"].as_str().unwrap().to_owned()
}

#[test]
fn t59_an_allowed_name_does_not_lead_into_guarded_places() {
    for (address, place) in [
        ("127.0.0.1", "this host"),
        ("::1", "this host"),
        ("::ffff:127.0.0.1", "this host"),
        ("10.0.0.5", "a private network"),
        ("192.168.1.1", "a private network"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("169.254.169.254", "a cloud's metadata service"),
        ("64:ff9b::169.254.169.254", "a cloud's metadata service"),
        ("0.0.0.0", "this network"),
        ("0.1.2.3", "this network"),
        ("127.255.0.1", "this host"),
        ("172.16.0.1", "a private network"),
        ("100.64.0.1", "a carrier's shared network"),
        ("100.100.100.200", "a cloud's metadata service"),
        ("fd00:ec2::254", "a cloud's metadata service"),
        ("192.0.0.8", "an address of the protocols"),
        ("198.18.0.1", "a network for benchmarks"),
        ("224.0.0.1", "a multicast address"),
        ("240.0.0.1", "a reserved address"),
        ("255.255.255.255", "the broadcast address"),
        ("::", "no address"),
    ] {
        let stage = Setting::new(allow("rebound.example:80")).name("rebound.example", &[address]).start();
        let why = refused_for(&stage, "http://rebound.example/");
        assert!(why.contains(place), "{address}: {why}");
        assert_eq!(stage.lookups(), 1);
    }
}

#[test]
fn a_rule_that_names_the_address_opens_it_for_the_name() {
    let server = Server::echo();
    let rules = allow(&format!("service.example:{}", server.port)) + &server.allowed();
    let stage = Setting::new(rules).name("service.example", &["127.0.0.1"]).start();
    assert_eq!(stage.get(&format!("http://service.example:{}/", server.port)).status, 200);
    let found = stage.recorded(|body| match body {
        Body::Resolved(resolved) => Some(resolved.allowed),
        _ => None,
    });
    assert_eq!(found, [["127.0.0.1"]]);
}

#[test]
fn t62_t64_of_several_addresses_only_those_that_may_be_are_dialled() {
    let server = Server::echo();
    let rules = allow(&format!("service.example:{}", server.port)) + &server.allowed();
    let stage = Setting::new(rules).name("service.example", &["10.9.9.9", "127.0.0.1"]).start();
    assert_eq!(stage.get(&format!("http://service.example:{}/", server.port)).status, 200);
    let refused = stage.recorded(|body| match body {
        Body::Resolved(resolved) => Some(resolved.refused),
        _ => None,
    });
    assert_eq!(refused[0][0].address, "10.9.9.9");
}

#[test]
fn an_address_that_no_rule_names_is_not_reached_by_writing_it_down() {
    let stage = Setting::new("").start();
    for url in [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://127.0.0.1:1/",
        "http://[::1]/",
    ] {
        assert_eq!(stage.get(url).status, 403, "{url}");
    }
}

#[test]
fn where_everything_is_open_what_is_guarded_stays_closed() {
    let server = Server::echo();
    let stage = Setting::new("").open().name("x.example", &["10.0.0.1"]).start();
    let (here, port) = (server.url("/"), server.port);
    for url in [&here, "http://169.254.169.254/", "http://x.example/", &format!("http://localhost:{port}/")] {
        refused_for(&stage, url);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn the_host_itself_is_localhost_whatever_the_resolver_says() {
    let server = Server::echo();
    let rules = allow(&format!("localhost:{}", server.port));
    let stage = Setting::new(rules).name("localhost", &["93.184.216.34"]).start();
    assert_eq!(stage.get(&format!("http://localhost:{}/", server.port)).status, 200);
    assert_eq!(stage.lookups(), 0);
}

#[test]
fn a_name_without_an_address_and_a_place_without_a_server_are_said_to_be_unreachable() {
    let closed = crate::common::listener().local_addr().unwrap().port();
    let rules = allow("nowhere.example:80") + &allow(&format!("127.0.0.1:{closed}"));
    let stage = Setting::new(rules).start();
    for url in ["http://nowhere.example/".to_owned(), format!("http://127.0.0.1:{closed}/")] {
        let reply = stage.get(&url);
        assert_eq!((reply.status, reply.error()["code"].as_str()), (502, Some("unreachable")), "{url}");
    }
    let outcomes = stage.recorded(|body| match body {
        Body::Outcome(outcome) => Some(outcome.result),
        _ => None,
    });
    assert_eq!(outcomes, [ledger::event::OutcomeResult::Failed; 2]);
}

#[test]
fn t63_what_was_judged_is_what_is_dialled_and_the_next_time_is_judged_anew() {
    let server = Server::echo();
    let rules = allow(&format!("service.example:{}", server.port)) + &server.allowed();
    let mut setting = Setting::new(rules);
    let leads = ["127.0.0.1", "10.9.9.9"].map(|address| vec![address.parse().unwrap()]);
    setting.names.insert("service.example".to_owned(), leads.into());
    let stage = setting.start();
    let url = format!("http://service.example:{}/", server.port);
    assert_eq!(
        (stage.get(&url).status, stage.lookups()),
        (200, 1),
        "asked once, for judging and for dialling"
    );
    assert!(refused_for(&stage, &url).contains("a private network"));
    assert_eq!(
        (stage.lookups(), server.connections()),
        (2, 1),
        "no connection is used for what was judged later"
    );
}

#[test]
fn t65_where_an_answer_leads_is_judged_as_anything() {
    let within = "http://169.254.169.254/latest/meta-data/";
    let server = Server::start(move |client, _| {
        client.send(format!("HTTP/1.1 302 Found\r\nlocation: {within}\r\ncontent-length: 0\r\n\r\n"));
    });
    let stage = Setting::new(server.allowed()).open().start();
    let reply = stage.get(&server.url("/"));
    assert_eq!((reply.status, reply.header("location")), (302, Some(within)), "nobody here follows it");
    assert!(refused_for(&stage, within).contains("a cloud's metadata service"));
    let judged = stage.recorded(|body| match body {
        Body::Decision(decision) => Some(decision.text),
        _ => None,
    });
    assert_eq!(judged.len(), 2, "{judged:?}");
}

#[test]
fn t66_the_gateways_own_doors_are_this_host() {
    let stage = Setting::new("").open().start();
    for door in [stage.proxy, stage.streams, stage.long_names] {
        assert!(refused_for(&stage, &format!("http://{door}/")).contains("this host"), "{door}");
    }
}
