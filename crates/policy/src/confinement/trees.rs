//! From rules about files to trees that mounts and Landlock can hold.
//!
//! What is open is what `decide` allows and nothing else. A tree that needs asking is closed: a mount cannot ask. What is no
//! tree (a Shape, a rule with holes) is opened as far as the folder it lies in, and every open within is judged.

use std::path::{Path, PathBuf};

use crate::layer::rule::Rule;
use crate::pattern::Pattern;
use crate::policy::Counted;
use crate::{Confinement, Kind, Missing, Need, Policy, Shortfall};

/// What a policy asks of the kernel.
pub(crate) fn of(policy: &Policy) -> Result<Confinement, Shortfall> {
    let mut missing = Vec::new();
    let read = held(policy, Kind::Read, &mut missing);
    let write = held(policy, Kind::Write, &mut missing);
    if !missing.is_empty() {
        return Err(Shortfall { missing });
    }
    Ok(Confinement {
        hidden: read.closed,
        frozen: write.closed,
        read: read.open,
        write: write.open,
        judged_opens: read.judged || write.judged,
        judged_execs: judges_execs(policy),
        nested: policy.nested,
    })
}

#[derive(Default)]
struct Held {
    open: Vec<PathBuf>,
    closed: Vec<PathBuf>,
    judged: bool,
}

fn held(policy: &Policy, kind: Kind, missing: &mut Vec<Missing>) -> Held {
    if policy.standard(kind).need != Need::Never {
        missing.push(Missing {
            what: format!("files open to {kind} because no rule speaks of them: what is shown must be named"),
            hint: format!("let the default for `{kind}` be deny, and name the trees in a rule"),
        });
    }
    let mut held = Held::default();
    for counted in &policy.rules {
        let rule = policy.rule(*counted);
        match counted.need {
            Need::None if counted.narrows => {}
            Need::None => open(policy, rule, *counted, kind, &mut held, missing),
            _ => close(policy, rule, kind, &mut held),
        }
    }
    held.settle()
}

fn open(
    policy: &Policy,
    rule: &Rule,
    counted: Counted,
    kind: Kind,
    held: &mut Held,
    missing: &mut Vec<Missing>,
) {
    let holes = rule.holes(kind).next().is_some();
    for pattern in rule.patterns(kind) {
        let Pattern::Path(path) = pattern else { continue };
        held.judged |= holes;
        if let Some(trees) = path.trees(&policy.places) {
            held.open.extend(trees);
            continue;
        }
        held.judged = true;
        let folder = path.fixed_prefix(&policy.places);
        if folder == Path::new("/") {
            let layer = policy.layers().get(counted.layer).map_or("", |layer| &layer.name);
            missing.push(Missing {
                what: format!("rule `{}` of `{layer}`: it would show the whole machine to {kind}", rule.id),
                hint: "begin the pattern with a folder".to_owned(),
            });
        }
        held.open.push(folder);
    }
}

fn close(policy: &Policy, rule: &Rule, kind: Kind, held: &mut Held) {
    let holes = rule.holes(kind).next().is_some();
    for pattern in rule.patterns(kind) {
        let Pattern::Path(path) = pattern else { continue };
        match path.trees(&policy.places) {
            Some(trees) if !holes => held.closed.extend(trees),
            _ => held.judged = true,
        }
    }
}

impl Held {
    /// Open trees that are not closed, closed trees that lie in an open one; none within another of its kind.
    fn settle(mut self) -> Held {
        self.closed = outermost(self.closed);
        let closed = &self.closed;
        self.open.retain(|tree| !closed.iter().any(|closed| tree.starts_with(closed)));
        self.open = outermost(self.open);
        let open = &self.open;
        self.closed.retain(|tree| open.iter().any(|open| tree.starts_with(open)));
        self
    }
}

fn outermost(mut trees: Vec<PathBuf>) -> Vec<PathBuf> {
    trees.sort();
    trees.dedup();
    let mut kept: Vec<PathBuf> = Vec::new();
    for tree in trees {
        if !kept.last().is_some_and(|outer| tree.starts_with(outer)) {
            kept.push(tree);
        }
    }
    kept
}

/// Whether some command is not simply allowed.
fn judges_execs(policy: &Policy) -> bool {
    let asks = |counted: &Counted| {
        counted.need != Need::None && policy.rule(*counted).patterns(Kind::Exec).next().is_some()
    };
    policy.standard(Kind::Exec).need != Need::None || policy.rules.iter().any(asks)
}
