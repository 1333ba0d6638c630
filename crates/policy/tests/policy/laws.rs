//! What holds of every policy, tried on random ones.

use std::path::Path;

use policy::{Action, Context, Decision, Grant, Layer, LayerKind, Need, Policy, Selector};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::common::{anchors, compile, connect, context, exec, layer, read, write};

const PATHS: [&str; 12] = [
    "./**",
    "./src/**",
    "./src",
    "~/**",
    "~/work/src/a.rs",
    "/usr/{bin,lib}/**",
    "/**",
    "./**/*.rs",
    "./*",
    "/usr/**/x",
    "./{src,doc}/a.rs",
    "/home/ann/work/doc/**",
];
const HOSTS: [&str; 8] = [
    "a.example.com",
    "*.example.com",
    "**.example.com",
    "example.com:*",
    "a.example.com:{80,443}",
    "10.0.0.0/8",
    "10.1.0.0/16:*",
    "localhost:80",
];
const COMMANDS: [&str; 6] =
    ["git **", "git push **", "git push ** -f **", "**", "ls *", "/usr/bin/{git,ls} **"];
const NEEDS: [&str; 5] = ["none", "model", "human", "humans(2)", "never"];
const DEFAULTS: [&str; 4] = ["none", "human", "humans(3)", "never"];

#[derive(Debug, Clone)]
struct Rule {
    kind: &'static str,
    patterns: Vec<&'static str>,
    except: Vec<&'static str>,
    need: &'static str,
    when: &'static str,
}

impl Rule {
    fn text(&self, id: usize) -> String {
        let Rule { kind, patterns, except, need, when } = self;
        let except = if except.is_empty() { String::new() } else { format!("except = {except:?}\n") };
        format!("[[rule]]\nid = \"r{id}\"\n{kind} = {patterns:?}\n{except}need = \"{need}\"\n{when}")
    }
}

fn a_rule() -> impl Strategy<Value = Rule> {
    let pool = prop_oneof![
        Just(("read", PATHS.to_vec())),
        Just(("write", PATHS.to_vec())),
        Just(("connect", HOSTS.to_vec())),
        Just(("exec", COMMANDS.to_vec()))
    ];
    let when = select(vec!["", "", "", "when = { agent = \"codex\" }\n", "when = { attended = false }\n"]);
    (pool, select(NEEDS.to_vec()), when).prop_flat_map(|((kind, pool), need, when)| {
        let except = subsequence(pool.clone(), 0..=1);
        (subsequence(pool, 1..=2), except).prop_map(move |(patterns, except)| Rule {
            kind,
            patterns,
            except,
            need,
            when,
        })
    })
}

/// Defaults for the four kinds, or for none.
fn some_defaults() -> impl Strategy<Value = String> {
    proptest::option::of((select(DEFAULTS.to_vec()), select(DEFAULTS.to_vec()))).prop_map(|some| match some {
        Some((one, two)) => format!(
            "default = {{ read = \"{one}\", write = \"{two}\", connect = \"{two}\", exec = \"{one}\" }}\n"
        ),
        None => String::new(),
    })
}

fn rules(most: usize) -> impl Strategy<Value = Vec<Rule>> {
    proptest::collection::vec(a_rule(), 0..most)
}

fn text(defaults: &str, rules: &[Rule], first: usize) -> String {
    let rules: String = rules.iter().enumerate().map(|(at, rule)| rule.text(first + at)).collect();
    format!("version = 1\n{defaults}{rules}")
}

fn parse(kind: LayerKind, text: &str) -> Layer {
    Layer::parse("x", kind, text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn actions() -> Vec<Action> {
    let paths = [
        "/home/ann/work",
        "/home/ann/work/src",
        "/home/ann/work/src/a.rs",
        "/home/ann/work/a.rs",
        "/home/ann/work/doc/a.rs",
        "/usr/bin/x",
        "/usr/x",
        "/home/ann",
        "/",
        "/home/ann/.config/provost/x",
    ];
    let hosts = [
        "a.example.com:443",
        "example.com:80",
        "b.a.example.com:443",
        "10.1.2.3:443",
        "10.2.3.4:80",
        "localhost:80",
        "evil.net:443",
    ];
    let commands = ["git", "git push", "git push -f x", "git push x -f", "ls", "ls a", "curl x"];
    let each =
        |texts: &[&str], make: fn(&str) -> Action| texts.iter().map(|text| make(text)).collect::<Vec<_>>();
    [each(&paths, read), each(&paths, write), each(&hosts, connect), each(&commands, exec)].concat()
}

fn need(policy: &Policy, action: &Action) -> Need {
    needed(&policy.decide(action, &[]))
}

fn needed(decision: &Decision) -> Need {
    match decision {
        Decision::Allow { .. } => Need::None,
        Decision::Ask { need, .. } => *need,
        Decision::Deny { .. } => Need::Never,
    }
}

fn a_kind() -> impl Strategy<Value = LayerKind> {
    select(vec![
        LayerKind::Profile,
        LayerKind::Agent,
        LayerKind::User,
        LayerKind::Repo,
        LayerKind::File,
        LayerKind::Floor,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn adding_a_never_never_widens(defaults in some_defaults(), base in rules(8), mut added in a_rule(), kind in a_kind(), trusted in any::<bool>()) {
        added.need = "never";
        let base = parse(LayerKind::Profile, &text(&defaults, &base, 0));
        let mut more = parse(kind, &text("", &[added], 100));
        more.trusted = trusted;
        let (before, after) = (compile(vec![base.clone()]), compile(vec![base, more]));
        for action in actions() {
            prop_assert!(need(&after, &action) >= need(&before, &action), "{}", action);
        }
    }

    #[test]
    fn order_and_splitting_never_matter(one in some_defaults(), two in some_defaults(), all in rules(10), cut in 0_usize..10, kind in a_kind(), floor in rules(4)) {
        let cut = cut.min(all.len());
        // A floor has no defaults.
        let (one, two) = if kind == LayerKind::Floor { (String::new(), String::new()) } else { (one, two) };
        let (head, tail) = all.split_at(cut);
        let first = parse(kind, &text(&one, head, 0));
        let second = parse(kind, &text(&two, tail, cut));
        let whole = parse(kind, &text(&one, &all, 0));
        let rest = parse(kind, &text(&two, &[], 0));
        let floor = parse(LayerKind::Floor, &text("", &floor, 50));
        let mut backwards = all.clone();
        backwards.reverse();
        let backwards = parse(kind, &text(&one, &backwards, 0));
        let policies = [
            compile(vec![first.clone(), second.clone(), floor.clone()]),
            compile(vec![floor.clone(), second, first]),
            compile(vec![rest.clone(), whole, floor.clone()]),
            compile(vec![backwards, floor, rest]),
        ];
        for action in actions() {
            let needs = policies.each_ref().map(|policy| need(policy, &action));
            prop_assert!(needs.windows(2).all(|pair| pair[0] == pair[1]), "{} {:?}", action, needs);
        }
        let asked = policies.each_ref().map(|policy| policy.confinement().ok());
        prop_assert!(asked.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", asked);
    }

    #[test]
    fn an_explanation_is_the_decision(defaults in some_defaults(), base in rules(8), floor in rules(4), repo in rules(3)) {
        let policy = compile(vec![
            parse(LayerKind::User, &text(&defaults, &base, 0)),
            parse(LayerKind::Repo, &text("", &repo, 0)),
            parse(LayerKind::Floor, &text("", &floor, 0)),
        ]);
        for action in actions() {
            let why = policy.explain(&action);
            prop_assert_eq!(&why.decision, &policy.decide(&action, &[]));
            prop_assert_eq!((why.need, why.verdict), (needed(&why.decision), why.decision.word()));
            // What it names leads to the same need as the judge found.
            let working = why.spoke.iter().filter(|spoke| !spoke.narrows).map(|spoke| spoke.need).max();
            let narrowing = why.spoke.iter().filter(|spoke| spoke.narrows).map(|spoke| spoke.need).max();
            prop_assert_eq!(working.unwrap_or(why.default.need).max(narrowing.unwrap_or(Need::None)), why.need);
            prop_assert_eq!(why.ask.is_empty(), why.need == Need::None);
        }
    }

    #[test]
    fn a_repository_that_is_not_trusted_never_widens(defaults in some_defaults(), base in rules(6), theirs in some_defaults(), repo in rules(8)) {
        let base = parse(LayerKind::Profile, &text(&defaults, &base, 0));
        let repo = parse(LayerKind::Repo, &text(&format!("nested = true\n{theirs}"), &repo, 0));
        let (before, after) = (compile(vec![base.clone()]), compile(vec![base, repo]));
        for action in actions() {
            prop_assert!(need(&after, &action) >= need(&before, &action), "{}", action);
        }
        if let (Ok(before), Ok(after)) = (before.confinement(), after.confinement()) {
            prop_assert!(!after.nested);
            let within = |trees: &[std::path::PathBuf], tree: &Path| trees.iter().any(|outer| tree.starts_with(outer));
            prop_assert!(after.read.iter().all(|tree| within(&before.read, tree)));
            prop_assert!(after.write.iter().all(|tree| within(&before.write, tree)));
        }
    }

    #[test]
    fn grants_lift_an_ask_for_the_same_action_and_nothing_else(defaults in some_defaults(), base in rules(6), floor in rules(6)) {
        let policy = compile(vec![parse(LayerKind::User, &text(&defaults, &base, 0)), parse(LayerKind::Floor, &text("", &floor, 0))]);
        let grant = |action: Action| Grant { id: "g".to_owned(), selector: Selector::exact(&action), need: Need::Never, asked: Vec::new() };
        let all = actions();
        for action in &all {
            let bare = policy.decide(action, &[]);
            let granted = policy.decide(action, &[grant(action.clone())]);
            let others: Vec<Grant> = all.iter().filter(|other| *other != action).cloned().map(grant).collect();
            prop_assert_eq!(&policy.decide(action, &others), &bare);
            match bare {
                Decision::Ask { .. } => prop_assert_eq!(needed(&granted), Need::None),
                decided => prop_assert_eq!(granted, decided),
            }
        }
    }

    #[test]
    fn what_mounts_hold_is_what_is_decided(open in trees(), closed in trees(), asked in trees(), floor in trees(), attended in any::<bool>(), paths in proptest::collection::vec(a_path(), 32)) {
        let rule = |id: &str, trees: &[String], need: &str| match trees.is_empty() {
            true => String::new(),
            false => format!("[[rule]]\nid = \"{id}\"\nread = {trees:?}\nwrite = {trees:?}\nneed = \"{need}\"\n"),
        };
        let working = [rule("open", &open, "none"), rule("closed", &closed, "never"), rule("asked", &asked, "human")].concat();
        let layers = vec![layer(LayerKind::File, &working), layer(LayerKind::Floor, &rule("floor", &floor, "human"))];
        let policy = Policy::compile(layers, &anchors(), &Context { attended, ..context() }).unwrap();
        let held = policy.confinement().unwrap();
        prop_assert_eq!(held.judged_opens, !(held.asks_read.is_empty() && held.asks_write.is_empty()));
        prop_assert!(attended || !held.judged_opens);
        for path in paths {
            let beneath = |trees: &[std::path::PathBuf]| trees.iter().any(|tree| Path::new(&path).starts_with(tree));
            let read_shown = beneath(&held.read) && !beneath(&held.hidden);
            let write_shown = beneath(&held.write) && !beneath(&held.frozen);
            let decided = |action: &Action| policy.decide(action, &[]).word();
            let expected = |shown: bool, asks: bool| if !shown { "deny" } else if asks { "ask" } else { "allow" };
            // Where nobody attends, what asks is closed as what is denied.
            let now = |word: &'static str| if !attended && word == "ask" { "deny" } else { word };
            prop_assert_eq!(now(decided(&read(&path))), expected(read_shown, beneath(&held.asks_read)), "read {}", path);
            prop_assert_eq!(now(decided(&write(&path))), expected(write_shown, beneath(&held.asks_write)), "write {}", path);
        }
    }
}

/// Names that collide, nest and contain what patterns could take for their own.
const NAMES: [&str; 6] = ["a", "b", "ab", "a.b", "work", "ann"];

fn a_path() -> impl Strategy<Value = String> {
    let start = select(vec!["", "/home/ann", "/home/ann/work"]);
    (start, proptest::collection::vec(select(NAMES.to_vec()), 0..4)).prop_map(|(start, names)| {
        let path = names.iter().fold(start.to_owned(), |path, name| format!("{path}/{name}"));
        if path.is_empty() { "/".to_owned() } else { path }
    })
}

fn trees() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        select(NAMES.to_vec()).prop_map(str::to_owned),
        Just("{a,b}".to_owned()),
        Just("{a,ab}{,.b}".to_owned())
    ];
    let start = select(vec![".", "~", ""]);
    let tree =
        (start, proptest::collection::vec(name, 1..3), any::<bool>()).prop_map(|(start, names, all)| {
            let path = names.iter().fold(start.to_owned(), |path, name| format!("{path}/{name}"));
            if all { format!("{path}/**") } else { path }
        });
    proptest::collection::vec(tree, 0..4)
}

#[test]
fn the_same_layers_in_another_run_are_the_same_policy() {
    let layers = || vec![parse(LayerKind::User, &text("", &[], 0))];
    let one = Policy::compile(layers(), &anchors(), &context()).unwrap();
    assert_eq!(one.digest_input(), compile(layers()).digest_input());
}
