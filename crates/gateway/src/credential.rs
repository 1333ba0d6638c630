//! Credentials: the inside holds placeholders, the outside gets secrets, and neither sees the other's.
//!
//! Owns finding placeholders in the head of a request, the exchange where one is bound to the place it goes to, the alarm where
//! it is not, taking out other credentials beside it, and taking secrets out of answers. Does not own the secrets ([`Vault`]),
//! nor whether one may leave (`admission`). None goes over a network in the clear. What travels in a tunnel or in a WebSocket is
//! not looked into.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use admission::{Permit, Release};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use http::{Uri, request};
use policy::{Action, Endpoint, Host, Scheme, Selector};

use crate::flow::{Canonical, Flow, is_this_host, same_place};
use crate::login::{Login, Logins};
use crate::scrub::{Scrub, Stand, Texts, TooMany};
use crate::watch::Watch;

/// Bytes of the shortest placeholder: a shorter one could be met by chance.
const SHORTEST: usize = 16;
/// Bytes of the shortest secret that is looked for in answers: a shorter one would spoil them.
const SHORTEST_SECRET: usize = 8;
/// Secrets that went out and are still taken out of answers; more than a run has credentials.
const USED: usize = 256;
/// Headers in which a credential goes. Towards a place that has one of ours, no other goes beside it.
pub(crate) const CARRIERS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-auth-token",
    "cookie",
];
/// Parameters of a query in which a credential goes.
pub(crate) const PARAMETERS: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];

/// What the inside holds in a credential's stead.
#[derive(Debug, Clone)]
pub struct Placeholder {
    /// The text; at least 16 bytes nobody can guess.
    pub text: String,
    /// The credential's name.
    pub credential: String,
    /// Where the credential may go: in TLS, or in the clear to this machine itself. Anywhere else the placeholder is an alarm.
    pub bound: Vec<Endpoint>,
    /// The requests that it is good for there; any, where none is named.
    pub only: Vec<Selector>,
}

/// A secret, for the moment of its use.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes a secret over.
    pub fn new(secret: impl Into<Vec<u8>>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // As far as safe code can: the box keeps the compiler from leaving the writes out. Copies made before are not ours.
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The secret could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("credential `{name}` could not be had: {because}")]
pub struct VaultError {
    /// The credential's name.
    pub name: String,
    /// Why.
    pub because: String,
}

/// Who keeps the secrets.
pub trait Vault: Send + Sync {
    /// The secret that the permit is for. It is called on the gateway's thread: it must not wait long.
    ///
    /// # Errors
    /// There is none, or it could not be had.
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError>;
}

/// Credentials that cannot be kept apart from other text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A placeholder could be met by chance.
    #[error("the placeholder of credential `{0}` is shorter than {SHORTEST} bytes")]
    TooShort(String),
    /// There is more than can be looked for.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// The placeholders of a run, who keeps the secrets, and those that were used.
pub struct Credentials {
    vault: Arc<dyn Vault>,
    known: Vec<Placeholder>,
    /// What is to be found nowhere in what leaves.
    watch: Watch,
    /// Those of which the gateway refreshes what it exchanges.
    pub(crate) logins: Logins,
    /// What has gone out, and what stands for it inside.
    used: Mutex<Vec<(Secret, String)>>,
}

/// A placeholder, or a secret itself, where it must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leak {
    /// Which.
    pub(crate) what: String,
    /// Where in the request it stands.
    pub(crate) place: String,
}

/// A credential that a request uses as it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Use {
    known: usize,
    /// What must be permitted.
    pub(crate) release: Release,
}

impl Credentials {
    /// What the inside holds, who has the secrets, and which secrets, each by its name, are stopped wherever they are seen leaving
    /// by another way than the exchange.
    ///
    /// # Errors
    /// A placeholder is too short to be told from other text, or there is more than can be looked for.
    pub fn new(
        known: Vec<Placeholder>,
        vault: Arc<dyn Vault>,
        secrets: impl IntoIterator<Item = (String, Secret)>,
    ) -> Result<Credentials, CredentialsError> {
        if let Some(short) = known.iter().find(|placeholder| placeholder.text.len() < SHORTEST) {
            return Err(CredentialsError::TooShort(short.credential.clone()));
        }
        let stand = |known: &Placeholder| {
            let said = format!("the placeholder of `{}`", known.credential);
            (known.text.clone().into_bytes(), said.into_bytes())
        };
        let watch = Watch::new(known.iter().map(stand).collect(), secrets)?;
        Ok(Credentials { vault, known, watch, logins: Logins::default(), used: Mutex::default() })
    }

    /// With these logins, whose tokens are refreshed by nobody but the gateway.
    ///
    /// # Errors
    /// There is more than can be looked for.
    pub fn with_logins(mut self, logins: Vec<Login>) -> Result<Credentials, CredentialsError> {
        for login in &logins {
            self.watch.learn(&login.name, login.keeper.tokens())?;
        }
        self.logins = Logins::new(logins);
        Ok(self)
    }

    /// Looks for these tokens of a login from now on.
    pub(crate) fn learn(&self, login: &str, tokens: Vec<(Secret, String)>) -> Result<(), TooMany> {
        self.watch.learn(login, tokens)
    }

    /// The login that this credential is a token of.
    pub(crate) fn login_of(&self, used: &Use) -> Option<&Arc<Login>> {
        self.logins.named(&used.release.name)
    }

    /// Whether a credential is bound to this place, so that requests there must be seen.
    pub(crate) fn any_for(&self, endpoint: &Endpoint) -> bool {
        self.known.iter().any(|placeholder| placeholder.place(endpoint).is_some())
    }

    /// Whether one may go to this place, in this way.
    pub(crate) fn go_to(&self, endpoint: &Endpoint, scheme: Scheme) -> bool {
        is_covered(endpoint, scheme) && self.any_for(endpoint)
    }

    /// A placeholder in the name of a host, which whoever answers for the name would read.
    pub(crate) fn in_host(&self, host: &Host) -> Option<Leak> {
        let host = host.to_string();
        let found = self.known.iter().find(|known| host.contains(&known.text.to_ascii_lowercase()))?;
        Some(found.leak("the host's name"))
    }

    /// The credentials that this head uses as it may; or the placeholder that it carries elsewhere.
    pub(crate) fn used_by(
        &self,
        head: &request::Parts,
        flow: &Flow,
        asked: &Canonical,
    ) -> Result<Vec<Use>, Leak> {
        let (endpoint, scheme, uri) = (&flow.endpoint, flow.scheme(), head.uri.to_string());
        self.guarded_in(&uri, &head.headers)?;
        let request = asked.as_ref().and_then(|asked| asked.clone().ok()).map(Action::Http);
        let mut uses = Vec::new();
        for (known, placeholder) in self.known.iter().enumerate() {
            if contains(uri.as_bytes(), &placeholder.text) || contains(&unescaped(&uri), &placeholder.text) {
                return Err(placeholder.leak("the URL"));
            }
            let carries = |(_, value): &(&HeaderName, &HeaderValue)| carries(value, &placeholder.text);
            let Some((name, _)) = head.headers.iter().find(carries) else { continue };
            let good = is_covered(endpoint, scheme) && placeholder.is_good_for(request.as_ref());
            let bound = placeholder.place(endpoint).filter(|_| good);
            let Some(bound) = bound else {
                return Err(placeholder.leak(&format!("header `{name}`")));
            };
            let release = Release { name: placeholder.credential.clone(), to: bound.clone() };
            uses.push(Use { known, release });
        }
        Ok(uses)
    }

    /// A secret itself in a head.
    fn guarded_in(&self, uri: &str, headers: &HeaderMap) -> Result<(), Leak> {
        let guarded = self.watched(true);
        let leak = |text: &[u8], place: &dyn Fn() -> String| match guarded.first(text) {
            Some((_, _, said)) => {
                Err(Leak { what: String::from_utf8_lossy(said).into_owned(), place: place() })
            }
            None => Ok(()),
        };
        for (name, value) in headers {
            let place = || format!("header `{name}`");
            leak(value.as_bytes(), &place)?;
            leak(&basic(value.as_bytes()).unwrap_or_default(), &place)?;
        }
        let place = || "the URL".to_owned();
        leak(uri.as_bytes(), &place)?;
        leak(&unescaped(uri), &place)
    }

    /// What no body may hold: secrets, and where no credential is bound placeholders too.
    pub(crate) fn watched(&self, bound: bool) -> Arc<Texts> {
        self.watch.texts(bound)
    }

    /// One of these in a body.
    pub(crate) fn in_body(said: &[u8]) -> Leak {
        Leak { what: String::from_utf8_lossy(said).into_owned(), place: "the body".to_owned() }
    }

    /// Puts the permitted secret where its placeholder is.
    pub(crate) fn exchange(
        &self,
        headers: &mut HeaderMap,
        used: &Use,
        permit: Permit<Release>,
    ) -> Result<(), VaultError> {
        let fault =
            |because: &str| VaultError { name: used.release.name.clone(), because: because.to_owned() };
        let placeholder = self.known.get(used.known).ok_or_else(|| fault("it is not known"))?;
        let secret = self.vault.secret(permit)?;
        let mut went = vec![(secret.clone(), placeholder.text.clone())];
        for value in headers.values_mut() {
            let Some(exchanged) = exchanged(value, &placeholder.text, &secret.0) else { continue };
            // What answers with the header as it came holds the secret as it went.
            went.extend(basic_pair(value, &exchanged));
            *value = HeaderValue::from_bytes(&exchanged).map_err(|_| fault("no header can hold it"))?;
            value.set_sensitive(true);
        }
        let mut used = self.used();
        went.retain(|(secret, _)| !used.iter().any(|(known, _)| known == secret));
        used.extend(went);
        // Of a login that is refreshed again and again the oldest go.
        let old = used.len().saturating_sub(USED);
        used.drain(..old);
        Ok(())
    }

    /// Takes out what is not ours of the credentials in a head, and what would hide a secret in its answer. Only for a place
    /// that a credential is bound to.
    pub(crate) fn strip(&self, head: &mut request::Parts) {
        let ours = |value: &HeaderValue| self.known.iter().any(|known| carries(value, &known.text));
        for name in CARRIERS {
            // Of two headers of one name, one may be ours.
            let kept: Vec<_> =
                head.headers.get_all(name).iter().filter(|value| ours(value)).cloned().collect();
            head.headers.remove(name);
            for value in kept {
                head.headers.append(name, value);
            }
        }
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(uri) = without_credentials(&head.uri) {
            head.uri = uri;
        }
    }

    /// The secrets that went out, each with what stands for it inside: what no answer may hold.
    pub(crate) fn released(&self) -> Vec<Stand> {
        let mut released = self.watch.tokens();
        for (secret, placeholder) in
            self.used().iter().filter(|(secret, _)| secret.0.len() >= SHORTEST_SECRET)
        {
            // A token is known already.
            if !released.iter().any(|(known, _)| *known == secret.0) {
                released.push((secret.0.clone(), placeholder.clone().into_bytes()));
            }
        }
        // ORDER: one that begins as another does must not leave the rest of that one.
        released.sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        released
    }

    /// Puts placeholders where an answer's head holds secrets.
    pub(crate) fn scrub(&self, headers: &mut HeaderMap) {
        for (secret, placeholder) in self.released() {
            for value in headers.values_mut() {
                if let Some(scrubbed) = replaced(value.as_bytes(), &secret, &placeholder) {
                    *value =
                        HeaderValue::from_bytes(&scrubbed).unwrap_or_else(|_| HeaderValue::from_static(""));
                }
            }
        }
    }

    /// A text as it may be kept: without any secret that is looked for, and without those that went out.
    pub(crate) fn kept_out(&self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        // ORDER: whole tokens before the ends by which they are known.
        for (secret, placeholder) in self.released() {
            text = replaced(&text, &secret, &placeholder).unwrap_or(text);
        }
        let mut scrub = Scrub::new(self.watched(true));
        [scrub.piece(text.into()), scrub.rest()].concat()
    }

    /// The same for texts that come in pieces.
    pub(crate) fn texts_kept_out(&self) -> Result<Vec<Arc<Texts>>, TooMany> {
        Ok(vec![Arc::new(Texts::new(self.released())?), self.watched(true)])
    }

    /// A text with the names of credentials where their placeholders are, which are others in the next run.
    pub(crate) fn named_in(&self, text: &[u8]) -> Vec<u8> {
        let mut text = basic(text).unwrap_or_else(|| text.to_vec());
        for known in &self.known {
            text = replaced(&text, known.text.as_bytes(), known.credential.as_bytes()).unwrap_or(text);
        }
        text
    }

    fn used(&self) -> MutexGuard<'_, Vec<(Secret, String)>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Placeholder {
    /// This place as the credential is bound to it.
    fn place(&self, endpoint: &Endpoint) -> Option<&Endpoint> {
        self.bound.iter().find(|bound| same_place(bound, endpoint))
    }

    fn leak(&self, place: &str) -> Leak {
        Leak { what: format!("the placeholder of `{}`", self.credential), place: place.to_owned() }
    }

    fn is_good_for(&self, request: Option<&Action>) -> bool {
        let covers = |request: &Action| self.only.iter().any(|one| one.covers(request));
        self.only.is_empty() || request.is_some_and(covers)
    }
}

/// Whether nobody on the way can read along.
pub(crate) fn is_covered(endpoint: &Endpoint, scheme: Scheme) -> bool {
    let here = |host: &Host| matches!(host, Host::Ip(address) if address.is_loopback());
    scheme == Scheme::Https || is_this_host(&endpoint.host) || here(&endpoint.host)
}

fn contains(text: &[u8], part: &str) -> bool {
    text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Whether a header's value carries a placeholder, plainly or as a name and password.
fn carries(value: &HeaderValue, placeholder: &str) -> bool {
    contains(value.as_bytes(), placeholder)
        || basic(value.as_bytes()).is_some_and(|plain| contains(&plain, placeholder))
}

/// The value with the secret in the placeholder's place, if it is there.
fn exchanged(value: &HeaderValue, placeholder: &str, secret: &[u8]) -> Option<Vec<u8>> {
    if let Some(exchanged) = replaced(value.as_bytes(), placeholder.as_bytes(), secret) {
        return Some(exchanged);
    }
    let exchanged = replaced(&basic(value.as_bytes())?, placeholder.as_bytes(), secret)?;
    Some([b"Basic ", STANDARD.encode(exchanged).as_bytes()].concat())
}

/// Name and password as they went out, where a secret is in them, and as they came.
fn basic_pair(came: &HeaderValue, went: &[u8]) -> Option<(Secret, String)> {
    let (_, came) = came.to_str().ok()?.split_at_checked(6).filter(|_| basic(came.as_bytes()).is_some())?;
    Some((Secret::new(went.strip_prefix(b"Basic ")?), came.trim().to_owned()))
}

/// The URL without the parameters in which a credential goes; none if it has none.
fn without_credentials(uri: &Uri) -> Option<Uri> {
    let query = uri.query()?;
    let name =
        |part: &str| unescaped(part.split_once('=').map_or(part, |(name, _)| name)).to_ascii_lowercase();
    let is_credential = |part: &&str| PARAMETERS.iter().any(|known| known.as_bytes() == name(part));
    let kept: Vec<&str> = query.split('&').filter(|part| !is_credential(part)).collect();
    let kept = kept.join("&");
    if kept == query {
        return None;
    }
    let path = if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{kept}", uri.path()) };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// What `Basic` authorization says.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let encoded = scheme.eq_ignore_ascii_case(b"basic ").then(|| rest.trim_ascii())?;
    STANDARD.decode(encoded).ok()
}

/// The text with every `part` replaced; none if there is none.
fn replaced(text: &[u8], part: &[u8], by: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(part.len()).position(|window| window == part) {
        let (before, after) = rest.split_at(at);
        whole.extend_from_slice(before);
        whole.extend_from_slice(by);
        rest = after.get(part.len()..).unwrap_or_default();
    }
    if rest.len() == text.len() {
        return None;
    }
    whole.extend_from_slice(rest);
    Some(whole)
}

/// The text with its percent escapes undone, once.
pub(crate) fn unescaped(text: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let escaped = match (digit(0), digit(1)) {
            (Some(high), Some(low)) if *byte == b'%' => u8::try_from(high * 16 + low).ok(),
            _ => None,
        };
        plain.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    plain
}
