//! The tokens of a login while a run goes on.
//!
//! Owns: what they are now, when they are over, and a refresh between the question and the file. Whatever is found in the file that
//! is newer is taken: the person's own agent, or another run, may have refreshed it. Does not own the file's form (`agents`), or
//! the way to the endpoint (`gateway`).

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use admission::{Outcome, Permit, Release};
use gateway::{Answered, Begun, Keeper, Refused, State, TokenQuestion, Turn};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::file::{self, Next, Taken};
use super::{Format, Found, Given, Stands, Tokens};
use crate::secrets::Secret;

/// How long before its end an access token is refreshed.
const BEFORE: Duration = Duration::from_secs(5 * 60);
/// How often a file that cannot be understood is looked at again, and how long is waited between: its agent may be writing it.
const WRITTEN: usize = 20;
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of the longest token.
const LONGEST: usize = 16 * 1024;
/// Words by which an endpoint says that a refresh token gives nothing any more.
const OVER: [&str; 6] = [
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "refresh_token_expired",
    "refresh_token_reused",
    "refresh_token_invalidated",
];

/// See the module.
#[derive(Debug)]
pub struct Kept(Arc<Inner>);

struct Inner {
    path: PathBuf,
    format: &'static dyn Format,
    hint: &'static str,
    stands: Stands,
    lock: PathBuf,
    now: Mutex<Now>,
}

/// What is known of the tokens.
struct Now {
    tokens: Tokens,
    /// The refresh token that was refused, and how.
    refused: Option<(Secret, Refused)>,
    /// The refresh token that stands in the file still, where what came for it could not be written there.
    ahead_of: Option<Secret>,
}

impl Kept {
    /// The tokens of a login that was found, for which these stand inside.
    pub(super) fn new(found: &Found, stands: Stands, state: &Path) -> Result<Kept, String> {
        // A link stays one: what it leads to is replaced.
        let path = std::fs::canonicalize(&found.file).map_err(|error| error.to_string())?;
        let tokens = read(&path, found.format)?.1;
        // Every run of this login takes the same.
        let digest = Sha256::digest(path.as_os_str().as_bytes());
        let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let lock = state.join("logins").join(format!("{}-{digest}.lock", found.name));
        let now = Mutex::new(Now { tokens, refused: None, ahead_of: None });
        Ok(Kept(Arc::new(Inner { path, format: found.format, hint: found.hint, stands, lock, now })))
    }

    /// Where the person's own file is.
    pub(super) fn path(&self) -> &Path {
        &self.0.path
    }

    /// The access token, now.
    #[must_use]
    pub fn access(&self) -> Secret {
        self.0.now().tokens.access.clone()
    }
}

/// How good these tokens are.
pub(super) fn state(tokens: &Tokens, now: SystemTime) -> State {
    match tokens.until {
        Some(until) if until <= now => State::Over,
        Some(until) if until <= now + BEFORE => State::Ending,
        Some(_) | None => State::Good,
    }
}

fn read(path: &Path, format: &dyn Format) -> Result<(Value, Tokens), String> {
    let file = file::read(path).map_err(|absent| absent.to_string())?;
    let tokens = format.read(&file).ok_or_else(|| file::Absent::NoLogin.to_string())?;
    Ok((file, tokens))
}

impl Inner {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the file holds, or why it holds none; ours where it still holds what ours came for.
    fn read(&self) -> Result<(Value, Tokens), String> {
        let wrong = |because| format!("`{}`: {because}; {}", self.path.display(), self.hint);
        let (file, tokens) = read(&self.path, self.format).map_err(wrong)?;
        let mut now = self.now();
        if now.ahead_of.as_ref() == Some(&tokens.refresh) {
            return Ok((file, now.tokens.clone()));
        }
        now.ahead_of = None;
        Ok((file, tokens))
    }

    /// The same, once whoever writes it just now is done with that.
    fn read_soon(&self) -> Result<(Value, Tokens), String> {
        let mut read = self.read();
        for _ in 0..WRITTEN {
            if read.is_ok() || !self.path.exists() {
                break;
            }
            std::thread::sleep(LOOK);
            read = self.read();
        }
        read
    }

    /// Takes what somebody else has put there, if it is good.
    fn adopts(&self, found: &Tokens) -> bool {
        let mut now = self.now();
        let newer = found.access != now.tokens.access;
        let good = newer && state(found, SystemTime::now()) == State::Good;
        now.tokens = found.clone();
        good
    }

    fn refused(&self, with: &Secret) -> Option<Refused> {
        let now = self.now();
        now.refused.as_ref().filter(|(token, _)| token == with).map(|(_, refused)| refused.clone())
    }
}

impl Keeper for Kept {
    fn state(&self) -> State {
        state(&self.0.now().tokens, SystemTime::now())
    }

    fn tokens(&self) -> Vec<(gateway::Secret, String)> {
        let (now, stands) = (self.0.now(), &self.0.stands);
        let one = |secret: &Secret, stand: &str| (gateway::Secret::new(secret.expose()), stand.to_owned());
        let mut all =
            vec![one(&now.tokens.access, &stands.access), one(&now.tokens.refresh, &stands.refresh)];
        // Without a stand-in of its own nothing of it is inside, and another's would be wrong.
        all.extend(now.tokens.id.iter().map(|id| one(id, stands.id.as_deref().unwrap_or_default())));
        all.retain(|(_, stand)| !stand.is_empty());
        all
    }

    fn begin(&self) -> Result<Begun, String> {
        let inner = &self.0;
        let taken = file::take(&inner.lock, inner.format.lock(&inner.path).as_deref())?;
        let (file, tokens) = inner.read()?;
        if inner.adopts(&tokens) {
            return Ok(Begun::Adopted);
        }
        if let Some(refused) = inner.refused(&tokens.refresh) {
            return Ok(Begun::Refused(refused));
        }
        let failed =
            |error| format!("new tokens could not be written to `{}`: {error}", inner.path.display());
        let next = Next::beside(&inner.path).map_err(failed)?;
        let (kept, refresh) = (Arc::clone(inner), tokens.refresh);
        Ok(Begun::Ask(Box::new(OneTurn { kept, refresh, file, next, _taken: taken })))
    }
}

/// A refresh.
struct OneTurn {
    kept: Arc<Inner>,
    /// What is asked with.
    refresh: Secret,
    file: Value,
    next: Next,
    _taken: Taken,
}

impl Turn for OneTurn {
    fn question(&self, permit: Permit<Release>) -> TokenQuestion {
        permit.begin().1.settle(Outcome::done());
        let mut question = self.kept.format.question(&self.file);
        question.insert("grant_type".to_owned(), "refresh_token".into());
        let refresh = String::from_utf8_lossy(self.refresh.expose()).into_owned();
        question.insert("refresh_token".to_owned(), refresh.into());
        let body = Value::Object(question).to_string().into_bytes();
        TokenQuestion { media_type: "application/json", body }
    }

    fn answered(self: Box<Self>, status: u16, body: &[u8]) -> Answered {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        match (status, given(&said)) {
            (200, Some(given)) => self.renew(&given),
            (200, None) => Answered::Failed("its token endpoint gave no token".to_owned()),
            (400 | 401, _) => match code(&said).filter(|code| status == 401 || OVER.contains(&code.as_str()))
            {
                Some(code) => self.refuse(Refused { status, code }),
                None => Answered::Failed(format!("its token endpoint answered {status}")),
            },
            _ => Answered::Failed(format!("its token endpoint answered {status}")),
        }
    }
}

impl OneTurn {
    /// Writes new tokens down. Whatever else is in the file by now stays.
    fn renew(self, given: &Given) -> Answered {
        let (kept, now) = (&self.kept, SystemTime::now());
        let read = kept.read_soon();
        // Who has logged out meanwhile has; no run goes on with it.
        if let Err(because) = &read
            && !kept.path.exists()
        {
            return Answered::Failed(because.clone());
        }
        // What was read before it was asked will do to know what came.
        let mut file = match &read {
            // Somebody has logged in anew meanwhile: theirs stays.
            Ok((_, tokens)) if tokens.refresh != self.refresh => {
                kept.now().tokens = tokens.clone();
                return Answered::Adopted;
            }
            Ok((file, _)) => file.clone(),
            Err(_) => self.file.clone(),
        };
        let stands = kept.format.read(&file).map(|tokens| tokens.refresh);
        kept.format.renew(&mut file, given, now);
        if let Some(tokens) = kept.format.read(&file) {
            let mut now = kept.now();
            (now.tokens, now.ahead_of) = (tokens, stands);
        }
        if let Err(because) = read {
            return Answered::Failed(because);
        }
        match self.next.replace(&file) {
            Ok(()) => {
                kept.now().ahead_of = None;
                Answered::Refreshed
            }
            Err(error) => Answered::Failed(format!(
                "new tokens were not written to `{}` ({error}), and the old ones may be good no more: {}",
                kept.path.display(),
                kept.hint
            )),
        }
    }

    /// It may be refused because somebody who takes no lock was quicker: then theirs are in the file.
    fn refuse(self, refused: Refused) -> Answered {
        if self.kept.read().is_ok_and(|(_, found)| found.refresh != self.refresh && self.kept.adopts(&found))
        {
            return Answered::Adopted;
        }
        self.kept.now().refused = Some((self.refresh.clone(), refused.clone()));
        Answered::Refused(refused)
    }
}

/// The tokens in an answer.
fn given(said: &Value) -> Option<Given> {
    let text =
        |name: &str| said.get(name).and_then(Value::as_str).filter(|text| is_token(text)).map(Secret::new);
    // One that is there and is none spoils the rest.
    let odd = ["access_token", "refresh_token", "id_token"]
        .iter()
        .any(|name| said.get(name).is_some_and(|value| !value.is_null()) && text(name).is_none());
    if odd {
        return None;
    }
    Some(Given {
        access: text("access_token")?,
        refresh: text("refresh_token"),
        id: text("id_token"),
        lasts: said.get("expires_in").and_then(Value::as_u64).map(Duration::from_secs),
        scope: said.get("scope").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Whether a header could hold it.
fn is_token(text: &str) -> bool {
    (16..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The endpoint's word for a refusal: `error`, or its `code`. Nothing else of it is told on: it may hold anything.
fn code(said: &Value) -> Option<String> {
    let error = said.get("error").or_else(|| said.get("code"));
    let error = error.and_then(|error| error.get("code").or(Some(error))).and_then(Value::as_str);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let word = error.filter(|word| !word.is_empty() && word.len() < 40 && word.bytes().all(plain));
    Some(word.unwrap_or("refused").to_owned())
}

impl fmt::Debug for Inner {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Kept").field("path", &self.path).finish_non_exhaustive()
    }
}
