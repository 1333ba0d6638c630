//! Real layouts in temporary homes, laid out as the tools' own installers do.

use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use tempfile::TempDir;

/// A person with a home, a workspace and a shell.
struct Person {
    folder: TempDir,
    path: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Person {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let person = Self { folder, path: Vec::new(), variables: Vec::new() };
        fs::create_dir_all(person.home().join("work/app")).unwrap();
        person
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home/ann")
    }

    fn workspace(&self) -> PathBuf {
        self.home().join("work/app")
    }

    fn file(&mut self, path: &str, content: &str) -> &mut Self {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        if content.starts_with("#!") {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        self
    }

    fn program(&mut self, path: &str) -> &mut Self {
        self.file(path, "#!/bin/sh\n")
    }

    fn folder(&mut self, path: &str) -> &mut Self {
        fs::create_dir_all(self.home().join(path)).unwrap();
        self
    }

    fn link(&mut self, path: &str, target: &str) -> &mut Self {
        let path = self.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn on_path(&mut self, entry: &str) -> &mut Self {
        self.path.push(entry.replace('~', self.home().to_str().unwrap()));
        self
    }

    fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.push((name.to_owned(), value.replace('~', self.home().to_str().unwrap())));
        self
    }

    fn environment(&self) -> Environment {
        let path = ("PATH".to_owned(), self.path.join(":"));
        let variables =
            self.variables.iter().cloned().chain([path]).map(|(name, value)| (name.into(), value.into()));
        Environment::new(variables, &self.home(), &self.workspace())
    }

    fn discover(&self) -> Toolchains {
        discover(&self.environment())
    }

    /// Shown paths beneath the home, as `~/...`.
    fn shown(&self) -> Vec<String> {
        self.discover().shown.iter().map(|shown| self.tilde(&shown.path)).collect()
    }

    fn caches(&self) -> Vec<(String, bool)> {
        self.discover().caches.iter().map(|cache| (self.tilde(&cache.path), cache.lower.is_some())).collect()
    }

    fn tilde(&self, path: &Path) -> String {
        path.strip_prefix(self.home())
            .map_or_else(|_| path.display().to_string(), |rest| format!("~/{}", rest.display()))
    }

    fn value(&self, name: &str) -> Option<String> {
        let found = self.discover().environment.into_iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.replace(self.home().to_str().unwrap(), "~"))
    }

    fn because(&self, what: &str) -> Option<String> {
        let what = what.replace('~', self.home().to_str().unwrap());
        self.discover().left_out.into_iter().find(|left| left.what.contains(&what)).map(|left| left.because)
    }
}

#[test]
fn rust_is_shown_without_its_credentials() {
    let mut ann = Person::new();
    ann.program(".cargo/bin/cargo")
        .file(".cargo/env", "x")
        .file(".cargo/credentials.toml", "[registry]\ntoken = \"s3cr3t\"\n");
    ann.file(".cargo/config.toml", "[build]\njobs = 2\n").folder(".cargo/registry/cache");
    ann.file(".rustup/settings.toml", "").program(".rustup/toolchains/stable/bin/rustc");
    ann.on_path("~/.cargo/bin").on_path("/usr/bin");
    assert_eq!(ann.shown(), ["~/.cargo/bin", "~/.cargo/config.toml", "~/.cargo/env", "~/.rustup"]);
    let caches = ann.caches();
    assert!(
        caches.contains(&("~/.cargo/registry".to_owned(), true))
            && caches.contains(&("~/.cargo/git".to_owned(), false))
    );
    assert_eq!(ann.value("PATH").unwrap(), "~/.cargo/bin:/usr/bin");
}

#[test]
fn settings_with_a_secret_in_them_stay_outside() {
    let mut ann = Person::new();
    ann.program(".cargo/bin/cargo").on_path("~/.cargo/bin").on_path("/usr/bin");
    ann.file(".cargo/config.toml", "[registries.acme]\nindex = \"https://ann:pw@example.com/index\"\n");
    ann.file(".npmrc", "//npm.example.com/:_authToken=abc\n")
        .file(".config/pip/pip.conf", "[global]\nindex-url = https://pypi.example.com/\n");
    let shown = ann.shown();
    assert!(shown.contains(&"~/.config/pip/pip.conf".to_owned()), "{shown:?}");
    assert!(!shown.iter().any(|path| path.contains("config.toml") || path.contains("npmrc")), "{shown:?}");
    assert!(ann.because("~/.npmrc").unwrap().contains("secret"));
}

#[test]
fn version_managers_are_shown_where_they_live() {
    let mut ann = Person::new();
    ann.program(".pyenv/shims/python").program(".pyenv/versions/3.12.1/bin/python").folder(".pyenv/.git");
    ann.file(".nvm/nvm.sh", "").program(".nvm/versions/node/v22/bin/node");
    ann.program(".volta/bin/node").program(".local/share/mise/installs/go/1.22/bin/go").folder(".asdf/shims");
    ann.on_path("~/.pyenv/shims").on_path("~/.nvm/versions/node/v22/bin").on_path("~/.volta/bin");
    ann.set("NVM_DIR", "~/.nvm").set("PYENV_ROOT", "~/.pyenv").set("NVM_BIN", "~/.nvm/versions/node/v22/bin");
    assert_eq!(ann.shown(), ["~/.asdf", "~/.local/share/mise", "~/.nvm", "~/.pyenv", "~/.volta"]);
    assert_eq!(ann.value("PYENV_ROOT").unwrap(), "~/.pyenv");
    assert!(ann.caches().contains(&("~/.npm/_cacache".to_owned(), false)));
}

#[test]
fn what_the_links_in_local_bin_lead_to_is_shown_and_nothing_beside_it() {
    let mut ann = Person::new();
    ann.program(".local/share/tool/v1/bin/tool")
        .file(".local/share/tool/v1/lib/x", "")
        .link(".local/share/tool/current", "v1");
    ann.link(".local/bin/tool", "../share/tool/current/bin/tool")
        .file(".local/share/keyrings/login.keyring", "secret");
    ann.program(".local/share/pipx/venvs/black/bin/python3")
        .file(".local/share/pipx/venvs/black/pyvenv.cfg", "home = /usr/bin\n");
    ann.file(
        ".local/share/pipx/venvs/black/bin/black",
        &format!("#!{}/.local/share/pipx/venvs/black/bin/python3\n", ann.home().display()),
    );
    ann.link(".local/bin/black", "../share/pipx/venvs/black/bin/black")
        .file(".local/share/uv/credentials/credentials.toml", "secret");
    ann.program(".local/share/uv/tools/ruff/bin/ruff")
        .link(".local/bin/ruff", "../share/uv/tools/ruff/bin/ruff");
    ann.on_path("~/.local/bin");
    assert_eq!(
        ann.shown(),
        ["~/.local/bin", "~/.local/share/pipx", "~/.local/share/tool", "~/.local/share/uv/tools"]
    );
}

#[test]
fn a_link_into_somebodys_work_shows_the_one_file() {
    let mut ann = Person::new();
    ann.program("other/secret-project/bin/deploy")
        .file("other/secret-project/.env", "TOKEN=x")
        .folder("other/secret-project/lib");
    ann.link("bin/deploy", "../other/secret-project/bin/deploy").on_path("~/bin");
    ann.program("other/cloned/bin/run")
        .folder("other/cloned/.git")
        .folder("other/cloned/lib")
        .link("bin/run", "../other/cloned/bin/run");
    assert_eq!(ann.shown(), ["~/bin", "~/other/cloned/bin/run", "~/other/secret-project/bin/deploy"]);
}

#[test]
fn an_unpacked_installation_on_path_is_shown_with_its_libraries() {
    let mut ann = Person::new();
    ann.program("jdk-21/bin/java")
        .file("jdk-21/release", "")
        .folder("jdk-21/lib")
        .on_path("~/jdk-21/bin")
        .set("JAVA_HOME", "~/jdk-21");
    ann.program("npm-global/lib/node_modules/@acme/tool/cli.js")
        .link("npm-global/bin/tool", "../lib/node_modules/@acme/tool/cli.js");
    ann.on_path("~/npm-global/bin");
    assert_eq!(ann.shown(), ["~/jdk-21", "~/npm-global/bin", "~/npm-global/lib/node_modules"]);
    assert_eq!(ann.value("JAVA_HOME").unwrap(), "~/jdk-21");
}

#[test]
fn a_version_managers_link_in_a_runtime_folder_is_followed() {
    let mut ann = Person::new();
    ann.program(".local/share/fnm/node-versions/v22/installation/bin/node").folder("volatile");
    ann.link("volatile/123", "../.local/share/fnm/node-versions/v22/installation")
        .on_path("~/volatile/123/bin");
    let shown = ann.shown();
    assert_eq!(shown, ["~/.local/share/fnm", "~/volatile/123"]);
    assert_eq!(ann.value("PATH").unwrap(), "~/volatile/123/bin");
}

#[test]
fn a_link_to_more_than_is_shown_is_not_shown_and_path_goes_around_it() {
    let mut ann = Person::new();
    ann.program("pile/bin/x").folder("pile/lib").file("pile/.env", "TOKEN=x").link("current", "pile");
    ann.on_path("~/current/bin");
    assert_eq!(ann.shown(), ["~/pile/bin"]);
    assert_eq!(ann.value("PATH").unwrap(), "~/pile/bin");
}

#[test]
fn path_entries_that_are_no_toolchain_are_left_out_with_reasons() {
    let mut ann = Person::new();
    ann.program(".ssh/bin/x")
        .program(".docker/bin/docker")
        .folder("open")
        .folder("parent/bin")
        .folder(".config/bin");
    fs::set_permissions(ann.home().join("open"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(ann.home().join("parent/shared/bin")).unwrap();
    fs::set_permissions(ann.home().join("parent/shared"), fs::Permissions::from_mode(0o777)).unwrap();
    let entries = [
        "",
        ".",
        "bin",
        "~",
        "~/..",
        "/",
        "~/missing",
        "~/.ssh/bin",
        "~/.docker/bin",
        "~/open",
        "~/parent/shared/bin",
        "~/.config",
        "~/work",
    ];
    for entry in entries {
        ann.on_path(entry);
    }
    ann.on_path("/usr/bin");
    let found = ann.discover();
    assert_eq!(ann.value("PATH").unwrap(), "/usr/bin");
    assert_eq!(ann.shown(), Vec::<String>::new());
    assert_eq!(found.left_out.len(), entries.len(), "{:?}", found.left_out);
    for (entry, because) in [
        ("`.`", "another folder"),
        ("~` on", "whole home"),
        ("~/.ssh/bin", "secrets"),
        ("~/open", "everybody"),
        ("~/parent/shared", "everybody"),
        ("~/work` on", "workspace"),
    ] {
        assert!(ann.because(entry).unwrap().contains(because), "{entry}");
    }
}

#[test]
fn entries_of_the_workspace_stay_on_path_and_are_not_shown() {
    let mut ann = Person::new();
    ann.program("work/app/.venv/bin/python")
        .file("work/app/.venv/pyvenv.cfg", "")
        .on_path("~/work/app/.venv/bin")
        .on_path("/usr/bin");
    ann.set("VIRTUAL_ENV", "~/work/app/.venv");
    assert_eq!(
        (ann.shown(), ann.value("PATH").unwrap()),
        (vec![], "~/work/app/.venv/bin:/usr/bin".to_owned())
    );
    assert_eq!(ann.value("VIRTUAL_ENV").unwrap(), "~/work/app/.venv");
}

#[test]
fn a_variable_cannot_make_everything_a_toolchain() {
    let mut ann = Person::new();
    ann.file("Documents/taxes.pdf", "x")
        .file(".ssh/id_ed25519", "x")
        .file("papers/a/b.txt", "x")
        .file(".config/gh/hosts.yml", "x");
    for (name, value) in [
        ("JAVA_HOME", "~/Documents"),
        ("PYENV_ROOT", "~/.ssh"),
        ("GOROOT", "~"),
        ("NVM_DIR", "/"),
        ("RUSTUP_HOME", "~/papers"),
        ("BUN_INSTALL", "~/.config"),
        ("GOPATH", "~/.ssh:relative:~/../ann"),
        ("ANDROID_HOME", "~/work"),
        ("POETRY_HOME", "/etc"),
    ] {
        ann.set(name, value);
    }
    assert_eq!(ann.shown(), Vec::<String>::new());
    assert!(ann.because("~/papers").unwrap().contains("does not look like"));
    assert!(!ann.caches().iter().any(|(path, _)| path.contains(".ssh")), "{:?}", ann.caches());
}

#[test]
fn a_link_does_not_launder_a_secret() {
    let mut ann = Person::new();
    ann.file(".ssh/id_ed25519", "x")
        .file(".aws/credentials", "x")
        .link("tools/bin", "../.ssh")
        .link("java", ".aws");
    ann.link("bin/key", "../.ssh/id_ed25519")
        .on_path("~/tools/bin")
        .on_path("~/bin")
        .set("JAVA_HOME", "~/java");
    ann.link(".cache/pip", "../.aws")
        .link(".cargo/registry", "../.ssh")
        .program(".cargo/bin/cargo")
        .on_path("~/.cargo/bin")
        .on_path("/usr/bin");
    let shown = ann.shown();
    assert_eq!(shown, ["~/.cargo/bin", "~/bin"]);
    assert!(
        !ann.caches().iter().any(|(path, _)| path.contains("pip") || path.contains("registry")),
        "{:?}",
        ann.caches()
    );
}

#[test]
fn links_that_never_end_and_names_that_are_no_text_do_no_harm() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut ann = Person::new();
    ann.link("bin/a", "b").link("bin/b", "a").link("bin/gone", "/nowhere/at/all").link("loop", "loop");
    fs::write(ann.home().join("bin").join(std::ffi::OsStr::from_bytes(b"no\xfftext")), b"#!/\xff\n").unwrap();
    ann.file("bin/self", &format!("#!{}/bin/self\n", ann.home().display())).file("bin/odd name\n", "#!   \n");
    ann.on_path("~/bin").on_path("~/loop");
    assert_eq!(ann.shown(), ["~/bin"]);
    assert_eq!(ann.value("PATH").unwrap(), "~/bin");
}

#[test]
fn caches_are_there_when_they_or_their_tools_are() {
    let mut ann = Person::new();
    ann.folder("go/pkg/mod").folder(".m2/repository").folder(".cache/yarn").folder(".gradle/caches");
    let caches = ann.caches();
    for path in ["~/go/pkg/mod", "~/.m2/repository", "~/.cache/yarn", "~/.gradle/caches"] {
        assert!(caches.contains(&(path.to_owned(), true)), "{path} in {caches:?}");
    }
    assert!(!caches.iter().any(|(path, _)| path.contains(".cargo") || path.contains("uv")), "{caches:?}");
    ann.program("tools/uv").on_path("~/tools").set("XDG_CACHE_HOME", "~/.elsewhere");
    assert!(ann.caches().contains(&("~/.elsewhere/uv".to_owned(), false)));
    assert_eq!(ann.value("XDG_CACHE_HOME").unwrap(), "~/.elsewhere");
}

#[test]
fn a_cache_within_something_shown_must_be_there_already() {
    let mut ann = Person::new();
    ann.program(".bun/bin/bun").on_path("~/.bun/bin");
    assert!(!ann.caches().iter().any(|(path, _)| path.contains(".bun")), "{:?}", ann.caches());
    ann.folder(".bun/install/cache");
    assert!(ann.caches().contains(&("~/.bun/install/cache".to_owned(), true)));
    assert_eq!(ann.shown(), ["~/.bun"]);
}

#[test]
fn secrets_stay_outside_and_the_names_are_listed() {
    let mut ann = Person::new();
    for (name, value) in [
        ("OPENAI_API_KEY", "x"),
        ("GITHUB_TOKEN", "x"),
        ("CARGO_REGISTRY_TOKEN", "x"),
        ("npm_config__auth", "x"),
        ("PIP_INDEX_URL", "https://u:p@example.com/"),
        ("UV_DEFAULT_INDEX", "https://ann@example.com/simple"),
        ("GOFLAGS", "-x=ghp_0123456789abcdef"),
        ("UV_PUBLISH_PASSWORD", "x"),
        ("DATABASE_URL", "postgres://x"),
        ("LD_PRELOAD", "/x.so"),
        ("NODE_OPTIONS", "--require /x"),
        ("BASH_ENV", "/x"),
        ("SSH_AUTH_SOCK", "/run/x"),
        ("HTTPS_PROXY", "http://p:1"),
        ("JAVA_HOME", "/nowhere/jdk"),
        ("PYTHONPATH", "/nowhere"),
    ] {
        ann.set(name, value);
    }
    ann.set("LANG", "en_GB.UTF-8")
        .set("LC_ALL", "C")
        .set("TZ", "UTC")
        .set("GOPROXY", "https://proxy.example.com")
        .set("UV_OFFLINE", "1");
    let found = ann.discover();
    let names: Vec<&str> = found.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["GOPROXY", "HOME", "LANG", "LC_ALL", "PATH", "SHELL", "TZ", "UV_OFFLINE"]);
    assert_eq!(found.withheld.len(), 16, "{:?}", found.withheld);
    let because = |name: &str| found.withheld.iter().find(|held| held.name == name).unwrap().because;
    assert_eq!(because("PIP_INDEX_URL"), "it looks like a secret");
    assert_eq!(because("GOFLAGS"), "it looks like a secret");
    assert_eq!(because("HTTPS_PROXY"), "the run has its own way out");
    assert_eq!(because("JAVA_HOME"), "it names a place that is not inside");
}

#[test]
fn certificates_are_shown_and_keys_are_not() {
    let mut ann = Person::new();
    ann.file("ca/company.pem", "-----BEGIN CERTIFICATE-----\n")
        .file("ca/both.pem", "-----BEGIN PRIVATE KEY-----\n");
    ann.set("SSL_CERT_FILE", "~/ca/company.pem").set("CURL_CA_BUNDLE", "~/ca/both.pem");
    assert_eq!(ann.shown(), ["~/ca/company.pem"]);
    assert_eq!(ann.value("SSL_CERT_FILE").unwrap(), "~/ca/company.pem");
}

#[test]
fn a_folder_of_packages_is_shown_and_a_folder_of_anything_is_not() {
    let mut ann = Person::new();
    ann.file("wheels/a-1.0-py3-none-any.whl", "x")
        .set("PIP_FIND_LINKS", "~/wheels")
        .set("UV_FIND_LINKS", "https://example.com/wheels");
    assert_eq!(ann.shown(), ["~/wheels"]);
    assert_eq!(ann.value("UV_FIND_LINKS").unwrap(), "https://example.com/wheels");
    ann.file("wheels/diary.txt", "x");
    assert_eq!(ann.shown(), Vec::<String>::new());
}

#[test]
fn the_home_may_be_behind_a_link() {
    let mut ann = Person::new();
    ann.program(".pyenv/versions/3.12/bin/python")
        .program(".cargo/bin/cargo")
        .link("tools/python", "../.pyenv/versions/3.12");
    symlink(ann.folder.path().join("home"), ann.folder.path().join("h")).unwrap();
    let home = ann.folder.path().join("h/ann");
    ann.path = vec![
        home.join(".cargo/bin").display().to_string(),
        home.join("tools/python/bin").display().to_string(),
    ];
    let environment =
        Environment { home: home.clone(), workspace: home.join("work/app"), ..ann.environment() };
    let found = discover(&environment);
    let shown: Vec<String> = found
        .shown
        .iter()
        .map(|shown| shown.path.strip_prefix(&home).unwrap().display().to_string())
        .collect();
    assert_eq!(shown, [".cargo/bin", ".pyenv", "tools/python"], "spelt as the person spells it");
}

#[test]
fn git_settings_are_kept_only_if_they_are_safe() {
    let listing = b"user.name\nAnn \"A\\B\" Example\0user.email\nann@example.com\0core.editor\nevil\0core.sshcommand\nevil\0\
        alias.x\n!sh\0credential.helper\nstore\0url.https://t@x/.insteadof\ny\0core.autocrlf\ninput\0pull.rebase\n!evil\0\
        init.defaultBranch\nmain\0user.email\nann@work.example\0push.autosetupremote\0user.signingkey\nABC\0core.hooksPath\n/x\0";
    let config = String::from_utf8(git::private_config(listing)).unwrap();
    assert_eq!(
        config,
        "[user]\n\tname = \"Ann \\\"A\\\\B\\\" Example\"\n[user]\n\temail = \"ann@work.example\"\n\
         [init]\n\tdefaultbranch = \"main\"\n[core]\n\tautocrlf = \"input\"\n[push]\n\tautosetupremote = \"true\"\n"
    );
}

#[test]
fn a_name_cannot_become_a_setting() {
    let config = git::private_config(b"user.name\nx\n[core]\n\tsshCommand = evil\0");
    assert_eq!(config, b"", "a name with a line end is no name");
}

#[test]
fn the_hosts_git_tells_who_the_person_is_and_git_reads_it_back() {
    let mut ann = Person::new();
    ann.file(
        ".gitconfig",
        "[user]\n\tname = Ann; \\\"quoted\\\" #1\n[core]\n\tsshCommand = evil\n[include]\n\tpath = other\n",
    );
    ann.file("other", "[user]\n\temail = from@include\n").on_path("/usr/bin");
    let config = git::ask(&ann.environment()).identity().unwrap();
    fs::write(ann.folder.path().join("private"), &config).unwrap();
    let read = |key: &str, file: &Path| {
        let output =
            std::process::Command::new("git").args(["config", "--file"]).arg(file).arg(key).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let private = ann.folder.path().join("private");
    assert_eq!(read("user.name", &private), read("user.name", &ann.home().join(".gitconfig")));
    assert_eq!(
        (read("core.sshCommand", &private), read("user.email", &private)),
        (String::new(), String::new())
    );
}

#[test]
fn a_home_without_git_settings_has_none() {
    let mut ann = Person::new();
    ann.on_path("/usr/bin");
    assert_eq!(git::ask(&ann.environment()).identity(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_the_environment_says_no_secret_place_is_shown(
        entries in proptest::collection::vec("(~|~/\\.ssh|~/\\.config|~/\\.cargo|/etc|/proc|\\.\\.|~/tools)?(/(\\.\\.|bin|\\.ssh|gh|a))?(/(\\.\\.|bin))?", 0..6),
        roots in proptest::collection::vec(("JAVA_HOME|GOPATH|CARGO_HOME|PYENV_ROOT|XDG_CACHE_HOME|XDG_CONFIG_HOME|XDG_DATA_HOME", "(~|~/\\.ssh|~/\\.config|/|~/tools)(/\\.\\./\\.ssh|/bin|/\\.\\.)?"), 0..4),
    ) {
        let mut ann = Person::new();
        ann.file(".ssh/bin/id", "x").file(".config/gh/hosts.yml", "x").file(".cargo/credentials.toml", "x").program(".cargo/bin/cargo").program("tools/bin/x");
        ann.link("tools/lib", "../.ssh").link("tools/bin/k", "../../.ssh/bin/id");
        entries.iter().for_each(|entry| { ann.on_path(entry); });
        roots.iter().for_each(|(name, value)| { ann.set(name, value); });
        let found = ann.discover();
        let secrets = [".ssh", ".ssh/bin/id", ".config/gh/hosts.yml", ".cargo/credentials.toml"].map(|path| ann.home().join(path));
        let trees = found.shown.iter().map(|shown| &shown.path).chain(found.caches.iter().filter_map(|cache| cache.lower.as_ref()));
        for tree in trees {
            // A shown link is shown as the tree it leads to, at worst.
            let real = fs::canonicalize(tree).unwrap_or_else(|_| tree.clone());
            prop_assert!(!secrets.iter().any(|secret| secret.starts_with(&real) || real.starts_with(secret)), "{tree:?}");
            prop_assert!(!real.starts_with("/proc") && !real.starts_with("/etc"), "{tree:?}");
        }
        let path = found.environment.iter().find(|(name, _)| name == "PATH").unwrap().1.clone();
        prop_assert!(path.is_empty() || path.split(':').all(|entry| entry.starts_with('/') && !entry.contains("..")), "{path}");
    }

    #[test]
    fn a_private_git_configuration_holds_only_safe_settings(listing in proptest::collection::vec(any::<u8>(), 0..200), name in "\\PC{0,40}|[\\[\\]\n\r\"\\\\#;=]{0,8}") {
        let listing = [b"user.name\n", name.as_bytes(), b"\0", &listing].concat();
        let config = String::from_utf8(git::private_config(&listing)).unwrap();
        for line in config.lines() {
            let section = line.starts_with('[') && line.ends_with(']') && line[1..line.len() - 1].bytes().all(|byte| byte.is_ascii_lowercase());
            let setting = line.starts_with('\t') && line.contains(" = \"") && line.ends_with('"');
            prop_assert!(section || setting, "{line:?}");
        }
    }
}
