//! An agent's settings on the host, read with care and copied in part.

use super::AgentError;
use crate::toolchains::variables::{is_secret_name, is_secret_value};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Longest settings file that is read; real ones stay under 64 KiB.
const LONGEST: u64 = 1024 * 1024;

/// The text of a file; `None` if there is none. One that is there and cannot be read is an error, never nothing.
pub(super) fn text(path: &Path) -> Result<Option<String>, AgentError> {
    let wrong = |because: String| AgentError::Settings { path: path.display().to_string(), because };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        return Err(wrong("it is no file".to_owned()));
    }
    let mut text = String::new();
    file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > LONGEST {
        return Err(wrong("it is too long".to_owned()));
    }
    Ok(Some(text))
}

/// The folder that a variable names, or the usual one beneath the home.
pub(super) fn folder(variable: Option<&str>, home: &Path, usual: &str) -> PathBuf {
    variable.map(PathBuf::from).filter(|path| path.is_absolute()).unwrap_or_else(|| home.join(usual))
}

/// Whether a setting may be copied, by its name and what it says.
pub(super) fn is_harmless(name: &str, value: &str) -> bool {
    !is_secret_name(name) && !is_secret_value(value)
}

/// Instructions that the person gives the agent in every project: a private copy, if there are any.
pub(super) fn instructions(from: &Path, to: &str) -> Result<Option<(PathBuf, Vec<u8>)>, AgentError> {
    Ok(text(from)?.filter(|text| !text.trim().is_empty()).map(|text| (PathBuf::from(to), text.into_bytes())))
}
