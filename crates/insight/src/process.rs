//! Who started whom, as far as execs tell.
//!
//! Owns the depth of a process in the tree and which of many alike are told one by one. Does not own processes that never
//! call exec: the kernel shows them only as a parent, and a child of an unknown parent hangs beneath the agent itself.

use std::collections::HashMap;

/// How many alike by one parent are told before they are only counted.
const TOLD: u64 = 3;

/// The processes seen so far.
#[derive(Debug, Default)]
pub struct Processes {
    known: HashMap<u32, Known>,
    alike: HashMap<(u32, Vec<u8>), Alike>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    parent: u32,
    depth: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Alike {
    count: u64,
    last: usize,
}

/// How an exec is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// By itself.
    Alone,
    /// As one more of those alike, told at this place.
    AsOneMoreOf(usize),
}

impl Processes {
    /// The agent's first process.
    pub fn launched(&mut self, pid: u32) {
        self.known.insert(pid, Known { parent: 0, depth: 0 });
    }

    /// A process called exec: how deep it is. A process that calls exec again stays where it is; a number that comes back
    /// under another parent is another process.
    pub fn depth(&mut self, pid: u32, parent: u32) -> usize {
        match self.known.get(&pid) {
            Some(known) if known.depth == 0 || known.parent == parent => known.depth,
            _ => {
                let depth = self.known.get(&parent).map_or(1, |above| above.depth + 1);
                self.known.insert(pid, Known { parent, depth });
                depth
            }
        }
    }

    /// How deep a process is that was seen before.
    pub fn known_depth(&self, pid: u32) -> Option<usize> {
        self.known.get(&pid).map(|known| known.depth)
    }

    /// Whether this exec is told by itself, at `place`, or counted to the last that was told of those alike.
    pub fn tell(&mut self, parent: u32, program: &[u8], place: usize) -> Telling {
        let alike = self.alike.entry((parent, program.to_vec())).or_default();
        alike.count += 1;
        if alike.count <= TOLD {
            alike.last = place;
            return Telling::Alone;
        }
        Telling::AsOneMoreOf(alike.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_one_deeper_than_its_parent() {
        let mut processes = Processes::default();
        processes.launched(10);
        assert_eq!(processes.depth(10, 1), 0);
        assert_eq!(processes.depth(11, 10), 1);
        assert_eq!(processes.depth(12, 11), 2);
        assert_eq!(processes.depth(12, 11), 2, "another program in the same process");
    }

    #[test]
    fn a_child_of_nobody_known_hangs_beneath_the_agent() {
        let mut processes = Processes::default();
        processes.launched(10);
        assert_eq!(processes.depth(30, 29), 1);
    }

    #[test]
    fn a_number_that_comes_back_is_another_process() {
        let mut processes = Processes::default();
        processes.launched(10);
        assert_eq!(processes.depth(11, 10), 1);
        assert_eq!(processes.depth(12, 11), 2);
        assert_eq!(processes.depth(12, 10), 1);
    }

    #[test]
    fn many_alike_are_counted() {
        let mut processes = Processes::default();
        for place in 0..3 {
            assert_eq!(processes.tell(10, b"/usr/bin/cc", place), Telling::Alone);
        }
        assert_eq!(processes.tell(10, b"/usr/bin/cc", 3), Telling::AsOneMoreOf(2));
        assert_eq!(processes.tell(11, b"/usr/bin/cc", 3), Telling::Alone, "another parent's");
        assert_eq!(processes.tell(10, b"/usr/bin/ld", 4), Telling::Alone, "another program");
    }
}
