//! The run's own terminal: one question after the other, each taken off when it is answered elsewhere.
//!
//! Owns what is put there and what the words that are typed mean. Does not own that only a person's keys count
//! (`sandbox::terminal`).

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use admission::{Admission, Answer, AskView, Scope, Terms};
use sandbox::terminal::{Control, explains, hear_on_terminal, say_on_terminal};

use super::effect;

/// The words that say yes, and what to.
const YES: &str = "allow";
const YES_RUN: &str = "allow run";
const YES_CLASS: &str = "allow class";

/// How often the desk looks whether it is to close.
const GLANCE: Duration = Duration::from_millis(50);

/// Asks on the person's terminal, one question after the other, until it is closed.
#[derive(Debug)]
pub struct Terminal {
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

impl Terminal {
    /// Opens the desk there. Where nobody attends, or there is no terminal, nothing is ever asked here.
    pub fn open(admission: &Admission, control: Control, parties: Parties) -> std::io::Result<Terminal> {
        let closing = Arc::new(AtomicBool::new(false));
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else {
            return Ok(Terminal { closing, thread: None });
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
        Ok(Terminal { closing, thread: Some(thread) })
    }
}

impl Drop for Terminal {
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
    let open = || admission.open_asks().into_iter().find(|open| open.ask == ask.ask);
    // As it stands by now: it may have waited for the questions before it.
    let Some(now) = open().filter(|open| !open.left.is_zero()) else { return };
    let idle = || over.load(Ordering::Acquire) || open().is_none();
    let (help, words) = (help(&now), yeses(&now));
    let again = |said: &str| explains(said, &words, &help);
    let question = question(&now, parties);
    let said = hear_on_terminal(terminal, terminal, &question, &prompt(&now), (now.left, &idle), &again);
    let no = |why: &str| answer(parties, false, Some(why.to_owned()), Scope::Once);
    let answered = match said {
        Ok(Some(said)) => said_of(&now, said.as_deref(), parties),
        Ok(None) => {
            if let Some(ended) = admission.ended(&ask.ask) {
                // A terminal that is gone needs not be told.
                let _ = say_on_terminal(terminal, &format!("provost: {}", super::words::told(&ended)));
            }
            return;
        }
        Err(_) => no("the terminal could not show the question"),
    };
    // An ask that ended meanwhile (the agent went away, another answer came) takes no answer: that is told.
    if let Err(refused) = admission.answer(&ask.ask, answered) {
        let ended =
            admission.ended(&ask.ask).map_or_else(|| refused.to_string(), |ended| super::words::told(&ended));
        let _ = say_on_terminal(terminal, &format!("provost: your answer came too late: {ended}"));
    }
}

fn answer(parties: &Parties, allow: bool, why: Option<String>, scope: Scope) -> Answer {
    Answer { allow, by: parties.person.clone(), how: "terminal".to_owned(), why, scope }
}

/// What was typed, as an answer. To a question it is the answer itself.
fn said_of(ask: &AskView, said: Option<&str>, parties: &Parties) -> Answer {
    if ask.kind.is_none() {
        let words = said.map(str::trim).filter(|words| !words.is_empty());
        return match words {
            Some(words) => answer(parties, true, Some(words.to_owned()), Scope::Once),
            None => answer(parties, false, Some("no answer at the terminal".to_owned()), Scope::Once),
        };
    }
    let scope = match said {
        Some(YES) => Some(Scope::Once),
        Some(YES_RUN) => Some(Scope::Run(Terms::default())),
        Some(YES_CLASS) if ask.class.is_some() => Some(Scope::Class(Terms::default())),
        _ => None,
    };
    match scope {
        Some(scope) => answer(parties, true, None, scope),
        None => answer(parties, false, Some("refused at the terminal".to_owned()), Scope::Once),
    }
}

/// The words that say yes to an action.
fn yeses(ask: &AskView) -> Vec<&'static str> {
    let class = ask.class.as_ref().map(|_| YES_CLASS);
    ask.kind.map_or_else(Vec::new, |_| [YES, YES_RUN].into_iter().chain(class).collect())
}

fn prompt(ask: &AskView) -> String {
    match ask.kind {
        Some(_) => format!("type `{YES}` and press enter, `?` explains, anything else refuses: "),
        None => "type your answer and press enter, an empty line refuses: ".to_owned(),
    }
}

/// Seven lines: the effect first, then the exact action, why it is asked now, what it reaches, whether it can be undone,
/// who asks, and which rule says that a person must agree. What the agent says of it comes last, as its claim.
fn question(ask: &AskView, parties: &Parties) -> Vec<String> {
    let (effect, reach, undo) = effect(ask.kind);
    let rule = ask.reasons.first();
    let why = rule
        .and_then(|reason| reason.why.clone())
        .unwrap_or_else(|| "no rule allows it by itself".to_owned());
    let rule = rule.map_or_else(String::new, |reason| format!("rule {} of {} ", reason.rule, reason.layer));
    let exactly = match &ask.folder {
        Some(folder) => format!("{}  in {}", ask.text, folder.display()),
        None => ask.text.clone(),
    };
    let left = ask.left.as_secs();
    let waits = if ask.requested { "it asks beforehand" } else { "it waits" };
    let mut lines = vec![String::new(), format!("provost: {effect}")];
    if ask.kind.is_none() {
        lines.push(format!("  it asks  {}", ask.text));
    } else {
        lines.push(format!("  exactly  {exactly}"));
        lines.push(format!("  why now  {why}"));
        lines.push(format!("  reach    {reach}"));
        lines.push(format!("  undo     {undo}"));
    }
    lines.push(format!("  asked by {} ({}; {waits} {left} s)", parties.agent, ask.ask));
    lines.push(format!("  because  {rule}needs {}", ask.need));
    lines.extend(ask.claim.iter().map(|claim| format!("  the agent claims: \"{claim}\"")));
    lines
}

/// What a person is told who does not know what to say.
fn help(ask: &AskView) -> Vec<String> {
    let (_, reach, undo) = effect(ask.kind);
    let mut lines = Vec::new();
    if ask.kind.is_some() {
        let now = if ask.requested { "once, when it tries" } else { "now" };
        lines.push(format!(
            "  `{YES}` lets this one action happen, {now}; asked for again, you are asked again."
        ));
        lines.push(format!("  `{YES_RUN}` lets this very action happen until the run ends."));
        lines.extend(ask.class.iter().map(|class| {
            format!("  `{YES_CLASS}` lets whatever matches happen until the run ends: {class}")
        }));
        lines.push(format!("  What it reaches: {reach}. To take it back: {undo}."));
        lines.push(
            "  Anything else refuses: the agent is told so, and goes on without it. So does no answer in time."
                .to_owned(),
        );
        match &ask.offer {
            Some(rule) => {
                lines.push(
                    "  To decide it for good, review this rule and put it into your policy.toml:".to_owned(),
                );
                lines.extend(rule.lines().map(|line| format!("      {line}")));
            }
            None => lines.push(
                "  To decide it for good, put a rule into your policy: `provost policy explain` says how."
                    .to_owned(),
            ),
        }
    }
    lines
        .push(format!("  From another terminal: provost allow {0}, provost deny {0} --why \"...\"", ask.ask));
    lines.push(format!("  It stays: {}", ask.text));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Kind;
    use std::time::Instant;

    fn ask(kind: Option<Kind>) -> AskView {
        AskView {
            ask: "a1".into(),
            decision: 7,
            kind,
            text: "connect api.example.com:443".into(),
            folder: None,
            need: "human".into(),
            reasons: vec![policy::Reason { layer: "build".into(), rule: "default".into(), why: None }],
            class: None,
            offer: None,
            requested: false,
            claim: None,
            waiting: 1,
            said_yes: Vec::new(),
            opened: Instant::now(),
            timeout: Duration::from_secs(60),
            left: Duration::from_secs(60),
        }
    }

    fn parties() -> Parties {
        Parties { agent: "codex".into(), person: "ann".into() }
    }

    #[test]
    fn a_question_says_the_effect_first_and_the_rule_last() {
        let lines = question(&ask(Some(Kind::Connect)), &parties());
        assert_eq!(lines[1], "provost: data may leave this machine");
        assert_eq!(lines[2], "  exactly  connect api.example.com:443");
        assert_eq!(lines[7], "  because  rule default of build needs human");
        let claimed = AskView { claim: Some("rule x allows it".into()), ..ask(Some(Kind::Connect)) };
        assert_eq!(question(&claimed, &parties())[8], "  the agent claims: \"rule x allows it\"");
    }

    #[test]
    fn only_the_very_words_say_yes_and_only_to_what_was_shown() {
        let plain = ask(Some(Kind::Connect));
        let classed = AskView { class: Some("connect *".into()), ..plain.clone() };
        let said = |ask: &AskView, words: &str| {
            let answer = said_of(ask, Some(words), &parties());
            answer.allow.then_some(answer.scope)
        };
        assert_eq!(said(&plain, "allow"), Some(Scope::Once));
        assert_eq!(said(&plain, "allow run"), Some(Scope::Run(Terms::default())));
        assert_eq!(said(&classed, "allow class"), Some(Scope::Class(Terms::default())));
        for (ask, words) in [(&plain, "allow class"), (&plain, "Allow"), (&plain, "allow  run"), (&plain, "")]
        {
            assert_eq!(said(ask, words), None, "{words}");
        }
        assert!(!said_of(&plain, None, &parties()).allow);
        let answer = said_of(&ask(None), Some(" the second "), &parties());
        assert_eq!((answer.allow, answer.why.as_deref()), (true, Some("the second")));
        assert!(!said_of(&ask(None), Some(""), &parties()).allow);
    }
}
