//! What an approval gives: the actions that may happen because somebody agreed to one of them.
//!
//! Pure. Owns which actions those are ([`Selector`]), and what of a decision a grant lifts: an ask for no more than was
//! answered, by no other rules than those that asked. Does not own how long a grant lasts or how often it is used (`admission`).

use std::fmt;
use std::sync::Arc;

use crate::automaton::Automaton;
use crate::decide::{MOST_REASONS, Reason};
use crate::pattern::{Pattern, Places, spell};
use crate::{Action, Command, Endpoint, Host, HttpRequest, Kind, Need, Policy};

/// The longest text of a class; what would be longer has none.
const LONGEST: usize = 400;
/// So many words of a command say what it does, at most; what follows them may differ.
const MOST_WORDS: usize = 2;
/// Programs that start what their words say: a class of these would be a class of everything.
const STARTERS: [&str; 44] = [
    "awk", "bash", "bun", "busybox", "bwrap", "chroot", "csh", "dash", "deno", "doas", "env", "find", "fish",
    "gawk", "ionice", "java", "ksh", "lua", "nice", "node", "nohup", "nsenter", "parallel", "perl", "php",
    "python", "pypy", "ruby", "runuser", "script", "setsid", "sh", "ssh", "stdbuf", "strace", "su", "sudo",
    "taskset", "time", "timeout", "toybox", "unshare", "watch", "xargs",
];

/// What an approval gave.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The ask that it came from.
    pub id: String,
    /// What may happen.
    pub selector: Selector,
    /// What was shown: it lifts no ask that needs more.
    pub need: Need,
    /// The rules that asked: it lifts no other rule's ask.
    pub asked: Vec<Reason>,
}

impl Grant {
    /// Whether it answers an ask about this action.
    pub(crate) fn lifts(&self, action: &Action, need: Need, reasons: &[Reason]) -> bool {
        let known = |reason: &Reason| {
            self.asked.iter().any(|asked| (&asked.layer, &asked.rule) == (&reason.layer, &reason.rule))
        };
        // Of more rules than are named, nobody can say that all of them were answered.
        let answered = reasons.len() < MOST_REASONS && reasons.iter().all(known);
        need <= self.need && (answered || self.selector.is(action)) && self.selector.covers(action)
    }
}

/// Which actions a grant covers.
#[derive(Debug, Clone)]
pub struct Selector {
    kind: Kind,
    text: String,
    covers: Covers,
}

#[derive(Debug, Clone)]
enum Covers {
    /// This very action, environment included.
    Exact(Action),
    /// Whatever a pattern matches; of a command, only under the name and with the variables that somebody agreed to; of a
    /// request, only with the same query and headers, as far as rules ask about them.
    Class(Arc<Automaton>, Option<Box<Action>>),
}

impl Selector {
    /// This very action.
    pub fn exact(action: &Action) -> Selector {
        Selector { kind: action.kind(), text: action.resource(), covers: Covers::Exact(action.clone()) }
    }

    /// The same, in the words in which it was shown: `KIND WHAT`.
    #[must_use]
    pub fn shown_as(mut self, text: &str) -> Selector {
        if let Some(text) = text.strip_prefix(self.kind.word()) {
            self.text = text.trim_start().to_owned();
        }
        self
    }

    /// The kind of action it is about.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it covers one action and no other.
    pub fn is_exact(&self) -> bool {
        matches!(self.covers, Covers::Exact(_))
    }

    /// Whether it is this very action, down to what is known of its program.
    fn is(&self, action: &Action) -> bool {
        matches!(&self.covers, Covers::Exact(one) if one == action)
    }

    /// Whether it covers this action. What cannot be spelled is never covered.
    pub fn covers(&self, action: &Action) -> bool {
        let slashed = match action {
            Action::Http(request) => request.slashed().map(Action::Http),
            _ => None,
        };
        self.covers_as(action) && slashed.is_none_or(|slashed| self.covers_as(&slashed))
    }

    fn covers_as(&self, action: &Action) -> bool {
        match &self.covers {
            Covers::Exact(one) => same(one, action),
            Covers::Class(automaton, agreed) => {
                self.kind == action.kind() && like(agreed.as_deref(), action) && matches(automaton, action)
            }
        }
    }

    /// The requests of a pattern of `http`, by these methods; by any where none is named.
    ///
    /// # Errors
    /// It is no such pattern: why not.
    pub fn requests(pattern: &str, methods: &[String]) -> Result<Selector, String> {
        let places = Places { workspace: "/".into(), home: "/".into() };
        let parsed =
            Pattern::parse(Kind::Http, pattern, Need::None, methods).map_err(|error| error.because)?;
        let expressions: Vec<_> = parsed.iter().map(|pattern| pattern.regex(&places)).collect();
        let automaton = Automaton::new(&expressions).map_err(|_| "it is too large".to_owned())?;
        let covers = Covers::Class(Arc::new(automaton), None);
        Ok(Selector { kind: Kind::Http, text: pattern.to_owned(), covers })
    }

    fn class(action: &Action, text: String, shown: String, methods: &[String]) -> Option<Selector> {
        let pattern = Pattern::parse(action.kind(), &text, Need::None, methods).ok()?.pop()?;
        // A class names its places from the root on.
        let places = Places { workspace: "/".into(), home: "/".into() };
        let automaton = Arc::new(Automaton::new(&[pattern.regex(&places)]).ok()?);
        let agreed = matches!(action, Action::Exec(_) | Action::Http(_)).then(|| Box::new(action.clone()));
        let covers = Covers::Class(automaton, agreed);
        let selector = Selector { kind: action.kind(), text: shown, covers };
        // A class that lacks what was asked for says something else than was meant.
        selector.covers(action).then_some(selector)
    }
}

impl fmt::Display for Selector {
    /// The text of its pattern, after its kind.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}", self.kind, self.text)
    }
}

impl Policy {
    /// The class of an action: what else may be agreed to with it, never more than one folder, host, or command and its words.
    ///
    /// # Errors
    /// Why there is none that would be narrow enough to be agreed to at a glance.
    pub fn class_of(&self, action: &Action) -> Result<Selector, &'static str> {
        let odd = "its name is not plain enough to stand in a pattern";
        let class = |text: String| Selector::class(action, text.clone(), text, &[]).ok_or(odd);
        match action {
            Action::Exec(command) => command_class(command).and_then(class),
            Action::Read(path) => {
                let place = path.as_path().to_str().zip(self.home().to_str());
                place.ok_or(odd).and_then(|(path, home)| folder_class(path, home)).and_then(class)
            }
            Action::Connect(Endpoint { host: Host::Name(name), .. }) if plain(name) && name.contains('.') => {
                class(format!("{name}:*"))
            }
            Action::Connect(_) => Err("only a full host name has a class, an address has none"),
            Action::Http(request) => {
                let text =
                    request_class(request).ok_or("only a folder of paths at a full host name has a class")?;
                let shown = format!("{} {text}", request.method);
                Selector::class(action, text, shown, std::slice::from_ref(&request.method)).ok_or(odd)
            }
            _ => Err("such an action has none"),
        }
    }
}

fn matches(automaton: &Automaton, action: &Action) -> bool {
    let mut buffer = Vec::new();
    let Ok(input) = spell::action(action, &mut buffer) else { return false };
    let mut found = false;
    automaton.matches(&mut automaton.scratch(), input, |_| found = true);
    found
}

/// The same action. A command that was asked for beforehand is known by its words alone, and not by what its program is.
fn same(one: &Action, other: &Action) -> bool {
    let words = |command: &Command| (command.program.clone(), command.argv.clone(), command.env.clone());
    match (one, other) {
        (Action::Exec(one), Action::Exec(other)) => words(one) == words(other),
        (one, other) => one == other,
    }
}

/// A command under the same name, which decides what a program of many names does, and with the same variables. A request that
/// says the same where rules ask.
fn like(agreed: Option<&Action>, action: &Action) -> bool {
    match (agreed, action) {
        (Some(Action::Http(agreed)), Action::Http(request)) => {
            (&agreed.query, &agreed.headers) == (&request.query, &request.headers)
        }
        (Some(Action::Exec(agreed)), Action::Exec(command)) => {
            let alike = |command: &Command| (command.env.clone(), command.installed);
            alike(agreed) == alike(command) && agreed.alias() == command.alias()
        }
        (None, _) => true,
        (Some(_), _) => false,
    }
}

/// Nothing that means something in a pattern.
fn plain(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(fine)
}

/// `PROGRAM WORD WORD **`: the words that say what the program does, as far as they are words and no options or files.
fn command_class(command: &Command) -> Result<String, &'static str> {
    let program = command.program.as_path().to_str().filter(|path| plain(path));
    let program = program.ok_or("its program's name is not plain enough to stand in a pattern")?;
    let name = program.rsplit('/').next().unwrap_or_default();
    let family = name.trim_end_matches(|end: char| end.is_ascii_digit() || end == '.');
    if STARTERS.contains(&family) || family.starts_with("ld-") {
        return Err("the program starts whatever its words say, so that a class of it would be everything");
    }
    let is_word = |word: &&str| {
        let letter = word.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
        letter && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let words = command.argv.iter().skip(1).map_while(|word| std::str::from_utf8(word).ok().filter(is_word));
    let words: Vec<&str> = words.take(MOST_WORDS).collect();
    let text = format!("{program} {} **", words.join(" "));
    if words.is_empty() {
        return Err("no plain word follows the program that says what it would do");
    }
    if text.len() > LONGEST { Err("its words are too long to be read at a glance") } else { Ok(text) }
}

/// `FOLDER/*`: the files of one folder, not those beneath. No folder whose name begins with a dot, nor one within such a folder,
/// because settings and keys lie there; and none on the way to the home.
fn folder_class(path: &str, home: &str) -> Result<String, &'static str> {
    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
    let hidden = path.split('/').any(|name| name.starts_with('.'));
    let on_the_way = std::path::Path::new(home).starts_with(folder);
    let shallow = folder.matches('/').count() < 2;
    if hidden {
        return Err("its path has a name with a dot in front, where settings and keys lie");
    }
    if on_the_way || shallow || name.is_empty() {
        return Err("its folder is too near to the root or to your home");
    }
    if plain(folder) {
        Ok(format!("{folder}/*"))
    } else {
        Err("its folder's name is not plain enough to stand in a pattern")
    }
}

/// `https://HOST/FOLDER/*`, by the same method.
fn request_class(request: &HttpRequest) -> Option<String> {
    let (folder, _) = request.path.rsplit_once('/')?;
    let named = matches!(&request.endpoint.host, Host::Name(name) if name.contains('.'));
    let place = format!("{}://{}{folder}", request.scheme, request.endpoint);
    (named && folder.len() > 1 && plain(&place)).then(|| format!("{place}/*"))
}

#[cfg(test)]
mod tests;
