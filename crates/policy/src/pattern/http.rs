//! Patterns on requests: `https://api.example.com/repos/*/issues/**`. The host as in `host`; the path is matched against the
//! canonical one. `**` at the end is any number of segments, with or without a last slash.
//!
//! A WebSocket begins as a request and is then beyond what rules see. So a rule that allows speaks of one only as `wss://` or
//! `ws://`; a rule that asks or forbids speaks of it as `https://` and `http://` too.

use crate::Need;
use crate::Scheme;
use crate::canonical;
use crate::pattern::PatternError;
use crate::pattern::glob::{self, Between, Part, Piece};
use crate::pattern::host::{self, EndpointPattern};
use crate::pattern::path::write_folders;
use crate::pattern::regex::Regex;

/// A pattern on requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpPattern {
    pub(crate) schemes: Vec<Scheme>,
    /// Empty is any.
    pub(crate) methods: Vec<String>,
    pub(crate) endpoint: EndpointPattern,
    pub(crate) path: Vec<Part>,
}

/// Reads a pattern for `http`.
pub(crate) fn parse_all(
    text: &str,
    need: Need,
    methods: &[String],
) -> Result<Vec<HttpPattern>, PatternError> {
    let (scheme, rest) = Scheme::split(text).ok_or_else(|| {
        PatternError::new("a request has no scheme")
            .hint("write `https://host/path`, or `wss://host/path` for a WebSocket")
    })?;
    if scheme.is_websocket() && !methods.is_empty() && methods.iter().all(|method| method != "GET") {
        return Err(PatternError::new("a WebSocket begins with `GET`, which is not among the methods")
            .hint("leave `methods` out of the rule on WebSockets"));
    }
    let at = rest.char_indices().find(|(at, character)| *character == '/' && !in_network(rest, *at));
    let Some((at, _)) = at else {
        return Err(PatternError::new("a request has no path")
            .hint(format!("write `{text}/**` for every path of the host")));
    };
    let (authority, path) = rest.split_at(at);
    let path = url_parts(path, need)?;
    let mut schemes = vec![scheme];
    if need != Need::None && !scheme.is_websocket() {
        schemes.push(scheme.websocket());
    }
    let of_host = |text: &String| -> Result<HttpPattern, PatternError> {
        let endpoint = EndpointPattern::parse(text, need, Some(scheme.port()))?;
        let (schemes, methods) = (schemes.clone(), methods.to_vec());
        Ok(HttpPattern { schemes, methods, endpoint, path: path.clone() })
    };
    host::spread(authority)?.iter().map(of_host).collect()
}

/// Whether the slash at `at` belongs to a network (`https://[fd00::]/8/x` is told from `https://[fd00::1]/8` by neither):
/// requests name hosts, so it never does.
fn in_network(_rest: &str, _at: usize) -> bool {
    false
}

fn url_parts(path: &str, need: Need) -> Result<Vec<Part>, PatternError> {
    let mut globs = glob::globs(path, Between::Folders)?;
    // The text before the first slash, which is nothing.
    globs.remove(0);
    let parts: Vec<Part> = globs.into_iter().map(glob::part).collect::<Result<_, _>>()?;
    let plain = plain_text(&parts);
    if let Some(slashed) = canonical::slashed_path(&plain) {
        return Err(PatternError::new(format!("an escaped slash stands in `{path}`")).hint(format!(
            "write it as in `{slashed}`: a request with an escaped slash passes where the path with a slash does too"
        )));
    }
    match canonical::url_path(&plain) {
        Ok(canonical) if canonical == plain => match canonical::other_path(&plain) {
            Some(other) if need != Need::None => Err(PatternError::new(format!(
                "the path of a rule that does not allow has no parameters and no escaped marks: `{path}`"
            ))
            .hint(format!("write it as in `{other}`: then it speaks of every spelling"))),
            _ => Ok(parts),
        },
        Ok(canonical) => Err(PatternError::new(format!("the path is not spelled canonically: `{path}`"))
            .hint(format!("the canonical spelling is like `{canonical}`"))),
        Err(error) => Err(PatternError::new(format!("`{path}` is no path of a request: {error}"))),
    }
}

/// The path with every star and the first of all alternatives written out: what must be spelled canonically.
fn plain_text(parts: &[Part]) -> String {
    fn write(to: &mut Vec<u8>, glob: &glob::Glob) {
        for piece in &glob.0 {
            match piece {
                Piece::Literal(bytes) => to.extend_from_slice(bytes),
                Piece::Star => to.push(b'x'),
                Piece::Choice(choices) => choices.iter().for_each(|choice| write(to, choice)),
            }
        }
    }
    let mut text = Vec::new();
    for part in parts {
        text.push(b'/');
        match part {
            Part::One(glob) => write(&mut text, glob),
            Part::Any => text.push(b'x'),
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl HttpPattern {
    /// Over what `spell` writes of a request.
    pub(crate) fn write(&self, out: &mut Regex) {
        if self.methods.is_empty() {
            out.raw("[^\\x00]+");
        } else {
            out.raw(&format!("(?:{})", self.methods.join("|")));
        }
        out.raw("\\x00");
        let schemes: Vec<&str> = self.schemes.iter().map(|scheme| scheme.word()).collect();
        out.raw(&format!("(?:{})\\x00", schemes.join("|")));
        self.endpoint.write(out);
        write_folders(out, &self.path, "(?:/[^/\\x00]*)*");
    }
}
