//! The bytes by which an action is matched. A zero byte ends what must not run into its neighbour.
//!
//! Owns the other half of every pattern's `write`. What cannot be spelled cannot be judged, and is denied.

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::canonical::{self, NotCanonical};
use crate::pattern::path;
use crate::{Action, Command, Endpoint, Host, HttpRequest};

/// The bytes of an action. A path is its own bytes; everything else is written to `buffer`.
pub(crate) fn action<'a>(action: &'a Action, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], NotCanonical> {
    buffer.clear();
    match action {
        Action::Read(at) | Action::Write(at) | Action::Land(at) => return Ok(path::spelled(at.as_path())),
        Action::Launch(command) | Action::Exec(command) => {
            let mark: &[u8] = if command.installed { b"" } else { b"!" };
            write_command(buffer, command, &[mark, command.program.as_bytes()].concat())?;
        }
        Action::Connect(to) => endpoint(buffer, to)?,
        Action::Http(request) => http(buffer, request)?,
        Action::Tool { name } => {
            buffer.push(b'/');
            text(buffer, name)?;
        }
        Action::Credential { name, to } => {
            text(buffer, name)?;
            buffer.push(0);
            endpoint(buffer, to)?;
        }
        Action::Spend { unit, amount } => {
            text(buffer, unit)?;
            buffer.push(0);
            buffer.extend_from_slice(format!("{amount:020}").as_bytes());
        }
    }
    Ok(buffer)
}

/// What else it may be, each with whether that can only make stricter: a command under its other names, a request as other
/// servers read its path.
pub(crate) fn names(action: &Action) -> Result<Vec<(Vec<u8>, bool)>, NotCanonical> {
    let command = match action {
        Action::Launch(command) | Action::Exec(command) => command,
        Action::Http(request) => return other_reading(request),
        _ => return Ok(Vec::new()),
    };
    let spelled = |(name, narrows): (&[u8], bool)| {
        let mut buffer = Vec::new();
        write_command(&mut buffer, command, name)?;
        Ok((buffer, narrows))
    };
    command.names().map(spelled).collect()
}

fn other_reading(request: &HttpRequest) -> Result<Vec<(Vec<u8>, bool)>, NotCanonical> {
    let Some(path) = canonical::other_path(&request.path) else { return Ok(Vec::new()) };
    let mut buffer = Vec::new();
    http_to(&mut buffer, request)?;
    text(&mut buffer, &path)?;
    Ok(vec![(buffer, true)])
}

fn write_command(buffer: &mut Vec<u8>, of: &Command, program: &[u8]) -> Result<(), NotCanonical> {
    command(buffer, &of.env, program, of.argv.get(1..).unwrap_or_default())
}

/// Variables, then the program, then its words. An empty word parts the variables from the program.
pub(crate) fn command(
    buffer: &mut Vec<u8>,
    env: &[(Vec<u8>, Vec<u8>)],
    program: &[u8],
    words: &[Vec<u8>],
) -> Result<(), NotCanonical> {
    canonical::argv(words)?;
    for (name, value) in env {
        if name.is_empty() || name.contains(&0) || value.contains(&0) {
            return Err(NotCanonical::Nul);
        }
        buffer.extend_from_slice(name);
        buffer.push(b'=');
        buffer.extend_from_slice(value);
        buffer.push(0);
    }
    buffer.push(0);
    buffer.extend_from_slice(program);
    buffer.push(0);
    for word in words {
        buffer.extend_from_slice(word);
        buffer.push(0);
    }
    Ok(())
}

pub(crate) fn endpoint(buffer: &mut Vec<u8>, endpoint: &Endpoint) -> Result<(), NotCanonical> {
    let mut digits = String::with_capacity(40);
    match &endpoint.host {
        Host::Name(name) => {
            if !canonical::is_canonical_name(name) {
                return Err(NotCanonical::NotAName("it is not spelled canonically"));
            }
            buffer.push(b'n');
            for label in name.rsplit('.') {
                buffer.extend_from_slice(label.as_bytes());
                buffer.push(b'.');
            }
        }
        Host::Ip(address) => {
            // Writing to a String cannot fail.
            let _ = match canonical::address_of(*address) {
                IpAddr::V4(address) => write!(digits, "4{:08x}", u32::from(address)),
                IpAddr::V6(address) => write!(digits, "6{:032x}", u128::from(address)),
            };
        }
    }
    let _ = write!(digits, ":{}", endpoint.port);
    buffer.extend_from_slice(digits.as_bytes());
    buffer.push(0);
    Ok(())
}

fn http_to(buffer: &mut Vec<u8>, request: &HttpRequest) -> Result<(), NotCanonical> {
    canonical::method(&request.method)?;
    buffer.extend_from_slice(request.method.as_bytes());
    buffer.push(0);
    buffer.extend_from_slice(request.scheme.word().as_bytes());
    buffer.push(0);
    endpoint(buffer, &request.endpoint)
}

fn http(buffer: &mut Vec<u8>, request: &HttpRequest) -> Result<(), NotCanonical> {
    http_to(buffer, request)?;
    if canonical::url_path(&request.path)? != request.path {
        return Err(NotCanonical::Escape(request.path.clone()));
    }
    text(buffer, &request.path)
}

fn text(buffer: &mut Vec<u8>, text: &str) -> Result<(), NotCanonical> {
    if text.contains('\0') {
        return Err(NotCanonical::Nul);
    }
    buffer.extend_from_slice(text.as_bytes());
    Ok(())
}
