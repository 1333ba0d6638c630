//! Keys that stay outside: what `provost credential` keeps is good where it is bound to go, from inside a run, and nowhere else.

use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

const KEY: &str = "ghp_thekeyofthepersonthatnobodyelsehas01";

/// A server that answers with what it was sent.
fn echo() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&heads);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.by_ref().lines().map_while(Result::ok);
            let mut head = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            // Whoever is cut off while speaking has said that much.
            drop(reader.take(length.unwrap_or(0)).read_to_string(&mut head));
            seen.lock().unwrap().push(head.clone());
            let answer = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{head}",
                head.len()
            );
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    (port, heads)
}

#[test]
fn a_key_that_is_kept_is_put_in_where_it_is_bound_to_go_and_nowhere_else() {
    for person in Person::everybody() {
        let mut stage = Stage::new(person);
        let ((good, seen), (other, elsewhere)) = (echo(), echo());
        stage.in_home("key", &format!("{KEY}\n"));
        let bind = format!("http://127.0.0.1:{good}/api/**");
        let add = ["credential", "add", "forge", "--from", "file:~/key", "--bind", &bind, "--method", "GET"];
        stage.says(&add).ended(0).printed("FORGE");
        stage.says(&add).ended(125).complained("already");
        stage.says(&["credential", "list"]).ended(0).printed("forge").printed(&bind);
        let policy = stage.policy(&format!(
            "version = 1\n\n[[rule]]\nid = \"both\"\nconnect = [\"127.0.0.1:{{{good},{other}}}\"]\nneed = \"none\"\n"
        ));
        // What else the person has is looked for as well.
        stage.set("DEPLOY_TOKEN", "another-secret-of-the-person");
        let line = format!(
            "ask() {{ curl --silent --max-time 20 --write-out ' status %{{http_code}}\\n' \"$@\"; }}
             echo inside $FORGE
             ask --header \"authorization: Bearer $FORGE\" http://127.0.0.1:{good}/api/me
             ask --header \"authorization: Bearer $FORGE\" http://127.0.0.1:{good}/other
             ask --header \"authorization: Bearer $FORGE\" -X POST http://127.0.0.1:{good}/api/me
             ask --header \"authorization: Bearer $FORGE\" http://127.0.0.1:{other}/api/me
             ask --data another-secret-of-the-person http://127.0.0.1:{other}/"
        );
        let ran = stage.inside_with(&["--policy", &policy], &line).ended(0);
        let statuses: Vec<&str> =
            ran.stdout.matches("status 200").chain(ran.stdout.matches("status 403")).collect();
        assert_eq!(statuses, ["status 200", "status 403", "status 403", "status 403", "status 403"], "{ran}");
        assert!(ran.stdout.contains("inside ghp_") && !ran.stdout.contains(KEY), "{ran}");
        let seen = seen.lock().unwrap();
        assert!(seen.len() == 1 && seen[0].contains(&format!("authorization: Bearer {KEY}")), "{seen:?}");
        let elsewhere = elsewhere.lock().unwrap().concat();
        assert!(
            !elsewhere.contains("secret") && !elsewhere.contains("ghp_"),
            "it went elsewhere: {elsewhere}"
        );
        let ledger = stage.ledger();
        assert_eq!(ledger.of("denied").filter(|one| one["reasons"][0]["rule"] == "placeholder").count(), 4);
        assert!(
            ledger
                .of("decision")
                .any(|one| one["text"].as_str().is_some_and(|text| text.starts_with("credential forge to")))
        );
        stage.says(&["credential", "remove", "forge"]).ended(0);
        run(&mut stage.provost(["credential", "remove", "forge"])).ended(125).complained("no credential");
    }
}

#[test]
fn a_key_that_cannot_be_had_is_said_and_does_not_enter() {
    let stage = Stage::new(Person::myself());
    let add = [
        "credential",
        "add",
        "gone",
        "--from",
        "env:NOT_SET_ANYWHERE",
        "--bind",
        "https://api.example.com/**",
    ];
    stage.says(&add).ended(0).printed("NOT_SET_ANYWHERE");
    let ran = stage.inside("echo \"<$GONE>\"").ended(0).printed("<>");
    assert!(ran.stderr.contains("goes on without it"), "{ran}");
    for odd in [
        ["x", "nowhere", "https://a.example.com/**"],
        ["x", "env:X", "a.example.com"],
        ["x", "env:X", "https://*.example.com/**"],
    ] {
        stage
            .says(&["credential", "add", odd[0], "--from", odd[1], "--bind", odd[2]])
            .ended(125)
            .complained("hint");
    }
}
