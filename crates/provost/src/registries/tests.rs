//! What the tools of many languages name as their registries, and what a workspace cannot make of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use policy::{Kind, PatternSpec};

use super::{Host, ask, of, place};
use crate::toolchains::Environment;

/// A machine with a home and a workspace in it.
struct Made {
    dir: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Made {
    fn new() -> Made {
        let made = Made { dir: tempfile::tempdir().unwrap(), variables: Vec::new() };
        fs::create_dir_all(made.path("home/work")).unwrap();
        made
    }

    fn path(&self, path: &str) -> PathBuf {
        fs::canonicalize(self.dir.path()).unwrap().join(path)
    }

    fn file(self, path: &str, text: &str) -> Made {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Made {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn environment(&self) -> Environment {
        let variables = self.variables.iter().map(|(name, value)| (name.into(), value.into()));
        Environment::new(variables, &self.path("home"), &self.path("home/work"))
    }

    /// Of a tool, where the tools say these things.
    fn places(&self, tool: &str, says: &[(&str, &str)]) -> Vec<String> {
        let ask = |tool: &str, _: &[&str]| {
            says.iter().find(|(name, _)| *name == tool).map(|(_, text)| (*text).to_owned())
        };
        let environment = self.environment();
        let rules = of(&Host { environment: &environment, root: &self.path(""), ask: &ask });
        let rule = rules.into_iter().find(|rule| rule.id == tool);
        let text = |(kind, spec)| match spec {
            PatternSpec::Text(text) if kind == Kind::Connect => text,
            other => panic!("{other:?}"),
        };
        rule.map(|rule| rule.patterns.into_iter().map(text).collect()).unwrap_or_default()
    }
}

#[test]
fn an_address_is_a_host_and_a_port() {
    for (address, expected) in [
        ("https://npm.example/", Some("npm.example:443")),
        ("https://ann:secret@npm.example:8443/x", Some("npm.example:8443")),
        ("http://127.0.0.1:4873", Some("127.0.0.1:4873")),
        ("http://pypi.example/simple", Some("pypi.example:80")),
        ("sparse+https://Index.Crates.Example/", Some("index.crates.example:443")),
        ("\"https://q.example\"", Some("q.example:443")),
        ("https://[2001:db8::1]/x", Some("[2001:db8::1]:443")),
        ("ssh://git@git.example/x", None),
        ("file:///srv/x", None),
        ("direct", None),
        ("https://", None),
        ("https://a b/", None),
    ] {
        assert_eq!(place(address).as_deref(), expected, "{address}");
    }
}

#[test]
fn a_machine_without_any_tool_has_none() {
    let made = Made::new();
    let environment = made.environment();
    assert!(of(&Host { environment: &environment, root: &made.path(""), ask: &|_, _| None }).is_empty());
}

#[test]
fn npm_is_asked_and_its_files_are_read() {
    let made = Made::new()
        .file(
            "home/.npmrc",
            "# mine\n@acme:registry=https://acme.example/npm/\n//acme.example/npm/:_authToken=secret\n",
        )
        .file("etc/npmrc", "registry = https://company.example/\n")
        .file("home/.yarnrc.yml", "npmRegistryServer: \"https://yarn.example\"\n")
        .file("home/work/.npmrc", "registry=https://evil.example/\n");
    let says = [(
        "npm",
        r#"{"registry": "https://usual.example/", "@x:registry": "https://x.example/", "replace-registry-host": "npmjs", "omit-lockfile-registry-resolved": true}"#,
    )];
    let expected =
        ["acme.example:443", "company.example:443", "usual.example:443", "x.example:443", "yarn.example:443"];
    assert_eq!(made.places("npm", &says), expected);
    assert_eq!(
        Made::new().variable("NPM_CONFIG_REGISTRY", "https://v.example").places("npm", &[]),
        ["v.example:443"]
    );
}

#[test]
fn pip_goes_to_the_usual_index_unless_another_takes_its_place() {
    let says = [("python3", "https://usual.example/simple\nhttps://files.example\n")];
    assert_eq!(Made::new().places("pip", &says), ["files.example:443", "usual.example:443"]);
    let more = Made::new().variable("PIP_EXTRA_INDEX_URL", "https://a.example/s https://b.example/s");
    assert_eq!(
        more.places("pip", &says),
        ["a.example:443", "b.example:443", "files.example:443", "usual.example:443"]
    );
    let instead = "[global]\nindex-url = https://ann:pw@mirror.example/simple\nextra-index-url =\n    https://c.example/s\n    https://d.example/s\n";
    let made = Made::new().file("home/.config/pip/pip.conf", instead);
    assert_eq!(made.places("pip", &says), ["c.example:443", "d.example:443", "mirror.example:443"]);
    let uv = "extra-index-url = [\"https://e.example\"]\n[[index]]\nname = \"x\"\nurl = \"https://f.example\"\ndefault = true\n";
    assert_eq!(
        Made::new().file("home/.config/uv/uv.toml", uv).places("pip", &says),
        ["e.example:443", "f.example:443"]
    );
    let named = Made::new()
        .variable("UV_INDEX", "acme=https://g.example/s")
        .variable("UV_DEFAULT_INDEX", "https://h.example/?a=b");
    assert_eq!(named.places("pip", &says), ["g.example:443", "h.example:443"]);
}

#[test]
fn cargo_says_by_what_it_keeps_where_it_fetches_from() {
    let kept = Made::new()
        .file(
            "home/.cargo/registry/index/index.crates.example-0123456789abcdef/config.json",
            r#"{"dl": "https://static.crates.example/crates", "api": "https://crates.example"}"#,
        )
        .file("home/.cargo/registry/index/git.example-0123456789abcdef/HEAD", "ref: x");
    assert_eq!(kept.places("cargo", &[]), ["index.crates.example:443", "static.crates.example:443"]);
    let replaced = kept.file(
        "home/.cargo/config.toml",
        "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n[registries.acme]\nindex = \"sparse+https://acme.example/\"\n",
    );
    assert_eq!(replaced.places("cargo", &[]), ["acme.example:443", "mirror.example:443"]);
    let named = Made::new().variable("CARGO_REGISTRIES_X_INDEX", "sparse+https://x.example/");
    assert_eq!(named.places("cargo", &[]), ["x.example:443"]);
}

#[test]
fn go_is_asked() {
    for (says, expected) in [
        ("https://proxy.example,direct\nsum.example\n", &["proxy.example:443", "sum.example:443"][..]),
        (
            "https://a.example|https://b.example\nsum.example+key https://mirror.example/sum\n",
            &["a.example:443", "b.example:443", "mirror.example:443"],
        ),
        ("off\noff\n", &[]),
        ("direct\n\n", &[]),
    ] {
        assert_eq!(Made::new().places("go", &[("go", says)]), expected, "{says}");
    }
}

/// A rule that is refused would stop every run.
#[test]
fn whatever_is_found_can_stand_in_a_layer() {
    for address in [
        "https://[2001:db8::1]:8443/",
        "http://10.0.0.1:4873",
        "https://com/",
        "https://a_b.example/",
        "https://b\u{fc}cher.example/",
    ] {
        let made = Made::new().variable("NPM_CONFIG_REGISTRY", address);
        let environment = made.environment();
        let rules = of(&Host { environment: &environment, root: &made.path(""), ask: &|_, _| None });
        assert_eq!(rules.len(), 1, "{address}");
        policy::Layer::from_rules(super::LAYER, policy::LayerKind::Toolchains, rules).unwrap();
    }
    for address in
        ["https://*.example/", "https://{a,b}.example/", "https://*/", "https://a.example:0/", "https://a b/"]
    {
        assert!(
            Made::new().variable("NPM_CONFIG_REGISTRY", address).places("npm", &[]).is_empty(),
            "{address}"
        );
    }
}

#[test]
fn the_workspace_is_not_heard_by_any_way() {
    let made = Made::new()
        .file("home/work/pip.conf", "[global]\nindex-url = https://evil.example/\n")
        .file("home/work/uv/uv.toml", "index-url = \"https://evil.example/\"\n")
        .file("home/work/config.toml", "[registries.x]\nindex = \"https://evil.example/\"\n")
        .file("home/work/pnpm/rc", "registry=https://evil.example/\n");
    let work = made.path("home/work");
    let work = work.to_str().unwrap();
    let made = made
        .variable("PIP_CONFIG_FILE", &format!("{work}/pip.conf"))
        .variable("XDG_CONFIG_HOME", work)
        .variable("CARGO_HOME", work)
        .variable("NPM_CONFIG_USERCONFIG", &format!("{work}/pnpm/rc"));
    let environment = made.environment();
    assert_eq!(of(&Host { environment: &environment, root: &made.path(""), ask: &|_, _| None }), []);
}

fn program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn only_what_the_person_installed_is_asked_and_outside_of_the_workspace() {
    let made = Made::new();
    program(&made.path("home/work/bin/npm"), "#!/bin/sh\necho evil\n");
    program(&made.path("home/tools/npm"), "#!/bin/sh\npwd\necho \"$HOME $1\"\n");
    program(&made.path("home/tools/go"), "#!/bin/sh\necho half\nexit 3\n");
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        made.path("home/work/bin").display(),
        made.path("home/tools").display()
    );
    let made = made.variable("PATH", &path);
    let environment = made.environment();
    let tools = ask::Tools::of(&environment);
    assert_eq!(tools.ask("npm", &["config"]), Some(format!("/\n{} config\n", made.path("home").display())));
    assert_eq!(tools.ask("go", &[]), None, "what fails is not heard");
    assert_eq!(tools.ask("no-such-tool", &[]), None);
}
