//! The supervisor and the gateway, brought together: what one sees begin, the other takes.
//!
//! Owns passing on between them what each calls by its own words, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;

use policy::Endpoint;
use sandbox::Carriers;
use sandbox::plan::HOST_NAME;

/// The gateway's table, as the supervisor speaks to it.
#[derive(Debug)]
struct Told(Arc<gateway::Carriage>);

impl sandbox::Carriage for Told {
    fn meant(&self, address: SocketAddr) -> Endpoint {
        self.0.meant(address)
    }

    fn expect(&self, from: SocketAddr, to: Endpoint, asker: sandbox::Asker) {
        self.0.expect(from, to, known(asker));
    }

    fn asks_names(&self, from: SocketAddr, asker: sandbox::Asker) {
        self.0.asks_names(from, known(asker));
    }
}

fn known(sandbox::Asker { pid, inside }: sandbox::Asker) -> gateway::Asker {
    gateway::Asker { pid: u32::try_from(pid).unwrap_or_default(), inside }
}

/// The cell's voice, as the gateway uses it.
#[derive(Debug)]
struct Spoken(sandbox::Voice);

impl gateway::Voice for Spoken {
    fn say(&self, to: gateway::Asker, line: &str) {
        // One that does not hear it goes without; the refusal stands.
        let _ = self.0.say(to.inside, line);
    }
}

/// What the gateway needs to take what is carried, and whom the supervisor tells of it.
pub(super) fn join(
    carriers: Carriers,
    voice: sandbox::Voice,
) -> (gateway::Carried, Arc<dyn sandbox::Carriage>) {
    let Carriers { streams, names, long_names } = carriers;
    let carriage = gateway::Carriage::new();
    let told = Arc::new(Told(Arc::clone(&carriage)));
    let voice = Arc::new(Spoken(voice));
    (gateway::Carried { streams, names, long_names, carriage, voice, host_name: HOST_NAME.to_owned() }, told)
}
