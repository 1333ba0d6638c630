//! From rules about files to trees that mounts and Landlock can hold.
//!
//! What is open is what `decide` allows and nothing else. A tree that needs asking is shown, and every open of the run is
//! judged, because no mount can ask; where nobody attends it is closed. What is no tree (a Shape, a rule with holes) is
//! opened as far as the folder it lies in, and every open within is judged.

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
    missing.extend(policy.unheld());
    if !missing.is_empty() {
        return Err(Shortfall { missing });
    }
    Ok(Confinement {
        hidden: read.closed,
        frozen: write.closed,
        asks_read: read.asked,
        asks_write: write.asked,
        read: read.open,
        write: write.open,
        judged_opens: read.judged || write.judged,
        // Whoever starts a program has it in memory: where reading is judged, so is what starts.
        judged_execs: judges_execs(policy) || read.judged,
        nested: policy.nested,
        tier: crate::Tier::default(),
        limits: policy.limits.clone(),
    })
}

#[derive(Default)]
struct Held {
    /// Shown.
    open: Vec<PathBuf>,
    closed: Vec<PathBuf>,
    /// Shown, but for somebody's yes.
    asked: Vec<PathBuf>,
    /// What only narrows asks about these, where they are shown.
    narrowed: Vec<PathBuf>,
    judged: bool,
}

fn held(policy: &Policy, kind: Kind, missing: &mut Vec<Missing>) -> Held {
    if policy.standard(kind).need != Need::Never {
        missing.push(Missing {
            what: format!("files open to {kind} because no rule speaks of them: what is shown must be named"),
            hint: format!("let the default for `{kind}` be deny, and name the trees in a rule"),
        });
    }
    // Where nobody can be asked, what asks is closed.
    let attended = policy.context().attended;
    let mut held = Held::default();
    for counted in &policy.rules {
        let rule = policy.rule(*counted);
        match counted.need {
            Need::None if counted.narrows => {}
            Need::None => open(policy, rule, *counted, kind, &mut held, missing),
            need if need != Need::Never && attended => {
                ask(policy, rule, *counted, kind, &mut held, missing);
            }
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

/// What asks is shown as what is open is, unless its rule only narrows: then it shows nothing more.
fn ask(
    policy: &Policy,
    rule: &Rule,
    counted: Counted,
    kind: Kind,
    held: &mut Held,
    missing: &mut Vec<Missing>,
) {
    let holes = rule.holes(kind).next().is_some();
    let trees = rule.patterns(kind).filter_map(|pattern| match pattern {
        Pattern::Path(path) if !holes => path.trees(&policy.places),
        _ => None,
    });
    let trees: Vec<PathBuf> = trees.flatten().collect();
    if counted.narrows {
        // Whatever else its patterns say is judged.
        close_shapes(policy, rule, kind, held);
        held.narrowed.extend(trees);
    } else {
        open(policy, rule, counted, kind, held, missing);
        held.asked.extend(trees);
    }
}

fn close(policy: &Policy, rule: &Rule, kind: Kind, held: &mut Held) {
    close_shapes(policy, rule, kind, held);
    if rule.holes(kind).next().is_none() {
        let trees = rule.patterns(kind).filter_map(|pattern| match pattern {
            Pattern::Path(path) => path.trees(&policy.places),
            _ => None,
        });
        held.closed.extend(trees.flatten());
    }
}

fn close_shapes(policy: &Policy, rule: &Rule, kind: Kind, held: &mut Held) {
    let holes = rule.holes(kind).next().is_some();
    for pattern in rule.patterns(kind) {
        let Pattern::Path(path) = pattern else { continue };
        match path.trees(&policy.places) {
            Some(_) if !holes => {}
            _ => held.judged = true,
        }
    }
}

impl Held {
    /// Open trees that are not closed, closed and asking trees that lie in an open one; none within another of its kind.
    fn settle(mut self) -> Held {
        self.closed = outermost(self.closed);
        let closed = &self.closed;
        let stays = |tree: &PathBuf| !closed.iter().any(|closed| tree.starts_with(closed));
        self.open.retain(stays);
        self.open = outermost(self.open);
        let open = &self.open;
        // What only narrows asks about the part of it that is open.
        let within = self.narrowed.iter().filter(|tree| open.iter().any(|open| tree.starts_with(open)));
        let around = open.iter().filter(|open| self.narrowed.iter().any(|tree| open.starts_with(tree)));
        self.asked.extend(within.chain(around).cloned());
        self.asked.retain(stays);
        self.asked = outermost(self.asked);
        self.judged |= !self.asked.is_empty();
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
