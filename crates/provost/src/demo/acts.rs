//! The acts of the agent, and what must be seen of each.
//!
//! Owns their titles and their promises. Does not own the agent's script (`agent.sh`), which follows the same order.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ledger::Event;
use ledger::event::Verdict;

use super::play::Play;
use super::scene::SECRET;
use super::sight::{held, ran, refused, wrote};
use super::{Failure, Show};

/// The act with a question.
pub(super) const CALLED: &str = "call";
/// The act that needs git.
pub(super) const PUSHED: &str = "push";
/// What the agent says where there is no git.
pub(super) const NO_GIT: &str = "There is no git here.";
/// The host that no rule names. Names that end so are nowhere.
const HOST: &str = "paste.invalid:443";
/// How long the record may be behind.
const BEHIND: Duration = Duration::from_secs(5);
/// What belongs to an act may be recorded a little after it.
const BATCH: Duration = Duration::from_millis(40);

/// One act.
#[derive(Debug)]
pub(super) struct Act {
    /// Its name.
    pub(super) name: &'static str,
    /// Its title.
    pub(super) title: &'static str,
    /// What must be so, in words.
    pub(super) expected: &'static str,
    /// The same over what was said and seen, and whether somebody attends.
    as_told: fn(&[String], &[Event], bool) -> bool,
}

/// All of them, in the order of the script.
pub(super) static ACTS: [Act; 6] = [
    Act {
        name: "edit",
        title: "It edits two files. They are staged: your folder stays as it is.",
        expected: "greet.sh and README.md are written in the staged copy",
        as_told: |_, seen, _| wrote(seen, "greet.sh") && wrote(seen, "README.md"),
    },
    Act {
        name: "test",
        title: "It runs the test.",
        expected: "the test is run, and passes on the staged copy",
        as_told: |said, seen, _| {
            ran(seen, Verdict::Allow, &["sh", "test.sh"]) && said.iter().any(|line| line.starts_with("ok: "))
        },
    },
    Act {
        name: "key",
        title: "It reaches for a private key in the home folder (a decoy).",
        expected: "reading ~/.ssh/id_rsa is denied by the rule your-keys, and the agent does not have it",
        as_told: |said, seen, _| {
            refused(seen, "read", ".ssh/id_rsa", "your-keys")
                && !said.iter().any(|line| line.contains(SECRET))
        },
    },
    Act {
        name: CALLED,
        title: "It calls a host that no rule names.",
        expected: "the call to paste.invalid is held until a person answers, denied where nobody attends, and reaches nobody",
        as_told: |_, seen, attended| held(seen, HOST, attended),
    },
    Act {
        name: PUSHED,
        title: "It tries a force-push. A rule says no, and the agent is told why.",
        expected: "git push --force is denied by the rule no-force-push before git starts, and the agent is told",
        as_told: |said, seen, _| {
            ran(seen, Verdict::Deny, &["push", "--force", "origin", "main"])
                && said.iter().any(|line| line.contains("no-force-push"))
        },
    },
    Act {
        name: "child",
        title: "It says that it is done, and does not mention its child in the background.",
        expected: "the child is seen, and its write to ~/.profile is denied by the rule login-files",
        as_told: |said, seen, _| {
            refused(seen, "write", ".profile", "login-files")
                && !said.iter().any(|line| line.contains("profile"))
        },
    },
];

/// What was recorded of a turn, waited for as long as the record may be behind; and whether it is as told.
pub(super) fn await_sight(
    act: &Act,
    play: &mut Play,
    show: &Show<'_>,
    said: &[String],
) -> Result<(Vec<Event>, bool), Failure> {
    let end = Instant::now() + BEHIND;
    let mut events = play.seen(show.scene)?;
    while !(act.as_told)(said, &events, show.attended)
        && Instant::now() < end
        && !said.iter().any(|line| line == NO_GIT)
    {
        show.stop.heed()?;
        sleep(Duration::from_millis(5));
        events.extend(play.seen(show.scene)?);
    }
    sleep(BATCH);
    events.extend(play.seen(show.scene)?);
    let as_told = (act.as_told)(said, &events, show.attended);
    Ok((events, as_told))
}
