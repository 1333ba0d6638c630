//! Patterns on hosts and ports: `api.example.com`, `*.example.com` (exactly one label more), `**.example.com` (one or more),
//! `10.0.0.0/8`, `[::1]:8080`, `localhost:{3000,5173}`, `example.com:*`. Without a port: 443.
//!
//! The name itself is never implied by its stars. A star beside letters, a bare star and stars over a public suffix stand
//! for hosts of strangers, so no rule can allow them; a rule with `need = "never"` may speak of them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::canonical::{self, Spelled};
use crate::pattern::PatternError;
use crate::pattern::regex::Regex;
use crate::{Need, NotCanonical};

/// A pattern on where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndpointPattern {
    pub(crate) host: HostPattern,
    /// `None` is any.
    pub(crate) port: Option<u16>,
}

/// A pattern on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// Every host, by name or address.
    Any,
    /// This name.
    Name(String),
    /// One label, then this name.
    Below(String),
    /// One or more labels, then this name.
    Beneath(String),
    /// Addresses, written as such.
    Net(IpNet),
}

/// How many patterns the alternatives of one text make at most.
const MOST: usize = 64;

/// Reads a pattern for `connect`.
pub(crate) fn parse_all(text: &str, need: Need) -> Result<Vec<EndpointPattern>, PatternError> {
    if text.contains("://") {
        return Err(PatternError::new("a connection has no scheme")
            .hint("write `host` or `host:port`; rules on requests are written with `http`"));
    }
    spread(text)?.iter().map(|text| EndpointPattern::parse(text, need, Some(443))).collect()
}

/// Writes out `{a,b}`.
pub(crate) fn spread(text: &str) -> Result<Vec<String>, PatternError> {
    let mut done = Vec::new();
    let mut todo = vec![text.to_owned()];
    while let Some(next) = todo.pop() {
        let Some((head, rest)) = next.split_once('{') else {
            done.push(next);
            continue;
        };
        let (inner, tail) = rest
            .split_once('}')
            .filter(|(inner, _)| !inner.contains('{') && !head.contains('}'))
            .ok_or_else(|| PatternError::new("the braces in a host do not pair, or stand within others"))?;
        todo.extend(inner.split(',').map(|choice| format!("{head}{choice}{tail}")));
        if todo.len() + done.len() > MOST {
            return Err(PatternError::new("a pattern has more than 64 alternatives"));
        }
    }
    done.sort();
    Ok(done)
}

impl EndpointPattern {
    pub(crate) fn parse(text: &str, need: Need, usual: Option<u16>) -> Result<EndpointPattern, PatternError> {
        let (host, port) = split_port(text)?;
        let port = match port {
            None => usual,
            Some("*") => None,
            Some(port) => Some(canonical::port(port).map_err(|error| {
                PatternError::new(format!("`{port}` is no port: {error}")).hint("`:*` is any port")
            })?),
        };
        let host = HostPattern::parse(host, need)?;
        Ok(EndpointPattern { host, port })
    }

    /// Over what `spell::endpoint` writes.
    pub(crate) fn write(&self, out: &mut Regex) {
        match &self.host {
            HostPattern::Any => out.raw("[^:\\x00]*"),
            HostPattern::Name(name) => write_name(out, name),
            HostPattern::Below(name) => {
                write_name(out, name);
                out.raw("[^.:\\x00]+\\.");
            }
            HostPattern::Beneath(name) => {
                write_name(out, name);
                out.raw("(?:[^.:\\x00]+\\.)+");
            }
            HostPattern::Net(net) => write_net(out, net),
        }
        out.raw(":");
        match self.port {
            Some(port) => out.literal(port.to_string().as_bytes()),
            None => out.raw("[0-9]+"),
        }
        out.raw("\\x00");
    }

    /// Whether it names this host's own loopback, literally.
    pub(crate) fn is_loopback(&self) -> bool {
        match &self.host {
            HostPattern::Name(name) => name == "localhost",
            HostPattern::Net(net) => net.prefix_len() == net.max_prefix_len() && net.addr().is_loopback(),
            HostPattern::Any | HostPattern::Below(_) | HostPattern::Beneath(_) => false,
        }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), PatternError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) =
            rest.split_once(']').ok_or_else(|| PatternError::new("a `[` is never closed"))?;
        let host = text.get(..inner.len() + 2).unwrap_or(text);
        // `[2001:db8::]/32:443`: the length of the network is part of the host.
        let (length, port) =
            after.split_once(':').map_or((after, None), |(length, port)| (length, Some(port)));
        return Ok((text.get(..host.len() + length.len()).unwrap_or(text), port));
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(PatternError::new("an IPv6 address stands without brackets")
                .hint(format!("write `[{text}]`")))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// Names that are handed out to nobody, though no list of public suffixes knows them.
const PRIVATE_SUFFIXES: [&str; 9] =
    ["corp", "example", "home", "internal", "invalid", "local", "localhost", "mail", "test"];

impl HostPattern {
    fn parse(text: &str, need: Need) -> Result<HostPattern, PatternError> {
        if text.contains('/') {
            return net(text, need);
        }
        if text == "**" && need == Need::Never {
            return Ok(HostPattern::Any);
        }
        if matches!(text, "*" | "**") {
            return Err(PatternError::new(format!("`{text}` is every host"))
                .hint("name the hosts, or let the default for `connect` say it; a rule with need = \"never\" may use `**`"));
        }
        let below = text.strip_prefix("**.").map(|base| (base, true));
        let below = below.or_else(|| text.strip_prefix("*.").map(|base| (base, false)));
        let base = below.map_or(text, |(base, _)| base);
        if base.contains('*') {
            return Err(PatternError::new(format!("a star stands within a label in `{text}`"))
                .hint("`*.example.com` is exactly one label more, `**.example.com` one or more"));
        }
        let name = match canonical::host(base).map_err(|error| not_a_host(base, &error))? {
            Spelled::Name(name) => name,
            Spelled::Ip(address) if below.is_none() => return Ok(HostPattern::Net(address.into())),
            Spelled::Ip(_) => return Err(PatternError::new("a star stands before an address")),
        };
        match below {
            None => Ok(HostPattern::Name(name)),
            Some(_) if need != Need::Never && is_public_suffix(&name) => Err(public_suffix(text, &name)),
            Some((_, true)) => Ok(HostPattern::Beneath(name)),
            Some((_, false)) => Ok(HostPattern::Below(name)),
        }
    }
}

fn not_a_host(text: &str, error: &NotCanonical) -> PatternError {
    let wrong = PatternError::new(format!("`{text}` is no host: {error}"));
    match error {
        NotCanonical::LooksNumeric => wrong.hint("write an address as four plain decimals"),
        _ => wrong,
    }
}

fn public_suffix(text: &str, name: &str) -> PatternError {
    PatternError::new(format!(
        "`{text}` speaks of hosts of strangers: anybody can have a name under `{name}`"
    ))
    .hint(format!("name what belongs to whom you mean, as in `*.acme.{name}`"))
}

fn is_public_suffix(name: &str) -> bool {
    psl::suffix_str(name) == Some(name) && !PRIVATE_SUFFIXES.contains(&name)
}

/// Reads a network, or an address, which is one of its own.
pub(crate) fn network(text: &str) -> Result<IpNet, PatternError> {
    match HostPattern::parse(text, Need::None)? {
        HostPattern::Net(net) => Ok(net),
        _ => Err(PatternError::new(format!("`{text}` is no network"))
            .hint("write `10.0.0.0/8`, `[fd00::]/8` or an address")),
    }
}

fn net(text: &str, need: Need) -> Result<HostPattern, PatternError> {
    let plain = text.replace(['[', ']'], "");
    let net: IpNet = plain.parse().map_err(|_| {
        PatternError::new(format!("`{text}` is no network")).hint("write `10.0.0.0/8` or `[fd00::]/8`")
    })?;
    if matches!(net, IpNet::V6(_)) != text.starts_with('[') {
        return Err(
            PatternError::new(format!("`{text}` is no network")).hint("an IPv6 address stands in brackets")
        );
    }
    if net.trunc() != net {
        return Err(PatternError::new(format!("`{text}` has bits beyond its length"))
            .hint(format!("write `{}`", net.trunc())));
    }
    if matches!(net.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(PatternError::new("an IPv4 network is written within IPv6").hint("write it as IPv4"));
    }
    if net.prefix_len() == 0 && need != Need::Never {
        return Err(PatternError::new(format!("`{text}` is every address")).hint("name the networks"));
    }
    Ok(HostPattern::Net(net))
}

/// A name, last label first: so that patterns that share an end share a beginning.
fn write_name(out: &mut Regex, name: &str) {
    out.raw("n");
    for label in name.rsplit('.') {
        out.literal(label.as_bytes());
        out.raw("\\.");
    }
}

/// The addresses of a network, in hexadecimal.
fn write_net(out: &mut Regex, net: &IpNet) {
    let digits = match net.network() {
        IpAddr::V4(address) => {
            out.raw("4");
            format!("{:08x}", u32::from(address))
        }
        IpAddr::V6(address) => {
            out.raw("6");
            format!("{:032x}", u128::from(address))
        }
    };
    let length = usize::from(net.prefix_len());
    let (fixed, within) = (length / 4, length % 4);
    out.literal(digits.as_bytes().get(..fixed).unwrap_or_default());
    let mut free = digits.len() - fixed;
    if within > 0 {
        let digit = digits.chars().nth(fixed).and_then(|digit| digit.to_digit(16)).unwrap_or_default();
        let last = digit + (1 << (4 - within)) - 1;
        let of = |digit| char::from_digit(digit, 16).unwrap_or('0');
        out.raw("[");
        (digit..=last).for_each(|digit| out.literal(of(digit).to_string().as_bytes()));
        out.raw("]");
        free -= 1;
    }
    out.raw(&format!("[0-9a-f]{{{free}}}"));
}
