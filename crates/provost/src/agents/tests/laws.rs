//! What holds whatever words a person writes and whatever address an agent is configured with.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn whatever_the_words_they_stay_and_at_most_one_is_added(command in proptest::collection::vec("codex|exec|e|login|-s|--sandbox|-c|sandbox_mode=x|--|-m|x|--oss|-p|\\PC{0,6}", 0..8)) {
        let ann = Person::new();
        ann.codex().claude();
        for first in ["codex", "claude"] {
            let argv: Vec<OsString> = std::iter::once(first.to_owned()).chain(command.iter().cloned()).map(OsString::from).collect();
            let environment = ann.environment();
            let host = Host { environment: &environment, argv: &argv, folder: &ann.home().join("work") };
            let Ok(outfit) = recognise(&argv).outfit(&host, &Credentials::default()) else { continue };
            let mut left = outfit.argv.clone();
            if left.len() > argv.len() {
                let at = left.iter().position(|word| word.to_string_lossy().starts_with("--dangerously-")).unwrap();
                left.remove(at);
            }
            prop_assert_eq!(left, argv);
        }
    }

    #[test]
    fn no_address_writes_another_rule(address in "(https?://)?[a-z0-9.\\-:\\[\\]\"\n\\\\@#/ =]{0,40}") {
        if let Ok(endpoint) = endpoint::Endpoint::of(&address) {
            let text = endpoint::layer("codex", &[endpoint]);
            let layer: toml::Table = text.parse().unwrap();
            let rules = layer["rule"].as_array().unwrap();
            prop_assert_eq!((layer.len(), rules.len(), rules[0].as_table().unwrap().len()), (2, 1, 5));
            prop_assert_eq!(rules[0]["connect"].as_array().unwrap().len(), 1);
            prop_assert_eq!(rules[0]["credential"].as_array().unwrap().len(), 1);
        }
    }
}
