//! What to type to learn what would allow a thing that was denied.
//!
//! Owns when there is such a command, and that it can be typed as it is shown. Does not own the explanation (`policy`).

use super::DenialLine;
use crate::layers;
use crate::render::clean;

/// Characters of a name that is typed again.
const TYPED: usize = 100;

/// The command that says what would allow what no rule speaks of, if it can be typed as it is shown. A rule has its own words.
pub(super) fn command(denial: &DenialLine, profile: Option<&str>) -> Option<String> {
    let target = denial.target.as_str();
    let is_plain = clean(target) == target && target.chars().count() <= TYPED;
    if denial.rule != "default" || !is_plain {
        return None;
    }
    let words = match &*denial.what {
        "read" | "write" | "connect" => shlex::try_quote(target).ok()?.into_owned(),
        // Its words are apart from each other already.
        "exec" => target.to_owned(),
        _ => return None,
    };
    let profile = profile.filter(|profile| *profile != layers::USUAL);
    let profile = profile.map(|profile| Some(format!(" --profile {}", shlex::try_quote(profile).ok()?)));
    let profile = profile.map_or(Some(String::new()), |words| words)?;
    Some(format!("provost policy explain{profile} {} {words}", denial.what))
}
