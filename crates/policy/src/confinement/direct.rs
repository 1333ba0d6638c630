//! What of a policy can only be held where writes are staged first.
//!
//! Where they reach the workspace at once, nothing asks between a write and its effect: what a rule wants to be asked about
//! before it lands must not be writable at all. Pure, as all here.

use std::path::Path;

use crate::pattern::Pattern;
use crate::policy::Counted;
use crate::{Confinement, Kind, Missing, Need, Policy, Shortfall};

const STAGED: &str = "run without `--mode direct`: then it waits until somebody lands it";

/// Compares a policy with a run whose writes are not staged. `held` says of what no write can reach, by its path beneath
/// the workspace, with all beneath it.
pub(crate) fn holds(
    policy: &Policy,
    asked: &Confinement,
    held: &dyn Fn(&Path) -> bool,
) -> Result<(), Shortfall> {
    let mut missing = Vec::new();
    let standard = policy.standard(Kind::Land).need;
    if standard > Need::Human {
        missing.push(short(format!("that files land by `{standard}` where no rule speaks of them")));
    }
    if asked.nested {
        missing.push(short(
            "`nested = true`: what mounts there are inside is then the agent's to say".to_owned(),
        ));
    }
    for counted in &policy.rules {
        missing.extend(unheld(policy, *counted, asked, held));
    }
    if missing.is_empty() { Ok(()) } else { Err(Shortfall { missing }) }
}

fn short(what: String) -> Missing {
    Missing { what, hint: STAGED.to_owned() }
}

/// A rule about landing that would have to ask.
fn unheld(
    policy: &Policy,
    counted: Counted,
    asked: &Confinement,
    held: &dyn Fn(&Path) -> bool,
) -> Option<Missing> {
    if counted.need == Need::None {
        return None;
    }
    let rule = policy.rule(counted);
    let places = &policy.places;
    let loose = rule.patterns(Kind::Land).any(|pattern| {
        let Pattern::Path(path) = pattern else { return false };
        let trees = path.trees(places).unwrap_or_else(|| vec![path.fixed_prefix(places)]);
        trees.iter().any(|tree| is_writable(tree, &places.workspace, asked, held))
    });
    let layer = policy.layers().get(counted.layer).map_or("", |layer| &layer.name);
    loose.then(|| short(format!("rule `{}` of `{layer}`: that files land by `{}`", rule.id, counted.need)))
}

/// Whether any write can reach into a tree.
fn is_writable(tree: &Path, workspace: &Path, asked: &Confinement, held: &dyn Fn(&Path) -> bool) -> bool {
    let opens = asked.write.iter().any(|open| {
        let within = open.starts_with(workspace) || workspace.starts_with(open);
        within && (tree.starts_with(open) || open.starts_with(tree))
    });
    let closed = asked.frozen.iter().any(|frozen| tree.starts_with(frozen));
    opens && !closed && !tree.strip_prefix(workspace).is_ok_and(held)
}
