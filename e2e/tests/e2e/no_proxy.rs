//! Programs that know nothing of a proxy, over a network of their own with a server that is really outside: what a rule
//! allows is reached, what none allows is refused at the call, and the record says which process went where.

use e2e::network::{self, SERVER};
use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;
use std::path::Path;
use std::process::Command;

const POLICY: &str = r#"
version = 1
[[rule]]
id = "server"
connect = ["192.0.2.10:8000"]
need = "none"
[[rule]]
id = "evil"
connect = ["evil.example:*", "192.0.2.66:*"]
need = "never"
why = "It is evil."
"#;

fn with_network(scene: impl Fn(&Stage, &Path)) {
    if let Some(missing) = network::missing() {
        println!("SKIPPED: a network of its own needs {missing} here");
        return;
    }
    for person in Person::everybody() {
        println!("as {person}");
        let stage = Stage::new(person);
        let folder = network::served(&stage);
        scene(&stage, &folder);
    }
}

fn inside(stage: &Stage, folder: &Path, line: &str) -> Ran {
    let policy = stage.policy(POLICY);
    let provost = stage.provost(["run", "--unattended", "--policy", &policy, "--", "sh", "-c", line]);
    run(&mut network::around(stage, folder, &provost))
}

const CLIENT: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(8000)};
    inet_aton(words[1], &to.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (void *)&to, sizeof to)) { perror("connect"); return 1; }
    const char *ask = "GET / HTTP/1.0\r\n\r\n";
    if (write(s, ask, strlen(ask)) < 0) return 2;
    char answer[4096]; ssize_t n;
    while ((n = read(s, answer, sizeof answer)) > 0) fwrite(answer, 1, n, stdout);
    return 0;
}
"#;

const PYTHON: &str = "import urllib.request as u; print('python', u.build_opener(u.ProxyHandler({})).open('http://SERVER/', timeout=30).read().decode())";
const NODE: &str = "fetch('http://SERVER/').then(async answer => console.log('node', await answer.text()), error => { console.error(error); process.exit(1) })";

#[test]
fn programs_without_a_proxy_reach_what_a_rule_allows() {
    with_network(|stage, folder| {
        stage.write("client.c", CLIENT);
        let served =
            Command::new("git").args(["init", "--quiet", "--bare"]).arg(folder.join("r.git")).status();
        assert!(served.unwrap().success());
        let mut clients = vec![
            format!("curl --silent --show-error --noproxy '*' http://{SERVER}/ | sed 's/^/curl /'"),
            format!("python3 -c \"{}\"", PYTHON.replace("SERVER", SERVER)),
            format!("git clone --quiet http://{SERVER}/r.git /tmp/cloned && echo git cloned"),
        ];
        let outside = |line: &str| stage.outside(line).status == 0;
        std::fs::write(folder.join("r.git/info/refs"), "").unwrap();
        if outside("node -e 'fetch' 2>/dev/null") {
            clients.push(format!("node -e \"{}\"", NODE.replace("SERVER", SERVER)));
        }
        if outside("cc -static -o client client.c 2>/dev/null") {
            clients.push("./client 192.0.2.10 | sed 's/^/static /'".to_owned());
        }
        let gone = "unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy\n";
        let ran = inside(stage, folder, &format!("{gone}{}", clients.join("\n"))).ended(0);
        for client in ["curl hello", "python hello", "git cloned"] {
            assert!(ran.stdout.contains(client), "{client}: {ran}");
        }
        let optional =
            clients.iter().filter(|line| line.starts_with("node ") || line.starts_with("./client")).count();
        let found = ["node hello", "static hello"].iter().filter(|word| ran.stdout.contains(**word)).count();
        assert_eq!(found, optional, "{ran}");
        let ledger = stage.ledger();
        let carried: Vec<_> = ledger.of("connection").filter(|seen| seen["ingress"] == "socket").collect();
        assert!(carried.len() >= clients.len(), "{carried:#?}");
        assert!(
            carried.iter().all(|seen| seen["pid"].is_u64() && seen["endpoint"] == SERVER),
            "{carried:#?}"
        );
        let entries = ledger.of("connected").flat_map(|event| event["entries"].as_array().unwrap());
        let tried: Vec<_> = entries.filter(|entry| entry["how"] == "carried").collect();
        assert!(
            carried.iter().all(|seen| tried.iter().any(|entry| entry["pid"] == seen["pid"])),
            "{tried:#?}"
        );
        assert!(ledger.of("flow").any(|flow| flow["endpoint"] == SERVER && flow["bytes_down"] != 0));
    });
}

#[test]
fn programs_without_a_proxy_are_refused_what_no_rule_allows() {
    with_network(|stage, folder| {
        let ran = inside(
            stage,
            folder,
            "curl --silent --show-error --noproxy '*' http://192.0.2.66/
             curl --silent --show-error --noproxy '*' http://192.0.2.77/
             curl --silent --show-error --noproxy '*' http://evil.example/
             curl --silent --show-error --noproxy '*' http://unlisted.example/
             getent hosts unlisted.example | cut -d. -f1,2; getent hosts evil.example || echo nobody",
        )
        .ended(0);
        assert_eq!(ran.stdout, "198.18\nnobody\n", "{ran}");
        for line in [
            "provost: denied connect 192.0.2.66:80 (rule evil: It is evil.)\n",
            "provost: denied connect 192.0.2.77:80 (",
            "provost: denied connect unlisted.example:80 (",
            "provost: denied connect evil.example (rule evil: It is evil.)",
        ] {
            assert!(ran.stderr.contains(line), "{line}: {ran}");
        }
        let asked = std::fs::read_to_string(folder.join("evil.log")).unwrap_or_default();
        assert!(!asked.contains("GET"), "it was reached: {asked}");
        let ledger = stage.ledger();
        ledger.denial("connect", "192.0.2.66:80");
        ledger.denial("connect", "unlisted.example:80");
        ledger.denial("connect", "evil.example");
        assert_eq!(ledger.of("resolved").count(), 0, "a denied name was looked up");
        assert_eq!(ledger.of("connection").count(), 0, "what is certain is refused at the call");
    });
}

#[test]
fn a_stream_that_leads_into_the_hosts_network_is_not_passed_on() {
    let stage = Stage::new(Person::myself());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut command = stage.provost(["run", "--unattended", "--", "true"]);
    let output = command.stdin(std::os::fd::OwnedFd::from(stream)).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("descriptor 0 is a socket of the host's network"), "{said}");
}
