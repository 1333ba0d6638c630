//! Evidence: what a run did stands in its ledger, and what it was denied is said once.

use super::runner::Case;
use super::scene::Scene;
use ledger::{Access, Body, Reach};
use sandbox::Exit;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("every_exec_is_in_the_ledger_with_its_words", every_exec_is_in_the_ledger_with_its_words),
    ("programs_are_known_by_their_content", programs_are_known_by_their_content),
    ("every_file_that_was_opened_is_in_the_ledger", every_file_that_was_opened_is_in_the_ledger),
    ("a_denial_is_recorded_and_said_once", a_denial_is_recorded_and_said_once),
    ("every_process_that_ends_itself_is_in_the_ledger", every_process_that_ends_itself_is_in_the_ledger),
    ("every_attempt_to_connect_is_in_the_ledger", every_attempt_to_connect_is_in_the_ledger),
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
    let script = "for i in 1 2 3 4; do (echo > /dev/tcp/127.0.0.1/9) 2>/dev/null; done; (echo > /dev/tcp/192.0.2.1/443) 2>/dev/null; exit 0";
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
}
