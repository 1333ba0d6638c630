//! Logins of real agents: they work, what is over is refreshed, and no token of the person's is ever inside.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::built;
use e2e::doubles::front::Front;
use e2e::doubles::model::{Call, ModelServer, Script};
use e2e::doubles::tokens::TokenServer;
use e2e::person::Person;
use e2e::ran::Ran;
use e2e::stage::Stage;
use serde_json::{Value, json};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::real_agents::governed;

/// In every token of the person's, and nowhere else.
const MARK: &str = "ARealToken";
/// Who the person is at the provider: what no agent needs to know.
const MAIL: &str = "ada.private@example.net";

/// The agents that can be logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    Codex,
    Claude,
}

const BOTH: [Agent; 2] = [Agent::Codex, Agent::Claude];

/// The tokens of a login.
struct Login {
    agent: Agent,
    access: String,
    refresh: String,
    until: SystemTime,
}

fn jwt(until: SystemTime, sign: &str) -> String {
    let exp = until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let auth = json!({ "chatgpt_account_id": "account-of-ada", "chatgpt_plan_type": "pro", "chatgpt_user_id": MAIL });
    let claims = json!({ "exp": exp, "email": MAIL, "https://api.openai.com/auth": auth });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{MARK}-{sign}-0123456789abcdef", part(&json!({ "alg": "RS256" })), part(&claims))
}

impl Login {
    /// Tokens of this name, good until then.
    fn new(agent: Agent, name: &str, until: SystemTime) -> Login {
        let access = match agent {
            Agent::Codex => jwt(until, name),
            Agent::Claude => format!("sk-ant-oat01-{MARK}-access-{name}-0123456789abcdef"),
        };
        Login { agent, access, refresh: format!("{MARK}-refresh-{name}-0123456789abcdef"), until }
    }

    fn over(agent: Agent) -> Login {
        Login::new(agent, "old", SystemTime::now() - Duration::from_secs(3600))
    }

    fn good(agent: Agent, name: &str) -> Login {
        Login::new(agent, name, SystemTime::now() + Duration::from_secs(3600))
    }

    /// As the agent keeps them, with a member that nobody knows.
    fn file(&self) -> Value {
        let millis = self.until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let millis = u64::try_from(millis).unwrap();
        match self.agent {
            Agent::Codex => json!({
                "OPENAI_API_KEY": null,
                "tokens": {
                    "id_token": jwt(self.until, "id"),
                    "access_token": self.access,
                    "refresh_token": self.refresh,
                    "account_id": "account-of-ada",
                },
                "last_refresh": "2026-01-01T00:00:00Z",
                "of_another_version": { "kept": true },
            }),
            Agent::Claude => json!({
                "claudeAiOauth": {
                    "accessToken": self.access,
                    "refreshToken": self.refresh,
                    "expiresAt": millis,
                    "scopes": ["user:inference", "user:profile"],
                    "subscriptionType": "max",
                },
                "of_another_version": { "kept": true },
            }),
        }
    }

    /// As an endpoint gives them.
    fn given(&self) -> Value {
        let mut given =
            json!({ "access_token": self.access, "refresh_token": self.refresh, "expires_in": 3600 });
        if self.agent == Agent::Codex {
            given["id_token"] = jwt(self.until, "new-id").into();
        }
        given
    }
}

impl Agent {
    fn place(self) -> &'static str {
        match self {
            Agent::Codex => ".codex/auth.json",
            Agent::Claude => ".claude/.credentials.json",
        }
    }

    fn command(self) -> [&'static str; 3] {
        match self {
            Agent::Codex => ["codex", "exec", "do it"],
            Agent::Claude => ["claude", "-p", "do it"],
        }
    }

    /// Where the tokens are in its file.
    fn kept(self, file: &Value) -> [Value; 2] {
        match self {
            Agent::Codex => ["access_token", "refresh_token"].map(|name| file["tokens"][name].clone()),
            Agent::Claude => ["accessToken", "refreshToken"].map(|name| file["claudeAiOauth"][name].clone()),
        }
    }
}

/// A person who is logged in, the model's server and the token endpoint, both in TLS.
struct Scene {
    stage: Stage,
    model: ModelServer,
    tokens: TokenServer,
    file: PathBuf,
}

/// Looks for tokens in all that is to be seen inside: files, what processes were given, and the agent's memory where it is open.
/// The mark is put together inside, so that the question does not hold what it looks for.
fn look() -> Script {
    let (first, second) = MARK.split_at(5);
    let line = format!(
        "mark=$(printf '%s%s' {first} {second}); \
         echo \"files:$(grep -raIl --exclude-dir=project \"$mark\" ~ /tmp /dev/shm /run 2>/dev/null | tr '\\n' ' ')\"; \
         echo \"given:$(cat /proc/[0-9]*/environ 2>/dev/null | grep -ac \"$mark\")\"; \
         echo \"searched:$(cat /proc/[0-9]*/environ 2>/dev/null | grep -ac PATH)\""
    );
    let show = "cat ~/.codex/auth.json ~/.claude/.credentials.json 2>/dev/null".to_owned();
    Script::of([Call::Shell(line), Call::Shell(show)], "All is done.")
}

fn scene(person: Person, has: &Login, tokens: TokenServer, script: Script) -> Option<Scene> {
    let agents = built::agents(person)?;
    let model = ModelServer::start(script).unwrap();
    let (front, behind) = (Front::of(model.port()).unwrap(), Front::of(tokens.port).unwrap());
    let mut stage = Stage::new(person);
    let ca = stage.elsewhere.join("fronts.pem");
    std::fs::write(&ca, format!("{}{}", front.ca, behind.ca)).unwrap();
    stage.set("SSL_CERT_FILE", &ca);
    stage.set("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", agents.join("node_modules/.bin").display()));
    let (url, token) = (
        format!("https://127.0.0.1:{}", front.port),
        format!("https://127.0.0.1:{}/oauth/token", behind.port),
    );
    match has.agent {
        Agent::Codex => {
            stage.in_home(".codex/config.toml", &config(&url));
            stage.set("CODEX_REFRESH_TOKEN_URL_OVERRIDE", &token);
        }
        Agent::Claude => {
            stage.set("ANTHROPIC_BASE_URL", &url);
            let own =
                stage.in_home(".config/provost/logins.toml", &format!("[claude]\ntoken = \"{token}\"\n"));
            std::fs::set_permissions(own, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let file = stage.in_home(has.agent.place(), &has.file().to_string());
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    Some(Scene { stage, model, tokens, file })
}

fn config(url: &str) -> String {
    format!(
        r#"model = "gpt-5.5"
model_provider = "scripted"
chatgpt_base_url = "{url}/backend-api"

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
requires_openai_auth = true
"#
    )
}

/// The provider that everybody has who is logged in, at another address. It asks by a WebSocket first, which the double refuses unless it is to talk.
fn usual_config(url: &str) -> String {
    format!("model = \"gpt-5.5\"\nopenai_base_url = \"{url}/v1\"\nchatgpt_base_url = \"{url}/backend-api\"\n")
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

impl Scene {
    /// Runs the agent; nothing of the person's tokens may come out of it anywhere.
    fn run(&self, agent: Agent) -> Ran {
        let ran = governed(&self.stage, &agent.command());
        // What looks for the mark inside says it, and no more than that.
        let mark = &format!("{MARK}-");
        assert!(!format!("{ran}").contains(mark), "a token was printed: {ran}");
        for exchange in self.model.exchanges() {
            let body = exchange.body.to_string();
            assert!(!body.contains(mark), "a token went to the model: {body}");
        }
        let ledger: String = self.stage.ledger().0.iter().map(ToString::to_string).collect();
        assert!(!ledger.contains(mark), "a token is in the record");
        ran
    }

    /// What of the login was inside: a file of its own shape, and nothing real.
    fn nothing_real_was_inside(&self, agent: Agent) {
        let told = self.model.told();
        assert_eq!(told.len(), 2, "{told:#?}");
        assert!(told[0].contains("files:\ngiven:0\nsearched:"), "found: {}", told[0]);
        assert!(!told[0].contains("searched:0"), "no process was seen: {}", told[0]);
        let known = match agent {
            Agent::Codex => "access_token",
            Agent::Claude => "accessToken",
        };
        assert!(told[1].contains(known) && told[1].contains("provost-"), "no login was inside: {}", told[1]);
        for part in told[1].split(|letter: char| !letter.is_ascii_alphanumeric() && !"-_".contains(letter)) {
            let text = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains(MAIL), "who the person is: {}", told[1]);
        }
    }

    /// What the person has now.
    fn has(&self, login: &Login) {
        let file = read(&self.file);
        let tokens = [&login.access, &login.refresh].map(|token| Value::from(token.as_str()));
        assert_eq!(login.agent.kept(&file), tokens);
        assert_eq!(file["of_another_version"]["kept"], true, "what it did not know is gone: {file}");
        let data = std::fs::metadata(&self.file).unwrap();
        assert_eq!((data.mode() & 0o7777, data.uid()), (0o640, self.stage.person.uid));
        let beside = std::fs::read_dir(self.file.parent().unwrap()).unwrap();
        let left: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("provost")), "left behind: {left:?}");
    }

    fn refreshes(&self) -> Vec<String> {
        let ledger = self.stage.ledger();
        let outcomes = ledger.of("login.refresh").map(|event| event["outcome"].as_str().unwrap().to_owned());
        outcomes.collect()
    }
}

#[test]
fn a_login_that_is_over_is_refreshed_and_the_agent_does_its_work_without_a_token() {
    for person in Person::everybody() {
        for agent in BOTH {
            let (old, new) = (Login::over(agent), Login::good(agent, "new"));
            let tokens = TokenServer::start(Some(&old.refresh), new.given()).unwrap();
            let script = look().for_key(&new.access);
            let Some(scene) = scene(person, &old, tokens, script) else { return };
            let ran = scene.run(agent).ended(0).printed("All is done.");
            assert!(ran.stderr.contains("refreshed 1 time"), "{ran}");
            scene.nothing_real_was_inside(agent);
            scene.has(&new);
            assert_eq!((scene.tokens.asked().len(), scene.refreshes()), (1, vec!["refreshed".to_owned()]));
            let keys = scene.model.exchanges();
            assert!(keys.iter().filter_map(|exchange| exchange.key()).all(|key| key == new.access));
            scene.stage.says(&["ledger", "verify"]).ended(0).printed("whole");
        }
    }
}

#[test]
fn an_agent_whose_model_wants_another_token_asks_for_one_and_gets_stand_ins() {
    for agent in BOTH {
        let (old, new) = (Login::good(agent, "old"), Login::good(agent, "new"));
        let tokens = TokenServer::start(Some(&old.refresh), new.given()).unwrap();
        let Some(scene) = scene(Person::myself(), &old, tokens, look().for_key(&new.access)) else { return };
        scene.run(agent).ended(0).printed("All is done.");
        scene.nothing_real_was_inside(agent);
        scene.has(&new);
        assert_eq!((scene.tokens.asked().len(), scene.refreshes()), (1, vec!["refreshed".to_owned()]));
        // The agent asked: a question with a stand-in would have been refused.
        assert_eq!(scene.tokens.asked()[0].1["refresh_token"], old.refresh);
    }
}

#[test]
fn a_login_that_was_taken_back_ends_the_run_and_the_person_is_told_to_log_in_again() {
    for agent in BOTH {
        let old = Login::over(agent);
        let tokens = TokenServer::start(None, Value::Null).unwrap();
        let Some(scene) = scene(Person::myself(), &old, tokens, look()) else { return };
        let ran = scene.run(agent);
        assert_ne!(ran.status, 0, "{ran}");
        let hint = match agent {
            Agent::Codex => "log in again with `codex login`",
            Agent::Claude => "log in again with `/login`",
        };
        assert!(ran.stderr.contains(hint), "{ran}");
        scene.stage.says(&["show"]).ended(0).printed(hint);
        scene.has(&old);
        assert_eq!((scene.tokens.asked().len(), scene.refreshes()), (1, vec!["refused".to_owned()]));
        assert!(scene.model.exchanges().iter().all(|exchange| exchange.key().is_none()), "{ran}");
    }
}

#[test]
fn codexs_usual_provider_works_with_a_login_and_its_websocket_is_given_no_token_either() {
    for script in [look(), look().that_talks()] {
        let (agent, talks) = (Agent::Codex, script.talks);
        let (old, new) = (Login::over(agent), Login::good(agent, "new"));
        let tokens = TokenServer::start(Some(&old.refresh), new.given()).unwrap();
        let Some(mut scene) = scene(Person::myself(), &old, tokens, script.for_key(&new.access)) else {
            return;
        };
        let front = Front::of(scene.model.port()).unwrap();
        let ca = scene.stage.elsewhere.join("fronts.pem");
        let known = std::fs::read_to_string(&ca).unwrap();
        std::fs::write(&ca, format!("{known}{}", front.ca)).unwrap();
        scene.stage.set("OPENAI_API_KEY", "sk-what-codex-does-not-heed-when-it-is-logged-in");
        let url = format!("https://127.0.0.1:{}", front.port);
        scene.stage.in_home(".codex/config.toml", &usual_config(&url));
        scene.run(agent).ended(0).printed("All is done.");
        scene.nothing_real_was_inside(agent);
        scene.has(&new);
        let asked = scene.model.exchanges();
        assert!(asked.iter().filter_map(|exchange| exchange.key()).all(|key| key == new.access));
        let questions = asked.iter().filter(|exchange| exchange.path() == "/v1/responses");
        let messages = questions.filter(|exchange| (exchange.method == "GET") && exchange.body.is_object());
        assert!(!talks || messages.count() >= 3, "it did not talk: {asked:#?}");
    }
}

#[test]
fn a_login_that_would_be_seen_inside_stops_the_run() {
    let agent = Agent::Codex;
    let old = Login::good(agent, "old");
    let tokens = TokenServer::start(None, Value::Null).unwrap();
    let Some(mut scene) = scene(Person::myself(), &old, tokens, look()) else { return };
    std::fs::rename(scene.stage.home.join(".codex"), scene.stage.workspace.join("mine")).unwrap();
    scene.stage.set("CODEX_HOME", scene.stage.workspace.join("mine"));
    let words = ["run", "--unattended", "--", "codex", "exec", "do it"];
    scene.stage.says(&words).ended(125).complained("would be seen inside").complained("CODEX_HOME");
    // Hidden by a rule, it is no more inside than elsewhere.
    let policy = scene.stage.policy(
        "version = 1\n\n[[rule]]\nid = \"mine\"\nread = [\"./mine/**\"]\nwrite = [\"./mine/**\"]\nneed = \"never\"\n",
    );
    let words = ["run", "--unattended", "--policy", &policy, "--", "codex", "exec", "do it"];
    scene.stage.says(&words).ended(0).printed("All is done.");
    let told = scene.model.told();
    assert!(told[0].contains("given:0") && told[1].contains("provost-"), "{told:#?}");
    let line = format!("grep -raIl {MARK}- ~ . 2>/dev/null; echo searched");
    let ran = scene.stage.inside_with(&["--policy", &policy], &line).ended(0);
    assert_eq!(ran.stdout, "searched\n", "{ran}");
}

#[test]
fn logins_are_in_the_list_of_credentials() {
    let old = Login::over(Agent::Claude);
    let stage = Stage::new(Person::myself());
    stage.says(&["credential", "list"]).ended(0).printed("No credential yet");
    stage.in_home(Agent::Claude.place(), &old.file().to_string());
    let told = stage.says(&["credential", "list"]).ended(0);
    let told =
        told.printed("claude-login").printed("api.anthropic.com/v1/messages").printed("refreshed when");
    assert!(!told.stdout.contains(MARK), "{told}");
    let line = stage.says(&["credential", "list", "--format", "json"]).ended(0).json();
    assert_eq!((&line[0]["name"], &line[0]["state"]), (&json!("claude-login"), &json!("over")), "{line:?}");
    stage.in_home(Agent::Codex.place(), &Login::good(Agent::Codex, "old").file().to_string());
    stage.says(&["credential", "list"]).ended(0).printed("codex-login").printed("claude-login");
}
