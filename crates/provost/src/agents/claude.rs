//! Claude Code: its settings without secrets, its own questions off because ours are on, its side traffic silenced.
//!
//! Measured with 2.1.197: as root it skips permissions only with `IS_SANDBOX=1`; the option is accepted before a
//! subcommand; without `CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC` it asks for api.anthropic.com whatever its model's
//! address; it asks about a key of the environment unless the key's last 20 characters are approved; a deny rule holds
//! even while permissions are skipped.

use super::endpoint::{self, Endpoint};
use super::launcher::{self, Names};
use super::program;
use super::settings;
use super::{Agent, AgentError, Host, Outfit};
use crate::logins::Found;
use crate::secrets::{Credentials, How, Shape, Wanted};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod login;

/// Variables that hold a key; one that is set goes before a login.
const KEYS: [&str; 3] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

/// Variables by which models answer where Provost does not know the way.
const ELSEWHERE: [&str; 2] = ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"];

const NAMES: Names = Names {
    program: "claude",
    package: "@anthropic-ai/claude-code",
    scripts: &[("cli.js", "claude-code"), ("cli-wrapper.cjs", "claude-code"), ("claude.exe", "claude-code")],
};
const INSTALL: &str = "install it with: npm install -g @anthropic-ai/claude-code";
const SKIP: &str = "--dangerously-skip-permissions";

/// Words by which the person says themselves how Claude is to ask.
const OWN: [&str; 4] =
    [SKIP, "--allow-dangerously-skip-permissions", "--permission-mode", "--permission-prompt-tool"];

/// Switches for the inside.
const SWITCHES: [(&str, &str); 6] = [
    ("IS_SANDBOX", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_BUG_COMMAND", "1"),
];

/// Variables of the person that change how Claude works and hold no secret.
const PASSED: [&str; 12] = [
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "MAX_THINKING_TOKENS",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "BASH_DEFAULT_TIMEOUT_MS",
    "BASH_MAX_TIMEOUT_MS",
    "CLAUDE_CODE_EFFORT_LEVEL",
];

/// Settings that change how Claude works and start nothing.
const KEPT: [&str; 10] = [
    "model",
    "outputStyle",
    "language",
    "alwaysThinkingEnabled",
    "effortLevel",
    "includeCoAuthoredBy",
    "attribution",
    "theme",
    "cleanupPeriodDays",
    "autoCompactEnabled",
];

/// The adapter for Claude Code.
#[derive(Clone, Copy, Debug)]
pub struct Claude;

impl Agent for Claude {
    fn name(&self) -> &'static str {
        "claude"
    }

    fn recognises(&self, argv: &[OsString]) -> bool {
        launcher::lead(argv, NAMES).is_some()
    }

    fn wants(&self, host: &Host<'_>) -> Result<Vec<Wanted>, AgentError> {
        let endpoint = model(host)?;
        let wanted = |name: &str| Wanted {
            name: name.to_owned(),
            enters_as: name.to_owned(),
            shape: Shape::Anthropic,
            endpoints: vec![endpoint.to_string()],
            exchangeable: endpoint.is_covered(),
        };
        Ok(KEYS.map(wanted).to_vec())
    }

    fn login(&self, host: &Host<'_>) -> Result<Option<Found>, AgentError> {
        let other = KEYS.iter().chain(&ELSEWHERE).any(|name| host.environment.get(name).is_some());
        if other || !login::is_there(&folder(host))? {
            return Ok(None);
        }
        Ok(Some(login::found(&folder(host), address(host))))
    }

    fn outfit(&self, host: &Host<'_>, credentials: &Credentials) -> Result<Outfit, AgentError> {
        let lead = launcher::lead(host.argv, NAMES).unwrap_or(1);
        let found = program::find_agent(host, lead, INSTALL)?;
        let endpoint = model(host)?;
        let folder = folder(host);
        let told = object(&folder.join("settings.json"))?;
        let mut files = vec![
            (PathBuf::from(".claude.json"), state(host, credentials)?),
            (PathBuf::from(".claude/settings.json"), text(&private_settings(&told))),
        ];
        files.extend(settings::instructions(&folder.join("CLAUDE.md"), ".claude/CLAUDE.md")?);
        Ok(Outfit {
            program: found.path,
            argv: with_questions_off(host.argv, lead),
            version: found.version,
            environment: environment(host, credentials),
            files,
            shown: found.shown,
            notes: notes(host, &told, &endpoint, credentials, login::is_there(&folder)?),
            layer: endpoint::layer("claude", &[endpoint]),
        })
    }
}

fn folder(host: &Host<'_>) -> PathBuf {
    settings::folder(host.environment.get("CLAUDE_CONFIG_DIR"), &host.environment.home, ".claude")
}

fn address<'a>(host: &Host<'a>) -> &'a str {
    host.environment.get("ANTHROPIC_BASE_URL").unwrap_or("https://api.anthropic.com")
}

fn model(host: &Host<'_>) -> Result<Endpoint, AgentError> {
    Endpoint::of(address(host))
}

fn environment(host: &Host<'_>, credentials: &Credentials) -> Vec<(String, String)> {
    let passed =
        PASSED.iter().filter_map(|name| Some(((*name).to_owned(), host.environment.get(name)?.to_owned())));
    let switches = SWITCHES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    switches.chain(passed).chain(credentials.environment()).collect()
}

/// The command with Claude's own questions off, unless its words say how to ask. The option goes before everything else,
/// where every subcommand accepts it.
fn with_questions_off(argv: &[OsString], lead: usize) -> Vec<OsString> {
    let words = argv.iter().skip(lead).take_while(|word| *word != "--").filter_map(|word| word.to_str());
    let own = words.map(|word| word.split('=').next().unwrap_or_default()).any(|word| OWN.contains(&word));
    let mut argv = argv.to_vec();
    if !own {
        argv.insert(lead.min(argv.len()), SKIP.into());
    }
    argv
}

/// A JSON file of the person that holds an object.
fn object(path: &Path) -> Result<Map<String, Value>, AgentError> {
    let Some(text) = settings::text(path)? else { return Ok(Map::new()) };
    let wrong = |because: String| AgentError::Settings { path: path.display().to_string(), because };
    match serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))? {
        Value::Object(object) => Ok(object),
        _ => Err(wrong("it holds no object".to_owned())),
    }
}

/// `~/.claude.json`: no questions of a first start, but the person's own decision about this folder.
fn state(host: &Host<'_>, credentials: &Credentials) -> Result<Vec<u8>, AgentError> {
    let own = object(&host.environment.home.join(".claude.json"))?;
    let workspace = host.environment.workspace.display().to_string();
    let trusted = own
        .get("projects")
        .and_then(|projects| projects.get(&workspace)?.get("hasTrustDialogAccepted"))
        .and_then(Value::as_bool);
    let mut state = json!({
        "hasCompletedOnboarding": true,
        "bypassPermissionsModeAccepted": true,
        "autoUpdates": false,
        "theme": own.get("theme").and_then(Value::as_str).unwrap_or("dark"),
        "projects": { workspace: { "hasTrustDialogAccepted": trusted.unwrap_or(false), "hasCompletedProjectOnboarding": true } },
    });
    if let (Some(key), Some(state)) = (credentials.inside("ANTHROPIC_API_KEY"), state.as_object_mut()) {
        let end: String = key.chars().skip(key.chars().count().saturating_sub(20)).collect();
        state.insert("customApiKeyResponses".to_owned(), json!({ "approved": [end], "rejected": [] }));
    }
    Ok(text(&state))
}

/// `~/.claude/settings.json`: the harmless part, every deny rule, and no search by the provider, which would carry data
/// out beside every rule of ours.
fn private_settings(told: &Map<String, Value>) -> Value {
    let kept = told.iter().filter(|(name, value)| KEPT.contains(&name.as_str()) && is_harmless(value));
    let mut settings: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    let own =
        told.get("permissions").and_then(|permissions| permissions.get("deny")).and_then(Value::as_array);
    let mut deny: Vec<Value> = own.into_iter().flatten().filter(|rule| rule.is_string()).cloned().collect();
    if !deny.iter().any(|rule| rule == "WebSearch") {
        deny.push("WebSearch".into());
    }
    settings.insert("permissions".to_owned(), json!({ "deny": deny }));
    Value::Object(settings)
}

fn is_harmless(value: &Value) -> bool {
    match value {
        Value::String(text) => settings::is_harmless("", text),
        Value::Array(items) => items.iter().all(is_harmless),
        Value::Object(object) => object.values().all(is_harmless),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn text(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn notes(
    host: &Host<'_>,
    told: &Map<String, Value>,
    endpoint: &Endpoint,
    credentials: &Credentials,
    logged_in: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, what) in [
        ("hooks", "The hooks"),
        ("env", "The variables"),
        ("apiKeyHelper", "The key helper"),
        ("enabledPlugins", "The plugins"),
    ] {
        if told.contains_key(name) {
            notes.push(format!("{what} of your Claude settings stay outside."));
        }
    }
    let elsewhere = ELSEWHERE.iter().any(|name| host.environment.get(name).is_some());
    if elsewhere {
        notes.push("Models at Bedrock or Vertex are not supported in this version.".to_owned());
    } else if credentials.iter().next().is_none() && !logged_in {
        notes.push("Claude Code has no key: log in with `/login`, or set ANTHROPIC_API_KEY.".to_owned());
    }
    if let Some(stuck) =
        credentials.iter().find(|one| one.how == How::Placeholder && one.endpoints.is_empty())
    {
        notes.push(format!(
            "`{}` enters as a placeholder, which {endpoint} will refuse: to use the real one, --pass-credential {}",
            stuck.name, stuck.name
        ));
    }
    notes
}
