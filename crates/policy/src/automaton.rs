//! Many patterns, one pass: which of them match all of an input.
//!
//! One lazy automaton for all patterns of a kind. It builds only the states that inputs reach, in a bounded cache; where an
//! input makes it build too much, the same patterns run as an NFA, slower and without a cache. Both give the same answer.
//! Usable from any thread. Owns nothing of what the patterns mean.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, State, WhichCaptures};
use regex_automata::util::look::Look;
use regex_automata::util::pool::Pool;
use regex_automata::util::primitives::StateID;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// Memory of the states built so far, for each thread that judges at the same moment.
const CACHE_BYTES: usize = 4 << 20;
/// So often the cache may be emptied before the NFA takes over.
const MOST_CLEARS: usize = 2;
/// Memory of all patterns of one kind.
const NFA_BYTES: usize = 64 << 20;

/// The patterns are too large together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the patterns are too large: {0}")]
pub(crate) struct TooLarge(String);

/// What one judgement works with, kept for the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    cache: Cache,
    /// For whoever spells actions.
    pub(crate) buffer: Vec<u8>,
    /// For whoever gathers what matches.
    pub(crate) found: Vec<usize>,
}

type Create = Box<dyn Fn() -> Scratch + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// See the module.
pub(crate) struct Automaton {
    dfa: DFA,
    nfa: NFA,
    pool: Pool<Scratch, Create>,
}

impl fmt::Debug for Automaton {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Automaton of {} patterns", self.dfa.pattern_len())
    }
}

impl Automaton {
    /// From regular expressions over bytes, each anchored at its end; searches are anchored at the start.
    pub(crate) fn new(patterns: &[String]) -> Result<Automaton, TooLarge> {
        let nfa = NFA::compiler()
            .syntax(syntax::Config::new().unicode(false).utf8(false).nest_limit(200))
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(WhichCaptures::None)
                    .nfa_size_limit(Some(NFA_BYTES)),
            )
            .build_many(patterns)
            .map_err(|error| TooLarge(error.to_string()))?;
        let dfa = DFA::builder()
            .configure(
                DFA::config()
                    .match_kind(MatchKind::All)
                    .cache_capacity(CACHE_BYTES)
                    .skip_cache_capacity_check(true)
                    .minimum_cache_clear_count(Some(MOST_CLEARS)),
            )
            .build_from_nfa(nfa.clone())
            .map_err(|error| TooLarge(error.to_string()))?;
        let of = dfa.clone();
        let create: Create =
            Box::new(move || Scratch { cache: of.create_cache(), buffer: Vec::new(), found: Vec::new() });
        Ok(Automaton { dfa, nfa, pool: Pool::new(create) })
    }

    /// Something to work with; given back when dropped.
    pub(crate) fn scratch(&self) -> impl std::ops::DerefMut<Target = Scratch> {
        self.pool.get()
    }

    /// Tells `each` the number of every pattern that matches all of `input`, in no order, each once.
    pub(crate) fn matches(&self, scratch: &mut Scratch, input: &[u8], mut each: impl FnMut(usize)) {
        if self.by_states(&mut scratch.cache, input, &mut each).is_none() {
            // Nothing was told yet. The next input finds an empty cache, and a chance.
            scratch.cache.reset(&self.dfa);
            self.by_nfa(input, each);
        }
    }

    /// How many bytes of an input some pattern can still follow: all of them does not mean that one matches.
    pub(crate) fn reach(&self, scratch: &mut Scratch, input: &[u8]) -> usize {
        let cache = &mut scratch.cache;
        let start = Input::new(input).anchored(Anchored::Yes);
        let Ok(mut state) = self.dfa.start_state_forward(cache, &start) else { return 0 };
        for (at, byte) in input.iter().enumerate() {
            match self.dfa.next_state(cache, state, *byte) {
                Ok(next) if !next.is_dead() && !next.is_quit() => state = next,
                _ => return at,
            }
        }
        input.len()
    }

    /// `None` when the cache gives up; then `each` was not called.
    fn by_states(&self, cache: &mut Cache, input: &[u8], each: &mut impl FnMut(usize)) -> Option<()> {
        let start = Input::new(input).anchored(Anchored::Yes);
        let mut state = self.dfa.start_state_forward(cache, &start).ok()?;
        for byte in input {
            state = self.dfa.next_state(cache, state, *byte).ok()?;
            if state.is_dead() {
                return Some(());
            }
            if state.is_quit() {
                return None;
            }
        }
        state = self.dfa.next_eoi_state(cache, state).ok()?;
        if state.is_match() {
            for index in 0..self.dfa.match_len(cache, state) {
                each(self.dfa.match_pattern(cache, state, index).as_usize());
            }
        }
        Some(())
    }

    fn by_nfa(&self, input: &[u8], each: impl FnMut(usize)) {
        let mut walk = Walk::new(&self.nfa);
        walk.enter(self.nfa.start_anchored(), 0, input.len());
        for (at, byte) in input.iter().enumerate() {
            walk.step(*byte, at + 1, input.len());
        }
        walk.matches().into_iter().for_each(each);
    }
}

/// All states of the NFA that an input leads to, byte by byte. Written out here because the library's own search for all
/// matches starts anew at every byte, also where it is told to start at the first only.
struct Walk<'a> {
    nfa: &'a NFA,
    /// Where it stands.
    here: Vec<StateID>,
    /// Where it stood before the last byte.
    before: Vec<StateID>,
    /// In which step each state was last entered; none is entered twice in one.
    entered: Vec<usize>,
    step: usize,
    todo: Vec<StateID>,
}

impl<'a> Walk<'a> {
    fn new(nfa: &'a NFA) -> Walk<'a> {
        Walk {
            nfa,
            here: Vec::new(),
            before: Vec::new(),
            entered: vec![0; nfa.states().len()],
            step: 1,
            todo: Vec::new(),
        }
    }

    /// Enters a state, and all that it leads to without a byte.
    fn enter(&mut self, state: StateID, at: usize, end: usize) {
        self.todo.push(state);
        while let Some(state) = self.todo.pop() {
            match self.entered.get_mut(state.as_usize()) {
                Some(step) if *step != self.step => *step = self.step,
                _ => continue,
            }
            match self.nfa.state(state) {
                State::ByteRange { .. } | State::Sparse(_) | State::Dense(_) | State::Match { .. } => {
                    self.here.push(state);
                }
                // The end is the only place that patterns ask about.
                State::Look { look: Look::End, next } if at == end => self.todo.push(*next),
                State::Look { .. } | State::Fail => {}
                State::Union { alternates } => self.todo.extend_from_slice(alternates),
                State::BinaryUnion { alt1, alt2 } => self.todo.extend([*alt1, *alt2]),
                State::Capture { next, .. } => self.todo.push(*next),
            }
        }
    }

    fn step(&mut self, byte: u8, at: usize, end: usize) {
        self.step += 1;
        std::mem::swap(&mut self.here, &mut self.before);
        self.here.clear();
        for index in 0..self.before.len() {
            let next = self.before.get(index).and_then(|state| match self.nfa.state(*state) {
                State::ByteRange { trans } => trans.matches_byte(byte).then_some(trans.next),
                State::Sparse(sparse) => sparse.matches_byte(byte),
                State::Dense(dense) => dense.matches_byte(byte),
                _ => None,
            });
            if let Some(next) = next {
                self.enter(next, at, end);
            }
        }
    }

    /// The patterns that it stands at the end of, each once.
    fn matches(&self) -> Vec<usize> {
        let pattern = |state: &StateID| match self.nfa.state(*state) {
            State::Match { pattern_id } => Some(pattern_id.as_usize()),
            _ => None,
        };
        let mut found: Vec<usize> = self.here.iter().filter_map(pattern).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn with_states_and_without_the_answer_is_the_same(
            patterns in proptest::collection::vec("(a|b|(a|bb)\\*|\\(\\?:ab\\)\\*|\\.){1,5}", 1..6),
            input in "[ab]{0,12}",
        ) {
            let patterns: Vec<String> = patterns.iter().map(|pattern| format!("(?:{pattern})\\z")).collect();
            let automaton = Automaton::new(&patterns).unwrap();
            let mut scratch = automaton.scratch();
            let (mut by_states, mut by_nfa) = (Vec::new(), Vec::new());
            prop_assert!(automaton.by_states(&mut scratch.cache, input.as_bytes(), &mut |at| by_states.push(at)).is_some());
            automaton.by_nfa(input.as_bytes(), |at| by_nfa.push(at));
            by_states.sort_unstable();
            prop_assert_eq!(&by_states, &by_nfa);
            if !by_states.is_empty() {
                prop_assert_eq!(automaton.reach(&mut scratch, input.as_bytes()), input.len());
            }
        }
    }

    #[test]
    fn where_the_cache_gives_up_the_answer_is_still_given() {
        // Which of the last twenty letters was an `a`: more states than any cache has.
        let patterns: Vec<String> = (0..20).map(|at| format!("(?:[ab]*a[ab]{{{at}}})\\z")).collect();
        let automaton = Automaton::new(&patterns).unwrap();
        let mut seed = 3_u32;
        let letters: Vec<u8> = (0..200_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if seed >> 20 & 1 == 0 { b'a' } else { b'b' }
            })
            .collect();
        let mut scratch = automaton.scratch();
        let mut gave_up = false;
        for part in letters.chunks(100_000) {
            gave_up |= automaton.by_states(&mut scratch.cache, part, &mut |_| {}).is_none();
            let mut found = Vec::new();
            automaton.matches(&mut scratch, part, |at| found.push(at));
            found.sort_unstable();
            let expected: Vec<usize> = (0..20).filter(|at| part[part.len() - 1 - at] == b'a').collect();
            assert_eq!(found, expected);
        }
        assert!(gave_up);
    }
}
