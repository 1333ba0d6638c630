//! The network: nothing leaves but through the gateway, and there only what a rule names.

use super::everybody;
use e2e::doubles::model::{ModelServer, Script};
use e2e::stage::Stage;
use std::net::{TcpListener, UdpSocket};

/// A service of the host that no rule names.
fn service(at: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn naming(stage: &Stage, server: &ModelServer) -> String {
    let port = server.port();
    stage.policy(&format!(
        "version = 1\n\n[[rule]]\nid = \"service\"\nconnect = [\"127.0.0.1:{port}\"]\nneed = \"none\"\n"
    ))
}

#[test]
fn t70_t72_nothing_leaves_straight() {
    everybody(|stage| {
        for at in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let (listener, address) = service(at);
            let address = address.replace("0.0.0.0", "127.0.0.1");
            let ran = stage.inside(&format!(
                "./probe tcp {address}; curl --noproxy '*' --max-time 5 http://{address}/; true"
            ));
            assert!(listener.accept().is_err(), "{address} was reached: {ran}");
            stage.outside(&format!("./probe tcp {address}")).ended(0);
            assert!(listener.accept().is_ok(), "no attempt at all");
        }
        let heard = UdpSocket::bind("127.0.0.1:0").unwrap();
        heard.set_nonblocking(true).unwrap();
        let to = heard.local_addr().unwrap();
        let attempts = format!("./probe udp-connect {to}; ./probe udp-sendto {to}; true");
        stage.inside(&attempts).ended(0);
        assert!(heard.recv(&mut [0]).is_err(), "a datagram came out");
        stage.outside(&attempts).ended(0);
        assert!(heard.recv(&mut [0]).is_ok(), "no attempt at all");
        // Addresses that are not this machine's: there is no way at all, whatever the machine is connected to.
        let ran = stage.inside(
            "for to in 192.0.2.1:443 8.8.8.8:53 169.254.169.254:80 [2001:db8::1]:443; do
            ./probe tcp $to; ./probe udp-connect $to; ./probe udp-sendto $to; done; true",
        );
        assert!(!ran.stdout.contains("done"), "{ran}");
        // What goes straight is judged as what goes by the proxy.
        for to in ["192.0.2.1:443", "169.254.169.254:80", "[2001:db8::1]:443"] {
            assert!(ran.stderr.contains(&format!("provost: denied connect {to} (")), "{to}: {ran}");
            stage.ledger().denial("connect", to);
        }
    });
}

/// Spellings of this machine that some programs understand.
const SPELLINGS: &[&str] = &[
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0177.0.0.1",
    "0x7f.0.0.1",
    "2130706433",
    "0x7f000001",
    "0.0.0.0",
    "0",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "ada.localhost",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "127.0.0.1.",
    "127.0.0.\u{661}",
    "unlisted.example@127.0.0.1",
    "127.0.0.1%00.example.org",
    "127.0.0.1#.example.org",
];

#[test]
fn no_spelling_of_this_machine_is_a_way_to_it() {
    everybody(|stage| {
        let (listener, address) = service("0.0.0.0:0");
        let port = address.rsplit(':').next().unwrap();
        let ask = |host: &str| {
            let proxy = "${http_proxy#http://}";
            format!(
                "./probe talk {proxy} 'GET http://{host}:{port}/ HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: close\\r\\n\\r\\n' 'HTTP/1.1 2'
                 ./probe talk {proxy} 'CONNECT {host}:{port} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nConnection: close\\r\\n\\r\\n' 'HTTP/1.1 2'\n"
            )
        };
        let line: String = SPELLINGS.iter().map(|host| ask(host)).collect();
        let ran = stage.inside(&(line + "true")).ended(0);
        assert!(listener.accept().is_err(), "this machine was reached: {ran}");
        assert!(!ran.stdout.contains("talk: done"), "{ran}");
        // Each was answered: none hung, none was passed over.
        assert_eq!(ran.stdout.matches("HTTP/1.1 4").count(), SPELLINGS.len() * 2, "{ran}");
    });
}

#[test]
fn a_service_of_this_machine_is_reached_by_an_explicit_rule_and_only_that() {
    everybody(|stage| {
        let server = ModelServer::start(Script::of([], "x")).unwrap();
        let (other, unnamed) = service("127.0.0.1:0");
        let policy = naming(stage, &server);
        let named = format!("{}/v1/models", server.url());
        let line = format!(
            "curl --max-time 5 --silent --fail {named} && curl --max-time 5 --silent --fail --noproxy '' {named} && curl --max-time 5 --silent --noproxy '' http://{unnamed}/"
        );
        let ran = stage.inside_with(&["--policy", &policy], &line);
        assert_eq!(server.exchanges().len(), 2, "straight and through the proxy: {ran}");
        assert!(other.accept().is_err(), "{ran}");
        let ledger = stage.ledger();
        assert!(ledger.of("flow").any(|flow| flow["status"] == 200), "{:#?}", ledger.0);
        ledger.denial("connect", &unnamed);
        // Without the rule it is not reached.
        stage.inside(&format!(
            "curl --max-time 5 --silent --fail {named}; curl --max-time 5 --silent --fail --noproxy '' {named}; true"
        ));
        assert_eq!(server.exchanges().len(), 2);
    });
}

#[test]
fn an_unlisted_host_is_refused_with_words_that_a_model_reads() {
    everybody(|stage| {
        let ran = stage
            .inside("curl --max-time 5 --silent --include http://unlisted.example.org/; curl --max-time 5 --silent --include https://unlisted.example.org/; getent hosts unlisted.example.org; true")
            .ended(0);
        assert_eq!(ran.stdout.matches(" 403 ").count(), 2, "{ran}");
        let body: serde_json::Value =
            serde_json::Deserializer::from_str(ran.stdout.split_once("\r\n\r\n").unwrap().1)
                .into_iter()
                .next()
                .unwrap()
                .unwrap_or_else(|error| panic!("no JSON ({error}): {ran}"));
        assert!(body.to_string().contains("unlisted.example.org"), "{body}");
        let ledger = stage.ledger();
        ledger.denial("connect", "unlisted.example.org:80");
        ledger.denial("connect", "unlisted.example.org:443");
        assert_eq!(ledger.of("resolved").count(), 0, "a denied name was looked up");
    });
}

#[test]
fn a_request_that_two_readers_read_differently_is_not_passed_on() {
    everybody(|stage| {
        let server = ModelServer::start(Script::of([], "x")).unwrap();
        let policy = naming(stage, &server);
        let host = format!("127.0.0.1:{}", server.port());
        let say = |request: String| format!("./probe talk ${{http_proxy#http://}} '{request}' nothing; ");
        let post = format!("POST http://{host}/honest HTTP/1.1\\r\\nHost: {host}\\r\\n");
        let hidden = format!("GET /smuggled HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n");
        let line: String = [
            format!("{post}Content-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"),
            format!("{post}Content-Length: 4\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n{hidden}"),
            format!("{post}Content-Length: 0\\r\\nContent-Length: 60\\r\\n\\r\\n{hidden}"),
            format!("{post}Transfer-Encoding: chunked\\r\\nTransfer-Encoding: identity\\r\\n\\r\\n0\\r\\n\\r\\n{hidden}"),
            format!("{post}Transfer-Encoding : chunked\\r\\n\\r\\n0\\r\\n\\r\\n{hidden}"),
        ]
        .map(say)
        .concat();
        stage.inside_with(&["--policy", &policy], &(line + "true")).ended(0);
        let seen: Vec<String> = server.exchanges().iter().map(|exchange| exchange.target.clone()).collect();
        assert!(seen.iter().any(|target| target.ends_with("/honest")), "no attempt at all: {seen:?}");
        assert!(!seen.iter().any(|target| target.contains("smuggled")), "{seen:?}");
    });
}

#[test]
fn a_kept_connection_is_judged_request_by_request() {
    everybody(|stage| {
        let server = ModelServer::start(Script::of([], "x")).unwrap();
        let (other, unnamed) = service("127.0.0.1:0");
        let policy = naming(stage, &server);
        let host = format!("127.0.0.1:{}", server.port());
        let line = format!(
            "./probe talk ${{http_proxy#http://}} 'GET http://{host}/v1/models HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\nGET http://{unnamed}/ HTTP/1.1\\r\\nHost: {unnamed}\\r\\n\\r\\n' ' 403 '
             ./probe talk ${{http_proxy#http://}} 'GET http://{host}/v1/models HTTP/1.1\\r\\nHost: {unnamed}\\r\\nConnection: close\\r\\n\\r\\n' never-said; true"
        );
        let ran = stage.inside_with(&["--policy", &policy], &line).ended(0).printed("talk: done");
        assert!(other.accept().is_err(), "{ran}");
        assert!(
            server.exchanges().iter().all(|exchange| exchange.header("host") == Some(&host)),
            "{:?}",
            server.exchanges()
        );
    });
}
