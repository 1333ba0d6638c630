//! A ChatGPT login of Codex: `auth.json`, and what auth.openai.com wants to hear.
//!
//! Measured with 0.169: it reads `id_token` and `access_token` as JWT without checking them; of the claims it needs the account, the
//! plan and some user, whose absence it takes for a change of the account at each refresh. It refreshes by itself where `exp` of the access token is over, or `last_refresh` is old and there is no `exp`,
//! or the model's host answers 401; the question is JSON.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::agents::{AgentError, Host, settings};
use crate::logins::{Format, Found, Given, NoRandom, Stands, Tokens, claims, jwt, random};
use crate::secrets::Secret;

/// Where models answer whoever is logged in.
pub(super) const MODEL: &str = "https://chatgpt.com/backend-api/codex";
/// Where what belongs to an account is asked for.
pub(super) const ACCOUNT: &str = "https://chatgpt.com/backend-api";
/// What Codex reads there: limits, and what an organisation demands of it.
const ABOUT_ACCOUNT: [&str; 4] =
    ["/wham/usage", "/wham/accounts/check", "/wham/settings/user", "/wham/config/bundle"];
/// Where Codex refreshes a login.
const TOKEN: &str = "https://auth.openai.com/oauth/token";
/// The variable by which Codex refreshes elsewhere.
const ELSEWHERE: &str = "CODEX_REFRESH_TOKEN_URL_OVERRIDE";
/// Who Codex is there.
const CLIENT: &str = "app_EMoamEEZ73f0CkXaXp7hrann";
/// The claim that says which account it is.
const AUTH: &str = "https://api.openai.com/auth";
/// What of that Codex needs.
const NEEDED: [&str; 3] = ["chatgpt_account_id", "chatgpt_plan_type", "chatgpt_account_is_fedramp"];
/// How long a token without an end is good, as Codex has it.
const USUAL: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// Whether a person is logged in whose Codex keeps its things in this folder.
pub(super) fn is_there(folder: &Path) -> Result<bool, AgentError> {
    let text = settings::text(&folder.join("auth.json"))?;
    let file = text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(file.and_then(|file: Value| Codex.read(&file)).is_some())
}

/// That login, for a model that answers at this address.
pub(super) fn found(host: &Host<'_>, folder: &Path, address: &str, account: &str) -> Found {
    let base = address.trim_end_matches('/');
    // It asks by a WebSocket first.
    let messages = base.replacen("http", "ws", 1);
    let mut good_for =
        vec![(format!("{base}/**"), &["GET", "POST"][..]), (format!("{messages}/**"), &["GET"][..])];
    let account = account.trim_end_matches('/');
    good_for.extend(ABOUT_ACCOUNT.map(|path| (format!("{account}{path}"), &["GET"][..])));
    Found {
        name: "codex-login",
        file: folder.join("auth.json"),
        inside: Path::new(super::HOME).join("auth.json"),
        format: &Codex,
        token: host.environment.get(ELSEWHERE).unwrap_or(TOKEN).to_owned(),
        good_for,
        hint: "log in again with `codex login`, outside of a run",
    }
}

/// Where the person says that it is refreshed elsewhere, the inside asks there too.
pub(super) fn refreshed_elsewhere(host: &Host<'_>) -> Option<(String, String)> {
    Some((ELSEWHERE.to_owned(), host.environment.get(ELSEWHERE)?.to_owned()))
}

/// The form of `auth.json`.
#[derive(Debug)]
struct Codex;

impl Format for Codex {
    fn read(&self, file: &Value) -> Option<Tokens> {
        let own = file.get("auth_mode").and_then(Value::as_str).is_none_or(|mode| mode == "chatgpt");
        let tokens = file.get("tokens").filter(|_| own)?;
        let text = |name: &str| tokens.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let access = text("access_token")?;
        Some(Tokens {
            access: Secret::new(access),
            refresh: Secret::new(text("refresh_token")?),
            id: text("id_token").map(Secret::new),
            until: until(access, file),
        })
    }

    fn renew(&self, file: &mut Value, given: &Given, now: SystemTime) {
        let text = |secret: &Secret| Value::from(String::from_utf8_lossy(secret.expose()).into_owned());
        if let Some(tokens) = file.get_mut("tokens").and_then(Value::as_object_mut) {
            tokens.insert("access_token".to_owned(), text(&given.access));
            tokens.extend(given.refresh.iter().map(|token| ("refresh_token".to_owned(), text(token))));
            tokens.extend(given.id.iter().map(|token| ("id_token".to_owned(), text(token))));
        }
        if let Some(file) = file.as_object_mut() {
            file.insert("last_refresh".to_owned(), rfc3339(now));
        }
    }

    fn stands(&self, file: &Value, until: SystemTime) -> Result<Stands, NoRandom> {
        let told =
            |name: &str| file.get("tokens").and_then(|tokens| tokens.get(name)).and_then(Value::as_str);
        let of = |token: Option<&str>| jwt(&private(token.and_then(claims).as_ref(), until));
        let id = told("id_token");
        Ok(Stands { access: of(told("access_token").or(id))?, refresh: random("rt_")?, id: Some(of(id)?) })
    }

    fn inside(&self, file: &Value, stands: &Stands, _until: SystemTime) -> Value {
        let account = file.get("tokens").and_then(|tokens| tokens.get("account_id"));
        json!({
            "auth_mode": file.get("auth_mode").and_then(Value::as_str).unwrap_or("chatgpt"),
            "OPENAI_API_KEY": null,
            "tokens": {
                "id_token": stands.id,
                "access_token": stands.access,
                "refresh_token": stands.refresh,
                "account_id": account.and_then(Value::as_str),
            },
            "last_refresh": rfc3339(SystemTime::now()),
        })
    }

    fn question(&self, _file: &Value) -> Map<String, Value> {
        Map::from_iter([("client_id".to_owned(), CLIENT.into())])
    }

    fn scope(&self, _file: &Value) -> Option<String> {
        None
    }

    fn lock(&self, _file: &Path) -> Option<PathBuf> {
        None
    }
}

/// When an access token is over: as it says, or as Codex has it.
fn until(access: &str, file: &Value) -> Option<SystemTime> {
    let exp = claims(access).and_then(|claims| claims.get("exp").and_then(Value::as_u64));
    if let Some(exp) = exp {
        return SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(exp));
    }
    let last = file.get("last_refresh").and_then(Value::as_str)?;
    humantime::parse_rfc3339_weak(last).ok()?.checked_add(USUAL)
}

/// What of a token's claims goes inside: not who the person is, only which account and what it may use.
fn private(claims: Option<&Value>, until: SystemTime) -> Value {
    let auth = claims.and_then(|claims| claims.get(AUTH)).and_then(Value::as_object);
    let needed = auth.into_iter().flatten().filter(|(name, _)| NEEDED.contains(&name.as_str()));
    let mut needed: Map<String, Value> = needed.map(|(name, value)| (name.clone(), value.clone())).collect();
    needed.insert("chatgpt_user_id".to_owned(), "user-provost".into());
    let exp = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({ "exp": exp, AUTH: needed })
}

fn rfc3339(when: SystemTime) -> Value {
    humantime::format_rfc3339_millis(when).to_string().into()
}
