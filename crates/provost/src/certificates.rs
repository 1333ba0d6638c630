//! Whom programs inside trust: those they trust outside, and the run's own authority beside them.
//!
//! Owns which files say so and which variables name them: the system's own lists are covered by longer ones, a list that the person
//! has set for some tool is copied with the authority at its end, and nothing that was trusted is trusted no more. Does not own the
//! authority (`gateway`), which lists a person has set (`configured`), or showing files (`sandbox`).

pub mod configured;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use policy::{Confinement, Tier};
use sandbox::plan::Order;

use crate::toolchains::CERTIFICATES;
use configured::Named;

/// Where systems keep what they trust in one file, the usual first.
const SYSTEM: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Bytes of the longest list that is read.
const LONGEST: u64 = 8 << 20;
/// Where copies lie, beneath the home inside.
const COPIES: &str = ".provost-certificates";

/// Puts the authority (its certificate as PEM) beside whatever is trusted inside: the system's lists, what variables name, and what
/// the tools' own files name.
pub fn trust(order: &mut Order, asked: &Confinement, configured: &[Named], authority: &str) {
    let covered =
        if asked.tier == Tier::Namespaces { cover_system(order, asked, authority) } else { Vec::new() };
    let usual = SYSTEM.iter().find_map(|path| fs::canonicalize(path).ok());
    let mut trusted = Trusted { order, covered, copies: Vec::new(), authority };
    let usual = match usual {
        Some(path) => trusted.holding(&path),
        None => trusted.copy(None),
    };
    for variable in CERTIFICATES {
        let set = trusted.order.env.iter().find(|(name, _)| name == variable).map(|(_, value)| value.clone());
        let named = || configured.iter().find(|(name, _)| *name == variable).map(|(_, path)| path.clone());
        let own = set.map(PathBuf::from).or_else(named);
        let place = match own.filter(|path| path.is_absolute()) {
            Some(path) => trusted.holding(&path),
            None => usual.clone(),
        };
        set_variable(&mut trusted.order.env, variable, place.into_os_string());
    }
}

/// Covers the system's lists where they are shown; gives those that are.
fn cover_system(order: &mut Order, asked: &Confinement, authority: &str) -> Vec<PathBuf> {
    let is_shown = |path: &Path| {
        asked.read.iter().any(|tree| path.starts_with(tree))
            && !asked.hidden.iter().any(|tree| path.starts_with(tree))
    };
    let mut covered: Vec<PathBuf> = SYSTEM.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    covered.sort();
    covered.dedup();
    covered.retain(|path| is_shown(path));
    covered.retain(|path| {
        let Some(text) = read(path) else { return false };
        order.over.push((path.clone(), joined(&text, authority)));
        true
    });
    covered
}

struct Trusted<'a> {
    order: &'a mut Order,
    /// Lists that hold the authority where they lie.
    covered: Vec<PathBuf>,
    /// Other lists, and their copies.
    copies: Vec<(Option<PathBuf>, PathBuf)>,
    authority: &'a str,
}

impl Trusted<'_> {
    /// A list inside that holds what this one holds, and the authority.
    fn holding(&mut self, path: &Path) -> PathBuf {
        match fs::canonicalize(path) {
            Ok(real) if self.covered.contains(&real) => path.to_owned(),
            Ok(real) => self.copy(Some(&real)),
            Err(_) => self.copy(None),
        }
    }

    fn copy(&mut self, of: Option<&Path>) -> PathBuf {
        if let Some((_, copy)) = self.copies.iter().find(|(known, _)| known.as_deref() == of) {
            return copy.clone();
        }
        let text = of.and_then(read).unwrap_or_default();
        let place = self.order.home.join(COPIES).join(format!("{}.pem", self.copies.len() + 1));
        self.order.files.push((place.clone(), joined(&text, self.authority)));
        self.copies.push((of.map(Path::to_owned), place.clone()));
        place
    }
}

/// A list of a person's, the system's if there is none, with others at its end.
pub fn with(own: Option<&Path>, others: &str) -> Vec<u8> {
    let system = || SYSTEM.iter().find_map(|path| read(Path::new(path)));
    joined(&own.and_then(read).or_else(system).unwrap_or_default(), others)
}

/// A list with one more.
fn joined(list: &str, authority: &str) -> Vec<u8> {
    let between = if list.is_empty() || list.ends_with('\n') { "" } else { "\n" };
    format!("{list}{between}{authority}").into_bytes()
}

/// A list of certificates, if it is one; never a key.
fn read(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= LONGEST)?;
    let text = fs::read_to_string(path).ok().filter(|text| !text.contains("PRIVATE KEY"))?;
    (meta.len() > 0).then_some(text)
}

fn set_variable(environment: &mut Vec<(OsString, OsString)>, name: &str, value: OsString) {
    environment.retain(|(known, _)| known != OsStr::new(name));
    let at = environment.partition_point(|(known, _)| known.as_os_str() < OsStr::new(name));
    environment.insert(at, (name.into(), value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(home: &Path, env: &[(&str, &Path)]) -> Order {
        let env = env.iter().map(|(name, value)| ((*name).into(), value.as_os_str().to_owned())).collect();
        Order {
            workspace: home.join("work"),
            stage: sandbox::plan::Stage::Copy { from: home.join("copy") },
            home: home.to_owned(),
            caches: Vec::new(),
            files: Vec::new(),
            over: Vec::new(),
            ports: vec![1],
            carrier: None,
            program: "/bin/true".into(),
            argv: Vec::new(),
            env,
            folder: home.join("work"),
            terminal: [false; 3],
            evidence: ledger::Evidence::Full,
        }
    }

    fn value<'a>(order: &'a Order, name: &str) -> &'a Path {
        Path::new(&order.env.iter().find(|(known, _)| known == name).unwrap().1)
    }

    #[test]
    fn what_a_person_set_is_kept_and_the_authority_comes_after_it() {
        let home = tempfile::tempdir().unwrap();
        let company = home.path().join("company.pem");
        fs::write(&company, "company").unwrap();
        let npm = home.path().join("npm.pem");
        fs::write(&npm, "npm\n").unwrap();
        let mut order = order(home.path(), &[("CURL_CA_BUNDLE", &company), ("PIP_CERT", &company)]);
        let asked = Confinement { tier: Tier::Landlock, ..Confinement::default() };
        trust(&mut order, &asked, &[("npm_config_cafile", npm)], "authority\n");
        let content = |name: &str| {
            let path = value(&order, name);
            let found = order.files.iter().find(|(known, _)| known == path).unwrap();
            String::from_utf8(found.1.clone()).unwrap()
        };
        assert_eq!(content("CURL_CA_BUNDLE"), "company\nauthority\n");
        assert_eq!(value(&order, "PIP_CERT"), value(&order, "CURL_CA_BUNDLE"), "one copy of one list");
        assert_eq!(content("npm_config_cafile"), "npm\nauthority\n");
        assert!(content("SSL_CERT_FILE").ends_with("authority\n"));
        assert_ne!(value(&order, "SSL_CERT_FILE"), value(&order, "PIP_CERT"));
        assert!(order.over.is_empty(), "nothing is laid over anything without namespaces");
        assert!(order.env.is_sorted());
    }

    #[test]
    fn the_systems_own_list_is_covered_where_it_is_shown() {
        let home = tempfile::tempdir().unwrap();
        let Some(system) = SYSTEM.iter().find_map(|path| fs::canonicalize(path).ok()) else {
            panic!("this test needs a machine that trusts somebody")
        };
        let mut seen = order(home.path(), &[]);
        let asked = Confinement { read: vec!["/etc".into(), "/usr".into()], ..Confinement::default() };
        trust(&mut seen, &asked, &[], "authority\n");
        let (_, content) = seen.over.iter().find(|(path, _)| *path == system).unwrap();
        let own = fs::read(&system).unwrap();
        assert!(content.starts_with(&own) && content.ends_with(b"authority\n"));
        assert!(seen.files.is_empty());
        for variable in CERTIFICATES {
            assert_eq!(fs::canonicalize(value(&seen, variable)).unwrap(), system, "{variable}");
        }
        let mut hidden = order(home.path(), &[]);
        trust(&mut hidden, &Confinement::default(), &[], "authority\n");
        assert!(hidden.over.is_empty() && hidden.files.len() == 1, "a copy, where it is not shown");
    }

    #[test]
    fn a_file_with_a_key_is_no_list() {
        let home = tempfile::tempdir().unwrap();
        let both = home.path().join("both.pem");
        fs::write(&both, "-----BEGIN PRIVATE KEY-----\n").unwrap();
        let mut order = order(home.path(), &[("CURL_CA_BUNDLE", &both)]);
        let asked = Confinement { tier: Tier::Landlock, ..Confinement::default() };
        trust(&mut order, &asked, &[], "authority\n");
        assert!(order.files.iter().all(|(_, content)| !content.starts_with(b"-----BEGIN PRIVATE")));
    }
}
