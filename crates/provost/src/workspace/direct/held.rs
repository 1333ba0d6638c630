//! What stays out of reach in direct mode: what programs of the person obey by themselves, without being told to build or test
//! anything.
//!
//! Owns: the rules by which no write reaches it, however it is spelled in letters and whether it is there yet or not; and
//! which of what a run left must be taken back all the same. Does not own the names (`handoff`).
//!
//! Build scripts, tests and lock sources are not among it: whoever builds or tests what an agent wrote runs what it wrote,
//! by whichever file. They are written through, and shown for what they are.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use policy::{Kind, Layer, LayerKind, Need, PolicyError, RuleSpec};

use crate::workspace::handoff::{self, Handoff};

/// The layer that holds them, as it is named in reasons.
pub const LAYER: &str = "direct mode";

/// Most names in one rule: its pattern is one automaton with the others.
const TOGETHER: usize = 24;

/// Whether who obeys it does so by itself.
fn is_held(who: Handoff) -> bool {
    match who {
        Handoff::Git
        | Handoff::Hook
        | Handoff::Ci
        | Handoff::Agent
        | Handoff::Editor
        | Handoff::Shell
        | Handoff::Policy => true,
        Handoff::Build | Handoff::Source | Handoff::Link | Handoff::Mode => false,
    }
}

/// The rules of a run in direct mode, as a floor: nothing lifts them.
///
/// # Errors
/// Never with the names as they are.
pub fn layer(workspace: &Path) -> Result<Layer, PolicyError> {
    let (folders, files, shapes) = handoff::known(is_held);
    let mut rules: Vec<RuleSpec> = Vec::new();
    let mut rule = |patterns: Vec<String>| {
        for some in patterns.chunks(TOGETHER) {
            let fresh = RuleSpec::new(format!("handoff-{}", rules.len() + 1), Need::Never).why(WHY);
            rules.push(some.iter().fold(fresh, |rule, pattern| rule.pattern(Kind::Write, pattern)));
        }
    };
    rule(folders.iter().map(|name| format!("./**/{}/**", any_case(name))).collect());
    rule(files.iter().map(|name| format!("./**/{}/**", any_case(name))).collect());
    rule(
        shapes.iter().map(|(start, end)| format!("./**/{}*{}/**", any_case(start), any_case(end))).collect(),
    );
    // What is there at the top is held by a mount as well.
    let standing = standing(workspace).into_iter();
    let tops = RuleSpec::new("handoff-tops", Need::Never).why(WHY);
    rules.push(standing.fold(tops, |rule, path| rule.tree(Kind::Write, path)));
    Layer::from_rules(LAYER, LayerKind::Floor, rules)
}

const WHY: &str =
    "Other programs of yours obey it at once. Without --mode direct it can be changed, and waits.";

/// A name in any letters, as a pattern.
fn any_case(name: &str) -> String {
    let each = |one: char| match one {
        'a'..='z' => format!("{{{one},{}}}", one.to_ascii_uppercase()),
        _ => one.to_string(),
    };
    name.chars().map(each).collect()
}

/// What of it stands at the top of a workspace. Links lead elsewhere, and are no mount.
fn standing(workspace: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(workspace) else { return Vec::new() };
    let names = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
    let held = names.filter(|entry| is_ruled(Path::new(&entry.file_name())));
    held.map(|entry| workspace.join(entry.file_name())).collect()
}

/// Whether the rules hold a path beneath the workspace: no write of the run reached it.
pub fn is_ruled(path: &Path) -> bool {
    let (folders, files, shapes) = handoff::known(is_held);
    path.iter().any(|name| {
        let name = name.as_bytes().to_ascii_lowercase();
        let is = |known: &&str| known.as_bytes() == name;
        let fits = |(start, end): &(&str, &str)| {
            name.len() >= start.len() + end.len()
                && name.starts_with(start.as_bytes())
                && name.ends_with(end.as_bytes())
        };
        folders.iter().any(&is) || files.iter().any(is) || shapes.iter().any(fits)
    })
}

/// Whether something that a run left is obeyed by itself under a spelling that some file system or program takes for a name
/// that is held. Then it came past the rules.
pub(crate) fn slipped_past(path: &Path) -> bool {
    !is_ruled(path) && path.ancestors().any(|above| handoff::by_name(above).is_some_and(is_held))
}

/// Whether a link in the workspace leads out of it, as far as its text tells.
pub(crate) fn leads_out(root: &Path, path: &Path, target: &Path) -> bool {
    let mut at = match target.is_absolute() {
        true => PathBuf::from("/"),
        false => root.join(path.parent().unwrap_or(Path::new(""))),
    };
    for part in target.components() {
        match part {
            Component::ParentDir => drop(at.pop()),
            Component::Normal(name) => at.push(name),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        // One that comes back in leads through what lies outside.
        let is_on_the_way = target.is_absolute() && root.starts_with(&at);
        if !at.starts_with(root) && !is_on_the_way {
            return true;
        }
    }
    !at.starts_with(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::{AbsPath, Action, Anchors, Context, Decision, Policy};

    fn policy(workspace: &Path) -> Policy {
        let system = Layer::parse("system", LayerKind::System, policy::system_layer()).unwrap();
        let open =
            RuleSpec::new("workspace", Need::None).pattern(Kind::Write, "./**").pattern(Kind::Read, "./**");
        let open = Layer::from_rules("open", LayerKind::File, vec![open]).unwrap();
        let anchors = Anchors {
            workspace: workspace.to_owned(),
            home: "/home/ann".into(),
            state: "/home/ann/state".into(),
            config: "/home/ann/config".into(),
        };
        Policy::compile(vec![system, open, layer(workspace).unwrap()], &anchors, &Context::default()).unwrap()
    }

    fn writes(policy: &Policy, path: &str) -> bool {
        let path = AbsPath::new(&Path::new("/home/ann/app").join(path)).unwrap();
        matches!(policy.decide(&Action::Write(path), &[]), Decision::Allow { .. })
    }

    #[test]
    fn what_programs_obey_by_themselves_is_out_of_reach_in_any_letters_and_at_any_depth() {
        let policy = policy(Path::new("/home/ann/app"));
        for path in [
            ".git",
            ".git/config",
            ".GIT/hooks/pre-commit",
            "sub/module/.git",
            "sub/.git/hooks/x",
            ".vscode/tasks.json",
            "pkg/.VSCode/settings.json",
            "CLAUDE.md",
            "docs/agents.md",
            ".github/workflows/ci.yml",
            "Jenkinsfile",
            ".envrc",
            ".env",
            ".env.local",
            "a/b/.mcp.json",
            ".provost/policy.toml",
            ".husky/pre-push",
            "x.code-workspace",
            ".gitattributes",
        ] {
            assert!(!writes(&policy, path), "{path}");
            assert!(is_ruled(Path::new(path)), "{path}");
            assert!(!slipped_past(Path::new(path)), "{path}");
        }
        for path in
            ["src/main.rs", "Makefile", "Cargo.lock", "build.rs", "node_modules/a/b.js", ".gitignore", "git"]
        {
            assert!(writes(&policy, path), "{path}");
            assert!(!is_ruled(Path::new(path)) && !slipped_past(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_spelling_that_no_rule_knows_is_known_when_the_run_is_over() {
        for path in [".git\u{200c}/config", "git~1/hooks/x", ".vscode./tasks.json", "sub/.g\u{200b}it"] {
            assert!(!is_ruled(Path::new(path)) && slipped_past(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn links_are_judged_by_where_they_say_they_lead() {
        let out =
            |path: &str, target: &str| leads_out(Path::new("/w/app"), Path::new(path), Path::new(target));
        assert!(!out("a", "b") && !out("d/a", "../b") && !out("a", "/w/app/b") && !out("a", "./x/../y"));
        assert!(out("a", "../b") && out("d/a", "../../b") && out("a", "/etc") && out("a", "/w/app-2"));
        assert!(out("a", "../app/b") && out("a", "/w/app/../x") && out("a", "/"));
    }
}
