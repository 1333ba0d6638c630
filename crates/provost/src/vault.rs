//! The credentials of a run, as the gateway wants them: stand-ins to know, secrets to be had with a permit.
//!
//! Owns that translation. Does not own the credentials (`secrets`), the logins (`logins`) or the exchange (`gateway`).

use admission::{Permit, Release};
use gateway::{Placeholder, Secret, Vault, VaultError};
use policy::Endpoint;

use crate::logins::Login;
use crate::secrets::{Credentials, How};
use crate::toolchains::{Environment, variables};

/// See the module.
#[derive(Debug)]
pub struct RunVault {
    /// Those that do not change.
    pub credentials: Credentials,
    /// The one whose tokens come and go.
    pub login: Option<Login>,
}

/// What the inside holds in their stead.
pub fn placeholders(credentials: &Credentials) -> Vec<Placeholder> {
    let known = |name: &str| credentials.iter().find(|one| one.name == name && one.how == How::Placeholder);
    let placeholder = |(text, credential): (String, String)| {
        let one = known(&credential);
        let places = one.map_or(&[][..], |one| one.endpoints.as_slice());
        Placeholder {
            bound: places.iter().filter_map(|text| Endpoint::parse(text).ok()).collect(),
            only: one.map_or_else(Vec::new, |one| one.only.clone()),
            text,
            credential,
        }
    };
    credentials.placeholders().into_iter().map(placeholder).collect()
}

/// Secrets that must be seen nowhere in what leaves, each by its name: those that stay outside, and whatever else of the person's
/// environment is one; not what they passed by name.
pub fn guarded(credentials: &Credentials, environment: &Environment) -> Vec<(String, Secret)> {
    let passed: Vec<String> = credentials
        .iter()
        .filter(|one| one.how == How::Real)
        .filter_map(|one| credentials.inside(&one.enters_as))
        .collect();
    let outside = credentials.outside().map(|(name, secret)| (name.to_owned(), Secret::new(secret.expose())));
    // Where a socket or a file is (SSH_AUTH_SOCK, DBUS_SESSION_BUS_ADDRESS) is named like a secret, and stands in much honest text.
    let is_place = |value: &str| value.starts_with('/') || value.starts_with("unix:");
    let is_secret = |(name, value): &(&String, &String)| {
        let named = variables::is_secret_name(name) && !is_place(value);
        (named || variables::is_secret_value(value)) && !passed.contains(value)
    };
    let variables = environment.variables.iter().filter(is_secret);
    outside.chain(variables.map(|(name, value)| (name.clone(), Secret::new(value.as_str())))).collect()
}

impl Vault for RunVault {
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
        let (Release { name, to }, receipt) = permit.begin();
        let login = self.login.as_ref().filter(|login| login.name() == name);
        let login = login.and_then(|login| login.access(&to));
        match login.or_else(|| self.credentials.release(&name, &to.to_string())) {
            Some(secret) => {
                receipt.settle(admission::Outcome::done());
                Ok(Secret::new(secret.expose()))
            }
            None => {
                let because = format!("it is not bound to {to}");
                receipt.settle(admission::Outcome::failed(because.clone()));
                Err(VaultError { name, because })
            }
        }
    }
}
