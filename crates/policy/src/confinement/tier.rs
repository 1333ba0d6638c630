//! Which of the kernel's means a run rests on, and what the lesser ones need.
//!
//! Owns the two tiers and what each must have been given. The lesser one is never chosen by itself: whoever asks for it is
//! told what it does not hold.

use serde::{Deserialize, Serialize};

use super::{Confinement, Enforcement};

/// What a run rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// Namespaces, with Landlock, a filter and a supervisor beneath.
    #[default]
    Namespaces,
    /// Landlock, a filter and a supervisor alone: no view of its own, no network of its own, no processes of its own.
    Landlock,
}

/// The least version of Landlock where no namespace keeps signals and abstract sockets inside.
pub const LEAST_LANDLOCK_ALONE: u32 = 6;

const KERNEL: &str = "a kernel from 6.12 on with Landlock switched on is needed for this tier; `provost doctor` shows what is there";
const POLICY: &str = "run with `--tier namespaces`, or with a policy that does not ask for it";

/// What a run without namespaces must have: whether it does, what it is, and what to do about it.
pub(super) fn alone(asked: &Confinement, given: &Enforcement) -> Vec<(bool, String, &'static str)> {
    let abi = given.landlock_abi;
    vec![
        (given.tier == Tier::Landlock, "the tier without namespaces".to_owned(), KERNEL),
        (
            !asked.nested,
            "`nested = true`: namespaces inside undo what this tier holds files with".to_owned(),
            POLICY,
        ),
        (
            abi >= LEAST_LANDLOCK_ALONE,
            format!("Landlock version {LEAST_LANDLOCK_ALONE} (here: {abi})"),
            KERNEL,
        ),
        (given.landlock_network, "Landlock's rules on TCP".to_owned(), KERNEL),
        (given.landlock_scopes, "Landlock's edge for signals and abstract sockets".to_owned(), KERNEL),
    ]
}
