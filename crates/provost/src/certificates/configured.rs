//! Lists of certificates that the person has set: in variables, and in the tools' own files.
//!
//! A variable goes before what a tool's file says, so where the run sets one, what the file says must be in it. Owns where tools say
//! so, each the person's own word before the system's; a repository's files are not heard. Does not own what becomes of the lists.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use toml::{Table, Value};

use super::read;
use crate::toolchains::places::Places;
use crate::toolchains::{CERTIFICATES, Environment, git};

/// A variable by which a tool is told, and the list that the tool's own file names.
pub type Named = (&'static str, PathBuf);

/// What the tools' files name.
#[must_use]
pub fn in_files(environment: &Environment) -> Vec<Named> {
    let root = Path::new("/");
    let found = [
        ("npm_config_cafile", npm(environment, root)),
        ("PIP_CERT", pip(environment, root)),
        ("CARGO_HTTP_CAINFO", cargo(environment)),
        ("GIT_SSL_CAINFO", of_git(environment)),
    ];
    let places = Places::of(environment);
    let named = found.into_iter().filter_map(|(variable, path)| Some((variable, path?)));
    named.filter(|(_, path)| path.is_absolute() && !places.in_workspace(path)).collect()
}

/// All of them, and those of variables, one after the other: what this person trusts beside the system's own.
#[must_use]
pub fn all(environment: &Environment) -> String {
    let places = Places::of(environment);
    let variables = CERTIFICATES.iter().filter_map(|name| environment.get(name)).map(PathBuf::from);
    let mut paths: Vec<PathBuf> =
        variables.chain(in_files(environment).into_iter().map(|(_, path)| path)).collect();
    paths.sort();
    paths.dedup();
    let real = paths.iter().filter_map(|path| places.real(path)).filter(|path| !places.in_workspace(path));
    real.filter_map(|path| read(&path)).map(|text| text + "\n").collect()
}

/// The text of a file of the person's or the system's.
fn text(environment: &Environment, path: &Path) -> Option<String> {
    let places = Places::of(environment);
    let real = places.real(path).filter(|real| !places.in_workspace(real) && real.is_file())?;
    std::fs::read_to_string(real).ok()
}

/// What a file of lines says of a key, last.
fn said(environment: &Environment, path: &Path, key: &str) -> Option<PathBuf> {
    let text = text(environment, path)?;
    let value = text.lines().rev().find_map(|line| {
        let (known, value) = line.split_once('=')?;
        (known.trim() == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    })?;
    Some(value.strip_prefix("~/").map_or_else(|| PathBuf::from(&value), |rest| environment.home.join(rest)))
}

fn npm(environment: &Environment, root: &Path) -> Option<PathBuf> {
    let user = environment.get("NPM_CONFIG_USERCONFIG").map(PathBuf::from);
    let user = user.unwrap_or_else(|| environment.home.join(".npmrc"));
    let system = ["etc/npmrc", "usr/etc/npmrc", "usr/local/etc/npmrc"].map(|path| root.join(path));
    std::iter::once(user).chain(system).find_map(|path| said(environment, &path, "cafile"))
}

fn pip(environment: &Environment, root: &Path) -> Option<PathBuf> {
    let config = environment.get("XDG_CONFIG_HOME").map(PathBuf::from);
    let config = config.unwrap_or_else(|| environment.home.join(".config"));
    let own = environment.get("PIP_CONFIG_FILE").map(PathBuf::from);
    let files =
        [config.join("pip/pip.conf"), environment.home.join(".pip/pip.conf"), root.join("etc/pip.conf")];
    own.into_iter().chain(files).find_map(|path| said(environment, &path, "cert"))
}

fn cargo(environment: &Environment) -> Option<PathBuf> {
    let home = environment.get("CARGO_HOME").map(PathBuf::from);
    let home = home.unwrap_or_else(|| environment.home.join(".cargo"));
    let text =
        text(environment, &home.join("config.toml")).or_else(|| text(environment, &home.join("config")))?;
    let table: Table = text.parse().ok()?;
    table.get("http")?.get("cainfo").and_then(Value::as_str).map(PathBuf::from)
}

fn of_git(environment: &Environment) -> Option<PathBuf> {
    let mut command = Command::new(git::system()?);
    command.args(["config", "--type=path", "--get", "http.sslcainfo"]).current_dir("/").env_clear();
    command.env("HOME", &environment.home).stdin(Stdio::null()).stderr(Stdio::null());
    for name in ["XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL"] {
        command.envs(environment.get(name).map(|value| (name, value)));
    }
    let output = command.output().ok().filter(|output| output.status.success())?;
    let path = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(path.trim_end_matches('\n'))).filter(|path| !path.as_os_str().is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_a_tools_own_file_names_is_found_and_a_repositorys_is_not() {
        let home = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(home.path()).unwrap();
        let work = home.join("work");
        for folder in ["work", ".cargo", ".config/pip", "lists"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        let list = |name: &str| {
            let path = home.join("lists").join(name);
            fs::write(&path, format!("{name}\n")).unwrap();
            path
        };
        let (npm, pip, cargo, git) = (list("npm"), list("pip"), list("cargo"), list("git"));
        let write = |file: &str, text: String| fs::write(home.join(file), text).unwrap();
        write(".npmrc", "a=b\ncafile = ~/lists/npm\n".to_owned());
        write(".config/pip/pip.conf", format!("[global]\ncert = {}\n", pip.display()));
        write(".cargo/config.toml", format!("[http]\ncainfo = \"{}\"\n", cargo.display()));
        write(".gitconfig", format!("[http]\n\tsslCAInfo = {}\n", git.display()));
        let node = list("node").display().to_string();
        let variables = [("NODE_EXTRA_CA_CERTS".into(), node.into())];
        let environment = Environment::new(variables, &home, &work);
        let found = in_files(&environment);
        let expected = [
            ("npm_config_cafile", npm),
            ("PIP_CERT", pip),
            ("CARGO_HTTP_CAINFO", cargo),
            ("GIT_SSL_CAINFO", git),
        ];
        assert_eq!(found, expected);
        let all = all(&environment);
        for name in ["npm\n", "pip\n", "cargo\n", "git\n", "node\n"] {
            assert!(all.contains(name), "{name}: {all}");
        }
        fs::write(work.join("evil"), "evil\n").unwrap();
        write(".npmrc", format!("cafile={}\n", work.join("evil").display()));
        let evil = [("PIP_CONFIG_FILE".into(), work.join("pip.conf").into())];
        fs::write(work.join("pip.conf"), "[global]\ncert = /etc/passwd\n").unwrap();
        let environment = Environment::new(evil, &home, &work);
        assert!(!super::all(&environment).contains("evil"));
        assert!(in_files(&environment).iter().all(|(_, path)| path.starts_with(home.join("lists"))));
    }
}
