//! What must be seen nowhere in what leaves, and nowhere in what comes back.
//!
//! Owns the texts that are looked for: secrets in each of their forms, placeholders where no credential is bound, and tokens that
//! are learned while the run goes on. Does not own where they are looked for (`credential`, `body`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::credential::Secret;
use crate::guard;
use crate::scrub::{Stand, Texts, TooMany};

/// Tokens that were learned and are still looked for. Of a login that is refreshed every minute the oldest go: they are
/// superseded, and each costs time for every piece of every body.
const LEARNED: usize = 64;
/// Bytes at the end of a long token by which it is known in what leaves: no other text ends so, and they cost less than all.
const TELLING: usize = 64;

/// See the module.
pub(crate) struct Watch {
    /// Placeholders, each with what is said of it.
    placeholders: Vec<Stand>,
    /// Secrets that were known from the start, in each of their forms.
    fixed: Vec<Stand>,
    learned: Mutex<Learned>,
}

struct Learned {
    tokens: VecDeque<Token>,
    guarded: Arc<Texts>,
    unbound: Arc<Texts>,
}

/// A token of a login.
struct Token {
    secret: Secret,
    /// What stands for it inside.
    stand: String,
    forms: Vec<Stand>,
}

impl Watch {
    /// These placeholders, and these secrets in all their forms, each with what is said of it.
    pub(crate) fn new(
        placeholders: Vec<Stand>,
        secrets: impl IntoIterator<Item = (String, Secret)>,
    ) -> Result<Watch, TooMany> {
        let fixed: Vec<Stand> =
            secrets.into_iter().flat_map(|(name, secret)| forms(&name, secret.bytes())).collect();
        let learned = Learned { tokens: VecDeque::new(), guarded: Arc::default(), unbound: Arc::default() };
        let watch = Watch { placeholders, fixed, learned: Mutex::new(learned) };
        watch.build(&mut watch.lock())?;
        Ok(watch)
    }

    /// What no body may hold: secrets, and where no credential is bound placeholders too.
    pub(crate) fn texts(&self, bound: bool) -> Arc<Texts> {
        let learned = self.lock();
        Arc::clone(if bound { &learned.guarded } else { &learned.unbound })
    }

    /// Looks for this token of this login from now on, in what leaves and in what comes back.
    pub(crate) fn learn(&self, login: &str, tokens: Vec<(Secret, String)>) -> Result<(), TooMany> {
        let mut learned = self.lock();
        for (secret, stand) in tokens {
            if learned.tokens.iter().any(|known| known.secret == secret) {
                continue;
            }
            let bytes = secret.bytes();
            let telling = bytes.get(bytes.len().saturating_sub(TELLING)..).unwrap_or_default();
            let forms = forms(login, telling);
            learned.tokens.push_back(Token { secret, stand, forms });
        }
        while learned.tokens.len() > LEARNED {
            learned.tokens.pop_front();
        }
        self.build(&mut learned)
    }

    /// The tokens that were learned, each with what stands for it inside.
    pub(crate) fn tokens(&self) -> Vec<Stand> {
        let learned = self.lock();
        let stand = |token: &Token| (token.secret.bytes().to_vec(), token.stand.clone().into_bytes());
        learned.tokens.iter().map(stand).collect()
    }

    fn build(&self, learned: &mut Learned) -> Result<(), TooMany> {
        let tokens = learned.tokens.iter().flat_map(|token| token.forms.iter().cloned());
        let guarded: Vec<Stand> = self.fixed.iter().cloned().chain(tokens).collect();
        let unbound = self.placeholders.iter().cloned().chain(guarded.iter().cloned()).collect();
        learned.guarded = Arc::new(Texts::new(guarded)?);
        learned.unbound = Arc::new(Texts::new(unbound)?);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forms(name: &str, secret: &[u8]) -> Vec<Stand> {
    let said = format!("the value of `{name}`").into_bytes();
    guard::forms(secret).into_iter().map(|form| (form, said.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: usize) -> Secret {
        Secret::new(format!("{}{number:032}", "head.".repeat(500)))
    }

    #[test]
    fn a_token_is_looked_for_once_it_is_learned_and_the_oldest_go() {
        let watch = Watch::new(Vec::new(), []).unwrap();
        assert!(watch.texts(true).is_empty() && watch.tokens().is_empty());
        for number in 0..=LEARNED {
            watch.learn("a-login", vec![(token(number), "stand".to_owned())]).unwrap();
        }
        assert_eq!(watch.tokens().len(), LEARNED);
        let seen = |number| watch.texts(true).first(token(number).bytes()).is_some();
        assert!(seen(LEARNED) && seen(1) && !seen(0));
    }
}
