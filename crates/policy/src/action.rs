//! What can be asked for: ten kinds of action, built from canonical values.
//!
//! Owns the words for them and how a person reads them. Does not own their spelling: `canonical` does.

use std::fmt;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::canonical::{self, NotCanonical, Spelled};
pub use crate::steering::is_steering;
use crate::text;

/// The kinds of action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The agent's first process.
    Launch,
    /// A program started inside.
    Exec,
    /// A file of the host read.
    Read,
    /// A file of the host written.
    Write,
    /// A connection.
    Connect,
    /// An HTTP request.
    Http,
    /// A tool used.
    Tool,
    /// A credential released.
    Credential,
    /// A staged change landed.
    Land,
    /// Something spent.
    Spend,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 10] = [
        Kind::Launch,
        Kind::Exec,
        Kind::Read,
        Kind::Write,
        Kind::Connect,
        Kind::Http,
        Kind::Tool,
        Kind::Credential,
        Kind::Land,
        Kind::Spend,
    ];

    /// The word for it, in files and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Launch => "launch",
            Kind::Exec => "exec",
            Kind::Read => "read",
            Kind::Write => "write",
            Kind::Connect => "connect",
            Kind::Http => "http",
            Kind::Tool => "tool",
            Kind::Credential => "credential",
            Kind::Land => "land",
            Kind::Spend => "spend",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.word())
    }
}

/// A text that is no kind of action.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of action")]
pub struct NotAKind(pub String);

impl FromStr for Kind {
    type Err = NotAKind;

    fn from_str(text: &str) -> Result<Kind, NotAKind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == text).ok_or_else(|| NotAKind(text.to_owned()))
    }
}

/// An absolute path in its canonical spelling. Any bytes but zero; links are not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    /// See [`canonical::path`].
    ///
    /// # Errors
    /// When the path has no canonical spelling.
    pub fn new(path: &Path) -> Result<AbsPath, NotCanonical> {
        canonical::path(path).map(AbsPath)
    }

    /// See [`canonical::join`].
    ///
    /// # Errors
    /// When the path has no canonical spelling.
    pub fn join_lexical(base: &Path, path: &Path) -> Result<AbsPath, NotCanonical> {
        canonical::join(base, path).map(AbsPath)
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }

    /// Its last component; empty for the root.
    pub(crate) fn name(&self) -> &[u8] {
        self.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_escaped(to, self.as_bytes())
    }
}

/// A host. The parser makes only canonical ones; a name put together by hand that is not canonical is denied when judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name in lower-case A-labels, without a trailing dot.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// Reads a host: a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// When programs differ in what they would read it as.
    pub fn parse(text: &str) -> Result<Host, NotCanonical> {
        canonical::host(text).map(|spelled| match spelled {
            Spelled::Name(name) => Host::Name(name),
            Spelled::Ip(address) => Host::Ip(address),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => text::write_escaped(to, name.as_bytes()),
            Host::Ip(IpAddr::V4(address)) => write!(to, "{address}"),
            Host::Ip(IpAddr::V6(address)) => write!(to, "[{address}]"),
        }
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Reads `host:port`.
    ///
    /// # Errors
    /// When the host is not canonical or the port is missing.
    pub fn parse(text: &str) -> Result<Endpoint, NotCanonical> {
        let (host, port) = text.rsplit_once(':').ok_or(NotCanonical::Port)?;
        Ok(Endpoint { host: Host::parse(host)?, port: canonical::port(port)? })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.host, self.port)
    }
}

/// A program with its words, and the variables that change what it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Command {
    /// The program, links resolved.
    pub program: AbsPath,
    /// Its words, the first included. The first is the program's own choice and proves nothing.
    pub argv: Vec<Vec<u8>>,
    /// Variables that make a program run other code, sorted by name.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it lies where nobody inside can write. The name of anything else proves nothing.
    pub installed: bool,
    /// What else it is, known from its content.
    pub also: Vec<Guise>,
}

/// Something else that a command is. Each is judged, and the strictest counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Guise {
    /// A name that the system gives the same file: as good as its own.
    Named(Vec<u8>),
    /// A name under which the same content is installed: it can only make stricter.
    Copy(Vec<u8>),
    /// Another command that starts with it, which the caller chose: judged as if it were started by itself.
    Starts(Box<Command>),
    /// Another command that starts with it, which who installed the program chose: it can only make stricter.
    Brings(Box<Command>),
}

impl Command {
    /// A command of an installed program. Keeps of the environment what changes which code runs.
    pub fn new(program: AbsPath, argv: Vec<Vec<u8>>, env: Vec<(Vec<u8>, Vec<u8>)>) -> Command {
        let mut env: Vec<_> = env.into_iter().filter(|(name, _)| is_steering(name)).collect();
        env.sort();
        Command { program, argv, env, installed: true, also: Vec::new() }
    }

    /// The same, with what is known of the file and of what starts with it.
    #[must_use]
    pub fn known(mut self, installed: bool, also: Vec<Guise>) -> Command {
        (self.installed, self.also) = (installed, also);
        self
    }

    /// What it calls itself, where that is not the program's own name.
    pub(crate) fn alias(&self) -> Option<&[u8]> {
        let called = self.argv.first()?;
        let name = called.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        (!name.is_empty() && name != self.program.name()).then_some(name)
    }

    /// Its other names, each with whether it can only make stricter.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let own = (!self.installed).then(|| self.program.name());
        let narrows = self.alias().into_iter().chain(own).map(|name| (name, true));
        narrows.chain(self.also.iter().filter_map(|guise| match guise {
            Guise::Named(name) => Some((name.as_slice(), false)),
            Guise::Copy(name) => Some((name.as_slice(), true)),
            Guise::Starts(_) | Guise::Brings(_) => None,
        }))
    }
}

/// Where programs of the system lie: their names need no folder to be known.
const SYSTEM_FOLDERS: [&[u8]; 6] =
    [b"/bin/", b"/sbin/", b"/usr/bin/", b"/usr/sbin/", b"/usr/local/bin/", b"/usr/local/sbin/"];

impl fmt::Display for Command {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            text::write_escaped(to, name)?;
            to.write_str("=")?;
            text::write_word(to, value)?;
            to.write_str(" ")?;
        }
        let program = self.program.as_bytes();
        let short = SYSTEM_FOLDERS
            .iter()
            .find_map(|folder| program.strip_prefix(*folder))
            .filter(|name| !name.contains(&b'/'))
            .unwrap_or(program);
        text::write_word(to, short)?;
        for word in self.argv.iter().skip(1) {
            to.write_str(" ")?;
            text::write_word(to, word)?;
        }
        if let Some(alias) = self.alias() {
            to.write_str(" (as ")?;
            text::write_word(to, alias)?;
            to.write_str(")")?;
        }
        for guise in &self.also {
            match guise {
                Guise::Named(_) => {}
                Guise::Copy(name) => {
                    to.write_str(" (a copy of ")?;
                    text::write_word(to, name)?;
                    to.write_str(")")?;
                }
                Guise::Starts(command) | Guise::Brings(command) => write!(to, " (starts {command})")?,
            }
        }
        Ok(())
    }
}

/// How a request travels, and whether it turns into a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
    /// In the clear, to become a WebSocket.
    Ws,
    /// Over TLS, to become a WebSocket.
    Wss,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 4] = [Scheme::Http, Scheme::Https, Scheme::Ws, Scheme::Wss];

    /// The word for it, before `://`.
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    /// The port where none is said.
    pub fn port(self) -> u16 {
        match self {
            Scheme::Http | Scheme::Ws => 80,
            Scheme::Https | Scheme::Wss => 443,
        }
    }

    /// Whether it becomes a WebSocket.
    pub fn is_websocket(self) -> bool {
        matches!(self, Scheme::Ws | Scheme::Wss)
    }

    /// The same way, to become a WebSocket.
    #[must_use]
    pub fn websocket(self) -> Scheme {
        match self {
            Scheme::Http | Scheme::Ws => Scheme::Ws,
            Scheme::Https | Scheme::Wss => Scheme::Wss,
        }
    }

    /// The scheme of a URL, and what follows `://`.
    pub(crate) fn split(url: &str) -> Option<(Scheme, &str)> {
        let (word, rest) = url.split_once("://")?;
        Some((Scheme::ALL.into_iter().find(|scheme| scheme.word() == word)?, rest))
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.word())
    }
}

/// An HTTP request: where to, how, which path, and what conditions of rules can ask about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpRequest {
    /// How it travels, and whether it is to become a WebSocket.
    pub scheme: Scheme,
    /// Where to.
    pub endpoint: Endpoint,
    /// The method, in capitals.
    pub method: String,
    /// The canonical path, without query: what is judged and what must be sent.
    pub path: String,
    /// The query as it is sent, without `?`.
    pub query: String,
    /// Headers, each line by itself, as they are sent; names in small letters.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl HttpRequest {
    /// Reads a request without headers.
    ///
    /// # Errors
    /// When method or path have no canonical spelling.
    pub fn new(
        scheme: Scheme,
        endpoint: Endpoint,
        method: &str,
        target: &str,
    ) -> Result<HttpRequest, NotCanonical> {
        canonical::method(method)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (path, query) = (canonical::url_path(path)?, query.to_owned());
        Ok(HttpRequest { scheme, endpoint, method: method.to_owned(), path, query, headers: Vec::new() })
    }

    /// The URL without its query.
    pub fn plainly(&self) -> String {
        format!("{}://{}{}", self.scheme, self.endpoint, self.path)
    }

    /// The same request as a server reads it that takes an escaped slash in its path for a slash; `None` where there is none.
    pub fn slashed(&self) -> Option<HttpRequest> {
        canonical::slashed_path(&self.path).map(|path| HttpRequest { path, ..self.clone() })
    }

    /// The same, with its headers.
    #[must_use]
    pub fn with_headers<'a>(mut self, headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> HttpRequest {
        let line = |(name, value): (&str, &[u8])| (name.to_ascii_lowercase(), value.to_vec());
        self.headers = headers.into_iter().map(line).collect();
        self
    }
}

impl fmt::Display for HttpRequest {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_escaped(to, self.method.as_bytes())?;
        write!(to, " {}://{}", self.scheme, self.endpoint.host)?;
        if self.endpoint.port != self.scheme.port() {
            write!(to, ":{}", self.endpoint.port)?;
        }
        text::write_escaped(to, self.path.as_bytes())?;
        if !self.query.is_empty() {
            to.write_str("?")?;
            text::write_escaped(to, self.query.as_bytes())?;
        }
        for (name, value) in &self.headers {
            write!(to, " {name}: ")?;
            text::write_word(to, value)?;
        }
        Ok(())
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start the agent.
    Launch(Command),
    /// Start a program.
    Exec(Command),
    /// Read a file.
    Read(AbsPath),
    /// Write a file in place.
    Write(AbsPath),
    /// Connect.
    Connect(Endpoint),
    /// Send a request.
    Http(HttpRequest),
    /// Use a tool.
    Tool {
        /// Its name.
        name: String,
    },
    /// Release a credential.
    Credential {
        /// Its name.
        name: String,
        /// Where it goes.
        to: Endpoint,
    },
    /// Land a change.
    Land(AbsPath),
    /// Spend.
    Spend {
        /// Of what.
        unit: String,
        /// How much the run would have spent in all.
        amount: u64,
    },
}

impl Action {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Action::Launch(_) => Kind::Launch,
            Action::Exec(_) => Kind::Exec,
            Action::Read(_) => Kind::Read,
            Action::Write(_) => Kind::Write,
            Action::Connect(_) => Kind::Connect,
            Action::Http(_) => Kind::Http,
            Action::Tool { .. } => Kind::Tool,
            Action::Credential { .. } => Kind::Credential,
            Action::Land(_) => Kind::Land,
            Action::Spend { .. } => Kind::Spend,
        }
    }

    /// What it is about, without the word for its kind.
    pub fn resource(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_resource(&mut text);
        text
    }

    fn write_resource(&self, to: &mut impl fmt::Write) -> fmt::Result {
        match self {
            Action::Launch(command) | Action::Exec(command) => write!(to, "{command}"),
            Action::Read(path) | Action::Write(path) | Action::Land(path) => write!(to, "{path}"),
            Action::Connect(endpoint) => write!(to, "{endpoint}"),
            Action::Http(request) => write!(to, "{request}"),
            Action::Tool { name } => text::write_escaped(to, name.as_bytes()),
            Action::Credential { name, to: endpoint } => {
                text::write_escaped(to, name.as_bytes())?;
                write!(to, " to {endpoint}")
            }
            Action::Spend { unit, amount } => {
                write!(to, "{amount} ")?;
                text::write_escaped(to, unit.as_bytes())
            }
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} ", self.kind())?;
        self.write_resource(to)
    }
}
