//! How much of the machine a run may use: read whole or refused, and the least of all layers holds.

use policy::{Enforcement, Layer, LayerKind, Limit, shortfall};
use proptest::prelude::*;

use crate::common::{all, compile, layer};

fn limits(layers: Vec<Layer>) -> Vec<(Limit, u64, String)> {
    let asked = compile(layers).confinement().unwrap();
    asked.limits.iter().map(|(limit, bound)| (limit, bound.most, bound.by.clone())).collect()
}

#[test]
fn a_file_sets_limits() {
    let text = "[limits]\ncpu = \"30m\"\nmemory = \"4GiB\"\nprocesses = 512\nfiles = 4_096\ndisk = \"10GiB\"\ntime = \"2h\"\n";
    let found = limits(vec![layer(LayerKind::File, text)]);
    let amounts: Vec<(Limit, u64)> = found.iter().map(|(limit, most, _)| (*limit, *most)).collect();
    assert_eq!(
        amounts,
        [
            (Limit::Cpu, 1_800_000),
            (Limit::Memory, 4 << 30),
            (Limit::Processes, 512),
            (Limit::Files, 4096),
            (Limit::Disk, 10 << 30),
            (Limit::Time, 7_200_000)
        ]
    );
    assert!(found.iter().all(|(_, _, by)| by == "file"));
}

#[test]
fn a_limit_that_is_none_is_refused_with_its_place() {
    for (line, hint) in [
        ("memory = \"4GB\"", "\"4GiB\""),
        ("memory = 4", "\"4GiB\""),
        ("time = \"0s\"", "\"2h\""),
        ("processes = 0", "512"),
        ("processes = -1", "512"),
        ("processes = 0x10", "512"),
        ("processes = \"512\"", "512"),
        ("files = 1.5", "4096"),
        ("memery = \"4GiB\"", "did you mean `memory`?"),
    ] {
        let text = format!("version = 1\n[limits]\ndisk = \"1GiB\"\n{line}\n");
        let error = Layer::parse("p", LayerKind::File, &text).unwrap_err();
        assert_eq!((error.line, error.text.as_str()), (4, line));
        assert!(error.hint.as_deref().is_some_and(|known| known.contains(hint)), "{error} {:?}", error.hint);
    }
    assert!(Layer::parse("p", LayerKind::File, "version = 1\nlimits = 3\n").is_err());
}

#[test]
fn the_least_holds_and_nothing_raises_it() {
    let file = |kind, memory: &str| layer(kind, &format!("[limits]\nmemory = \"{memory}\"\n"));
    let of = |layers| limits(layers).pop().map(|(_, most, by)| (most >> 30, by));
    let (floor, user) = (LayerKind::Floor, LayerKind::User);
    assert_eq!(of(vec![file(user, "8GiB"), file(floor, "4GiB")]), Some((4, "floor".to_owned())));
    assert_eq!(of(vec![file(user, "2GiB"), file(floor, "4GiB")]), Some((2, "user".to_owned())));
    // A repository's own word narrows, trusted or not.
    let repo = |trusted, memory| {
        let mut layer = file(LayerKind::Repo, memory);
        layer.trusted = trusted;
        layer
    };
    for trusted in [false, true] {
        assert_eq!(of(vec![file(user, "4GiB"), repo(trusted, "8GiB")]), Some((4, "user".to_owned())));
        assert_eq!(of(vec![file(user, "4GiB"), repo(trusted, "1GiB")]), Some((1, "repo".to_owned())));
    }
    let other = layer(user, "when = { agent = \"claude\" }\n[limits]\nmemory = \"1GiB\"\n");
    assert_eq!(of(vec![other.clone()]), None, "a layer that does not count sets nothing");
    let listed = compile(vec![file(user, "8GiB"), file(floor, "4GiB"), other]).listed_limits();
    let said: Vec<_> = listed.iter().map(|one| (one.text.as_str(), one.holds, one.idle.is_some())).collect();
    assert_eq!(said, [("8 GiB", false, false), ("4 GiB", true, false), ("1 GiB", false, true)]);
}

#[test]
fn what_models_use_is_limited_where_something_counts_it() {
    for (limit, line) in [(Limit::Tokens, "tokens = 200_000"), (Limit::Cost, "cost = \"5 USD\"")] {
        let policy = compile(vec![layer(LayerKind::File, &format!("[limits]\n{line}\n"))]);
        let asked = policy.confinement().unwrap();
        let short = shortfall(&asked, &all()).unwrap_err();
        assert!(short.missing[0].what.starts_with(&format!("a limit on {limit}")), "{short}");
        let held = Enforcement { limits: [(limit, "the gateway".to_owned())].into(), ..all() };
        assert_eq!(shortfall(&asked, &held), Ok(()));
    }
}

#[test]
fn what_nothing_holds_yet_is_a_shortfall() {
    for (rule, expected) in [
        ("http = [\"https://h.example/**\"]\nneed = \"none\"\nrecord = \"full\"", None),
        ("tool = [\"openai/web_search\"]\nneed = \"never\"", None),
        ("tool = [\"**\"]\nneed = \"never\"", None),
        ("tool = [\"{mcp,openai}/**\"]\nneed = \"never\"", None),
        (
            "tool = [\"anthropic/*\", \"mcp/github/*\"]\nneed = \"human\"",
            Some("`mcp/github/*`: nothing sees it yet"),
        ),
        ("tool = [\"mcp/github/*\"]\nneed = \"none\"", None),
        ("spend = [\"tokens > 5\"]\nneed = \"human\"", Some("nothing asks about it")),
        ("tool = [\"openai/web_search\"]\nneed = \"none\"", None),
        ("spend = [\"tokens\"]\nneed = \"none\"", None),
    ] {
        let policy = compile(vec![layer(LayerKind::File, &format!("[[rule]]\nid = \"x\"\n{rule}\n"))]);
        let missing = policy.unheld();
        assert_eq!(
            missing.first().map(|missing| missing.what.contains(expected.unwrap_or("?"))),
            expected.map(|_| true),
            "{rule} {missing:?}"
        );
        assert_eq!(policy.confinement().is_err(), expected.is_some(), "{rule}");
    }
}

#[test]
fn a_limit_that_nothing_holds_is_a_shortfall_only_where_it_is_asked() {
    let whole = all();
    let asks = compile(vec![layer(LayerKind::File, "[limits]\nmemory = \"4GiB\"\n")]).confinement().unwrap();
    let short = shortfall(&asks, &whole).unwrap_err();
    assert_eq!(short.missing[0].what, "a limit on memory (4 GiB, set by `file`)");
    let held = Enforcement { limits: [(Limit::Memory, "watched".to_owned())].into(), ..whole.clone() };
    assert_eq!(shortfall(&asks, &held), Ok(()));
    let asks_none = compile(vec![layer(LayerKind::File, "")]).confinement().unwrap();
    assert_eq!(shortfall(&asks_none, &whole), Ok(()));
}

proptest! {
    /// Whatever is added in whatever place, no limit gets looser, and what holds is what somebody wrote.
    #[test]
    fn another_layer_never_loosens_a_limit(
        given in prop::collection::vec((0_usize..5, 1_u64..1000, 1_u64..1000), 1..6),
        more in (0_usize..5, 1_u64..1000, 1_u64..1000),
        at in 0_usize..6,
    ) {
        const KINDS: [LayerKind; 5] =
            [LayerKind::Profile, LayerKind::User, LayerKind::Repo, LayerKind::File, LayerKind::Floor];
        let one = |(kind, processes, files): &(usize, u64, u64)| {
            layer(KINDS[*kind], &format!("[limits]\nprocesses = {processes}\nfiles = {files}\n"))
        };
        let before = compile(given.iter().map(one).collect()).confinement().unwrap().limits;
        let mut wider = given.clone();
        wider.insert(at.min(given.len()), more);
        let after = compile(wider.iter().map(one).collect()).confinement().unwrap().limits;
        for (limit, bound) in before.iter() {
            prop_assert!(after.most(limit).is_some_and(|most| most <= bound.most));
        }
        let written = wider.iter().map(|(_, processes, _)| *processes).min();
        prop_assert_eq!(after.most(Limit::Processes), written);
    }
}

#[test]
fn what_is_recorded_is_said_by_a_rule_or_for_all_models() {
    let records = |text: &str| {
        let policy = compile(vec![layer(LayerKind::File, text)]);
        (policy.records(), policy.records_models())
    };
    assert_eq!(records("[[rule]]\nid = \"x\"\nconnect = [\"a.example\"]\nneed = \"none\"\n"), (false, false));
    let one = "[[rule]]\nid = \"x\"\nconnect = [\"a.example\"]\nneed = \"none\"\nrecord = \"full\"\n";
    assert_eq!(records(one), (true, false));
    assert_eq!(records("[record]\nmodels = \"full\"\n"), (true, true));
    let elsewhere = "when = { agent = \"another\" }\n[record]\nmodels = \"full\"\n";
    assert_eq!(records(elsewhere), (false, false));
    for wrong in ["[record]\nmodels = \"some\"\n", "[record]\nall = \"full\"\n", "record = \"full\"\n"] {
        assert!(Layer::parse("p", LayerKind::File, &format!("version = 1\n{wrong}")).is_err(), "{wrong}");
    }
}
