//! Logins: the inside holds stand-ins of tokens, and the gateway alone refreshes what they stand for.
//!
//! Owns the token endpoint of each login: what the inside asks there never leaves, and is answered with stand-ins; nothing else is
//! asked there from inside. Owns that a token is refreshed before it is needed, once for all who wait, by the one dialler, and that
//! this is recorded. Does not own the tokens or the file they are in ([`Keeper`]), or the exchange (`credential`).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use admission::{Permit, Release};
use policy::{Endpoint, Scheme};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::credential::Secret;
use crate::flow::same_place;

mod endpoint;
mod refresh;

pub(crate) use endpoint::answer;
pub(crate) use refresh::fresh;

/// Bytes of a question or an answer about tokens.
const LONGEST: usize = 64 * 1024;
/// How long a token endpoint may take, all in all.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the end of a run waits for a refresh that is under way.
const LAST: Duration = Duration::from_secs(40);

/// Where tokens are refreshed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPlace {
    /// Host and port.
    pub endpoint: Endpoint,
    /// Whether in TLS; in the clear only on this machine itself.
    pub secure: bool,
    /// The path, canonical.
    pub path: String,
}

/// A login of the person.
#[derive(Debug)]
pub struct Login {
    /// Its name, and that of the credential whose stand-in is exchanged for its access token.
    pub name: String,
    /// What the inside holds in the refresh token's stead.
    pub stand: String,
    /// Where the inside asks for new tokens.
    pub asked: TokenPlace,
    /// Where they are had.
    pub token: TokenPlace,
    /// What the inside is told there: stand-ins.
    pub answer: Value,
    /// What the person does where the login is over.
    pub hint: String,
    /// Who has the tokens.
    pub keeper: Arc<dyn Keeper>,
}

/// How good an access token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is good for a while.
    Good,
    /// It is good, and soon it is not.
    Ending,
    /// It is over.
    Over,
}

/// Who keeps the tokens of a login, in the file of the person's own agent.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// How good the access token is. Asked with each request: it does not wait.
    fn state(&self) -> State;

    /// The tokens, each with what stands for it inside.
    fn tokens(&self) -> Vec<(Secret, String)>;

    /// Takes the login for a refresh: nobody else refreshes it until the turn is over. Where somebody else has done so since it
    /// was last read, theirs are taken. It may wait, for a while.
    ///
    /// # Errors
    /// Why it cannot be refreshed now. Nothing was asked.
    fn begin(&self) -> Result<Begun, String>;
}

/// A login that is taken for a refresh.
pub enum Begun {
    /// Somebody else has refreshed it.
    Adopted,
    /// Its endpoint has refused this very refresh token before.
    Refused(Refused),
    /// It is to be asked.
    Ask(Box<dyn Turn>),
}

/// A refresh. It is over when dropped.
pub trait Turn: Send + Sync {
    /// What is sent.
    fn question(&self, permit: Permit<Release>) -> Question;

    /// What came back. It is written down before this returns; it may wait for the disk.
    fn answered(self: Box<Self>, status: u16, body: &[u8]) -> Answered;
}

/// What a token endpoint is asked.
pub struct Question {
    /// What the body is.
    pub media_type: &'static str,
    /// The body; it holds the refresh token.
    pub body: Vec<u8>,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// There are new tokens.
    Refreshed,
    /// There were new ones already, by somebody else.
    Adopted,
    /// It refuses.
    Refused(Refused),
    /// It is not to be understood, or could not be written down.
    Failed(String),
}

/// A token endpoint refuses for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its status.
    pub status: u16,
    /// Its word for it: letters, digits and `_`.
    pub code: String,
}

/// Why there are no new tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Refused(Refused),
    Failed(String),
}

/// The logins of a run.
#[derive(Default)]
pub(crate) struct Logins(Vec<(Arc<Login>, Arc<Turns>)>);

/// The turns at one login: one at a time, and what came of the last.
type Turns = Mutex<Option<(Instant, Result<(), Ended>)>>;

impl Logins {
    pub(crate) fn new(logins: Vec<Login>) -> Logins {
        Logins(logins.into_iter().map(|login| (Arc::new(login), Arc::default())).collect())
    }

    /// The login of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Login>> {
        self.0.iter().map(|(login, _)| login).find(|login| login.name == name)
    }

    /// The login that is refreshed at this place.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Option<&Arc<Login>> {
        let there = |login: &Login| login.places().any(|place| same_place(&place.endpoint, endpoint));
        self.0.iter().map(|(login, _)| login).find(|login| there(login))
    }

    /// Waits until no refresh is under way, for a while.
    pub(crate) async fn settle(&self) {
        let all = async {
            for (_, turns) in &self.0 {
                drop(turns.lock().await);
            }
        };
        // What takes longer than it may is over by itself.
        let _ = timeout(LAST, all).await;
    }

    fn turns(&self, login: &Arc<Login>) -> Arc<Turns> {
        let found = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, login));
        found.map(|(_, turns)| Arc::clone(turns)).unwrap_or_default()
    }
}

impl Login {
    fn places(&self) -> impl Iterator<Item = &TokenPlace> {
        [&self.asked, &self.token].into_iter()
    }

    /// What is said of a login that is over.
    fn over(&self, refused: &Refused) -> String {
        format!(
            "the login `{}` is over, its token endpoint says `{}`: {}",
            self.name, refused.code, self.hint
        )
    }
}

impl TokenPlace {
    fn scheme(&self) -> Scheme {
        if self.secure { Scheme::Https } else { Scheme::Http }
    }

    /// Whether a path is about logins there.
    fn is_about(&self, path: &str) -> bool {
        let folder = self.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Begun::Adopted => "Adopted",
            Begun::Refused(_) => "Refused(..)",
            Begun::Ask(_) => "Ask(..)",
        })
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_logins_is_told_by_the_folder() {
        let endpoint = Endpoint::parse("login.example:443").unwrap();
        let place = TokenPlace { endpoint, secure: true, path: "/v1/oauth/token".to_owned() };
        for (path, about) in [
            ("/v1/oauth/token", true),
            ("/v1/oauth/token/revoke", true),
            ("/v1/oauth/authorize", true),
            ("/v1/oauthx", false),
            ("/v1/messages", false),
            ("/v1/oauth", false),
        ] {
            assert_eq!(place.is_about(path), about, "{path}");
        }
    }
}
