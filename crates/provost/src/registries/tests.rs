//! What the tools of many languages name as their registries, and what a workspace cannot make of it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::cargo::Goes;
use super::place::Place;
use super::{Host, ask, of};
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

    /// The layer, where the tools say these things.
    fn layer(&self, says: &[(&str, &str)], goes: &Goes) -> String {
        let ask = |tool: &str, _: &[&str]| {
            says.iter().find(|(name, _)| *name == tool).map(|(_, text)| (*text).to_owned())
        };
        let environment = self.environment();
        let cargo = |_: Option<&Path>| goes.clone();
        of(&Host { environment: &environment, root: &self.path(""), ask: &ask, cargo: &cargo })
    }

    /// Of a tool, by its rule, where the tools say these things.
    fn says(&self, rule: &str, says: &[(&str, &str)], goes: &Goes) -> Vec<String> {
        let text = self.layer(says, goes);
        if text.is_empty() {
            return Vec::new();
        }
        policy::Layer::parse(super::LAYER, policy::LayerKind::Toolchains, &text).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let rules = table["rule"].as_array().unwrap();
        let Some(rule) = rules.iter().find(|one| one["id"].as_str() == Some(rule)) else { return Vec::new() };
        let patterns = rule.get("http").or_else(|| rule.get("connect")).unwrap().as_array().unwrap();
        let strip = |text: &str| text.trim_start_matches("https://").trim_end_matches("/**").to_owned();
        patterns.iter().map(|pattern| strip(pattern.as_str().unwrap())).collect()
    }

    fn places(&self, tool: &str, says: &[(&str, &str)]) -> Vec<String> {
        self.says(tool, says, &Goes::default())
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
        assert_eq!(Place::of(address).map(|place| place.place).as_deref(), expected, "{address}");
    }
}

#[test]
fn a_machine_without_any_tool_has_none() {
    assert_eq!(Made::new().layer(&[], &Goes::default()), "");
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
fn cargo_says_where_it_goes_and_keeps_where_the_files_are() {
    let kept = Made::new()
        .file(
            "home/.cargo/registry/index/index.crates.example-0123456789abcdef/config.json",
            r#"{"dl": "https://static.crates.example/crates", "api": "https://crates.example"}"#,
        )
        .file(
            "home/.cargo/registry/index/evil.example-0123456789abcdef/config.json",
            r#"{"dl": "https://files.evil.example/crates"}"#,
        )
        .file("home/.cargo/registry/index/git.example-0123456789abcdef/HEAD", "ref: x");
    let goes = |index: &str, files: Option<&str>| Goes {
        index: Some(index.to_owned()),
        files: files.map(str::to_owned),
    };
    let usual = goes("index.crates.example:443", None);
    assert_eq!(
        kept.says("cargo", &[], &usual),
        ["index.crates.example:443", "static.crates.example:443"],
        "what a repository once brought in is not among them"
    );
    let fresh = goes("index.crates.example:443", Some("https://dl.crates.example/x/{crate}"));
    assert_eq!(Made::new().says("cargo", &[], &fresh), ["dl.crates.example:443", "index.crates.example:443"]);
    let acme = kept
        .file(
            "home/.cargo/config.toml",
            "[source.mirror]\nregistry = \"sparse+https://mirror.example/index/\"\n[registries.acme]\nindex = \"sparse+https://acme.example/\"\n",
        )
        .file(
            "home/.cargo/registry/index/acme.example-0123456789abcdef/config.json",
            r#"{"dl": "https://files.acme.example/crates"}"#,
        );
    let mirrored = goes("mirror.example:443", None);
    assert_eq!(
        acme.says("cargo", &[], &mirrored),
        ["acme.example:443", "files.acme.example:443", "mirror.example:443"]
    );
    let named = Made::new().variable("CARGO_REGISTRIES_X_INDEX", "sparse+https://x.example/");
    assert_eq!(named.places("cargo", &[]), ["x.example:443"]);
}

/// The person's own cargo: nothing of it is known here, and nothing is fetched for it.
#[test]
fn cargo_itself_says_where_it_goes() {
    let mut made = Made::new();
    for name in ["PATH", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        made.variables.extend(std::env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    // Where it keeps itself is by its usual home, which is another here.
    let rustup = std::env::var_os("HOME").map(|home| Path::new(&home).join(".rustup"));
    made.variables.extend(rustup.map(|path| ("RUSTUP_HOME".to_owned(), path.display().to_string())));
    let made = made
        .file("home/.cargo/config.toml", "[source.crates-io]\nreplace-with = \"mirror\"\n[source.mirror]\nregistry = \"sparse+https://mirror.example:8443/index/\"\n")
        .file(
            "home/.cargo/registry/index/mirror.example-0123456789abcdef/config.json",
            r#"{"dl": "https://files.mirror.example/"}"#,
        );
    let environment = made.environment();
    let tools = ask::Tools::of(&environment);
    let goes = super::cargo::ask(&tools, Some(&made.path("home/.cargo/config.toml")));
    assert_eq!(goes.index.as_deref(), Some("mirror.example:8443"));
    assert_eq!(goes.files, None, "what is kept is not asked for again");
}

#[test]
fn what_stands_for_other_places_in_gits_settings_is_fetched_from_and_not_pushed_to() {
    let says = [(
        "git",
        "url.https://ann:pw@mirror.example/git/.insteadof https://forge.example/\n\
         url.ssh://git@s.example/.insteadof x:\nurl.http://127.0.0.1:3000/.insteadof y:\n",
    )];
    let made = Made::new();
    assert_eq!(made.places("git", &says), ["mirror.example:443/git"]);
    assert_eq!(made.places("git-fetch", &says), ["mirror.example:443/git/**/git-upload-pack"]);
    assert_eq!(made.places("git-here", &says), ["127.0.0.1:3000"]);
}

#[test]
fn of_a_registry_is_got_and_nothing_is_put_there() {
    let text =
        Made::new().variable("NPM_CONFIG_REGISTRY", "https://npm.example").layer(&[], &Goes::default());
    let layer = policy::Layer::parse(super::LAYER, policy::LayerKind::Toolchains, &text).unwrap();
    let anchors = policy::Anchors {
        workspace: "/home/ann/work".into(),
        home: "/home/ann".into(),
        state: "/home/ann/state".into(),
        config: "/home/ann/config".into(),
    };
    let policy = policy::Policy::compile(vec![layer], &anchors, &policy::Context::default()).unwrap();
    let endpoint = policy::Endpoint::parse("npm.example:443").unwrap();
    let decide = |method: &str, path: &str| {
        let request = policy::HttpRequest::new(policy::Scheme::Https, endpoint.clone(), method, path);
        policy.decide(&policy::Action::Http(request.unwrap()), &[])
    };
    for (method, path) in [("GET", "/left-pad"), ("HEAD", "/x/-/x-1.0.0.tgz"), ("GET", "/@scope%2Fname")] {
        assert!(matches!(decide(method, path), policy::Decision::Allow { .. }), "{method} {path}");
    }
    for (method, path) in [("PUT", "/left-pad"), ("POST", "/-/npm/v1/security/audits"), ("DELETE", "/x")] {
        assert!(matches!(decide(method, path), policy::Decision::Deny { .. }), "{method} {path}");
    }
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
        assert_eq!(made.places("npm", &[]).len(), 1, "{address}");
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
    assert_eq!(made.layer(&[], &Goes::default()), "");
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
