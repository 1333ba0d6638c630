//! What models use is counted for real agents, and a budget stops them cleanly.

use crate::real_agents::{governed, set_up_for};
use e2e::doubles::model::{Call, ModelServer, Script};
use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;

const AGENTS: [&[&str]; 2] = [&["codex", "exec", "do it"], &["claude", "-p", "do it"]];

/// More turns than any budget here is for.
fn long() -> Script {
    let calls = (0..12).map(|at| Call::Shell(format!("echo {at} >> counted.txt")));
    Script::of(calls, "All is done.").for_key(crate::real_agents::KEY)
}

#[test]
fn what_real_agents_use_is_in_the_record_and_the_summary() {
    for command in AGENTS {
        let Some((stage, server)) = set_up_for(Person::myself(), long()) else { return };
        let ran = governed(&stage, command).ended(0).printed("All is done.");
        let ledger = stage.ledger();
        let answered: Vec<_> = ledger.of("model.answered").collect();
        // The double says 100 and 20 with each answer.
        assert!(answered.len() > 12 && answered.len() <= server.exchanges().len(), "{}", answered.len());
        for one in &answered {
            assert_eq!((&one["input"], &one["output"]), (&100.into(), &20.into()), "{one:#}");
            assert!(one["cost"].as_u64().is_some_and(|cost| cost > 0), "{one:#}");
        }
        let calls = answered.iter().filter_map(|one| one["calls"].as_array()).flatten();
        assert_eq!(calls.count(), 12, "each call that the model wanted is told once");
        assert!(ran.stderr.contains("tokens in"), "{ran}");
        stage.says(&["ledger", "verify"]).ended(0).printed("whole");
    }
}

/// The agent was told why, said so and gave up, and did not knock on the door for minutes.
pub(crate) fn stopped_by_its_budget(ran: &Ran, server: &ModelServer, stage: &Stage) {
    assert_ne!(ran.status, 0, "it was stopped in the middle: {ran}");
    let said = format!("{}{}", ran.stdout, ran.stderr);
    assert!(said.contains("of the 175000 tokens"), "it does not say why: {ran}");
    assert!(server.told().len() < 8, "it went on: {:?}", server.told());
    let ledger = stage.ledger();
    let reached: Vec<_> = ledger.of("limit.reached").collect();
    assert_eq!((reached.len(), &reached[0]["limit"]), (1, &"tokens".into()), "{reached:#?}");
    let refused = ledger.of("denied").filter(|one| one["reasons"][0]["rule"] == "tokens").count();
    assert!((1..=2).contains(&refused), "{refused} more questions: {ran}");
    assert!(ran.took.as_secs() < 60, "{ran}");
}

#[test]
fn an_agent_that_used_its_budget_up_stops_and_says_so() {
    for person in Person::everybody() {
        for command in AGENTS {
            let Some((stage, server)) = set_up_for(person, long().that_uses(50_000)) else { return };
            let words = ["run", "--unattended", "--limit", "tokens=175000", "--"].iter().chain(command);
            let ran = run(&mut stage.provost(words));
            stopped_by_its_budget(&ran, &server, &stage);
        }
    }
}
