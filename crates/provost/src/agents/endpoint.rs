//! From the address of a model to the rule that lets an agent reach it.

use super::AgentError;
use std::net::IpAddr;

/// Where an agent's model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// A name in lowercase or an address; an IPv6 address without brackets.
    host: String,
    port: u16,
    secure: bool,
}

impl Endpoint {
    /// From a web address. Anything unusual (a user, an odd host) is refused: it becomes text of a policy.
    pub(super) fn of(address: &str) -> Result<Self, AgentError> {
        let wrong = |because: &str| AgentError::Settings {
            path: printable(address),
            because: format!("as the address of a model it {because}"),
        };
        let (secure, rest) = match address.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err(wrong("must begin with https:// or http://")),
        };
        let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if place.contains('@') {
            return Err(wrong("must not contain a user"));
        }
        let (host, port) = split_port(place).ok_or_else(|| wrong("has an odd port"))?;
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let name = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if !name && host.parse::<IpAddr>().is_err() {
            return Err(wrong("has an odd host"));
        }
        Ok(Self { host, port: port.unwrap_or(if secure { 443 } else { 80 }), secure })
    }

    /// Whether a credential may be put in on the way there: nobody reads along in TLS, or on this machine.
    pub(super) fn is_covered(&self) -> bool {
        let address: Option<IpAddr> = self.host.parse().ok();
        self.secure || self.host == "localhost" || address.is_some_and(|address| address.is_loopback())
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(to, "[{host}]:{port}") } else { write!(to, "{host}:{port}") }
    }
}

fn split_port(place: &str) -> Option<(&str, Option<u16>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port.parse().ok()?))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match place.split_once(':') {
        Some((host, port)) => Some((host, Some(port.parse().ok().filter(|port| *port > 0)?))),
        None => Some((place, None)),
    }
}

fn printable(text: &str) -> String {
    text.chars().take(200).collect::<String>().escape_debug().to_string()
}

/// The layer of an agent: its model may be reached, and what the person has for it may be shown there; nothing else.
pub(super) fn layer(agent: &str, endpoints: &[Endpoint]) -> String {
    let mut places: Vec<String> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
    places.sort();
    places.dedup();
    if places.is_empty() {
        return String::new();
    }
    let credentials: Vec<String> = places.iter().map(|place| place.replacen('"', "\"* ", 1)).collect();
    format!(
        "version = 1\n\n[[rule]]\nid = \"{agent}-model\"\nconnect = [{}]\ncredential = [{}]\nneed = \"none\"\nwhy = \"The model that {agent} is set to use.\"\n",
        places.join(", "),
        credentials.join(", ")
    )
}
