//! What stands in a cassette for credentials.
//!
//! Owns which headers and parameters are never written as they are, and the digest in their stead: by a key of the workspace, so that two runs
//! there say the same where the same was sent, and nobody else learns anything from it.

use std::fmt;

use http::HeaderMap;
use ring::hmac;

use crate::credential::{CARRIERS, Credentials, PARAMETERS, unescaped};

/// Headers that hold credentials, beside those in which one goes out.
const BESIDE: [&str; 5] = ["set-cookie", "cookie2", "set-cookie2", "x-csrf-token", "x-amz-security-token"];
/// Parameters that hold credentials, beside those in which one goes out: also of those who were given an address that is good for
/// whoever has it.
const PARAMETERS_BESIDE: [&str; 16] = [
    "token",
    "refresh_token",
    "id_token",
    "auth_token",
    "private_token",
    "job_token",
    "client_secret",
    "secret",
    "password",
    "passwd",
    "auth",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-security-token",
    "x-goog-signature",
];
/// Headers that hold an address.
const ADDRESSES: [&str; 3] = ["location", "content-location", "referer"];
/// Headers of one hop that may hold some.
const PROXY: &str = "proxy-";
/// Letters of a digest that are kept: enough to tell values apart, too few to find one by.
const LETTERS: usize = 16;

/// The key of a workspace.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// Takes a key over.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Key {
        Key(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What names it, and tells nothing of it.
    #[must_use]
    pub fn name(&self) -> String {
        self.digest("the key of a cassette", b"")
    }

    fn digest(&self, kind: &str, value: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(kind.as_bytes());
        context.update(&[0]);
        context.update(value);
        let tag = context.sign();
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        hex.chars().take(LETTERS).collect()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Heads as they are written.
pub(crate) struct Redaction<'a> {
    pub(crate) key: &'a Key,
    pub(crate) credentials: &'a Credentials,
}

impl Redaction<'_> {
    /// Headers, in order.
    pub(crate) fn headers(&self, headers: &HeaderMap) -> Vec<(String, String)> {
        let value = |name: &str, value: &[u8]| match is_secret(name) {
            true => self.stand_in(name, value),
            false if ADDRESSES.contains(&name) => self.address(&text(value)),
            false => text(&self.credentials.kept_out(value)),
        };
        headers
            .iter()
            .map(|(name, said)| (name.as_str().to_owned(), value(name.as_str(), said.as_bytes())))
            .collect()
    }

    /// A query, credentials in it replaced.
    pub(crate) fn query(&self, query: &str) -> String {
        let part = |part: &str| match part.split_once('=') {
            Some((name, value)) if is_secret_parameter(name) => {
                format!("{name}={}", self.stand_in(name, value.as_bytes()))
            }
            _ => part.to_owned(),
        };
        let query = query.split('&').map(part).collect::<Vec<_>>().join("&");
        text(&self.credentials.kept_out(query.as_bytes()))
    }

    /// An address, credentials in it replaced.
    fn address(&self, address: &str) -> String {
        let (place, query) =
            address.split_once('?').map_or((address, None), |(place, rest)| (place, Some(rest)));
        let (scheme, rest) = place.split_once("//").unwrap_or(("", place));
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let place = match host.rsplit_once('@') {
            Some((user, host)) => {
                format!("{scheme}//{}@{host}{path}", self.stand_in("user", user.as_bytes()))
            }
            None => place.to_owned(),
        };
        let place = text(&self.credentials.kept_out(place.as_bytes()));
        query.map_or(place.clone(), |query| format!("{place}?{}", self.query(query)))
    }

    /// What stands for a value. Placeholders are other ones in each run, so they are told by the credential's name.
    fn stand_in(&self, name: &str, value: &[u8]) -> String {
        let name = name.to_ascii_lowercase();
        format!("<{name}:{}>", self.key.digest(&name, &self.credentials.named_in(value)))
    }
}

fn is_secret(name: &str) -> bool {
    CARRIERS.contains(&name) || BESIDE.contains(&name) || name.starts_with(PROXY)
}

fn is_secret_parameter(name: &str) -> bool {
    let name = unescaped(name);
    let is = |known: &&str| known.as_bytes().eq_ignore_ascii_case(&name);
    PARAMETERS.iter().chain(&PARAMETERS_BESIDE).any(is)
}

/// As text; byte by byte where it is none.
fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::{Placeholder, Secret, Vault, VaultError};
    use admission::{Permit, Release};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use std::sync::Arc;

    struct Empty;

    impl Vault for Empty {
        fn secret(&self, permit: Permit<Release>) -> Result<Secret, VaultError> {
            drop(permit);
            Err(VaultError { name: "none".into(), because: "it is empty".into() })
        }
    }

    /// What is written of a head with this value, in a run where the key has this placeholder.
    fn written(key: u8, placeholder: &str, name: &'static str, value: &str) -> String {
        let known = Placeholder {
            text: placeholder.to_owned(),
            credential: "KEY".into(),
            bound: Vec::new(),
            only: Vec::new(),
        };
        let guarded = [("TOKEN".to_owned(), Secret::new("a-secret-of-the-person"))];
        let credentials = Credentials::new(vec![known], Arc::new(Empty), guarded).unwrap();
        let redaction = Redaction { key: &Key::new(&[key; 32]), credentials: &credentials };
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        redaction.headers(&headers).remove(0).1
    }

    #[test]
    fn what_stands_for_a_credential_is_the_same_whatever_placeholder_a_run_has() {
        let (one, other) = ("sk-0123456789abcdef", "sk-fedcba9876543210");
        let bearer = |key, of: &str| written(key, of, "authorization", &format!("Bearer {of}"));
        assert_eq!(bearer(1, one), bearer(1, other));
        assert!(bearer(1, one) != bearer(2, one) && !bearer(1, one).contains(one));
        let basic = |of: &str| {
            written(1, of, "authorization", &format!("Basic {}", STANDARD.encode(format!("me:{of}"))))
        };
        assert_eq!(basic(one), basic(other));
        assert_ne!(basic(one), bearer(1, one));
        assert_ne!(bearer(1, one), written(1, one, "authorization", "Bearer another-key-altogether"));
    }

    #[test]
    fn other_headers_stay_but_for_a_secret_in_them() {
        let one = "sk-0123456789abcdef";
        assert_eq!(written(1, one, "x-plain", &format!("see {one}")), format!("see {one}"));
        assert_eq!(written(1, one, "x-plain", "a-secret-of-the-person"), "the value of `TOKEN`");
        let moved = |to| written(1, one, "location", to);
        let to = moved("https://me:word@bucket.example/a?X-Amz-Signature=0011&v=2&%73ig=0022");
        assert!(
            to.starts_with("https://<user:") && to.contains("@bucket.example/a?") && to.contains("&v=2&")
        );
        assert!(["me:", "word", "0011", "0022"].iter().all(|part| !to.contains(part)), "{to}");
        assert_eq!(moved("/a/b@c?v=2"), "/a/b@c?v=2");
        for name in ["cookie", "set-cookie", "x-api-key", "proxy-authenticate"] {
            assert!(written(1, one, name, "anything").starts_with(&format!("<{name}:")), "{name}");
        }
    }
}
