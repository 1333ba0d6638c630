//! Dependencies come from where the person's tools get them, with the tools as they are; from nowhere else, and nothing is put there.
//!
//! No registry is named here: which there are is what the tools of this machine say. Where they reach none, a test says so and
//! is skipped.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::person::Person;
use e2e::ran::Ran;
use e2e::stage::Stage;

const DEPS: [&str; 2] = ["--profile", "deps"];

/// The person who runs the tests, with the tools and their settings, and a new home.
fn stage() -> Stage {
    let mut stage = Stage::new(Person::myself());
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    for (name, value) in std::env::vars() {
        let of_tools =
            ["PIP_", "UV_", "CARGO_REGISTRIES_", "npm_config_", "NPM_CONFIG_", "RUSTUP_", "PYENV_"];
        let of_certificates =
            name.ends_with("_CA_BUNDLE") || name.ends_with("_CAINFO") || name.ends_with("_CA_CERTS");
        if of_tools.iter().any(|start| name.starts_with(start))
            || of_certificates
            || name.starts_with("SSL_CERT_")
        {
            stage.set(&name, value);
        }
    }
    stage.set("PATH", std::env::var_os("PATH").unwrap_or_default());
    if std::env::var_os("RUSTUP_HOME").is_none() {
        stage.set("RUSTUP_HOME", home.join(".rustup"));
    }
    for file in
        [".npmrc", ".cargo/config.toml", ".config/pip/pip.conf", ".pip/pip.conf", ".config/uv/uv.toml"]
    {
        if let Ok(text) = std::fs::read_to_string(home.join(file)) {
            stage.in_home(file, &text);
        }
    }
    stage
}

/// Whether the tool is here and reaches its registry outside, by this line. Says what was not tried, if not.
fn reaches(stage: &Stage, tool: &str, line: &str) -> bool {
    let ran = stage.outside(line);
    if ran.status != 0 {
        println!(
            "SKIPPED: {tool} is not here, or reaches no registry: WHAT IT GETS INSIDE IS NOT SHOWN\n{ran}"
        );
    }
    ran.status == 0
}

fn deps(stage: &Stage, line: &str) -> Ran {
    stage.inside_with(&DEPS, line)
}

/// A place that is nobody's registry: it counts who comes.
struct Elsewhere {
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Elsewhere {
    fn new() -> Elsewhere {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, came) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&came);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                let mut stream = stream;
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Elsewhere { port, came }
    }

    /// As a repository would name it, in two ways.
    fn urls(&self) -> [String; 2] {
        [format!("http://127.0.0.1:{}", self.port), format!("http://elsewhere.example:{}", self.port)]
    }

    #[track_caller]
    fn nobody_came(&self) {
        assert_eq!(self.came.load(Ordering::SeqCst), 0, "something arrived where nobody's registry is");
    }
}

#[test]
fn npm_installs_what_it_is_asked_for_also_by_a_scoped_name() {
    let stage = stage();
    if !reaches(&stage, "npm", "cd /tmp && npm view left-pad version") {
        return;
    }
    let ran =
        deps(&stage, "npm install --no-save left-pad @types/minimist && ls node_modules node_modules/@types");
    let ran = ran.ended(0);
    assert!(ran.stdout.contains("left-pad") && ran.stdout.contains("minimist"), "{ran}");
    let ledger = stage.ledger();
    assert!(
        ledger.of("flow").any(|flow| flow["method"] == "GET" && flow["status"] == 200),
        "its requests are seen"
    );
}

#[test]
fn what_a_repository_names_for_npm_is_not_reached() {
    let (stage, elsewhere) = (stage(), Elsewhere::new());
    if !reaches(&stage, "npm", "npm --version") {
        return;
    }
    for url in elsewhere.urls() {
        stage.write(".npmrc", &format!("registry={url}/\nfetch-retries=0\n"));
        let ran = deps(&stage, "npm install --no-save left-pad");
        assert!(ran.status != 0, "{ran}");
    }
    stage.ledger().denial("connect", &format!("elsewhere.example:{}", elsewhere.port));
    elsewhere.nobody_came();
}

#[test]
fn nothing_is_put_into_a_registry() {
    let stage = stage();
    if !reaches(&stage, "npm", "cd /tmp && npm view left-pad version") {
        return;
    }
    let registry = stage.outside("cd /tmp && npm config get registry").ended(0).stdout;
    let registry = registry.trim();
    let ran = deps(
        &stage,
        &format!("curl -sS -X PUT -d '{{}}' {registry}left-pad; curl -sS -d x {registry}left-pad"),
    );
    assert!(ran.stdout.matches("provost: denied http P").count() == 2, "{ran}");
}

/// A crate with one small dependency, and its lock.
fn crate_with_lock(stage: &Stage) -> bool {
    stage.write(
        "Cargo.toml",
        "[package]\nname = \"wants\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n",
    );
    stage.write("src/lib.rs", "");
    let outer = stage.elsewhere.join("cargo");
    reaches(stage, "cargo", &format!("CARGO_HOME='{}' cargo generate-lockfile", outer.display()))
}

#[test]
fn cargo_fetches_what_a_lock_names_into_a_home_that_has_seen_nothing() {
    let stage = stage();
    if !crate_with_lock(&stage) {
        return;
    }
    let ran = deps(&stage, "cargo fetch --locked && ls ~/.cargo/registry/cache/*").ended(0);
    assert!(ran.stdout.contains("itoa-1"), "{ran}");
    assert!(!stage.home.join(".cargo/registry").exists(), "and the person's own stays as it was");
}

#[test]
fn what_a_repository_names_for_cargo_is_not_reached() {
    let (stage, elsewhere) = (stage(), Elsewhere::new());
    if !reaches(&stage, "cargo", "cargo --version") {
        return;
    }
    stage.write("Cargo.toml", "[package]\nname = \"wants\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n");
    stage.write("src/lib.rs", "");
    for url in elsewhere.urls() {
        let config = format!(
            "[net]\nretry = 0\n[source.crates-io]\nreplace-with = \"there\"\n[source.there]\nregistry = \"sparse+{url}/\"\n"
        );
        stage.write(".cargo/config.toml", &config);
        let ran = deps(&stage, "cargo fetch");
        assert!(ran.status != 0, "{ran}");
    }
    stage.ledger().denial("connect", &format!("elsewhere.example:{}", elsewhere.port));
    elsewhere.nobody_came();
}

#[test]
fn pip_downloads_what_it_is_asked_for() {
    let stage = stage();
    if !reaches(&stage, "pip", "cd /tmp && python3 -m pip download --no-deps -d \"$(mktemp -d)\" idna") {
        return;
    }
    let ran = deps(&stage, "python3 -m pip download --no-deps -d got idna && ls got").ended(0);
    assert!(ran.stdout.contains("idna-"), "{ran}");
}

#[test]
fn what_a_repository_names_for_pip_is_not_reached() {
    let (stage, elsewhere) = (stage(), Elsewhere::new());
    if !reaches(&stage, "pip", "python3 -m pip --version") {
        return;
    }
    for url in elsewhere.urls() {
        stage.write(
            "pip.conf",
            &format!("[global]\nindex-url = {url}/simple\ntrusted-host = elsewhere.example\nretries = 0\n"),
        );
        stage.write(
            "requirements.txt",
            &format!("--index-url {url}/simple\n--trusted-host elsewhere.example\nidna\n"),
        );
        for line in [
            "PIP_CONFIG_FILE=$PWD/pip.conf python3 -m pip download --no-deps -d got idna",
            "python3 -m pip download --retries 0 --no-deps -d got -r requirements.txt",
        ] {
            let ran = deps(&stage, line);
            assert!(ran.status != 0, "{ran}");
        }
    }
    stage.ledger().denial("connect", &format!("elsewhere.example:{}", elsewhere.port));
    elsewhere.nobody_came();
}

#[test]
fn uv_installs_what_it_is_asked_for_and_not_from_where_a_repository_says() {
    let (stage, elsewhere) = (stage(), Elsewhere::new());
    if !reaches(&stage, "uv", "cd /tmp && uv pip install --quiet --target \"$(mktemp -d)\" idna") {
        return;
    }
    let ran = deps(&stage, "uv pip install --target got idna && ls got").ended(0);
    assert!(ran.stdout.contains("idna"), "{ran}");
    for url in elsewhere.urls() {
        stage.write("uv.toml", &format!("index-url = \"{url}/simple\"\n"));
        let ran = deps(&stage, "UV_HTTP_RETRIES=0 uv pip install --refresh --target other idna");
        assert!(ran.status != 0, "{ran}");
    }
    elsewhere.nobody_came();
}

/// A repository that is served without a word of git's, and where.
fn served(stage: &Stage) -> (e2e::ran::Running, u16) {
    let bare = stage.elsewhere.join("served/repo.git");
    std::fs::create_dir_all(bare.parent().unwrap()).unwrap();
    stage.git(&["clone", "--quiet", "--bare", ".", &bare.display().to_string()]);
    stage.git(&["-C", &bare.display().to_string(), "update-server-info"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = std::process::Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]);
    command.arg(bare.parent().unwrap()).arg(port.to_string());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let running = e2e::ran::Running::start(&mut command);
    let up = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    assert!(e2e::ran::wait_until(std::time::Duration::from_secs(10), up), "it serves");
    (running, port)
}

#[test]
fn git_fetches_from_what_stands_for_other_places_in_the_persons_settings() {
    let stage = stage();
    if !Path::new("/usr/bin/python3").exists() || !reaches(&stage, "git", "git --version") {
        return println!("SKIPPED: nothing serves here: WHERE GIT GOES IS NOT SHOWN");
    }
    let (mut running, port) = served(&stage);
    stage.in_home(
        ".gitconfig",
        &format!("[user]\n\tname = Ada\n\temail = ada@example.org\n[url \"http://127.0.0.1:{port}/\"]\n\tinsteadOf = https://forge.example/\n"),
    );
    let ran = deps(
        &stage,
        "git clone --quiet https://forge.example/repo.git /tmp/r && cat /tmp/r/src/greeting.txt",
    );
    let ran = ran.ended(0);
    assert!(ran.stdout.contains("hello"), "{ran}");
    let other = Elsewhere::new();
    for line in [
        format!(
            "git -c url.http://127.0.0.1:{}/.insteadOf=https://third.example/ ls-remote https://third.example/repo.git",
            other.port
        ),
        format!("git ls-remote http://127.0.0.1:{}/repo.git", other.port),
        "git ls-remote https://other.example/repo.git".to_owned(),
    ] {
        stage.git(&[
            "config",
            "--local",
            &format!("url.http://127.0.0.1:{}/.insteadOf", other.port),
            "https://work.example/",
        ]);
        let ran = deps(&stage, &line);
        assert!(ran.status != 0, "{ran}");
    }
    let ran = deps(&stage, "git ls-remote https://work.example/repo.git");
    assert!(ran.status != 0, "what the repository's own settings say is not heard: {ran}");
    running.kill();
    other.nobody_came();
}

#[test]
fn doctor_tries_what_the_tools_here_get_through() {
    let stage = stage();
    let began = std::time::Instant::now();
    let ran = stage.says(&["doctor", "--network", "--format", "json"]);
    println!("it took {:?}", began.elapsed());
    let report = &ran.json()[0];
    let tools = report["tools"].as_array().unwrap();
    let mut tried = 0;
    for tool in tools {
        let ways = tool["ways"].as_object().unwrap();
        let name = tool["tool"].as_str().unwrap();
        if tool["installed"] == false || ways.is_empty() {
            println!("SKIPPED: {name}: {}", tool["because"]);
            assert!(ways.is_empty() && tool["because"].is_string(), "{tool}");
            continue;
        }
        tried += 1;
        assert!(ways.len() == 4 && ways.values().all(|got| got == "through"), "{tool}");
    }
    assert!(tried > 0 && report["works"] == true, "{report}");
    let here = |program: &str| stage.outside(&format!("command -v {program}")).status == 0;
    for tool in tools {
        let name = tool["tool"].as_str().unwrap();
        if ["curl", "git", "npm", "openssl"].contains(&name) {
            assert_eq!(tool["installed"], here(name), "{name}");
        }
    }
    ran.ended(0);
    assert!(!stage.state().join("runs").exists(), "nothing of it stays");
}

/// A tool that believes nobody by the variables that all others hear.
#[test]
fn doctor_says_which_tool_does_not_get_through_and_what_to_do() {
    let mut stage = stage();
    let bin = stage.elsewhere.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let curl = bin.join("curl");
    std::fs::write(&curl, "#!/bin/sh\n[ \"$1\" = --version ] || echo it trusts nobody >&2\n").unwrap();
    std::fs::set_permissions(&curl, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    stage.set("PATH", format!("{}:{path}", bin.display()));
    let ran = stage.says(&["doctor", "--network"]).ended(1);
    assert!(ran.stdout.contains("curl: it trusts nobody") && ran.stdout.contains("CURL_CA_BUNDLE"), "{ran}");
    assert!(ran.stdout.contains("does not get through"), "{ran}");
}
