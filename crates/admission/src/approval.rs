//! The life of an ask: opened, then answered or expired, once.
//!
//! Pure: the clock is a number that is handed in. Owns who may answer what, how many it takes, and that the first valid end is
//! the end. Does not own who is asked, or what is recorded.

use policy::Need;

/// An ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    need: Need,
    /// The moment from which it is too late, in milliseconds of the caller's clock.
    closes: u64,
    state: State,
}

/// How an ask stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It waits for an answer; these said yes so far.
    Open(Vec<String>),
    /// These said yes, and they are enough.
    Allowed(Vec<String>),
    /// Somebody said no.
    Denied(String),
    /// Nobody answered in time.
    Expired,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote<'a> {
    /// Who answers.
    pub by: &'a str,
    /// Whether that is a person.
    pub person: bool,
    /// Yes or no.
    pub allow: bool,
}

/// An answer that does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// No ask by that name, or it has its answer already.
    #[error("no open ask `{0}`")]
    NoSuchAsk(String),
    /// It has its answer.
    #[error("it was answered before")]
    Decided,
    /// It is too late.
    #[error("it was not answered in time, and was denied")]
    Expired,
    /// A person is needed.
    #[error("it needs a person's answer")]
    NotAPerson,
    /// More than one is needed, and this one has spoken.
    #[error("`{0}` has answered before, and another person is needed")]
    Again(String),
    /// No answer can allow it.
    #[error("no answer can allow it")]
    Never,
    /// Such an action is asked about each time.
    #[error("it can be allowed this once, and is asked about each time")]
    OnlyOnce,
    /// No class of it is narrow enough to be agreed to.
    #[error("it has no class that is narrow enough to be agreed to: {0}")]
    NoClass(&'static str),
    /// The answer could not be recorded, and so it does not count.
    #[error(transparent)]
    Closed(#[from] crate::LedgerClosed),
}

impl Approval {
    /// Opens an ask at `now` that stands for `timeout` milliseconds.
    pub fn open(need: Need, now: u64, timeout: u64) -> Approval {
        Approval { need, closes: now.saturating_add(timeout), state: State::Open(Vec::new()) }
    }

    /// How it stands.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The moment from which it is too late.
    pub fn closes(&self) -> u64 {
        self.closes
    }

    /// Lets time pass; whether that ended it.
    pub fn tick(&mut self, now: u64) -> bool {
        let over = matches!(self.state, State::Open(_)) && now >= self.closes;
        if over {
            self.state = State::Expired;
        }
        over
    }

    /// Takes an answer given at `now`.
    ///
    /// # Errors
    /// It does not count, and changes nothing, unless it is the first thing to come too late.
    pub fn vote(&mut self, vote: &Vote<'_>, now: u64) -> Result<&State, Refused> {
        self.tick(now);
        let State::Open(said_yes) = &mut self.state else {
            return Err(if self.state == State::Expired { Refused::Expired } else { Refused::Decided });
        };
        if !vote.person && self.need > Need::Model {
            return Err(Refused::NotAPerson);
        }
        if !vote.allow {
            self.state = State::Denied(vote.by.to_owned());
            return Ok(&self.state);
        }
        let enough = match self.need {
            Need::Never => return Err(Refused::Never),
            Need::Humans(count) => usize::from(count).max(1),
            Need::None | Need::Model | Need::Human => 1,
        };
        if said_yes.iter().any(|by| by == vote.by) {
            return Err(Refused::Again(vote.by.to_owned()));
        }
        said_yes.push(vote.by.to_owned());
        if said_yes.len() >= enough {
            self.state = State::Allowed(std::mem::take(said_yes));
        }
        Ok(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn yes(by: &str) -> Vote<'_> {
        Vote { by, person: true, allow: true }
    }

    #[test]
    fn one_person_is_enough_where_one_is_needed() {
        let mut ask = Approval::open(Need::Human, 10, 100);
        assert_eq!(ask.vote(&yes("ann"), 50), Ok(&State::Allowed(vec!["ann".into()])));
        assert_eq!(ask.vote(&Vote { allow: false, ..yes("bob") }, 51), Err(Refused::Decided));
        assert!(!ask.tick(1000));
    }

    #[test]
    fn two_are_two_people() {
        let mut ask = Approval::open(Need::Humans(2), 0, 100);
        assert_eq!(ask.vote(&yes("ann"), 1), Ok(&State::Open(vec!["ann".into()])));
        assert_eq!(ask.vote(&yes("ann"), 2), Err(Refused::Again("ann".into())));
        assert_eq!(ask.vote(&yes("bob"), 3), Ok(&State::Allowed(vec!["ann".into(), "bob".into()])));
    }

    #[test]
    fn a_model_answers_only_what_a_model_may() {
        let model = Vote { by: "reviewer", person: false, allow: true };
        for need in [Need::Human, Need::Humans(1), Need::Never] {
            let mut ask = Approval::open(need, 0, 100);
            assert_eq!(ask.vote(&model, 1), Err(Refused::NotAPerson));
            assert_eq!(ask.vote(&Vote { allow: false, ..model.clone() }, 1), Err(Refused::NotAPerson));
            assert_eq!(ask.state(), &State::Open(vec![]));
        }
        assert!(matches!(Approval::open(Need::Model, 0, 100).vote(&model, 1), Ok(State::Allowed(_))));
    }

    #[test]
    fn never_is_never() {
        let mut ask = Approval::open(Need::Never, 0, 100);
        assert_eq!(ask.vote(&yes("ann"), 1), Err(Refused::Never));
        assert_eq!(ask.vote(&Vote { allow: false, ..yes("ann") }, 1), Ok(&State::Denied("ann".into())));
    }

    #[derive(Debug, Clone)]
    enum Step {
        Vote { by: u8, person: bool, allow: bool },
        Tick,
    }

    fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
        let vote = (0_u8..4, any::<bool>(), prop::bool::weighted(0.8));
        let step = prop_oneof![
            4 => vote.prop_map(|(by, person, allow)| Step::Vote { by, person, allow }),
            1 => Just(Step::Tick),
        ];
        prop::collection::vec((0_u64..60, step), 0..20)
    }

    fn needs() -> impl Strategy<Value = Need> {
        prop_oneof![Just(Need::Model), Just(Need::Human), (1_u8..4).prop_map(Need::Humans), Just(Need::Never)]
    }

    proptest! {
        /// Whatever happens in whatever order: one end, never undone; a yes only in time, by enough different people who may
        /// say it, before anybody's no.
        #[test]
        fn an_ask_ends_once_and_only_rightly(need in needs(), timeout in 1_u64..300, steps in steps()) {
            let mut ask = Approval::open(need, 0, timeout);
            let (mut now, mut ends) = (0, 0);
            let mut counted: Vec<(u8, bool)> = Vec::new();
            for (later, step) in steps {
                now += later;
                let before = ask.state().clone();
                match step {
                    Step::Tick => ends += u32::from(ask.tick(now)),
                    Step::Vote { by, person, allow } => {
                        let name = by.to_string();
                        let vote = Vote { by: &name, person, allow };
                        if ask.vote(&vote, now).is_ok() {
                            prop_assert!(now < timeout && matches!(before, State::Open(_)));
                            prop_assert!(person || need == Need::Model);
                            counted.push((by, allow));
                            ends += u32::from(!matches!(ask.state(), State::Open(_)));
                        } else if *ask.state() != before {
                            prop_assert_eq!(ask.state(), &State::Expired);
                            ends += 1;
                        }
                    }
                }
                if !matches!(before, State::Open(_)) {
                    prop_assert_eq!(ask.state(), &before);
                }
                if now >= timeout {
                    ends += u32::from(ask.tick(now));
                    prop_assert!(!matches!(ask.state(), State::Open(_)));
                }
            }
            prop_assert!(ends <= 1);
            match ask.state() {
                State::Allowed(by) => {
                    let needed = if let Need::Humans(count) = need { usize::from(count) } else { 1 };
                    prop_assert!(need != Need::Never && by.len() == needed);
                    prop_assert!(counted.iter().all(|(_, allow)| *allow));
                    let mut names: Vec<u8> = counted.iter().map(|(by, _)| *by).collect();
                    names.sort_unstable();
                    names.dedup();
                    prop_assert_eq!(names.len(), needed);
                }
                State::Denied(_) => prop_assert!(counted.last().is_some_and(|(_, allow)| !allow)),
                State::Open(_) => prop_assert!(now < timeout),
                State::Expired => prop_assert!(now >= timeout),
            }
        }
    }
}
