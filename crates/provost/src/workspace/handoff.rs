//! Handoff files: what other programs later execute or obey, outside of any sandbox.
//!
//! Owns: which names these are, compared as the most forgiving file system would, and why each matters. It is a list of what
//! tools are known to obey, not a proof: a reviewer reads everything, these files first. Does not own what becomes of
//! them (`land`).

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use super::name::folded;

/// Who would obey the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Handoff {
    /// Git itself: its folder, attributes, submodules.
    Git,
    /// Hooks that git or its helpers run.
    Hook,
    /// Build servers.
    Ci,
    /// Coding agents.
    Agent,
    /// Editors.
    Editor,
    /// Shells and tools that read settings in the folder they are in.
    Shell,
    /// Builds and tests.
    Build,
    /// Package managers: it decides which code is fetched.
    Source,
    /// Provost.
    Policy,
    /// Whoever follows the link.
    Link,
    /// Whoever may run it, or anyone it is opened to: mode bits.
    Mode,
}

impl Handoff {
    /// Why it must not land unseen.
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Handoff::Git => "git obeys it",
            Handoff::Hook => "git hooks run it",
            Handoff::Ci => "build servers obey it",
            Handoff::Agent => "coding agents obey it",
            Handoff::Editor => "editors obey it",
            Handoff::Shell => "shells and tools obey it",
            Handoff::Build => "builds and tests run it",
            Handoff::Source => "it decides which code is fetched",
            Handoff::Policy => "Provost obeys it",
            Handoff::Link => "it is a link, and leads elsewhere",
            Handoff::Mode => "it becomes a program, or open to others",
        }
    }
}

/// Folders at any depth, with everything in them.
const FOLDERS: [(&str, Handoff); 46] = [
    (".git", Handoff::Git),
    (".provost", Handoff::Policy),
    (".husky", Handoff::Hook),
    (".githooks", Handoff::Hook),
    ("githooks", Handoff::Hook),
    (".github", Handoff::Ci),
    (".gitlab", Handoff::Ci),
    (".gitea", Handoff::Ci),
    (".forgejo", Handoff::Ci),
    (".circleci", Handoff::Ci),
    (".buildkite", Handoff::Ci),
    (".woodpecker", Handoff::Ci),
    (".teamcity", Handoff::Ci),
    (".azure-pipelines", Handoff::Ci),
    (".claude", Handoff::Agent),
    (".claude-plugin", Handoff::Agent),
    (".codex", Handoff::Agent),
    (".gemini", Handoff::Agent),
    (".cursor", Handoff::Agent),
    (".windsurf", Handoff::Agent),
    (".continue", Handoff::Agent),
    (".opencode", Handoff::Agent),
    (".agents", Handoff::Agent),
    (".aider", Handoff::Agent),
    (".roo", Handoff::Agent),
    (".clinerules", Handoff::Agent),
    (".kiro", Handoff::Agent),
    (".qwen", Handoff::Agent),
    (".junie", Handoff::Agent),
    (".amazonq", Handoff::Agent),
    (".goose", Handoff::Agent),
    (".vscode", Handoff::Editor),
    (".idea", Handoff::Editor),
    (".zed", Handoff::Editor),
    (".fleet", Handoff::Editor),
    (".vs", Handoff::Editor),
    (".nvim", Handoff::Editor),
    (".devcontainer", Handoff::Editor),
    (".direnv", Handoff::Shell),
    (".cargo", Handoff::Build),
    (".mvn", Handoff::Build),
    (".yarn", Handoff::Build),
    (".bundle", Handoff::Build),
    ("node_modules", Handoff::Build),
    (".venv", Handoff::Build),
    ("site-packages", Handoff::Build),
];

/// Files at any depth.
const GIT: &[&str] = &[".gitattributes", ".gitmodules", ".gitconfig", ".lfsconfig"];
const HOOK: &[&str] = &[".pre-commit-config.yaml", ".pre-commit-hooks.yaml", "lefthook.yml", ".lefthook.yml"];
const CI: &[&str] = &[
    ".gitlab-ci.yml",
    ".gitlab-ci.yaml",
    ".travis.yml",
    "jenkinsfile",
    "azure-pipelines.yml",
    ".drone.yml",
    ".woodpecker.yml",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    ".appveyor.yml",
    "cloudbuild.yaml",
    "cloudbuild.yml",
    "buildspec.yml",
    ".cirrus.yml",
    ".cirrus.star",
    "codemagic.yaml",
    "renovate.json",
    ".renovaterc",
    "codeowners",
    ".goreleaser.yml",
    ".goreleaser.yaml",
    "vercel.json",
    "netlify.toml",
    "fly.toml",
    "wrangler.toml",
];
const AGENT: &[&str] = &[
    "agents.md",
    "agents.override.md",
    "claude.md",
    "claude.local.md",
    "gemini.md",
    "codex.md",
    "qwen.md",
    "skill.md",
    ".mcp.json",
    "mcp.json",
    ".cursorrules",
    ".windsurfrules",
    ".clinerules",
    ".roorules",
    ".goosehints",
    ".aider.conf.yml",
    "opencode.json",
    "opencode.jsonc",
    "crush.json",
    ".crush.json",
    "copilot-instructions.md",
];
const EDITOR: &[&str] = &[
    ".exrc",
    ".vimrc",
    ".nvimrc",
    ".nvim.lua",
    ".lvimrc",
    ".dir-locals.el",
    ".dir-locals-2.el",
    ".projectile",
];
const SHELL: &[&str] = &[
    ".envrc",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_logout",
    ".bash_aliases",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    ".zlogin",
    ".inputrc",
    ".netrc",
    ".curlrc",
    ".wgetrc",
    ".gdbinit",
    ".lldbinit",
    ".irbrc",
    ".pryrc",
    ".psqlrc",
    ".sqliterc",
    ".rprofile",
    ".pythonrc",
    ".tool-versions",
    ".mise.toml",
    "mise.toml",
    ".nvmrc",
    ".node-version",
    ".python-version",
    ".ruby-version",
    ".java-version",
    ".sdkmanrc",
    ".autoenv.zsh",
    ".env.zsh",
    ".tmux.conf",
    ".screenrc",
    ".ignore",
    ".rgignore",
    ".ripgreprc",
];
const BUILD: &[&str] = &[
    "makefile",
    "gnumakefile",
    "bsdmakefile",
    "cmakelists.txt",
    "cmakepresets.json",
    "build.rs",
    "build.zig",
    "package.json",
    "conftest.py",
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "pytest.ini",
    "tox.ini",
    "noxfile.py",
    "tasks.py",
    "fabfile.py",
    "dodo.py",
    "sitecustomize.py",
    "usercustomize.py",
    "pyvenv.cfg",
    "manage.py",
    "rakefile",
    "guardfile",
    "capfile",
    ".rspec",
    "justfile",
    ".justfile",
    "taskfile.yml",
    "taskfile.yaml",
    "pom.xml",
    "build.xml",
    "build.sbt",
    "gradlew",
    "gradlew.bat",
    "mvnw",
    "mvnw.cmd",
    "gradle.properties",
    "configure",
    "configure.ac",
    "configure.in",
    "bootstrap",
    "autogen.sh",
    "meson.build",
    "wscript",
    "sconstruct",
    "sconscript",
    "build.bazel",
    "workspace.bazel",
    "module.bazel",
    ".bazelrc",
    ".buckconfig",
    "dockerfile",
    "containerfile",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.yml",
    "compose.yaml",
    "docker-bake.hcl",
    "vagrantfile",
    "procfile",
    "tiltfile",
    "skaffold.yaml",
    "mix.exs",
    "rebar.config",
    "package.swift",
    "fastfile",
    "rust-toolchain",
    "rust-toolchain.toml",
    "deno.json",
    "deno.jsonc",
    "bunfig.toml",
    "turbo.json",
    "nx.json",
    "lerna.json",
    "project.json",
    ".babelrc",
    ".swcrc",
    ".mocharc.json",
    ".mocharc.yml",
    ".taprc",
    ".nycrc",
    "global.json",
    "directory.build.props",
    "directory.build.targets",
    "project.clj",
    "deps.edn",
    "dune",
    "dune-project",
    "shard.yml",
    "makefile.pl",
    "build.pl",
    ".pnp.cjs",
    ".pnp.loader.mjs",
    ".pnpmfile.cjs",
    "hardhat.config.js",
    "foundry.toml",
    "dangerfile",
    "ansible.cfg",
];
const SOURCE: &[&str] = &[
    "cargo.toml",
    "cargo.lock",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "poetry.lock",
    "uv.lock",
    "pdm.lock",
    "pipfile",
    "pipfile.lock",
    "pip.conf",
    "uv.toml",
    "gemfile",
    "gemfile.lock",
    "gems.rb",
    "gems.locked",
    "composer.json",
    "composer.lock",
    "go.mod",
    "go.sum",
    "go.work",
    "go.work.sum",
    "mix.lock",
    "flake.lock",
    "pubspec.yaml",
    "pubspec.lock",
    "package.resolved",
    "podfile",
    "podfile.lock",
    "cartfile",
    "cartfile.resolved",
    "packages.lock.json",
    "packages.config",
    "nuget.config",
    "paket.dependencies",
    "paket.lock",
    "vcpkg.json",
    "conanfile.txt",
    "conanfile.py",
    "environment.yml",
    "conda-lock.yml",
    "gradle.lockfile",
    "libs.versions.toml",
    "gradle-wrapper.properties",
    "gradle-wrapper.jar",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "pnpmfile.js",
    ".gemrc",
    "stack.yaml",
    "cabal.project",
    "manifest.toml",
    "rebar.lock",
    "brewfile",
    "buf.lock",
    "chart.lock",
    ".terraform.lock.hcl",
    "requirements.in",
];
const ENDINGS: &[(&str, Handoff)] = &[
    (".mk", Handoff::Build),
    (".mak", Handoff::Build),
    (".cmake", Handoff::Build),
    (".bzl", Handoff::Build),
    (".gradle", Handoff::Build),
    (".gradle.kts", Handoff::Build),
    (".sbt", Handoff::Build),
    (".nix", Handoff::Build),
    (".pth", Handoff::Build),
    (".gemspec", Handoff::Build),
    (".rake", Handoff::Build),
    (".csproj", Handoff::Build),
    (".fsproj", Handoff::Build),
    (".vbproj", Handoff::Build),
    (".vcxproj", Handoff::Build),
    (".targets", Handoff::Build),
    (".props", Handoff::Build),
    (".cabal", Handoff::Build),
    (".nimble", Handoff::Build),
    (".rockspec", Handoff::Build),
    (".podspec", Handoff::Build),
    (".dockerfile", Handoff::Build),
    (".code-workspace", Handoff::Editor),
    (".sublime-project", Handoff::Editor),
    (".desktop", Handoff::Shell),
    (".service", Handoff::Shell),
    (".tf", Handoff::Build),
];
/// Endings of scripts: `name.config.js` and `.namerc.js` are settings that a tool runs.
const SCRIPTS: [&str; 8] = [".js", ".cjs", ".mjs", ".ts", ".cts", ".mts", ".json", ".yaml"];

/// Who would obey what is at a path, by its name.
#[must_use]
pub(crate) fn by_name(path: &Path) -> Option<Handoff> {
    let names: Vec<_> = path.iter().map(|name| folded(name.as_bytes())).collect();
    let folder =
        |(place, handoff): &(&str, Handoff)| names.iter().any(|name| name == place).then_some(*handoff);
    if let Some(handoff) = FOLDERS.iter().find_map(folder) {
        return Some(handoff);
    }
    let name = names.last()?.as_ref();
    let files = [
        (GIT, Handoff::Git),
        (HOOK, Handoff::Hook),
        (CI, Handoff::Ci),
        (AGENT, Handoff::Agent),
        (EDITOR, Handoff::Editor),
        (SHELL, Handoff::Shell),
        (BUILD, Handoff::Build),
        (SOURCE, Handoff::Source),
    ];
    let whole = files.iter().find_map(|(known, handoff)| known.contains(&name).then_some(*handoff));
    whole
        .or_else(|| ENDINGS.iter().find_map(|(end, handoff)| name.ends_with(end).then_some(*handoff)))
        .or_else(|| by_shape(name))
}

/// Families of names.
fn by_shape(name: &str) -> Option<Handoff> {
    let between = |start: &str, end: &str| name.starts_with(start) && name.ends_with(end);
    if name == ".env" || name.starts_with(".env.") {
        return Some(Handoff::Shell);
    }
    if between("requirements", ".txt") || between("constraints", ".txt") {
        return Some(Handoff::Source);
    }
    if ["dockerfile.", "makefile.", "jenkinsfile.", "gulpfile.", "gruntfile.", "karma.conf."]
        .iter()
        .any(|start| name.starts_with(start))
    {
        return Some(Handoff::Build);
    }
    let script = SCRIPTS.iter().find_map(|end| name.strip_suffix(end))?;
    (script.ends_with(".config") || (script.starts_with('.') && script.ends_with("rc")))
        .then_some(Handoff::Build)
}

/// Mode bits that hand something over: running it, taking its owner's rights, writing by others.
const TELLING: u32 = 0o6133;

/// Whether mode bits become telling that were not. Whatever is new may be its group's, as the person's umask says.
pub(crate) fn opens(before: Option<u32>, after: u32, is_folder: bool) -> bool {
    let telling = if is_folder { TELLING & !0o111 } else { TELLING };
    let telling = if before.is_none() { telling & !0o020 } else { telling };
    after & !before.unwrap_or(0) & telling != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_obey_is_a_handoff_by_every_spelling() {
        for (path, who) in [
            (".git/hooks/pre-commit", Handoff::Git),
            ("vendor/x/.GIT/config", Handoff::Git),
            (".g\u{200c}it/config", Handoff::Git),
            ("git~1/config", Handoff::Git),
            (".git", Handoff::Git),
            (".gitattributes", Handoff::Git),
            (".husky/pre-push", Handoff::Hook),
            (".GitHub/workflows/ci.yml", Handoff::Ci),
            (".gitlab-ci.yml", Handoff::Ci),
            (".claude/settings.local.json", Handoff::Agent),
            ("docs/CLAUDE.md", Handoff::Agent),
            ("AGENTS.md", Handoff::Agent),
            ("agents.md ", Handoff::Agent),
            (".Cursor/mcp.json", Handoff::Agent),
            (".vscode/tasks.json", Handoff::Editor),
            ("a.code-workspace", Handoff::Editor),
            (".envrc", Handoff::Shell),
            (".env.local", Handoff::Shell),
            ("MAKEFILE", Handoff::Build),
            ("crates/x/build.rs", Handoff::Build),
            ("tests/conftest.py", Handoff::Build),
            (".cargo/config.toml", Handoff::Build),
            ("rust-toolchain.toml", Handoff::Build),
            ("web/vite.config.ts", Handoff::Build),
            (".eslintrc.cjs", Handoff::Build),
            ("package.json", Handoff::Build),
            ("requirements-dev.txt", Handoff::Source),
            ("Cargo.lock", Handoff::Source),
            (".provost/policy.toml", Handoff::Policy),
        ] {
            assert_eq!(by_name(Path::new(path)), Some(who), "{path}");
        }
    }

    #[test]
    fn plain_sources_are_none() {
        for path in [
            "src/main.rs",
            "README.md",
            "docs/git.md",
            "a/makefiles.md",
            ".gitignore",
            "src/config.js",
            "test.txt",
        ] {
            assert_eq!(by_name(Path::new(path)), None, "{path}");
        }
    }

    #[test]
    fn rights_that_are_given_are_seen_and_rights_that_are_taken_are_not() {
        assert!(
            opens(Some(0o644), 0o755, false)
                && opens(None, 0o755, false)
                && opens(Some(0o755), 0o4755, false)
        );
        assert!(opens(Some(0o644), 0o666, false) && opens(Some(0o755), 0o777, true));
        assert!(!opens(Some(0o755), 0o644, false) && !opens(None, 0o644, false) && !opens(None, 0o755, true));
        assert!(!opens(Some(0o755), 0o755, false));
    }
}
