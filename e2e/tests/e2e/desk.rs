//! Somebody is asked in the middle of a call and answers from another terminal; the rest of the agent goes on meanwhile.

use e2e::person::Person;
use e2e::ran::{Beside, Ran, wait_until};
use e2e::stage::Stage;
use serde_json::Value;
use std::time::Duration;

/// Asks about `id`, `date` and one host; `whoami` never.
const POLICY: &str = r#"
version = 1
[[rule]]
id = "ask-id"
exec = ["id **", "date **"]
need = "human"
why = "Somebody should know."
[[rule]]
id = "ask-host"
connect = ["docs.example.org:*"]
need = "human"
[[rule]]
id = "no-whoami"
exec = ["whoami **"]
need = "never"
why = "Use id."
"#;

/// A run that somebody attends from elsewhere, and who that is.
pub(crate) struct Scene {
    pub(crate) stage: Stage,
    policy: String,
}

impl Scene {
    fn new() -> Self {
        Self::of(POLICY)
    }

    pub(crate) fn of(policy: &str) -> Self {
        let stage = Stage::new(Person::myself());
        let policy = stage.policy(policy);
        Self { stage, policy }
    }

    fn run(&self, options: &[&str], line: &str) -> Beside {
        self.start(&[&["--attended"], options].concat(), line)
    }

    pub(crate) fn start(&self, options: &[&str], line: &str) -> Beside {
        let mut words = vec!["run", "--policy", &self.policy];
        words.extend(options);
        words.extend(["--", "sh", "-c", line]);
        Beside::start(&mut self.stage.provost(words))
    }

    pub(crate) fn rows(&self, key: &str) -> Vec<Value> {
        let rows = self.stage.says(&["asks", "--format", "json"]).ended(0).json();
        rows.into_iter().filter_map(|row| row.get(key).cloned()).collect()
    }

    /// Waits until so many questions stand, and gives them.
    #[track_caller]
    pub(crate) fn asks(&self, count: usize) -> Vec<Value> {
        let mut asks = Vec::new();
        let there = wait_until(Duration::from_secs(60), || {
            asks = self.rows("ask");
            asks.len() == count
        });
        assert!(there, "{count} questions were expected: {asks:#?}");
        asks
    }

    /// Waits for the one question, and gives its id.
    #[track_caller]
    fn asked(&self) -> String {
        id(&self.asks(1)[0])
    }

    pub(crate) fn says(&self, words: &[&str]) -> Ran {
        self.stage.says(words)
    }
}

pub(crate) fn id(row: &Value) -> String {
    row["id"].as_str().unwrap_or_else(|| panic!("{row:#}")).to_owned()
}

#[test]
fn a_held_call_goes_on_when_somebody_says_yes_and_the_rest_goes_on_meanwhile() {
    let scene = Scene::new();
    let run = scene.run(&[], "(id -u > /dev/null && echo held ran) & echo beside; wait");
    let ask = scene.asks(1).remove(0);
    // The agent does something else while the question stands.
    run.prints("beside");
    assert!(!run.stdout().contains("held ran"));
    assert_eq!((ask["kind"].as_str(), ask["rule"].as_str()), (Some("exec"), Some("ask-id")), "{ask:#}");
    assert_eq!(ask["folder"], scene.stage.workspace.display().to_string());
    let shown = scene.says(&["asks"]).ended(0).printed("exec id -u").printed("Somebody should know.");
    assert!(shown.stdout.contains(&format!("provost allow {}", id(&ask))), "{shown}");
    scene.says(&[]).ended(0).printed("1 question waits for your answer").printed("exec id -u");
    // Enough of the beginning names it.
    scene.says(&["allow", &id(&ask)[..5], "--why", "it is mine"]).ended(0).printed("allowed  exec id -u");
    let ran = run.end().ended(0).printed("held ran");
    assert!(ran.took < Duration::from_secs(100), "{ran}");
    let ledger = scene.stage.ledger();
    let answered = ledger.of("ask.answered").next().unwrap();
    let name = scene.stage.outside("id -un 2> /dev/null || echo uid $(id -u)").stdout;
    assert_eq!(answered["by"], name.lines().last().unwrap());
    assert_eq!(
        (answered["how"].as_str(), answered["trust"].as_str(), answered["why"].as_str()),
        (Some("command"), Some("attested"), Some("it is mine"))
    );
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
    scene.says(&["asks"]).ended(0).printed("Nothing is asked.");
}

#[test]
fn a_denied_call_fails_with_the_persons_words() {
    let scene = Scene::new();
    let run = scene.run(&[], "id -u || echo status $?");
    let ask = scene.asked();
    scene.says(&["deny", &ask]).ended(125).complained("--why");
    scene.says(&["deny", &ask, "--why", "read the file instead"]).ended(0).printed("denied  exec id -u");
    let ran = run.end().ended(0).printed("status 126");
    assert!(ran.stderr.contains("rule ask-id: read the file instead"), "{ran}");
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
}

#[test]
fn nobodys_answer_in_time_is_a_no() {
    let scene = Scene::new();
    let run = scene.run(&["--ask-timeout", "2s"], "id -u || echo status $?");
    let ask = scene.asked();
    let ran = run.end().ended(0).printed("status 126");
    assert!(ran.stderr.contains("nobody answered in time"), "{ran}");
    assert!(ran.took >= Duration::from_secs(2), "{ran}");
    scene.says(&["allow", &ask]).ended(125).complained("nothing that is asked is named");
    let ledger = scene.stage.ledger();
    assert_eq!(ledger.of("ask.opened").next().unwrap()["timeout_ms"], 2000);
    assert_eq!(ledger.of("ask.answered").next().unwrap()["by"], "clock");
}

#[test]
fn the_first_answer_counts_and_the_second_is_told_so() {
    let scene = Scene::new();
    let run = scene.run(&[], "id -u > /dev/null && echo ran; sleep 60");
    let ask = scene.asked();
    let (allow, deny) = (["allow", ask.as_str()], ["deny", ask.as_str(), "--why", "no"]);
    let (one, other) =
        (Beside::start(&mut scene.stage.provost(allow)), Beside::start(&mut scene.stage.provost(deny)));
    let (one, other) = (one.end(), other.end());
    assert!((one.status == 0) ^ (other.status == 0), "{one}\n{other}");
    let late = if one.status == 0 { &other } else { &one };
    assert!(
        late.stderr.contains("it was answered already: ")
            && late.stderr.contains("it (from another terminal)"),
        "{late}"
    );
    if one.status == 0 {
        run.prints("ran");
    }
    scene.says(&["stop"]).ended(0);
    assert_eq!(scene.stage.ledger().of("ask.answered").count(), 1);
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
}

#[test]
fn asks_of_all_runs_are_listed_and_each_is_answered_for_itself() {
    let scene = Scene::new();
    let (one, other) = (
        scene.run(&[], "id -u > /dev/null && echo one ran"),
        scene.run(&[], "date > /dev/null && echo other ran"),
    );
    let asks = scene.asks(2);
    let of =
        |text: &str| id(asks.iter().find(|ask| ask["text"] == text).unwrap_or_else(|| panic!("{asks:#?}")));
    assert_ne!(asks[0]["run"], asks[1]["run"]);
    scene.says(&["deny", &of("exec date"), "--why", "no"]).ended(0);
    scene.says(&["allow", &of("exec id -u")]).ended(0);
    one.end().ended(0).printed("one ran");
    let ran = other.end();
    assert!(ran.status != 0 && !ran.stdout.contains("other ran"), "{ran}");
}

#[test]
fn whoever_follows_is_told_what_is_asked_and_answered() {
    let scene = Scene::new();
    let follower = Beside::start(&mut scene.stage.provost(["asks", "--follow", "--format", "json"]));
    let run = scene.run(&[], "id -u > /dev/null && echo ran");
    let ask = scene.asked();
    follower.prints(&format!("\"id\":\"{ask}\""));
    scene.says(&["allow", &ask, "--scope", "run"]).ended(0);
    follower.prints("\"answered\"");
    follower.prints("\"granted\"");
    run.end().ended(0);
    follower.prints("\"over\"");
}

#[test]
fn a_yes_for_the_run_is_for_the_very_same_and_ends_as_it_was_said() {
    let scene = Scene::new();
    let each = "for n in 1 2 3 4; do id -u > /dev/null && echo ran $n; done; id -g > /dev/null && echo other";
    let run = scene.run(&[], each);
    let ask = scene.asked();
    scene.says(&["allow", &ask, "--uses", "2"]).ended(0).printed("holds for exec id -u").printed("2 times");
    // The first by the answer, two by the grant; then the fourth is asked about, as if nothing had been said.
    run.prints("ran 3");
    let again = scene.asked();
    assert_ne!(again, ask);
    assert!(scene.rows("grant").is_empty());
    scene.says(&["allow", &again, "--scope", "run"]).ended(0);
    run.prints("ran 4");
    // Other words are another action: approve one, run another.
    let other = scene.asks(1).remove(0);
    assert_eq!(other["text"], "exec id -g");
    scene.says(&["deny", &id(&other), "--why", "no"]).ended(0);
    let ran = run.end();
    assert!(!ran.stdout.contains("other"), "{ran}");
    let ledger = scene.stage.ledger();
    let over: Vec<_> =
        ledger.of("grant.ended").map(|over| over["because"].as_str().unwrap().to_owned()).collect();
    assert_eq!(over, ["used", "ended"]);
    assert_eq!(ledger.of("exec").filter(|exec| exec.get("grant").is_some()).count(), 2);
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
}

#[test]
fn a_grant_holds_in_its_run_its_folder_and_its_environment_until_it_is_taken_back() {
    let scene = Scene::new();
    let line = "id -u > /dev/null; touch first; id -u > /dev/null && echo second; cd src; id -u > /dev/null && echo elsewhere; \
                cd ..; LD_PRELOAD=/none id -u > /dev/null 2>&1 && echo loaded; id -g > /dev/null; id -u > /dev/null && echo late; true";
    let run = scene.run(&[], line);
    let ask = scene.asked();
    scene.says(&["allow", &ask, "--scope", "run"]).ended(0);
    run.prints("second");
    let elsewhere = scene.asks(1).remove(0);
    assert_eq!(elsewhere["folder"], scene.stage.workspace.join("src").display().to_string());
    scene.says(&["deny", &id(&elsewhere), "--why", "no"]).ended(0);
    let loaded = scene.asks(1).remove(0);
    assert!(loaded["text"].as_str().unwrap().contains("LD_PRELOAD=/none"), "{loaded:#}");
    scene.says(&["deny", &id(&loaded), "--why", "no"]).ended(0);
    let next = scene.asked();
    // Another run has nothing of it.
    let other = scene.run(&["--ask-timeout", "1s"], "id -u > /dev/null && echo other");
    assert!(!other.end().stdout.contains("other"));
    // Taken back, it holds no longer.
    let grant = id(&scene.rows("grant")[0]);
    assert_eq!(grant, ask);
    scene.says(&["deny", &grant]).ended(0).printed("taken back: exec id -u");
    scene.says(&["deny", &next, "--why", "no"]).ended(0);
    let again = scene.asks(1).remove(0);
    assert_eq!(again["text"], "exec id -u");
    scene.says(&["deny", &id(&again), "--why", "no"]).ended(0);
    let ran = run.end().ended(0);
    assert!(
        !ran.stdout.contains("late") && !ran.stdout.contains("elsewhere") && !ran.stdout.contains("loaded"),
        "{ran}"
    );
}

#[test]
fn a_grant_ends_with_its_time() {
    let scene = Scene::new();
    let run = scene.run(&[], "id -u > /dev/null; sleep 3; id -u > /dev/null && echo late; true");
    let ask = scene.asked();
    scene.says(&["allow", &ask, "--for", "1s"]).ended(0).printed("holds for");
    let again = scene.asked();
    scene.says(&["deny", &again, "--why", "no"]).ended(0);
    assert!(!run.end().ended(0).stdout.contains("late"));
    assert_eq!(scene.stage.ledger().of("grant.ended").next().unwrap()["because"], "expired");
}

#[test]
fn a_class_is_spelled_out_and_covers_that() {
    let scene = Scene::new();
    let line = "curl --silent --max-time 5 http://docs.example.org/ > /dev/null; curl --silent --max-time 5 http://docs.example.org:8080/ > /dev/null; echo over";
    let run = scene.run(&[], line);
    let ask = scene.asks(1).remove(0);
    assert_eq!(ask["class"], "connect docs.example.org:*");
    scene.says(&["allow", &id(&ask), "--scope", "class"]).ended(0).printed("connect docs.example.org:*");
    run.end().ended(0).printed("over");
    let ledger = scene.stage.ledger();
    let by_grant =
        |event: &&Value| event["grant"] == id(&ask) && event["text"] == "connect docs.example.org:8080";
    assert!(ledger.of("decision").any(|event| by_grant(&event)), "{:#?}", ledger.0);
    scene.says(&["ledger", "verify"]).ended(0).printed("whole");
}

#[test]
fn a_desk_that_was_killed_is_noticed_and_cleared() {
    let scene = Scene::new();
    let run = scene.run(&[], "id -u > /dev/null; echo over");
    scene.asked();
    let folder = std::fs::read_dir(scene.stage.state().join("runs")).unwrap().next().unwrap().unwrap().path();
    assert!(folder.join("desk").exists());
    drop(run);
    scene.says(&["asks"]).ended(0).printed("Nothing is asked.");
    assert!(!folder.join("desk").exists());
}
