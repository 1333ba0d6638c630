//! The credentials that a person told Provost of: by name, where each is found, and the requests it is good for.
//!
//! Owns the file `credentials.toml` in the configuration folder, and getting a value when a run begins. Values are never kept
//! in it. Does not own what the inside holds in their stead (`secrets`), or the exchange (`gateway`).

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use policy::{Endpoint, Selector};
use serde::{Deserialize, Serialize};

use crate::folders::Folders;
use crate::secrets::{self, Secret};
use crate::toolchains::Environment;

/// The file's name.
const FILE: &str = "credentials.toml";
/// The longest value, in bytes.
const LONGEST: usize = 64 * 1024;
/// How long a command may take that prints a value.
const PATIENCE: Duration = Duration::from_secs(30);

/// A credential that a person told us of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its name, for policy and ledger.
    pub name: String,
    /// Where its value is found.
    pub from: Source,
    /// The requests it is good for, as patterns of `http`.
    pub bind: Vec<String>,
    /// Only for these methods; any if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The variable in which the inside finds what stands for it.
    #[serde(rename = "as")]
    pub enters_as: String,
}

/// Where a value is found: `env:VAR`, `file:PATH`, `command:WORDS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// In a variable of the person's environment.
    Variable(String),
    /// In a file, whole but for the last line end.
    File(PathBuf),
    /// In what a command prints, but for the last line end.
    Command(Vec<String>),
}

/// Something is wrong with a credential, or with the file of all of them.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The words after `--from` are none that we know.
    /// They are not shown: they may be the credential itself.
    #[error("what stands after --from does not say where the credential is found")]
    NoSource,
    /// No variable may be called so.
    #[error("`{0}` is no name of a variable that a credential can go in")]
    NoVariable(String),
    /// Policy and ledger could not name it so.
    #[error("`{0}` is no name for a credential")]
    NoName(String),
    /// A pattern is wrong.
    #[error("`{pattern}` is no pattern of requests: {because}")]
    NoPattern {
        /// What was written.
        pattern: String,
        /// What is wrong with it.
        because: String,
    },
    /// It must be good for something.
    #[error("`{0}` is bound to nothing")]
    Unbound(String),
    /// There is one of this name.
    #[error("there is a credential `{0}` already")]
    There(String),
    /// There is none of this name.
    #[error("there is no credential `{0}`")]
    NotThere(String),
    /// Others can read or write the file.
    #[error("`{0}` is open to others")]
    Open(PathBuf),
    /// The file says something else.
    #[error("`{path}` cannot be understood: {because}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        because: String,
    },
    /// The value could not be had.
    #[error("the value of `{name}` could not be had: {because}")]
    Value {
        /// The credential.
        name: String,
        /// Why not.
        because: String,
    },
    /// The disk refused.
    #[error("`{path}` could not be read or written")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl StoreError {
    /// What the person can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSource => {
                "write --from env:VARIABLE, --from file:/PATH or --from 'command:WORDS'".to_owned()
            }
            Self::NoVariable(_) => "name it with --as, as in --as GITHUB_TOKEN".to_owned(),
            Self::NoName(_) => "letters, digits, `-` and `_`, beginning with a letter".to_owned(),
            Self::NoPattern { .. } | Self::Unbound(_) => {
                "write --bind 'https://api.example.com/**'".to_owned()
            }
            Self::There(name) => format!("`provost credential remove {name}` first, or take another name"),
            Self::NotThere(_) => "`provost credential list` names them".to_owned(),
            Self::Open(path) => format!("chmod 600 {}", path.display()),
            Self::File { .. } => "mend it, or take it away and add the credentials anew".to_owned(),
            Self::Value { .. } | Self::Disk { .. } => return None,
        })
    }
}

impl Kept {
    /// A credential as a person describes it.
    ///
    /// # Errors
    /// Something of it is no such thing.
    pub fn new(
        name: &str,
        from: &str,
        (bind, methods): (&[String], &[String]),
        enters_as: Option<&str>,
    ) -> Result<Kept, StoreError> {
        let usual = name.to_ascii_uppercase().replace('-', "_");
        let kept = Kept {
            name: name.to_owned(),
            from: from.parse()?,
            bind: bind.to_vec(),
            methods: methods.iter().map(|method| method.to_ascii_uppercase()).collect(),
            enters_as: enters_as.unwrap_or(&usual).to_owned(),
        };
        kept.checked()
    }

    fn checked(self) -> Result<Kept, StoreError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let begins = self.name.starts_with(|first: char| first.is_ascii_alphabetic());
        if !begins || self.name.len() > 64 || !self.name.bytes().all(fine) {
            return Err(StoreError::NoName(printable(&self.name)));
        }
        if secrets::valid(&self.enters_as).is_err() {
            return Err(StoreError::NoVariable(printable(&self.enters_as)));
        }
        match self.requests()?.is_empty() {
            true => Err(StoreError::Unbound(self.name)),
            false => Ok(self),
        }
    }

    /// The requests it is good for, each with the place that they go to.
    ///
    /// # Errors
    /// A pattern is wrong.
    pub fn requests(&self) -> Result<Vec<(Endpoint, Selector)>, StoreError> {
        let read = |pattern: &String| {
            let wrong = |because| StoreError::NoPattern { pattern: printable(pattern), because };
            let place = place(pattern).map_err(|because| wrong(because.to_owned()))?;
            let clear = pattern.starts_with("http://");
            if clear && !matches!(place.host.to_string().as_str(), "127.0.0.1" | "localhost") {
                return Err(wrong(
                    "it would travel in the clear, for everybody on the way to read".to_owned(),
                ));
            }
            let read = Selector::requests(pattern, &self.methods).map_err(wrong)?;
            Ok((place, read))
        };
        self.bind.iter().map(read).collect()
    }

    /// Its value, now.
    ///
    /// # Errors
    /// It is not there, or empty, or no command printed it.
    pub fn value(&self, environment: &Environment) -> Result<Secret, StoreError> {
        let failed = |because: String| StoreError::Value { name: self.name.clone(), because };
        let mut value = match &self.from {
            Source::Variable(name) => environment
                .get(name)
                .ok_or_else(|| failed(format!("`{name}` is not set")))?
                .as_bytes()
                .to_vec(),
            Source::File(path) => {
                let path = match path.strip_prefix("~") {
                    Ok(rest) => environment.home.join(rest),
                    Err(_) => path.clone(),
                };
                read_some(&path).map_err(|error| failed(format!("`{}`: {error}", path.display())))?
            }
            Source::Command(words) => printed(words).map_err(failed)?,
        };
        while value.last().is_some_and(u8::is_ascii_whitespace) {
            value.pop();
        }
        match value.len() {
            0 => Err(failed("it is empty".to_owned())),
            length if length > LONGEST => Err(failed("it is longer than any credential".to_owned())),
            _ if value.iter().any(|byte| byte.is_ascii_control()) => {
                Err(failed("it is of more than one line, which no request could carry".to_owned()))
            }
            _ => Ok(Secret::new(value)),
        }
    }
}

/// Where the requests of a pattern go: to one place.
fn place(pattern: &str) -> Result<Endpoint, &'static str> {
    let known = [("https://", 443), ("http://", 80)];
    let found = known.iter().find_map(|(scheme, port)| Some((pattern.strip_prefix(scheme)?, port)));
    let (rest, port) = found.ok_or("it begins with no `https://`")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let whole = match authority.rsplit_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => authority.to_owned(),
        _ => format!("{authority}:{port}"),
    };
    Endpoint::parse(&whole)
        .map_err(|_| "a credential goes to a host that is named, and to no pattern of hosts")
}

impl std::str::FromStr for Source {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Source, StoreError> {
        let wrong = || StoreError::NoSource;
        let (kind, rest) = text.split_once(':').filter(|(_, rest)| !rest.is_empty()).ok_or_else(wrong)?;
        match kind {
            "env" => Ok(Source::Variable(rest.to_owned())),
            "file" => {
                let path = PathBuf::from(rest);
                let known = path.is_absolute() || path.starts_with("~");
                if known { Ok(Source::File(path)) } else { Err(wrong()) }
            }
            "command" => {
                let words = shlex::split(rest).filter(|words| !words.is_empty());
                words.map(Source::Command).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = StoreError;

    fn try_from(text: String) -> Result<Source, StoreError> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> String {
        source.to_string()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Variable(name) => write!(to, "env:{name}"),
            Source::File(path) => write!(to, "file:{}", path.display()),
            Source::Command(words) => {
                let words = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
                write!(to, "command:{words}")
            }
        }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    credential: Vec<Kept>,
}

/// All of them.
///
/// # Errors
/// The file is open to others, or cannot be read or understood.
pub fn all(folders: &Folders) -> Result<Vec<Kept>, StoreError> {
    let path = folders.config.join(FILE);
    let disk = |source| StoreError::Disk { path: path.clone(), source };
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(disk)?,
    };
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    // Whoever writes it says which of our commands are run.
    if !ours || metadata.mode() & 0o022 != 0 || !metadata.is_file() {
        return Err(StoreError::Open(path));
    }
    let text = fs::read_to_string(&path).map_err(disk)?;
    let wrong = |because: String| StoreError::File { path: path.clone(), because };
    let file: File = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    file.credential.into_iter().map(Kept::checked).collect()
}

/// Keeps one more.
///
/// # Errors
/// There is one of its name or variable, or the file cannot be read or written.
pub fn add(folders: &Folders, kept: Kept) -> Result<(), StoreError> {
    let mut known = all(folders)?;
    if known.iter().any(|known| known.name == kept.name) {
        return Err(StoreError::There(kept.name));
    }
    known.push(kept);
    write(folders, known)
}

/// Forgets one.
///
/// # Errors
/// There is none of this name, or the file cannot be read or written.
pub fn remove(folders: &Folders, name: &str) -> Result<(), StoreError> {
    let mut known = all(folders)?;
    let before = known.len();
    known.retain(|known| known.name != name);
    match known.len() == before {
        true => Err(StoreError::NotThere(printable(name))),
        false => write(folders, known),
    }
}

fn write(folders: &Folders, credential: Vec<Kept>) -> Result<(), StoreError> {
    let path = folders.config.join(FILE);
    let disk = |source| StoreError::Disk { path: path.clone(), source };
    let text = toml::to_string_pretty(&File { credential })
        .map_err(|error| StoreError::File { path: path.clone(), because: error.to_string() })?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folders.config).map_err(disk)?;
    let next = folders.config.join(format!(".{FILE}.{}", std::process::id()));
    let written =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&next).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)
        });
    written.inspect_err(|_| drop(fs::remove_file(&next))).map_err(disk)
}

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut value = Vec::new();
    fs::File::open(path)?.take(LONGEST as u64 + 2).read_to_end(&mut value)?;
    Ok(value)
}

/// What a command prints, if it ends well and soon.
fn printed(words: &[String]) -> Result<Vec<u8>, String> {
    let (program, rest) = words.split_first().ok_or("there is no command")?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("`{program}` does not start: {error}"))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let reading = std::thread::spawn(move || {
        let mut value = Vec::new();
        stdout.take(LONGEST as u64 + 2).read_to_end(&mut value).map(|_| value)
    });
    let began = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                // It may have ended meanwhile.
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("`{program}` did not end within {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if !status.success() {
        return Err(format!("`{program}` failed: {status}"));
    }
    let read = reading.join().map_err(|_| "its output could not be read".to_owned())?;
    read.map_err(|error| error.to_string())
}

fn printable(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests;
