//! One flow: what somebody inside wants to reach, however it came to us.
//!
//! Owns the one type that every ingress ends in. Does not own how it is read from bytes (`target`) or what is said about it
//! (`judge`).

use crate::carriage::Asker;
use http::HeaderMap;
use ledger::event::Ingress;
use policy::{Endpoint, Host, HttpRequest, Scheme};

/// What somebody inside wants to reach.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Where to. Never a name that was not parsed strictly.
    pub(crate) endpoint: Endpoint,
    /// How it came.
    pub(crate) ingress: Ingress,
    /// What is asked of it, where we can see that.
    pub(crate) request: Option<Asked>,
    /// Who wants it, where that is known.
    pub(crate) asker: Option<Asker>,
}

/// A request in its canonical form, or why it has none; none where nothing is seen of it.
pub(crate) type Canonical = Option<Result<HttpRequest, policy::NotCanonical>>;

/// A request as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The scheme: whether it came in TLS.
    pub(crate) scheme: Scheme,
    /// The method, as sent.
    pub(crate) method: String,
    /// The path as sent, without its query; not canonical.
    pub(crate) path: String,
    /// The query as sent.
    pub(crate) query: String,
    /// Whether it is to become a WebSocket.
    pub(crate) websocket: bool,
}

impl Flow {
    /// A connection whose content is not looked at.
    pub(crate) fn opaque(endpoint: Endpoint, ingress: Ingress) -> Flow {
        Flow { endpoint, ingress, request: None, asker: None }
    }

    /// The kind of action it is, as the ledger says it.
    pub(crate) fn what(&self) -> &'static str {
        if self.request.is_some() { "http" } else { "connect" }
    }

    /// The scheme of what is asked; plain where nothing is.
    pub(crate) fn scheme(&self) -> Scheme {
        self.request.as_ref().map_or(Scheme::Http, |asked| asked.scheme)
    }

    /// The request in its canonical form, with the headers that go on: what a rule can speak of.
    pub(crate) fn canonical(&self, headers: &HeaderMap) -> Canonical {
        let asked = self.request.as_ref()?;
        let scheme = if asked.websocket { asked.scheme.websocket() } else { asked.scheme };
        let read = HttpRequest::new(scheme, self.endpoint.clone(), &asked.method, &asked.path);
        let lines = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let query = asked.query.clone();
        Some(read.map(|request| HttpRequest { query, ..request }.with_headers(lines)))
    }
}

/// The port that a scheme means where none is said.
pub(crate) fn usual_port(scheme: Scheme) -> u16 {
    scheme.port()
}

/// Whether both are the same place. This host has three names for itself.
pub(crate) fn same_place(one: &Endpoint, other: &Endpoint) -> bool {
    one == other || (one.port == other.port && is_this_host(&one.host) && is_this_host(&other.host))
}

/// Whether it is one of the usual names of this host.
pub(crate) fn is_this_host(host: &Host) -> bool {
    match host {
        Host::Name(name) => name == "localhost",
        Host::Ip(address) => {
            address.is_loopback() && matches!(address.to_string().as_str(), "127.0.0.1" | "::1")
        }
    }
}
