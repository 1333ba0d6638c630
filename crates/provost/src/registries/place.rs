//! Addresses of registries, and the rules on them.
//!
//! Owns what may be asked of a registry: to give. A registry is also a place to put things, so requests to it are looked at, and only
//! those that get something pass. Each name may lead to a network of the person's own, as in-house registries do; that it is the
//! registry is proved in TLS, by a certificate that this machine trusts.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use policy::{Endpoint, Host, Layer, LayerKind};

/// Networks that people have for themselves; never this machine, nor what is on its own link.
const OWN_NETWORKS: &str = "\"10.0.0.0/8\", \"172.16.0.0/12\", \"192.168.0.0/16\", \"100.64.0.0/10\", \"198.18.0.0/15\", \"192.0.2.0/24\", \
     \"198.51.100.0/24\", \"203.0.113.0/24\", \"[fc00::]/7\", \"[2001:db8::]/32\"";

/// A web address, without what signs in there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    scheme: &'static str,
    /// Host and port.
    pub(super) place: String,
    is_here: bool,
    /// The folder that it names, with a slash at both ends.
    folder: String,
}

impl Place {
    /// Of an address; whoever signs in there is left out.
    pub(super) fn of(address: &str) -> Option<Place> {
        let address = address.trim().trim_matches(['"', '\'']);
        let address =
            ["sparse+", "registry+"].iter().find_map(|kind| address.strip_prefix(kind)).unwrap_or(address);
        let (scheme, rest, port) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
            (Some(rest), _) => ("https", rest, 443),
            (_, Some(rest)) => ("http", rest, 80),
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let path = rest.get(authority.len()..)?.split(['?', '#']).next()?;
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let text = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        let endpoint = Endpoint::parse(&text).ok()?;
        let is_here = match &endpoint.host {
            Host::Name(name) => name == "localhost",
            Host::Ip(address) => address.is_loopback(),
        };
        let folder = format!("{}/", folder.trim_end_matches('/'));
        Some(Place { scheme, place: endpoint.to_string(), is_here, folder })
    }

    /// As in a pattern on requests.
    fn url(&self, path: &str) -> String {
        format!("\"{}://{}{path}\"", self.scheme, self.place)
    }
}

/// The rules on where a tool gets packages from.
pub(super) fn rules(tool: &str, addresses: &[String]) -> Vec<String> {
    let places: BTreeSet<Place> = addresses
        .iter()
        .filter_map(|address| Place::of(address))
        .map(|place| Place { folder: String::new(), ..place })
        .collect();
    let why = format!("Where {tool} is set to get packages from: to get, not to put.");
    // What is on this machine itself is reached by programs that know no proxy as well, and only connections are told for that.
    let (here, there): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.is_here);
    let here: Vec<String> = here.iter().map(|place| format!("\"{}\"", place.place)).collect();
    let there: Vec<String> = there.iter().map(|place| place.url("/**")).collect();
    let get = "methods = [\"GET\", \"HEAD\"]\n";
    [rule(&format!("{tool}-here"), "connect", &here, "", &why), rule(tool, "http", &there, get, &why)]
        .into_iter()
        .flatten()
        .collect()
}

/// The rules on what stands for other places in git's settings: fetching, by either of its protocols.
pub(super) fn rules_of_git(addresses: &[String]) -> Vec<String> {
    let places: BTreeSet<Place> = addresses.iter().filter_map(|address| Place::of(address)).collect();
    let (here, there): (Vec<&Place>, Vec<&Place>) = places.iter().partition(|place| place.is_here);
    let why = "What stands for other places in git's settings: to fetch, not to push.";
    let here: BTreeSet<String> = here.iter().map(|place| format!("\"{}\"", place.place)).collect();
    let here: Vec<String> = here.into_iter().collect();
    let get: Vec<String> = there.iter().map(|place| place.url(&format!("{}**", place.folder))).collect();
    let post: Vec<String> =
        there.iter().map(|place| place.url(&format!("{}**/git-upload-pack", place.folder))).collect();
    let asked = "methods = [\"GET\", \"HEAD\"]\nquery = { service = [\"git-upload-pack\", false] }\n";
    [
        rule("git-here", "connect", &here, "", why),
        rule("git", "http", &get, asked, why),
        rule("git-fetch", "http", &post, "methods = [\"POST\"]\n", why),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A rule as a file would say it. Of what cannot stand in a policy (a path with a star) nothing is said.
fn rule(id: &str, kind: &str, patterns: &[String], more: &str, why: &str) -> Option<String> {
    let write = |patterns: &[String]| {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "[[rule]]\nid = \"{id}\"\n{kind} = [{}]\n{more}leads_to = [{OWN_NETWORKS}]\nneed = \"none\"\nwhy = \"{why}\"\n",
            patterns.join(", ")
        );
        text
    };
    let stands = |pattern: &&String| {
        let text = format!("version = 1\n{}", write(std::slice::from_ref(*pattern)));
        Layer::parse(super::LAYER, LayerKind::Toolchains, &text).is_ok()
    };
    let good: Vec<String> = patterns.iter().filter(stands).cloned().collect();
    (!good.is_empty()).then(|| write(&good))
}
