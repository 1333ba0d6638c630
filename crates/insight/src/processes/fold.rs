//! A tree of processes as few lines as tell it.
//!
//! Alike siblings (the same programs in the same shape, with the same end) become one row with a count; where there are still too many
//! rows, what only looked at the system is folded, then what lies deep. What was refused something, went to the network, was
//! killed, or read what is named like a secret is never folded away.
//!
//! Owns what is told by itself. Does not own how it reads.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use ledger::OsText;

use super::calls::Calls;
use super::{Linked, Process, ProcessTree, Touch};
use crate::places::{Place, Places, is_named_like_a_secret};

/// Siblings alike that are told one by one.
const ALIKE: usize = 3;
/// Levels that are drawn; what lies deeper is drawn at the last of them.
const LEVELS: usize = 24;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folding {
    /// Every process by itself.
    pub all: bool,
    /// About how many rows are wanted.
    pub rows: usize,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// For each level above it, whether that level goes on below this row.
    pub rails: Vec<bool>,
    /// Whether it is the last of its siblings.
    pub last: bool,
    /// Whether it stands at the top.
    pub top: bool,
    /// What it tells.
    pub what: Rows,
}

/// What a row tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// One process.
    One {
        /// Its number.
        id: usize,
        /// Whether nobody can tell who started it.
        adrift: bool,
        /// Whether rows beneath it follow.
        opens: bool,
        /// What lies beneath it and is not told.
        beneath: Option<Sum>,
    },
    /// Several alike.
    Alike {
        /// The first of them.
        first: usize,
        /// How many.
        count: usize,
        /// What they and all beneath them come to.
        sum: Sum,
    },
    /// Several that only looked at the system.
    Quiet {
        /// Their programs, by their last word, and how many of each.
        programs: Vec<(String, usize)>,
        /// What they and all beneath them come to.
        sum: Sum,
    },
}

/// What processes come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub processes: usize,
    /// Processor time, in microseconds.
    pub cpu_us: u64,
    /// Files and names that were changed, without what was only temporary.
    pub changed: usize,
    /// Files that lay in temporary folders, or were made and removed again.
    pub temporary: usize,
    /// Files that were read.
    pub read: usize,
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.processes += other.processes;
        self.cpu_us += other.cpu_us;
        self.changed += other.changed;
        self.temporary += other.temporary;
        self.read += other.read;
    }
}

/// A process with what lies beneath it.
#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<usize>,
    adrift: bool,
    sum: Sum,
    shape: u64,
    /// Only looked at the system, and so did all beneath.
    quiet: bool,
    /// It, or something beneath it, must be seen.
    notable: bool,
}

/// How strictly is folded: what the rows come to decides.
#[derive(Debug, Clone, Copy)]
struct Strictness {
    alike: usize,
    quiet: bool,
    calls: bool,
    levels: usize,
}

impl ProcessTree {
    /// The rows that tell it.
    pub fn rows(&self, folding: Folding, places: &Places) -> Vec<Row> {
        let forest = Forest::of(self, places);
        let loose = Strictness { alike: ALIKE, quiet: false, calls: false, levels: LEVELS };
        if folding.all {
            return forest.rows(Strictness { alike: usize::MAX, ..loose });
        }
        let strict = Strictness { quiet: true, ..loose };
        let tries = [loose, strict, Strictness { calls: true, alike: 1, ..strict }];
        let shallow = (1..=8).rev().map(|levels| Strictness { calls: true, alike: 1, levels, ..strict });
        let mut rows = Vec::new();
        for strictness in tries.into_iter().chain(shallow) {
            rows = forest.rows(strictness);
            if rows.len() <= folding.rows {
                break;
            }
        }
        rows
    }
}

struct Forest<'t> {
    tree: &'t ProcessTree,
    calls: Calls,
    nodes: Vec<Node>,
    tops: Vec<usize>,
    /// Of a number that nobody has.
    nobody: Node,
}

impl<'t> Forest<'t> {
    fn of(tree: &'t ProcessTree, places: &Places) -> Forest<'t> {
        let nodes = vec![Node::default(); tree.list.len()];
        let (calls, nobody) = (tree.calls(), Node::default());
        let mut forest = Forest { tree, calls, nodes, tops: Vec::new(), nobody };
        forest.hang();
        forest.sum(places);
        forest
    }

    /// Hangs every process that did something beneath the nearest above it that did.
    fn hang(&mut self) {
        let root = self.tree.root.map(|place| place + 1);
        for process in self.tree.list.iter().filter(|process| process.did_something()) {
            let mut above = process.parent.and_then(|id| self.tree.get(id));
            let mut steps = 0;
            while let Some(parent) = above.filter(|it| !it.did_something() && steps < super::ANCESTORS) {
                above = parent.parent.and_then(|id| self.tree.get(id));
                steps += 1;
            }
            let above = above.filter(|parent| parent.did_something());
            let adrift = above.is_none() && root != Some(process.id);
            let beneath = above.map(|parent| parent.id).or(root.filter(|root| adrift && *root != process.id));
            match beneath.and_then(|id| self.nodes.get_mut(id - 1)) {
                Some(node) => node.children.push(process.id),
                None => self.tops.push(process.id),
            }
            if let Some(node) = self.nodes.get_mut(process.id - 1) {
                node.adrift = adrift;
            }
        }
    }

    /// Every id, each after all beneath it.
    fn inside_out(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut next = self.tops.clone();
        while let Some(id) = next.pop() {
            order.push(id);
            next.extend(self.children(id));
        }
        order.reverse();
        order
    }

    fn children(&self, id: usize) -> &[usize] {
        &self.node(id).children
    }

    fn node(&self, id: usize) -> &Node {
        self.nodes.get(id.wrapping_sub(1)).unwrap_or(&self.nobody)
    }

    fn sum(&mut self, places: &Places) {
        // By a key of this moment's own, so that nobody inside can make one thing look like another.
        let hasher = RandomState::new();
        let passing = self.passing();
        for id in self.inside_out() {
            let Some(process) = self.tree.get(id) else { continue };
            let (mut sum, notable, quiet) = of_one(process, places, &passing);
            let (mut notable, mut quiet) = (notable, quiet);
            let mut shapes = Vec::new();
            for child in self.children(id) {
                let Some(node) = self.nodes.get(child - 1) else { continue };
                sum.add(node.sum);
                notable |= node.notable;
                quiet &= node.quiet;
                shapes.push(node.shape);
            }
            shapes.sort_unstable();
            shapes.dedup();
            let shape = hasher.hash_one((programs(process), end(process), shapes));
            if let Some(node) = self.nodes.get_mut(id - 1) {
                (node.sum, node.notable, node.quiet, node.shape) = (sum, notable, quiet, shape);
            }
        }
    }

    /// Names that came and went again.
    fn passing(&self) -> HashSet<OsText> {
        let with = |these: &[Touch]| -> HashSet<&OsText> {
            let files = self.tree.list.iter().flat_map(|process| process.files.all());
            files.filter(|(_, touch, _)| these.contains(touch)).map(|(path, ..)| path).collect()
        };
        let (made, removed) = (with(&[Touch::Made, Touch::Wrote]), with(&[Touch::Removed]));
        made.intersection(&removed).map(|path| (*path).clone()).collect()
    }

    fn rows(&self, strictness: Strictness) -> Vec<Row> {
        let mut rows = Vec::new();
        let whole = self.group(&self.tops, true, strictness);
        let mut next: Vec<(Row, usize)> = Vec::new();
        stack(&mut next, whole, &[], true, 0);
        while let Some((row, level)) = next.pop() {
            let Rows::One { id, .. } = row.what else {
                rows.push(row);
                continue;
            };
            let goes_deeper = level + 1 < strictness.levels || strictness.levels >= LEVELS;
            let beneath = if goes_deeper {
                self.group(self.children(id), self.calls.is_agent(id), strictness)
            } else {
                Vec::new()
            };
            let mut rails = row.rails.clone();
            if !row.top && rails.len() < LEVELS {
                rails.push(!row.last);
            }
            let follows = !beneath.is_empty();
            stack(&mut next, beneath, &rails, false, level + 1);
            let mut row = row;
            if let Rows::One { id, opens, beneath, .. } = &mut row.what {
                *opens = follows;
                *beneath = (!goes_deeper && !self.children(*id).is_empty()).then(|| self.beneath(*id));
            }
            rows.push(row);
        }
        rows
    }

    fn beneath(&self, id: usize) -> Sum {
        let mut sum = Sum::default();
        self.children(id).iter().for_each(|child| sum.add(self.node(*child).sum));
        sum
    }

    /// Siblings, folded.
    fn group(&self, siblings: &[usize], agents: bool, strictness: Strictness) -> Vec<Rows> {
        let folds = |id: usize, node: &Node| {
            !node.notable && (!agents || strictness.calls || self.is_housekeeping(id))
        };
        let mut alike: HashMap<u64, Vec<usize>> = HashMap::new();
        let mut quiet = Vec::new();
        for id in siblings {
            let node = self.node(*id);
            if folds(*id, node) {
                alike.entry(node.shape).or_default().push(*id);
                if node.quiet && strictness.quiet {
                    quiet.push(*id);
                }
            }
        }
        let quiet = if quiet.len() > 1 { quiet } else { Vec::new() };
        let mut rows = Vec::new();
        for id in siblings {
            let node = self.node(*id);
            if quiet.binary_search(id).is_ok() {
                if quiet.first() == Some(id) {
                    rows.push(self.quiet(&quiet));
                }
                continue;
            }
            match alike.get(&node.shape).filter(|same| folds(*id, node) && same.len() > strictness.alike) {
                Some(same) if same.first() == Some(id) => rows.push(self.alike(same)),
                Some(_) => {}
                None => rows.push(Rows::One { id: *id, adrift: node.adrift, opens: false, beneath: None }),
            }
        }
        rows
    }

    /// Whether it is less surely a tool call's than others are: where the agent sets up some of what it starts, and not this.
    fn is_housekeeping(&self, id: usize) -> bool {
        let sure = |call: &super::Call| call.ground == super::Ground::OwnSetup;
        self.calls.all().iter().any(sure) && !self.calls.of(id).is_some_and(sure)
    }

    fn alike(&self, same: &[usize]) -> Rows {
        let mut sum = Sum::default();
        same.iter().for_each(|id| sum.add(self.node(*id).sum));
        Rows::Alike { first: same.first().copied().unwrap_or_default(), count: same.len(), sum }
    }

    fn quiet(&self, ids: &[usize]) -> Rows {
        let (mut sum, mut programs) = (Sum::default(), Vec::<(String, usize)>::new());
        for id in ids {
            sum.add(self.node(*id).sum);
            let name = self.tree.get(*id).and_then(called).unwrap_or_else(|| "a fork".to_owned());
            match programs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, count)) => *count += 1,
                None => programs.push((name, 1)),
            }
        }
        programs.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Rows::Quiet { programs, sum }
    }
}

fn stack(next: &mut Vec<(Row, usize)>, siblings: Vec<Rows>, rails: &[bool], top: bool, level: usize) {
    let count = siblings.len();
    for (at, what) in siblings.into_iter().enumerate().rev() {
        next.push((Row { rails: rails.to_vec(), last: at + 1 == count, top, what }, level));
    }
}

/// What one process comes to, whether it must be seen, and whether it only looked at the system.
fn of_one(process: &Process, places: &Places, passing: &HashSet<OsText>) -> (Sum, bool, bool) {
    let mut sum = Sum { processes: 1, cpu_us: process.exit.map_or(0, |exit| exit.cpu_us), ..Sum::default() };
    let (mut secret, mut quiet) = (false, true);
    // A file that was written and cut is one file.
    let (mut changed, mut temporary) = (HashSet::new(), HashSet::new());
    for (path, touch, _) in process.files.all() {
        let place = places.of(path);
        if touch == Touch::Read {
            sum.read += 1;
            secret |= is_named_like_a_secret(path);
            quiet &= matches!(place, Place::System | Place::Tools | Place::Passing);
        } else {
            let temporary_one = place == Place::Passing || passing.contains(path);
            if temporary_one { &mut temporary } else { &mut changed }.insert(path);
            quiet &= place == Place::Passing;
        }
    }
    (sum.changed, sum.temporary) = (changed.len(), temporary.len());
    let out = process.links.iter().any(|link| link.how != Linked::Inside);
    let killed = process.exit.is_some_and(|exit| exit.signal.is_some());
    let refused = process.refused.iter().any(|refusal| !refusal.is_looking_around());
    let notable = out || killed || secret || refused || process.more_refused > 0;
    (sum, notable, quiet && process.links.is_empty() && !process.failed())
}

fn programs(process: &Process) -> Vec<(&OsText, Option<&OsText>)> {
    process.images.iter().map(|image| (&image.program, image.argv.first())).collect()
}

fn end(process: &Process) -> (Option<i32>, Option<i32>) {
    process.exit.map_or((None, None), |exit| (exit.code, exit.signal))
}

/// What a process is called: the last word of its first argument.
fn called(process: &Process) -> Option<String> {
    let image = process.asked()?;
    let text = image.argv.first().unwrap_or(&image.program).to_string();
    Some(text.rsplit('/').next().unwrap_or(&text).to_owned())
}
