//! The doubles are good ones: real agents take them for the real thing, without Provost between.

use e2e::built;
use e2e::doubles::model::{Call, ModelServer, Script};
use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;

fn script() -> Script {
    let calls = [
        Call::Read("README.md".to_owned()),
        Call::Write { path: "notes.txt".to_owned(), content: "as told\n".to_owned() },
        Call::Shell("cat notes.txt; echo and more >&2; exit 3".to_owned()),
    ];
    Script::of(calls, "All is done.").for_key("sk-the-real-key")
}

fn followed(server: &ModelServer, stage: &Stage, ran: Ran) {
    ran.ended(0).printed("All is done.");
    let told = server.told();
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[0].contains("# A project"), "{told:#?}");
    assert!(told[2].contains("as told") && told[2].contains("and more"), "{told:#?}");
    assert_eq!(std::fs::read_to_string(stage.workspace.join("notes.txt")).unwrap(), "as told\n");
    let keys: Vec<_> =
        server.exchanges().iter().filter_map(|exchange| exchange.key().map(str::to_owned)).collect();
    assert!(keys.len() >= 4 && keys.iter().all(|key| key == "sk-the-real-key"), "{keys:?}");
}

#[test]
fn codex_follows_the_script() {
    let Some(agents) = built::agents(Person::myself()) else { return };
    let server = ModelServer::start(script()).unwrap();
    let stage = Stage::new(Person::myself());
    stage.in_home(".codex/config.toml", &crate::real_agents::codex_config(&server));
    let codex = agents.join("node_modules/.bin/codex");
    let words = ["exec", "--dangerously-bypass-approvals-and-sandbox", "do it"];
    let ran = run(stage.command(codex).args(words).env("MODEL_KEY", "sk-the-real-key"));
    followed(&server, &stage, ran);
}

#[test]
fn codex_follows_the_script_over_a_websocket() {
    let Some(agents) = built::agents(Person::myself()) else { return };
    let server = ModelServer::start(script().that_talks()).unwrap();
    let stage = Stage::new(Person::myself());
    stage.in_home(".codex/config.toml", &crate::talks::codex_config(&server.url()));
    let codex = agents.join("node_modules/.bin/codex");
    let words = ["exec", "--dangerously-bypass-approvals-and-sandbox", "do it"];
    let ran = run(stage.command(codex).args(words).env("MODEL_KEY", "sk-the-real-key"));
    followed(&server, &stage, ran);
    assert!(server.exchanges().iter().all(|exchange| exchange.method == "GET"), "it asked otherwise too");
}

#[test]
fn claude_follows_the_script() {
    let Some(agents) = built::agents(Person::myself()) else { return };
    let server = ModelServer::start(script()).unwrap();
    let stage = Stage::new(Person::myself());
    let claude = agents.join("node_modules/.bin/claude");
    let ran = run(stage
        .command(claude)
        .args(["-p", "do it", "--dangerously-skip-permissions"])
        .env("IS_SANDBOX", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("ANTHROPIC_BASE_URL", server.url())
        .env("ANTHROPIC_API_KEY", "sk-the-real-key"));
    followed(&server, &stage, ran);
}

#[test]
fn a_wrong_key_is_refused() {
    let Some(agents) = built::agents(Person::myself()) else { return };
    let server = ModelServer::start(script()).unwrap();
    let stage = Stage::new(Person::myself());
    stage.in_home(".codex/config.toml", &crate::real_agents::codex_config(&server));
    let codex = agents.join("node_modules/.bin/codex");
    let words = ["exec", "--dangerously-bypass-approvals-and-sandbox", "do it"];
    let ran = run(stage.command(codex).args(words).env("MODEL_KEY", "sk-made-up"));
    assert_ne!(ran.status, 0, "{ran}");
    assert!(ran.stderr.contains("401"), "{ran}");
}
