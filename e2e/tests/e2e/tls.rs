//! TLS that is opened, with the programs that people use: over a network of its own, with a site that is really outside, whose
//! certificate the person's machine trusts. Nobody tells a program inside whom to trust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

const POLICY: &str = r#"
version = 1
[[rule]]
id = "api"
http = ["https://api.example/public/**", "https://api.example/repo.git/**"]
methods = ["GET", "HEAD"]
need = "none"
[[rule]]
id = "address"
connect = ["192.0.2.10:443"]
need = "none"
# By it the gateway finds the site. Inside, names are answered by Provost, as they are where a name server knows them.
[[rule]]
id = "hosts"
read = ["/etc/hosts"]
need = "never"
"#;

/// Makes the network and the names, starts the site, becomes the person, and runs the rest of its words.
const AROUND: &str = r#"
set -e
site=$1; uid=$2; shift 2
ip link set lo up
ip address add 192.0.2.10/32 dev lo
mount --bind "$site/hosts" /etc/hosts
python3 "$site/serve.py" "$site/www" 192.0.2.10 443 "$site/server.pem" "$site/server.key" "$site/seen" >/dev/null 2>&1 &
server=$!
for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    if python3 -c 'import socket; socket.create_connection(("192.0.2.10", 443))' 2>/dev/null; then break; fi
    sleep 0.2
done
set +e
setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
status=$?
kill $server
exit $status
"#;

/// The site's certificate and key, and whose word it is by.
fn certificates(site: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["api.example".to_owned()]).unwrap().signed_by(&key, &*ca).unwrap();
    fs::write(site.join("ca.pem"), ca.pem()).unwrap();
    fs::write(site.join("server.pem"), own.pem()).unwrap();
    fs::write(site.join("server.key"), key.serialize_pem()).unwrap();
}

struct Site {
    stage: Stage,
    site: PathBuf,
}

impl Site {
    fn new(person: Person) -> Site {
        let mut stage = Stage::new(person);
        let site = stage.elsewhere.join("site");
        fs::create_dir_all(site.join("www/public")).unwrap();
        fs::write(site.join("www/public/hello"), "hello in TLS\n").unwrap();
        fs::write(site.join("www/secret"), "nobody reads this\n").unwrap();
        fs::write(site.join("hosts"), "127.0.0.1 localhost\n192.0.2.10 api.example\n").unwrap();
        fs::write(site.join("serve.py"), include_str!("tls/serve.py")).unwrap();
        fs::write(site.join("seen"), "").unwrap();
        certificates(&site);
        stage.set("SSL_CERT_FILE", site.join("ca.pem"));
        Site { stage, site }
    }

    fn inside(&self, line: &str) -> Ran {
        self.inside_with(&[], line)
    }

    fn inside_with(&self, flags: &[&str], line: &str) -> Ran {
        let policy = self.stage.policy(POLICY);
        let words =
            [&["run", "--unattended", "--policy", &policy], flags, &["--", "sh", "-c", line]].concat();
        let provost = self.stage.provost(words);
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--net", "--mount", "/bin/sh", "-c", AROUND, "sh"]).arg(&self.site);
        command.arg(self.stage.person.uid.to_string());
        command.arg(provost.get_program()).args(provost.get_args());
        command.current_dir(&self.stage.workspace).env_clear();
        command.envs(provost.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", "/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin");
        run(&mut command)
    }

    /// What the site was asked.
    fn seen(&self) -> String {
        fs::read_to_string(self.site.join("seen")).unwrap()
    }
}

fn with_site(needs: &[&str], scene: impl Fn(&Site)) {
    with_site_as(needs, |_| {}, scene);
}

fn with_site_as(needs: &[&str], settings: impl Fn(&mut Site), scene: impl Fn(&Site)) {
    let folders = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];
    let has = |program: &str| folders.iter().any(|folder| Path::new(folder).join(program).exists());
    let all = ["unshare", "ip", "mount", "setpriv", "python3"].iter().chain(needs);
    let missing = all.copied().find(|program| !has(program));
    if Person::myself().uid != 0 || missing.is_some() {
        println!("SKIPPED: a network of its own needs root and iproute2 here ({missing:?})");
        return;
    }
    for person in Person::everybody() {
        println!("as {person}");
        let mut site = Site::new(person);
        settings(&mut site);
        scene(&site);
    }
}

#[test]
fn curl_sees_the_site_and_is_held_to_the_rules() {
    with_site(&["curl"], |site| {
        let ran = site.inside(
            "set -f; for flags in --http1.1 --http2 '--noproxy *'; do \
             curl -sS $flags https://api.example/public/hello; \
             curl -sS $flags https://api.example/secret; done",
        );
        let ran = ran.ended(0);
        assert_eq!(ran.stdout.matches("hello in TLS\n").count(), 3, "{ran:?}");
        let denied = "provost: denied http GET https://api.example/secret";
        assert_eq!(ran.stdout.matches(denied).count(), 3, "{ran:?}");
        assert!(!site.seen().contains("secret"), "{}", site.seen());
        let ledger = site.stage.ledger();
        let opened = ledger.of("run.opened").next().unwrap();
        assert_eq!(opened["authority"].as_str().map(str::len), Some(64), "{opened}");
        let flows: Vec<_> = ledger.of("flow").filter(|flow| flow["path"] == "/public/hello").collect();
        assert!(flows.len() == 3 && flows.iter().all(|flow| flow["status"] == 200), "{flows:?}");
    });
}

#[test]
fn git_python_node_and_openssl_trust_the_run_without_being_told() {
    with_site(&["git", "node", "openssl"], |site| {
        let bare = site.site.join("www/repo.git");
        let done = |command: &mut Command| assert!(command.status().unwrap().success());
        done(Command::new("cp").arg("-r").arg(site.stage.workspace.join(".git")).arg(&bare));
        done(Command::new("git").arg("-C").arg(&bare).arg("update-server-info"));
        let python = "import urllib.request as u; print(u.urlopen('https://api.example/public/hello').read().decode())";
        let direct = "import urllib.request as u; \
            print(u.build_opener(u.ProxyHandler({})).open('https://api.example/public/hello').read().decode())";
        let node = "require('https').get('https://api.example/public/hello', r => r.pipe(process.stdout))";
        let fetch = "fetch('https://api.example/public/hello').then(r => r.text()).then(console.log)";
        for (what, line) in [
            (
                "git",
                "git clone --quiet https://api.example/repo.git /tmp/r && cat /tmp/r/src/greeting.txt"
                    .to_owned(),
            ),
            ("python", format!("python3 -c \"{python}\"")),
            ("python without a proxy", format!("python3 -c \"{direct}\"")),
            ("node", format!("node -e \"{node}\"")),
            ("node's fetch", format!("node -e \"{fetch}\"")),
            (
                "openssl",
                "printf 'GET /public/hello HTTP/1.0\\r\\nhost: api.example\\r\\n\\r\\n' | \
                 openssl s_client -quiet -verify_return_error -verify_hostname api.example \
                 -connect api.example:443 -servername api.example"
                    .to_owned(),
            ),
        ] {
            let ran = site.inside(&line);
            assert!(ran.stdout.contains("hello"), "{what}: {ran:?}");
        }
        let push = site.inside(
            "git clone --quiet https://api.example/repo.git /tmp/r; cd /tmp/r && git commit -q --allow-empty -m x && git push",
        );
        assert!(
            push.status != 0 && push.stderr.contains("denied     http PROPFIND https://api.example"),
            "{push:?}"
        );
        assert!(!site.seen().contains("PROPFIND"), "{}", site.seen());
    });
}

#[test]
fn without_namespaces_the_variables_say_whom_to_trust() {
    with_site(&["curl", "git"], |site| {
        if site.stage.person.uid == 0 {
            return println!("without namespaces, root is held by nothing, and so refused");
        }
        let line = "curl -sS https://api.example/public/hello; curl -sS https://api.example/secret; \
                    git ls-remote https://api.example/public; env | grep -c provost-certificates";
        let ran = site.inside_with(&["--tier", "landlock"], line);
        assert!(ran.stdout.contains("hello in TLS"), "{ran:?}");
        assert!(ran.stdout.contains("provost: denied http GET https://api.example/secret"), "{ran:?}");
        assert!(!ran.stderr.contains("certificate"), "{ran:?}");
    });
}

/// A company's list that one tool's own file names: the tool goes on trusting it, and so does who opens TLS in its stead.
#[test]
fn a_list_that_a_tools_own_file_names_is_trusted_inside_and_outside() {
    let settings = |site: &mut Site| {
        // A list that knows nobody there.
        let other = site.site.join("other");
        fs::create_dir_all(&other).unwrap();
        certificates(&other);
        site.stage.set("SSL_CERT_FILE", other.join("ca.pem"));
        let list = site.site.join("ca.pem");
        let name = "[user]\n\tname = Ada\n\temail = ada@example.org\n";
        site.stage.in_home(".gitconfig", &format!("{name}[http]\n\tsslCAInfo = {}\n", list.display()));
    };
    let line = "curl -sS https://api.example/public/hello; awk 'END { print NR }' \"$GIT_SSL_CAINFO\"";
    with_site_as(&["curl", "git"], settings, |site| {
        let ran = site.inside(line).ended(0);
        assert!(ran.stdout.contains("hello in TLS"), "{ran:?}");
        let own = fs::read_to_string(site.site.join("ca.pem")).unwrap().lines().count();
        let lines: usize = ran.stdout.lines().last().unwrap().trim().parse().unwrap();
        assert!(lines > own, "the tool's own list, and the authority after it: {lines}, {own}");
    });
    let without = |site: &mut Site| {
        settings(site);
        site.stage.in_home(".gitconfig", "");
    };
    with_site_as(&["curl", "git"], without, |site| {
        let ran = site.inside(line);
        assert!(ran.stdout.contains("untrusted"), "nobody vouches for it then: {ran:?}");
    });
}
