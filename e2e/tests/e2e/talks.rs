//! Codex talks to its model over a WebSocket in TLS: it is opened, every message is seen, and nobody tells Codex whom to trust.

use std::path::Path;
use std::process::Command;

use e2e::doubles::front::Front;
use e2e::doubles::model::{Call, ModelServer, Script};
use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;
use e2e::tree::Tree;

use crate::models::stopped_by_its_budget;
use crate::real_agents::{KEY, codex_config_at, governed, held, set_up_for, work};

/// Codex's settings for a model that is talked to: it does so where its provider's settings say that it can.
pub(crate) fn codex_config(url: &str) -> String {
    codex_config_at(url).replace("env_key", "supports_websockets = true\nenv_key")
}

/// A stage with a model in TLS that talks, and where its authority is written.
fn set_up(person: Person, script: Script) -> Option<(Stage, ModelServer, std::path::PathBuf)> {
    let (stage, server) = set_up_for(person, script.that_talks())?;
    let front = Front::of(server.port()).unwrap();
    let ca = stage.elsewhere.join("front.pem");
    std::fs::write(&ca, &front.ca).unwrap();
    stage.in_home(".codex/config.toml", &codex_config(&format!("https://127.0.0.1:{}", front.port)));
    Some((stage, server, ca))
}

#[test]
fn codex_talks_to_its_model_over_a_websocket_in_tls_and_holds_no_key() {
    for person in Person::everybody() {
        let Some((mut stage, server, ca)) = set_up(person, work()) else { return };
        stage.set("SSL_CERT_FILE", &ca);
        let before = Tree::of(&stage.workspace);
        let ran = governed(&stage, &["codex", "exec", "make the greeting friendlier"]);
        held(&stage, &server, &before, ran);
        let asked = server.exchanges();
        assert!(
            asked.len() >= 9 && asked.iter().all(|one| one.method == "GET"),
            "not in messages: {asked:#?}"
        );
        let goes_on = |one: &&e2e::doubles::model::Exchange| one.body["previous_response_id"].is_string();
        assert!(asked.iter().filter(goes_on).count() >= 8, "each question began anew: {asked:#?}");

        // Each answer is counted by itself: 100 and 20, and nothing where Codex only got the model ready.
        let ledger = stage.ledger();
        let answered: Vec<_> = ledger.of("model.answered").collect();
        assert_eq!(answered.len(), asked.len(), "{answered:#?}");
        let used = answered.iter().filter(|one| (&one["input"], &one["output"]) == (&100.into(), &20.into()));
        let wanted = asked.iter().filter(|one| one.body["generate"] != false);
        assert_eq!(used.count(), wanted.count(), "{answered:#?}");
        let calls = answered.iter().filter_map(|one| one["calls"].as_array()).flatten();
        assert_eq!(calls.count(), 8, "each call that the model wanted is told once");
        let flows: Vec<_> = ledger.of("flow").filter(|flow| flow["path"] == "/v1/responses").collect();
        assert!(flows.iter().any(|flow| flow["status"] == 101), "{flows:#?}");
        assert!(flows.iter().all(|flow| flow["method"] == "GET"), "it fell back: {flows:#?}");
    }
}

/// The machine's own list, with the model's authority in it, and the person for whom the rest is run.
const MACHINE: &str = r#"
list=$1; uid=$2; shift 2
mount --bind "$list" /etc/ssl/certs/ca-certificates.crt || exit 99
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
"#;

#[test]
fn a_websocket_in_tls_is_trusted_where_nobody_has_set_anything() {
    let list = Path::new("/etc/ssl/certs/ca-certificates.crt");
    if Person::myself().uid != 0 || !list.is_file() {
        println!("SKIPPED: a list of the machine's own needs root, and one at its usual place");
        return;
    }
    for person in Person::everybody() {
        let script = Script::of([Call::Shell("echo told > said.txt; env".to_owned())], "All is done.");
        let Some((stage, server, ca)) = set_up(person, script.for_key(KEY)) else { return };
        let provost = stage.provost(["run", "--unattended", "--", "codex", "exec", "say it"]);
        let variables = || provost.get_envs().filter_map(|(name, value)| Some((name, value?)));
        assert!(variables().all(|(name, _)| !name.to_string_lossy().contains("CERT")), "{provost:?}");
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "/bin/sh", "-c", MACHINE, "sh"]).arg(&ca).arg(person.uid.to_string());
        command.arg(provost.get_program()).args(provost.get_args());
        command.current_dir(&stage.workspace).env_clear().envs(variables());
        run(&mut command).ended(0).printed("All is done.");
        let asked = server.exchanges();
        assert!(
            asked.len() >= 2 && asked.iter().all(|one| one.method == "GET"),
            "not in messages: {asked:#?}"
        );
        assert!(!server.told().concat().contains(KEY), "the real key was inside");
    }
}

#[test]
fn a_conversation_ends_with_the_budget_and_codex_says_so() {
    let calls = (0..12).map(|at| Call::Shell(format!("echo {at} >> counted.txt")));
    let script = Script::of(calls, "All is done.").for_key(KEY).that_uses(50_000);
    let Some((mut stage, server, ca)) = set_up(Person::myself(), script) else { return };
    stage.set("SSL_CERT_FILE", &ca);
    let words = ["run", "--unattended", "--limit", "tokens=175000", "--", "codex", "exec", "do it"];
    let ran = run(&mut stage.provost(words));
    stopped_by_its_budget(&ran, &server, &stage);
}
