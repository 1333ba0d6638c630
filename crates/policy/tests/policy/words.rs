//! What a person types becomes the action that would be judged.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use policy::{Action, Here, Kind};

fn typed(line: &str) -> Result<String, String> {
    let mut words = line.split('|').map(OsString::from);
    let kind: Kind = words.next().unwrap().to_str().unwrap().parse().unwrap();
    let words: Vec<OsString> = words.collect();
    let find = |name: &OsStr| (name != "nonesuch").then(|| PathBuf::from("/usr/bin").join(name));
    let here = Here { folder: Path::new("/home/ann/work/src"), home: Path::new("/home/ann"), program: &find };
    Action::from_words(kind, &words, here).map(|action| action.to_string()).map_err(|error| {
        assert!(error.hint.starts_with("write `"));
        error.to_string()
    })
}

#[test]
fn words_are_read_as_they_are_written() {
    for (line, action) in [
        ("exec|git|push|-f", "exec git push -f"),
        ("exec|git commit -m 'two words'", "exec git commit -m 'two words'"),
        ("exec|LD_PRELOAD=x|ls", "exec LD_PRELOAD=x ls"),
        ("exec|./run.sh|a b", "exec /home/ann/work/src/run.sh 'a b'"),
        ("launch|codex", "launch codex"),
        ("read|../x", "read /home/ann/work/x"),
        ("read|~/.ssh/id_rsa", "read /home/ann/.ssh/id_rsa"),
        ("write|/etc//passwd", "write /etc/passwd"),
        ("land|.", "land /home/ann/work/src"),
        ("connect|Example.com", "connect example.com:443"),
        ("connect|[::1]:80", "connect [::1]:80"),
        ("connect|[::1]", "connect [::1]:443"),
        ("http|GET|https://a.example", "http GET https://a.example/"),
        ("http|PUT|http://a.example:3000/x?y", "http PUT http://a.example:3000/x?y"),
        ("http|GET wss://a.example/live", "http GET wss://a.example/live"),
        ("http|POST https://a.example/|--header|X-Team: a b", "http POST https://a.example/ x-team: 'a b'"),
        ("tool|mcp/x", "tool mcp/x"),
        ("credential|key|to|a.example", "credential key to a.example:443"),
        ("credential|key|a.example:1", "credential key to a.example:1"),
        ("spend|5|tokens", "spend 5 tokens"),
    ] {
        assert_eq!(typed(line).as_deref(), Ok(action), "{line}");
    }
}

#[test]
fn what_is_no_action_is_said() {
    for line in [
        "exec",
        "exec|",
        "exec|nonesuch",
        "exec|git 'x",
        "read",
        "read|a|b",
        "read|",
        "connect|a b",
        "connect|a:0",
        "connect|https://a.example",
        "http|GET",
        "http|get|https://a.example/",
        "http|GET|a.example",
        "http|GET|ftp://a.example/",
        "http|GET|https://a.example/|x: y",
        "http|GET|https://a.example/|--header",
        "http|GET|https://a.example/|--header|x",
        "http|GET|https://a.example/%2e%2e/",
        "credential|key",
        "spend|x|tokens",
        "spend|5",
        "tool",
    ] {
        let error = typed(line);
        // An empty path is the folder itself, which is what a shell makes of it too.
        assert!(error.is_err() || line == "read|", "{line} {error:?}");
    }
}
