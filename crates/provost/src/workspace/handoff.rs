//! Handoff files: what other programs later execute or obey, outside of any sandbox.
//!
//! Owns: which names these are, compared as the most forgiving file system would, and why each matters. It is a list of what
//! tools are known to obey, not a proof: a reviewer reads everything, these files first. Does not own what becomes of
//! them (`land`).

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::Serialize;

use super::name::folded;
use names::{AGENT, BUILD, CI, EDITOR, ENDINGS, FOLDERS, GIT, HOOK, SCRIPTS, SHELL, SOURCE};

mod names;

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

/// Files at any depth, by who obeys them.
const FILES: [(&[&str], Handoff); 8] = [
    (GIT, Handoff::Git),
    (HOOK, Handoff::Hook),
    (CI, Handoff::Ci),
    (AGENT, Handoff::Agent),
    (EDITOR, Handoff::Editor),
    (SHELL, Handoff::Shell),
    (BUILD, Handoff::Build),
    (SOURCE, Handoff::Source),
];

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
    let whole = FILES.iter().find_map(|(known, handoff)| known.contains(&name).then_some(*handoff));
    whole
        .or_else(|| ENDINGS.iter().find_map(|(end, handoff)| name.ends_with(end).then_some(*handoff)))
        .or_else(|| by_shape(name))
}

/// The names of folders, of files, and the beginnings and ends of others, that somebody obeys of whom `who` is true.
pub(crate) fn known(who: impl Fn(Handoff) -> bool) -> (Vec<&'static str>, Vec<&'static str>, Vec<Shape>) {
    let folders = FOLDERS.iter().filter(|(_, known)| who(*known)).map(|(name, _)| *name).collect();
    let mut files: Vec<&str> =
        FILES.iter().filter(|(_, known)| who(*known)).flat_map(|(names, _)| names.iter().copied()).collect();
    let mut shapes: Vec<Shape> =
        ENDINGS.iter().filter(|(_, known)| who(*known)).map(|(end, _)| ("", *end)).collect();
    if who(Handoff::Shell) {
        files.push(".env");
        shapes.push((".env.", ""));
    }
    (folders, files, shapes)
}

/// How names of a family begin and end.
pub(crate) type Shape = (&'static str, &'static str);

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
    let is_settings = |name: &str| name.starts_with('.') && name.ends_with("rc");
    if is_settings(name) {
        return Some(Handoff::Build);
    }
    let script = SCRIPTS.iter().find_map(|end| name.strip_suffix(end))?;
    (script.ends_with(".config") || is_settings(script)).then_some(Handoff::Build)
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
            ("vendor/x/HEAD", Handoff::Git),
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
            (".pylintrc", Handoff::Build),
            ("pkg/__pycache__/a.cpython-312.pyc", Handoff::Build),
            ("pkg/json.so", Handoff::Build),
            ("buildSrc/src/main/kotlin/A.kt", Handoff::Build),
            ("WORKSPACE", Handoff::Build),
            (".hg/hgrc", Handoff::Shell),
            (".config/mise/config.toml", Handoff::Shell),
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
