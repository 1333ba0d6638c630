//! What the inside asks for beforehand reaches a person; a yes is used by the next attempt, an answer is read inside.

use crate::desk::{Scene, id};
use e2e::ran::wait_until;
use std::time::Duration;

const POLICY: &str = r#"
version = 1
[[rule]]
id = "tags"
exec = ["git tag **"]
need = "human"
why = "A tag is a promise."
[[rule]]
id = "notes"
read = ["./notes/**"]
need = "human"
[[rule]]
id = "docs"
connect = ["docs.example.org:*"]
need = "human"
[[rule]]
id = "no-whoami"
exec = ["whoami **"]
need = "never"
why = "Use id."
"#;

/// What only these ask of a scene.
trait Requests {
    /// Waits for the one question, and gives its id.
    fn asked_for(&self, text: &str) -> String;
    /// Waits for a question, and gives its id.
    fn named(&self, text: &str) -> String;
    fn is_whole(&self);
}

fn scene() -> Scene {
    let scene = Scene::of(POLICY);
    scene.stage.write("notes/plan.txt", "the plan\n");
    scene
}

impl Requests for Scene {
    #[track_caller]
    fn asked_for(&self, text: &str) -> String {
        let ask = self.asks(1).remove(0);
        assert_eq!((ask["text"].as_str(), ask["requested"].as_bool()), (Some(text), Some(true)), "{ask:#}");
        id(&ask)
    }

    #[track_caller]
    fn named(&self, text: &str) -> String {
        let mut id = None;
        let there = wait_until(Duration::from_secs(60), || {
            id = self.rows("ask").iter().find(|ask| ask["text"] == text).map(|ask| ask["id"].clone());
            id.is_some()
        });
        assert!(there, "`{text}` is not asked");
        id.unwrap().as_str().unwrap().to_owned()
    }

    fn is_whole(&self) {
        self.says(&["ledger", "verify"]).ended(0).printed("whole");
    }
}

#[test]
fn what_was_granted_beforehand_passes_without_being_asked_about_again() {
    let scene = scene();
    let line = "provost request --why 'the release is ready' exec git tag v1; echo request $?; git tag v1; echo tag $?";
    let run = scene.start(&["--attended"], line);
    let ask = scene.asked_for("exec git tag v1");
    scene
        .says(&["asks"])
        .ended(0)
        .printed("the agent claims: \"the release is ready\"")
        .printed("asked beforehand");
    scene.says(&["allow", &ask, "--why", "go on"]).ended(0).printed("allowed  exec git tag v1");
    run.prints("request 0");
    run.prints("tag 0");
    run.end().ended(0).printed("granted: by").printed("go on").printed("exec git tag v1");
    let ledger = scene.stage.ledger();
    assert_eq!(ledger.of("ask.opened").count(), 1);
    assert!(ledger.of("exec").any(|exec| exec["grant"] == ask), "{:#?}", ledger.0);
    assert_eq!(ledger.of("request.inside").next().unwrap()["trust"], "reported");
    scene.is_whole();
}

#[test]
fn each_kind_is_answered_with_yes_and_with_no() {
    for (request, text, attempt) in [
        ("exec git tag v1", "exec git tag v1", "git tag v1 && echo passed"),
        ("read notes/plan.txt", "", "cat notes/plan.txt && echo passed"),
        (
            "connect docs.example.org",
            "connect docs.example.org:443",
            "curl --silent --max-time 5 https://docs.example.org/; echo passed",
        ),
        ("question 'which of the two?'", "which of the two?", "echo passed"),
    ] {
        for yes in [true, false] {
            println!("{request}: {yes}");
            let scene = scene();
            let attempt = if yes { attempt } else { "true" };
            let line = format!("provost request --why 'it is needed' {request}; echo request $?; {attempt}");
            let run = scene.start(&["--attended"], &line);
            let text = match text {
                "" => format!("read {}", scene.stage.workspace.join("notes/plan.txt").display()),
                text => text.to_owned(),
            };
            let ask = scene.asked_for(&text);
            let word = if yes { "allow" } else { "deny" };
            scene.says(&[word, &ask, "--why", "the second"]).ended(0);
            let ran = run.end().printed("the second").printed(if yes { "request 0" } else { "request 1" });
            assert!(!yes || ran.stdout.contains("passed"), "{ran}");
            let ledger = scene.stage.ledger();
            assert_eq!(ledger.of("ask.opened").count(), 1, "{ran}");
            let given = usize::from(yes && !request.starts_with("question"));
            assert_eq!(ledger.of("grant.given").count(), given);
            scene.is_whole();
        }
    }
}

#[test]
fn who_does_not_wait_goes_on_and_the_answer_holds_when_it_comes() {
    let scene = scene();
    let line = "provost request --no-wait --why x --format json exec git tag v1; echo request $?; provost request --why x question go; git tag v1; echo tag $?";
    let run = scene.start(&["--attended"], line);
    run.prints("request 0");
    let (ask, gate) = (scene.named("exec git tag v1"), scene.named("go"));
    assert!(run.stdout().contains(&format!("\"ask\":\"{ask}\"")), "{}", run.stdout());
    scene.says(&["allow", &ask]).ended(0);
    scene.says(&["allow", &gate]).ended(0);
    run.end().ended(0).printed("tag 0");
    scene.is_whole();
}

#[test]
fn where_nobody_needs_to_be_asked_or_could_nobody_is() {
    let scene = scene();
    let line = "provost request --why x exec whoami; echo never $?
        provost request --why x read ~/.ssh/id_rsa; echo floor $?
        provost request --why x exec id -u; echo allowed $?
        provost request --why x exec no-such-program; echo none $?
        provost request --why x connect 'two words'; echo odd $?";
    let ran = scene.start(&["--attended"], line).end().ended(0);
    let ran = ran.printed("never 1").printed("rule no-whoami: Use id.").printed("floor 1");
    let ran = ran.printed("allowed 0").printed("it is allowed already").printed("none 125").printed("odd 1");
    assert!(ran.took < Duration::from_secs(60), "{ran}");
    assert_eq!(scene.stage.ledger().of("ask.opened").count(), 0);
    let line = "provost request --why x exec git tag v1; echo unattended $?; provost request --why x exec whoami; echo never $?";
    let ran = scene.start(&["--unattended"], line).end().ended(0);
    let ran = ran.printed("recorded: Nobody attends this run").printed("unattended 0").printed("never 1");
    assert!(ran.took < Duration::from_secs(60), "{ran}");
    scene.is_whole();
}

#[test]
fn who_goes_away_takes_the_question_along() {
    let scene = scene();
    let line = "provost request --why x exec git tag v1 & provost request --why x question go; kill $!; wait; provost request --why x question over";
    let run = scene.start(&["--attended"], line);
    let (ask, go) = (scene.named("exec git tag v1"), scene.named("go"));
    scene.says(&["allow", &go]).ended(0);
    let over = scene.named("over");
    assert_eq!(scene.asked_for("over"), over);
    scene.says(&["allow", &over]).ended(0);
    run.end().ended(0);
    let ledger = scene.stage.ledger();
    let answered = ledger.of("ask.answered").find(|answered| answered["ask"] == ask).unwrap();
    assert_eq!((answered["answer"].as_str(), answered["how"].as_str()), (Some("expired"), Some("withdrawn")));
    scene.is_whole();
}

#[test]
fn a_flood_is_few_questions_and_the_rest_goes_on() {
    let scene = scene();
    // Twenty for the same are one; of forty others no more than sixteen stand.
    let line = "for n in $(seq 20); do provost request --why same exec git tag v0 > /dev/null & done
        for n in $(seq 40); do provost request --no-wait --why other exec git tag v$n > said.$n & done
        curl --silent --max-time 20 http://no.example.org/ > /dev/null; echo beside
        sleep 3; kill $(jobs -p) 2> /dev/null; wait; cat said.* | grep -c denied";
    let run = scene.start(&["--attended", "--profile", "build"], line);
    run.prints("beside");
    assert!(scene.rows("ask").len() <= 16);
    let ran = run.end();
    assert!(!ran.stdout.ends_with("\n0\n"), "{ran}");
    let ledger = scene.stage.ledger();
    let zero = ledger.of("ask.opened").filter(|ask| ask["text"] == "exec git tag v0").count();
    assert!(zero <= 1, "{zero}");
    scene.is_whole();
}
