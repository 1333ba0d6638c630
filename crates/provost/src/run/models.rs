//! The models of a run: where they answer, what they cost, and what of them is limited.
//!
//! Owns the list of the places where models answer whoever asks, and the person's prices. Does not own the counting (`gateway`).

use std::io;

use gateway::{Models, Prices};
use policy::{Endpoint, Enforcement, Limits};

use crate::failure::Failure;
use crate::folders::Folders;

/// Places where models answer, whichever agent asks them.
const KNOWN: [&str; 10] = [
    "api.openai.com:443",
    "chatgpt.com:443",
    "api.anthropic.com:443",
    "generativelanguage.googleapis.com:443",
    "cloudcode-pa.googleapis.com:443",
    "openrouter.ai:443",
    "api.mistral.ai:443",
    "api.deepseek.com:443",
    "api.x.ai:443",
    "api.groq.com:443",
];
/// The person's own prices, in the configuration folder.
const PRICES: &str = "prices.toml";
/// What holds a limit on what models use.
const HOLDER: &str = "the gateway: it reads what model APIs answer";

/// The models that the agent is set to use, and those that are known.
pub(crate) fn of(agents: &[Endpoint], limits: &Limits, prices: &Prices) -> Models {
    let known = KNOWN.iter().filter_map(|place| Endpoint::parse(place).ok());
    let places = agents.iter().cloned().chain(known).collect();
    Models::new(places, prices.clone(), limits)
}

/// What models cost: as shipped, under what the person says.
pub(crate) fn prices(folders: &Folders) -> Result<Prices, Failure> {
    let path = folders.config.join(PRICES);
    let about = |failure: Failure| failure.during(format!("could not use `{}`", path.display()));
    let own = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(about(Failure::of(&error))),
    };
    Prices::new(own.as_deref()).map_err(|error| {
        about(Failure::of(&error)).hint("docs/network.md shows one; without the file the shipped prices hold")
    })
}

/// What was given, with what the gateway holds beside the kernel.
pub(crate) fn with_limits(given: &Enforcement, asked: &Limits) -> Enforcement {
    let mut given = given.clone();
    let of_models = asked.iter().filter(|(limit, _)| limit.is_of_models());
    given.limits.extend(of_models.map(|(limit, _)| (limit, HOLDER.to_owned())));
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_place_is_one() {
        for place in KNOWN {
            assert!(Endpoint::parse(place).is_ok(), "{place}");
        }
    }

    #[test]
    fn own_prices_are_read_and_odd_ones_refused() {
        let home = tempfile::tempdir().unwrap();
        let folders =
            Folders { home: home.path().into(), state: home.path().into(), config: home.path().into() };
        assert!(prices(&folders).is_ok());
        std::fs::write(home.path().join(PRICES), "as_of = 1").unwrap();
        let failure = prices(&folders).unwrap_err();
        assert!(failure.what.contains(PRICES) && failure.hint.is_some(), "{failure:?}");
    }
}
