//! What a person and a run made of the same lines, shown side by side.
//!
//! Owns: how much of it is shown, and how. Does not own what clashes (`workspace`).

use serde_json::{Value, json};

use crate::render::{clean, count};
use crate::workspace::Conflict;

/// Lines of each side that a person is shown of one place.
const SHOWN: usize = 12;
/// Places of one file that a person is shown.
const PLACES: usize = 5;
/// Lines of each side that a script is given of one place; how many there are is said.
const GIVEN: usize = 200;

/// For a person: each place with what was there, what stands and what the run left.
pub(super) fn lines(conflicts: &[Conflict]) -> Vec<String> {
    let mut told: Vec<String> = conflicts.iter().take(PLACES).flat_map(place).collect();
    if conflicts.len() > PLACES {
        told.push(format!("        and {}", count((conflicts.len() - PLACES) as u64, "more place")));
    }
    told
}

fn place(conflict: &Conflict) -> Vec<String> {
    let was = match conflict.base.len() {
        0 => format!("before line {}, where nothing was", conflict.first),
        1 => format!("line {} when the run began", conflict.first),
        more => format!("lines {} to {} when the run began", conflict.first, conflict.first + more - 1),
    };
    let sides = [
        (was, &conflict.base),
        ("you have".to_owned(), &conflict.stands),
        ("the run left".to_owned(), &conflict.left),
    ];
    sides.iter().flat_map(|(name, lines)| side(name, lines)).collect()
}

fn side(name: &str, lines: &[Vec<u8>]) -> Vec<String> {
    let mut told = match lines.is_empty() {
        true => vec![format!("        {name}: nothing")],
        false => vec![format!("        {name}:")],
    };
    told.extend(lines.iter().take(SHOWN).map(|line| format!("          | {}", clean(&text(line)))));
    if lines.len() > SHOWN {
        told.push(format!("          | and {}", count((lines.len() - SHOWN) as u64, "more line")));
    }
    told
}

/// For a script.
pub(super) fn json(conflict: &Conflict) -> Value {
    let side = |lines: &[Vec<u8>]| {
        let given: Vec<String> = lines.iter().take(GIVEN).map(|line| text(line)).collect();
        json!({ "count": lines.len(), "lines": given })
    };
    json!({
        "first": conflict.first,
        "base": side(&conflict.base),
        "stands": side(&conflict.stands),
        "left": side(&conflict.left),
    })
}

/// A line without its end.
fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(lines: usize) -> Conflict {
        let side =
            |word: &str| (0..lines).map(|number| format!("{word} {number}\r\n").into_bytes()).collect();
        Conflict { first: 7, base: side("was"), stands: Vec::new(), left: side("\u{1b}[2Jrun") }
    }

    #[test]
    fn both_sides_are_shown_as_text_and_no_more_than_can_be_read() {
        let told = lines(&vec![conflict(13); 6]).join("\n");
        assert!(told.starts_with("        lines 7 to 19 when the run began:\n          | was 0\n"), "{told}");
        assert!(told.contains("you have: nothing\n") && told.contains("the run left:\n"), "{told}");
        assert!(told.contains("| and 1 more line"), "{told}");
        assert!(told.ends_with("and 1 more place"), "{told}");
        assert!(!told.contains('\u{1b}') && !told.contains('\r'), "{told}");
        assert!(lines(&[conflict(0)]).join("").contains("before line 7, where nothing was: nothing"));
        let given = json(&conflict(300));
        assert_eq!(
            (given["base"]["count"].as_u64(), given["base"]["lines"].as_array().unwrap().len()),
            (Some(300), 200)
        );
        assert_eq!(
            (given["first"].as_u64(), given["left"]["lines"][0].as_str()),
            (Some(7), Some("\u{1b}[2Jrun 0"))
        );
    }
}
