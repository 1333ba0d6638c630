//! A run is told process by process, with what it could have seen; and watched while it goes on.

use e2e::doubles::model::{Call, Script};
use e2e::person::Person;
use e2e::ran::{Ran, wait_until};
use e2e::stage::Stage;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use super::real_agents::{KEY, governed, set_up_for};

/// What `show` says to programs.
fn shown(stage: &Stage) -> Value {
    stage.says(&["show", "--all", "--format", "json"]).ended(0).json().remove(0)
}

/// The process with these words.
#[track_caller]
fn process<'a>(shown: &'a Value, words: &[&str]) -> &'a Value {
    let all = shown["processes"].as_array().unwrap();
    let found = all.iter().find(|process| process["argv"] == serde_json::json!(words));
    found.unwrap_or_else(|| {
        panic!("no process {words:?} among {:#?}", all.iter().map(|it| &it["argv"]).collect::<Vec<_>>())
    })
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|file| file["path"].as_str()).collect()
}

#[test]
fn a_build_and_a_pipeline_are_told_process_by_process() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.write("a.c", "int main(void) { return 0; }\n");
        stage.write("Makefile", "all: a\na: a.c\n\tcc -o a a.c\n");
        stage.write("sub/list", "2\n1\n");
        stage.inside("make > /dev/null; (cd sub; sort list | tail -n 1 > last); cat ~/.ssh/id_rsa; sh -c 'exit 7'; true").ended(0);
        let shown = shown(&stage);
        let (make, cc) = (process(&shown, &["make"]), process(&shown, &["cc", "-o", "a", "a.c"]));
        assert_eq!(cc["parent"], make["id"], "{shown:#}");
        assert_eq!((&make["exit"]["code"], make["digest"].as_str().map(str::len)), (&0.into(), Some(64)));
        let linked = shown["processes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|process| names(&process["writes"]).iter().any(|path| path.ends_with("/project/a")));
        let mut above = linked.unwrap_or_else(|| panic!("nobody wrote the program: {shown:#}"));
        while above["id"] != cc["id"] {
            let parent = above["parent"].as_u64().expect("the linker is beneath cc") as usize;
            above = &shown["processes"][parent - 1];
        }
        let sort = process(&shown, &["sort", "list"]);
        assert!(sort["cwd"].as_str().unwrap().ends_with("/project/sub"), "{sort:#}");
        assert!(names(&sort["reads"]["named"]).iter().any(|path| path.ends_with("/sub/list")), "{sort:#}");
        let tail = process(&shown, &["tail", "-n", "1"]);
        assert!(names(&tail["writes"]).iter().any(|path| path.ends_with("/sub/last")), "{tail:#}");
        assert_eq!(process(&shown, &["sh", "-c", "exit 7"])["exit"]["code"], 7);
        let key = stage.home.join(".ssh/id_rsa").display().to_string();
        let cat = process(&shown, &["cat", &key]);
        assert_eq!(
            (cat["denied"][0]["what"].as_str(), cat["denied"][0]["target"].as_str()),
            (Some("read"), Some(&*key)),
            "{cat:#}"
        );
        assert_eq!(cat["call"], Value::Null, "of a plain command nobody knows what a call is");
        let told = stage.says(&["show"]).ended(0);
        for line in
            ["make", "cc -o a a.c", "exit 7", "in sub", "denied read ~/.ssh/id_rsa  rule home-secrets of "]
        {
            assert!(told.stdout.contains(line), "`{line}`: {told}");
        }
        let pid = cat["pid"].to_string();
        let one = stage.says(&["show", "--process", &pid]).ended(0);
        assert!(
            one.stdout.contains(&format!("ran        cat {key}")) && one.stdout.contains("with status 1"),
            "{one}"
        );
        stage.says(&["show", "--process", "#1"]).ended(0).printed("provost");
        stage.says(&["show", "--process", "#99999"]).ended(125).complained("no process `#99999`");
    }
}

#[test]
fn a_secret_that_was_read_is_told_from_one_that_only_could_be() {
    let stage = Stage::new(Person::myself());
    for name in [".env", "deploy.pem", "src/.env.local"] {
        stage.write(name, "PASSWORD=1\n");
    }
    stage
        .inside("cat .env > copy; cat ~/.ssh/id_rsa; curl --silent http://unlisted.example.org/; true")
        .ended(0);
    let told = stage.says(&["show", "--exposure"]).ended(0);
    for line in [
        ".env  was read",
        "deploy.pem  could be read, and was not opened",
        "src/.env.local  could be read, and was not opened",
        "asks human     every other host",
        "read ~/.ssh/id_rsa  rule home-secrets of ",
        "connect unlisted.example.org:80",
    ] {
        assert!(told.stdout.contains(line), "`{line}`: {told}");
    }
    assert!(
        !told.stdout.contains("deploy.pem  was read") && !told.stdout.contains("id_rsa  could"),
        "{told}"
    );
    let json = stage.says(&["show", "--exposure", "--format", "json"]).ended(0).json().remove(0);
    let ends = |list: &Value, name: &str| {
        list.as_array().unwrap().iter().filter_map(Value::as_str).any(|path| path.ends_with(name))
    };
    assert!(
        ends(&json["secrets"]["read"], "/project/.env") && !ends(&json["secrets"]["read"], "deploy.pem"),
        "{json:#}"
    );
    assert!(ends(&json["secrets"]["readable_now"], "/project/deploy.pem"), "{json:#}");
    assert!(!ends(&json["secrets"]["readable_now"], "/.ssh/id_rsa"), "the key is out of reach: {json:#}");
    assert!(ends(&json["changed"], "/project/copy") && json["reads_recorded"] == true, "{json:#}");
}

#[test]
fn a_run_is_watched_while_it_goes_on() {
    let stage = Stage::new(Person::myself());
    let line = "printf x > \"$(printf 'n\\033[2Jm')\"; cat ~/.ssh/id_rsa; sleep 5; sh -c 'exit 3'; true";
    // Who watches before anything begins waits for it.
    let mut early = stage.provost(["watch"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut run = stage.provost(["run", "--unattended", "--", "sh", "-c", line]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(early.stdout.take().unwrap()).lines().map_while(Result::ok);
    let seen: Vec<String> = lines.by_ref().take_while(|line| !line.contains("changed n")).collect();
    assert!(run.try_wait().unwrap().is_none(), "it was told when it was over: {seen:#?}");
    assert!(
        seen.iter().any(|line| line.contains("denied read") && line.contains("home-secrets")),
        "{seen:#?}"
    );
    // Another one comes later, and reads for a program.
    let mut late = stage.provost(["watch", "--format", "json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut objects = BufReader::new(late.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok)
        .map(|line| serde_json::from_str::<Value>(&line).expect("an object a line"));
    assert_eq!(objects.next().unwrap()["what"], "opened");
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("exit 3")), "{rest:#?}");
    assert!(rest.last().is_some_and(|line| line.contains("ended with status 0")), "{rest:#?}");
    let told: Vec<Value> = objects.collect();
    let is = |what: &str| told.iter().filter(move |it| it["what"] == what).collect::<Vec<_>>();
    assert!(is("ended-process").iter().any(|it| it["code"] == 3), "{told:#?}");
    assert_eq!(is("ended").len(), 1, "{told:#?}");
    for child in [&mut early, &mut late, &mut run] {
        assert!(
            wait_until(Duration::from_secs(30), || child.try_wait().unwrap().is_some()),
            "it does not end"
        );
        assert!(child.wait().unwrap().success());
    }
    let whole: String = seen.iter().chain(&rest).map(String::as_str).collect();
    assert!(!whole.contains(char::is_control), "{whole:?}");
}

#[test]
fn watching_ends_on_a_word_and_the_run_goes_on() {
    let stage = Stage::new(Person::myself());
    let provost = stage.provost([""; 0]).get_program().display().to_string();
    let line = format!(
        "{provost} run --unattended -- sh -c 'sleep 3; echo done > made' & \
         sleep 1; timeout --signal=INT 1 {provost} watch; echo \"watched $?\"; wait $!; echo \"ran $?\""
    );
    let ran: Ran = stage.outside(&line);
    assert!(ran.stdout.contains("watched 124") && ran.stdout.contains("ran 0"), "{ran}");
    assert!(stage.says(&["show"]).ended(0).stdout.contains("changed made"));
}

#[test]
fn what_a_tool_call_ran_stands_under_its_call() {
    for agent in [&["codex", "exec", "do it"][..], &["claude", "-p", "do it"]] {
        let calls = [
            Call::Shell("sort src/greeting.txt | head -n 1 > first.txt".to_owned()),
            Call::Shell("sh check.sh; cat ~/.ssh/id_rsa".to_owned()),
        ];
        let script = Script::of(calls, "All is done.").for_key(KEY);
        let Some((stage, _server)) = set_up_for(Person::myself(), script) else { return };
        governed(&stage, agent).ended(0).printed("All is done.");
        let shown = shown(&stage);
        let sort = process(&shown, &["sort", "src/greeting.txt"]);
        let check = process(&shown, &["sh", "check.sh"]);
        let began = |process: &Value| {
            let id = process["call"]["began_with"].as_u64().unwrap_or_else(|| panic!("no call: {process:#}"))
                as usize;
            shown["processes"][id - 1].clone()
        };
        // The command of the call is in the words of what began it, and no other call's is.
        for (process, mine, other) in
            [(sort, "sort src/greeting.txt", "check.sh"), (check, "sh check.sh", "greeting.txt")]
        {
            let began = began(process);
            let words = format!("{} {}", began["before"], began["argv"]);
            assert!(words.contains(mine) && !words.contains(other), "{agent:?}: {words}");
        }
        assert!(sort["call"]["number"].as_u64() < check["call"]["number"].as_u64(), "{shown:#}");
        assert_eq!(shown["processes"][0]["call"], Value::Null, "the agent itself is no call");
        let told = stage.says(&["show"]).ended(0);
        assert!(told.stdout.contains("call 1") && told.stdout.contains("call N"), "{told}");
    }
}
