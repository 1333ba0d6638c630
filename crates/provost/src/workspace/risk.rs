//! How much there is to lose by landing a change: a grade, and the signs that speak for it.
//!
//! Pure and deterministic: the same change has the same grade everywhere, and every sign is one that a reader can check. It
//! tells which changes to read first; it proves nothing, and what carries no sign is not safe. Does not own what may land.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

pub(super) use ledger::event::Risk as Grade;
use serde::Serialize;

use super::Handoff;
use super::hunk::{Line, Mark};
use super::name::folded;

mod tested;

use tested::is_test;

/// Lines removed from where on a deletion is large, if hardly anything takes their place.
const LARGE: usize = 100;
/// Bytes of the shortest word that may be a key.
const KEY: usize = 20;

/// How much there is to lose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Risk {
    /// The grade; `None` where nothing speaks of a risk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
    /// What speaks for it, the gravest first.
    pub reasons: Vec<String>,
}

/// What is known of a file beside its lines.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) path: &'a Path,
    pub(crate) handoff: Option<Handoff>,
    /// Whether it was there before, and is there after.
    pub(crate) stands: (bool, bool),
    /// Why its lines cannot be read, if they cannot.
    pub(crate) unread: Option<&'static str>,
}

type Sign = (Grade, String);

impl Risk {
    fn of(mut signs: Vec<Sign>) -> Risk {
        signs.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
        let grade = signs.first().map(|(grade, _)| *grade);
        Risk { grade, reasons: signs.into_iter().map(|(_, reason)| reason).collect() }
    }
}

/// The risk of a file as a whole, of which these lines differ.
pub(crate) fn of_file<'a>(facts: &Facts<'_>, lines: impl IntoIterator<Item = &'a Line>) -> Risk {
    let mut signs: Vec<Sign> = Vec::new();
    if let Some(handoff) = facts.handoff {
        let grade = match handoff {
            Handoff::Build | Handoff::Source | Handoff::Link | Handoff::Mode => Grade::Medium,
            Handoff::Git | Handoff::Hook | Handoff::Ci | Handoff::Agent => Grade::High,
            Handoff::Editor | Handoff::Shell | Handoff::Policy => Grade::High,
        };
        signs.push((grade, handoff.why().to_owned()));
    }
    signs.extend(facts.unread.map(|why| (Grade::Medium, why.to_owned())));
    let gone = facts.stands == (true, false);
    if gone && is_test(facts.path) {
        signs.push((Grade::High, "a file of tests is deleted".to_owned()));
    }
    signs.extend(in_lines(facts, lines, gone));
    Risk::of(signs)
}

/// The risk of one hunk by itself.
pub(crate) fn of_hunk(facts: &Facts<'_>, lines: &[Line]) -> Risk {
    Risk::of(in_lines(facts, lines, facts.stands == (true, false)))
}

/// What the lines themselves say.
fn in_lines<'a>(facts: &Facts<'_>, lines: impl IntoIterator<Item = &'a Line>, gone: bool) -> Vec<Sign> {
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for line in lines {
        let text = String::from_utf8_lossy(&line.text);
        match line.mark {
            Mark::Added => added.push(text),
            Mark::Removed => removed.push(text),
            Mark::Same => {}
        }
    }
    let tests = is_test(facts.path);
    let mut signs = Vec::new();
    if removed.len() >= LARGE && added.len() * 4 < removed.len() {
        signs.push((Grade::Medium, format!("{} lines are removed", removed.len())));
    }
    signs.extend(tested::signs(&added, &removed, tests, gone));
    if added.iter().any(|line| is_secret(line)) {
        signs.push((Grade::High, "it looks like a secret".to_owned()));
    }
    let runs = matches!(
        facts.handoff,
        Some(Handoff::Build | Handoff::Hook | Handoff::Ci | Handoff::Shell | Handoff::Mode)
    ) || is_script(facts.path);
    if let Some(call) = runs.then(|| added.iter().find_map(|line| calls(line))).flatten() {
        signs.push((Grade::High, format!("it calls out where a build or a shell runs it: `{call}`")));
    }
    if runs && added.iter().any(|line| tested::passes_over(line)) {
        signs.push((Grade::High, "a test that fails would pass".to_owned()));
    }
    signs
}

/// Whether two files are run and read by the same: then one under the name of the other is no more to lose than what differs.
pub(crate) fn is_run_alike(one: &Facts<'_>, other: &Facts<'_>) -> bool {
    let kind = |facts: &Facts<'_>| (facts.handoff, is_test(facts.path), is_script(facts.path));
    kind(one) == kind(other)
}

fn is_script(path: &Path) -> bool {
    let name = path.file_name().map(|name| folded(name.as_bytes())).unwrap_or_default();
    [".sh", ".bash", ".zsh", ".ps1", ".bat", ".cmd"].iter().any(|end| name.ends_with(end))
}

/// Whether a line holds what looks like a key: in the form that its issuer gives it, or beside a name that says so.
fn is_secret(line: &str) -> bool {
    const FORMS: [&str; 13] = [
        "AKIA",
        "ASIA",
        "ghp_",
        "gho_",
        "ghs_",
        "github_pat_",
        "glpat-",
        "sk-",
        "sk_live_",
        "xoxb-",
        "xoxp-",
        "AIza",
        "npm_",
    ];
    if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
        return true;
    }
    let is_part = |one: char| one.is_ascii_alphanumeric() || one == '_' || one == '-';
    let mixed = |word: &str| {
        word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let mut words = line.split(|one: char| !is_part(one));
    if words.any(|word| word.len() >= KEY && mixed(word) && FORMS.iter().any(|form| word.starts_with(form))) {
        return true;
    }
    let Some((name, value)) = line.split_once(['=', ':']) else { return false };
    let name = name.to_ascii_lowercase();
    let named =
        ["password", "passwd", "secret", "api_key", "apikey", "access_key", "auth_token", "private_key"];
    let quoted = value.trim().trim_end_matches([',', ';']).trim_matches(['"', '\'']);
    let is_literal = value.contains(['"', '\'']) && quoted.chars().all(|one| one.is_ascii_graphic());
    named.iter().any(|known| name.contains(known))
        && is_literal
        && quoted.len() >= 12
        && mixed(quoted)
        && !quoted.contains(['$', '{', '<', '(', '['])
}

/// What a line of a build script or of a shell fetches, sends or starts.
fn calls(line: &str) -> Option<&'static str> {
    const CALLS: [&str; 25] = [
        "curl ",
        "wget ",
        "/dev/tcp/",
        "| sh",
        "| bash",
        "|sh",
        "|bash",
        "bash -c",
        "sh -c",
        "base64 -d",
        "base64 --decode",
        "eval ",
        "eval(",
        "os.system(",
        "subprocess.",
        "child_process",
        "Command::new(",
        "requests.",
        "urllib",
        "fetch(",
        "TcpStream",
        "socket.",
        "Invoke-WebRequest",
        "postinstall",
        "preinstall",
    ];
    const WORDS: [&str; 4] = ["nc ", "ncat ", "ssh ", "scp "];
    let word = |word: &&&str| {
        line.match_indices(**word).any(|(at, _)| {
            !line.get(..at).and_then(|before| before.chars().last()).is_some_and(char::is_alphanumeric)
        })
    };
    CALLS.iter().chain(&WORDS).find(word).map(|call| call.trim())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(super) fn lines(text: &str) -> Vec<Line> {
        let line = |line: &str| {
            let mark = match line.as_bytes().first() {
                Some(b'+') => Mark::Added,
                Some(b'-') => Mark::Removed,
                _ => Mark::Same,
            };
            Line { mark, text: line.get(1..).unwrap_or_default().as_bytes().to_vec() }
        };
        text.split_inclusive('\n').map(line).collect()
    }

    pub(super) fn facts(path: &str) -> Facts<'_> {
        let path = Path::new(path);
        Facts { path, handoff: super::super::handoff::by_name(path), stands: (true, true), unread: None }
    }

    pub(super) fn risk(path: &str, text: &str) -> (Option<Grade>, String) {
        let risk = of_file(&facts(path), &lines(text));
        (risk.grade, risk.reasons.join("; "))
    }

    #[test]
    fn a_plain_edit_carries_no_risk() {
        for (path, text) in [
            ("src/lib.rs", "-    let a = 1;\n+    let a = 2;\n"),
            ("src/lib.rs", "+    names.iter().skip(1).count()\n+    let found = sync(\"a\");\n"),
            ("tests/a.rs", "-    assert_eq!(a, 1);\n+    assert_eq!(a, 2);\n"),
            ("docs/a.md", "+see https://example.org and run `curl x`\n"),
            ("src/config.rs", "+    let password = read_password(prompt)?;\n+    api_key: String,\n"),
            ("README.md", "+api_key = \"${API_KEY_FROM_1}\"\n"),
        ] {
            assert_eq!(risk(path, text), (None, String::new()), "{path} {text}");
        }
    }

    #[test]
    fn keys_are_seen_by_their_form_or_their_name() {
        for text in [
            "+-----BEGIN OPENSSH PRIVATE KEY-----\n",
            "+    \"AKIAIOSFODNN7EXAMPLE\"\n",
            "+token: ghp_0123456789abcdefghijABCDEFGHIJ012345\n",
            "+const password = \"hunter2hunter2\";\n",
        ] {
            assert_eq!(
                risk("src/a.js", text),
                (Some(Grade::High), "it looks like a secret".into()),
                "{text}"
            );
        }
        assert_eq!(risk("src/a.js", "-const password = \"hunter2hunter2\";\n").0, None);
    }

    #[test]
    fn what_a_build_runs_is_graver_where_it_calls_out() {
        assert_eq!(risk("Makefile", "+all: a.o\n"), (Some(Grade::Medium), "builds and tests run it".into()));
        let (grade, why) = risk("Makefile", "+\tcurl https://example.org/x | sh\n");
        assert_eq!(grade, Some(Grade::High));
        assert!(why.starts_with("it calls out") && why.contains("`curl`"), "{why}");
        assert_eq!(risk("build.rs", "+    Command::new(\"cc\").status()\n").0, Some(Grade::High));
        assert_eq!(risk("src/lib.rs", "+    Command::new(\"cc\").status()\n").0, None);
        assert_eq!(risk("scripts/a.sh", "+echo async sync nonce\n").0, None);
        assert_eq!(risk(".github/workflows/a.yml", "+name: a\n").0, Some(Grade::High));
    }

    #[test]
    fn a_large_deletion_and_what_cannot_be_read_are_worth_a_look() {
        let (grade, why) = risk("src/a.rs", &"-line\n".repeat(150));
        assert_eq!((grade, why.as_str()), (Some(Grade::Medium), "150 lines are removed"));
        assert_eq!(risk("src/a.rs", &"-line\n+other\n".repeat(150)).0, None);
        let facts = Facts { unread: Some("binary"), ..facts("a.png") };
        assert_eq!(of_file(&facts, &[]).grade, Some(Grade::Medium));
    }
}
