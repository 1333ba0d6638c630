//! Installations as npm and pip lay them out, commands as people write them, settings as the agents write them.

use super::*;
use crate::secrets::{Credential, Credentials, How, Shape};
use crate::toolchains;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tempfile::TempDir;

mod laws;

/// A person who has agents installed.
struct Person {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Person {
    fn new() -> Self {
        let person = Self { folder: tempfile::tempdir().unwrap(), variables: Vec::new() };
        fs::create_dir_all(person.home().join("work")).unwrap();
        fs::create_dir_all(person.home().join("bin")).unwrap();
        person
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("ann")
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        if content.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    /// As `npm install -g` with a prefix of one's own.
    fn npm(&self, package: &str, program: &str, script: &str) -> &Self {
        self.file(&format!("npm/lib/node_modules/{package}/{script}"), "#!/usr/bin/env node\n");
        self.file(
            &format!("npm/lib/node_modules/{package}/package.json"),
            "{\"name\":\"x\",\"version\":\"1.2.3\"}",
        );
        fs::create_dir_all(self.home().join("npm/bin")).unwrap();
        symlink(format!("../lib/node_modules/{package}/{script}"), self.home().join("npm/bin").join(program))
            .unwrap();
        self
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn environment(&self) -> Environment {
        let home = self.home().display().to_string();
        let path = ("PATH".to_owned(), format!("{home}/work/bin:{home}/bin:{home}/npm/bin:/usr/bin:/bin"));
        let variables =
            self.variables.iter().cloned().chain([path]).map(|(name, value)| (name.into(), value.into()));
        Environment::new(variables, &self.home(), &self.home().join("work"))
    }

    fn outfit(&self, command: &str) -> Result<(Outfit, Credentials), AgentError> {
        self.outfit_passing(command, &[])
    }

    fn outfit_passing(&self, command: &str, passed: &[String]) -> Result<(Outfit, Credentials), AgentError> {
        let (argv, environment) = (words(command), self.environment());
        let folder = self.home().join("work");
        let host = Host { environment: &environment, argv: &argv, folder: &folder };
        let agent = recognise(&argv);
        let credentials = Credentials::prepare(&agent.wants(&host)?, &environment, passed).unwrap();
        Ok((agent.outfit(&host, &credentials)?, credentials))
    }

    fn codex(&self) -> &Self {
        self.npm("@openai/codex", "codex", "bin/codex.js")
    }

    fn claude(&self) -> &Self {
        self.npm("@anthropic-ai/claude-code", "claude", "bin/claude.exe")
    }
}

fn words(command: &str) -> Vec<OsString> {
    command.split_whitespace().map(OsString::from).collect()
}

fn line(outfit: &Outfit) -> String {
    outfit.argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn content(outfit: &Outfit, path: &str) -> String {
    let found = outfit.files.iter().find(|(name, _)| name == Path::new(path));
    String::from_utf8(found.unwrap_or_else(|| panic!("no {path}")).1.clone()).unwrap()
}

fn table(text: &str) -> toml::Value {
    text.parse::<toml::Table>().unwrap().into()
}

fn variable<'a>(outfit: &'a Outfit, name: &str) -> Option<&'a str> {
    outfit.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn agents_are_recognised_however_they_are_started() {
    for (command, name) in [
        ("codex", "codex"),
        ("codex exec fix", "codex"),
        ("/opt/x/bin/codex", "codex"),
        ("npx @openai/codex exec fix", "codex"),
        ("npx -y @openai/codex@0.169.0 exec", "codex"),
        ("npx --yes --package @openai/codex -- codex exec", "codex"),
        ("npx --package=@openai/codex codex", "codex"),
        ("npm exec -- @openai/codex exec", "codex"),
        ("pnpm dlx @openai/codex", "codex"),
        ("bunx @openai/codex", "codex"),
        ("bun x @openai/codex", "codex"),
        ("node node_modules/@openai/codex/bin/codex.js exec", "codex"),
        ("node --no-warnings /x/@openai/codex/bin/codex.js", "codex"),
        ("claude -p fix", "claude"),
        ("npx @anthropic-ai/claude-code -p fix", "claude"),
        ("node /x/@anthropic-ai/claude-code/cli.js", "claude"),
        ("npx codex", "command"),
        ("npx @openai/codex-evil", "command"),
        ("npx evil @openai/codex", "command"),
        ("bash -c codex", "command"),
        ("codex-evil", "command"),
        ("node codex-helper.js", "command"),
        ("python3 agent.py codex", "command"),
        ("npx", "command"),
        ("npx -p", "command"),
        ("node", "command"),
    ] {
        assert_eq!(recognise(&words(command)).name(), name, "{command}");
    }
    assert_eq!(recognise(&[]).name(), "command");
}

#[test]
fn codexs_own_sandbox_is_switched_off_where_its_words_leave_it_open() {
    let mut ann = Person::new();
    ann.set("CODEX_API_KEY", "sk-x");
    ann.codex().file("bin/npx", "#!/bin/sh\n");
    const ON: &str = "--dangerously-bypass-approvals-and-sandbox";
    for (command, wanted) in [
        ("codex", format!("codex {ON}")),
        ("codex exec fix it", format!("codex exec {ON} fix it")),
        ("codex -m gpt-5.5 -c a=1 exec fix", format!("codex -m gpt-5.5 -c a=1 exec {ON} fix")),
        ("codex e fix", format!("codex e {ON} fix")),
        ("codex resume --last", format!("codex resume {ON} --last")),
        ("codex review", format!("codex {ON} review")),
        ("codex fix-the-build", format!("codex {ON} fix-the-build")),
        ("codex -- exec", format!("codex {ON} -- exec")),
        ("npx @openai/codex exec fix", format!("npx @openai/codex exec {ON} fix")),
        ("codex login", "codex login".to_owned()),
        ("codex mcp list", "codex mcp list".to_owned()),
        ("codex exec -s read-only fix", "codex exec -s read-only fix".to_owned()),
        ("codex exec --sandbox=read-only fix", "codex exec --sandbox=read-only fix".to_owned()),
        ("codex exec -sread-only fix", "codex exec -sread-only fix".to_owned()),
        ("codex -a on-request", "codex -a on-request".to_owned()),
        ("codex -c sandbox_mode=read-only exec", "codex -c sandbox_mode=read-only exec".to_owned()),
        (&format!("codex exec {ON} x"), format!("codex exec {ON} x")),
        ("codex --yolo", "codex --yolo".to_owned()),
    ] {
        assert_eq!(line(&ann.outfit(command).unwrap().0), wanted);
    }
    let notes = ann.outfit("codex exec -s workspace-write x").unwrap().0.notes;
    assert!(
        notes.iter().any(|note| note.contains("workspace-write") && note.contains("nested")),
        "{notes:?}"
    );
}

#[test]
fn codexs_installation_is_shown_and_its_version_known() {
    let ann = Person::new();
    ann.codex();
    let (outfit, _) = ann.outfit("codex exec x").unwrap();
    assert_eq!(outfit.program, ann.home().join("npm/bin/codex"));
    assert_eq!(outfit.version.as_deref(), Some("1.2.3"));
    let shown: Vec<PathBuf> = outfit.shown.iter().map(|shown| shown.path.clone()).collect();
    assert_eq!(shown, [ann.home().join("npm/bin/codex"), ann.home().join("npm/lib/node_modules")]);
}

#[test]
fn a_script_that_node_runs_is_shown_too() {
    let ann = Person::new();
    ann.codex().file("bin/node", "#!/bin/sh\n");
    let script = ann.home().join("npm/lib/node_modules/@openai/codex/bin/codex.js");
    let (outfit, _) = ann.outfit(&format!("node {} exec x", script.display())).unwrap();
    assert_eq!((outfit.program, outfit.version.as_deref()), (ann.home().join("bin/node"), Some("1.2.3")));
    assert!(
        outfit.shown.iter().any(|shown| shown.path == ann.home().join("npm/lib/node_modules")),
        "{:?}",
        outfit.shown
    );
}

#[test]
fn a_repository_cannot_stand_in_for_an_agent() {
    let ann = Person::new();
    ann.file("work/bin/codex", "#!/bin/sh\n").file("work/bin/tool", "#!/bin/sh\n");
    assert!(
        matches!(ann.outfit("codex exec x"), Err(AgentError::NotFound { .. })),
        "first on PATH, but the workspace's"
    );
    assert_eq!(
        ann.outfit("tool").unwrap().0.program,
        ann.home().join("work/bin/tool"),
        "any command may be the workspace's"
    );
    assert_eq!(
        ann.outfit("./bin/codex").unwrap().0.program,
        ann.home().join("work/./bin/codex").components().collect::<PathBuf>()
    );
    ann.codex();
    assert_eq!(ann.outfit("codex").unwrap().0.program, ann.home().join("npm/bin/codex"));
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_a_hint() {
    let ann = Person::new();
    for (command, hint) in [
        ("codex exec x", "npm install -g @openai/codex"),
        ("claude", "npm install -g @anthropic-ai/claude-code"),
        ("nonsense-tool", "PATH"),
    ] {
        let error = ann.outfit(command).unwrap_err();
        assert!(error.hint().unwrap().contains(hint), "{error}");
        assert!(error.to_string().starts_with("cannot find `"), "{error}");
    }
    assert!(matches!(ann.outfit(""), Err(AgentError::NoCommand)));
    assert!(matches!(ann.outfit("./missing"), Err(AgentError::NotFound { .. })));
    ann.file("work/no-program", "text");
    assert!(matches!(ann.outfit("./no-program"), Err(AgentError::NotFound { .. })));
    ann.file(".ssh/agent", "#!/bin/sh\n");
    let error = ann.outfit(&ann.home().join(".ssh/agent").display().to_string()).unwrap_err();
    assert!(matches!(error, AgentError::NotShown { .. }), "{error}");
}

#[test]
fn names_that_are_no_text_do_no_harm() {
    use std::os::unix::ffi::OsStringExt as _;
    let ann = Person::new();
    let environment = ann.environment();
    for name in [
        b"\xff\xfe".to_vec(),
        b"a\nb\x1b[2J".to_vec(),
        b"../../../bin/sh".to_vec(),
        b"/".to_vec(),
        vec![b'x'; 5000],
    ] {
        let argv = [OsString::from_vec(name.clone())];
        let host = Host { environment: &environment, argv: &argv, folder: &ann.home().join("work") };
        let agent = recognise(&argv);
        assert_eq!(agent.name(), "command");
        if let Err(error) = agent.outfit(&host, &Credentials::default()) {
            assert!(!error.to_string().chars().any(char::is_control), "{error}");
        }
    }
}

const CODEX_SETTINGS: &str = r#"
model = "gpt-5.5"
model_provider = "acme"
model_auto_compact_token_limit = 1000
approval_policy = "on-request"
sandbox_mode = "workspace-write"
notify = ["evil"]
openai_base_url = "https://u:hunter2@example.com/v1"
[model_providers.acme]
name = "acme"
base_url = "http://127.0.0.1:8099/v1"
env_key = "ACME_KEY"
wire_api = "responses"
http_headers = { Authorization = "Bearer hunter2" }
env_http_headers = { "X-Acme-Auth" = "ACME_TOKEN" }
experimental_bearer_token = "hunter2"
query_params = { "api-version" = "1", "api-key" = "hunter2" }
[model_providers.acme.auth]
command = "hunter2"
[mcp_servers.x]
command = "evil"
env = { TOKEN = "hunter2" }
[shell_environment_policy]
set = { TOKEN = "hunter2" }
[analytics]
enabled = true
[features]
plugins = true
goals = false
[notice]
hide_full_access_warning = true
[notice.model_migrations]
"gpt-5.5" = "gpt-6"
[otel.exporter.otlp-http]
headers = { auth = "hunter2" }
"#;

#[test]
fn codexs_settings_enter_without_secrets_and_with_our_switches() {
    let mut ann = Person::new();
    ann.set("ACME_KEY", "hunter2").set("ACME_TOKEN", "hunter2");
    ann.codex()
        .file(".codex/config.toml", CODEX_SETTINGS)
        .file(".codex/auth.json", "{\"tokens\":\"hunter2\"}")
        .file(".codex/AGENTS.md", "Be kind.\n");
    let (outfit, credentials) = ann.outfit("codex exec x").unwrap();
    let config: toml::Table = content(&outfit, ".codex/config.toml").parse().unwrap();
    assert!(!outfit.files.iter().any(|(_, content)| String::from_utf8_lossy(content).contains("hunter2")));
    assert!(!outfit.files.iter().any(|(path, _)| path.ends_with("auth.json")));
    assert!(!outfit.environment.iter().any(|(_, value)| value.contains("hunter2")));
    let text = |key: &str| config[key].as_str().unwrap();
    assert_eq!(
        (text("model"), text("approval_policy"), text("sandbox_mode"), text("web_search")),
        ("gpt-5.5", "never", "danger-full-access", "disabled")
    );
    assert_eq!(config["model_auto_compact_token_limit"].as_integer(), Some(1000));
    assert_eq!(
        config["features"],
        table(
            "apps = false\ndaemon_auto_start = false\nenable_request_compression = false\ngoals = false\nplugins = false"
        )
    );
    assert_eq!(config["analytics"]["enabled"].as_bool(), Some(false));
    assert_eq!(config["notice"]["model_migrations"]["gpt-5.5"].as_str(), Some("gpt-6"));
    let provider = config["model_providers"]["acme"].as_table().unwrap();
    assert_eq!(provider["query_params"], table("api-version = \"1\""));
    assert_eq!(provider["env_http_headers"]["X-Acme-Auth"].as_str(), Some("ACME_TOKEN"));
    assert!(
        !["http_headers", "experimental_bearer_token", "auth"]
            .iter()
            .any(|name| provider.contains_key(*name))
    );
    assert!(
        !["mcp_servers", "notify", "shell_environment_policy", "otel"]
            .iter()
            .any(|name| config.contains_key(*name))
    );
    assert_eq!(content(&outfit, ".codex/AGENTS.md"), "Be kind.\n");
    assert_eq!(variable(&outfit, "CODEX_HOME"), Some(ann.home().join(".codex").to_str().unwrap()));
    assert!(
        outfit.notes.iter().any(|note| note.contains("MCP"))
            && outfit.notes.iter().any(|note| note.contains("hooks"))
    );
    assert_eq!(credentials.release("ACME_KEY", "127.0.0.1:8099").unwrap().expose(), b"hunter2");
    assert!(variable(&outfit, "ACME_TOKEN").unwrap().starts_with("sk-provost-"));
}

#[test]
fn codex_reaches_its_model_and_nothing_else() {
    let mut ann = Person::new();
    ann.set("OPENAI_API_KEY", "sk-real");
    ann.codex();
    let rule = |command: &str| ann.outfit(command).unwrap().0.layer;
    assert!(rule("codex").contains("connect = [\"api.openai.com:443\"]"), "{}", rule("codex"));
    assert!(rule("codex --oss exec x").contains("connect = [\"localhost:11434\"]"));
    assert!(rule("codex --oss --local-provider lmstudio").contains("localhost:1234"));
    assert!(
        rule("codex -c openai_base_url=\"https://eu.api.openai.com/v1\" exec x")
            .contains("eu.api.openai.com:443")
    );
    let custom = "codex -c model_provider=m -c model_providers.m.base_url=http://127.0.0.1:9/v1 exec x";
    assert!(rule(custom).contains("127.0.0.1:9"));
    ann.file(
        ".codex/work.config.toml",
        "model_provider = \"w\"\n[model_providers.w]\nbase_url = \"https://models.example.com:8443/v1\"\n",
    );
    let (outfit, _) = ann.outfit("codex -p work exec x").unwrap();
    assert!(
        outfit.layer.contains("models.example.com:8443")
            && content(&outfit, ".codex/work.config.toml").contains("models.example.com")
    );
    let layer: toml::Table = rule("codex").parse().unwrap();
    assert_eq!((layer["version"].as_integer(), layer["rule"].as_array().unwrap().len()), (Some(1), 1));
}

#[test]
fn the_layer_of_an_agent_is_a_policy_that_opens_its_model_and_takes_its_key_there() {
    use policy::{Action, Anchors, Context, Decision, Layer, LayerKind, Policy};
    let mut ann = Person::new();
    ann.set("OPENAI_API_KEY", "sk-real").codex().claude();
    for (command, model) in [
        ("codex", "api.openai.com:443"),
        ("codex --oss exec x", "localhost:11434"),
        ("codex -c openai_base_url=http://[::1]:9/v1 exec x", "[::1]:9"),
        ("claude", "api.anthropic.com:443"),
    ] {
        let text = ann.outfit(command).unwrap().0.layer;
        let layer = Layer::parse("agent", LayerKind::Agent, &text).unwrap();
        let anchors = Anchors {
            workspace: ann.home().join("work"),
            home: ann.home(),
            state: ann.home().join(".local/state/provost"),
            config: ann.home().join(".config/provost"),
        };
        let policy = Policy::compile(vec![layer], &anchors, &Context::default()).unwrap();
        let allowed = |action: Action| matches!(policy.decide(&action, &[]), Decision::Allow { .. });
        let endpoint = |text: &str| policy::Endpoint::parse(text).unwrap();
        let key = |to: &str| Action::Credential { name: "OPENAI_API_KEY".to_owned(), to: endpoint(to) };
        assert!(allowed(Action::Connect(endpoint(model))) && allowed(key(model)), "{text}");
        assert!(!allowed(Action::Connect(endpoint("evil.example:443"))) && !allowed(key("evil.example:443")));
    }
}

#[test]
fn codex_gets_the_key_that_people_have_under_the_name_that_it_reads() {
    let mut ann = Person::new();
    ann.codex();
    ann.set("OPENAI_API_KEY", "sk-real");
    let (outfit, credentials) = ann.outfit("codex exec x").unwrap();
    assert!(variable(&outfit, "CODEX_API_KEY").unwrap().starts_with("sk-provost-"));
    assert_eq!(variable(&outfit, "OPENAI_API_KEY"), None);
    let bound = |one: &Credential| one.name == "OPENAI_API_KEY" && one.endpoints == ["api.openai.com:443"];
    assert!(credentials.iter().all(bound), "it is put in on the way to the model, in TLS");
    assert!(outfit.notes.is_empty(), "{:?}", outfit.notes);
    ann.set("ANTHROPIC_API_KEY", "sk-ant-real").set("ANTHROPIC_BASE_URL", "http://models.example:8080");
    ann.claude();
    let (outfit, credentials) = ann.outfit("claude -p x").unwrap();
    assert!(credentials.iter().all(|one| one.endpoints.is_empty()), "never in the clear over a network");
    assert!(
        outfit.notes.iter().any(|note| note.contains("--pass-credential ANTHROPIC_API_KEY")),
        "{:?}",
        outfit.notes
    );
    let (outfit, credentials) = ann.outfit_passing("codex exec x", &["OPENAI_API_KEY".to_owned()]).unwrap();
    assert_eq!(
        (variable(&outfit, "CODEX_API_KEY"), credentials.iter().next().unwrap().how),
        (Some("sk-real"), How::Real)
    );
    assert!(outfit.notes.is_empty(), "{:?}", outfit.notes);
    ann.set("CODEX_API_KEY", "sk-own");
    let (_, credentials) = ann.outfit("codex exec x").unwrap();
    assert_eq!(credentials.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["CODEX_API_KEY"]);
}

#[test]
fn a_file_that_holds_no_login_is_none() {
    let ann = Person::new();
    ann.codex().file(".codex/auth.json", "{}").claude().file(".claude/.credentials.json", "{}");
    for command in ["codex exec x", "claude -p x"] {
        let notes = ann.outfit(command).unwrap().0.notes;
        assert!(notes.iter().any(|note| note.contains("has no key: log in")), "{command} {notes:?}");
    }
}

#[test]
fn a_key_that_is_not_set_is_said() {
    let mut ann = Person::new();
    ann.codex().claude();
    for (command, key) in [("codex exec x", "OPENAI_API_KEY"), ("claude -p x", "ANTHROPIC_API_KEY")] {
        let told = |ann: &Person| ann.outfit(command).unwrap().0.notes;
        assert!(told(&ann).iter().any(|note| note.contains("has no key")), "{command}");
        ann.set(key, "sk-real");
        assert!(!told(&ann).iter().any(|note| note.contains("has no key")), "{command}");
    }
}

#[test]
fn settings_that_cannot_be_read_stop_the_run() {
    let ann = Person::new();
    ann.codex().claude().file(".codex/config.toml", "model = \n").file(".claude/settings.json", "[]");
    for command in ["codex exec x", "claude -p x"] {
        let error = ann.outfit(command).unwrap_err();
        assert!(matches!(error, AgentError::Settings { .. }) && error.hint().is_some(), "{error}");
    }
    for address in [
        "ftp://x",
        "https://u:p@x/",
        "http://[::1",
        "http://x:99999",
        "https://",
        "https://a b/",
        "http://\"]x",
        "nonsense",
    ] {
        let mut ann = Person::new();
        ann.set("ANTHROPIC_BASE_URL", address).claude();
        assert!(matches!(ann.outfit("claude"), Err(AgentError::Settings { .. })), "{address}");
    }
}

#[test]
fn trust_in_a_folder_is_taken_over_and_never_invented() {
    let ann = Person::new();
    let work = ann.home().join("work").display().to_string();
    ann.codex().claude();
    assert!(!content(&ann.outfit("codex").unwrap().0, ".codex/config.toml").contains("trust_level"));
    assert!(
        content(&ann.outfit("claude").unwrap().0, ".claude.json")
            .contains("\"hasTrustDialogAccepted\": false")
    );
    ann.file(".codex/config.toml", &format!("[projects.\"{work}\"]\ntrust_level = \"trusted\"\n[projects.\"/other\"]\ntrust_level = \"trusted\"\n"));
    ann.file(".claude.json", &format!("{{\"projects\":{{\"{work}\":{{\"hasTrustDialogAccepted\":true}}}},\"oauthAccount\":{{\"x\":\"hunter2\"}}}}"));
    let config = content(&ann.outfit("codex").unwrap().0, ".codex/config.toml");
    assert!(config.contains(&work) && !config.contains("/other"), "{config}");
    let state = content(&ann.outfit("claude").unwrap().0, ".claude.json");
    assert!(state.contains("\"hasTrustDialogAccepted\": true") && !state.contains("hunter2"), "{state}");
}

#[test]
fn claude_is_made_ready_for_a_start_without_questions() {
    let mut ann = Person::new();
    ann.set("ANTHROPIC_API_KEY", "sk-ant-real")
        .set("ANTHROPIC_BASE_URL", "http://127.0.0.1:8098")
        .set("ANTHROPIC_MODEL", "opus");
    ann.claude().file(
        ".claude/settings.json",
        r#"{"model":"opus","apiKeyHelper":"evil","env":{"T":"hunter2"},"hooks":{"x":1},"permissions":{"deny":["Read(.env)"],"allow":["Bash"]}}"#,
    );
    let (outfit, credentials) = ann.outfit("claude -p fix").unwrap();
    assert_eq!(line(&outfit), "claude --dangerously-skip-permissions -p fix");
    for (name, value) in [
        ("IS_SANDBOX", "1"),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("ANTHROPIC_MODEL", "opus"),
        ("DISABLE_AUTOUPDATER", "1"),
    ] {
        assert_eq!(variable(&outfit, name), Some(value));
    }
    let key = variable(&outfit, "ANTHROPIC_API_KEY").unwrap();
    assert!(key.starts_with("sk-ant-provost-"));
    let state: serde_json::Value = serde_json::from_str(&content(&outfit, ".claude.json")).unwrap();
    assert_eq!(state["customApiKeyResponses"]["approved"][0], key[key.len() - 20..]);
    assert_eq!(
        (&state["hasCompletedOnboarding"], &state["bypassPermissionsModeAccepted"]),
        (&true.into(), &true.into())
    );
    let settings: serde_json::Value =
        serde_json::from_str(&content(&outfit, ".claude/settings.json")).unwrap();
    assert_eq!(
        settings,
        serde_json::json!({"model": "opus", "permissions": {"deny": ["Read(.env)", "WebSearch"]}})
    );
    assert!(outfit.layer.contains("\"127.0.0.1:8098\"") && outfit.version.as_deref() == Some("1.2.3"));
    assert_eq!(credentials.iter().next().unwrap().endpoints, ["127.0.0.1:8098"]);
    assert!(
        outfit.notes.iter().any(|note| note.contains("hooks"))
            && outfit.notes.iter().any(|note| note.contains("key helper"))
    );
}

#[test]
fn claudes_own_words_about_permissions_stay() {
    let ann = Person::new();
    ann.claude();
    for command in [
        "claude --permission-mode plan",
        "claude --permission-mode=plan -p x",
        "claude --dangerously-skip-permissions",
    ] {
        assert_eq!(line(&ann.outfit(command).unwrap().0), command);
    }
    assert_eq!(
        line(&ann.outfit("claude -- --permission-mode").unwrap().0),
        "claude --dangerously-skip-permissions -- --permission-mode"
    );
}

#[test]
fn what_an_agent_needs_fits_what_the_toolchains_show() {
    let ann = Person::new();
    ann.codex();
    let toolchains = toolchains::discover(&ann.environment());
    let outfit = ann.outfit("codex").unwrap().0;
    assert!(toolchains.shown.iter().any(|shown| outfit.program.starts_with(&shown.path)));
    let path = toolchains.environment.iter().find(|(name, _)| name == "PATH").unwrap().1.clone();
    assert!(path.split(':').any(|entry| outfit.program.parent() == Some(Path::new(entry))), "{path}");
}

#[test]
fn any_command_gets_what_was_passed_and_nothing_else() {
    let mut ann = Person::new();
    ann.set("GITHUB_TOKEN", "t").set("OPENAI_API_KEY", "sk-x");
    let (outfit, _) = ann.outfit_passing("sh -c true", &["GITHUB_TOKEN".to_owned()]).unwrap();
    assert_eq!(outfit.environment, [("GITHUB_TOKEN".to_owned(), "t".to_owned())]);
    assert_eq!((outfit.layer.as_str(), outfit.files.len(), outfit.notes.len()), ("", 0, 0));
}

#[test]
fn placeholders_have_the_shape_that_the_agents_check() {
    let ann = Person::new();
    ann.codex().claude();
    let environment = ann.environment();
    for (command, shape) in [("codex", Shape::OpenAi), ("claude", Shape::Anthropic)] {
        let argv = words(command);
        let host = Host { environment: &environment, argv: &argv, folder: &ann.home().join("work") };
        assert!(recognise(&argv).wants(&host).unwrap().iter().all(|wanted| wanted.shape == shape));
    }
}
