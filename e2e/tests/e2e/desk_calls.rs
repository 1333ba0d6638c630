//! The desk's socket under callers that speak nonsense, too much, or nothing at all: each is turned away, and a person is still heard.

use e2e::person::Person;
use e2e::ran::{Beside, wait_until};
use e2e::stage::Stage;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn callers_that_speak_nonsense_or_nothing_hold_up_nobody() {
    let stage = Stage::new(Person::myself());
    let policy =
        stage.policy("version = 1\n[[rule]]\nid = \"ask\"\nexec = [\"date **\"]\nneed = \"human\"\n");
    let line = "date > /dev/null && echo ran; sleep 60";
    let words = ["run", "--attended", "--policy", &policy, "--", "sh", "-c", line];
    let run = Beside::start(&mut stage.provost(words));
    let mut asks = Vec::new();
    let there = wait_until(Duration::from_secs(60), || {
        asks = stage.says(&["asks", "--format", "json"]).json();
        !asks.is_empty()
    });
    assert!(there, "nothing is asked");
    let id = asks[0]["ask"]["id"].as_str().unwrap();
    let folder = stage.state().join("runs").join(asks[0]["ask"]["run"].as_str().unwrap());
    // A socket's address is short, and the folder's name may not be.
    let short = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(&folder, short.path().join("run")).unwrap();
    let call = || {
        let stream = UnixStream::connect(short.path().join("run/desk")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    };
    let said = |mut stream: UnixStream| {
        let mut said = String::new();
        // One that is cut off while it speaks has heard enough.
        let _ = stream.read_to_string(&mut said);
        said
    };
    for garbage in [
        &b"\x00\xff\xfe\n"[..],
        b"{}\n",
        b"{\"v\":99,\"do\":\"asks\"}\n",
        b"[[[[[[[[[[\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = call();
        stream.write_all(garbage).unwrap();
        assert!(said(stream).contains("refused"), "{garbage:?}");
    }
    // A line without an end is read so far and no further.
    let mut huge = call();
    let _ = huge.write_all(&vec![b'x'; 1 << 20]);
    drop(said(huge));
    // Half closed: it said what it had to say, and is answered.
    let mut half = call();
    half.write_all(b"{\"v\":1,\"do\":\"asks\"}\n").unwrap();
    half.shutdown(Shutdown::Write).unwrap();
    assert!(said(half).contains(id));
    // Many that say nothing: those beyond the bound are told so, and when they go there is room again.
    let many: Vec<_> = (0..64).map(|_| call()).collect();
    assert!(said(call()).contains("too many are heard at once"));
    drop(many);
    let heard =
        wait_until(Duration::from_secs(60), || stage.says(&["allow", id, "--scope", "run"]).status == 0);
    assert!(heard, "the person is not heard");
    run.prints("ran");
    // A no that was for the open question comes too late: it takes back nothing that another person gave.
    let order = |seen: bool| {
        let order = serde_json::json!({ "v": 1, "do": "answer", "id": id, "allow": false, "why": "no", "seen_open": seen });
        let mut stream = call();
        stream.write_all(format!("{order}\n").as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        said(stream)
    };
    let late = order(true);
    assert!(late.contains("it was answered already: ") && late.contains(" allowed it"), "{late}");
    let back = order(false);
    assert!(back.contains("revoked") && back.contains("\"used\":0"), "{back}");
    stage.says(&["stop"]).ended(0);
    drop(run.end());
    stage.says(&["ledger", "verify"]).ended(0).printed("whole");
}
