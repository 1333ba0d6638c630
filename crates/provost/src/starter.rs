//! A first policy for a repository, from what it uses.
//!
//! Owns looking at the repository, and the text. What it finds is its own table (`table`). Does not own writing the file,
//! or what the text means (`policy`).

mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use policy::{Layer, LayerKind, PolicyError};
use table::{AGENTS, CI, PUBLISHED, USES, Use};

/// Folders that hold what others made.
const SKIPPED: [&str; 13] = [
    ".git",
    ".provost",
    "node_modules",
    "target",
    "vendor",
    ".venv",
    "venv",
    "dist",
    "build",
    "__pycache__",
    ".terraform",
    ".gradle",
    ".tox",
];
/// Deeper than projects put what this looks for.
const DEEPEST: usize = 5;
/// More than this is not looked at: a first policy need not know everything.
const MOST: usize = 20_000;

/// A first policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The file's text.
    pub text: String,
    /// What was found, in words.
    pub found: Vec<&'static str>,
    /// The rules that it has.
    pub rules: Vec<&'static str>,
}

/// Looks at a repository and writes its first policy. `name` is what the file will be called.
///
/// # Errors
/// The text is no policy: a fault of this program, told where it stands.
pub fn draft(root: &Path, name: &str) -> Result<Draft, PolicyError> {
    let seen = Seen::of(root);
    let uses: Vec<&Use> = USES.iter().filter(|one| seen.shows(one)).collect();
    let rules: Vec<Rule> = [
        seen.secrets(),
        ci(&seen),
        scripts(&uses),
        locks(&uses),
        agents(&seen),
        terraform(&seen),
        published(&uses),
        pushes(&seen),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut found: Vec<&'static str> = uses.iter().map(|one| one.what).collect();
    found.extend(rules.iter().filter_map(|rule| rule.found));
    let text = text(&found, &rules);
    Layer::parse(name, LayerKind::Repo, &text)?;
    Ok(Draft { text, found, rules: rules.iter().map(|rule| rule.id).collect() })
}

// === looking ===

/// Names in a repository.
#[derive(Debug, Default)]
struct Seen {
    /// Names of files, anywhere.
    files: BTreeSet<String>,
    /// Names at the top, folders too.
    top: BTreeSet<String>,
    /// Files of variables, from the root.
    variables: Vec<String>,
    looked_at: usize,
}

impl Seen {
    fn of(root: &Path) -> Seen {
        let mut seen = Seen::default();
        seen.look(root, "", 0);
        seen.variables.sort();
        seen
    }

    /// Links are not followed; what cannot be read is not seen.
    fn look(&mut self, folder: &Path, from_root: &str, depth: usize) {
        let Ok(listing) = fs::read_dir(folder) else { return };
        for entry in listing.flatten() {
            self.looked_at += 1;
            let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
            if self.looked_at > MOST || kind.is_symlink() {
                continue;
            }
            if depth == 0 {
                self.top.insert(name.clone());
            }
            let path = format!("{from_root}{name}");
            if kind.is_dir() && depth < DEEPEST && !SKIPPED.contains(&name.as_str()) {
                self.look(&entry.path(), &format!("{path}/"), depth + 1);
            } else if kind.is_file() {
                if is_variables(&name) {
                    self.variables.push(path);
                }
                self.files.insert(name);
            }
        }
    }

    /// Whether there is a file of this name; one `*` stands for anything.
    fn has(&self, pattern: &str) -> bool {
        match pattern.split_once('*') {
            None => self.files.contains(pattern),
            Some((start, end)) => {
                self.files.iter().any(|name| name.strip_prefix(start).is_some_and(|rest| rest.ends_with(end)))
            }
        }
    }

    fn shows(&self, one: &Use) -> bool {
        one.signs.iter().any(|sign| self.has(sign)) && !one.unless.iter().any(|sign| self.has(sign))
    }

    fn secrets(&self) -> Option<Rule> {
        let plain =
            |path: &String| path.chars().all(|one| one.is_ascii_alphanumeric() || "/._-".contains(one));
        let patterns: Vec<String> = if self.variables.iter().all(plain) {
            self.variables.iter().map(|path| format!("./{path}")).collect()
        } else {
            vec!["./**/.env".to_owned(), "./**/.env.*".to_owned()]
        };
        let rule = Rule {
            found: Some(".env files"),
            comment: "Variables with passwords and keys: no run sees these files. Where a test needs one, give it another with made-up\n# values. `./**/.env` would hold for all that come later, too; then every open is judged, which costs builds some time.",
            why: "It holds passwords and keys.",
            ..Rule::of("secrets", "read", patterns, "never")?
        };
        Some(rule)
    }
}

/// A file of variables as people name them, and none that is made to be shown.
fn is_variables(name: &str) -> bool {
    const SHOWN: [&str; 7] = ["example", "sample", "template", "dist", "defaults", "test", "schema"];
    let ending = name.strip_prefix(".env.");
    name == ".env" || ending.is_some_and(|ending| !SHOWN.iter().any(|shown| ending.contains(shown)))
}

// === rules ===

/// A rule, with what is said of it.
#[derive(Debug)]
struct Rule {
    id: &'static str,
    found: Option<&'static str>,
    comment: &'static str,
    kind: &'static str,
    patterns: Vec<String>,
    need: &'static str,
    why: &'static str,
    examples: Option<(&'static str, &'static str)>,
}

impl Rule {
    /// None, if it would speak of nothing.
    fn of(id: &'static str, kind: &'static str, patterns: Vec<String>, need: &'static str) -> Option<Rule> {
        let blank = Rule { id, found: None, comment: "", kind, patterns, need, why: "", examples: None };
        (!blank.patterns.is_empty()).then_some(blank)
    }
}

fn ci(seen: &Seen) -> Option<Rule> {
    let there = CI.iter().filter(|(name, _)| seen.top.contains(*name));
    let patterns = there.map(|(_, pattern)| (*pattern).to_owned()).collect();
    Some(Rule {
        found: Some("CI"),
        comment: "What builds run elsewhere, with credentials that no run has: a person looks before it changes.",
        why: "Build pipelines run with credentials.",
        ..Rule::of("ci", "land", patterns, "human")?
    })
}

/// Patterns of names anywhere in the repository, also of files that are not there yet.
fn anywhere<'a>(names: impl Iterator<Item = &'a &'static str>) -> Vec<String> {
    let mut all: Vec<&str> = Vec::new();
    for name in names {
        if !all.contains(name) {
            all.push(name);
        }
    }
    all.into_iter().map(|name| format!("./**/{name}")).collect()
}

fn scripts(uses: &[&Use]) -> Option<Rule> {
    let patterns = anywhere(uses.iter().flat_map(|one| one.scripts));
    Some(Rule {
        comment: "What is run by whoever builds this, outside of any sandbox, with their rights: a person looks before it changes.",
        why: "It runs on the machine of whoever builds this.",
        ..Rule::of("build-scripts", "land", patterns, "human")?
    })
}

fn locks(uses: &[&Use]) -> Option<Rule> {
    let patterns = anywhere(uses.iter().flat_map(|one| one.locks));
    Some(Rule {
        comment: "What is named there is downloaded, and run, by whoever builds this. Runs that are to fetch it: provost run --profile deps",
        why: "It says what others download and run.",
        ..Rule::of("dependencies", "land", patterns, "human")?
    })
}

fn agents(seen: &Seen) -> Option<Rule> {
    let there = AGENTS.iter().filter(|(name, _)| seen.top.contains(*name));
    let patterns = there.map(|(_, pattern)| (*pattern).to_owned()).collect();
    Some(Rule {
        found: Some("settings of agents or editors"),
        comment: "What agents and editors obey when they are started here the next time.",
        why: "Agents and editors obey it.",
        ..Rule::of("agents-and-editors", "land", patterns, "human")?
    })
}

fn terraform(seen: &Seen) -> Option<Rule> {
    let patterns =
        if seen.has("*.tf") { vec!["terraform {apply,destroy} **".to_owned()] } else { Vec::new() };
    Some(Rule {
        comment: "A guard rail: what the words say. What holds is that a run has no credentials for what it would change.",
        why: "It changes what is running.",
        examples: Some(("terraform apply -auto-approve", "terraform plan")),
        ..Rule::of("infrastructure", "exec", patterns, "human")?
    })
}

fn published(uses: &[&Use]) -> Option<Rule> {
    let tools: BTreeSet<&str> = uses.iter().flat_map(|one| one.tools).copied().collect();
    let known = PUBLISHED.iter().filter(|(tool, _)| tools.contains(tool));
    let patterns: Vec<String> = known.map(|(_, pattern)| (*pattern).to_owned()).collect();
    Some(Rule {
        comment: "What others would get: a person looks first. A guard rail, as all rules on commands: a run has no credentials to publish\n# with, unless you pass them.",
        why: "Releases are for people to make.",
        ..Rule::of("publish", "exec", patterns, "human")?
    })
}

fn pushes(seen: &Seen) -> Option<Rule> {
    let patterns = if seen.top.contains(".git") {
        vec!["git push ** {--force,-f,--mirror,--delete} **".to_owned()]
    } else {
        Vec::new()
    };
    Some(Rule {
        comment: "A guard rail against history that is lost.",
        why: "Push a new branch instead.",
        examples: Some(("git push -f origin main", "git push origin main")),
        ..Rule::of("no-force", "exec", patterns, "never")?
    })
}

// === text ===

const HEAD: &str = "\
# What a run in this repository may do. `provost init` wrote this from what it found; it is yours now.
#
# It counts beside the profile of a run and your own policy, and of all rules that speak the strictest holds. Until you say
# `provost trust` here it can only make things stricter. See what comes of it:
#
#     provost policy show
#     provost policy explain read .env
#     provost policy check .provost/policy.toml
#
";

const TAIL: &str = "
# Hosts that every run here needs beside the model. Names of your own, and `provost trust`, which lets this file allow, too:
#
# [[rule]]
# id = \"hosts\"
# connect = [\"api.example.com\"]
# need = \"none\"
# why = \"The tests talk to it.\"
";

fn text(found: &[&str], rules: &[Rule]) -> String {
    let found = if found.is_empty() { "nothing that is known".to_owned() } else { found.join(", ") };
    let mut text = format!("{HEAD}# Found: {found}.\nversion = 1\n");
    for rule in rules {
        let list = |words: &[String]| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            match quoted.iter().map(String::len).sum::<usize>() {
                0..90 => format!("[{}]", quoted.join(", ")),
                _ => format!("[\n    {},\n]", quoted.join(",\n    ")),
            }
        };
        let Rule { id, comment, kind, patterns, need, why, .. } = rule;
        text.push_str(&format!(
            "\n# {comment}\n[[rule]]\nid = \"{id}\"\n{kind} = {}\nneed = \"{need}\"\nwhy = \"{why}\"\n",
            list(patterns)
        ));
        if let Some((yes, no)) = rule.examples {
            text.push_str(&format!("yes = [\"{yes}\"]\nno = [\"{no}\"]\n"));
        }
    }
    text + TAIL
}

#[cfg(test)]
mod tests;
