//! One spelling for each resource: text in, the canonical form or the reason why there is none out.
//!
//! Owns the spelling of paths, hosts and endpoints; `url` that of requests. Looks nothing up: neither links nor names.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};

mod url;

pub use url::{method, query, url_path};
pub(crate) use url::{other_path, query_key, slashed_path};

/// Why a text has no canonical form. What it may not be is never repaired, because the far side might repair it otherwise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// A path that does not begin at the root.
    #[error("it is not an absolute path")]
    Relative,
    /// `..`, which may lead elsewhere once links are followed.
    #[error("it contains `..`")]
    Dots,
    /// A zero byte.
    #[error("it contains a zero byte")]
    Nul,
    /// A character that has no place here; the text says which.
    #[error("it contains {0}")]
    Character(&'static str),
    /// A host with an empty label (`a..b`, `.a`).
    #[error("it has an empty label")]
    EmptyLabel,
    /// A label or a name beyond what the DNS can carry.
    #[error("it is longer than a host can be")]
    TooLong,
    /// A name that some resolvers would read as an address (`127.1`, `0x7f.1`, `2130706433`).
    #[error("it looks like a number, which some programs read as an address")]
    LooksNumeric,
    /// A name that is no domain name.
    #[error("it is not a host name: {0}")]
    NotAName(&'static str),
    /// A bracketed text that is not an IPv6 address.
    #[error("it is not an IPv6 address")]
    NotIpv6,
    /// A missing, zero or impossible port.
    #[error("it has no port between 1 and 65535")]
    Port,
    /// A request method that is not a token of capitals.
    #[error("it is not a request method")]
    Method,
    /// A percent escape that servers read differently.
    #[error("it contains the escape `{0}`")]
    Escape(String),
    /// An escaped slash, where the path with a slash is another matter.
    #[error("it contains an escaped slash, and with a plain one it is not allowed")]
    Slash,
}

/// A path without `.`, empty components or a trailing slash. `..` has no canonical form: see [`join`] for lexical use.
///
/// # Errors
/// When it is relative, empty, or contains `..` or a zero byte.
pub fn path(given: &Path) -> Result<PathBuf, NotCanonical> {
    let bytes = given.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        return Err(NotCanonical::Empty);
    }
    if bytes.contains(&0) {
        return Err(NotCanonical::Nul);
    }
    if bytes.first() != Some(&b'/') {
        return Err(NotCanonical::Relative);
    }
    // `components` drops `.` and empty components, which name the same file whatever links there are; `..` does not.
    if bytes.split(|byte| *byte == b'/').any(|component| component == b"..") {
        return Err(NotCanonical::Dots);
    }
    Ok(given.components().collect())
}

/// `given` as seen from `base`, with `..` taken out by the text alone: for what a person types, never for what a
/// program opens.
///
/// # Errors
/// When `base` has no canonical form, or `given` contains a zero byte.
pub fn join(base: &Path, given: &Path) -> Result<PathBuf, NotCanonical> {
    use std::path::Component;
    let mut joined = path(base)?;
    for component in given.components() {
        match component {
            Component::RootDir | Component::Prefix(_) => joined = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                joined.pop();
            }
            Component::Normal(name) => joined.push(name),
        }
    }
    path(&joined)
}

/// Words of a command: what the kernel could have taken.
///
/// # Errors
/// When a word contains a zero byte.
pub fn argv(words: &[Vec<u8>]) -> Result<(), NotCanonical> {
    if words.iter().any(|word| word.contains(&0)) { Err(NotCanonical::Nul) } else { Ok(()) }
}

/// A host as it is written canonically: a lower-case A-label name without its trailing dot, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Spelled {
    Name(String),
    Ip(IpAddr),
}

/// The longest name the DNS carries, without its trailing dot.
const LONGEST_NAME: usize = 253;

pub(crate) fn host(text: &str) -> Result<Spelled, NotCanonical> {
    if text.is_empty() {
        return Err(NotCanonical::Empty);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(NotCanonical::NotIpv6)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| NotCanonical::NotIpv6)?;
        return Ok(Spelled::Ip(address_of(IpAddr::V6(address))));
    }
    plain_characters(text)?;
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.split('.').any(str::is_empty) {
        return Err(NotCanonical::EmptyLabel);
    }
    let name = ascii_name(text)?;
    if name.len() > LONGEST_NAME || name.split('.').any(|label| label.len() > 63) {
        return Err(NotCanonical::TooLong);
    }
    if looks_numeric(&name) {
        // The strict parser knows only four plain decimals; every other numeric spelling is read differently by somebody.
        return name.parse().map(Spelled::Ip).map_err(|_| NotCanonical::LooksNumeric);
    }
    Ok(Spelled::Name(name.into_owned()))
}

/// An address as it is judged: IPv4 written within IPv6 is IPv4.
pub(crate) fn address_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Whether a name is canonical already. Cheap: called for every judgement on a host.
pub(crate) fn is_canonical_name(name: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(plain)
        && !name.split('.').any(|label| label.is_empty() || label.len() > 63)
        && !looks_numeric(name)
}

fn plain_characters(text: &str) -> Result<(), NotCanonical> {
    for character in text.chars() {
        let what = match character {
            '\0' => return Err(NotCanonical::Nul),
            ':' => "a colon (an IPv6 address stands in brackets)",
            '%' => "a percent sign",
            '@' => "a user name (`@`)",
            '/' | '\\' => "a slash",
            '*' => "a star",
            '[' | ']' => "a bracket",
            other if other.is_whitespace() => "a blank",
            other if other.is_control() => "a control character",
            other if !other.is_ascii() && other.is_numeric() => "a digit that is not 0 to 9",
            _ => continue,
        };
        return Err(NotCanonical::Character(what));
    }
    Ok(())
}

/// The name in A-labels. What the mapping of IDNA would change beyond case (full-width letters, invisible characters,
/// other dots) is refused: two texts that look different must not be one host.
fn ascii_name(text: &str) -> Result<Cow<'_, str>, NotCanonical> {
    use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
    let uts46 = Uts46::new();
    let name = uts46
        .to_ascii(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .map_err(|_| NotCanonical::NotAName("it breaks the rules of IDNA"))?;
    if !text.is_ascii() {
        let (back, valid) = uts46.to_unicode(name.as_bytes(), AsciiDenyList::EMPTY, Hyphens::CheckFirstLast);
        let lower = text.to_lowercase();
        if valid.is_err() || back != lower {
            return Err(NotCanonical::NotAName("it has characters that are read as others"));
        }
    }
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if name.bytes().all(plain) {
        Ok(name)
    } else {
        Err(NotCanonical::NotAName("only letters, digits, `-` and `_` stand in a label"))
    }
}

/// Whether some resolver might read it as an address: the last label is a number, decimal or hexadecimal.
fn looks_numeric(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => last.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// A port in plain decimals, 1 to 65535.
///
/// # Errors
/// When it is anything else, leading zeros included.
pub fn port(text: &str) -> Result<u16, NotCanonical> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).ok_or(NotCanonical::Port)
}
