//! What may happen: actions, layers, decisions. Pure: no IO, clock, environment or async.
//!
//! Read it in this order. [`canonical`] gives every resource one spelling; [`action`] is what can be asked for, built
//! from such spellings only. `pattern` turns what a rule says into a regular language, `layer` reads one TOML file,
//! [`policy`] puts layers together, [`decide`] is the only judge; [`grant`] is what an approval adds to it. [`explain`] says why and calls the same judge.
//! [`profile`] is what is shipped. [`limits`] is how much of the machine a run may use. [`confinement`] is what of a policy the kernel is asked to hold, and whether it does.
//!
//! Owns what an action is, which spelling is canonical, and what a policy says about it. Does not own asking people,
//! recording, or any effect.
#![forbid(unsafe_code)]

pub mod action;
mod automaton;
pub mod canonical;
pub mod confinement;
pub mod decide;
pub mod explain;
pub mod grant;
pub mod layer;
pub mod limits;
pub mod need;
mod offer;
mod pattern;
pub mod policy;
pub mod profile;
mod steering;
pub mod terms;
mod text;
mod typed;
pub mod words;

pub use action::{AbsPath, Action, Command, Endpoint, Guise, Host, HttpRequest, Kind, Scheme};
pub use canonical::NotCanonical;
pub use confinement::{Confinement, Enforcement, LEAST_LANDLOCK_ALONE, Missing, Shortfall, Tier, shortfall};
pub use decide::{Decision, Reason, is_a_rule};
pub use explain::{Explanation, Nearest, Spoke};
pub use grant::{Grant, Selector};
pub use layer::{Layer, LayerKind, PatternSpec, PolicyError, RuleSpec, Tested};
pub use limits::{Bound, Limit, Limits, ListedLimit};
pub use need::Need;
pub use policy::listed::Listed;
pub use policy::{Anchors, Context, Policy};
pub use profile::{profiles, system_layer};
pub use terms::{Rate, Record, RuleTerms, Terms};
pub use words::{Here, NotAnAction};
