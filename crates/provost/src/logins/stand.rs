//! What stands for tokens.
//!
//! Owns: making texts that nobody can guess, and tokens that are read by agents (JWT) with few claims and no signature. Does not
//! own which claims an agent needs (`agents`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::NoRandom;

/// Bytes drawn by chance.
const CHANCE: usize = 32;

/// A text that nobody can guess, after its beginning.
///
/// # Errors
/// The system gives no random bytes.
pub fn random(begins: &str) -> Result<String, NoRandom> {
    let mut bytes = [0; CHANCE];
    getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(format!("{begins}provost-{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// A JWT of these claims that nobody has signed, and nobody can guess.
///
/// # Errors
/// The system gives no random bytes.
pub fn jwt(claims: &Value) -> Result<String, NoRandom> {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({ "alg": "RS256", "typ": "JWT" });
    Ok(format!("{}.{}.{}", part(&head), part(claims), random("")?))
}

/// The claims of a JWT, unchecked; none where it is none.
#[must_use]
pub fn claims(jwt: &str) -> Option<Value> {
    let mut parts = jwt.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok().filter(Value::is_object)
}
