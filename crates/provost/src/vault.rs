//! The credentials of a run, as the gateway wants them: stand-ins to know, secrets to be had with a permit.
//!
//! Owns that translation. Does not own the credentials (`secrets`) or the exchange (`gateway`).

use admission::{Permit, Release};
use gateway::{Placeholder, Secret, Vault, VaultError};
use policy::Endpoint;

use crate::secrets::{Credentials, How};

/// See the module.
#[derive(Debug)]
pub struct RunVault(pub Credentials);

/// What the inside holds in their stead.
pub fn placeholders(credentials: &Credentials) -> Vec<Placeholder> {
    let bound = |name: &str| {
        let one = credentials.iter().find(|one| one.name == name && one.how == How::Placeholder);
        one.map(|one| one.endpoints.iter().filter_map(|text| Endpoint::parse(text).ok()).collect())
    };
    let placeholder = |(text, credential): (String, String)| Placeholder {
        bound: bound(&credential).unwrap_or_default(),
        text,
        credential,
    };
    credentials.placeholders().into_iter().map(placeholder).collect()
}

impl Vault for RunVault {
    fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
        let (Release { name, to }, receipt) = permit.begin();
        match self.0.release(&name, &to.to_string()) {
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
