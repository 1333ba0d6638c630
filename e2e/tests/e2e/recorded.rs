//! Recorded traffic: a conversation can be put together again, no secret is in it, and a run that is killed leaves what there was.

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::doubles::front::Front;
use e2e::doubles::model::Script;
use e2e::doubles::model::{Call, ModelServer};
use e2e::person::Person;
use e2e::ran::{Running, run, wait_until};
use e2e::stage::Stage;
use serde_json::Value;

use crate::real_agents::{KEY, codex_config_at, set_up_for};

/// All bytes beneath a folder.
fn everything(dir: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        all.extend(if path.is_dir() { everything(&path) } else { fs::read(&path).unwrap() });
    }
    all
}

fn holds(all: &[u8], text: &str) -> bool {
    all.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Where the cassette of the last run lies.
fn tape(stage: &Stage) -> std::path::PathBuf {
    let runs = stage.says(&["runs", "--format", "json"]).ended(0).json();
    stage.state().join("runs").join(runs[0]["run"].as_str().unwrap()).join("cassette")
}

fn flow(stage: &Stage, number: &Value) -> Value {
    let number = number.to_string();
    stage.says(&["show", "--traffic", "--flow", &number, "--format", "json"]).ended(0).json().remove(0)
}

const MODELS: &str = "version = 1\n[record]\nmodels = \"full\"\n";

#[test]
fn what_a_real_agent_and_its_model_said_in_tls_is_put_together_from_the_cassette() {
    for person in Person::everybody() {
        for command in [["codex", "exec"], ["claude", "-p"]] {
            let calls =
                [Call::Read("README.md".to_owned()), Call::Shell("echo told > said.txt; env".to_owned())];
            let script = Script::of(calls, "All is done.").for_key(KEY);
            let Some((mut stage, server)) = set_up_for(person, script) else { return };
            let front = Front::of(server.port()).unwrap();
            let ca = stage.elsewhere.join("front.pem");
            fs::write(&ca, &front.ca).unwrap();
            let url = format!("https://127.0.0.1:{}", front.port);
            stage.in_home(".codex/config.toml", &codex_config_at(&url));
            stage.set("ANTHROPIC_BASE_URL", &url);
            stage.set("SSL_CERT_FILE", &ca);
            let policy = stage.policy(MODELS);
            let words = ["run", "--unattended", "--policy", &policy, "--", command[0], command[1], "say it"];
            let ran = run(&mut stage.provost(words)).ended(0).printed("All is done.");
            assert!(ran.stderr.contains("recorded"), "the summary does not say it: {ran}");

            let listed = stage.says(&["show", "--traffic", "--format", "json"]).ended(0).json();
            let asked: Vec<Value> = listed
                .iter()
                .filter(|one| {
                    one["method"] == "POST" && one["flow"].is_u64() && one["answers"][0]["model"].is_string()
                })
                .map(|one| flow(&stage, &one["flow"]))
                .collect();
            assert!(asked.len() >= 3, "{listed:#?}");
            // Each question stands as it left, and in each what was said before.
            let questions: Vec<String> =
                asked.iter().map(|one| one["request_body"]["text"].as_str().unwrap().to_owned()).collect();
            let came: Vec<Value> = server.exchanges().into_iter().map(|exchange| exchange.body).collect();
            for question in &questions {
                let read: Value = serde_json::from_str(question).unwrap();
                assert!(came.contains(&read), "asked otherwise than it is recorded: {question}");
            }
            let last = questions.iter().max_by_key(|question| question.len()).unwrap();
            assert!(last.contains("# A project") && last.contains("say it"), "{last}");
            let answers: String =
                asked.iter().map(|one| one["answer_body"]["text"].as_str().unwrap_or_default()).collect();
            assert!(answers.contains("All is done.") && answers.contains("README.md"), "{answers}");
            assert!(asked.iter().all(|one| one["close"]["outcome"] == "closed"), "{asked:#?}");

            // The key went out, and is nowhere in it.
            assert!(server.exchanges().iter().filter_map(|one| one.key()).any(|key| key == KEY));
            let place = tape(&stage);
            let all = everything(&place);
            assert!(
                !holds(&all, KEY) && holds(&all, "<authorization:") | holds(&all, "<x-api-key:"),
                "{place:?}"
            );

            // A person reads it too, and a change of one letter is noticed.
            let number = asked[0]["flow"].to_string();
            stage.says(&["show", "--traffic"]).ended(0).printed("POST");
            stage.says(&["show", "--traffic", "--flow", &number]).ended(0).printed("content-type");
            stage.says(&["ledger", "verify"]).ended(0).printed("its recorded traffic is what was written");
            let events = place.join("events.jsonl");
            let text = fs::read_to_string(&events).unwrap();
            fs::write(&events, text.replacen("POST", "POTS", 1)).unwrap();
            let broken = stage.says(&["ledger", "verify"]).ended(1);
            assert!(broken.stdout.contains("its lines are not those that were written"), "{broken}");
            stage.says(&["discard"]).ended(0);
            assert!(!place.exists(), "discarding left the recorded traffic");
            stage.says(&["ledger", "verify"]).ended(0).printed("discarded");
        }
    }
}

#[test]
fn a_run_that_is_killed_leaves_its_traffic_readable() {
    for person in Person::everybody() {
        let server = ModelServer::start(Script::of([], "x")).unwrap();
        let stage = Stage::new(person);
        let policy = stage.policy(&format!(
            "version = 1\n[[rule]]\nid = \"rec\"\nconnect = [\"127.0.0.1:{}\"]\nneed = \"none\"\nrecord = \"full\"\n",
            server.port()
        ));
        let line = format!("curl -sS {}/v1/models; sleep 61", server.url());
        let mut running = Running::start(&mut stage.provost([
            "run",
            "--unattended",
            "--policy",
            &policy,
            "--",
            "sh",
            "-c",
            &line,
        ]));
        assert!(wait_until(Duration::from_secs(30), || {
            let place = stage.state().join("runs");
            let runs = fs::read_dir(place).into_iter().flatten().flatten();
            runs.map(|run| run.path().join("cassette/events.jsonl"))
                .any(|events| fs::read_to_string(events).is_ok_and(|text| text.contains("\"close\"")))
        }));
        running.kill();
        stage.says(&["status"]).ended(0);
        let listed = stage.says(&["show", "--traffic", "--format", "json"]).ended(0).json();
        let one = listed.iter().find(|one| one["flow"] == 1).unwrap_or_else(|| panic!("{listed:#?}"));
        let read = flow(&stage, &one["flow"]);
        assert!(read["request"]["url"].as_str().unwrap().ends_with("/v1/models"), "{read:#}");
        assert!(read["status"].is_u64() && read["close"]["outcome"] == "closed", "{read:#}");
        stage.says(&["ledger", "verify"]).ended(0).printed("never closed");
    }
}
