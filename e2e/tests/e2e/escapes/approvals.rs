//! Approvals: nobody attends means no; the agent cannot answer for a person.

use super::everybody;
use e2e::tree::Tree;

#[test]
fn where_nobody_attends_an_ask_is_a_denial() {
    everybody(|stage| {
        stage.inside("curl --silent --include http://unlisted.example.org/").ended(0).printed(" 403 ");
        let ledger = stage.ledger();
        let asked = ledger.denial("connect", "unlisted.example.org:80");
        assert_eq!(
            (asked["verdict"].as_str(), asked["need"].as_str()),
            (Some("deny"), Some("human")),
            "{asked:#}"
        );
        assert_eq!(ledger.of("ask.opened").count(), 0);
    });
}

#[test]
fn the_agent_cannot_speak_for_the_person() {
    everybody(|stage| {
        stage.inside("echo changed >> README.md").ended(0);
        let waiting =
            stage.says(&["runs", "--format", "json"]).ended(0).json()[0]["run"].as_str().unwrap().to_owned();
        let before = Tree::of(&stage.workspace);
        let state = Tree::of(&stage.state().join("runs").join(&waiting));
        let line = format!(
            "provost apply {waiting} --all && echo answered; provost discard {waiting} && echo answered
             provost trust && echo answered; provost stop {waiting} && echo answered; provost allow 1 && echo answered
             ls ~/.local/state/provost/runs/{waiting} && echo answered; cat ~/.local/state/provost/key; true"
        );
        let ran = stage.inside(&line);
        assert!(!ran.stdout.contains("answered"), "{ran}");
        Tree::of(&stage.workspace).same_as(&before);
        Tree::of(&stage.state().join("runs").join(&waiting)).same_as(&state);
    });
}

#[test]
fn a_request_from_inside_is_a_record_and_nothing_more() {
    everybody(|stage| {
        let line = "provost request --why 'the docs are there' connect docs.example.org:443; echo status $?
            curl --silent --include https://docs.example.org/; true";
        stage.inside(line).ended(0).printed(" 403 ");
        let ledger = stage.ledger();
        let request = ledger.of("request.inside").next().unwrap_or_else(|| panic!("{:#?}", ledger.0));
        assert_eq!(
            (request["trust"].as_str(), request["why"].as_str()),
            (Some("reported"), Some("the docs are there"))
        );
    });
}
