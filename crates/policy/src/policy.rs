//! All layers, put together.

use std::path::PathBuf;

use crate::{Action, Confinement, Decision, Explanation, Grant, Layer, PolicyError, Shortfall};

/// The places that patterns start from and that no policy opens. All absolute, links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// `./` in every layer.
    pub workspace: PathBuf,
    /// `~/`: the person's home on the host.
    pub home: PathBuf,
    /// Where Provost keeps its state; never readable or writable.
    pub state: PathBuf,
    /// Where Provost keeps its configuration; never readable or writable.
    pub config: PathBuf,
}

/// What `when` asks about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The repository as `owner/name`, if there is one.
    pub repo: Option<String>,
    /// The agent's name.
    pub agent: String,
    /// Who runs it.
    pub principal: String,
    /// Whether somebody can be asked.
    pub attended: bool,
}

/// All layers, compiled.
#[derive(Debug)]
pub struct Policy {
    layers: Vec<Layer>,
}

impl Policy {
    /// Puts layers together.
    pub fn compile(
        layers: Vec<Layer>,
        _anchors: &Anchors,
        _context: &Context,
    ) -> Result<Policy, PolicyError> {
        Ok(Policy { layers })
    }

    /// Judges an action. Total: what cannot be judged is denied.
    pub fn decide(&self, _action: &Action, _grants: &[Grant]) -> Decision {
        Decision::Deny { reasons: Vec::new() }
    }

    /// Why an action is judged as it is.
    pub fn explain(&self, action: &Action) -> Explanation {
        Explanation { decision: self.decide(action, &[]) }
    }

    /// Canonical bytes whose digest names this policy.
    pub fn digest_input(&self) -> Vec<u8> {
        self.layers.iter().flat_map(Layer::digest_input).collect()
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What the kernel is asked to hold.
    pub fn confinement(&self) -> Result<Confinement, Shortfall> {
        Ok(Confinement::default())
    }

    /// Ports of this host's loopback that a rule names literally, in order.
    pub fn loopback_ports(&self) -> Vec<u16> {
        Vec::new()
    }
}
