//! Many patterns, one pass: which of them match all of an input.
//!
//! One lazy automaton for all patterns of a kind. It builds only the states that inputs reach, in a bounded cache; where an
//! input makes it build too much, the same patterns run as an NFA, slower and without a cache. Both give the same answer.
//! Usable from any thread. Owns nothing of what the patterns mean.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures, pikevm::PikeVM};
use regex_automata::util::pool::Pool;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind, PatternSet};

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
    nfa: PikeVM,
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
        let nfa = PikeVM::builder()
            .configure(PikeVM::config().match_kind(MatchKind::All))
            .build_from_nfa(nfa)
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
        let mut found = PatternSet::new(self.nfa.pattern_len());
        let mut cache = self.nfa.create_cache();
        let input = Input::new(input).anchored(Anchored::Yes);
        self.nfa.which_overlapping_matches(&mut cache, &input, &mut found);
        found.iter().map(|pattern| pattern.as_usize()).for_each(each);
    }
}
