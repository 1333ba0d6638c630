//! Any command: a script, a build, a shell. It gets the toolchains and nothing else.

use super::program::{self, Trusted};
use super::{Agent, AgentError, Host, Outfit};
use crate::secrets::{Credentials, Wanted};
use std::ffi::OsString;

/// The adapter that knows nothing about its agent.
#[derive(Clone, Copy, Debug)]
pub struct Any;

impl Agent for Any {
    fn name(&self) -> &'static str {
        "command"
    }

    fn recognises(&self, _argv: &[OsString]) -> bool {
        true
    }

    fn wants(&self, _host: &Host<'_>) -> Result<Vec<Wanted>, AgentError> {
        Ok(Vec::new())
    }

    fn outfit(&self, host: &Host<'_>, credentials: &Credentials) -> Result<Outfit, AgentError> {
        let found = program::find(host, Trusted::Anything, Some("give its path, or put its folder on PATH"))?;
        Ok(Outfit {
            program: found.path,
            argv: host.argv.to_vec(),
            shown: found.shown,
            environment: credentials.environment(),
            ..Outfit::default()
        })
    }
}
