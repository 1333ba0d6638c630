//! What this machine can enforce, layer by layer, and what to do about what it cannot.
//!
//! Read `facts` (what the machine says), `measure` (what a cell really gets), then [`examine`], which puts them together:
//! what is missing comes from the measurement, and why from the facts. `remedy` has the lines that mend it.
//!
//! Beside that, `network` tries what the tools of this machine get through.
//!
//! Does not own the sandbox, or printing.

pub mod facts;
pub mod measure;
pub mod network;
pub mod remedy;

use std::path::Path;

use policy::Enforcement;
use serde::Serialize;

use facts::Facts;
use measure::{Measured, Refused};
use remedy::Fix;

/// The least kernel.
pub const LEAST_KERNEL: (u32, u32) = (6, 1);
/// The least Landlock.
pub const LEAST_LANDLOCK: u32 = 2;

/// How a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is there.
    Given,
    /// It is not.
    Missing,
    /// It could not be tried, because something before it is missing.
    Untried,
}

/// A layer of the sandbox on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Its name.
    pub layer: &'static str,
    /// How it stands.
    pub state: State,
    /// Without it no run starts.
    pub needed: bool,
    /// What was found, where there is more to say than yes or no.
    pub found: Option<String>,
    /// What rests on it.
    pub carries: &'static str,
    /// What the kernel said.
    pub because: Option<String>,
    /// What to do about it.
    pub fixes: Vec<Fix>,
}

/// Whether runs can start.
pub fn can_run(layers: &[Layer]) -> bool {
    layers.iter().all(|layer| !layer.needed || layer.state == State::Given)
}

/// All layers, the lowest first. `program` is this program's own path, for what names it.
pub fn examine(facts: &Facts, measured: &Measured, program: &Path) -> Vec<Layer> {
    let look = Look { facts, measured, program };
    let mut layers = vec![look.kernel()];
    layers.extend(NAMESPACES.iter().map(|namespace| look.namespace(namespace)));
    layers.push(
        look.held("no_new_privs", "no program gains rights by being started", |given| given.no_new_privs),
    );
    layers.push(
        look.held("capabilities", "none is left, to any process inside", |given| given.no_capabilities),
    );
    layers.push(look.filter());
    layers.push(look.judged());
    layers.push(look.tracing());
    layers.push(look.landlock());
    layers.push(look.overlay());
    layers.push(look.terminal());
    look.blame(&mut layers);
    layers
}

type Given = fn(&Enforcement) -> bool;

const NAMESPACES: [(&str, &str, Given); 6] = [
    ("user namespace", "all below, without privilege; no right inside is one outside", |given| {
        given.user_namespace
    }),
    ("mount namespace", "the view: only what the policy shows is there", |given| given.mount_namespace),
    ("pid namespace", "no process outside is seen; all inside ends with the run", |given| {
        given.pid_namespace
    }),
    ("network namespace", "nothing but a loopback: every connection is the gateway's", |given| {
        given.network_namespace
    }),
    ("ipc namespace", "no message queue or shared memory of others", |given| given.ipc_namespace),
    ("uts namespace", "one host name for every run", |given| given.uts_namespace),
];

/// What each version of Landlock brings that a run uses.
const LANDLOCK: [(u32, &str); 5] = [
    (1, "writes"),
    (2, "moves and links"),
    (3, "cutting short"),
    (5, "commands to devices"),
    (6, "signals and abstract sockets"),
];

struct Look<'a> {
    facts: &'a Facts,
    measured: &'a Measured,
    program: &'a Path,
}

impl Look<'_> {
    fn layer(&self, layer: &'static str, carries: &'static str, state: State) -> Layer {
        Layer { layer, state, needed: true, found: None, carries, because: None, fixes: Vec::new() }
    }

    /// From what was read back of a cell.
    fn held(&self, name: &'static str, carries: &'static str, given: Given) -> Layer {
        let state = match &self.measured.enforcement {
            Some(enforcement) if given(enforcement) => State::Given,
            Some(_) => State::Missing,
            None => State::Untried,
        };
        self.layer(name, carries, state)
    }

    fn namespace(&self, (name, carries, given): &(&'static str, &'static str, Given)) -> Layer {
        self.held(name, carries, *given)
    }

    fn kernel(&self) -> Layer {
        let enough = self.facts.version().is_some_and(|version| version >= LEAST_KERNEL);
        let mut layer =
            self.layer("kernel", "everything below", if enough { State::Given } else { State::Missing });
        layer.found = Some(self.facts.kernel.clone());
        if !enough {
            layer.because = Some(format!("at least {}.{} is needed", LEAST_KERNEL.0, LEAST_KERNEL.1));
            layer.fixes = remedy::kernel(self.facts);
        }
        layer
    }

    fn filter(&self) -> Layer {
        let carries = "system calls that builds do not use are closed";
        let mut layer = self.held("seccomp", carries, |given| given.seccomp);
        if layer.state == State::Missing {
            layer.fixes = remedy::filter(self.facts);
        }
        layer
    }

    fn judged(&self) -> Layer {
        let carries = "every exec and open is seen, and judged where the policy wants it";
        let mut layer = self.held("seccomp notification", carries, |given| given.supervisor);
        let known = self.facts.seccomp_actions.iter().any(|action| action == "user_notif");
        if layer.state == State::Missing || (layer.state == State::Untried && !known) {
            layer.state = State::Missing;
            layer.fixes = remedy::filter(self.facts);
        }
        layer
    }

    /// Known from the setting alone: trying it would need a process to try it on.
    fn tracing(&self) -> Layer {
        let closed = self.facts.ptrace_scope.is_some_and(|scope| scope >= 3);
        let carries = "a program is looked at once more before its first instruction";
        let mut layer = self.layer("tracing", carries, if closed { State::Missing } else { State::Given });
        layer.found = self.facts.ptrace_scope.map(|scope| format!("kernel.yama.ptrace_scope = {scope}"));
        if closed {
            layer.fixes = remedy::tracing(self.facts);
        }
        layer
    }

    fn landlock(&self) -> Layer {
        let abi =
            self.measured.enforcement.as_ref().map_or(self.measured.landlock_abi, |given| given.landlock_abi);
        let state = if abi >= LEAST_LANDLOCK { State::Given } else { State::Missing };
        let mut layer = self.layer("Landlock", "files are held a second time, beneath the view", state);
        let told = |given: bool| {
            let of = LANDLOCK.iter().filter(move |(least, _)| (*least <= abi) == given);
            of.map(|(least, what)| format!("{what} ({least})")).collect::<Vec<_>>().join(", ")
        };
        layer.found = Some(match (abi, told(false).as_str()) {
            (0, _) => "none".to_owned(),
            (_, "") => format!("ABI {abi} holds {}", told(true)),
            (_, lacks) => format!("ABI {abi} holds {}; not {lacks}", told(true)),
        });
        if state == State::Missing {
            layer.because = Some(format!("at least ABI {LEAST_LANDLOCK} is needed"));
            layer.fixes = remedy::landlock(self.facts, abi);
        }
        layer
    }

    fn overlay(&self) -> Layer {
        let carries = "staging without a copy, on the file system of the state folder";
        let mut layer = self.optional("overlay", carries, self.measured.overlay);
        if layer.state == State::Missing {
            layer.found =
                Some("the workspace is copied for each run, and tools' caches start empty".to_owned());
            layer.because = self.refusal("overlay");
            layer.fixes = remedy::overlay(self.facts);
        }
        layer
    }

    fn terminal(&self) -> Layer {
        let mut layer = self.optional(
            "terminal",
            "interactive programs get a terminal of their own",
            self.measured.terminal,
        );
        if layer.state == State::Missing {
            layer.because = self.refusal("terminal");
        }
        layer
    }

    fn optional(&self, name: &'static str, carries: &'static str, given: bool) -> Layer {
        let state = match (&self.measured.enforcement, given) {
            (None, _) => State::Untried,
            (Some(_), true) => State::Given,
            (Some(_), false) => State::Missing,
        };
        Layer { needed: false, ..self.layer(name, carries, state) }
    }

    /// What the kernel said about a step that names this.
    fn refusal(&self, word: &str) -> Option<String> {
        let about = |refused: &&Refused| refused.step.as_ref().is_some_and(|step| step.contains(word));
        self.measured.refused.iter().find(about).map(|refused| refused.because.clone())
    }

    /// Where there is no cell at all: the layer at fault, and what mends it.
    fn blame(&self, layers: &mut [Layer]) {
        let Some(refused) = self.measured.refused.last().filter(|_| self.measured.enforcement.is_none())
        else {
            return;
        };
        let (name, fixes) = match &refused.step {
            None => ("user namespace", remedy::namespaces(self.facts, refused, self.program)),
            Some(step) if step.contains("Landlock") => ("Landlock", Vec::new()),
            Some(step) if step.contains("filter") => ("seccomp", remedy::filter(self.facts)),
            Some(_) => ("mount namespace", remedy::step(self.facts, refused, self.program)),
        };
        let Some(layer) = layers.iter_mut().find(|layer| layer.layer == name) else { return };
        layer.state = State::Missing;
        layer.because = Some(match &refused.step {
            None => format!("the kernel refuses new namespaces: {}", refused.because),
            Some(step) => format!("could not {step}: {}", refused.because),
        });
        if !fixes.is_empty() {
            layer.fixes = fixes;
        }
    }
}

#[cfg(test)]
mod tests;
