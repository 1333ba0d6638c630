//! What is said to model APIs and what they answer, understood: which API, which of the provider's own tools are asked
//! for, what an answer used, which tools the model called, what it cost.
//!
//! Owns the shapes of those APIs, all of them as data: nothing here waits, dials or decides. Does not own whether a tool
//! may be used (`judge`), what is left of a budget (`budget`), or how bytes are carried. The field names are those of
//! the providers' own clients (openai 3.54, anthropic 2.12, google-genai 3.4). What is not known is never guessed to be
//! harmless: an unknown kind of tool is the provider's, an unknown model costs as much as the dearest that is known.

mod answer;
mod api;
mod asked;
mod budget;
mod price;
mod sse;
mod strict;
mod tap;
mod usage;

pub(crate) use api::{Api, Call};
pub(crate) use asked::Asked;
pub(crate) use budget::{Budget, Spent};
pub use price::{Price, PriceError, Prices};
pub(crate) use tap::{Account, Tap};
pub use usage::Usage;
