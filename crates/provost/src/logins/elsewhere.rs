//! Token endpoints that the person names: `logins.toml` in the configuration folder.
//!
//! Owns that file. It says where a refresh token is sent, so nobody but the person may write it, and nothing of a workspace is
//! read for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use serde::Deserialize;

use crate::failure::Failure;
use crate::folders::Folders;

/// The file's name.
const FILE: &str = "logins.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    token: String,
}

/// Where this agent's tokens are refreshed, if the person says so.
pub(super) fn token(folders: &Folders, agent: &str) -> Result<Option<String>, Failure> {
    let path = folders.config.join(FILE);
    let about = |failure: Failure| failure.during(format!("could not use `{}`", path.display()));
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| about(Failure::of(&error)))?,
    };
    let ours = metadata.uid() == rustix::process::geteuid().as_raw();
    if !ours || metadata.mode() & 0o022 != 0 || !metadata.is_file() {
        let failure = Failure::new("others can write it, and it says where a login is sent");
        return Err(about(failure).hint(format!("chmod 600 {}", path.display())));
    }
    let text = fs::read_to_string(&path).map_err(|error| about(Failure::of(&error)))?;
    let all: BTreeMap<String, One> = toml::from_str(&text).map_err(|error| {
        about(Failure::of(&error)).hint("write [claude] and beneath it token = \"https://HOST/PATH\"")
    })?;
    Ok(all.into_iter().find(|(name, _)| name == agent).map(|(_, one)| one.token))
}
