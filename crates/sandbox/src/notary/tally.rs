//! How often each process did what.
//!
//! Pure. Owns: floods becoming counts, none of which is lost, in bounded memory. Does not own: when what is to be told is written
//! (`book.rs`). A count is told at every power of two, so that a flood costs its logarithm, and once more, exact, when its
//! process ends, or the run, or where there is no room for more counts: what comes after that begins anew at one.

use ledger::{Access, ConnectEntry, NameAct, OpenEntry, OsText, Reach};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::hash::Hash;
use std::path::PathBuf;

/// How many counts are held.
const COUNTS_MAX: usize = 200_000;

/// What was done to what.
type Deed = (Access, Option<NameAct>, OsString);
/// Where to, and what came of it.
type Way = (OsText, Reach);

#[derive(Debug, Default)]
pub(super) struct Tally {
    processes: HashMap<u32, Counts>,
    held: usize,
    opened: Vec<OpenEntry>,
    connected: Vec<ConnectEntry>,
}

#[derive(Debug, Default)]
struct Counts {
    deeds: HashMap<Deed, Count>,
    ways: HashMap<Way, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    so_far: u64,
    told: u64,
}

impl Count {
    /// Counts one more; the figure, if it is to be told.
    fn step(&mut self) -> Option<u64> {
        self.so_far += 1;
        if !self.so_far.is_power_of_two() {
            return None;
        }
        self.told = self.so_far;
        Some(self.so_far)
    }

    /// The last figure, if it was not told.
    fn rest(self) -> Option<u64> {
        (self.told != self.so_far).then_some(self.so_far)
    }
}

impl Tally {
    pub(super) fn opened(&mut self, pid: i32, access: Access, act: Option<NameAct>, path: PathBuf) {
        let pid = self.make_room(pid);
        let counts = self.processes.entry(pid).or_default();
        match counts.deeds.entry((access, act, path.into_os_string())) {
            Entry::Vacant(place) => {
                let path = OsText::from(place.key().2.as_os_str());
                self.opened.push(OpenEntry { pid, access, act, path, count: 1 });
                place.insert(Count { so_far: 1, told: 1 });
                self.held += 1;
            }
            Entry::Occupied(mut place) => {
                if let Some(count) = place.get_mut().step() {
                    let path = OsText::from(place.key().2.as_os_str());
                    self.opened.push(OpenEntry { pid, access, act, path, count });
                }
            }
        }
    }

    pub(super) fn connected(&mut self, pid: i32, target: OsText, how: Reach) {
        let pid = self.make_room(pid);
        let counts = self.processes.entry(pid).or_default();
        let before = counts.ways.len();
        let told = counts.ways.entry((target.clone(), how)).or_default().step();
        self.held += counts.ways.len() - before;
        if let Some(count) = told {
            self.connected.push(ConnectEntry { pid, target, count, how });
        }
    }

    /// A process is gone: its last figures.
    pub(super) fn ended(&mut self, pid: u32) {
        let Some(Counts { deeds, ways }) = self.processes.remove(&pid) else { return };
        self.held -= deeds.len() + ways.len();
        for ((access, act, path), count) in rest(deeds) {
            self.opened.push(OpenEntry { pid, access, act, path: OsText::from(path.as_os_str()), count });
        }
        for ((target, how), count) in rest(ways) {
            self.connected.push(ConnectEntry { pid, target, count, how });
        }
    }

    /// The last figures of everybody.
    pub(super) fn close(&mut self) {
        let mut all: Vec<u32> = self.processes.keys().copied().collect();
        all.sort_unstable();
        all.into_iter().for_each(|pid| self.ended(pid));
    }

    /// What is to be told since the last time.
    pub(super) fn take(&mut self) -> (Vec<OpenEntry>, Vec<ConnectEntry>) {
        (std::mem::take(&mut self.opened), std::mem::take(&mut self.connected))
    }

    fn make_room(&mut self, pid: i32) -> u32 {
        if self.held >= COUNTS_MAX {
            self.close();
        }
        u32::try_from(pid).unwrap_or(0)
    }
}

/// The figures that were not told, in order.
fn rest<K: Hash + Eq + Ord>(counts: HashMap<K, Count>) -> Vec<(K, u64)> {
    let untold = counts.into_iter().filter_map(|(key, count)| Some((key, count.rest()?)));
    let mut untold: Vec<(K, u64)> = untold.collect();
    untold.sort_unstable();
    untold
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of the entries: a figure that is not larger than the one before begins anew.
    fn sum(entries: &[OpenEntry], pid: u32, path: &str) -> u64 {
        let (mut sum, mut known) = (0, 0);
        for entry in entries.iter().filter(|entry| entry.pid == pid && entry.path == path.into()) {
            sum += if entry.count > known { entry.count - known } else { entry.count };
            known = entry.count;
        }
        sum
    }

    #[test]
    fn a_flood_is_told_by_its_logarithm_and_its_end_is_exact() {
        let mut tally = Tally::default();
        for _ in 0..1000 {
            tally.opened(7, Access::Read, None, "/x".into());
        }
        tally.opened(8, Access::Read, None, "/x".into());
        tally.ended(7);
        tally.ended(7);
        let (told, _) = tally.take();
        let counts: Vec<u64> = told.iter().filter(|entry| entry.pid == 7).map(|entry| entry.count).collect();
        assert_eq!(counts, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]);
        // Whoever has its number next is another.
        tally.opened(7, Access::Read, None, "/x".into());
        assert_eq!(tally.take().0[0].count, 1);
    }

    #[test]
    fn what_differs_in_anything_is_counted_apart() {
        let mut tally = Tally::default();
        for (access, act) in [
            (Access::Read, None),
            (Access::Write, None),
            (Access::Write, Some(NameAct::Made)),
            (Access::Write, Some(NameAct::Removed)),
        ] {
            tally.opened(7, access, act, "/x".into());
        }
        for how in [Reach::Inside, Reach::Refused, Reach::Refused, Reach::Refused] {
            tally.connected(7, "a:1".into(), how);
        }
        tally.close();
        let (opened, connected) = tally.take();
        assert!(opened.len() == 4 && opened.iter().all(|entry| entry.count == 1));
        let counts: Vec<(Reach, u64)> = connected.iter().map(|entry| (entry.how, entry.count)).collect();
        let refused = [1, 2, 3].map(|count| (Reach::Refused, count));
        assert_eq!(counts, [&[(Reach::Inside, 1)][..], &refused].concat());
    }

    #[test]
    fn no_count_is_lost_where_there_is_no_room_for_more() {
        let mut tally = Tally::default();
        let mut told = Vec::new();
        let often = |tally: &mut Tally, times| {
            (0..times).for_each(|_| tally.opened(7, Access::Read, None, "/often".into()));
        };
        often(&mut tally, 11);
        for number in 0..3 * COUNTS_MAX {
            tally.opened(8, Access::Read, None, format!("/{number}").into());
            told.append(&mut tally.take().0);
            assert!(tally.held <= COUNTS_MAX);
            if number % COUNTS_MAX == COUNTS_MAX / 2 {
                often(&mut tally, 1);
            }
        }
        often(&mut tally, 5);
        tally.close();
        told.append(&mut tally.take().0);
        assert_eq!(sum(&told, 7, "/often"), 11 + 3 + 5);
        assert_eq!(told.iter().filter(|entry| entry.pid == 8).count(), 3 * COUNTS_MAX);
        assert_eq!(tally.held, 0);
    }
}
