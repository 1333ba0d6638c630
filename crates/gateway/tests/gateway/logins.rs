//! The inside holds stand-ins of tokens; the gateway alone refreshes what they stand for, and nothing of that leaves or enters.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admission::{Outcome, Permit, Release};
use gateway::{
    Answered, Begun, Keeper, Login, Refused, Secret, State, TokenPlace, TokenQuestion, Turn, Vault,
    VaultError,
};
use ledger::Body;
use ledger::event::LoginRefresh;
use policy::Endpoint;
use serde_json::{Value, json};

use crate::common::{Client, PLACEHOLDER, Reply, Server, Setting, Stage, allow, headers_of};
use crate::origin::{Ca, Origin};

/// What the inside holds in the refresh token's stead.
const STAND: &str = "rt_stand-in-0123456789abcdef0123456789abcdef";
const OLD: [&str; 2] = ["access-the-old-one-of-the-person", "refresh-the-old-one-of-the-person"];
const NEW: [&str; 2] = ["access-the-new-one-of-the-person", "refresh-the-new-one-of-the-person"];

/// A keeper whose file is its memory.
#[derive(Debug)]
struct Memory {
    state: Mutex<State>,
    tokens: Mutex<[String; 2]>,
    /// What somebody else has put there meanwhile.
    beside: Mutex<Option<[String; 2]>>,
    refused: Mutex<Option<Refused>>,
    released: AtomicUsize,
}

impl Memory {
    fn new(state: State) -> Arc<Memory> {
        Arc::new(Memory {
            state: Mutex::new(state),
            tokens: Mutex::new(OLD.map(str::to_owned)),
            beside: Mutex::default(),
            refused: Mutex::default(),
            released: AtomicUsize::new(0),
        })
    }

    fn now(&self) -> [String; 2] {
        self.tokens.lock().unwrap().clone()
    }

    fn put(&self, tokens: [String; 2]) {
        (*self.tokens.lock().unwrap(), *self.state.lock().unwrap()) = (tokens, State::Good);
    }
}

impl Vault for Memory {
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
        permit.begin().1.settle(Outcome::done());
        self.released.fetch_add(1, Ordering::SeqCst);
        Ok(Secret::new(self.now()[0].clone()))
    }
}

#[derive(Debug)]
struct Kept(Arc<Memory>);

impl Keeper for Kept {
    fn state(&self) -> State {
        *self.0.state.lock().unwrap()
    }

    fn tokens(&self) -> Vec<(Secret, String)> {
        let [access, refresh] = self.0.now();
        vec![(Secret::new(access), PLACEHOLDER.to_owned()), (Secret::new(refresh), STAND.to_owned())]
    }

    fn begin(&self) -> Result<Begun, String> {
        if let Some(tokens) = self.0.beside.lock().unwrap().take() {
            self.0.put(tokens);
            return Ok(Begun::Adopted);
        }
        Ok(match self.0.refused.lock().unwrap().clone() {
            Some(refused) => Begun::Refused(refused),
            None => Begun::Ask(Box::new(OneTurn(Arc::clone(&self.0)))),
        })
    }
}

struct OneTurn(Arc<Memory>);

impl Turn for OneTurn {
    fn question(&self, permit: Permit<Release>) -> TokenQuestion {
        let (release, receipt) = permit.begin();
        assert_eq!(release.name, "MODEL_KEY");
        receipt.settle(Outcome::done());
        let body = json!({ "grant_type": "refresh_token", "refresh_token": self.0.now()[1] });
        TokenQuestion { media_type: "application/json", body: body.to_string().into_bytes() }
    }

    fn answered(self: Box<Self>, status: u16, body: &[u8]) -> Answered {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        match (status, text("access_token"), text("refresh_token")) {
            (200, Some(access), Some(refresh)) => {
                self.0.put([access, refresh]);
                Answered::Refreshed
            }
            (400 | 401, ..) => {
                let refused = Refused { status, code: text("error").unwrap_or_default() };
                *self.0.refused.lock().unwrap() = Some(refused.clone());
                Answered::Refused(refused)
            }
            _ => Answered::Failed(format!("it answered {status}")),
        }
    }
}

/// A token endpoint in TLS that gives new tokens, after a while, or says something else.
fn endpoint(ca: &Ca, status: u16, body: Value) -> Origin {
    Origin::start(ca.server("127.0.0.1", |_| {}), move |client, head| {
        let asked = client.body(&headers_of(head), false);
        assert!(String::from_utf8_lossy(&asked).contains(OLD[1]), "it was asked with something else");
        std::thread::sleep(Duration::from_millis(100));
        let body = body.to_string();
        let length = body.len();
        client.send(format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n{body}"));
    })
}

fn gives() -> Value {
    json!({ "access_token": NEW[0], "refresh_token": NEW[1], "expires_in": 3600 })
}

/// A model's server, a token endpoint, and a gateway between them and the inside.
fn stage(server: &Server, endpoint: &Origin, ca: &Ca, memory: &Arc<Memory>) -> Stage {
    let place = |text: &str| TokenPlace {
        endpoint: Endpoint::parse(text).unwrap(),
        secure: true,
        path: "/oauth/token".to_owned(),
    };
    let token = format!("127.0.0.1:{}", endpoint.port);
    let login = Login {
        name: "MODEL_KEY".to_owned(),
        stand: STAND.to_owned(),
        asked: place("login.example:443"),
        token: place(&token),
        answer: json!({ "access_token": PLACEHOLDER, "refresh_token": STAND, "expires_in": 1_000_000 }),
        hint: "log in again with `agent login`".to_owned(),
        keeper: Arc::new(Kept(Arc::clone(memory))),
    };
    let release = format!(
        "[[rule]]\nid = \"key\"\ncredential = [\"MODEL_KEY 127.0.0.1:{}\", \"MODEL_KEY {token}\"]\nneed = \"none\"\n",
        server.port
    );
    let rules = server.allowed() + &allow("login.example:443") + &allow(&token) + &release;
    let mut setting = Setting::new(rules).credential(server.port).trusts(ca.der());
    setting.vault = Some(Arc::clone(memory) as Arc<dyn Vault>);
    setting.logins = vec![login];
    setting.start()
}

fn ask_model(stage: &Stage, server: &Server) -> Reply {
    stage.ask(&format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {PLACEHOLDER}\r\n\r\n",
        server.url("/v1"),
        server.port
    ))
}

/// What the agent says at its token endpoint.
fn say(stage: &Stage, request: &str, body: &str) -> Reply {
    let mut client = stage.opened("login.example:443");
    let length = body.len();
    client
        .send(format!("{request} HTTP/1.1\r\nhost: login.example\r\ncontent-length: {length}\r\n\r\n{body}"));
    client.reply()
}

fn demand(token: &str) -> String {
    json!({ "grant_type": "refresh_token", "refresh_token": token, "client_id": "agent" }).to_string()
}

fn refreshes(stage: &Stage) -> Vec<LoginRefresh> {
    stage.recorded(|body| match body {
        Body::LoginRefresh(refresh) => Some(refresh),
        _ => None,
    })
}

/// No token of the person in anything that the inside or the record can see.
fn holds_no_token(text: &str) {
    for token in OLD.iter().chain(&NEW) {
        assert!(!text.contains(token), "{token} in {text}");
    }
}

fn rule_of(stage: &Stage) -> Vec<String> {
    stage.recorded(|body| match body {
        Body::Denied(denied) => Some(denied.reasons.first()?.rule.clone()),
        _ => None,
    })
}

#[test]
fn a_token_that_is_over_is_refreshed_before_it_is_needed_and_the_new_one_goes() {
    for state in [State::Over, State::Ending] {
        let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(state));
        let endpoint = endpoint(&ca, 200, gives());
        let stage = stage(&server, &endpoint, &ca, &memory);
        for _ in 0..2 {
            let reply = ask_model(&stage, &server);
            assert_eq!(reply.status, 200, "{}", reply.text());
            holds_no_token(&reply.text());
            let sent = server.heads().pop().unwrap();
            assert!(sent.contains(&format!("authorization: Bearer {}", NEW[0])), "{sent}");
        }
        assert_eq!((endpoint.heads().len(), memory.now()), (1, NEW.map(str::to_owned)));
        assert!(endpoint.heads()[0].starts_with("POST /oauth/token HTTP/1.1\n"));
        let told = refreshes(&stage);
        assert_eq!((told.len(), told[0].outcome.as_str()), (1, "refreshed"));
        for event in stage.events() {
            holds_no_token(&serde_json::to_string(&event).unwrap());
        }
    }
}

#[test]
fn a_token_that_is_good_is_not_refreshed() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Good));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    assert_eq!(ask_model(&stage, &server).status, 200);
    assert!(
        server.heads()[0].contains(OLD[0]) && endpoint.connections() == 0 && refreshes(&stage).is_empty()
    );
}

#[test]
fn what_the_agent_asks_its_token_endpoint_never_leaves_and_is_answered_with_stand_ins() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Good));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    for round in 0..3 {
        let reply = say(&stage, "POST /oauth/token", &demand(STAND));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&told["access_token"], &told["refresh_token"]), (&json!(PLACEHOLDER), &json!(STAND)));
        assert!(told["expires_in"].as_u64().is_some_and(|seconds| seconds > 3600));
        holds_no_token(&reply.text());
        // Its word is enough for one refresh; more of them would only wear the login out.
        assert_eq!(endpoint.heads().len(), 1, "round {round}");
    }
    assert_eq!((memory.now()[1].as_str(), stage.lookups()), (NEW[1], 0));
    assert!(endpoint.heads().iter().all(|head| !head.contains("login.example") && !head.contains(STAND)));
}

#[test]
fn many_who_need_a_token_at_once_are_one_refresh() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (stage, server) = (&stage, &server);
            scope.spawn(move || {
                let reply = match number % 2 {
                    0 => ask_model(stage, server),
                    _ => say(stage, "POST /oauth/token", &demand(STAND)),
                };
                assert_eq!(reply.status, 200, "{}", reply.text());
            });
        }
    });
    assert_eq!((endpoint.heads().len(), refreshes(&stage).len()), (1, 1));
    assert!(server.heads().iter().all(|head| head.contains(NEW[0])));
}

#[test]
fn a_refresh_goes_on_where_whoever_wanted_it_has_gone() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    let mut client = stage.connect();
    client.send(format!(
        "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {PLACEHOLDER}\r\n\r\n",
        server.url("/v1"),
        server.port
    ));
    crate::common::until("it is asked", || endpoint.heads().len() == 1);
    drop(client);
    // The end of the run waits for it as well.
    stage.gateway.drain(Duration::ZERO);
    assert_eq!(memory.now(), NEW.map(str::to_owned));
}

#[test]
fn what_somebody_else_refreshed_is_taken_and_nothing_is_asked() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    *memory.beside.lock().unwrap() = Some(NEW.map(str::to_owned));
    let reply = ask_model(&stage, &server);
    assert_eq!(reply.status, 200);
    holds_no_token(&reply.text());
    assert!(server.heads()[0].contains(NEW[0]) && endpoint.connections() == 0);
    assert_eq!(refreshes(&stage)[0].outcome, "adopted");
}

#[test]
fn a_login_that_is_over_is_told_to_the_agent_as_its_provider_does_and_asked_no_more() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let said = json!({ "error": "invalid_grant", "error_description": format!("{} is over", OLD[1]) });
    let endpoint = endpoint(&ca, 400, said);
    let stage = stage(&server, &endpoint, &ca, &memory);
    let reply = say(&stage, "POST /oauth/token", &demand(STAND));
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status, &told["error"]), (400, &json!("invalid_grant")));
    assert!(told["error_description"].as_str().is_some_and(|text| text.contains("agent login")));
    holds_no_token(&reply.text());
    let reply = ask_model(&stage, &server);
    assert_eq!((reply.status, reply.error()["code"].as_str()), (401, Some("logged-out")));
    assert!(reply.text().contains("agent login"));
    assert_eq!((server.connections(), endpoint.heads().len()), (0, 1));
    let told = refreshes(&stage);
    assert!(told.len() == 1 && told[0].outcome == "refused", "{told:?}");
    assert!(told[0].because.as_ref().is_some_and(|text| text.contains("agent login")));
}

#[test]
fn an_endpoint_that_fails_or_is_not_believed_gives_nothing_and_takes_nothing() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let failing = endpoint(&ca, 503, json!({ "echo": OLD[1] }));
    let stage_of = stage(&server, &failing, &ca, &memory);
    let reply = ask_model(&stage_of, &server);
    assert_eq!((reply.status, reply.error()["code"].as_str()), (502, Some("unanswered")));
    holds_no_token(&reply.text());
    let odd = endpoint(&Ca::new(), 200, gives());
    let stage_of = stage(&server, &odd, &ca, &memory);
    let reply = ask_model(&stage_of, &server);
    assert!(reply.status == 502 && reply.text().contains("not to be trusted"), "{}", reply.text());
    assert!(odd.heads().is_empty() && server.connections() == 0);
    // What is good for a while yet is used meanwhile.
    *memory.state.lock().unwrap() = State::Ending;
    assert_eq!(ask_model(&stage_of, &server).status, 200);
    assert!(server.heads()[0].contains(OLD[0]));
}

#[test]
fn nothing_else_is_asked_there_from_inside() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Good));
    let endpoint = endpoint(&ca, 200, gives());
    let stage = stage(&server, &endpoint, &ca, &memory);
    let code = json!({ "grant_type": "authorization_code", "code": "x" }).to_string();
    for (request, body) in [
        ("POST /oauth/revoke", json!({ "token": STAND }).to_string()),
        ("POST /oauth/token/revoke", json!({ "token": STAND }).to_string()),
        ("GET /oauth/authorize?client_id=agent", String::new()),
        ("GET /oauth/token", String::new()),
        ("GET /", String::new()),
        ("POST /oauth/%74oken/x", demand(STAND)),
        ("POST /oauth/token", code),
        ("POST /oauth/token", demand("a token of the agent's own")),
    ] {
        let reply = say(&stage, request, &body);
        assert_eq!((reply.status, reply.error()["rule"].as_str()), (403, Some("login")), "{request}");
        assert!(reply.error()["hint"].as_str().is_some_and(|hint| hint.contains("outside")));
    }
    // The place where it is really refreshed is no other.
    let mut client = stage.opened(&format!("127.0.0.1:{}", endpoint.port));
    client.send(format!("GET / HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\r\n", endpoint.port));
    assert_eq!(client.reply().status, 403);
    // In the clear nothing is said of tokens.
    let body = demand(STAND);
    let clear = stage.ask(&format!(
        "POST http://login.example:443/oauth/token HTTP/1.1\r\nhost: login.example:443\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(clear.status, 403);
    assert_eq!((endpoint.connections(), stage.lookups(), memory.now()[0].as_str()), (0, 0, OLD[0]));
    assert!(rule_of(&stage).iter().all(|rule| rule == "login"));
}

#[test]
fn tokens_are_stopped_wherever_they_are_seen_leaving_those_that_were_given_meanwhile_too() {
    let (server, ca, memory) = (Server::echo(), Ca::new(), Memory::new(State::Over));
    let (endpoint, other) = (endpoint(&ca, 200, gives()), Server::echo());
    let stage = stage(&server, &endpoint, &ca, &memory);
    assert_eq!(ask_model(&stage, &server).status, 200);
    let before = server.connections();
    for token in OLD.iter().chain(&NEW) {
        let head = stage.ask(&format!(
            "GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nx-mine: {token}\r\n\r\n",
            server.url("/v1"),
            server.port
        ));
        assert_eq!(head.status, 403, "{token}");
        let mut client: Client = stage.connect();
        client.send(format!(
            "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-length: {}\r\n\r\n{token}",
            server.url("/v1"),
            server.port,
            token.len()
        ));
        assert_eq!(client.reply().status, 403, "{token}");
    }
    assert!(rule_of(&stage).iter().all(|rule| rule == "placeholder"));
    assert_eq!(server.heads().iter().filter(|head| head.starts_with("GET")).count(), 1);
    assert!(server.connections() >= before && other.connections() == 0);
}
