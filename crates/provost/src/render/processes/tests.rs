//! The tree as it reads.

use ledger::Trust;
use ledger::event::*;

use super::*;

fn texts(line: &str) -> Vec<OsText> {
    line.split(' ').map(OsText::from).collect()
}

#[derive(Default)]
struct Tape(ProcessTree, u64);

impl Tape {
    fn of(agent: &str) -> Tape {
        let mut tape = Tape::default();
        let agent = Agent { name: agent.to_owned(), ..Agent::default() };
        tape.put(RunOpened { agent, workspace: "/w".into(), ..RunOpened::default() });
        tape.put(Launch { pid: 10, argv: texts("codex exec x"), cwd: "/w".into() });
        tape
    }

    fn put(&mut self, body: impl Into<Body>) {
        let seq = self.1;
        self.1 += 1;
        let (ts, mono, run) = (1_000 + seq, 500 + 1_000_000 * seq, "0abc-def".to_owned());
        let trust = Trust::Observed;
        self.0.see(&Event {
            v: VERSION,
            seq,
            ts,
            mono,
            run,
            trust,
            cause: None,
            cut: false,
            body: body.into(),
        });
    }

    fn exec(&mut self, pid: u32, ppid: u32, cwd: &str, line: &str) {
        let argv = texts(line);
        let name = argv[0].to_string();
        let program: OsText = format!("/usr/bin/{name}").as_str().into();
        let digest = "0123456789abcdef".to_owned();
        self.put(Exec {
            pid,
            ppid,
            program: program.clone(),
            argv,
            cwd: cwd.into(),
            verdict: Verdict::Allow,
            ..Exec::default()
        });
        self.put(Program { path: program, digest, size: 1 });
    }

    fn touch(&mut self, pid: u32, access: Access, act: Option<NameAct>, path: &str) {
        self.put(Opened { entries: vec![OpenEntry { pid, access, act, path: path.into(), count: 1 }] });
    }

    fn exit(&mut self, pid: u32, ppid: u32, code: Option<i32>, signal: Option<i32>) {
        self.put(Exited { entries: vec![ExitEntry { pid, ppid, code, signal, cpu_us: 12_000 }] });
    }

    fn drawn(&self, columns: Option<usize>) -> Vec<String> {
        let places = Places { project: b"/w".to_vec(), home: b"/home/ada".to_vec() };
        let (tree, paint) = (&self.0, Paint::PLAIN);
        text(Telling { tree, places: &places, all: false, running: false, columns, paint })
    }
}

fn session() -> Tape {
    let mut tape = Tape::of("codex");
    tape.exec(11, 10, "/w", "bash -lc make");
    tape.exec(12, 11, "/w/sub", "make all");
    for pid in 20..26 {
        tape.exec(pid, 12, "/w/sub", "cc -c a.c");
        tape.touch(pid, Access::Write, None, &format!("/w/sub/{pid}.o"));
        tape.exit(pid, 12, Some(0), None);
    }
    tape.touch(12, Access::Read, None, "/w/sub/Makefile");
    tape.touch(12, Access::Read, None, "/usr/lib/libc.so.6");
    tape.touch(12, Access::Read, None, "/home/ada/.config/make");
    tape.touch(12, Access::Write, Some(NameAct::Removed), "/w/sub/old.o");
    tape.exit(12, 11, Some(2), None);
    tape.exit(11, 10, Some(2), None);
    tape.exec(30, 10, "/w", "cat .env");
    tape.touch(30, Access::Read, None, "/w/.env");
    let reasons = vec![Reason { layer: "system".into(), rule: "home-secrets".into(), why: None }];
    let target = "/home/ada/.ssh/id_rsa".into();
    tape.put(Denied { pid: Some(30), what: "read".into(), target, reasons, ..Denied::default() });
    tape.put(Connection {
        pid: Some(30),
        endpoint: "api.example.com:443".into(),
        verdict: Verdict::Allow,
        ingress: Ingress::Socket,
    });
    tape.exit(30, 10, None, Some(9));
    tape.exit(10, 9, Some(0), None);
    tape
}

#[test]
fn a_run_reads_as_a_tree() {
    let expected = "
     #         at       took       cpu  process
    #1       1 ms      41 ms     12 ms  codex exec x
    #2       2 ms      33 ms     12 ms  ├─ call 1?  bash -lc make  exit 2
                                        │  │  bash 01234567
    #3       4 ms      30 ms     12 ms  │  └─ make all  exit 2
                                        │     │  removed sub/old.o · read 3 files (1 of the project, 1 in ~/.config) · in sub · make 01234567
             6 ms                72 ms  │     └─ cc × 6  alike, the first #4: cc -c a.c
                                        │           changed 6 files
   #10      36 ms       5 ms     12 ms  └─ call 2?  cat .env  killed by signal 9
                                              read 1 file (.env) · cat 01234567
                                              denied read ~/.ssh/id_rsa  rule home-secrets of system
                                              reached api.example.com:443
  call N?  codex started it, by the process tree; whether the model asked for it is not recorded";
    let drawn = session().drawn(None).join("\n");
    assert_eq!(drawn.trim(), expected.trim(), "\n{drawn}");
}

#[test]
fn on_a_narrow_terminal_no_line_is_longer_than_it() {
    for columns in [40, 80, 119, 130] {
        let drawn = session().drawn(Some(columns));
        // The ground of the attribution is folded by the terminal, not cut.
        let (_, lines) = drawn.split_last().unwrap();
        assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns}: {lines:#?}");
        assert!(columns > 100 || lines.iter().any(|line| line.ends_with("..")), "{columns}: {lines:#?}");
    }
}

#[test]
fn what_the_agent_named_never_speaks_to_the_terminal() {
    let mut tape = Tape::of("codex");
    tape.exec(11, 10, "/w/\u{1b}]0;a\u{7}", "sh -c \u{1b}[2J\nfake");
    tape.touch(11, Access::Write, None, "/w/\u{1b}[31mred\r\n");
    let target = "/w/\u{9b}x".into();
    tape.put(Denied { pid: Some(11), what: "read\u{1b}[0m".into(), target, ..Denied::default() });
    let drawn = tape.drawn(None);
    assert!(drawn.iter().all(|line| !line.contains(char::is_control)), "{drawn:?}");
    assert!(
        super::super::process::text(
            tape.0.get(2).unwrap(),
            Telling {
                tree: &tape.0,
                places: &Places::default(),
                all: true,
                running: true,
                columns: None,
                paint: Paint::PLAIN,
            }
        )
        .iter()
        .all(|line| !line.contains(char::is_control))
    );
}

#[test]
fn words_are_told_apart_as_a_shell_would() {
    assert_eq!(
        super::words(&["sh".into(), "-c".into(), "echo 'a b'; ls".into(), "".into()]),
        r"sh -c 'echo '\''a b'\''; ls' ''"
    );
}

#[test]
fn for_programs_every_process_is_there_with_its_keys() {
    let tape = session();
    let all = json(&tape.0, false);
    assert_eq!(all.len(), 10);
    let make = &all[2];
    assert_eq!((&make["id"], &make["parent"], &make["pid"]), (&json!(3), &json!(2), &json!(12)));
    assert_eq!((&make["exit"]["code"], &make["cpu_ms"]), (&json!(2), &json!(12)));
    assert_eq!((&make["reads"]["files"], &make["reads"]["named"]), (&json!(3), &Value::Null));
    assert_eq!(make["writes"], json!([{ "path": "/w/sub/old.o", "act": "removed", "count": 1 }]));
    assert_eq!(make["call"], json!({ "number": 1, "began_with": 2, "ground": "process-tree" }));
    assert_eq!(make["digest"], "0123456789abcdef");
    assert_eq!(json(&tape.0, true)[2]["reads"]["named"].as_array().unwrap().len(), 3);
}
