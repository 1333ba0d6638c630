//! Those who follow what is asked, answered and granted.
//!
//! Owns that nobody waits for them: whoever falls too far behind is let go. Does not own what they are told.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::ask::Told;
use crate::slot::lock;

/// How far somebody may fall behind.
const BEHIND: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Crowd {
    followers: Mutex<Option<Vec<SyncSender<Told>>>>,
}

impl Crowd {
    pub(crate) fn new() -> Crowd {
        Crowd { followers: Mutex::new(Some(Vec::new())) }
    }

    /// One more, who is first told this. It ends with the run.
    pub(crate) fn join(&self, first: impl IntoIterator<Item = Told>) -> Receiver<Told> {
        let (sender, receiver) = sync_channel(BEHIND);
        if first.into_iter().all(|told| sender.try_send(told).is_ok())
            && let Some(followers) = lock(&self.followers).as_mut()
        {
            followers.push(sender);
        }
        receiver
    }

    pub(crate) fn tell(&self, told: &Told) {
        if let Some(followers) = lock(&self.followers).as_mut() {
            followers.retain(|follower| follower.try_send(told.clone()).is_ok());
        }
    }

    /// The run is over.
    pub(crate) fn disperse(&self) {
        *lock(&self.followers) = None;
    }
}
