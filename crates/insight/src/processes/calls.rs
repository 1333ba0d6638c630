//! Which tool call of the agent a process belongs to, as far as that can be told, and on what ground.
//!
//! The kernel shows who started whom. What an agent starts itself, other than itself again, begins a call, and all beneath it is part
//! of it. That is certain of the processes and says nothing about the agent's mind: among these calls are programs that it starts for
//! its own ends. Of a command that is no known agent nobody can say what a call would be, so there are none.
//!
//! Owns this attribution. Does not own the tree.

use ledger::OsText;

use super::{Image, Process, ProcessTree};

/// A call of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number, from 1, in the order in which they began.
    pub number: usize,
    /// The process with which it began.
    pub by: usize,
    /// On what ground it is told from others.
    pub ground: Ground,
}

/// On what ground a process is put down to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ground {
    /// The agent's own process started it, or started what started it.
    ProcessTree,
    /// The same, and what it started was first the agent's own program, which then became the command: so an agent sets up what a
    /// tool call runs.
    OwnSetup,
}

impl Ground {
    /// Its word; an interface.
    pub fn word(self) -> &'static str {
        match self {
            Ground::ProcessTree => "process-tree",
            Ground::OwnSetup => "own-setup",
        }
    }
}

/// The calls of a run, and whose they are.
#[derive(Debug, Default)]
pub struct Calls {
    list: Vec<Call>,
    /// For each process: whether it is the agent itself, or part of a call.
    of: Vec<Option<Part>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Agent,
    /// Of the call that this process began.
    Call(usize),
    Nothing,
}

impl Calls {
    /// All of them, in order.
    pub fn all(&self) -> &[Call] {
        &self.list
    }

    /// The call that a process belongs to.
    pub fn of(&self, id: usize) -> Option<&Call> {
        let Some(Some(Part::Call(by))) = self.of.get(id.checked_sub(1)?) else { return None };
        self.list.get(self.list.binary_search_by_key(by, |call| call.by).ok()?)
    }

    /// Whether a process is the agent's own.
    pub fn is_agent(&self, id: usize) -> bool {
        id.checked_sub(1).and_then(|place| self.of.get(place)) == Some(&Some(Part::Agent))
    }
}

impl ProcessTree {
    /// The calls of the agent. A command that is no known agent has none.
    pub fn calls(&self) -> Calls {
        let mut calls = Calls { list: Vec::new(), of: vec![None; self.list.len()] };
        if self.agent.is_empty() || self.agent == "command" {
            return calls;
        }
        for process in &self.list {
            self.settle(process, &mut calls.of);
        }
        let began = self.list.iter().filter(|it| calls.of.get(it.id - 1) == Some(&Some(Part::Call(it.id))));
        let ids: Vec<usize> = began.map(|process| process.id).collect();
        let call = |(at, by): (usize, usize)| Call { number: at + 1, by, ground: self.ground(by) };
        calls.list = ids.into_iter().enumerate().map(call).collect();
        calls
    }

    /// Says what a process is, and all above it that are not said yet.
    fn settle(&self, process: &Process, of: &mut [Option<Part>]) {
        let mut above = vec![process];
        while let Some(at) = above.last().copied() {
            let parent = at.parent.and_then(|id| self.get(id));
            let part = match parent {
                _ if self.root().is_some_and(|root| root.id == at.id) => Part::Agent,
                None => Part::Nothing,
                Some(parent) => match of.get(parent.id - 1).copied().flatten() {
                    // A circle cannot be: who hangs beneath whom was looked at when it was said.
                    None if above.len() <= self.list.len() => {
                        above.push(parent);
                        continue;
                    }
                    None | Some(Part::Nothing) => Part::Nothing,
                    Some(Part::Call(by)) => Part::Call(by),
                    Some(Part::Agent) if at.images.is_empty() => Part::Agent,
                    Some(Part::Agent) if at.image().is_some_and(|image| self.is_agent(image)) => Part::Agent,
                    Some(Part::Agent) => Part::Call(at.id),
                },
            };
            if let Some(place) = of.get_mut(at.id - 1) {
                *place = Some(part);
            }
            above.pop();
        }
    }

    fn ground(&self, by: usize) -> Ground {
        let first = self.get(by).and_then(Process::first);
        match first.is_some_and(|image| self.is_agent(image)) {
            true => Ground::OwnSetup,
            false => Ground::ProcessTree,
        }
    }

    /// Whether a program is the agent: by its name, or as the script of an interpreter that bears no other.
    fn is_agent(&self, image: &Image) -> bool {
        let named = |text: &OsText| {
            let bytes = text.as_bytes();
            let name = bytes.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            name.strip_prefix(self.agent.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
        };
        let script = image.argv.first().zip(image.argv.get(1)).filter(|(first, _)| is_interpreter(first));
        named(&image.program)
            || image.argv.first().is_some_and(named)
            || script.is_some_and(|(_, script)| named(script))
    }
}

fn is_interpreter(word: &OsText) -> bool {
    let name = word.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    matches!(name, b"node" | b"bun" | b"python3" | b"python")
}
