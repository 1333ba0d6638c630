//! What repositories use, and the names by which it shows.
//!
//! Owns the names. Does not own what is written about them (`starter`).

/// Something that a repository uses.
#[derive(Debug)]
pub(super) struct Use {
    /// For the person.
    pub(super) what: &'static str,
    /// Any of these files shows it.
    pub(super) signs: &'static [&'static str],
    /// Unless one of these does, which says more.
    pub(super) unless: &'static [&'static str],
    /// Files that are run by whoever builds.
    pub(super) scripts: &'static [&'static str],
    /// Files that say what is downloaded.
    pub(super) locks: &'static [&'static str],
    /// Programs that publish.
    pub(super) tools: &'static [&'static str],
}

pub(super) const USES: [Use; 15] = [
    Use {
        what: "Cargo",
        signs: &["Cargo.toml"],
        unless: &[],
        scripts: &["build.rs", "rust-toolchain", "rust-toolchain.toml"],
        locks: &["Cargo.toml", "Cargo.lock"],
        tools: &["cargo"],
    },
    Use {
        what: "npm",
        signs: &["package-lock.json"],
        unless: &[],
        scripts: &["package.json", ".npmrc"],
        locks: &["package-lock.json"],
        tools: &["npm"],
    },
    Use {
        what: "pnpm",
        signs: &["pnpm-lock.yaml"],
        unless: &[],
        scripts: &["package.json", ".npmrc", ".pnpmfile.cjs"],
        locks: &["pnpm-lock.yaml", "pnpm-workspace.yaml"],
        tools: &["pnpm"],
    },
    Use {
        what: "Yarn",
        signs: &["yarn.lock"],
        unless: &[],
        scripts: &["package.json", ".yarnrc", ".yarnrc.yml"],
        locks: &["yarn.lock"],
        tools: &["yarn"],
    },
    Use {
        what: "Node",
        signs: &["package.json"],
        unless: &["package-lock.json", "pnpm-lock.yaml", "yarn.lock"],
        scripts: &["package.json", ".npmrc"],
        locks: &[],
        tools: &["npm"],
    },
    Use {
        what: "uv",
        signs: &["uv.lock"],
        unless: &[],
        scripts: &["pyproject.toml", "uv.toml"],
        locks: &["uv.lock"],
        tools: &["uv"],
    },
    Use {
        what: "Poetry",
        signs: &["poetry.lock"],
        unless: &[],
        scripts: &["pyproject.toml"],
        locks: &["poetry.lock"],
        tools: &["poetry"],
    },
    Use {
        what: "Python",
        signs: &["pyproject.toml", "setup.py", "requirements*.txt", "Pipfile"],
        unless: &["uv.lock", "poetry.lock"],
        scripts: &["pyproject.toml", "setup.py", "setup.cfg", "tox.ini", "noxfile.py", "conftest.py"],
        locks: &["requirements*.txt", "Pipfile", "Pipfile.lock"],
        tools: &["twine"],
    },
    Use {
        what: "Go",
        signs: &["go.mod"],
        unless: &[],
        scripts: &[],
        locks: &["go.mod", "go.sum"],
        tools: &[],
    },
    Use {
        what: "Make",
        signs: &["Makefile", "makefile", "GNUmakefile", "justfile"],
        unless: &[],
        scripts: &["Makefile", "makefile", "GNUmakefile", "*.mk", "justfile"],
        locks: &[],
        tools: &[],
    },
    Use {
        what: "CMake",
        signs: &["CMakeLists.txt"],
        unless: &[],
        scripts: &["CMakeLists.txt", "*.cmake"],
        locks: &[],
        tools: &[],
    },
    Use {
        what: "Gradle or Maven",
        signs: &["build.gradle", "build.gradle.kts", "pom.xml"],
        unless: &[],
        scripts: &[
            "build.gradle",
            "build.gradle.kts",
            "settings.gradle",
            "settings.gradle.kts",
            "gradlew",
            "pom.xml",
        ],
        locks: &["gradle-wrapper.properties"],
        tools: &[],
    },
    Use {
        what: "Ruby",
        signs: &["Gemfile"],
        unless: &[],
        scripts: &["Rakefile", "*.gemspec"],
        locks: &["Gemfile", "Gemfile.lock"],
        tools: &["gem"],
    },
    Use {
        what: "containers",
        signs: &[
            "Dockerfile*",
            "Containerfile*",
            "docker-compose*.yml",
            "docker-compose*.yaml",
            "compose.yaml",
            "compose.yml",
        ],
        unless: &[],
        scripts: &[
            "Dockerfile*",
            "Containerfile*",
            "docker-compose*.yml",
            "docker-compose*.yaml",
            "compose.yaml",
            "compose.yml",
        ],
        locks: &[],
        tools: &["docker"],
    },
    Use {
        what: "Terraform",
        signs: &["*.tf"],
        unless: &[],
        scripts: &[],
        locks: &[".terraform.lock.hcl"],
        tools: &[],
    },
];

/// What lies at the top of a repository for builds elsewhere, and the pattern that speaks of all of it.
pub(super) const CI: [(&str, &str); 12] = [
    (".github", "./.github/**"),
    (".gitlab-ci.yml", "./.gitlab-ci.yml"),
    (".gitlab", "./.gitlab/**"),
    (".circleci", "./.circleci/**"),
    (".buildkite", "./.buildkite/**"),
    (".forgejo", "./.forgejo/**"),
    (".gitea", "./.gitea/**"),
    (".woodpecker", "./.woodpecker/**"),
    (".drone.yml", "./.drone.yml"),
    ("Jenkinsfile", "./Jenkinsfile"),
    ("azure-pipelines.yml", "./azure-pipelines.yml"),
    ("bitbucket-pipelines.yml", "./bitbucket-pipelines.yml"),
];

/// What agents and editors obey.
pub(super) const AGENTS: [(&str, &str); 13] = [
    ("AGENTS.md", "./**/AGENTS.md"),
    ("CLAUDE.md", "./**/CLAUDE.md"),
    ("GEMINI.md", "./**/GEMINI.md"),
    (".claude", "./.claude/**"),
    (".codex", "./.codex/**"),
    (".cursor", "./.cursor/**"),
    (".mcp.json", "./.mcp.json"),
    (".vscode", "./.vscode/**"),
    (".idea", "./.idea/**"),
    (".devcontainer", "./.devcontainer/**"),
    (".envrc", "./.envrc"),
    (".pre-commit-config.yaml", "./.pre-commit-config.yaml"),
    (".husky", "./.husky/**"),
];

/// How each tool publishes.
pub(super) const PUBLISHED: [(&str, &str); 9] = [
    ("cargo", "cargo publish **"),
    ("npm", "npm publish **"),
    ("pnpm", "pnpm publish **"),
    ("yarn", "yarn npm publish **"),
    ("uv", "uv publish **"),
    ("poetry", "poetry publish **"),
    ("twine", "twine upload **"),
    ("gem", "gem push **"),
    ("docker", "docker push **"),
];
