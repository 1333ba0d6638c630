//! From what a person types to an action: `KIND WORDS..`. Pure: where a program lies is looked up by whoever calls.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::action::is_steering;
use crate::pattern::glob;
use crate::{AbsPath, Action, Command, Endpoint, HttpRequest, Kind, Scheme};

/// What words are read by.
#[derive(Clone, Copy)]
pub struct Here<'a> {
    /// Where a path without a start begins: the person's own folder.
    pub folder: &'a Path,
    /// `~/`
    pub home: &'a Path,
    /// Where a program without a folder lies, links resolved.
    pub program: &'a dyn Fn(&OsStr) -> Option<PathBuf>,
}

impl fmt::Debug for Here<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Here")
            .field("folder", &self.folder)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// Why words are no action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{because}")]
pub struct NotAnAction {
    /// What is wrong.
    pub because: String,
    /// How it is written.
    pub hint: &'static str,
}

impl Action {
    /// Reads the words that follow a kind.
    ///
    /// # Errors
    /// When they are not an action of that kind.
    pub fn from_words(kind: Kind, words: &[OsString], here: Here<'_>) -> Result<Action, NotAnAction> {
        let hint = usage(kind);
        read(kind, words, here).map_err(|because| NotAnAction { because, hint })
    }
}

/// How an action of a kind is written.
fn usage(kind: Kind) -> &'static str {
    match kind {
        Kind::Launch => "write `launch PROGRAM WORDS..`",
        Kind::Exec => "write `exec PROGRAM WORDS..`",
        Kind::Read => "write `read PATH`",
        Kind::Write => "write `write PATH`",
        Kind::Land => "write `land PATH`",
        Kind::Connect => "write `connect HOST` or `connect HOST:PORT`",
        Kind::Http => "write `http METHOD https://HOST/PATH?QUERY --header 'NAME: VALUE'`",
        Kind::Tool => "write `tool NAME`",
        Kind::Credential => "write `credential NAME to HOST:PORT`",
        Kind::Spend => "write `spend AMOUNT UNIT`",
    }
}

fn read(kind: Kind, words: &[OsString], here: Here<'_>) -> Result<Action, String> {
    match kind {
        Kind::Launch => command(words, here).map(Action::Launch),
        Kind::Exec => command(words, here).map(Action::Exec),
        Kind::Read => one(words).and_then(|word| path(word, here)).map(Action::Read),
        Kind::Write => one(words).and_then(|word| path(word, here)).map(Action::Write),
        Kind::Land => one(words).and_then(|word| path(word, here)).map(Action::Land),
        Kind::Connect => endpoint(text(one(words)?)?).map(Action::Connect),
        Kind::Http => request_words(words).map(Action::Http),
        Kind::Tool => Ok(Action::Tool { name: text(one(words)?)?.to_owned() }),
        Kind::Credential => match words {
            [name, to] => credential(name, to),
            [name, between, to] if between == "to" => credential(name, to),
            _ => Err("a credential is a name, and the place that it goes to".to_owned()),
        },
        Kind::Spend => match words {
            [amount, unit] => {
                let amount = text(amount)?;
                let read = amount.parse().map_err(|_| format!("`{amount}` is no amount"));
                Ok(Action::Spend { unit: text(unit)?.to_owned(), amount: read? })
            }
            _ => Err("what is spent is an amount and a unit".to_owned()),
        },
    }
}

fn one(words: &[OsString]) -> Result<&OsStr, String> {
    match words {
        [word] => Ok(word),
        [] => Err("nothing is named".to_owned()),
        _ => Err("more than one thing is named".to_owned()),
    }
}

fn text(word: &OsStr) -> Result<&str, String> {
    word.to_str().ok_or_else(|| "it is no text".to_owned())
}

fn credential(name: &OsStr, to: &OsStr) -> Result<Action, String> {
    Ok(Action::Credential { name: text(name)?.to_owned(), to: endpoint(text(to)?)? })
}

fn path(word: &OsStr, here: Here<'_>) -> Result<AbsPath, String> {
    let given = Path::new(word);
    let read = match given.strip_prefix("~") {
        Ok(rest) => AbsPath::join_lexical(here.home, rest),
        Err(_) => AbsPath::join_lexical(here.folder, given),
    };
    read.map_err(|error| format!("`{}` is no path: {error}", given.display()))
}

/// A command in words, or in one word that holds them all, quoted as in a pattern.
fn command(words: &[OsString], here: Here<'_>) -> Result<Command, String> {
    let words = match words {
        [line] if line.as_bytes().contains(&b' ') => {
            glob::words(text(line)?).map_err(|error| error.because)?
        }
        _ => words.iter().map(|word| word.as_bytes().to_vec()).collect(),
    };
    let (env, argv) = variables(words);
    let called = argv.first().filter(|word| !word.is_empty()).ok_or("a command has no program")?;
    let called = OsString::from_vec(called.clone());
    let program = if called.as_bytes().contains(&b'/') {
        path(&called, here)?
    } else {
        let found =
            (here.program)(&called).ok_or_else(|| format!("no program `{}` is found", called.display()))?;
        path(found.as_os_str(), here)?
    };
    Ok(Command::new(program, argv, env))
}

/// Names and values.
type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// Takes `NAME=value` off the beginning, for names that change what a program does.
pub(crate) fn variables(words: Vec<Vec<u8>>) -> (Variables, Vec<Vec<u8>>) {
    let mut env = Vec::new();
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next_if(|word| is_steering(name_of(word)) && word.contains(&b'=')) {
        let name = name_of(&word).to_vec();
        let value = word.get(name.len() + 1..).unwrap_or_default().to_vec();
        env.push((name, value));
    }
    (env, words.collect())
}

fn name_of(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == b'=').next().unwrap_or_default()
}

/// `host` or `host:port`
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    with_port(text, 443).map_err(|error| format!("`{text}` is no place to connect to: {error}"))
}

fn with_port(text: &str, usual: u16) -> Result<Endpoint, crate::NotCanonical> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port { Endpoint::parse(text) } else { Endpoint::parse(&format!("{text}:{usual}")) }
}

/// A method, and `https://host/path`.
pub(crate) fn request(method: &str, address: &str) -> Result<HttpRequest, String> {
    let (scheme, rest) = Scheme::split(address).ok_or(
        "an address begins with `https://` or `http://`, that of a WebSocket with `wss://` or `ws://`",
    )?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let endpoint = with_port(host, scheme.port()).map_err(|error| format!("`{host}` is no host: {error}"))?;
    let path = if path.is_empty() { "/" } else { path };
    HttpRequest::new(scheme, endpoint, method, path).map_err(|error| format!("it is no request: {error}"))
}

/// `METHOD URL`, in two words or in one, then any number of `--header NAME:VALUE`.
fn request_words(words: &[OsString]) -> Result<HttpRequest, String> {
    let mut texts = Vec::new();
    for word in words {
        texts.push(text(word)?);
    }
    let (line, rest) = match texts.as_slice() {
        [line, rest @ ..] if line.contains(' ') => (line.split_once(' '), rest),
        [method, address, rest @ ..] => (Some((*method, *address)), rest),
        _ => (None, texts.as_slice()),
    };
    let (method, address) = line.ok_or("a request is a method and an address")?;
    let headers: Vec<(&str, &[u8])> = rest
        .chunks(2)
        .map(|pair| match pair {
            ["--header", line] => header(line),
            _ => Err(format!("`{}` is no part of a request", pair.join(" "))),
        })
        .collect::<Result<_, _>>()?;
    Ok(request(method, address.trim())?.with_headers(headers))
}

/// `NAME: VALUE`
pub(crate) fn header(line: &str) -> Result<(&str, &[u8]), String> {
    let (name, value) =
        line.split_once(':').ok_or_else(|| format!("`{line}` is no header: write `name: value`"))?;
    Ok((name.trim(), value.trim().as_bytes()))
}
