//! The record against another witness: what strace sees of a program's calls is what stands in the ledger.

use e2e::person::Person;
use e2e::stage::Stage;
use std::collections::BTreeMap;
use std::path::Path;

/// What was done to what, how often.
type Deeds = BTreeMap<(String, String), u64>;

/// Work of all kinds, the same each time.
const WORKS: [(&str, &str); 4] = [
    (
        "a shell",
        "mkdir a; for i in 1 2 3 4 5; do echo $i > a/$i; cat a/$i no >/dev/null 2>&1; mv a/$i a/n$i; done; rm -r a; ln -s x l; cat l; true",
    ),
    (
        "python",
        "python3 -c 'import json, tempfile, os; [open(\"f\", \"w\").close() for i in range(50)]; os.unlink(\"f\"); tempfile.TemporaryFile(dir=\".\")'",
    ),
    (
        "git",
        "git init -q r && cd r && echo x > f && git add f && git -c user.name=a -c user.email=a@example.org commit -qm m && git clone -q . ../c",
    ),
    (
        "make",
        "printf 'int main(void){return 0;}' > m.c; printf 'm: m.c\\n\\tcc -o m m.c\\n' > Makefile; make -s; ./m",
    ),
];

#[test]
fn the_record_is_what_strace_sees() {
    if !Path::new("/usr/bin/strace").exists() {
        eprintln!("SKIPPED: strace is not installed: THE RECORD IS HELD AGAINST NO OTHER WITNESS");
        return;
    }
    for person in Person::everybody() {
        for (name, script) in WORKS {
            let stage = Stage::new(person);
            // Both are inside, so that both have the same files before them; strace tells of its own children alone.
            let traced = format!(
                "strace -f -y -qq -o $HOME/trace -e trace=open,openat,creat,openat2 /bin/sh -c '{}'; cat $HOME/trace",
                script.replace('\'', "'\\''")
            );
            let told = stage.inside(&traced).ended(0).stdout;
            let seen = opens_of(&told, &stage.workspace);
            let ours = Stage::new(person);
            ours.inside(script).ended(0);
            let kept = recorded(&ours);
            assert!(seen.len() > 10, "{name}: {told}");
            let missing: Vec<_> =
                seen.iter().filter(|(deed, count)| kept.get(*deed) != Some(count)).collect();
            let more: Vec<_> = kept.iter().filter(|(deed, count)| seen.get(*deed) != Some(count)).collect();
            assert!(
                missing.is_empty() && more.is_empty(),
                "{name}, {person}\nstrace: {missing:#?}\nrecord: {more:#?}"
            );
        }
    }
}

/// Names that differ from one time to the next.
fn plain(path: &str, workspace: &Path) -> Option<String> {
    let path = path.trim_end_matches(" (deleted)");
    // What has no name is told by its folder.
    let path = path.rsplit_once("/#").map_or(path, |(folder, _)| folder);
    let kernels =
        ["/proc", "/dev", "/sys"].iter().any(|own| path.starts_with(own)) && !path.starts_with("/dev/shm");
    let home = workspace.parent().unwrap().display().to_string();
    let path = path.replace(&workspace.display().to_string(), "W").replace(&home, "H");
    let random = |part: &str| {
        let drawn = ["tmp_", "tmp", "cc", "pack-", "tmp_obj_", "tmp_pack_"]
            .iter()
            .any(|start| part.strip_prefix(start).is_some_and(|rest| rest.len() >= 6 && !part.contains('-')));
        // git tries links and modes by such a name.
        let drawn = drawn || (path.contains(".git/t") && part.len() == 7 && part.starts_with('t'));
        let object = part.len() >= 36 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if drawn || object { "RANDOM".to_owned() } else { part.to_owned() }
    };
    let path: Vec<String> = path.split('/').map(random).collect();
    (!kernels && !path.iter().any(|part| part == "RANDOM" || part == "objects")).then(|| path.join("/"))
}

/// The opens that succeeded, by what was opened.
fn opens_of(trace: &str, workspace: &Path) -> Deeds {
    let mut deeds = Deeds::new();
    let lines = trace.lines().filter(|line| line.contains("open") || line.contains("creat("));
    for line in lines {
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        let Some(path) = result.split_once('<').and_then(|(_, path)| path.rsplit_once('>')) else { continue };
        let Some(path) = plain(path.0, workspace) else { continue };
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE", "creat("];
        let access = if writes.iter().any(|flag| call.contains(flag)) { "write" } else { "read" };
        *deeds.entry((access.to_owned(), path)).or_default() += 1;
    }
    deeds
}

fn recorded(stage: &Stage) -> Deeds {
    let tail = ["ledger", "tail", "--count", "1000000", "--format", "json"];
    let events = stage.says(&tail).ended(0).json();
    let mut known: BTreeMap<(u64, String, String), u64> = BTreeMap::new();
    let mut deeds = Deeds::new();
    let opened = events.iter().filter(|event| event["type"] == "opened");
    let entries = opened.flat_map(|event| event["entries"].as_array().unwrap());
    for entry in entries.filter(|entry| entry["act"].is_null()) {
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        let (access, path, count) = (text("access"), text("path"), entry["count"].as_u64().unwrap());
        let before =
            known.insert((entry["pid"].as_u64().unwrap(), access.clone(), path.clone()), count).unwrap_or(0);
        let Some(path) = plain(&path, &stage.workspace) else { continue };
        *deeds.entry((access, path)).or_default() += if count > before { count - before } else { count };
    }
    deeds
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
        let kept = recorded(&stage);
        let has = |access: &str, name: &str| kept.contains_key(&(access.to_owned(), format!("W/{name}")));
        assert_eq!((has("read", "README.md"), has("write", "new")), (reads, writes), "{depth}: {kept:?}");
        let told = stage.says(&["show", "--format", "json"]).ended(0).json().remove(0);
        assert_eq!(told["evidence"], depth);
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
