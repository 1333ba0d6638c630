//! Logins of the person's agents (`codex login`, `/login`): what of them goes inside, and where the rest stays.
//!
//! The inside gets a file of the same shape, in which a stand-in is in each token's place. The gateway exchanges the access token
//! where it leaves and refreshes it ([`Kept`]); the person's own file has what is new.
//!
//! Owns: which stand-ins a run has, what they are bound to, where tokens are refreshed. Does not own: the forms of the files
//! (`agents`), the file itself ([`mod@file`]), the refresh (`gateway`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gateway::{Placeholder, TokenPlace};
use policy::{Confinement, Endpoint, Selector, Tier};
use serde_json::{Map, Value, json};

use crate::agents::{Agent, Host, Outfit};
use crate::failure::Failure;
use crate::folders::Folders;
use crate::secrets::Secret;

mod elsewhere;
mod file;
mod kept;
mod stand;
#[cfg(test)]
mod tests;

pub use file::Absent;
pub use kept::Kept;
pub use stand::{claims, jwt, random};

/// How long the inside takes its stand-ins for good: as long as it likes, for they are refreshed outside.
const LASTS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The tokens of a login.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens {
    /// What the model's host wants to see.
    pub access: Secret,
    /// What gives new ones.
    pub refresh: Secret,
    /// Who the person is, where the agent keeps that.
    pub id: Option<Secret>,
    /// How long the access token is good; nothing where that is not known.
    pub until: Option<SystemTime>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Tokens").field("until", &self.until).finish_non_exhaustive()
    }
}

/// What stands for tokens inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// For the access token.
    pub access: String,
    /// For the refresh token.
    pub refresh: String,
    /// For the identity, where there is one.
    pub id: Option<String>,
}

/// What a token endpoint gave.
#[derive(Clone, Debug)]
pub struct Given {
    /// The new access token.
    pub access: Secret,
    /// The new refresh token, where the old one is good no more.
    pub refresh: Option<Secret>,
    /// The new identity, where there is one.
    pub id: Option<Secret>,
    /// How long the access token is good.
    pub lasts: Option<Duration>,
    /// What it is good for, where that was said.
    pub scope: Option<String>,
}

/// The system gives no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandom;

/// How an agent keeps a login, and what its provider wants to hear.
pub trait Format: fmt::Debug + Send + Sync {
    /// The tokens in the agent's file; none where it holds no such login.
    fn read(&self, file: &Value) -> Option<Tokens>;

    /// Puts new tokens in the place of the old. Everything else stays.
    fn renew(&self, file: &mut Value, given: &Given, now: SystemTime);

    /// What stands for the tokens, in forms that the agent takes; good for as long.
    ///
    /// # Errors
    /// The system gives no random bytes.
    fn stands(&self, file: &Value, until: SystemTime) -> Result<Stands, NoRandom>;

    /// The file as the inside gets it.
    fn inside(&self, file: &Value, stands: &Stands, until: SystemTime) -> Value;

    /// Members of the question for new tokens, beside the grant and the refresh token.
    fn question(&self, file: &Value) -> Map<String, Value>;

    /// What the tokens are good for, as the answer to such a question says it.
    fn scope(&self, file: &Value) -> Option<String>;

    /// The folder that the agent makes while it refreshes, where it does.
    fn lock(&self, file: &Path) -> Option<PathBuf>;
}

/// A login as an adapter finds it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name, for policy and ledger.
    pub name: &'static str,
    /// Where the agent keeps it.
    pub file: PathBuf,
    /// Where the inside gets its own, beneath the home.
    pub inside: PathBuf,
    /// How.
    pub format: &'static dyn Format,
    /// Where the agent refreshes it.
    pub token: String,
    /// The requests that its access token is good for: patterns of `http`, each with its methods.
    pub good_for: Vec<(String, &'static [&'static str])>,
    /// What the person does where it is over.
    pub hint: &'static str,
}

/// A login could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Its file is not to be used.
    #[error("the login in `{path}` cannot be used: {because}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        because: String,
    },
    /// Where it is refreshed is no such place.
    #[error("`{place}` is no place where tokens are refreshed: {because}")]
    Place {
        /// As it was written.
        place: String,
        /// Why not.
        because: &'static str,
    },
    /// What it is good for cannot be said.
    #[error("`{0}` is no pattern of requests")]
    Pattern(String),
    /// The system gives no random bytes.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// A login of a run.
#[derive(Clone, Debug)]
pub struct Login {
    found: Found,
    stands: Stands,
    asked: TokenPlace,
    token: TokenPlace,
    good_for: Vec<(Endpoint, Selector)>,
    answer: Value,
    content: Vec<u8>,
    kept: Arc<Kept>,
}

impl Login {
    /// Makes a login ready that an adapter found, with stand-ins of this run's own.
    ///
    /// # Errors
    /// Its file, or what the person says of its endpoint, is not to be used.
    pub fn prepare(agent: &str, found: Found, folders: &Folders) -> Result<Login, Failure> {
        let own = elsewhere::token(folders, agent)?;
        let made = Login::made(found, own, &folders.state);
        made.map_err(|error| Failure::of(&error).hint("log in again outside, or take the file away"))
    }

    fn made(found: Found, own: Option<String>, state: &Path) -> Result<Login, LoginError> {
        let wrong = |because: String| LoginError::File { path: found.file.clone(), because };
        let file = file::read(&found.file).map_err(|absent| wrong(absent.to_string()))?;
        let until = SystemTime::now() + LASTS;
        let stands = found.format.stands(&file, until)?;
        let asked = place(&found.token)?;
        let token = own.map_or_else(|| Ok(asked.clone()), |own| place(&own))?;
        let inside = found.format.inside(&file, &stands, until);
        let kept = Kept::new(&found, stands.clone(), state).map_err(wrong)?;
        let content = format!("{inside:#}\n").into_bytes();
        let (good_for, answer) = (bound(&found)?, answer(&stands, found.format.scope(&file)));
        Ok(Login { found, stands, asked, token, good_for, answer, content, kept: Arc::new(kept) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.found.name
    }

    /// Puts what the inside needs of it into an outfit: its file, and the rules by which it is exchanged and refreshed.
    pub fn enter(&self, outfit: &mut Outfit) {
        outfit.files.push((self.found.inside.clone(), self.content.clone()));
        let name = self.found.name;
        let quoted = |texts: Vec<String>| {
            let mut texts: Vec<String> = texts.into_iter().map(|text| format!("\"{text}\"")).collect();
            texts.sort();
            texts.dedup();
            texts.join(", ")
        };
        let tokens = [&self.asked, &self.token].map(|place| place.endpoint.to_string());
        let places: Vec<String> =
            self.good_for.iter().map(|(endpoint, _)| endpoint.to_string()).chain(tokens).collect();
        let released = places.iter().map(|place| format!("{name} {place}")).collect();
        if outfit.layer.is_empty() {
            outfit.layer.push_str("version = 1\n");
        }
        outfit.layer.push_str(&format!(
            "\n[[rule]]\nid = \"{name}\"\nconnect = [{}]\ncredential = [{}]\nneed = \"none\"\nwhy = \"The login of this agent: refreshed there by Provost itself, and by nobody inside.\"\n",
            quoted(places),
            quoted(released),
        ));
    }

    /// Whether the inside could read the person's own file by these rules: then there would be tokens inside. Beneath the home the
    /// inside has its own file of that name.
    ///
    /// # Errors
    /// It could.
    pub fn stays_outside(&self, asked: &Confinement, home: &Path) -> Result<(), Failure> {
        let path = self.kept.path();
        let within = |path: &Path, trees: &[PathBuf]| trees.iter().any(|tree| path.starts_with(tree));
        let own = asked.tier == Tier::Namespaces && path == home.join(&self.found.inside);
        // What hides the file alone is gone once another is put in its place, and new tokens are written beside it.
        let hidden = path.parent().is_some_and(|folder| within(folder, &asked.hidden));
        if own || !within(path, &asked.read) || hidden {
            return Ok(());
        }
        Err(Failure::new(format!("the login in `{}` would be seen inside", path.display())).hint(
            "keep it elsewhere (CODEX_HOME, CLAUDE_CONFIG_DIR), or hide its folder by a rule: read = [\"./FOLDER/**\"], need = \"never\"",
        ))
    }

    /// What the inside holds of it.
    #[must_use]
    pub fn placeholders(&self) -> Vec<Placeholder> {
        let one = |text: &String, good_for: &[(Endpoint, Selector)]| Placeholder {
            text: text.clone(),
            credential: self.found.name.to_owned(),
            bound: good_for.iter().map(|(endpoint, _)| endpoint.clone()).collect(),
            only: good_for.iter().map(|(_, only)| only.clone()).collect(),
        };
        let id = self.stands.id.iter().map(|id| one(id, &[]));
        [one(&self.stands.access, &self.good_for), one(&self.stands.refresh, &[])]
            .into_iter()
            .chain(id)
            .collect()
    }

    /// The access token, for a place that it is good for.
    #[must_use]
    pub fn access(&self, to: &Endpoint) -> Option<Secret> {
        self.good_for.iter().any(|(known, _)| known == to).then(|| self.kept.access())
    }

    /// As the gateway wants it.
    #[must_use]
    pub fn for_gateway(&self) -> gateway::Login {
        gateway::Login {
            name: self.found.name.to_owned(),
            stand: self.stands.refresh.clone(),
            asked: self.asked.clone(),
            token: self.token.clone(),
            answer: self.answer.clone(),
            hint: self.found.hint.to_owned(),
            keeper: Arc::clone(&self.kept) as Arc<dyn gateway::Keeper>,
        }
    }
}

/// The logins that the person has, by the adapters that know them; or why one cannot be read.
pub fn all(host: &Host<'_>) -> Vec<Result<Found, crate::agents::AgentError>> {
    crate::agents::AGENTS.into_iter().filter_map(|agent: &dyn Agent| agent.login(host).transpose()).collect()
}

/// How good a login that was found is now.
///
/// # Errors
/// It cannot be read.
pub fn state(found: &Found) -> Result<gateway::State, Absent> {
    let file = file::read(&found.file)?;
    let tokens = found.format.read(&file).ok_or(Absent::NoLogin)?;
    Ok(kept::state(&tokens, SystemTime::now()))
}

/// The requests that an access token is good for, each with the place that they go to.
fn bound(found: &Found) -> Result<Vec<(Endpoint, Selector)>, LoginError> {
    let read = |(pattern, methods): &(String, &[&str])| {
        let methods: Vec<String> = methods.iter().map(|method| (*method).to_owned()).collect();
        let endpoint = url(pattern).map(|(_, endpoint, _)| endpoint);
        let selector = Selector::requests(pattern, &methods);
        match (endpoint, selector) {
            (Ok(endpoint), Ok(selector)) => Ok((endpoint, selector)),
            _ => Err(LoginError::Pattern(pattern.clone())),
        }
    };
    found.good_for.iter().map(read).collect()
}

/// What the inside is told when it asks for new tokens.
fn answer(stands: &Stands, scope: Option<String>) -> Value {
    let mut answer = json!({
        "token_type": "Bearer",
        "access_token": stands.access,
        "refresh_token": stands.refresh,
        "expires_in": LASTS.as_secs(),
    });
    if let Some(members) = answer.as_object_mut() {
        members.extend(stands.id.iter().map(|id| ("id_token".to_owned(), id.as_str().into())));
        members.extend(scope.map(|scope| ("scope".to_owned(), scope.into())));
    }
    answer
}

/// Where tokens are refreshed, from a URL.
fn place(text: &str) -> Result<TokenPlace, LoginError> {
    let wrong = |because| LoginError::Place { place: text.chars().take(200).collect(), because };
    let (scheme, endpoint, path) = url(text).map_err(wrong)?;
    let here = matches!(endpoint.host.to_string().as_str(), "127.0.0.1" | "localhost");
    let secure = match scheme {
        "https" => true,
        "http" if here => false,
        _ => return Err(wrong("it must begin with https://")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let odd = path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
    if odd || !path.starts_with('/') || !path.bytes().all(plain) {
        return Err(wrong("its path is not plain"));
    }
    Ok(TokenPlace { endpoint, secure, path: path.to_owned() })
}

/// Scheme, place and path of a URL; the path as it is written.
fn url(text: &str) -> Result<(&str, Endpoint, &str), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("it is no URL")?;
    let usual = match scheme {
        "https" | "wss" => 443,
        "http" | "ws" => 80,
        _ => return Err("it must begin with https://"),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let named = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    let whole = if named { authority.to_owned() } else { format!("{authority}:{usual}") };
    let endpoint = Endpoint::parse(&whole).map_err(|_| "it names no host")?;
    Ok((scheme, endpoint, path))
}
