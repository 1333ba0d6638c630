//! Evidence: what a run did stands in its ledger, and what it was denied is said once.

use super::runner::Case;
use super::scene::{Ran, Scene};
use ledger::{Access, Body, Evidence, NameAct, Reach};
use sandbox::Exit;
use sandbox::plan::PlanError;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("every_exec_is_in_the_ledger_with_its_words", every_exec_is_in_the_ledger_with_its_words),
    ("programs_are_known_by_their_content", programs_are_known_by_their_content),
    ("every_file_that_was_opened_is_in_the_ledger", every_file_that_was_opened_is_in_the_ledger),
    ("a_denial_is_recorded_and_said_once", a_denial_is_recorded_and_said_once),
    ("what_is_said_into_a_file_is_written_over_by_nothing", said_into_a_file),
    ("every_process_that_ends_itself_is_in_the_ledger", every_process_that_ends_itself_is_in_the_ledger),
    ("every_attempt_to_connect_is_in_the_ledger", every_attempt_to_connect_is_in_the_ledger),
    ("what_is_gone_at_once_is_in_the_ledger", what_is_gone_at_once_is_in_the_ledger),
    ("floods_are_counted_exactly", floods_are_counted_exactly),
    ("names_that_change_are_in_the_ledger", names_that_change_are_in_the_ledger),
    ("ways_that_change_lead_where_they_lead_now", ways_that_change_lead_where_they_lead_now),
    ("names_that_change_are_in_the_ledger_where_opens_are_judged", names_are_told_where_opens_are_judged),
    ("a_folder_that_two_remove_is_told_once", two_remove),
    ("who_is_killed_is_told_with_the_signal", who_is_killed_is_told_with_the_signal),
    ("full_depth_sees_everything", full_depth_sees_everything),
    ("the_depth_of_writes_sees_no_reads", the_depth_of_writes_sees_no_reads),
    ("the_depth_of_execs_sees_no_files", the_depth_of_execs_sees_no_files),
    ("a_lesser_depth_is_refused_where_opens_are_judged", a_lesser_depth_is_refused_where_opens_are_judged),
];

fn every_exec_is_in_the_ledger_with_its_words(root: &Path) {
    let ran = Scene::new(root).bash("/bin/echo one 'two words'; (exec -a alias /bin/true 3); env GIT_DIR=/x /bin/true; no-such-thing; true");
    ran.fine();
    let execs: Vec<String> = ran
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Exec(exec) => Some(format!(
                "{}{} {}",
                exec.env.iter().map(|entry| format!("{entry} ")).collect::<String>(),
                exec.program,
                exec.argv.iter().map(|word| format!("[{word}]")).collect::<String>()
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        execs,
        [
            "/usr/bin/echo [/bin/echo][one][two words]",
            "/usr/bin/true [alias][3]",
            "/usr/bin/env [env][GIT_DIR=/x][/bin/true]",
            "GIT_DIR=/x /usr/bin/true [/bin/true]",
        ]
    );
}

fn programs_are_known_by_their_content(root: &Path) {
    let scene = Scene::new(root);
    let script = scene.work().join("tool");
    fs::write(&script, "#!/usr/bin/perl\nprint 1;").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ran = scene.bash("./tool; ./tool; exit 0");
    let digest = |path: &Path| {
        Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let mut found: Vec<(String, String)> = ran
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Program(program) => Some((program.path.to_string(), program.digest.clone())),
            _ => None,
        })
        .collect();
    found.sort();
    let mut expected: Vec<(String, String)> =
        [Path::new("/usr/bin/bash"), Path::new("/usr/bin/perl"), &script]
            .map(|path| (path.display().to_string(), digest(path)))
            .into();
    expected.sort();
    assert_eq!(found, expected);
}

fn every_file_that_was_opened_is_in_the_ledger(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work().display().to_string();
    fs::write(scene.work().join("read"), "x").unwrap();
    std::os::unix::fs::symlink("read", scene.work().join("link")).unwrap();
    let ran = scene.bash("cat read >/dev/null; cat link > written; cat nothing 2>/dev/null; cd /; cat < ./etc/hostname >/dev/null; exit 0");
    ran.fine();
    let (read, written) = (ran.opened(Access::Read), ran.opened(Access::Write));
    assert!(read.contains(&format!("{work}/read")) && read.contains(&"/etc/hostname".to_owned()), "{read:?}");
    assert!(written.contains(&format!("{work}/written")), "{written:?}");
    assert!(!read.iter().any(|path| path.ends_with("nothing") || path.ends_with("link")), "{read:?}");
}

fn a_denial_is_recorded_and_said_once(root: &Path) {
    let ran = Scene::new(root).bash("for i in 1 2 3; do echo x > /etc/mine; done; exit 0");
    let said = ran.err.lines().filter(|line| line.starts_with("provost: denied write /etc/mine")).count();
    assert_eq!(said, 1, "{}", ran.err);
    assert_eq!(
        ran.denials().iter().filter(|denial| **denial == ("write".into(), "/etc/mine".into())).count(),
        3
    );
}

fn said_into_a_file(root: &Path) {
    let script = "exec 3>&1 > log 2>&1; echo one; true > /etc/mine; echo two; cat log >&3; exit 0";
    let ran = Scene::new(root).bash(script);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        matches!(lines[..], ["one", said, _, "two"] if said == "provost: denied write /etc/mine (no rule allows it)"),
        "{lines:?}"
    );
}

fn every_process_that_ends_itself_is_in_the_ledger(root: &Path) {
    // The second never calls exec; the third works a while.
    let ran = Scene::new(root)
        .bash("/bin/sh -c 'exit 7'; (exit 9); i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3");
    assert!(matches!(ran.exit, Ok(Exit::Code(3))), "{:?}", ran.exit);
    let mut ends = ran.ends();
    ends.sort_by_key(|end| end.code);
    let codes: Vec<_> = ends.iter().map(|end| (end.code, end.signal)).collect();
    assert_eq!(codes, [(Some(3), None), (Some(7), None), (Some(9), None)]);
    let [shell, others @ ..] = &ends[..] else { panic!("{ends:?}") };
    assert!(others.iter().all(|end| end.ppid == shell.pid && end.pid != shell.pid), "{ends:?}");
    assert!(shell.cpu_us >= 50_000 && others.iter().all(|end| end.cpu_us < 50_000), "{ends:?}");
}

fn every_attempt_to_connect_is_in_the_ledger(root: &Path) {
    let script = "for i in 1 2 3 4; do (echo > /dev/tcp/127.0.0.1/9) 2>/dev/null; done; (echo > /dev/tcp/192.0.2.1/443) 2>/dev/null; \
                  /usr/bin/perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un(\"\\0none\"))'; exit 0";
    let ran = Scene::new(root).bash(script);
    ran.fine();
    let attempts: Vec<(String, u64, Reach)> = ran
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Body::Connected(connected) => Some(connected.entries.clone()),
            _ => None,
        })
        .flatten()
        .map(|entry| (entry.target.to_string(), entry.count, entry.how))
        .collect();
    let near = |at: &str| attempts.iter().filter(|(target, ..)| target == at).collect::<Vec<_>>();
    // Each by a process of its own.
    assert!(near("127.0.0.1:9").iter().all(|(_, count, how)| (*count, *how) == (1, Reach::Inside)));
    assert_eq!((near("127.0.0.1:9").len(), near("192.0.2.1:443").len()), (4, 1), "{attempts:?}");
    // A name that lies in no folder; perl passes all of an address.
    assert!(attempts.iter().any(|(target, ..)| target.starts_with("unix:@none")), "{attempts:?}");
}

/// Perl makes the very calls that are written.
fn perl(scene: Scene, script: &str) -> Ran {
    scene.run(&["/usr/bin/perl", "-e", script])
}

/// What was done in the workspace, and how often, without the beginning of the paths.
fn in_work(ran: &Ran, work: &Path) -> Vec<(String, u64)> {
    let told = |(access, act, path): &(Access, Option<NameAct>, String)| {
        let path = Path::new(path).strip_prefix(work).ok()?;
        let act = act.map(|act| format!("{act:?} ")).unwrap_or_default();
        Some(format!("{act}{access:?} {}", path.display()).to_lowercase())
    };
    ran.deeds().iter().filter_map(|(deed, count)| Some((told(deed)?, *count))).collect()
}

fn what_is_gone_at_once_is_in_the_ledger(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    let script = r#"
        for my $i (1..200) {
            open(my $w, ">", "t$i") or die; close $w;
            open(my $r, "<", "t$i") or die; close $r;
            unlink("t$i") or die;
            open(my $n, "<", "t$i") and die;
            open(my $d, ">", "nowhere/t$i") and die;
        }
        mkdir "dir"; open(my $x, ">", "dir") and die;
        symlink("loop", "loop"); open(my $y, "<", "loop") and die;"#;
    let ran = perl(scene, script);
    ran.fine();
    let mut expected: Vec<(String, u64)> = (1..=200)
        .flat_map(|i| ["read", "write", "removed write"].map(|what| (format!("{what} t{i}"), 1)))
        .chain(["dir", "loop"].map(|name| (format!("made write {name}"), 1)))
        .collect();
    let mut told = in_work(&ran, &work);
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
}

fn floods_are_counted_exactly(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    fs::write(work.join("file"), "x").unwrap();
    // Two processes, each with a count of its own; only one of them ends by itself.
    let script = r#"
        sub often { for (1..$_[0]) { open(my $f, "<", "file") or die; } }
        my $child = fork();
        if (!$child) { often(1000); open(my $f, ">", "done"); close $f; sleep 60; }
        often(777);
        select(undef, undef, undef, 0.01) until -e "done";
        kill 9, $child; waitpid($child, 0);"#;
    let ran = perl(scene, script);
    ran.fine();
    let told = in_work(&ran, &work);
    assert!(told.contains(&("read file".into(), 1777)), "{told:?}");
    let entries = ran.entries().into_iter().filter(|entry| entry.path.to_string().ends_with("/file")).count();
    assert_eq!(entries, 11 + 11, "a flood costs its logarithm");
}

/// Every call that changes a name, once done and once in vain.
const CHANGES: &str = r#"
    use Fcntl; require "syscall.ph" if 0;
    mkdir "a" or die; mkdir "a" and die; mkdir "no/a" and die;
    open(my $w, ">", "f") or die; close $w;
    rename("f", "g") or die; rename("f", "h") and die;
    link("g", "l") or die; link("g", "l") and die; link("no", "m") and die;
    symlink("g", "s") or die; symlink("g", "s") and die;
    truncate("l", 5) or die; truncate("no", 5) and die;
    rename("a", "b") or die; rmdir("no") and die; rmdir("g") and die;
    open($w, ">", "b/x") or die; close $w; rmdir("b") and die; unlink("b") and die;
    unlink("b/x") or die; rmdir("b") or die; unlink("s") or die; unlink("s") and die;
    system("/usr/bin/mkfifo", "p") and die;"#;

fn changed(told: Vec<(String, u64)>) -> String {
    let mut names: Vec<String> = told
        .into_iter()
        .filter(|(what, _)| what.contains(" write "))
        .map(|(what, n)| format!("{what} {n}"))
        .collect();
    names.sort();
    names.join(", ")
}

const CHANGED: &str = "linked write l 1, made write a 1, made write p 1, made write s 1, removed write b 1, removed write b/x 1, \
                       removed write s 1, renamed write a 1, renamed write b 1, renamed write f 1, renamed write g 1, \
                       truncated write l 1";

fn names_that_change_are_in_the_ledger(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    let ran = perl(scene, CHANGES);
    ran.fine();
    let told = in_work(&ran, &work);
    // By a link of its own or not, it is the file that was cut: `l` is the same as `g`.
    assert_eq!(changed(told), CHANGED);
}

/// One fails, because something lies in it, and calls nothing more until the other has done it.
fn two_remove(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    let script = r#"
        pipe(my $failed, my $fails); pipe(my $over, my $ends);
        mkdir "d" or die; open(my $w, ">", "d/f") or die; close $w;
        my $child = fork();
        if (!$child) { close $ends; rmdir "d" and die; syswrite($fails, "x"); sysread($over, my $x, 1); exit 0; }
        sysread($failed, my $x, 1);
        unlink("d/f") or die; rmdir("d") or die;
        close $ends; waitpid($child, 0);"#;
    let ran = perl(scene, script);
    ran.fine();
    let told = in_work(&ran, &work);
    let removed: Vec<_> = told.iter().filter(|(what, _)| what == "removed write d").collect();
    assert_eq!(removed, [&("removed write d".to_owned(), 1)]);
}

/// What a folder was called, and where a link led, is held for a moment: not beyond their change.
fn ways_that_change_lead_where_they_lead_now(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    let script = r#"
        sub reads { open(my $r, "<", $_[0]) or die "$_[0]: $!"; }
        sub fails { open(my $r, "<", $_[0]) and die $_[0]; }
        for my $at ("a", "b") { mkdir $at; mkdir "$at/in"; open(my $w, ">", "$at/in/f") or die; }
        for (1..50) {
            reads("a/in/f"); rename("a", "c") or die; fails("a/in/f"); reads("c/in/f");
            fails("way/in/f"); symlink("c", "way") or die; reads("way/in/f");
            symlink("b", "new") or die; rename("new", "way") or die; reads("way/in/f");
            unlink("way") or die; fails("way/in/f");
            rename("c", "a") or die; fails("c/in/f");
            open(my $w, ">", "b/in/x") or die; rename("b/in/x", "b/in/y") or die; unlink("b/in/y") or die; fails("b/in/y");
        }"#;
    let ran = perl(scene, script);
    ran.fine();
    let reads: Vec<_> =
        in_work(&ran, &work).into_iter().filter(|(what, _)| what.starts_with("read ")).collect();
    let expected = [("read a/in/f", 50), ("read b/in/f", 50), ("read c/in/f", 100)];
    assert_eq!(reads, expected.map(|(what, count)| (what.to_owned(), count)));
}

fn names_are_told_where_opens_are_judged(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = "[[rule]]\nid = \"env\"\nread = [\"./**/.env\"]\nneed = \"never\"\n".into();
    let work = scene.work();
    let ran = perl(scene, CHANGES);
    ran.fine();
    assert_eq!(changed(in_work(&ran, &work)), CHANGED);
}

fn who_is_killed_is_told_with_the_signal(root: &Path) {
    let script = r#"
        my $child = fork();
        if (!$child) { open(my $f, ">", "up"); close $f; sleep 60; }
        select(undef, undef, undef, 0.01) until -e "up";
        kill 15, $child; waitpid($child, 0); exit 4;"#;
    let ran = perl(Scene::new(root), script);
    let mut ends: Vec<_> = ran.ends().iter().map(|end| (end.code, end.signal)).collect();
    ends.sort();
    let tells = rustix::system::uname().release().to_string_lossy().into_owned();
    let new =
        tells.split('.').take(2).map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>() >= vec![6, 15];
    assert_eq!(ends, [(None, new.then_some(15)), (Some(4), None)]);
}

fn full_depth_sees_everything(root: &Path) {
    sees(root, Evidence::Full, true, true);
}

fn the_depth_of_writes_sees_no_reads(root: &Path) {
    sees(root, Evidence::Writes, false, true);
}

fn the_depth_of_execs_sees_no_files(root: &Path) {
    sees(root, Evidence::Exec, false, false);
}

fn sees(root: &Path, evidence: Evidence, reads: bool, writes: bool) {
    let mut scene = Scene::new(root);
    scene.evidence = evidence;
    let work = scene.work();
    fs::write(work.join("file"), "x").unwrap();
    let script =
        "cat file > new; mkdir folder; mv new newer; (echo > /dev/tcp/127.0.0.1/9) 2>/dev/null; exit 0";
    let ran = scene.bash(script);
    ran.fine();
    let told: Vec<String> = in_work(&ran, &work).into_iter().map(|(what, _)| what).collect();
    assert_eq!(told.contains(&"read file".into()), reads, "{told:?}");
    for what in ["write new", "made write folder", "renamed write newer"] {
        assert_eq!(told.contains(&what.to_owned()), writes, "{told:?}");
    }
    assert_eq!(ran.deeds().keys().any(|(access, ..)| *access == Access::Read), reads);
    let count = |of: fn(&Body) -> bool| ran.events.iter().filter(|event| of(&event.body)).count();
    assert_eq!(count(|body| matches!(body, Body::Exec(_))), 3);
    assert!(count(|body| matches!(body, Body::Connected(_))) >= 1);
    assert_eq!(ran.ends().len(), 5);
}

fn a_lesser_depth_is_refused_where_opens_are_judged(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = "[[rule]]\nid = \"env\"\nread = [\"./**/.env\"]\nneed = \"never\"\n".into();
    scene.evidence = Evidence::Writes;
    let refused = scene.plan(&["/bin/true"]).unwrap_err();
    assert_eq!(refused, PlanError::Unseen(Evidence::Writes));
}
