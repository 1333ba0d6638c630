//! What a run could have seen, reached and changed, and what of it it did.
//!
//! What it could have is what the kernel was asked to hold, and gave, and what the policy's rules on hosts say. What it did is what
//! was seen of it, as far as it was looked at: a record that was kept less deep says less, and then nothing follows from silence.
//!
//! Owns putting the two beside each other. Does not own what lies on a disk: which files a tree holds is in no event.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ledger::OsText;
use ledger::event::{Access, Body, CredentialPassed, EnvVar, Event, Evidence, HostRule, OpenEntry};
use policy::Confinement;

/// Files that are told by name.
const NAMED: usize = 200_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Exposure {
    /// How much was looked at.
    pub evidence: Evidence,
    /// What the kernel was asked to hold; `None` where the record does not say.
    pub confinement: Option<Confinement>,
    /// Files that were opened to be read.
    pub read: BTreeSet<OsText>,
    /// Files that were opened to be changed, and names that were.
    pub changed: BTreeSet<OsText>,
    /// Times that files beyond those were opened.
    pub more: u64,
    /// What the rules say of hosts, in the order of the layers.
    pub hosts: Vec<HostRule>,
    /// Credentials that came within reach.
    pub credentials: Vec<CredentialPassed>,
    /// The environment of the agent.
    pub environment: Vec<EnvVar>,
    /// Whether the run was taken up again: what is loaded then is for what lands.
    over: bool,
}

impl Exposure {
    /// Of these events.
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Exposure {
        let mut exposure = Exposure::default();
        events.into_iter().for_each(|event| exposure.see(event));
        exposure
    }

    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        match &event.body {
            Body::RunOpened(opened) => self.evidence = opened.evidence,
            Body::RunReopened(_) => self.over = true,
            Body::ConfinementAsked(asked) => {
                self.confinement = serde_json::from_value(asked.confinement.clone()).ok();
            }
            Body::PolicyLoaded(loaded) if !self.over => self.hosts.extend(loaded.hosts.clone()),
            Body::EnvironmentRecorded(given) => self.environment.extend(given.env.clone()),
            Body::CredentialPassed(passed) => self.credentials.push(passed.clone()),
            Body::Opened(opened) => opened.entries.iter().for_each(|entry| self.opened(entry)),
            _ => {}
        }
    }

    fn opened(&mut self, entry: &OpenEntry) {
        let reads = entry.access == Access::Read && entry.act.is_none();
        let files = if reads { &mut self.read } else { &mut self.changed };
        if files.contains(&entry.path) {
            return;
        }
        if files.len() >= NAMED {
            self.more += 1;
            return;
        }
        files.insert(entry.path.clone());
    }

    /// Whether a path could be read; `None` where the record does not say. Where single opens were judged, a path that could by its
    /// tree may still have been refused.
    pub fn could_read(&self, path: &Path) -> Option<bool> {
        let asked = self.confinement.as_ref()?;
        let within = |trees: &[PathBuf]| trees.iter().any(|tree| path.starts_with(tree));
        Some(within(&asked.read) && !within(&asked.hidden))
    }

    /// The rules on hosts that let something through, or would once somebody agrees; those that need nothing first.
    pub fn reachable(&self) -> Vec<&HostRule> {
        let lets = |rule: &&HostRule| rule.pattern.is_some() && rule.need != "never" && !rule.narrows;
        let mut rules: Vec<&HostRule> = self.hosts.iter().filter(lets).collect();
        rules.sort_by_key(|rule| rule.need != "none");
        rules
    }

    /// What hosts need of which no rule speaks: the last that was given, for connections.
    pub fn unknown_hosts(&self) -> Option<&HostRule> {
        self.hosts.iter().rfind(|rule| rule.pattern.is_none() && rule.kind == "connect" && !rule.narrows)
    }

    /// Whether it is known which files were read.
    pub fn knows_reads(&self) -> bool {
        self.evidence == Evidence::Full
    }

    /// Whether it is known which files were changed.
    pub fn knows_changes(&self) -> bool {
        self.evidence != Evidence::Exec
    }
}

#[cfg(test)]
mod tests {
    use ledger::Trust;
    use ledger::event::*;

    use super::*;

    fn event(body: impl Into<Body>) -> Event {
        let (run, trust) = ("0abc-def".to_owned(), Trust::Observed);
        Event { v: VERSION, seq: 0, ts: 0, mono: 0, run, trust, cause: None, cut: false, body: body.into() }
    }

    fn confinement() -> Event {
        let asked = Confinement {
            read: vec!["/usr".into(), "/w".into()],
            hidden: vec!["/w/private".into()],
            ..Confinement::default()
        };
        event(ConfinementAsked { confinement: serde_json::to_value(asked).unwrap() })
    }

    #[test]
    fn what_is_hidden_within_a_tree_could_not_be_read() {
        let exposure = Exposure::of(&[confinement()]);
        let could = |path: &str| exposure.could_read(Path::new(path)).unwrap();
        assert!(could("/w/.env") && could("/usr/bin/cc"));
        assert!(!could("/w/private/key") && !could("/home/ada/.ssh/id_rsa") && !could("/ww/x"));
        assert_eq!(Exposure::default().could_read(Path::new("/w")), None, "the record does not say");
    }

    #[test]
    fn what_was_opened_is_known_once_and_apart_from_what_was_changed() {
        let entry =
            |pid, access, act, path: &str| OpenEntry { pid, access, act, path: path.into(), count: 3 };
        let exposure = Exposure::of(&[event(Opened {
            entries: vec![
                entry(1, Access::Read, None, "/w/.env"),
                entry(2, Access::Read, None, "/w/.env"),
                entry(1, Access::Write, Some(NameAct::Removed), "/w/a"),
            ],
        })]);
        assert_eq!(exposure.read.iter().collect::<Vec<_>>(), [&OsText::from("/w/.env")]);
        assert_eq!(exposure.changed.iter().collect::<Vec<_>>(), [&OsText::from("/w/a")]);
    }

    #[test]
    fn a_record_that_was_kept_less_deep_says_so() {
        let of = |evidence| Exposure::of(&[event(RunOpened { evidence, ..RunOpened::default() })]);
        let known = |evidence| (of(evidence).knows_reads(), of(evidence).knows_changes());
        assert_eq!(known(Evidence::Full), (true, true));
        assert_eq!(known(Evidence::Writes), (false, true));
        assert_eq!(known(Evidence::Exec), (false, false));
    }

    #[test]
    fn hosts_are_those_of_rules_that_let_something_through() {
        let rule = |pattern: Option<&str>, need: &str, narrows| HostRule {
            kind: "connect".into(),
            pattern: pattern.map(str::to_owned),
            need: need.into(),
            narrows,
            ..HostRule::default()
        };
        let hosts = vec![
            rule(None, "never", false),
            rule(Some("ask.example"), "human", false),
            rule(Some("free.example"), "none", false),
            rule(Some("never.example"), "never", false),
            rule(Some("floor.example"), "none", true),
            rule(None, "human", false),
        ];
        let loaded = event(PolicyLoaded { hosts, ..PolicyLoaded::default() });
        let exposure = Exposure::of(&[loaded.clone(), event(RunReopened::default()), loaded]);
        let named: Vec<_> = exposure.reachable().iter().filter_map(|rule| rule.pattern.as_deref()).collect();
        assert_eq!(named, ["free.example", "ask.example"]);
        assert_eq!(exposure.unknown_hosts().unwrap().need, "human");
    }
}
