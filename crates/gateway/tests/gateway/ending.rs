//! How it ends: with the run, with the ledger, and within its limits.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ledger::Body;
use ledger::event::RunEnded;

use crate::common::{Client, PATIENCE, Server, Setting, Stage, until};

fn tunnel(stage: &Stage, server: &Server) -> Client {
    let mut client = stage.connect();
    client.send(format!("CONNECT 127.0.0.1:{0} HTTP/1.1\r\nhost: 127.0.0.1:{0}\r\n\r\n", server.port));
    client.connected().unwrap();
    client
}

/// Ends when the descriptor is readable, at its end.
fn seen_dead(watch: OwnedFd) {
    let (tell, told) = channel();
    thread::spawn(move || tell.send(std::io::PipeReader::from(watch).read(&mut [0]).unwrap()));
    assert_eq!(told.recv_timeout(PATIENCE), Ok(0));
}

#[test]
fn draining_ends_open_tunnels_and_counts_them() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let mut client = tunnel(&stage, &server);
    client.send("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.reply().status, 200);
    let watch = stage.gateway.watch().unwrap();
    let (proxy, admission) = (stage.proxy, stage.admission.clone());
    let Stage { gateway, .. } = stage;
    let began = Instant::now();
    let flows = gateway.drain(Duration::from_millis(100));
    assert!(began.elapsed() < PATIENCE);
    assert!(client.is_over());
    seen_dead(watch);
    assert!(std::net::TcpStream::connect(proxy).is_err(), "nobody listens any more");
    let tally = flows.destinations[&format!("127.0.0.1:{}", server.port)];
    assert_eq!(tally.requests, 1);
    assert!(tally.bytes_up > 0 && tally.bytes_down > 0);
    admission.close(RunEnded::default().into()).unwrap();
}

#[test]
fn what_ends_by_itself_is_waited_for() {
    let server = Server::start(|client, _| client.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
    let stage = Setting::new(server.allowed()).start();
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\n\r\n",
        server.url("/"),
        server.port
    ));
    until("it is at the server", || server.connections() == 1);
    let flows = stage.gateway.drain(PATIENCE);
    assert_eq!(client.reply().text(), "ok");
    assert_eq!(flows.destinations.values().next().unwrap().requests, 1);
}

#[test]
fn t89_nothing_passes_once_the_ledger_is_closed() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let mut open = tunnel(&stage, &server);
    let watch = stage.gateway.watch().unwrap();
    stage.admission.clone().close(RunEnded::default().into()).unwrap();
    let mut client = Client::to(stage.proxy);
    client.send(format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.url("/"), server.port));
    // Refused, or not served any more: the gateway may have seen it before us.
    let answer = client.line();
    assert!(answer.is_empty() || answer.contains(" 403 "), "{answer}");
    seen_dead(watch);
    assert!(open.is_over(), "what was open is ended too");
    assert_eq!(server.connections(), 1);
}

#[test]
fn t89_without_the_gateway_nothing_passes() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).port(server.port).start();
    let mut open = tunnel(&stage, &server);
    let watch = stage.gateway.watch().unwrap();
    let doors = [stage.proxy, stage.streams, stage.ports[&server.port]];
    let Stage { gateway, .. } = stage;
    drop(gateway);
    seen_dead(watch);
    assert!(open.is_over());
    for door in doors {
        assert!(std::net::TcpStream::connect(door).is_err(), "{door} is open");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn more_connections_than_there_is_room_for_are_turned_away_and_told() {
    let stage = Setting::new("").bounds(|bounds| bounds.connections = 4).start();
    let held: Vec<Client> = (0..4).map(|_| stage.connect()).collect();
    let mut turned_away = 0;
    until("one is turned away", || {
        let mut client = stage.connect();
        let told = client.reply();
        turned_away += u64::from(told.status == 503);
        assert_eq!(told.error()["code"], "busy");
        turned_away == 10
    });
    assert_eq!(stage.gateway.flows().turned_away, turned_away);
    drop(held);
    until("there is room again", || stage.get("http://x.example/").status == 403);
}

#[test]
fn t75_a_tunnel_in_which_nothing_moves_is_ended() {
    let server = Server::echo();
    let stage =
        Setting::new(server.allowed()).bounds(|bounds| bounds.idle = Duration::from_millis(100)).start();
    assert!(tunnel(&stage, &server).is_over());
    let ends = || {
        stage.recorded(|body| match body {
            Body::Flow(flow) => Some(flow.outcome),
            _ => None,
        })
    };
    until("it is recorded", || !ends().is_empty());
    assert_eq!(ends(), ["idle"]);
}

#[test]
fn thousands_of_connections_at_once_are_survived() {
    let server = Server::echo();
    let stage = Setting::new(server.allowed()).start();
    let mut held = Vec::new();
    for _ in 0..2000 {
        // The machine may have no descriptor or port left: that is enough of them.
        let Ok(stream) = std::net::TcpStream::connect(stage.proxy) else { break };
        held.push(stream);
        if held.len() > 300 {
            held.remove(0);
        }
    }
    drop(held);
    until("it serves again", || stage.get(&server.url("/")).status == 200);
    assert_eq!(stage.gateway.flows().faults, 0);
}
