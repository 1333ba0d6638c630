//! What the ledger says of a run is what another observer says of the same work: nothing more, nothing less.

mod connects;

use crate::real_agents::{KEY, set_up_for};
use crate::real_work::toolchain;
use e2e::built;
use e2e::doubles::model::{Call, Script};
use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::{Ledger, Stage};
use e2e::strace::{Acts, acts, beneath};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Of the kernel's own files nothing is recorded.
fn of_the_kernel(act: &str) -> bool {
    ["/proc", "/dev", "/sys", "pipe:", "socket:", "anon_inode:", "/memfd:"]
        .iter()
        .any(|place| act.split_once(' ').is_some_and(|(_, path)| path.starts_with(place)))
}

/// What the ledger says, as acts.
fn recorded(ledger: &Ledger) -> Acts {
    let mut acts = Acts::new();
    for exec in ledger.of("exec").filter(|exec| exec["verdict"] == "allow").chain(ledger.of("launch")) {
        let words: Vec<&str> =
            exec["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        *acts.entry(format!("exec {}", words.join(" "))).or_default() += 1;
    }
    for entry in ledger.of("exited").flat_map(|exited| exited["entries"].as_array().unwrap()) {
        if let Some(code) = entry["code"].as_i64() {
            *acts.entry(format!("exit {code}")).or_default() += 1;
        }
    }
    // Counts grow; one that does not begins anew.
    let mut known: BTreeMap<(u64, &str, String), u64> = BTreeMap::new();
    let mut count = |entry: &Value, how: &'static str, act: String| {
        let (pid, count) = (entry["pid"].as_u64().unwrap(), entry["count"].as_u64().unwrap());
        let before = known.insert((pid, how, act.clone()), count).filter(|before| *before < count);
        *acts.entry(act).or_default() += count - before.unwrap_or(0);
    };
    for entry in ledger.of("opened").flat_map(|opened| opened["entries"].as_array().unwrap()) {
        let kind = entry["act"].as_str().or(entry["access"].as_str()).unwrap();
        count(entry, "opened", format!("{kind} {}", entry["path"].as_str().unwrap()));
    }
    for entry in ledger.of("connected").flat_map(|connected| connected["entries"].as_array().unwrap()) {
        let how = ["inside", "carried", "refused"].into_iter().find(|how| entry["how"] == *how).unwrap();
        count(entry, how, format!("connect {}", entry["target"].as_str().unwrap()));
    }
    acts
}

/// The same line inside, and outside beneath strace: both observers tell the same.
fn same_acts(stage: &Stage, line: &str) {
    same_acts_of(stage, (&["sh", "-c", line], &["sh", "-c", line]), 10, |_| true);
}

/// One command inside, and one outside beneath strace: of the acts that count, at least so many, both tell the same.
fn same_acts_of(
    stage: &Stage,
    (inside, outside): (&[&str], &[&str]),
    least: usize,
    counts: fn(&str) -> bool,
) {
    let words = ["run", "--unattended", "--"].iter().chain(inside);
    let folder = tempfile::tempdir_in(&stage.elsewhere).unwrap();
    stage.person.owns(folder.path());
    let outside = beneath(stage, outside, folder.path());
    let (recorded, seen) = told(stage, stage.provost(words), outside, folder.path());
    same(&tamed(&recorded, counts), &tamed(&seen, counts), least);
}

/// Both commands, and what the ledger says of the first and strace of the second.
fn told(stage: &Stage, mut inside: Command, mut outside: Command, folder: &Path) -> (Acts, Acts) {
    // Inside first: that leaves the folder as it is.
    run(&mut inside).ended(0);
    run(&mut outside).ended(0);
    (recorded(&stage.ledger()), acts(folder, &stage.workspace))
}

#[track_caller]
fn same(recorded: &Acts, seen: &Acts, least: usize) {
    let differ: Vec<String> = seen
        .keys()
        .chain(recorded.keys())
        .filter(|act| seen.get(*act) != recorded.get(*act))
        .map(|act| format!("{act}: strace {:?}, ledger {:?}", seen.get(act), recorded.get(act)))
        .collect();
    assert!(seen.len() >= least, "{seen:#?}");
    assert!(differ.is_empty(), "{} of {} differ: {differ:#?}", differ.len(), seen.len());
}

/// Names that programs make up begin after these: with six letters or more, or whatever they are to the end of the name.
const SIX_LETTERS: [&str; 6] = ["/rustc", "/rmeta", "/cc", "/project/target", ".tmp", "/.git/t"];
const WHOLE_NAMES: [&str; 2] = ["/_cacache/tmp/", "/_logs/"];

/// The acts that count, without what is another one each time.
fn tamed(acts: &Acts, counts: fn(&str) -> bool) -> Acts {
    let mut tame = Acts::new();
    for (act, count) in acts.iter().filter(|(act, _)| !of_the_kernel(act) && counts(act)) {
        *tame.entry(tamed_act(act)).or_default() += count;
    }
    tame
}

fn tamed_act(act: &str) -> String {
    let mut tame = act.to_owned();
    let prefixes = SIX_LETTERS
        .iter()
        .map(|prefix| (prefix, false))
        .chain(WHOLE_NAMES.iter().map(|prefix| (prefix, true)));
    for (prefix, whole) in prefixes {
        let mut from = 0;
        while let Some(at) = tame.get(from..).and_then(|rest| rest.find(prefix)) {
            let start = from + at + prefix.len();
            let rest = &tame[start..];
            let name = rest.find(['/', ' ']).unwrap_or(rest.len());
            let letters = rest.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(rest.len());
            match (whole, letters >= 6) {
                (true, _) => tame.replace_range(start..start + name, "*"),
                (false, true) => tame.replace_range(start..start + letters, "*"),
                (false, false) => {}
            }
            from = start;
        }
    }
    tame
}

#[test]
fn a_shells_acts_are_recorded_as_another_observer_sees_them() {
    let stage = Stage::new(Person::myself());
    let storm =
        "i=0; while [ $i -lt 50 ]; do /bin/echo $i >> all.txt; cat all.txt > /dev/null; i=$((i+1)); done";
    same_acts(&stage, storm);
}

#[test]
fn git_is_recorded_as_another_observer_sees_it() {
    let stage = Stage::new(Person::myself());
    same_acts(
        &stage,
        // `git status` would read again what was written in the moment in which the index was: now some files, now none.
        "git clone --quiet --no-hardlinks . copy && cd copy && git log --oneline > log && git ls-files --stage",
    );
}

#[test]
fn make_is_recorded_as_another_observer_sees_it() {
    let stage = Stage::new(Person::everybody().pop().unwrap());
    stage.write("m.c", "int main(void) { return 0; }\n");
    stage.write("Makefile", "m: m.c\n\tcc -o m m.c\n");
    same_acts(&stage, "make -s && ./m");
}

#[test]
fn python_is_recorded_as_another_observer_sees_it() {
    let stage = Stage::new(Person::myself());
    stage.write("walk.py", PYTHON);
    same_acts(&stage, "python3 -B walk.py");
}

const PYTHON: &str = r#"
import json, os, subprocess, sqlite3, tempfile, threading
os.makedirs("made/deep", exist_ok=True)
def work(n):
    for i in range(20):
        with open(f"made/{n}-{i}.json", "w") as f: json.dump({"i": i}, f)
        os.replace(f"made/{n}-{i}.json", f"made/deep/{n}-{i}.json")
        json.load(open(f"made/deep/{n}-{i}.json"))
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
os.link("made/deep/0-0.json", "made/second"); os.symlink("second", "made/third"); os.truncate("made/second", 3)
os.unlink("made/third")
print(subprocess.run(["sort", "README.md"], capture_output=True, text=True).stdout)
db = sqlite3.connect("made/db"); db.execute("create table t (a)"); db.execute("insert into t values (1)"); db.commit()
"#;

#[test]
fn a_cargo_build_is_recorded_as_another_observer_sees_it() {
    let mut stage = Stage::new(Person::everybody().pop().unwrap());
    stage.write("Cargo.toml", "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    stage.write("src/main.rs", "fn main() { println!(\"{}\", env!(\"MADE\")); }\n");
    stage.write("build.rs", "fn main() { println!(\"cargo:rustc-env=MADE=built\"); }\n");
    let place = tempfile::tempdir_in(built::stages(stage.person)).unwrap();
    std::fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    toolchain(&place.path().join("rust"), stage.person);
    stage.set("PATH", format!("{}/rust/bin:/usr/bin:/bin", place.path().display()));
    stage.set("CARGO_INCREMENTAL", "0");
    // As the private one is there inside.
    stage.in_home(".cargo/config.toml", "");
    same_acts(&stage, "cargo run --offline --quiet -j1");
}

/// Outside too, npm and node are told whom to trust: reading that list is an act.
fn told_whom_to_trust(stage: &mut Stage) {
    let list = "/etc/ssl/certs/ca-certificates.crt";
    for variable in ["npm_config_cafile", "NODE_EXTRA_CA_CERTS"] {
        if Path::new(list).exists() {
            stage.set(variable, list);
        }
    }
}

#[test]
fn npm_is_recorded_as_another_observer_sees_it() {
    let mut stage = Stage::new(Person::myself());
    told_whom_to_trust(&mut stage);
    // Nothing of it is to look for a network.
    stage.set("npm_config_update_notifier", "false");
    // As the private one is there inside.
    stage.in_home(".npm/_cacache/kept", "");
    stage.write("dep/package.json", "{\"name\": \"dep\", \"version\": \"1.0.0\"}\n");
    stage.write("dep/index.js", "module.exports = 1;\n");
    stage.outside("mv dep package && tar -czf dep-1.0.0.tgz package").ended(0);
    stage.write("package.json", "{\"name\": \"it\", \"version\": \"1.0.0\"}\n");
    same_acts(
        &stage,
        "npm install --offline --no-audit --no-fund --silent ./dep-1.0.0.tgz && node -e 'require(\"dep\")'",
    );
}

/// What an agent's tools do: its own files are beside the point, since Provost gives it a configuration of its own.
fn of_a_tool(act: &str) -> bool {
    let tools = ["sort ", "/bin/cat ", "grep "];
    act.strip_prefix("exec ").is_some_and(|words| tools.iter().any(|tool| words.starts_with(tool)))
        || (act.contains("/project/tools/") && !act.starts_with("exec"))
}

fn session() -> Script {
    let shell = |line: &str| Call::Shell(line.to_owned());
    let storm = "mkdir -p tools && for i in 1 2 3 4 5 6 7 8 9; do sort README.md > tools/$i; /bin/cat tools/$i >> tools/all; done";
    let calls = [shell(storm), shell("grep -c . tools/all; mv tools/1 tools/one; rm tools/2")];
    Script::of(calls, "All is done.").for_key(KEY)
}

#[test]
fn codexs_tools_are_recorded_as_another_observer_sees_them() {
    let Some((stage, _server)) = set_up_for(Person::myself(), session()) else { return };
    let inside = ["codex", "exec", "go"];
    let outside = ["codex", "exec", "--dangerously-bypass-approvals-and-sandbox", "go"];
    same_acts_of(&stage, (&inside, &outside), 20, of_a_tool);
}

#[test]
fn claudes_tools_are_recorded_as_another_observer_sees_them() {
    let Some((stage, _server)) = set_up_for(Person::everybody().pop().unwrap(), session()) else { return };
    let inside = ["claude", "-p", "go"];
    let outside = ["claude", "-p", "--dangerously-skip-permissions", "go"];
    same_acts_of(&stage, (&inside, &outside), 20, of_a_tool);
}

#[test]
fn less_is_recorded_where_that_is_asked_for_and_no_rule_needs_more() {
    let stage = Stage::new(Person::myself());
    let run = |depth: &str, more: &[&str]| {
        let words = [
            &["run", "--unattended", "--evidence", depth][..],
            more,
            &["--", "sh", "-c", "cat README.md > new"],
        ];
        stage.says(&words.concat())
    };
    for (depth, reads, writes) in [("full", true, true), ("writes", false, true), ("exec", false, false)] {
        run(depth, &[]).ended(0);
        let kept = recorded(&stage.ledger());
        let has = |access: &str, name: &str| {
            kept.contains_key(&format!("{access} {}", stage.workspace.join(name).display()))
        };
        assert_eq!((has("read", "README.md"), has("write", "new")), (reads, writes), "{depth}: {kept:?}");
        let told = stage.says(&["show", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(told["evidence"], depth);
        let unknown = stage.says(&["show"]).ended(0).stdout.contains("not recorded, ");
        assert_eq!(unknown, depth != "full", "{depth}");
    }
    stage.says(&["show"]).ended(0).printed("what was opened is not recorded");
    let rule = "version = 1\n[[rule]]\nid = \"env\"\nread = [\"./**/.env\"]\nneed = \"never\"\n";
    let file = stage.in_home("shape.toml", rule).display().to_string();
    for depth in ["writes", "exec"] {
        let refused = run(depth, &["--policy", &file]).ended(125);
        assert!(
            refused.stderr.contains("judging every open") && refused.stderr.contains("hint:"),
            "{refused}"
        );
    }
    run("full", &["--policy", &file]).ended(0);
}
