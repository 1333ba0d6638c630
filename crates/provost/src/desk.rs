//! Where people are asked: here, the terminal of the run.
//!
//! Owns what a question says, in which order, and carrying the answer back. Does not own when something is asked
//! (`policy`), how an ask ends (`admission`), or that only a person's keys count (`sandbox::terminal`).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use admission::{Admission, Answer, AskView};
use policy::Kind;
use sandbox::terminal::{Control, ask_on_terminal};

/// The word that says yes.
const YES: &str = "allow";

/// How often the desk looks whether it is to close.
const GLANCE: Duration = Duration::from_millis(50);

/// Asks on the person's terminal, one question after the other, until it is closed.
#[derive(Debug)]
pub struct Desk {
    closing: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Who asks and who is asked.
#[derive(Debug, Clone)]
pub struct Parties {
    /// The agent.
    pub agent: String,
    /// The person.
    pub person: String,
}

impl Desk {
    /// Opens the desk. Where nobody attends, or there is no terminal, nothing is ever asked here: asks expire.
    pub fn open(admission: &Admission, control: Control, parties: Parties) -> std::io::Result<Desk> {
        let closing = Arc::new(AtomicBool::new(false));
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
            return Ok(Desk { closing, thread: None });
        };
        let asks = admission.asks();
        let admission = admission.clone();
        let over = Arc::clone(&closing);
        let thread = thread::Builder::new().name("provost-desk".to_owned()).spawn(move || {
            while !over.load(Ordering::Acquire) {
                match asks.recv_timeout(GLANCE) {
                    Ok(ask) => {
                        let paused = control.pause();
                        put(&admission, &terminal, &ask, &parties, &over);
                        drop(paused);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Desk { closing, thread: Some(thread) })
    }
}

impl Drop for Desk {
    /// Takes the last question off the terminal, and gives the terminal back.
    fn drop(&mut self) {
        self.closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Puts one question and carries the answer back.
fn put(admission: &Admission, terminal: &File, ask: &AskView, parties: &Parties, over: &AtomicBool) {
    let left = ask.timeout.saturating_sub(ask.opened.elapsed());
    let stands = || admission.open_asks().iter().any(|open| open.ask == ask.ask);
    if left.is_zero() || !stands() {
        return;
    }
    let idle = || over.load(Ordering::Acquire) || !stands();
    let text = question(ask, parties, left);
    let said = ask_on_terminal(terminal, terminal, (&text, &help(ask)), YES, left, &idle);
    let answer = |allow, why: Option<&str>| Answer {
        allow,
        by: parties.person.clone(),
        how: "terminal".to_owned(),
        why: why.map(str::to_owned),
    };
    // An ask that ended meanwhile (the agent went away, another answer came) takes no answer: nothing is lost.
    let _ = match said {
        Ok(Some(true)) => admission.answer(&ask.ask, answer(true, None)),
        Ok(Some(false)) => admission.answer(&ask.ask, answer(false, Some("refused at the terminal"))),
        Ok(None) => Ok(()),
        Err(_) => admission.answer(&ask.ask, answer(false, Some("the terminal could not show the question"))),
    };
}

/// Seven lines: the effect first, then the exact action, why it is asked now, what it reaches, whether it can be undone,
/// who asks, and which rule says that a person must agree.
fn question(ask: &AskView, parties: &Parties, left: Duration) -> Vec<String> {
    let (effect, reach, undo) = effect(ask.kind);
    let rule = ask.reasons.first();
    let why = rule
        .and_then(|reason| reason.why.clone())
        .unwrap_or_else(|| "no rule allows it by itself".to_owned());
    let rule = rule.map_or_else(String::new, |reason| format!("rule {} of {}", reason.rule, reason.layer));
    vec![
        String::new(),
        format!("provost: {effect}"),
        format!("  exactly  {}", ask.text),
        format!("  why now  {why}"),
        format!("  reach    {reach}"),
        format!("  undo     {undo}"),
        format!("  asked by {} ({}; it waits {} s)", parties.agent, ask.ask, left.as_secs()),
        format!("  because  {rule} needs {}", ask.need),
    ]
}

/// What a person is told who does not know what to say.
fn help(ask: &AskView) -> Vec<String> {
    let (_, reach, undo) = effect(ask.kind);
    vec![
        format!("  `{YES}` lets this one action happen, now; asked for again, you are asked again."),
        format!("  What it reaches: {reach}. To take it back: {undo}."),
        "  Anything else refuses: the agent is told so, and goes on without it. So does no answer in time."
            .to_owned(),
        "  To decide it for good, put a rule into your policy: `provost policy explain` says how.".to_owned(),
        format!("  It stays: {}", ask.text),
    ]
}

fn effect(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Launch => ("an agent starts", "the inside of the sandbox", "stop the run"),
        Kind::Exec => ("a program starts inside", "the staged copy and what it may reach", "discard the run"),
        Kind::Read => ("a file of yours is read", "whatever the agent may send anywhere", "cannot be undone"),
        Kind::Write => ("a file is written", "the staged copy", "discard the run"),
        Kind::Connect => {
            ("data may leave this machine", "that host, and whoever else it serves", "cannot be undone")
        }
        Kind::Http => ("a request leaves this machine", "that host", "cannot be undone"),
        Kind::Tool => ("a tool is used", "whatever the tool reaches", "depends on the tool"),
        Kind::Credential => ("a credential is used", "that host, in your name", "revoke the credential"),
        Kind::Land => ("a change lands in your folder", "your folder", "with your version control"),
        Kind::Spend => ("money or tokens are spent", "your account", "cannot be undone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_question_says_the_effect_first_and_the_rule_last() {
        let ask = AskView {
            ask: "a1".into(),
            decision: 7,
            kind: Kind::Connect,
            text: "connect api.example.com:443".into(),
            need: "human".into(),
            reasons: vec![policy::Reason { layer: "build".into(), rule: "default".into(), why: None }],
            opened: Instant::now(),
            timeout: Duration::from_secs(60),
        };
        let parties = Parties { agent: "codex".into(), person: "ann".into() };
        let lines = question(&ask, &parties, Duration::from_secs(60));
        assert_eq!(lines[1], "provost: data may leave this machine");
        assert_eq!(lines[2], "  exactly  connect api.example.com:443");
        assert_eq!(lines[7], "  because  rule default of build needs human");
    }
}
