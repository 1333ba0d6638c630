//! Which variables of the person's environment go inside.
//!
//! Owns: the list of those that are known to be harmless and useful, and the eye for secrets that overrules the list.
//! Does not own: what an agent needs beside them (`agents`), what the run itself sets (proxies, its own words).
//! What is not on the list stays out; so do values that name a place which is not inside.

use super::{Environment, Inside, places, table};
use std::path::Path;

/// A variable that stays outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Withheld {
    /// Its name. The value is told to nobody.
    pub name: String,
    /// For the person.
    pub because: &'static str,
}

/// Harmless as they are.
const PLAIN: &[&str] = &[
    "LANG",
    "LANGUAGE",
    "TERM",
    "COLORTERM",
    "TZ",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "LS_COLORS",
    "CI",
    "USER",
    "LOGNAME",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "DEBIAN_FRONTEND",
    "SOURCE_DATE_EPOCH",
    "MAKEFLAGS",
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "CMAKE_GENERATOR",
    "CC",
    "CXX",
    "CPP",
    "AR",
    "LD",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "PKG_CONFIG",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "RUSTFLAGS",
    "RUSTDOCFLAGS",
    "RUSTC_WRAPPER",
    "GO111MODULE",
    "GOFLAGS",
    "GOPROXY",
    "GONOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOTOOLCHAIN",
    "GOOS",
    "GOARCH",
    "GOMAXPROCS",
    "CGO_ENABLED",
    "CGO_CFLAGS",
    "CGO_LDFLAGS",
    "NODE_ENV",
    "COREPACK_ENABLE_STRICT",
    "COREPACK_NPM_REGISTRY",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
    "PYTHONUTF8",
    "PYTHONIOENCODING",
    "PYTHONHASHSEED",
    "PYTHONWARNINGS",
    "PYENV_VERSION",
    "PYENV_SHELL",
    "RBENV_VERSION",
    "NODE_VERSION",
    "NVM_BIN",
    "NVM_INC",
    "VOLTA_FEATURE_PNPM",
    "MAVEN_OPTS",
    "GRADLE_OPTS",
    "JAVA_OPTS",
    "_JAVA_OPTIONS",
    "JAVA_TOOL_OPTIONS",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_AUTO_INSTALL",
    "DOTNET_CLI_TELEMETRY_OPTOUT",
    "DOTNET_NOLOGO",
    "HOMEBREW_NO_AUTO_UPDATE",
    "CONDA_DEFAULT_ENV",
    "DO_NOT_TRACK",
    "TF_CPP_MIN_LOG_LEVEL",
    "TOX_PARALLEL_NO_SPINNER",
];

/// Families that are harmless as they are.
const FAMILIES: &[&str] = &[
    "LC_",
    "CARGO_",
    "RUSTUP_",
    "PIP_",
    "UV_",
    "npm_config_",
    "NPM_CONFIG_",
    "PYTEST_",
    "JEST_",
    "VITEST_",
    "YARN_",
    "POETRY_",
];

/// Ways out and ways to start programs that are not those of the inside: however harmless the family.
const NEVER: &[&str] = &[
    "PIP_PYTHON",
    "PIP_PROXY",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "NPM_CONFIG_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "CARGO_HTTP_PROXY",
    "npm_config_node_options",
    "npm_config_script_shell",
    "YARN_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
];

/// Certificates that the person's programs trust; the files are shown.
pub(crate) const CERTIFICATES: [&str; 17] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "UV_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "AWS_CA_BUNDLE",
    "NIX_SSL_CERT_FILE",
    "npm_config_cafile",
    "DENO_CERT",
    "CODEX_CA_CERTIFICATE",
    "BUNDLE_SSL_CA_CERT",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
];

/// Variables of an activated environment, whose value names a place.
const PLACES: &[&str] = &[
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "NODE_PATH",
    "PKG_CONFIG_PATH",
    "CMAKE_PREFIX_PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
];

/// The environment, divided.
pub(super) struct Sorted {
    pub(super) inside: Vec<(String, String)>,
    pub(super) withheld: Vec<Withheld>,
}

/// Divides the environment. `path` is the PATH for the inside.
pub(super) fn sort(environment: &Environment, path: &str, inside: &Inside<'_>) -> Sorted {
    let mut given = vec![
        ("HOME".to_owned(), environment.home.display().to_string()),
        ("PATH".to_owned(), path.to_owned()),
        ("SHELL".to_owned(), shell(environment)),
    ];
    let mut withheld: Vec<Withheld> = environment
        .not_text
        .iter()
        .map(|name| Withheld { name: name.clone(), because: "it is no text" })
        .collect();
    for (name, value) in &environment.variables {
        match verdict(name, value, inside) {
            Ok(()) => given.push((name.clone(), value.clone())),
            Err(Some(because)) => withheld.push(Withheld { name: name.clone(), because }),
            Err(None) => {}
        }
    }
    given.sort();
    withheld.sort();
    Sorted { inside: given, withheld }
}

/// A shell of the system: what the person's own is made of may not be inside.
fn shell(environment: &Environment) -> String {
    let own = environment
        .get("SHELL")
        .filter(|shell| places::is_system(Path::new(shell)) && Path::new(shell).is_file());
    own.unwrap_or("/bin/sh").to_owned()
}

/// `Err(None)`: the run sets it itself.
fn verdict(name: &str, value: &str, inside: &Inside<'_>) -> Result<(), Option<&'static str>> {
    if matches!(
        name,
        "HOME" | "PATH" | "SHELL" | "PWD" | "OLDPWD" | "SHLVL" | "_" | "TMPDIR" | "TMP" | "TEMP"
    ) {
        return Err(None);
    }
    if is_secret_name(name) || is_secret_value(value) {
        return Err(Some("it looks like a secret"));
    }
    let lower = name.to_ascii_lowercase();
    if matches!(lower.as_str(), "http_proxy" | "https_proxy" | "all_proxy" | "no_proxy" | "ftp_proxy") {
        return Err(Some("the run has its own way out"));
    }
    if value.contains('\0') || value.len() > 32 * 1024 {
        return Err(Some("it is too long"));
    }
    let place = CERTIFICATES.contains(&name) || PLACES.contains(&name) || table::names_a_place(name);
    if place && !value.contains("://") {
        let all = std::env::split_paths(value).all(|path| path.as_os_str().is_empty() || inside.has(&path));
        return if all { Ok(()) } else { Err(Some("it names a place that is not inside")) };
    }
    let known = place || PLAIN.contains(&name) || FAMILIES.iter().any(|family| name.starts_with(family));
    if known && !NEVER.contains(&name) { Ok(()) } else { Err(Some("it is not known to be needed")) }
}

/// Whether a variable of this name holds a secret, as names go.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    const ANYWHERE: [&str; 7] = ["TOKEN", "SECRET", "PASSW", "CREDENTIAL", "APIKEY", "PASSPHRASE", "COOKIE"];
    const PARTS: [&str; 13] = [
        "KEY", "KEYS", "AUTH", "PASS", "PAT", "PWD", "PRIVATE", "JWT", "BEARER", "DSN", "SESSION", "LOGIN",
        "OTP",
    ];
    let upper = name.to_ascii_uppercase();
    if ["PWD", "OLDPWD", "TOKENIZERS_PARALLELISM"].contains(&upper.as_str()) {
        return false;
    }
    ANYWHERE.iter().any(|word| upper.contains(word))
        || upper.split(|one: char| !one.is_ascii_alphanumeric()).any(|part| PARTS.contains(&part))
}

/// Whether a value is a secret, as values go: a web address with a user in it, a private key, a token of a known make.
#[must_use]
pub fn is_secret_value(value: &str) -> bool {
    const MAKES: [&str; 26] = [
        "sk-",
        "sk_live_",
        "rk_live_",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xoxp-",
        "xoxa-",
        "AKIA",
        "ASIA",
        "AIza",
        "ya29.",
        "npm_",
        "pypi-",
        "dckr_pat_",
        "hf_",
        "hvs.",
        "eyJ",
        "AGE-SECRET-KEY-",
        "dop_v1_",
        "lin_api_",
    ];
    let token = |word: &str| MAKES.iter().any(|make| word.starts_with(make) && word.len() >= make.len() + 12);
    places::has_userinfo(value)
        || value.contains("PRIVATE KEY")
        || value
            .split(|one: char| one.is_whitespace() || matches!(one, '=' | ',' | ';' | '"' | '\''))
            .any(token)
}
