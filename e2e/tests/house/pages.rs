//! Standing pages: every promise names a test that is there or says "not yet", and the plan of the house is true.

use super::repository::{Member, files, members, page, root, sources, text};

/// What a promise rests on.
#[derive(Debug, PartialEq)]
enum Proof<'a> {
    NotYet,
    Test { member: &'a str, name: &'a str },
}

/// One line of PROMISES.md: `12. What is promised. -- not yet` or, in its place, `` `member test` `` once or more.
fn promise(line: &str) -> Option<(usize, Vec<Proof<'_>>)> {
    let (number, rest) = line.split_once(". ")?;
    let number = number.parse().ok()?;
    let (_, proof) = rest.rsplit_once(" -- ")?;
    if proof.trim() == "not yet" {
        return Some((number, vec![Proof::NotYet]));
    }
    let named: Option<Vec<_>> = proof
        .split(", ")
        .map(|one| one.trim().strip_prefix('`')?.strip_suffix('`')?.split_once(' '))
        .map(|one| one.map(|(member, name)| Proof::Test { member, name }))
        .collect();
    named.map(|proofs| (number, proofs))
}

/// True where a file of `member` has a test of this name: the last part is the function, what is before it its modules.
pub(crate) fn test_is_there(members: &[Member], member: &str, name: &str) -> bool {
    let Some(member) = members.iter().find(|known| known.name == member) else { return false };
    let name = name.rsplit("::").next().unwrap();
    let function = format!("fn {name}(");
    let own = |file: &&String| file.starts_with(&format!("{}/", member.folder));
    sources().iter().filter(own).any(|file| {
        let text = text(file).unwrap();
        holds_test(&text, &function) || (file.contains("/tests/") && holds_case(&text, name))
    })
}

/// True where a test's own runner lists a case of this name.
fn holds_case(text: &str, name: &str) -> bool {
    let case = format!("(\"{name}\", ");
    text.lines().any(|line| line.trim().starts_with(&case))
}

/// True where `function` is marked as a test, with at most a few attributes and comments in between, and not ignored.
fn holds_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.iter().enumerate().filter(|(_, line)| line.contains(function)).any(|(at, _)| {
        let before =
            lines[..at].iter().rev().take_while(|line| line.starts_with('#') || line.starts_with("//"));
        let marks: Vec<&&str> = before.collect();
        let is = |mark: &str| marks.iter().any(|line| line.starts_with(mark));
        (is("#[test]") || is("#[tokio::test")) && !is("#[ignore")
    })
}

#[test]
fn every_promise_names_a_test_that_is_there_or_says_not_yet() {
    let page = page("PROMISES.md");
    let members = members();
    let mut last = 0;
    for line in page.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())) {
        let Some((number, proofs)) = promise(line) else {
            panic!("not a promise as they are written: {line}")
        };
        assert_eq!(number, last + 1, "promises are numbered without a gap: {line}");
        last = number;
        for proof in proofs {
            if let Proof::Test { member, name } = proof {
                assert!(test_is_there(&members, member, name), "promise {number}: no test `{member} {name}`");
            }
        }
    }
    assert!(last > 20, "only {last} promises are read");
}

#[test]
fn a_promise_is_read_as_it_is_written() {
    assert_eq!(promise("1. Said. -- not yet"), Some((1, vec![Proof::NotYet])));
    let named = Proof::Test { member: "e2e", name: "a::b" };
    assert_eq!(promise("2. Said, so. -- `e2e a::b`"), Some((2, vec![named])));
    assert_eq!(promise("3. Said."), None);
    assert_eq!(promise("3. Said. -- later"), None);
    assert!(holds_case("  (\"a\", one_thing),", "a") && !holds_case("say(\"a\", b)", "a"));
    assert!(holds_test("#[test]\n// why\nfn a() {}", "fn a("));
    assert!(!holds_test("#[test]\n#[ignore]\nfn a() {}", "fn a("));
    assert!(!holds_test("fn a() {}", "fn a("));
}

/// Every `crates/NAME` that a page speaks of.
fn crates_named(page: &str) -> Vec<String> {
    page.split("crates/")
        .skip(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_lowercase).collect::<String>())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_plan_of_the_house_names_the_rooms_that_exist() {
    let named = crates_named(&page("ARCHITECTURE.md"));
    let members = members();
    let rooms: Vec<&str> =
        members.iter().map(|member| member.name.as_str()).filter(|name| *name != "e2e").collect();
    for room in &rooms {
        assert!(named.iter().any(|name| name == room), "ARCHITECTURE.md does not name crates/{room}");
    }
    for name in named {
        assert!(rooms.contains(&name.as_str()), "ARCHITECTURE.md names crates/{name}, which is not there");
    }
}

/// The targets of a page's links to files: `](target)`, without what is after `#`.
fn links(page: &str) -> Vec<&str> {
    page.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(|target| target.split('#').next().unwrap())
        .filter(|target| {
            !target.is_empty() && !target.contains("://") && !target.contains(char::is_whitespace)
        })
        .collect()
}

#[test]
fn the_links_between_pages_lead_somewhere() {
    for file in files().iter().filter(|name| name.ends_with(".md")) {
        let folder = root().join(file).parent().unwrap().to_path_buf();
        let page = page(file);
        for target in links(&page) {
            assert!(folder.join(target).exists(), "{file} leads to {target}, which is not there");
        }
    }
}

#[test]
fn the_standing_pages_are_there() {
    for name in ["README.md", "ARCHITECTURE.md", "PROMISES.md", "THREATS.md", "CHANGELOG.md", "LICENSE"] {
        assert!(!page(name).trim().is_empty(), "{name} is empty");
    }
}
