//! What is carried to us: which connection means which place, and who began it.
//!
//! Owns what the supervisor's side tells and when it is forgotten, and the way back to a process's standard error. Nothing here
//! lets anything pass: a connection of which nothing was told is closed, and one of which something was told is judged like any
//! other. Does not own the addresses that stand for names (`stand_in`).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use policy::{Endpoint, Host};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{sleep, timeout};

use crate::refusal::Refusal;
use crate::stand_in::StandIns;

/// A process inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asker {
    /// As the host counts.
    pub pid: u32,
    /// As it counts itself.
    pub inside: i32,
}

/// A way to say something to a process inside.
pub trait Voice: fmt::Debug + Send + Sync {
    /// Says a line on its standard error, if that can be done.
    fn say(&self, to: Asker, line: &str);
}

/// Connections that were told of and have not come; they were begun, so they come soon or never.
const EXPECTED: usize = 4096;
/// How long one may take: as long as the kernel goes on trying.
const LATEST: Duration = Duration::from_secs(150);
/// Processes of which is known that they ask for names.
const ASKING: usize = 1024;
/// How long a process asks on from one address.
const ASKS_ON: Duration = Duration::from_secs(30);

/// What both sides know of what is carried.
#[derive(Debug, Default)]
pub struct Carriage {
    expected: Mutex<Fresh<SocketAddr, Expected>>,
    /// Something was told.
    came: Notify,
    stand_ins: StandIns,
    asking: Mutex<Fresh<SocketAddr, Asker>>,
}

/// A connection that was told of.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) to: Endpoint,
    pub(crate) asker: Asker,
}

impl Carriage {
    /// With nothing told yet.
    pub fn new() -> Arc<Carriage> {
        Arc::default()
    }

    /// What a program means by an address: the name that it stands for, or the address.
    pub fn meant(&self, address: SocketAddr) -> Endpoint {
        let ip = address.ip().to_canonical();
        let name = self.stand_ins.name(ip).map(Host::Name);
        Endpoint { host: name.unwrap_or(Host::Ip(ip)), port: address.port() }
    }

    /// The connection that comes from this address inside was begun by `asker`, and means `to`. Of two from one address the
    /// later is meant: the earlier is over, or the kernel would not have given the address again.
    pub fn expect(&self, from: SocketAddr, to: Endpoint, asker: Asker) {
        lock(&self.expected).put(from, Expected { to, asker }, EXPECTED, LATEST);
        self.came.notify_waiters();
    }

    /// Whoever asks for names from this address inside is `asker`.
    pub fn asks_names(&self, from: SocketAddr, asker: Asker) {
        lock(&self.asking).put(from, asker, ASKING, ASKS_ON);
    }

    pub(crate) fn asking(&self, from: SocketAddr) -> Option<Asker> {
        lock(&self.asking).get(from, ASKS_ON)
    }

    pub(crate) fn stand_ins(&self) -> &StandIns {
        &self.stand_ins
    }

    /// What the connection from this address means, which may be told a moment after it came. Told once.
    pub(crate) async fn take(&self, from: SocketAddr, patience: Duration) -> Option<Expected> {
        let taken = async {
            loop {
                let mut came = pin!(self.came.notified());
                came.as_mut().enable();
                if let Some(expected) = self.take_now(from) {
                    return expected;
                }
                came.await;
            }
        };
        timeout(patience, taken).await.ok()
    }

    /// What is known of it now.
    pub(crate) fn take_now(&self, from: SocketAddr) -> Option<Expected> {
        lock(&self.expected).take(from, LATEST)
    }
}

/// A table whose entries are good for a while: the oldest go first, and it never grows beyond a bound.
#[derive(Debug)]
struct Fresh<K, V> {
    known: HashMap<K, (Instant, V)>,
}

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Fresh<K, V> {
        Fresh { known: HashMap::new() }
    }
}

impl<K: Hash + Eq + Copy, V: Clone> Fresh<K, V> {
    fn put(&mut self, key: K, value: V, most: usize, good_for: Duration) {
        if self.known.len() >= most {
            self.known.retain(|_, (since, _)| since.elapsed() < good_for);
        }
        if self.known.len() >= most
            && let Some(oldest) = self.known.iter().min_by_key(|(_, (since, _))| *since).map(|(key, _)| *key)
        {
            self.known.remove(&oldest);
        }
        self.known.insert(key, (Instant::now(), value));
    }

    fn get(&self, key: K, good_for: Duration) -> Option<V> {
        let (since, value) = self.known.get(&key)?;
        (since.elapsed() < good_for).then(|| value.clone())
    }

    fn take(&mut self, key: K, good_for: Duration) -> Option<V> {
        let value = self.get(key, good_for);
        self.known.remove(&key);
        value
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lines that a process was told already: a loop is told once.
const TOLD: usize = 4096;
/// Lines on their way at once.
const TELLING: usize = 4;
/// How long a line may be on its way before what it is about goes on.
const SAYING: Duration = Duration::from_secs(2);

/// Says what was refused to whoever asked for it.
#[derive(Debug)]
pub(crate) struct Teller {
    voice: Arc<dyn Voice>,
    told: Mutex<HashSet<(Asker, String)>>,
    room: Arc<Semaphore>,
}

impl Teller {
    pub(crate) fn new(voice: Arc<dyn Voice>) -> Teller {
        Teller { voice, told: Mutex::default(), room: Arc::new(Semaphore::new(TELLING)) }
    }

    /// Tells a process of a refusal, unless it was told the same before; once this ends, it was, if that could be done.
    pub(crate) async fn tell(&self, asker: Asker, refusal: &Refusal) {
        let line = refusal.told();
        {
            let mut told = lock(&self.told);
            if told.len() >= TOLD {
                told.clear();
            }
            if !told.insert((asker, line.clone())) {
                return;
            }
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let voice = Arc::clone(&self.voice);
        let said = tokio::task::spawn_blocking(move || {
            let _room = room;
            voice.say(asker, &line);
        });
        tokio::select! {
            _ = said => {}
            () = sleep(SAYING) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn asker(pid: u32) -> Asker {
        Asker { pid, inside: 7 }
    }

    #[test]
    fn t73_what_is_told_is_told_once_and_the_last_word_holds() {
        let carriage = Carriage::new();
        let to = |text| Endpoint::parse(text).unwrap();
        carriage.expect(address("127.0.0.1:4000"), to("a.example:443"), asker(1));
        carriage.expect(address("127.0.0.1:4000"), to("b.example:443"), asker(2));
        carriage.expect(address("[::1]:4000"), to("c.example:443"), asker(3));
        assert_eq!(carriage.take_now(address("127.0.0.2:4000")).map(|found| found.asker), None);
        let taken = carriage.take_now(address("127.0.0.1:4000")).unwrap();
        assert_eq!((taken.to.to_string().as_str(), taken.asker), ("b.example:443", asker(2)));
        assert!(carriage.take_now(address("127.0.0.1:4000")).is_none(), "told twice");
        assert_eq!(carriage.take_now(address("[::1]:4000")).unwrap().asker, asker(3));
    }

    #[test]
    fn tables_stay_small_and_forget_the_oldest() {
        let mut table: Fresh<u32, u32> = Fresh::default();
        for key in 0..100 {
            table.put(key, key, 10, LATEST);
        }
        assert_eq!(table.known.len(), 10);
        assert_eq!((table.get(99, LATEST), table.get(0, LATEST)), (Some(99), None));
        assert_eq!(table.take(99, Duration::ZERO), None, "what is too old is not given out");
        assert_eq!(table.known.len(), 9);
    }
}
