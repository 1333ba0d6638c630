//! Logins as agents keep them, and refreshes beside others.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use gateway::{Answered, Begun, Keeper as _, State};
use policy::{Action, HttpRequest, Scheme};
use serde_json::{Value, json};

use super::*;
use crate::agents::{Host, recognise};
use crate::toolchains::Environment;

const CODEX: &str = ".codex/auth.json";
const CLAUDE: &str = ".claude/.credentials.json";
/// Marks every token of the person's.
const MARK: &str = "arealtoken";

/// A person who may be logged in.
struct Ann(tempfile::TempDir);

impl Ann {
    fn new() -> Ann {
        Ann(tempfile::tempdir().unwrap())
    }

    fn file(&self, path: &str, content: &Value) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        path
    }

    fn found(&self, command: &str, variables: &[(&str, &str)]) -> Option<Found> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let environment = Environment::new(variables, self.0.path(), self.0.path());
        let argv = [command.into(), "x".into()];
        recognise(&argv)
            .login(&Host { environment: &environment, argv: &argv, folder: self.0.path() })
            .unwrap()
    }

    fn login(&self, command: &str) -> Login {
        let found = self.found(command, &[]).unwrap();
        Login::made(found, None, &self.0.path().join("state")).unwrap()
    }
}

fn jwt_of(claims: &Value) -> String {
    format!("{}.{MARK}", jwt(claims).unwrap().rsplit_once('.').unwrap().0)
}

fn seconds(when: SystemTime) -> u64 {
    when.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn after(seconds: i64) -> SystemTime {
    let length = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { SystemTime::now() - length } else { SystemTime::now() + length }
}

fn access_of_codex(until: SystemTime, more: &str) -> String {
    jwt_of(&json!({
        "exp": seconds(until),
        "email": "ann@example.org",
        "more": more,
        "https://api.openai.com/auth": {
            "chatgpt_account_id": "an-account", "chatgpt_plan_type": "pro", "chatgpt_user_id": "ann-herself",
        },
    }))
}

fn codex(until: SystemTime) -> Value {
    json!({
        "OPENAI_API_KEY": null,
        "tokens": {
            "id_token": jwt_of(&json!({ "email": "ann@example.org", "sub": "ann-herself" })),
            "access_token": access_of_codex(until, ""),
            "refresh_token": format!("{MARK}-refresh"),
            "account_id": "an-account",
        },
        "last_refresh": "2026-01-01T00:00:00Z",
        "more": 1,
    })
}

fn claude(until: SystemTime) -> Value {
    json!({
        "claudeAiOauth": {
            "accessToken": format!("sk-ant-oat01-{MARK}"),
            "refreshToken": format!("sk-ant-ort01-{MARK}"),
            "expiresAt": seconds(until) * 1000,
            "scopes": ["user:inference", "user:profile"],
            "subscriptionType": "max",
            "more": 1,
        },
        "mcpOAuth": { "a server": { "accessToken": format!("another-{MARK}") } },
    })
}

/// Both agents, with a file in which the access token is good until then.
fn both(until: SystemTime) -> [(&'static str, &'static str, Value); 2] {
    [("codex", CODEX, codex(until)), ("claude", CLAUDE, claude(until))]
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn given() -> Value {
    json!({
        "access_token": access_of_codex(after(3600), MARK), "refresh_token": format!("{MARK}-the-new-refresh"),
        "expires_in": 3600,
    })
}

fn turn(login: &Login) -> Box<dyn gateway::Turn> {
    match login.kept.begin().unwrap() {
        Begun::Ask(turn) => turn,
        other => panic!("{other:?}"),
    }
}

fn answered(turn: Box<dyn gateway::Turn>, status: u16, body: &Value) -> Answered {
    turn.answered(status, body.to_string().as_bytes())
}

#[test]
fn the_inside_gets_a_login_of_the_same_shape_without_a_token_and_without_who_the_person_is() {
    for (command, place, file) in both(after(-10)) {
        let ann = Ann::new();
        ann.file(place, &file);
        let (login, another) = (ann.login(command), ann.login(command));
        let mut outfit = Outfit::default();
        login.enter(&mut outfit);
        let (path, content) = &outfit.files[0];
        assert_eq!(path, Path::new(place));
        let text = String::from_utf8(content.clone()).unwrap();
        for secret in [MARK, "ann@example.org", "ann-herself"] {
            assert!(!text.contains(secret), "{text}");
        }
        let inside: Value = serde_json::from_str(&text).unwrap();
        // As the agent reads it, it is a login that is good for long.
        let tokens = login.found.format.read(&inside).unwrap();
        assert_eq!(kept::state(&tokens, after(20 * 24 * 3600)), State::Good);
        for stand in [&login.stands.access, &login.stands.refresh] {
            assert!(text.contains(stand.as_str()) && stand.len() > 40);
            for part in stand.split('.') {
                use base64::Engine as _;
                let plain = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
                let plain = String::from_utf8_lossy(&plain).into_owned();
                assert!(!plain.contains("ann@") && !plain.contains("ann-herself"), "{plain}");
            }
        }
        assert_ne!(login.stands, another.stands, "every run has its own");
        assert!(!format!("{login:?}").contains(MARK));
    }
    let ann = Ann::new();
    ann.file(CODEX, &codex(after(9)));
    let claims = claims(&ann.login("codex").stands.access).unwrap();
    let auth = &claims["https://api.openai.com/auth"];
    assert_eq!(
        (&auth["chatgpt_account_id"], &auth["chatgpt_plan_type"]),
        (&json!("an-account"), &json!("pro"))
    );
}

#[test]
fn a_login_is_used_where_the_agent_would_use_it() {
    let ann = Ann::new();
    assert!(ann.found("codex", &[]).is_none() && ann.found("claude", &[]).is_none());
    ann.file(CODEX, &codex(after(9)));
    ann.file(CLAUDE, &claude(after(9)));
    assert!(ann.found("codex", &[("OPENAI_API_KEY", "sk-x")]).is_some(), "Codex heeds its login first");
    assert!(ann.found("codex", &[("CODEX_API_KEY", "sk-x")]).is_none());
    assert!(ann.found("claude", &[]).is_some() && ann.found("sh", &[]).is_none());
    for key in ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK"] {
        assert!(ann.found("claude", &[(key, "x")]).is_none(), "{key}");
    }
    ann.file(CODEX, &json!({ "OPENAI_API_KEY": "sk-x", "tokens": null }));
    ann.file(CLAUDE, &json!({ "mcpOAuth": {} }));
    assert!(ann.found("codex", &[]).is_none() && ann.found("claude", &[]).is_none());
}

#[test]
fn an_access_token_is_good_for_the_models_requests_and_no_others() {
    let ann = Ann::new();
    ann.file(CODEX, &codex(after(9)));
    ann.file(CLAUDE, &claude(after(9)));
    for (command, scheme, method, place, path, good) in [
        ("codex", Scheme::Https, "POST", "chatgpt.com:443", "/backend-api/codex/responses", true),
        ("codex", Scheme::Wss, "GET", "chatgpt.com:443", "/backend-api/codex/responses", true),
        ("codex", Scheme::Https, "GET", "chatgpt.com:443", "/backend-api/wham/usage", true),
        ("codex", Scheme::Https, "GET", "chatgpt.com:443", "/backend-api/conversations", false),
        ("codex", Scheme::Https, "DELETE", "chatgpt.com:443", "/backend-api/codex/x", false),
        ("codex", Scheme::Https, "POST", "auth.openai.com:443", "/oauth/token", false),
        ("codex", Scheme::Https, "POST", "evil.example:443", "/backend-api/codex/responses", false),
        ("claude", Scheme::Https, "POST", "api.anthropic.com:443", "/v1/messages", true),
        ("claude", Scheme::Https, "GET", "api.anthropic.com:443", "/api/oauth/profile", true),
        (
            "claude",
            Scheme::Https,
            "POST",
            "api.anthropic.com:443",
            "/api/oauth/claude_cli/create_api_key",
            false,
        ),
        ("claude", Scheme::Https, "POST", "api.anthropic.com:443", "/v1/files", false),
    ] {
        let login = ann.login(command);
        let [access, rest @ ..] = &login.placeholders()[..] else { panic!("no placeholder") };
        assert!(
            rest.iter().all(|other| other.bound.is_empty()),
            "only the access token is good for anything"
        );
        let endpoint = policy::Endpoint::parse(place).unwrap();
        let request = Action::Http(HttpRequest::new(scheme, endpoint.clone(), method, path).unwrap());
        let is = access.bound.contains(&endpoint) && access.only.iter().any(|only| only.covers(&request));
        assert_eq!(is, good, "{command} {method} {place}{path}");
        assert_eq!(
            login.access(&endpoint).is_some(),
            place.starts_with("chatgpt") || place.starts_with("api")
        );
    }
}

#[test]
fn new_tokens_are_written_where_the_agent_has_them_and_all_else_stays() {
    for (command, place, file) in both(after(-10)) {
        let ann = Ann::new();
        let path = ann.file(place, &file);
        let (login, before) = (ann.login(command), fs::metadata(&path).unwrap());
        assert_eq!(login.kept.state(), State::Over);
        assert_eq!(answered(turn(&login), 200, &given()), Answered::Refreshed);
        assert_eq!(login.kept.state(), State::Good);
        let mut now = read(&path);
        let tokens = login.found.format.read(&now).unwrap();
        assert_eq!(tokens.refresh.expose(), format!("{MARK}-the-new-refresh").as_bytes());
        assert_eq!(tokens.access.expose(), given()["access_token"].as_str().unwrap().as_bytes());
        let data = fs::metadata(&path).unwrap();
        assert_eq!((data.mode(), data.uid(), data.gid()), (before.mode(), before.uid(), before.gid()));
        assert_ne!(data.ino(), before.ino(), "it was written over and not replaced");
        // Undone, it is what it was: nothing else was touched.
        for (member, known) in [("tokens", "access_token"), ("claudeAiOauth", "accessToken")] {
            if let Some(login) = now.get_mut(member) {
                assert_ne!(login[known], file[member][known]);
                *login = file[member].clone();
            }
        }
        if command == "codex" {
            assert_ne!(now["last_refresh"], file["last_refresh"]);
            now["last_refresh"] = file["last_refresh"].clone();
        }
        assert_eq!(now, file);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "something was left behind");
    }
}

#[test]
fn a_refresh_token_that_stays_good_and_a_link_stay() {
    let ann = Ann::new();
    let real = ann.file("elsewhere/login.json", &claude(after(-10)));
    fs::create_dir_all(ann.0.path().join(".claude")).unwrap();
    let link = ann.0.path().join(CLAUDE);
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let login = ann.login("claude");
    let body = json!({ "access_token": format!("{MARK}-the-new-access"), "expires_in": 60 });
    assert_eq!(answered(turn(&login), 200, &body), Answered::Refreshed);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let now = login.found.format.read(&read(&real)).unwrap();
    assert_eq!(now.refresh.expose(), format!("sk-ant-ort01-{MARK}").as_bytes());
    assert_eq!(login.kept.state(), State::Ending, "it is good for a minute");
}

#[test]
fn what_somebody_else_refreshed_is_taken_before_anything_is_asked() {
    for (command, place, file) in both(after(-10)) {
        let ann = Ann::new();
        ann.file(place, &file);
        let login = ann.login(command);
        let mut newer = if command == "codex" { codex(after(3600)) } else { claude(after(3600)) };
        newer["claudeAiOauth"]["accessToken"] = format!("{MARK}-of-another-run").into();
        ann.file(place, &newer);
        assert!(matches!(login.kept.begin(), Ok(Begun::Adopted)), "{command}");
        assert_eq!(login.kept.state(), State::Good);
    }
}

#[test]
fn who_refreshes_without_a_lock_meanwhile_loses_nothing() {
    let newer = || {
        let mut newer = claude(after(3600));
        newer["claudeAiOauth"]["accessToken"] = format!("{MARK}-of-the-real-agent").into();
        newer["claudeAiOauth"]["refreshToken"] = format!("{MARK}-of-the-real-agent-too").into();
        newer
    };
    // Their refresh token came first: ours is refused, and theirs is taken. Or the endpoint gave tokens to both.
    let refused = json!({ "error": "invalid_grant" });
    for (status, body) in [(400, refused), (200, given())] {
        let ann = Ann::new();
        let path = ann.file(CLAUDE, &claude(after(-10)));
        let login = ann.login("claude");
        let asked = turn(&login);
        ann.file(CLAUDE, &newer());
        assert_eq!(answered(asked, status, &body), Answered::Adopted, "{status}");
        assert_eq!(read(&path), newer());
        assert_eq!(login.kept.access().expose(), format!("{MARK}-of-the-real-agent").as_bytes());
    }
}

#[test]
fn two_runs_refresh_one_after_the_other_and_the_second_takes_what_the_first_got() {
    for (command, place, file) in both(after(-10)) {
        let ann = Ann::new();
        ann.file(place, &file);
        let (one, two) = (ann.login(command), ann.login(command));
        let asked = turn(&one);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| two.kept.begin());
            std::thread::sleep(Duration::from_millis(300));
            assert!(!second.is_finished(), "two refresh at once");
            assert_eq!(answered(asked, 200, &given()), Answered::Refreshed);
            assert!(matches!(second.join().unwrap(), Ok(Begun::Adopted)), "{command}");
        });
        assert_eq!(two.kept.access(), one.kept.access());
    }
}

#[test]
fn an_agents_own_lock_is_heeded_held_and_given_back_and_a_stale_one_taken() {
    let ann = Ann::new();
    ann.file(CLAUDE, &claude(after(-10)));
    let lock = ann.0.path().join(".claude/.oauth_refresh.lock");
    let login = ann.login("claude");
    fs::create_dir(&lock).unwrap();
    std::thread::scope(|scope| {
        let begun = scope.spawn(|| login.kept.begin());
        std::thread::sleep(Duration::from_millis(300));
        assert!(!begun.is_finished(), "the agent is refreshing");
        fs::remove_dir(&lock).unwrap();
        let turn = begun.join().unwrap();
        assert!(matches!(turn, Ok(Begun::Ask(_))) && lock.is_dir());
    });
    assert!(!lock.exists());
    fs::create_dir(&lock).unwrap();
    fs::File::open(&lock).unwrap().set_modified(after(-60)).unwrap();
    assert!(matches!(login.kept.begin(), Ok(Begun::Ask(_))));
    assert!(!lock.exists());
}

#[test]
fn a_refusal_is_for_good_until_the_person_logs_in_again() {
    for (status, error, code) in [
        (400, json!("invalid_grant"), "invalid_grant"),
        (401, json!({ "code": "refresh_token_reused", "message": "x" }), "refresh_token_reused"),
        (401, json!(format!("{MARK} is over")), "refused"),
        (401, Value::Null, "refused"),
    ] {
        let ann = Ann::new();
        let path = ann.file(CODEX, &codex(after(-10)));
        let (login, before) = (ann.login("codex"), fs::read(&path).unwrap());
        let refused = gateway::Refused { status, code: code.to_owned() };
        let said = answered(turn(&login), status, &json!({ "error": error }));
        assert_eq!(said, Answered::Refused(refused.clone()));
        assert!(matches!(login.kept.begin(), Ok(Begun::Refused(known)) if known == refused));
        assert_eq!(fs::read(&path).unwrap(), before);
        let mut anew = codex(after(3600));
        anew["tokens"]["refresh_token"] = format!("{MARK}-another-refresh").into();
        anew["tokens"]["access_token"] = access_of_codex(after(3600), "anew").into();
        ann.file(CODEX, &anew);
        assert!(matches!(login.kept.begin(), Ok(Begun::Adopted)));
    }
}

#[test]
fn what_is_no_answer_changes_nothing_and_may_be_tried_again() {
    let long = "x".repeat(20_000);
    for (status, body) in [
        (200, json!({})),
        (200, json!({ "access_token": "short" })),
        (200, json!({ "access_token": "a token with\r\nset-cookie: x in it" })),
        (200, json!({ "access_token": long })),
        (200, json!({ "access_token": format!("{MARK}-access-new"), "refresh_token": 7 })),
        (302, json!({ "access_token": format!("{MARK}-access-new") })),
        (400, json!({ "error": "temporarily_unavailable" })),
        (403, json!({ "error": "invalid_grant" })),
        (429, json!({ "error": "invalid_grant" })),
        (500, Value::Null),
    ] {
        let ann = Ann::new();
        let path = ann.file(CLAUDE, &claude(after(-10)));
        let (login, before) = (ann.login("claude"), fs::read(&path).unwrap());
        let said = answered(turn(&login), status, &body);
        assert!(matches!(&said, Answered::Failed(why) if !why.contains(MARK)), "{body} {said:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(matches!(login.kept.begin(), Ok(Begun::Ask(_))), "{body}");
    }
}

#[test]
fn tokens_that_could_not_be_written_down_are_not_asked_for() {
    let ann = Ann::new();
    let path = ann.file(CLAUDE, &claude(after(-10)));
    let login = ann.login("claude");
    // A folder in the place of what would be written: root is stopped by it too.
    let next = path.with_file_name(format!(".{}.provost-{}", ".credentials.json", std::process::id()));
    fs::create_dir_all(next.join("x")).unwrap();
    let because = login.kept.begin().unwrap_err();
    assert!(because.contains("could not be written"), "{because}");
    fs::remove_file(&path).unwrap();
    assert!(login.kept.begin().unwrap_err().contains("/login"), "who logs out is told how to log in");
}

#[test]
fn tokens_that_could_not_be_written_down_are_kept_for_the_run_and_written_with_the_next() {
    let ann = Ann::new();
    let old = claude(after(-10));
    let path = ann.file(CLAUDE, &old);
    let login = ann.login("claude");
    let turn = turn(&login);
    // Its agent has begun to write it, and does not come to an end.
    fs::write(&path, "{").unwrap();
    assert!(matches!(answered(turn, 200, &given()), Answered::Failed(because) if because.contains("JSON")));
    assert_eq!(login.kept.state(), State::Good, "the run goes on with what it was given");
    let new = login.kept.access();
    assert!(!old.to_string().contains(&String::from_utf8_lossy(new.expose()).into_owned()));
    // The old ones are in the file again, and good no more: what is asked with next are ours.
    ann.file(CLAUDE, &old);
    let asked = match login.kept.begin() {
        Ok(Begun::Ask(turn)) => turn,
        other => panic!("{other:?}"),
    };
    assert_eq!(login.kept.access(), new);
    let next = json!({ "access_token": format!("{MARK}-the-access-after"), "refresh_token": format!("{MARK}-the-refresh-after"), "expires_in": 3600 });
    assert_eq!(answered(asked, 200, &next), Answered::Refreshed);
    assert!(read(&path).to_string().contains("the-refresh-after"));
}

#[test]
fn room_for_new_tokens_is_taken_before_they_are_asked_for() {
    let ann = Ann::new();
    let path = ann.file(CLAUDE, &claude(after(-10)));
    let login = ann.login("claude");
    let Ok(Begun::Ask(turn)) = login.kept.begin() else { panic!("nothing is to be asked") };
    let next = path.with_file_name(format!(".{}.provost-{}", ".credentials.json", std::process::id()));
    let room = fs::metadata(next).unwrap().blocks() * 512;
    assert!(room >= 256 * 1024, "whoever fills the disk now has the tokens lost: {room}");
    drop(turn);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn where_tokens_are_refreshed_is_a_plain_place_in_tls_or_here() {
    for good in [
        "https://auth.openai.com/oauth/token",
        "https://127.0.0.1:4433/v1/oauth/token",
        "http://127.0.0.1:8080/token",
    ] {
        assert!(place(good).is_ok(), "{good}");
    }
    for odd in [
        "http://auth.openai.com/oauth/token",
        "https://auth.openai.com",
        "https://auth.openai.com/oauth/../token",
        "https://auth.openai.com/oauth/token?x=y",
        "https://auth.openai.com//token",
        "https://auth.openai.com/oauth/%74oken",
        "https://user@auth.openai.com/oauth/token",
        "https://*.openai.com/oauth/token",
        "ftp://auth.openai.com/x",
        "auth.openai.com/oauth/token",
        "",
    ] {
        assert!(place(odd).is_err(), "{odd}");
    }
}

#[test]
fn nobody_but_the_person_says_where_a_login_is_refreshed() {
    let ann = Ann::new();
    let folders =
        Folders { home: ann.0.path().into(), state: ann.0.path().into(), config: ann.0.path().into() };
    assert_eq!(elsewhere::token(&folders, "claude").unwrap(), None);
    let path = ann.0.path().join("logins.toml");
    fs::write(&path, "[claude]\ntoken = \"https://127.0.0.1:1/token\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(elsewhere::token(&folders, "claude").unwrap().as_deref(), Some("https://127.0.0.1:1/token"));
    assert_eq!(elsewhere::token(&folders, "codex").unwrap(), None);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let failure = elsewhere::token(&folders, "claude").unwrap_err();
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.contains("chmod 600")), "{failure:?}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "[claude]\nurl = \"x\"\n").unwrap();
    assert!(elsewhere::token(&folders, "claude").is_err());
}

#[test]
fn a_login_that_the_inside_could_read_is_refused() {
    let ann = Ann::new();
    ann.file(CODEX, &codex(after(9)));
    let (login, home) = (ann.login("codex"), fs::canonicalize(ann.0.path()).unwrap());
    let asked = |read: &[&str], hidden: &[&str], tier| {
        let trees = |paths: &[&str]| paths.iter().map(|path| home.join(path)).collect();
        Confinement { read: trees(read), hidden: trees(hidden), tier, ..Confinement::default() }
    };
    let seen = |read: &[&str], hidden: &[&str], tier, home: &Path| {
        login.stays_outside(&asked(read, hidden, tier), home).is_err()
    };
    let elsewhere = home.join("another");
    assert!(!seen(&["work"], &[], Tier::Namespaces, &elsewhere));
    assert!(
        seen(&[".codex"], &[], Tier::Namespaces, &elsewhere)
            && seen(&[CODEX], &[], Tier::Namespaces, &elsewhere)
    );
    assert!(!seen(&[".codex"], &[".codex"], Tier::Namespaces, &elsewhere), "a rule hides it");
    assert!(
        seen(&[".codex"], &[CODEX], Tier::Namespaces, &elsewhere),
        "what hides the file alone goes with it"
    );
    // In a view of its own the inside has another file there; without one it is the same.
    assert!(
        !seen(&[".codex"], &[], Tier::Namespaces, &home) && seen(&[".codex"], &[], Tier::Landlock, &home)
    );
}
