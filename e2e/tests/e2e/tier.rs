//! Without namespaces (`--tier landlock`): what is promised of it is held, and what is not is said; never by itself.

use crate::escapes::{is_running, processes};
use crate::real_agents;
use e2e::person::Person;
use e2e::ran::{Ran, Running, run, wait_until};
use e2e::stage::{SECRET, Stage};
use e2e::tree::Tree;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::time::Duration;

const TIER: [&str; 2] = ["--tier", "landlock"];

/// Plays a scene for an ordinary person: root is refused.
fn somebody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody().into_iter().filter(|person| person.uid != 0) {
        let mut stage = Stage::new(person);
        let probe = stage.workspace.join("probe");
        std::fs::copy(env!("CARGO_BIN_EXE_e2e-probe"), &probe).unwrap();
        person.owns(&probe);
        scene(&mut stage);
    }
}

fn inside(stage: &Stage, line: &str) -> Ran {
    let ran = stage.inside_with(&TIER, line);
    assert_ne!(ran.status, 125, "it did not run: {ran}");
    ran
}

#[test]
fn what_it_cannot_hold_is_refused_by_name() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        if person.uid == 0 {
            stage.inside_with(&TIER, "true").ended(125).complained("root is held by nothing");
            continue;
        }
        let direct = stage.inside_with(&["--tier", "landlock", "--mode", "direct"], "true");
        direct.ended(125).complained("--mode direct");
        let nested = stage.policy("version = 1\nnested = true\n");
        let ran = stage.inside_with(&["--tier", "landlock", "--policy", &nested], "true");
        ran.ended(125).complained("nested = true");
    }
}

#[test]
fn work_is_staged_recorded_and_landed_as_in_any_run() {
    somebody(|stage| {
        let before = Tree::of(&stage.workspace);
        let line = "sh check.sh && echo more >> src/greeting.txt && mkdir new && echo x > new/file && chmod +x new/file \
                    && touch -d 2020-01-01 new/file && mv new renamed && rm README.md && git status --short \
                    && cat $HOME/own 2>/dev/null; echo own > $HOME/own && echo t > $TMPDIR/t && cat $HOME/own $TMPDIR/t";
        let ran = inside(stage, line).ended(0).printed("the greeting is right").printed("own");
        Tree::of(&stage.workspace).same_as(&before);
        // What it does not hold is said before, and is in the record.
        assert!(
            ran.stderr.contains("a lesser one") && ran.stderr.contains("caches of tools start empty"),
            "{ran}"
        );
        let ledger = stage.ledger();
        let given = &ledger.of("enforcement.given").next().expect("it is recorded")["enforcement"];
        assert_eq!(given["tier"], "landlock", "{given:#}");
        for namespace in ["user", "mount", "pid", "network", "ipc", "uts"] {
            assert_eq!(given[format!("{namespace}_namespace")], false, "{given:#}");
        }
        assert!(given["landlock_network"] == true && given["landlock_scopes"] == true, "{given:#}");
        assert!(given["notes"].as_array().is_some_and(|notes| notes.len() >= 4), "{given:#}");
        // Policy and ledger know the person's names, not those of the copy.
        let opened: Vec<String> = ledger.of("opened").map(|event| event["entries"].to_string()).collect();
        let named = format!("{}/src/greeting.txt", stage.workspace.display());
        assert!(opened.iter().any(|entries| entries.contains(&named)), "{named}: {opened:#?}");
        let cwd = stage.workspace.display().to_string();
        assert!(ledger.of("exec").any(|event| event["cwd"] == cwd.as_str()), "no exec in {cwd}");
        assert!(
            !ledger
                .0
                .iter()
                .any(|event| event["type"] == "opened" && event.to_string().contains("/staged/copy"))
        );
        stage.says(&["ledger", "verify"]).ended(0).printed("whole");
        stage.says(&["apply", "--only", "src/greeting.txt", "--only", "README.md"]).ended(0);
        assert!(std::fs::read_to_string(stage.workspace.join("src/greeting.txt")).unwrap().contains("more"));
        assert!(!stage.workspace.join("README.md").exists());
    });
}

/// The secret does not come out by any of these lines, and each tells it outside.
#[test]
fn what_is_not_shown_cannot_be_read() {
    somebody(|stage| {
        let home = stage.home.display().to_string();
        std::os::unix::fs::symlink(stage.home.join(".ssh"), stage.workspace.join("was-there")).unwrap();
        for line in [
            format!("cat {home}/.ssh/id_rsa"),
            "cat was-there/id_rsa".to_owned(),
            format!("ln -s {home}/.ssh link; cat link/id_rsa; rm -f link"),
            format!("ln {home}/.ssh/id_rsa stolen; cat stolen; rm -f stolen"),
            format!("cp {home}/.ssh/id_rsa k; cat k; rm -f k"),
            format!("cd {home}/.ssh && cat id_rsa; cat ./id_rsa"),
            format!(
                "for way in self self/task/self thread-self $$ $PPID; do cat /proc/$way/root{home}/.ssh/id_rsa; done"
            ),
            format!("exec 7<{home}/.ssh && cat /proc/self/fd/7/id_rsa /dev/fd/7/id_rsa"),
            format!("mv {home}/.ssh moved && cat moved/id_rsa && mv moved {home}/.ssh"),
            format!("sh {home}/.ssh/id_rsa 2>&1"),
            format!(
                "python3 -c 'import os; f=os.open(\"{home}/.ssh/id_rsa\", os.O_PATH); print(open(\"/proc/self/fd/%d\" % f).read())'"
            ),
        ] {
            let ran = inside(stage, &format!("{line}; true"));
            assert!(!ran.stdout.contains(SECRET) && !ran.stderr.contains(SECRET), "{line}: {ran}");
            let outside = stage.outside(&line);
            assert!(outside.stdout.contains(SECRET), "no attempt at all: {outside}");
        }
        stage.write("inside.txt", "nothing secret");
        stage.write("folder/id_rsa", "nothing secret");
        for race in [
            format!("swap-read inside.txt {home}/.ssh/id_rsa"),
            format!("swap-folder folder {home}/.ssh id_rsa"),
        ] {
            let ran = inside(stage, &format!("./probe {race}"));
            assert!(ran.status == 1 && !ran.stdout.contains("done"), "{ran}");
        }
        inside(stage, &format!("cat {home}/.ssh/id_rsa; true"));
        stage.ledger().denial("read", "/.ssh/id_rsa");
        // The folder itself is not what the agent works on.
        let real = stage.workspace.join("README.md").display().to_string();
        let ran = inside(stage, &format!("cat {real}; ls {home}; ls /; true"));
        assert!(!ran.stdout.contains("A project") && !ran.stdout.contains("project"), "{ran}");
    });
}

#[test]
fn nothing_outside_is_changed() {
    somebody(|stage| {
        let file = stage.elsewhere.join("outside.txt");
        std::fs::write(&file, "as it was").unwrap();
        stage.person.owns(&file);
        std::os::unix::fs::symlink(&file, stage.workspace.join("link")).unwrap();
        let (there, real) = (stage.elsewhere.display(), stage.workspace.display());
        let own = stage.home.parent().unwrap().file_name().unwrap().display();
        let line = format!(
            "F={there}/outside.txt; echo x > $F; echo x >> link; truncate -s 0 $F; chmod 777 $F link; touch -d 2001-01-01 $F
             chown $(id -u):$(id -g) $F; ./probe attribute $F user.x y; mv $F {there}/other; ln $F {there}/second; rm -f $F
             mkdir {there}/made; ln -s x {there}/made-link; mkfifo {there}/pipe; echo x > {there}/new; cp README.md {there}/copied
             echo x > {real}/README.md; touch {real}/made; chmod 777 {real}/README.md
             python3 -c 'import os; f=os.open(\"'$F'\", os.O_RDONLY); os.fchmod(f, 0o777)'
             echo x > /dev/shm/{own}.txt; echo x > /tmp/{own}.txt; echo x > /var/tmp/{own}.txt; true"
        );
        let (before, was) = (Tree::of(&stage.workspace), std::fs::metadata(&file).unwrap());
        inside(stage, &line);
        let is = std::fs::metadata(&file).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "as it was");
        assert_eq!(
            (is.mode(), is.mtime(), is.ctime(), is.nlink()),
            (was.mode(), was.mtime(), was.ctime(), was.nlink())
        );
        assert_eq!(std::fs::read_dir(&stage.elsewhere).unwrap().count(), 1, "something came to be");
        Tree::of(&stage.workspace).same_as(&before);
        for place in ["/dev/shm", "/tmp", "/var/tmp"] {
            let made = std::path::Path::new(place).join(format!("{own}.txt"));
            assert!(!made.exists(), "{} came to be", made.display());
        }
        // A file that may be read and not written does not change its times or mode either.
        stage.outside(&format!("chmod 700 {there}/outside.txt; echo x > {there}/new")).ended(0);
        assert!(stage.elsewhere.join("new").exists(), "no attempt at all");
    });
}

#[test]
fn t71_the_network_is_the_gateways() {
    somebody(|stage| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let to = listener.local_addr().unwrap();
        let line = format!(
            "./probe tcp {to}; ./probe udp-connect {to}; ./probe udp-sendto {to}; ./probe raw; ./probe vsock; ./probe packet
             python3 -c '
import socket, struct
def attempt(name, act):
    try:
        act(); print(name, \"got through\")
    except OSError as error:
        print(name, error.errno)
to = (\"127.0.0.1\", {port})
new = lambda *kind: socket.socket(*kind)
attempt(\"fastopen\", lambda: new().sendto(b\"x\", 0x20000000, to))
attempt(\"mptcp\", lambda: new(socket.AF_INET, socket.SOCK_STREAM, 262))
attempt(\"bind\", lambda: new().bind((\"127.0.0.1\", 0)))
attempt(\"bind-all\", lambda: new().bind((\"\", 0)))
attempt(\"listen\", lambda: new().listen())
attempt(\"mapped\", lambda: new(socket.AF_INET6).connect((\"::ffff:127.0.0.1\", {port})))
attempt(\"pair\", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
'
             true",
            port = to.port()
        );
        let ran = inside(stage, &line);
        assert!(listener.accept().is_err(), "reached: {ran}");
        assert!(!ran.stdout.contains("done") && !ran.stdout.contains("got through"), "{ran}");
        assert_eq!(ran.stdout.matches('\n').count(), 13, "an attempt is missing: {ran}");
        stage.ledger().denial("connect", &to.to_string());
        stage.outside(&format!("./probe tcp {to}")).ended(0);
        // What a rule allows is reached through the gateway, by the name the person knows.
        let policy = stage.policy(&format!(
            "version = 1\n\n[[rule]]\nid = \"own\"\nconnect = [\"{to}\"]\nneed = \"none\"\n"
        ));
        // The attempt outside was one.
        drop(listener.accept().unwrap());
        listener.set_nonblocking(false).unwrap();
        let serve = std::thread::spawn(move || {
            use std::io::{Read as _, Write as _};
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nreached")
                .unwrap();
        });
        let options = ["--tier", "landlock", "--policy", &policy];
        let line = format!(
            "curl --silent --show-error --max-time 20 http://{to}/; curl --silent --max-time 20 http://unlisted.example.org/"
        );
        let ran = stage.inside_with(&options, &line);
        assert!(ran.stdout.contains("reached") && ran.stdout.contains("unlisted.example.org"), "{ran}");
        serve.join().unwrap();
        stage.ledger().denial("connect", "unlisted.example.org:80");
    });
}

/// The gateway listens where others of the machine can knock: they are not let in.
#[test]
fn t74_nobody_else_uses_the_gateway_of_a_run() {
    somebody(|stage| {
        let mut provost = Running::start(&mut stage.provost([
            "run",
            "--unattended",
            "--tier",
            "landlock",
            "--",
            "sh",
            "-c",
            "echo up > up; sleep 30",
        ]));
        let mine = format!("/proc/{}/fd", provost.pid());
        let ports = || -> Vec<u16> {
            let inodes: Vec<String> = std::fs::read_dir(&mine)
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|entry| {
                    Some(
                        std::fs::read_link(entry.path())
                            .ok()?
                            .to_str()?
                            .strip_prefix("socket:[")?
                            .strip_suffix(']')?
                            .to_owned(),
                    )
                })
                .collect();
            let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
            tcp.lines()
                .skip(1)
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split_whitespace().collect();
                    let listens = fields[3] == "0A" && inodes.iter().any(|inode| inode == fields[9]);
                    listens.then(|| u16::from_str_radix(fields[1].rsplit_once(':').unwrap().1, 16).unwrap())
                })
                .collect()
        };
        assert!(wait_until(Duration::from_secs(20), || !ports().is_empty()), "no gateway listens");
        for port in ports() {
            let line = format!(
                "./probe talk 127.0.0.1:{port} 'GET http://provost.inside/ HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' HTTP; true"
            );
            let ran = stage.outside(&line);
            assert!(!ran.stdout.contains("HTTP/1.1"), "{ran}");
        }
        provost.kill();
    });
}

#[test]
fn sockets_of_the_host_are_closed_and_its_own_are_open() {
    somebody(|stage| {
        let paths = [stage.home.join("bus.sock"), stage.workspace.join("engine.sock")];
        let listeners: Vec<UnixListener> =
            paths.iter().map(|path| UnixListener::bind(path).unwrap()).collect();
        for (path, listener) in paths.iter().zip(&listeners) {
            stage.person.owns(path);
            listener.set_nonblocking(true).unwrap();
        }
        let log = stage.home.join("log.sock");
        let datagrams = UnixDatagram::bind(&log).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        stage.person.owns(&log);
        let name = stage.home.display().to_string();
        let hidden = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        hidden.set_nonblocking(true).unwrap();
        let attempts = [
            format!("./probe unix {}", paths[0].display()),
            format!("./probe unix {}", paths[1].display()),
            format!("./probe unix-datagram {}", log.display()),
            format!("./probe unix-datagram-connect {}", log.display()),
            format!("./probe abstract {name}"),
        ];
        let link = format!("ln -s {} way; ./probe unix way; rm way; ", paths[0].display());
        let ran = inside(stage, &(link + &attempts.join("; ") + "; true"));
        let reached = listeners.iter().chain([&hidden]).filter(|listener| listener.accept().is_ok()).count();
        assert!(reached == 0 && datagrams.recv(&mut [0]).is_err() && !ran.stdout.contains("done"), "{ran}");
        for attempt in &attempts {
            stage.outside(attempt).ended(0);
        }
        let own = "python3 -c '
import os, socket
a = socket.socket(socket.AF_UNIX); a.bind(\"own.sock\"); a.listen()
b = socket.socket(socket.AF_UNIX); b.connect(\"own.sock\"); b.send(b\"x\")
print(\"own\", a.accept()[0].recv(1))'";
        inside(stage, own).printed("own b'x'");
    });
}

#[test]
fn processes_outside_are_out_of_reach() {
    somebody(|stage| {
        let mut sleeper = Running::start(stage.command("/bin/sleep").arg("600"));
        let pid = sleeper.pid();
        let line = format!(
            "for pid in {pid} $PPID; do ./probe ptrace $pid; ./probe read-memory $pid; ./probe steal-descriptor $pid
             ./probe kill $pid; cat /proc/$pid/cmdline /proc/$pid/environ /proc/$pid/maps; prlimit --pid $pid --nofile=1:1; renice 5 $pid; done
             ls /proc; cat /proc/$$/stat >/dev/null && echo sees itself; true"
        );
        let ran = inside(stage, &line);
        assert!(
            !ran.stdout.contains("done") && !ran.stdout.contains("sleep") && !ran.stdout.contains("meminfo"),
            "{ran}"
        );
        assert!(ran.stdout.contains("sees itself"), "{ran}");
        assert!(sleeper.runs(), "a process outside was killed from inside");
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        assert!(
            !limits.lines().any(|line| line.starts_with("Max open files") && line.contains(" 1 ")),
            "{limits}"
        );
        stage.outside(&format!("./probe steal-descriptor {pid}")).ended(0);
        stage.outside(&format!("prlimit --pid {pid} --nofile=9:9")).ended(0);
    });
}

/// A word for a process that no other test uses.
fn marker(stage: &Stage, salt: u64) -> String {
    let name = stage.home.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
    let digits: u64 = name.bytes().fold(salt, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("91.{}", digits % 1_000_000_007)
}

#[test]
fn what_leaves_its_session_ends_with_the_run() {
    somebody(|stage| {
        let word = marker(stage, 3);
        let line = format!(
            "setsid sh -c 'trap \"\" HUP TERM INT; (setsid sleep {word} &) ; sleep {word}' >/dev/null 2>&1 & sleep 0.3"
        );
        inside(stage, &line).ended(0);
        assert!(!is_running(&word), "a process outlives its run");
        // One that gives birth and dies, again and again, ends too.
        let hops = format!("sh -c 'echo $$; exec sh hop.sh {word}'");
        stage.write("hop.sh", "test -e stop || (sh hop.sh $1 >/dev/null 2>&1 &)\n");
        inside(stage, &format!("({hops} &) >/dev/null 2>&1; sleep 0.3")).ended(0);
        assert!(wait_until(Duration::from_secs(2), || !is_running(&word)), "a process outlives its run");
        stage
            .inside_with(
                &["--tier", "landlock", "--timeout", "1s"],
                &format!("setsid sleep {word} & sleep {word}"),
            )
            .ended(124);
        assert!(!is_running(&word), "a process outlives its run");
    });
}

#[test]
fn a_killed_provost_takes_the_run_with_it() {
    somebody(|stage| {
        let word = marker(stage, 5);
        let line = format!("(setsid sleep {word} &); sleep {word}");
        let mut provost = Running::start(&mut stage.provost([
            "run",
            "--unattended",
            "--tier",
            "landlock",
            "--",
            "sh",
            "-c",
            &line,
        ]));
        assert!(wait_until(Duration::from_secs(20), || is_running(&word)), "it never ran");
        provost.kill();
        assert!(wait_until(Duration::from_secs(5), || !is_running(&word)), "goes on without its supervisor");
        assert!(!processes().is_empty());
        // What was private to it is thrown away by the next command that finds it dead.
        let left = || {
            let runs = std::fs::read_dir(stage.state().join("runs")).unwrap();
            runs.filter(|run| run.as_ref().unwrap().path().join("inside").exists()).count()
        };
        assert_eq!(left(), 1, "nothing is left that could be thrown away");
        let shown = stage.says(&["show"]).ended(0);
        assert!(shown.stdout.contains(", tier landlock") && shown.stdout.contains("  tier "), "{shown}");
        assert!(
            wait_until(Duration::from_secs(20), || {
                stage.says(&["status"]);
                left() == 0
            }),
            "it stays"
        );
    });
}

#[test]
fn rules_on_commands_and_frozen_files_hold() {
    somebody(|stage| {
        let policy = stage.policy("version = 1\n\n[[rule]]\nid = \"no-force\"\nexec = [\"git push ** {--force,-f} **\"]\nneed = \"never\"\n\n[[rule]]\nid = \"env-files\"\nread = [\"./**/.env\", \"./.env\"]\nneed = \"never\"\n");
        stage.write("deep/.env", SECRET);
        let options = ["--tier", "landlock", "--policy", &policy];
        let line = "git push -f origin main; env -i $(command -v git) push --force; echo 'echo hooked' > .git/hooks/pre-commit
                    cat deep/.env; mv deep moved && cat moved/.env; true";
        let ran = stage
            .inside_with(&options, line)
            .ended(0)
            .complained("provost: denied exec")
            .complained("no-force");
        assert!(!ran.stdout.contains(SECRET), "{ran}");
        let ledger = stage.ledger();
        ledger.denial("read", "/deep/.env");
        ledger.denial("write", "/.git/hooks/pre-commit");
    });
}

/// Where the kernel gives no namespaces, nothing lesser is chosen by itself; whoever asks for it gets it.
#[test]
fn without_namespaces_the_default_refuses_and_names_the_lesser_tier() {
    somebody(|stage| {
        let provost = stage.provost([""; 0]).get_program().to_owned();
        let own = stage.person.uid;
        let within = |options: &str| {
            format!(
                "unshare --user --map-user={own} --map-group={own} --keep-caps sh -c 'echo 0 > /proc/sys/user/max_user_namespaces \
                 && exec setpriv --inh-caps=-all --ambient-caps=-all {} run --unattended {options} -- sh -c \"sh check.sh; echo x > made\"'",
                provost.display()
            )
        };
        let usual = stage.outside(&within("")).ended(125);
        assert!(
            usual.stderr.contains("no new namespaces") && usual.stderr.contains("--tier landlock"),
            "{usual}"
        );
        let doctor = stage.outside(&within("").replace("run --unattended  -- sh", "doctor; : sh"));
        assert!(
            doctor.stdout.contains("lesser choice") && doctor.stdout.contains("--tier landlock"),
            "{doctor}"
        );
        stage.outside(&within("--tier landlock")).ended(0).printed("the greeting is right");
        let review = stage.says(&["review"]).ended(0);
        assert!(review.stdout.contains("made"), "{review}");
    });
}

#[test]
fn real_agents_work_in_it() {
    for person in Person::everybody().into_iter().filter(|person| person.uid != 0) {
        for words in [["codex", "exec"], ["claude", "-p"]] {
            let Some((stage, server)) = real_agents::set_up(person) else { return };
            let before = Tree::of(&stage.workspace);
            let mut command = vec!["run", "--unattended", "--tier", "landlock", "--"];
            command.extend(words);
            command.push("make the greeting friendlier");
            let ran = run(&mut stage.provost(command));
            real_agents::held_without_namespaces(&stage, &server, &before, ran);
        }
    }
}
