//! What each tool calls its places, as a table: a tool that is missing here is a line to add.
//!
//! `$NAME/rest` is the variable's value, or its usual value ([`USUAL`]); with neither, the place is skipped. A last part
//! that ends in `*` stands for every name that begins so. Places are relative to the home.

use super::installation::Gathered;
use super::places::{self, Places};
use super::{Cache, Environment, Names};
use std::fs;
use std::path::{Path, PathBuf};

/// A tool, its programs and its places.
struct Tool {
    name: &'static str,
    /// One of these on PATH: the tool is there.
    programs: &'static [&'static str],
    /// Installations, read-only.
    show: &'static [&'static str],
    /// Configuration files: shown only without a secret in them.
    settings: &'static [&'static str],
    /// What is filled between builds.
    caches: &'static [&'static str],
}

/// Values of variables that are not set.
const USUAL: &[(&str, &str)] = &[
    ("XDG_CACHE_HOME", ".cache"),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
    ("XDG_STATE_HOME", ".local/state"),
    ("CARGO_HOME", ".cargo"),
    ("RUSTUP_HOME", ".rustup"),
    ("SCCACHE_DIR", "$XDG_CACHE_HOME/sccache"),
    ("CCACHE_DIR", "$XDG_CACHE_HOME/ccache"),
    ("PYENV_ROOT", ".pyenv"),
    ("PIP_CACHE_DIR", "$XDG_CACHE_HOME/pip"),
    ("UV_CACHE_DIR", "$XDG_CACHE_HOME/uv"),
    ("UV_PYTHON_INSTALL_DIR", "$XDG_DATA_HOME/uv/python"),
    ("UV_TOOL_DIR", "$XDG_DATA_HOME/uv/tools"),
    ("POETRY_HOME", "$XDG_DATA_HOME/pypoetry"),
    ("POETRY_CACHE_DIR", "$XDG_CACHE_HOME/pypoetry"),
    ("PIPX_HOME", "$XDG_DATA_HOME/pipx"),
    ("PRE_COMMIT_HOME", "$XDG_CACHE_HOME/pre-commit"),
    ("NVM_DIR", ".nvm"),
    ("FNM_DIR", "$XDG_DATA_HOME/fnm"),
    ("VOLTA_HOME", ".volta"),
    ("npm_config_cache", ".npm"),
    ("NPM_CONFIG_USERCONFIG", ".npmrc"),
    ("COREPACK_HOME", "$XDG_CACHE_HOME/node/corepack"),
    ("PNPM_HOME", "$XDG_DATA_HOME/pnpm"),
    ("BUN_INSTALL", ".bun"),
    ("DENO_INSTALL", ".deno"),
    ("DENO_DIR", "$XDG_CACHE_HOME/deno"),
    ("PLAYWRIGHT_BROWSERS_PATH", "$XDG_CACHE_HOME/ms-playwright"),
    ("GOPATH", "go"),
    ("GOMODCACHE", "$GOPATH/pkg/mod"),
    ("GOCACHE", "$XDG_CACHE_HOME/go-build"),
    ("GOENV", "$XDG_CONFIG_HOME/go/env"),
    ("GOLANGCI_LINT_CACHE", "$XDG_CACHE_HOME/golangci-lint"),
    ("SDKMAN_DIR", ".sdkman"),
    ("JABBA_HOME", ".jabba"),
    ("GRADLE_USER_HOME", ".gradle"),
    ("COURSIER_CACHE", "$XDG_CACHE_HOME/coursier"),
    ("RBENV_ROOT", ".rbenv"),
    ("rvm_path", ".rvm"),
    ("COMPOSER_CACHE_DIR", "$XDG_CACHE_HOME/composer"),
    ("DOTNET_ROOT", ".dotnet"),
    ("NUGET_PACKAGES", ".nuget/packages"),
    ("PUB_CACHE", ".pub-cache"),
    ("OPAMROOT", ".opam"),
    ("ASDF_DATA_DIR", ".asdf"),
    ("MISE_DATA_DIR", "$XDG_DATA_HOME/mise"),
    ("MISE_CACHE_DIR", "$XDG_CACHE_HOME/mise"),
    ("PROTO_HOME", ".proto"),
    ("ANDROID_HOME", "Android/Sdk"),
];

const TOOLS: &[Tool] = &[
    Tool {
        name: "rust",
        programs: &["cargo", "rustc", "rustup"],
        show: &["$CARGO_HOME/bin", "$CARGO_HOME/env", "$RUSTUP_HOME"],
        settings: &["$CARGO_HOME/config.toml", "$CARGO_HOME/config"],
        caches: &["$CARGO_HOME/registry", "$CARGO_HOME/git"],
    },
    Tool { name: "sccache", programs: &["sccache"], show: &[], settings: &[], caches: &["$SCCACHE_DIR"] },
    Tool {
        name: "ccache",
        programs: &["ccache"],
        show: &[],
        settings: &[],
        caches: &["$CCACHE_DIR", ".ccache"],
    },
    Tool {
        name: "python",
        programs: &["python3", "python", "pip", "pip3"],
        show: &["$PYENV_ROOT", ".local/lib/python*", "$PIP_FIND_LINKS"],
        settings: &["$XDG_CONFIG_HOME/pip/pip.conf", ".pip/pip.conf", ".condarc"],
        caches: &["$PIP_CACHE_DIR"],
    },
    Tool {
        name: "uv",
        programs: &["uv", "uvx"],
        show: &["$UV_PYTHON_INSTALL_DIR", "$UV_TOOL_DIR", "$UV_FIND_LINKS"],
        settings: &["$XDG_CONFIG_HOME/uv/uv.toml"],
        caches: &["$UV_CACHE_DIR"],
    },
    Tool {
        name: "poetry",
        programs: &["poetry"],
        show: &["$POETRY_HOME"],
        settings: &["$XDG_CONFIG_HOME/pypoetry/config.toml"],
        caches: &["$POETRY_CACHE_DIR"],
    },
    Tool {
        name: "pipx",
        programs: &["pipx"],
        show: &["$PIPX_HOME", ".local/pipx"],
        settings: &[],
        caches: &[],
    },
    Tool {
        name: "pre-commit",
        programs: &["pre-commit"],
        show: &[],
        settings: &[],
        caches: &["$PRE_COMMIT_HOME"],
    },
    Tool {
        name: "node",
        programs: &["node", "npm", "npx"],
        show: &["$NVM_DIR", "$FNM_DIR", "$VOLTA_HOME"],
        settings: &["$NPM_CONFIG_USERCONFIG"],
        caches: &[
            "$npm_config_cache/_cacache",
            "$npm_config_cache/_npx",
            "$XDG_CACHE_HOME/node-gyp",
            "$COREPACK_HOME",
        ],
    },
    Tool {
        name: "yarn",
        programs: &["yarn", "yarnpkg"],
        show: &[],
        settings: &[".yarnrc", ".yarnrc.yml"],
        caches: &["$XDG_CACHE_HOME/yarn", ".yarn/berry"],
    },
    Tool {
        name: "pnpm",
        programs: &["pnpm"],
        show: &["$PNPM_HOME"],
        settings: &["$XDG_CONFIG_HOME/pnpm/rc"],
        caches: &["$PNPM_HOME/store", "$XDG_CACHE_HOME/pnpm"],
    },
    Tool {
        name: "bun",
        programs: &["bun"],
        show: &["$BUN_INSTALL"],
        settings: &[".bunfig.toml"],
        caches: &["$BUN_INSTALL/install/cache"],
    },
    Tool {
        name: "deno",
        programs: &["deno"],
        show: &["$DENO_INSTALL"],
        settings: &[],
        caches: &["$DENO_DIR"],
    },
    Tool {
        name: "browsers for tests",
        programs: &["playwright"],
        show: &[],
        settings: &[],
        caches: &["$PLAYWRIGHT_BROWSERS_PATH", "$XDG_CACHE_HOME/puppeteer", "$XDG_CACHE_HOME/Cypress"],
    },
    Tool {
        name: "go",
        programs: &["go"],
        show: &["$GOROOT", "$GOPATH/bin", "$GOBIN"],
        settings: &["$GOENV"],
        caches: &["$GOMODCACHE", "$GOPATH/pkg/sumdb", "$GOCACHE", "$GOLANGCI_LINT_CACHE"],
    },
    Tool {
        name: "java",
        programs: &["java", "javac"],
        show: &["$JAVA_HOME", "$JDK_HOME", "$GRAALVM_HOME", "$SDKMAN_DIR", "$JABBA_HOME", ".jdks"],
        settings: &[],
        caches: &[],
    },
    Tool {
        name: "gradle",
        programs: &["gradle", "java"],
        show: &["$GRADLE_HOME"],
        settings: &["$GRADLE_USER_HOME/gradle.properties"],
        caches: &["$GRADLE_USER_HOME/caches", "$GRADLE_USER_HOME/wrapper"],
    },
    Tool {
        name: "maven",
        programs: &["mvn", "java"],
        show: &["$MAVEN_HOME", "$M2_HOME"],
        settings: &[".m2/settings.xml"],
        caches: &[".m2/repository", ".m2/wrapper"],
    },
    Tool {
        name: "scala",
        programs: &["sbt", "scala", "cs"],
        show: &[],
        settings: &[],
        caches: &["$COURSIER_CACHE", ".ivy2/cache", ".sbt/boot"],
    },
    Tool {
        name: "ruby",
        programs: &["ruby", "bundle"],
        show: &["$RBENV_ROOT", "$rvm_path", ".gem/ruby", "$XDG_DATA_HOME/gem/ruby"],
        settings: &[],
        caches: &[".bundle/cache"],
    },
    Tool {
        name: "composer",
        programs: &["composer"],
        show: &["$XDG_CONFIG_HOME/composer/vendor", ".composer/vendor"],
        settings: &[],
        caches: &["$COMPOSER_CACHE_DIR"],
    },
    Tool {
        name: "dotnet",
        programs: &["dotnet"],
        show: &[
            "$DOTNET_ROOT/dotnet",
            "$DOTNET_ROOT/sdk",
            "$DOTNET_ROOT/shared",
            "$DOTNET_ROOT/host",
            "$DOTNET_ROOT/packs",
            "$DOTNET_ROOT/sdk-manifests",
            "$DOTNET_ROOT/templates",
            ".dotnet/tools",
        ],
        settings: &[".nuget/NuGet/NuGet.Config"],
        caches: &["$NUGET_PACKAGES", "$XDG_DATA_HOME/NuGet/v3-cache"],
    },
    Tool {
        name: "haskell",
        programs: &["ghc", "cabal", "stack"],
        show: &[".ghcup", ".cabal/bin", ".stack/programs"],
        settings: &[],
        caches: &[".cabal/packages", ".cabal/store", ".stack/pantry", ".stack/snapshots"],
    },
    Tool {
        name: "elixir",
        programs: &["mix", "elixir"],
        show: &[".mix/archives", ".mix/elixir"],
        settings: &[],
        caches: &[".hex/packages"],
    },
    Tool {
        name: "dart",
        programs: &["dart", "flutter"],
        show: &["$FLUTTER_ROOT", "$PUB_CACHE/bin"],
        settings: &[],
        caches: &["$PUB_CACHE/hosted", "$PUB_CACHE/git"],
    },
    Tool { name: "ocaml", programs: &["opam", "ocaml"], show: &["$OPAMROOT"], settings: &[], caches: &[] },
    Tool { name: "perl", programs: &["perl"], show: &["perl5"], settings: &[], caches: &[] },
    Tool { name: "zig", programs: &["zig"], show: &[], settings: &[], caches: &["$XDG_CACHE_HOME/zig"] },
    Tool {
        name: "bazel",
        programs: &["bazel", "bazelisk"],
        show: &[],
        settings: &[],
        caches: &["$XDG_CACHE_HOME/bazelisk"],
    },
    Tool {
        name: "android",
        programs: &["adb"],
        show: &["$ANDROID_HOME", "$ANDROID_SDK_ROOT"],
        settings: &[],
        caches: &[".android/cache"],
    },
    Tool {
        name: "cuda",
        programs: &["nvcc"],
        show: &["$CUDA_HOME", "$CUDA_PATH"],
        settings: &[],
        caches: &[],
    },
    Tool {
        name: "vcpkg",
        programs: &["vcpkg"],
        show: &["$VCPKG_ROOT"],
        settings: &[],
        caches: &["$XDG_CACHE_HOME/vcpkg"],
    },
    Tool { name: "homebrew", programs: &["brew"], show: &["$HOMEBREW_PREFIX"], settings: &[], caches: &[] },
    Tool {
        name: "conda",
        programs: &["conda", "mamba"],
        show: &["$CONDA_PREFIX", "$MAMBA_ROOT_PREFIX"],
        settings: &[],
        caches: &[],
    },
    Tool {
        name: "asdf",
        programs: &["asdf"],
        show: &["$ASDF_DIR", "$ASDF_DATA_DIR"],
        settings: &[".tool-versions", ".asdfrc"],
        caches: &[],
    },
    Tool {
        name: "mise",
        programs: &["mise", "rtx"],
        show: &["$MISE_DATA_DIR"],
        settings: &["$XDG_CONFIG_HOME/mise/config.toml"],
        caches: &["$MISE_CACHE_DIR"],
    },
    Tool { name: "terminal descriptions", programs: &[], show: &[".terminfo"], settings: &[], caches: &[] },
    Tool { name: "proto", programs: &["proto"], show: &["$PROTO_HOME"], settings: &[], caches: &[] },
    Tool {
        name: "nix",
        programs: &["nix"],
        show: &[".nix-profile", "$XDG_STATE_HOME/nix/profiles"],
        settings: &[],
        caches: &[],
    },
];

/// Whether a variable names a place of a tool.
pub(super) fn names_a_place(variable: &str) -> bool {
    let named =
        |template: &str| template.strip_prefix('$').and_then(|rest| rest.split('/').next()) == Some(variable);
    TOOLS
        .iter()
        .any(|tool| tool.show.iter().chain(tool.settings).chain(tool.caches).any(|template| named(template)))
        || USUAL.iter().any(|(name, _)| *name == variable)
}

/// Gathers what is shown for the tools that are there, and gives their caches.
pub(super) fn gather(
    environment: &Environment,
    places: &Places,
    programs: &Names,
    gathered: &mut Gathered,
) -> Vec<Cache> {
    let mut caches: Vec<Cache> = Vec::new();
    for tool in TOOLS {
        let mut there = tool.programs.iter().any(|program| programs.contains(std::ffi::OsStr::new(program)));
        for template in tool.show {
            let chosen = template.strip_prefix('$').is_some_and(|name| environment.get(name).is_some());
            for path in expand(template, environment).into_iter().filter(|path| path.exists()) {
                there = true;
                // A variable can be set to anything; what everybody calls so by custom is what it is.
                if chosen {
                    gathered.root(&path, places, tool.name)
                } else {
                    gathered.tree(&path, places, tool.name)
                }
            }
        }
        for path in tool.settings.iter().flat_map(|template| expand(template, environment)) {
            show_settings(&path, places, tool.name, gathered);
        }
        for path in tool.caches.iter().flat_map(|template| expand(template, environment)) {
            caches.extend(cache(&path, places, tool.name, there));
        }
    }
    caches.sort_by(|one, other| one.path.cmp(&other.path));
    caches.dedup_by(|one, other| one.path == other.path);
    let all = caches.clone();
    caches.retain(|cache| {
        !all.iter().any(|other| other.path != cache.path && cache.path.starts_with(&other.path))
    });
    caches
}

fn show_settings(path: &Path, places: &Places, why: &str, gathered: &mut Gathered) {
    let Ok(text) = fs::read_to_string(path) else { return };
    if places::carries_secret(&text) {
        return gathered.leave(path, "a line of it looks like a secret");
    }
    gathered.file(path, places, why);
}

/// A cache, if it or its tool is there. One that the home's layout puts elsewhere by a link is layered over what the
/// link leads to.
fn cache(path: &Path, places: &Places, why: &str, there: bool) -> Option<Cache> {
    let lower = places.real(path).filter(|real| real.is_dir());
    let refused =
        [Some(path), lower.as_deref()].into_iter().flatten().any(|path| places.refusal(path).is_some());
    if refused || places.in_workspace(path) || (lower.is_none() && !there) {
        return None;
    }
    Some(Cache { path: path.to_owned(), lower, why: why.to_owned() })
}

/// The places that a template stands for.
fn expand(template: &str, environment: &Environment) -> Vec<PathBuf> {
    let bases: Vec<PathBuf> = match template.strip_prefix('$') {
        None => vec![environment.home.join(template)],
        Some(rest) => {
            let (name, beneath) = rest.split_once('/').unwrap_or((rest, ""));
            let values = value(name, environment);
            values
                .into_iter()
                .map(|base| if beneath.is_empty() { base } else { base.join(beneath) })
                .collect()
        }
    };
    bases.into_iter().flat_map(|path| spread(&path)).filter(|path| places::is_plain(path)).collect()
}

/// The values of a place's variable: what is set, if it is absolute, or else the usual.
fn value(name: &str, environment: &Environment) -> Vec<PathBuf> {
    if let Some(set) = environment.get(name) {
        return std::env::split_paths(set).filter(|path| places::is_plain(path)).collect();
    }
    let usual = USUAL.iter().find(|(variable, _)| *variable == name);
    usual.map(|(_, template)| expand(template, environment)).unwrap_or_default()
}

/// A last part ending in `*`: every entry that begins so.
fn spread(path: &Path) -> Vec<PathBuf> {
    let Some(stem) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix('*'))
    else {
        return vec![path.to_owned()];
    };
    let Some(listing) = path.parent().and_then(|folder| fs::read_dir(folder).ok()) else { return Vec::new() };
    let names = listing
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(stem)));
    names.map(|entry| entry.path()).collect()
}
