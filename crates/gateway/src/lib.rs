//! The one way out: ingress, judge, dial, carry.
//!
//! A run's jail has no network but sockets that listen in it and are answered here. Whatever comes in becomes a [`flow`], is
//! judged by admission, and only then looked up, dialled and carried:
//!
//! ```text
//! bytes -> target -> Flow -> Permit<Connect> [-> Permit<Http> -> Permit<Release>] -> names -> Permit<Dial> -> bytes
//! ```
//!
//! * [`gateway`]: the listening sockets, their thread, the end of it
//! * [`connection`]: one connection from the inside, and where it leads
//! * [`exchange`]: its requests, one after the other, and what it may turn into
//! * [`terminate`], [`hello`], [`ca`]: TLS that is opened, because every request must be seen
//! * [`socks`]: the other way to ask the proxy
//! * [`named`]: what TLS says in a tunnel, of which nothing else is seen
//! * [`target`], [`head`]: what a request asks for, and what makes it none
//! * [`judge`], [`refusal`]: the questions to admission, and how a no is put
//! * [`names`], [`dial`]: the only lookup, the only connect
//! * [`carriage`], [`resolver`], [`stand_in`]: for programs that know nothing of proxies
//! * [`upstream`]: TLS on the outer side, whom it believes, and connections that are used again
//! * [`forward`], [`tunnel`], [`body`], [`scrub`], [`meter`], [`caps`]: carrying, counting what is carried, and how much may be
//! * [`consult`], [`messages`], [`models`]: questions to models, their tools, what they cost
//! * [`cassette`], `record`, `frames`, `sent`: what is recorded of all that, and what of each body is kept without it
//! * [`credential`], [`watch`]: placeholders inside, secrets outside
//! * [`login`]: tokens that the gateway refreshes, and nobody inside
//! * [`origin`]: a place in TLS on this machine, for trying what gets through
//! * `guests`: whose connections are taken, where others reach the sockets too
//! * [`inside`]: the one door for the inside
//!
//! Owns: whatever leaves the run by a network. Does not own: the rules, the asking, the secrets, or the sockets' making. TLS is
//! tunnelled and not opened, but where requests must be seen (`Judge::must_see`); there it is opened and never tunnelled.
#![forbid(unsafe_code)]

mod ask;
mod body;
mod bounds;
mod ca;
mod caps;
mod carriage;
pub mod cassette;
mod connection;
mod consult;
mod credential;
mod dial;
mod exchange;
mod flow;
mod forward;
mod frames;
mod gateway;
mod guard;
mod guests;
mod head;
mod hello;
mod inside;
mod judge;
mod login;
mod messages;
mod meter;
mod models;
mod named;
mod names;
mod origin;
mod record;
mod refusal;
mod resolver;
mod scrub;
mod sent;
mod socks;
mod stand_in;
mod target;
mod terminate;
mod tunnel;
mod upstream;
mod via;
mod watch;
mod wire;

pub use ask::{AskError, ask_inside};
pub use bounds::Bounds;
pub use ca::{Authority, AuthorityError};
pub use carriage::{Asker, Carriage, Voice};
pub use consult::Models;
pub use credential::{Credentials, CredentialsError, Placeholder, Secret, Vault, VaultError};
pub use gateway::{Carried, Gateway, GatewayError, Outer, Seat, Tls, serve, serve_with};
pub use guests::Guests;
pub use inside::{Answering, Inside, InsideAnswer};
pub use login::{
    Answered, Begun, Keeper, Login, Question as TokenQuestion, Refused, State, TokenPlace, Turn,
};
pub use meter::{Flows, OTHERS, Tally};
pub use models::{Price, PriceError, Prices, Usage};
pub use names::{Lookup, Names, System};
pub use origin::{Origin, OriginError};
pub use target::INSIDE_HOST;
pub use upstream::Roots;
pub use via::{Via, ViaError};
