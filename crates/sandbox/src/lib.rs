//! The kernel's part: confine an agent, watch what it does, and let go what was permitted.
//!
//! Read in this order: [`plan`] turns what the policy asks into steps, as data; [`Cell`] makes the namespaces before
//! anything else happens; [`Cell::prepare`] builds the view inside and stops before the agent's first instruction;
//! [`Jail::go`] takes the launch permit, starts the supervisor and lets go. The supervisor answers every held call
//! (`supervisor`, `deed`, `open`, `names`, `caller`, `view`), the notary writes down what was seen. `terminal` is the person's side.
//!
//! Owns: everything between a confinement and the kernel. Does not own: judgement (policy), evidence (ledger), the
//! network beyond listening sockets handed out (gateway). All unsafe code of the house is in `sys`.

mod bell;
mod caller;
mod carriage;
mod cell;
mod channel;
mod deed;
mod filter;
mod image;
mod jail;
mod limits;
mod loader;
mod mounted;
mod mounts;
mod names;
mod notary;
mod open;
mod overlay;
pub mod plan;
mod processes;
mod programs;
mod sight;
mod speak;
mod supervisor;
mod sys;
pub mod terminal;
mod tracer;
mod view;
mod voice;
mod warden;

pub use carriage::{Asker, Carriage, Carriers};
pub use cell::bare::LOST as LOST_WITHOUT_NAMESPACES;
pub use cell::landlock_abi;
pub use filter::describe as describe_filter;
pub use jail::{Cell, Exit, Jail, JailError, Running};
pub use limits::{BUILT_IN, Reached};
pub use overlay::Overlay;
pub use plan::Plan;
pub use supervisor::Watch;
pub use supervisor::bare::Guests;
pub use voice::Voice;
