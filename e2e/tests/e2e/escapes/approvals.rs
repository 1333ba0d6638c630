//! Approvals: nobody attends means no; the agent cannot answer for a person.

use super::everybody;
use e2e::ran::{Beside, wait_until};
use e2e::tree::Tree;
use std::time::Duration;

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

#[test]
fn the_desk_of_an_attended_run_is_not_reached_from_inside() {
    everybody(|stage| {
        let policy =
            stage.policy("version = 1\n[[rule]]\nid = \"ask\"\nexec = [\"date **\"]\nneed = \"human\"\n");
        // By its path, through a process, among the sockets of the network, by a descriptor that was left open.
        let look = "find / -name desk -type s 2> /dev/null | sed 's/^/found by path: /' ; \
            for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do ls -d $root/HOME/.local/state/provost/runs/*/desk; done 2> /dev/null | sed 's/^/found by process: /'; \
            grep '/desk$' /proc/net/unix /proc/[0-9]*/net/unix 2> /dev/null | sed 's/^/found by network: /'; \
            for fd in /proc/[0-9]*/fd/*; do readlink $fd; done 2> /dev/null | grep -E 'runs/[^/]+(/desk)?$' | sed 's/^/found by descriptor: /'; echo looked";
        let look = look.replace("HOME", &stage.home.display().to_string());
        let line = format!(
            "provost request --why x question begin; {look}; provost request --why x question 'the end'"
        );
        let run = Beside::start(&mut stage.provost([
            "run",
            "--attended",
            "--policy",
            &policy,
            "--",
            "sh",
            "-c",
            &line,
        ]));
        let answer = |text: &str| {
            let there = wait_until(Duration::from_secs(60), || {
                let asks = stage.says(&["asks", "--format", "json"]).json();
                let ask = asks.iter().find(|row| row["ask"]["text"] == text);
                ask.is_some_and(|row| stage.says(&["allow", row["ask"]["id"].as_str().unwrap()]).status == 0)
            });
            assert!(there, "`{text}` is not asked");
        };
        answer("begin");
        run.prints("looked");
        // Outside the same look finds it while it is open.
        let outside = stage.outside(&look.replace("find / ", &format!("find {} ", stage.home.display())));
        for way in ["by path", "by network"] {
            assert!(outside.stdout.contains(way), "{way}: {outside}");
        }
        answer("the end");
        let ran = run.end().ended(0);
        assert!(!ran.stdout.contains("found by"), "{ran}");
    });
}
