//! Credentials of a run: what the agent holds in their stead, and what they really are.
//!
//! The inside gets a placeholder of the right shape; the gateway exchanges it for the real value where it leaves, only
//! towards the endpoints it is bound to. What a person passes by name goes inside as it is, and the caller records it.
//!
//! Owns: making placeholders, keeping values out of messages. Does not own: the exchange (gateway), the decision that a
//! credential may leave (policy), stores other than the person's environment.

use crate::store::{Kept, StoreError};
use crate::toolchains::Environment;
use policy::Selector;
use std::fmt;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes over a value.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // As far as safe code can: the box keeps the compiler from leaving the writes out. Copies made before are not ours.
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

/// What a credential has to look like for the program that checks its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `sk-...`
    OpenAi,
    /// `sk-ant-...`
    Anthropic,
    /// No form.
    Plain,
}

/// A credential that an agent uses, if the person has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The variable that holds it, which is also its name.
    pub name: String,
    /// The variable by which the agent gets it inside.
    pub enters_as: String,
    /// What it has to look like.
    pub shape: Shape,
    /// Where it is meant for: `host:port`.
    pub endpoints: Vec<String>,
    /// The gateway may exchange it there: nobody else reads along, in TLS or on this machine.
    pub exchangeable: bool,
}

/// How a credential entered the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// The inside holds a stand-in.
    Placeholder,
    /// The inside holds the value, because the person said so.
    Real,
}

/// A credential of a run.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Its name, for policy and ledger.
    pub name: String,
    /// The variable that carries it inside.
    pub enters_as: String,
    /// How it entered.
    pub how: How,
    /// The endpoints it is bound to: `host:port`. Empty if it is bound to none, and so never exchanged.
    pub endpoints: Vec<String>,
    /// The requests that it is good for there; any, where none is named.
    pub only: Vec<Selector>,
    placeholder: Option<String>,
    secret: Secret,
}

/// The credentials of a run.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Vec<Credential>);

/// Why the credentials of a run could not be made ready.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CredentialError {
    /// The person passes what they do not have.
    #[error("cannot pass credential `{0}`: no such variable is set")]
    NotSet(String),
    /// The name is none that a credential may have.
    #[error("cannot pass credential `{}`: it is no name of a credential", .0.escape_debug())]
    NoName(String),
    /// The system gives no random bytes.
    #[error("cannot make a placeholder: the system gives no random bytes")]
    NoRandom,
}

impl CredentialError {
    /// What the person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotSet(_) => Some("export it in this shell, or leave out --pass-credential"),
            Self::NoName(_) => {
                Some("give the name of a variable that holds a credential, e.g. OPENAI_API_KEY")
            }
            Self::NoRandom => None,
        }
    }
}

impl Credentials {
    /// Makes ready what is wanted and set, and what is passed by name. A wanted credential that is passed enters as the
    /// agent wants it.
    pub fn prepare(
        wanted: &[Wanted],
        environment: &Environment,
        passed: &[String],
    ) -> Result<Self, CredentialError> {
        let mut all: Vec<Credential> = Vec::new();
        for name in passed {
            let value = environment.get(valid(name)?).ok_or_else(|| CredentialError::NotSet(name.clone()))?;
            let wanted = wanted.iter().find(|wanted| wanted.name == *name);
            let credential = Credential {
                name: name.clone(),
                enters_as: wanted.map_or(name, |wanted| &wanted.enters_as).clone(),
                how: How::Real,
                endpoints: Vec::new(),
                only: Vec::new(),
                placeholder: None,
                secret: Secret::new(value),
            };
            if !all.iter().any(|known| known.name == *name) {
                all.push(credential);
            }
        }
        for wanted in wanted {
            let taken =
                all.iter().any(|known| known.name == wanted.name || known.enters_as == wanted.enters_as);
            if let Some(value) = environment.get(&wanted.name).filter(|_| !taken) {
                all.push(Credential {
                    name: wanted.name.clone(),
                    enters_as: wanted.enters_as.clone(),
                    how: How::Placeholder,
                    endpoints: if wanted.exchangeable { wanted.endpoints.clone() } else { Vec::new() },
                    only: Vec::new(),
                    placeholder: Some(placeholder(wanted.shape)?),
                    secret: Secret::new(value),
                });
            }
        }
        Ok(Self(all))
    }

    /// Takes in one that the person told us of, unless one enters by its name or its variable already.
    ///
    /// # Errors
    /// Its value could not be had, or the system gives no random bytes.
    pub fn keep(&mut self, kept: &Kept, environment: &Environment) -> Result<(), StoreError> {
        let taken = |known: &Credential| known.name == kept.name || known.enters_as == kept.enters_as;
        if self.0.iter().any(taken) {
            return Ok(());
        }
        let (places, only): (Vec<_>, Vec<_>) = kept.requests()?.into_iter().unzip();
        let secret = kept.value(environment)?;
        let placeholder = like(secret.expose())
            .map_err(|error| StoreError::Value { name: kept.name.clone(), because: error.to_string() })?;
        self.0.push(Credential {
            name: kept.name.clone(),
            enters_as: kept.enters_as.clone(),
            how: How::Placeholder,
            endpoints: places.iter().map(ToString::to_string).collect(),
            only,
            placeholder: Some(placeholder),
            secret,
        });
        Ok(())
    }

    /// The values that stay outside, each by its name.
    pub fn outside(&self) -> impl Iterator<Item = (&str, &Secret)> {
        let outside = self.0.iter().filter(|one| one.how == How::Placeholder);
        outside.map(|one| (one.name.as_str(), &one.secret))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.0.iter()
    }

    /// The variables for the inside.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.0.iter().filter_map(|one| Some((one.enters_as.clone(), one.inside()?))).collect()
    }

    /// What the inside holds in this variable.
    #[must_use]
    pub fn inside(&self, variable: &str) -> Option<String> {
        self.0.iter().find(|one| one.enters_as == variable)?.inside()
    }

    /// The stand-ins, each with the name of its credential.
    #[must_use]
    pub fn placeholders(&self) -> Vec<(String, String)> {
        self.0.iter().filter_map(|one| Some((one.placeholder.clone()?, one.name.clone()))).collect()
    }

    /// The value to send in a placeholder's stead to an endpoint (`host:port`): only where it is bound to.
    #[must_use]
    pub fn release(&self, name: &str, endpoint: &str) -> Option<Secret> {
        let bound = |one: &&Credential| one.name == name && one.how == How::Placeholder;
        let one = self.0.iter().find(bound)?;
        one.endpoints.iter().any(|known| known == endpoint).then(|| one.secret.clone())
    }
}

impl Credential {
    /// What the inside holds: the stand-in, or the value where it was passed.
    fn inside(&self) -> Option<String> {
        match (&self.placeholder, self.how) {
            (Some(placeholder), How::Placeholder) => Some(placeholder.clone()),
            (_, How::Real) => String::from_utf8(self.secret.expose().to_vec()).ok(),
            (None, How::Placeholder) => None,
        }
    }
}

/// A name that a credential may have: a variable's, and none that programs take orders from.
pub(crate) fn valid(name: &str) -> Result<&str, CredentialError> {
    const ORDERS: [&str; 14] = [
        "PATH",
        "HOME",
        "SHELL",
        "IFS",
        "ENV",
        "BASH_ENV",
        "PROMPT_COMMAND",
        "NODE_OPTIONS",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "EDITOR",
    ];
    let form = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let steers = ORDERS.contains(&name)
        || name.starts_with("LD_")
        || name.starts_with("GIT_")
        || name.starts_with("BASH_FUNC");
    if form && first && !steers { Ok(name) } else { Err(CredentialError::NoName(name.to_owned())) }
}

/// Beginnings by which programs tell what a credential is.
const BEGINNINGS: [&str; 16] = [
    "sk-ant-",
    "sk-proj-",
    "sk-",
    "github_pat_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "glpat-",
    "npm_",
    "pypi-",
    "xoxb-",
    "xoxp-",
    "hf_",
    "AKIA",
    "AIza",
];
/// Bytes of a stand-in that are drawn by chance, at the least.
const CHANCE: usize = 24;

/// A stand-in that begins as the value does and is as long, where that leaves enough to chance.
fn like(value: &[u8]) -> Result<String, CredentialError> {
    let begins =
        BEGINNINGS.into_iter().find(|begin| value.starts_with(begin.as_bytes())).unwrap_or("provost-");
    let length = value.len().saturating_sub(begins.len()).clamp(CHANCE, 256);
    let mut random = vec![0; length];
    getrandom::fill(&mut random).map_err(|_| CredentialError::NoRandom)?;
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let letters = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32)));
    Ok(begins.chars().chain(letters.map(|letter| char::from(*letter))).collect())
}

/// A stand-in that nobody can guess and everybody can recognise.
fn placeholder(shape: Shape) -> Result<String, CredentialError> {
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|_| CredentialError::NoRandom)?;
    let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(match shape {
        Shape::OpenAi => format!("sk-provost-{random}"),
        Shape::Anthropic => format!("sk-ant-provost-{random}"),
        Shape::Plain => format!("provost-{random}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Environment::new(variables, Path::new("/home/ann"), Path::new("/work"))
    }

    fn wanted(name: &str, enters_as: &str, shape: Shape, exchangeable: bool) -> Wanted {
        let endpoints = vec!["127.0.0.1:8099".to_owned()];
        Wanted { name: name.to_owned(), enters_as: enters_as.to_owned(), shape, endpoints, exchangeable }
    }

    #[test]
    fn the_inside_holds_a_placeholder_of_the_right_shape() {
        let host = environment(&[("ANTHROPIC_API_KEY", "sk-ant-real"), ("OPENAI_API_KEY", "sk-real")]);
        let wanted = [
            wanted("ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY", Shape::Anthropic, true),
            wanted("OPENAI_API_KEY", "CODEX_API_KEY", Shape::OpenAi, true),
            wanted("NOT_SET", "NOT_SET", Shape::Plain, true),
        ];
        let credentials = Credentials::prepare(&wanted, &host, &[]).unwrap();
        let inside = credentials.environment();
        assert_eq!(inside.len(), 2);
        assert!(
            inside[0].0 == "ANTHROPIC_API_KEY"
                && inside[0].1.starts_with("sk-ant-provost-")
                && inside[0].1.len() > 50
        );
        assert!(inside[1].0 == "CODEX_API_KEY" && inside[1].1.starts_with("sk-provost-"));
        assert!(!inside.iter().any(|(_, value)| value.contains("real")));
        assert_eq!(credentials.placeholders()[1], (inside[1].1.clone(), "OPENAI_API_KEY".to_owned()));
        let again = Credentials::prepare(&wanted, &host, &[]).unwrap();
        assert_ne!(again.environment(), inside, "every run has its own");
    }

    #[test]
    fn a_placeholder_is_exchanged_only_where_it_is_bound() {
        let host = environment(&[("KEY", "real"), ("OTHER", "real")]);
        let wanted =
            [wanted("KEY", "KEY", Shape::Plain, true), wanted("OTHER", "OTHER", Shape::Plain, false)];
        let credentials = Credentials::prepare(&wanted, &host, &[]).unwrap();
        assert_eq!(credentials.release("KEY", "127.0.0.1:8099").unwrap().expose(), b"real");
        assert_eq!(credentials.release("KEY", "127.0.0.1:8098"), None);
        assert_eq!(credentials.release("KEY", "evil.example:8099"), None);
        assert_eq!(
            credentials.release("OTHER", "127.0.0.1:8099"),
            None,
            "the gateway cannot exchange it there"
        );
        assert_eq!(credentials.release("NONE", "127.0.0.1:8099"), None);
    }

    #[test]
    fn a_passed_credential_enters_as_it_is_and_is_never_exchanged() {
        let host = environment(&[("OPENAI_API_KEY", "sk-real"), ("NPM_TOKEN", "t")]);
        let wanted = [wanted("OPENAI_API_KEY", "CODEX_API_KEY", Shape::OpenAi, true)];
        let passed = ["OPENAI_API_KEY".to_owned(), "NPM_TOKEN".to_owned(), "NPM_TOKEN".to_owned()];
        let credentials = Credentials::prepare(&wanted, &host, &passed).unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(credentials.environment(), [pair("CODEX_API_KEY", "sk-real"), pair("NPM_TOKEN", "t")]);
        assert!(credentials.iter().all(|one| one.how == How::Real) && credentials.placeholders().is_empty());
        assert_eq!(credentials.release("OPENAI_API_KEY", "127.0.0.1:8099"), None);
    }

    #[test]
    fn what_is_no_credential_cannot_be_passed() {
        let host = environment(&[("LD_PRELOAD", "/x.so"), ("PATH", "/x"), ("A B", "x"), ("EMPTY", "")]);
        for name in ["LD_PRELOAD", "PATH", "A B", "", "1X", "GIT_SSH_COMMAND", "X=Y", "NODE_OPTIONS", "x\n"] {
            let refused = Credentials::prepare(&[], &host, &[name.to_owned()]).unwrap_err();
            assert_eq!(refused, CredentialError::NoName(name.to_owned()));
            assert!(!refused.to_string().contains('\n'));
        }
        for name in ["EMPTY", "MISSING"] {
            assert_eq!(
                Credentials::prepare(&[], &host, &[name.to_owned()]).unwrap_err(),
                CredentialError::NotSet(name.to_owned())
            );
        }
    }

    #[test]
    fn t86_no_message_shows_a_value() {
        let host = environment(&[("KEY", "hunter2")]);
        let credentials =
            Credentials::prepare(&[wanted("KEY", "KEY", Shape::Plain, true)], &host, &[]).unwrap();
        assert!(
            !format!("{credentials:?} {:?}", credentials.release("KEY", "127.0.0.1:8099"))
                .contains("hunter2")
        );
    }
}
