//! Where a program is, and what must be shown for it to run.

use super::{AgentError, Host};
use crate::toolchains::Shown;
use crate::toolchains::installation::Gathered;
use crate::toolchains::places::{self, Places};
use crate::toolchains::search;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As the inside finds it.
    pub(super) path: PathBuf,
    /// Its installation.
    pub(super) shown: Vec<Shown>,
    /// What its package says.
    pub(super) version: Option<String>,
}

/// Whose program a bare name may be. A path is the person's own word and is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trusted {
    /// Also the workspace's: it runs inside, like anything else of the workspace.
    Anything,
    /// Only what the person installed: a repository cannot stand in for a known agent by a folder on PATH.
    Installed,
}

/// Finds the command's program, and with it the agent's own script where the program only runs that: the last of the
/// `lead` words that lead up to the agent's arguments.
pub(super) fn find_agent(host: &Host<'_>, lead: usize, hint: &'static str) -> Result<Found, AgentError> {
    let mut found = find(host, Trusted::Installed, Some(hint))?;
    let script =
        host.argv.get(lead.saturating_sub(1)).filter(|word| lead > 1 && word.as_bytes().contains(&b'/'));
    let script = script.map(|word| host.folder.join(word)).filter(|path| path.is_file());
    if let Some(script) = script {
        let places = Places::of(host.environment);
        let path = places.real(&script).unwrap_or(script);
        found.shown.extend(show(&path, &places)?);
        found.version = version(&path, &places);
    }
    Ok(found)
}

/// Finds the command's program.
pub(super) fn find(
    host: &Host<'_>,
    trusted: Trusted,
    hint: Option<&'static str>,
) -> Result<Found, AgentError> {
    let word = host.argv.first().filter(|word| !word.is_empty()).ok_or(AgentError::NoCommand)?;
    let places = Places::of(host.environment);
    let not_found = |because: &str| AgentError::NotFound {
        program: word.to_string_lossy().escape_debug().to_string(),
        because: because.to_owned(),
        hint,
    };
    let path = if word.as_bytes().contains(&b'/') {
        let path = host.folder.join(Path::new(word));
        let path = if places::is_plain(&path) {
            path
        } else {
            places.real(&path).ok_or_else(|| not_found("no such file"))?
        };
        if is_program(&path) {
            path
        } else {
            return Err(not_found("it is not there, or cannot be executed"));
        }
    } else {
        on_path(word, host, &places, trusted).ok_or_else(|| not_found("it is not on PATH"))?
    };
    let shown = show(&path, &places)?;
    let version = version(&path, &places);
    Ok(Found { path, shown, version })
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn on_path(word: &OsStr, host: &Host<'_>, places: &Places, trusted: Trusted) -> Option<PathBuf> {
    let folders =
        search::entries(&host.environment.path).filter_map(|entry| search::judge(entry, places).ok());
    let allowed = folders.filter(|folder| trusted == Trusted::Anything || !places.in_workspace(folder));
    allowed.map(|folder| folder.join(word)).find(|path| is_program(path))
}

fn show(path: &Path, places: &Places) -> Result<Vec<Shown>, AgentError> {
    let mut gathered = Gathered::default();
    gathered.program(path, places, "the program");
    let (mut shown, left_out) = gathered.settle(places);
    let Some(real) = places.real(path) else { return Ok(shown) };
    let inside = |path: &Path| {
        places::is_system(path)
            || places.in_workspace(path)
            || shown.iter().any(|shown| path.starts_with(&shown.path))
    };
    if !inside(&real) {
        let because =
            left_out.into_iter().next().map_or_else(|| "it may not be shown".to_owned(), |left| left.because);
        return Err(AgentError::NotShown { program: path.display().to_string(), because });
    }
    // The name it is called by: a file that is no link may lie beside its installation.
    if !inside(path) && places.refusal(path).is_none() {
        shown.push(Shown { path: path.to_owned(), why: "the program".to_owned() });
    }
    Ok(shown)
}

/// The version in the package that a program lies in.
fn version(path: &Path, places: &Places) -> Option<String> {
    let real = places.real(path)?;
    let mut folders = real.ancestors().skip(1).take_while(|folder| !folder.ends_with("node_modules"));
    let text = folders.find_map(|folder| fs::read_to_string(folder.join("package.json")).ok())?;
    let package: serde_json::Value = serde_json::from_str(&text).ok()?;
    let version = package.get("version")?.as_str()?;
    let plain = version.len() <= 64 && version.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| version.to_owned())
}
