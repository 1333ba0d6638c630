//! On what a refusal rests, in words.
//!
//! Owns which names of rules a person can do something with: those that stand in a file or in `policy show`. What stands in for a
//! rule is told by its own words. Does not own which reason counts (`insight`).

use super::clean;

/// The rule, its layer and its author's words.
pub fn full(layer: &str, rule: &str, why: Option<&str>) -> String {
    match inner(layer, rule, why) {
        Some(words) => words,
        None => {
            let why = why.map_or_else(String::new, |why| format!(": {}", clean(why)));
            format!("{}{why}", named(layer, rule))
        }
    }
}

/// The same on little room: the words of a rule's author are left out.
pub fn brief(layer: &str, rule: &str, why: Option<&str>) -> String {
    inner(layer, rule, why).unwrap_or_else(|| named(layer, rule))
}

fn named(layer: &str, rule: &str) -> String {
    format!("rule {} of {}", clean(rule), clean(layer))
}

/// What no rule says, but a person or Provost itself.
fn inner(layer: &str, rule: &str, why: Option<&str>) -> Option<String> {
    if rule == "default" && layer != "answer" || policy::is_a_rule(layer, rule) {
        return None;
    }
    let why = why.map_or_else(|| "Provost itself holds it back".to_owned(), clean);
    Some(match layer {
        "answer" if rule != "default" => format!("{why} (rule {} asked)", clean(rule)),
        _ => why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_can_look_up_is_called_a_rule() {
        assert_eq!(full("team", "tags", Some("Why.")), "rule tags of team: Why.");
        assert_eq!(brief("team", "tags", Some("Why.")), "rule tags of team");
        assert_eq!(brief("build", "default", None), "rule default of build");
        assert_eq!(brief("built-in", "home-secrets", Some("Yours.")), "rule home-secrets of built-in");
        for inner in ["flood", "built-in", "address", "ledger"] {
            assert_eq!(brief("built-in", inner, Some("too much")), "too much");
        }
        assert_eq!(full("answer", "tags", Some("not now")), "not now (rule tags asked)");
        assert_eq!(full("answer", "default", Some("not now")), "not now");
    }
}
