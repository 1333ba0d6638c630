//! The rule that almost spoke: one whose pattern matches and that does not count, or whose pattern goes along furthest.

use crate::automaton::Automaton;
use crate::explain::{Nearest, position};
use crate::layer::rule::{Rule, Said};
use crate::pattern::{Pattern, regex, spell};
use crate::policy::{Counted, conditions};
use crate::{Action, Command, Kind, Need, Policy};

/// How near a rule is, and why it is not there.
struct Miss {
    near: usize,
    pattern: String,
    because: String,
}

/// Beyond what any input is long: these match but for one thing.
const ALL_BUT: usize = usize::MAX;

/// Among the rules that would need less than `need`.
pub(crate) fn find(policy: &Policy, action: &Action, need: Need) -> Option<Nearest> {
    let mut buffer = Vec::new();
    let input = spell::action(action, &mut buffer).ok()?;
    let installed = as_installed(action);
    let mut best: Option<(Miss, Counted)> = None;
    for (counted, idle) in position(policy) {
        if counted.need >= need || counted.narrows {
            continue;
        }
        let rule = policy.rule(counted);
        for said in rule.says.iter().filter(|said| said.kind == action.kind()) {
            let miss = by_name_alone(policy, said, idle.as_deref(), installed.as_deref())
                .or_else(|| miss(policy, rule, said, idle.as_deref(), (action, input)));
            let Some(miss) = miss else { continue };
            if best.as_ref().is_none_or(|(best, _)| miss.near > best.near) {
                best = Some((miss, counted));
            }
        }
    }
    let (miss, counted) = best?;
    Some(Nearest {
        layer: policy.layers().get(counted.layer)?.name.clone(),
        rule: policy.rule(counted).id.clone(),
        need: counted.need,
        pattern: miss.pattern,
        because: miss.because,
    })
}

/// A command as it would be spelled if its program were installed; `None` if it is, or is no command.
fn as_installed(action: &Action) -> Option<Vec<u8>> {
    let Action::Exec(command) = action else { return None };
    let installed = Action::Exec(Command { installed: true, ..command.clone() });
    let mut buffer = Vec::new();
    (!command.installed).then(|| spell::action(&installed, &mut buffer).ok().map(<[u8]>::to_vec)).flatten()
}

/// A rule that means an installed program of this name.
fn by_name_alone(policy: &Policy, said: &Said, idle: Option<&str>, installed: Option<&[u8]>) -> Option<Miss> {
    let expressions: Vec<String> =
        said.patterns.iter().map(|pattern| pattern.regex(&policy.places)).collect();
    let means = idle.is_none() && regex::is_match(&expressions, installed?);
    let because = "it means an installed program of that name, and this one lies where the agent can write";
    means.then(|| Miss { near: ALL_BUT, pattern: said.text.clone(), because: because.to_owned() })
}

fn miss(
    policy: &Policy,
    rule: &Rule,
    said: &Said,
    idle: Option<&str>,
    (action, input): (&Action, &[u8]),
) -> Option<Miss> {
    let miss = |near: usize, because: String| Some(Miss { near, pattern: said.text.clone(), because });
    let written = |pattern: &Pattern| pattern.regex(&policy.places);
    let expressions: Vec<String> = said.patterns.iter().map(written).collect();
    if regex::is_match(&expressions, input) {
        if let Some(idle) = idle {
            return miss(ALL_BUT, format!("it does not count in this run: {idle}"));
        }
        let mut holes = rule.except.iter().filter(|hole| hole.kind == said.kind);
        let hole =
            holes.find(|hole| regex::is_match(&hole.patterns.iter().map(written).collect::<Vec<_>>(), input));
        if let Some(hole) = hole {
            return miss(ALL_BUT, format!("its exception `{}` takes this out", hole.text));
        }
        let Action::Http(request) = action else { return None };
        let asked = conditions::failing(rule, request)?;
        return miss(ALL_BUT, format!("its condition does not hold: {}", asked.text));
    }
    if idle.is_some() {
        return None;
    }
    for pattern in &said.patterns {
        if let Some((looser, because)) = loosened(pattern)
            && regex::is_match(&[looser.regex(&policy.places)], input)
        {
            return miss(ALL_BUT - 1, because);
        }
    }
    let automaton = Automaton::new(&expressions).ok()?;
    let reach = automaton.reach(&mut automaton.scratch(), input);
    is_near(said.kind, input, reach).then(|| miss(reach, "it does not match".to_owned())).flatten()
}

/// The pattern without the one thing that people forget, and what that thing is.
fn loosened(pattern: &Pattern) -> Option<(Pattern, String)> {
    match pattern {
        Pattern::Connect(endpoint) => {
            let port = endpoint.port?;
            let mut looser = endpoint.clone();
            looser.port = None;
            Some((Pattern::Connect(looser), format!("it speaks of port {port} only")))
        }
        Pattern::Http(http) if !http.methods.is_empty() => {
            let mut looser = http.clone();
            looser.methods.clear();
            Some((
                Pattern::Http(looser),
                format!("it speaks of the methods {} only", http.methods.join(", ")),
            ))
        }
        _ => None,
    }
}

/// Whether so much of an input is enough to be called near.
fn is_near(kind: Kind, input: &[u8], reach: usize) -> bool {
    let followed = input.get(..reach).unwrap_or(input);
    let count = |bytes: &[u8], of: u8| bytes.iter().filter(|byte| **byte == of).count();
    match kind {
        // More than half of the way, and past the folders that everything lies in.
        Kind::Read | Kind::Write | Kind::Land => reach * 2 > input.len() && count(followed, b'/') > 2,
        // Past the program: after the empty word that ends the variables, and the zero byte that ends the program.
        Kind::Launch | Kind::Exec => {
            let start = input.windows(2).position(|pair| pair == [0, 0]).map_or(1, |at| at + 2);
            let end = input.iter().skip(start).position(|byte| *byte == 0);
            end.is_some_and(|end| reach > start + end)
        }
        // The same site: two labels.
        Kind::Connect => count(followed, b'.') >= 2,
        // Method, scheme and host.
        Kind::Http => count(followed, 0) >= 3,
        Kind::Tool => count(followed, b'/') >= 2,
        Kind::Credential => count(followed, 0) >= 1,
        Kind::Spend => count(followed, 0) >= 1,
    }
}
