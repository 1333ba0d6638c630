//! What docs/policy.md shows is what is read.

use policy::{Kind, Layer, LayerKind};

use crate::common::{compile, connect, exec, said};

const PAGE: &str = include_str!("../../../../docs/policy.md");

fn examples() -> Vec<&'static str> {
    PAGE.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_example_is_a_policy_whose_own_examples_hold() {
    let examples = examples();
    assert_eq!(examples.len(), 5);
    for text in &examples {
        Layer::parse("docs/policy.md", LayerKind::File, text)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    let floor = Layer::parse("floor", LayerKind::Floor, examples[4]).unwrap();
    floor.check().unwrap();
    let file = Layer::parse("file", LayerKind::File, examples[0]).unwrap();
    let policy = compile(vec![file, floor]);
    assert_eq!(said(&policy, &connect("db.prod.example.com:5432")), "deny: production");
    assert_eq!(said(&policy, &connect("unknown.example:443")), "ask human: default");
    assert_eq!(said(&policy, &exec("git push -f origin main")), "deny: no-force");
}

#[test]
fn every_pattern_of_the_table_is_one() {
    let mut seen = 0;
    for row in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let words = |cell: &'static str| cell.split('`').skip(1).step_by(2);
        let Some(kinds) = cells.get(1).map(|cell| words(cell).map(str::parse::<Kind>).collect::<Vec<_>>())
        else {
            continue;
        };
        for kind in kinds.into_iter().flatten() {
            for pattern in words(cells[2]) {
                let text =
                    format!("version = 1\n[[rule]]\nid = \"x\"\n{kind} = [{pattern:?}]\nneed = \"none\"\n");
                Layer::parse("docs/policy.md", LayerKind::File, &text)
                    .unwrap_or_else(|error| panic!("{error}: {row}"));
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 30);
}

#[test]
fn every_profile_is_described() {
    for (name, _, _) in policy::profiles() {
        assert!(PAGE.contains(&format!("| `{name}` |")), "{name}");
    }
}
