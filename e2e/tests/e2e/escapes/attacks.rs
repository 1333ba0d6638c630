//! Ways out that an attack on this very program found, each closed since.

use super::everybody;
use e2e::ran::run;
use e2e::stage::Stage;

/// A rule that only the supervisor can hold: it then opens files on behalf of who asks.
const SHAPE: &str = "version = 1\n[[rule]]\nid = \"env\"\nread = [\"./**/*.env\"]\nneed = \"never\"\n";

/// What a line inside prints on the terminal around Provost, whose own output goes elsewhere.
fn on_the_persons_terminal(stage: &Stage, script: &str) -> String {
    let policy = stage.policy(SHAPE);
    stage.write("script", script);
    let provost = stage.provost([""; 0]).get_program().display().to_string();
    let line =
        format!("{provost} run --unattended --policy {policy} -- sh script </dev/null >/dev/null 2>&1");
    run(stage.command("script").args(["--quiet", "--return", "--command", &line, "/dev/null"])).stdout
}

#[test]
fn the_persons_terminal_is_not_opened_on_behalf_of_anybody() {
    everybody(|stage| {
        let script = "
            ln -s /dev/tty /tmp/link
            for path in /dev/tty /dev//tty /dev/./tty //dev/tty /proc/../dev/tty /tmp/link; do
                sh -c 'echo reached >$0' $path
                sh -c 'exec 8<$0; echo reached >/dev/fd/8' $path
            done
            cd /dev; sh -c 'echo reached >tty'";
        let shown = on_the_persons_terminal(stage, script);
        assert!(!shown.contains("reached"), "{shown:?}");
        let ran = stage.ledger();
        assert!(ran.of("exec").count() + ran.of("decision").count() > 6, "no attempt at all");
    });
}

#[test]
fn what_the_kernel_tells_its_opener_is_not_told_on_behalf_of_anybody() {
    everybody(|stage| {
        let policy = stage.policy(SHAPE);
        let inside =
            stage.inside_with(&["--policy", &policy], "cat /proc/sysvipc/shm; ls /proc/sys/net/ipv4/conf");
        assert_eq!(inside.stdout, "", "{inside}");
    });
}

#[test]
fn whether_something_is_there_on_the_host_is_not_told() {
    everybody(|stage| {
        stage.in_home(".ssh/id_there", "a key");
        let told = |path: &str| {
            let line =
                format!("cat {path}; sh -c 'echo x >{path}'; sh -c 'echo x >{path}/beneath'; echo done");
            let inside = stage.inside(&line);
            assert_eq!(inside.stdout, "done\n", "{inside}");
            // What Provost says at the end, indented, is for the person.
            let said = inside.stderr.lines().filter(|line| line.contains(path) && !line.starts_with(' '));
            said.map(|line| line.replace(path, "PATH")).collect::<Vec<_>>()
        };
        let home = stage.home.display().to_string();
        assert_eq!(told(&format!("{home}/.ssh/id_there")), told(&format!("{home}/.ssh/id_not_there")));
        assert!(std::path::Path::new("/sys/class/net").exists(), "no attempt at all");
        assert_eq!(told("/sys/class/net"), told("/sys/no-such/net"));
    });
}

#[test]
fn a_file_of_holes_does_not_keep_the_person_waiting() {
    everybody(|stage| {
        stage.inside("truncate -s 1T huge; echo small >small").ended(0);
        let applied = stage.says(&["apply", "--all"]).ended(1);
        assert!(applied.stdout.contains("larger than 4 GiB"), "{applied}");
        assert!(stage.workspace.join("small").exists() && !stage.workspace.join("huge").exists());
    });
}
