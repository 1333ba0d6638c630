//! A subscription login of Claude Code: `.credentials.json`, and what platform.claude.com wants to hear.
//!
//! Measured with 2.1.197: the tokens are opaque; it refreshes by itself where `expiresAt` is less than five minutes away, or the
//! model's host answers 401; the question is JSON, and where it is refreshed cannot be set to another place but three of the
//! maker's own. While it refreshes there is a folder `.oauth_refresh.lock`.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::agents::{AgentError, settings};
use crate::logins::{Format, Found, Given, NoRandom, Stands, Tokens, random};
use crate::secrets::Secret;

/// Where Claude Code refreshes a login.
const TOKEN: &str = "https://platform.claude.com/v1/oauth/token";
/// Who Claude Code is there.
const CLIENT: &str = "9d1c250a-e61b-44d9-88ed-5944d1962f5e";
/// The member of the file.
const MEMBER: &str = "claudeAiOauth";
/// What models are asked with.
const ASK_MODELS: &str = "user:inference";
/// What of a login is no token, and is known inside.
const NEEDED: [&str; 4] = ["scopes", "subscriptionType", "rateLimitTier", "clientId"];
/// How long a token is good of which the endpoint does not say it.
const USUAL: Duration = Duration::from_secs(60 * 60);

/// Whether a person is logged in whose Claude Code keeps its things in this folder.
pub(super) fn is_there(folder: &Path) -> Result<bool, AgentError> {
    let text = settings::text(&folder.join(".credentials.json"))?;
    let file = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(file.and_then(|file: Value| Claude.read(&file)).is_some())
}

/// That login, for a model that answers at this address.
pub(super) fn found(folder: &Path, address: &str) -> Found {
    let base = address.trim_end_matches('/');
    let at = |path: &str| format!("{base}{path}");
    Found {
        name: "claude-login",
        file: folder.join(".credentials.json"),
        inside: PathBuf::from(".claude/.credentials.json"),
        format: &Claude,
        token: TOKEN.to_owned(),
        good_for: vec![
            (at("/v1/messages"), &["POST"]),
            (at("/v1/messages/count_tokens"), &["POST"]),
            (at("/v1/models"), &["GET"]),
            (at("/v1/models/**"), &["GET"]),
            (at("/api/oauth/{profile,usage}"), &["GET"]),
        ],
        hint: "log in again with `/login` in `claude`, outside of a run",
    }
}

/// The form of `.credentials.json`.
#[derive(Debug)]
struct Claude;

impl Format for Claude {
    fn read(&self, file: &Value) -> Option<Tokens> {
        let login = file.get(MEMBER)?;
        let text = |name: &str| login.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let scopes = login.get("scopes").and_then(Value::as_array)?;
        let until = login.get("expiresAt").and_then(Value::as_u64).map(Duration::from_millis);
        scopes.iter().any(|scope| scope == ASK_MODELS).then_some(())?;
        Some(Tokens {
            access: Secret::new(text("accessToken")?),
            refresh: Secret::new(text("refreshToken")?),
            id: None,
            until: until.and_then(|until| SystemTime::UNIX_EPOCH.checked_add(until)),
        })
    }

    fn renew(&self, file: &mut Value, given: &Given, now: SystemTime) {
        let text = |secret: &Secret| Value::from(String::from_utf8_lossy(secret.expose()).into_owned());
        let Some(login) = file.get_mut(MEMBER).and_then(Value::as_object_mut) else { return };
        login.insert("accessToken".to_owned(), text(&given.access));
        login.extend(given.refresh.iter().map(|token| ("refreshToken".to_owned(), text(token))));
        login.insert("expiresAt".to_owned(), millis(now + given.lasts.unwrap_or(USUAL)));
        let scopes = given.scope.iter().map(|scope| scope.split_whitespace().collect::<Vec<_>>());
        login.extend(scopes.map(|scopes| ("scopes".to_owned(), json!(scopes))));
    }

    fn stands(&self, _file: &Value, _until: SystemTime) -> Result<Stands, NoRandom> {
        Ok(Stands { access: random("sk-ant-oat01-")?, refresh: random("sk-ant-ort01-")?, id: None })
    }

    fn inside(&self, file: &Value, stands: &Stands, until: SystemTime) -> Value {
        let known = file.get(MEMBER).and_then(Value::as_object);
        let needed = known.into_iter().flatten().filter(|(name, _)| NEEDED.contains(&name.as_str()));
        let mut login = json!({
            "accessToken": stands.access,
            "refreshToken": stands.refresh,
            "expiresAt": millis(until),
        });
        if let Some(login) = login.as_object_mut() {
            login.extend(needed.map(|(name, value)| (name.clone(), value.clone())));
        }
        json!({ MEMBER: login })
    }

    fn question(&self, file: &Value) -> Map<String, Value> {
        let client = file.get(MEMBER).and_then(|login| login.get("clientId")).and_then(Value::as_str);
        let client = ("client_id".to_owned(), Value::from(client.unwrap_or(CLIENT)));
        let scope = self.scope(file).map(|scope| ("scope".to_owned(), scope.into()));
        [client].into_iter().chain(scope).collect()
    }

    fn scope(&self, file: &Value) -> Option<String> {
        let scopes = file.get(MEMBER)?.get("scopes")?.as_array()?;
        Some(scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
    }

    fn lock(&self, file: &Path) -> Option<PathBuf> {
        Some(file.with_file_name(".oauth_refresh.lock"))
    }
}

fn millis(when: SystemTime) -> Value {
    let since = when.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).into()
}
