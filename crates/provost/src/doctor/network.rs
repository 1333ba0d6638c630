//! What the tools of this machine get through: each is tried in a real run, at a place in TLS of Provost's own.
//!
//! A tool got through where its request arrived, whatever it made of the answer. Four ways: TLS tunnelled or opened, with the
//! variables that lead to a proxy or without. Owns which tools there are, how each asks, and what to do where one does not get
//! through. Does not own the run, or printing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gateway::Origin;
use serde::Serialize;

use crate::certificates;
use crate::failure::Failure;
use crate::toolchains::CERTIFICATES;

/// A tool and how it asks for `$U`; `$P` is the port, `$X` the proxy as `host:port` or nothing.
struct Tool {
    name: &'static str,
    program: &'static str,
    line: &'static str,
    fix: &'static str,
}

const TOOLS: [Tool; 11] = [
    Tool {
        name: "curl",
        program: "curl",
        line: "curl -sS \"$U/\"",
        fix: "it believes `CURL_CA_BUNDLE` and `SSL_CERT_FILE`, unless `~/.curlrc` names others",
    },
    Tool {
        name: "git",
        program: "git",
        line: "git -c http.lowSpeedTime=5 ls-remote \"$U/repo\"",
        fix: "it believes `GIT_SSL_CAINFO`; look at `http.sslCAInfo` and `http.proxy` with `git config --show-origin --get-regexp http`",
    },
    Tool {
        name: "cargo",
        program: "cargo",
        line: "CARGO_NET_RETRY=0 cargo search --index \"sparse+$U/\" x",
        fix: "it believes `CARGO_HTTP_CAINFO` and `SSL_CERT_FILE`; look at `[http]` in `~/.cargo/config.toml`",
    },
    Tool {
        name: "npm",
        program: "npm",
        line: "npm view x --registry \"$U/\" --fetch-retries=0",
        fix: "it believes `npm_config_cafile`; look at `cafile`, `ca`, `proxy` and `https-proxy` with `npm config list`",
    },
    Tool {
        name: "node https",
        program: "node",
        line: "node -e 'require(\"https\").get(process.env.U+\"/\",r=>{console.error(r.statusCode);process.exit()})'",
        fix: "it believes `NODE_EXTRA_CA_CERTS`; look at `NODE_OPTIONS`",
    },
    Tool {
        name: "node fetch",
        program: "node",
        line: "node -e 'fetch(process.env.U+\"/\").then(r=>console.error(r.status),e=>console.error(e.cause||e))'",
        fix: "it believes `NODE_EXTRA_CA_CERTS`; Node before 18 has none",
    },
    Tool {
        name: "pip",
        program: "python3 -m pip",
        line: "python3 -m pip --disable-pip-version-check download --retries 0 --no-deps -d /tmp/pip --index-url \"$U/simple\" x",
        fix: "it believes `PIP_CERT` and `REQUESTS_CA_BUNDLE`; look at `cert` and `proxy` with `pip config list`",
    },
    Tool {
        name: "uv",
        program: "uv",
        line: "UV_HTTP_RETRIES=0 uv pip install --no-cache --target /tmp/uv --default-index \"$U/simple\" x",
        fix: "it believes `SSL_CERT_FILE`; `native-tls = true` in `uv.toml` makes older ones do so",
    },
    Tool {
        name: "python urllib",
        program: "python3",
        line: "python3 -c 'import os,urllib.request as u;u.urlopen(os.environ[\"U\"]+\"/\")'",
        fix: "it believes `SSL_CERT_FILE`",
    },
    Tool {
        name: "openssl",
        program: "openssl",
        line: "printf 'GET %s/ HTTP/1.0\\r\\nhost: localhost:%s\\r\\n\\r\\n' \"/${U#*//*/}\" \"$P\" | openssl s_client -quiet -verify_return_error -verify_hostname localhost -servername localhost ${X:+-proxy $X} -connect \"localhost:$P\"",
        fix: "it believes `SSL_CERT_FILE`",
    },
    Tool {
        name: "go",
        program: "go",
        line: "GO111MODULE=on GOFLAGS=-mod=mod GOSUMDB=off GOTOOLCHAIN=local GOPROXY=\"$U\" go list -m -versions example.com/x",
        fix: "it believes `SSL_CERT_FILE`",
    },
];

/// Not tried, and why.
const NOT_YET: [(&str, &str, &str); 1] = [(
    "java",
    "java",
    "not yet: it believes a list of its own alone, so nothing of it passes where requests are looked at; by a tunnel it does",
)];

/// How a place is reached: in TLS that is tunnelled or opened, by the variables that lead to a proxy or directly.
pub const WAYS: [&str; 4] = ["tunnelled", "tunnelled-direct", "opened", "opened-direct"];

/// How a way went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Got {
    /// The request arrived.
    Through,
    /// It did not.
    Nowhere,
}

/// A tool, tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub tool: &'static str,
    /// Whether it is there.
    pub installed: bool,
    /// Each way by its name; none where it was not tried.
    pub ways: BTreeMap<&'static str, Got>,
    /// What it said where it did not get through, or why it was not tried.
    pub because: Option<String>,
    /// What to do about it.
    pub fix: Option<&'static str>,
}

impl Row {
    /// Whether it gets through, or is not there.
    pub fn works(&self) -> bool {
        self.ways.values().all(|got| *got == Got::Through)
    }
}

/// Tries every tool in a run of `provost`; tells how many of how many tries are done.
///
/// # Errors
/// The run could not be begun, or the place not be opened.
pub fn try_all(provost: &Path, mut tell: impl FnMut(usize, usize)) -> Result<Vec<Row>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::of(error).during("could not try the tools");
    let [tunnelled, opened] = [Origin::open(), Origin::open()];
    let (tunnelled, opened) =
        (tunnelled.map_err(|error| failed(&error))?, opened.map_err(|error| failed(&error))?);
    let stage = tempfile::tempdir().map_err(|error| failed(&error))?;
    let mut command = run(provost, stage.path(), (&tunnelled, &opened)).map_err(|error| failed(&error))?;
    let mut child = command.spawn().map_err(|error| failed(&error))?;
    let mut said = Said::default();
    let all = TOOLS.len() * WAYS.len();
    for line in
        child.stdout.take().map(BufReader::new).into_iter().flat_map(|out| out.lines().map_while(Result::ok))
    {
        said.hear(&line);
        tell(said.done.min(all), all);
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    if !said.ended {
        let why = fs::read_to_string(stage.path().join("said")).unwrap_or_default();
        let why = why.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        return Err(Failure::new(format!("the run in which the tools are tried ended with {status}: {why}"))
            .hint("`provost doctor` says whether runs can start here"));
    }
    let rows = TOOLS.iter().map(|tool| row(tool, &said, (&tunnelled, &opened)));
    let not_yet = NOT_YET.iter().map(|(tool, program, why)| Row {
        tool,
        installed: said.there.iter().any(|there| there == program),
        ways: BTreeMap::new(),
        because: Some((*why).to_owned()),
        fix: None,
    });
    Ok(rows.chain(not_yet).collect())
}

/// What the run said.
#[derive(Debug, Default)]
struct Said {
    /// Programs that are there.
    there: Vec<String>,
    /// The last word of a tool, by a way.
    words: BTreeMap<(String, usize), String>,
    done: usize,
    ended: bool,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut parts = line.splitn(4, '\t');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("there"), Some(program), ..) => self.there.push(program.to_owned()),
            (Some("tried"), Some(tool), Some(way), Some(word)) => {
                self.done += 1;
                if let Ok(way) = way.parse() {
                    self.words.insert((tool.to_owned(), way), word.chars().take(300).collect());
                }
            }
            (Some("ended"), ..) => self.ended = true,
            _ => {}
        }
    }
}

fn row(tool: &Tool, said: &Said, (tunnelled, opened): (&Origin, &Origin)) -> Row {
    let installed = said.there.iter().any(|there| there == tool.program);
    let blank = Row { tool: tool.name, installed, ways: BTreeMap::new(), because: None, fix: None };
    if !installed {
        return Row { because: Some("not installed".to_owned()), ..blank };
    }
    let got = |(at, way): (usize, &&'static str)| {
        let origin = if at < 2 { tunnelled } else { opened };
        let got = if origin.was_asked(&path(tool, at)) { Got::Through } else { Got::Nowhere };
        (*way, got)
    };
    let ways: BTreeMap<&'static str, Got> = WAYS.iter().enumerate().map(got).collect();
    let failed = WAYS.iter().position(|way| ways.get(way) == Some(&Got::Nowhere));
    let because = failed.and_then(|at| said.words.get(&(tool.name.to_owned(), at)).cloned());
    let fix = failed.map(|_| tool.fix);
    Row { ways, because, fix, ..blank }
}

/// Where a tool asks, by a way.
fn path(tool: &Tool, way: usize) -> String {
    format!("/{}-{way}/", tool.name.replace(' ', "-"))
}

/// The run, with a state of its own, which trusts the two places beside whatever is trusted here.
fn run(provost: &Path, stage: &Path, (tunnelled, opened): (&Origin, &Origin)) -> std::io::Result<Command> {
    let folder = |name: &str| {
        let path = stage.join(name);
        fs::create_dir_all(&path).map(|()| path)
    };
    let (workspace, state, config) = (folder("workspace")?, folder("state")?, folder("config")?);
    let policy = config.join("try.toml");
    fs::write(&policy, rules(tunnelled.port(), opened.port()))?;
    let script = workspace.join("try.sh");
    fs::write(&script, self::script(tunnelled.port(), opened.port()))?;
    let mut command = Command::new(provost);
    command
        .args(["run", "--unattended", "--evidence", "exec", "--profile", "refactor", "--policy"])
        .arg(policy);
    command.arg("--workspace").arg(&workspace).args(["--", "sh"]).arg(&script);
    command.current_dir(&workspace).env("XDG_STATE_HOME", state).env("XDG_CONFIG_HOME", config);
    let both = format!("{}{}", tunnelled.pem(), opened.pem());
    for (at, variable) in CERTIFICATES.iter().enumerate() {
        let own = std::env::var_os(variable).map(PathBuf::from);
        let list = stage.join(format!("{at}.pem"));
        fs::write(&list, certificates::with(own.as_deref(), &both))?;
        command.env(variable, list);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(stage.join("said"))?);
    Ok(command)
}

fn rules(tunnelled: u16, opened: u16) -> String {
    format!(
        "version = 1\n[[rule]]\nid = \"places\"\nconnect = [\"localhost:{tunnelled}\", \"localhost:{opened}\"]\nneed = \"none\"\n\
         [[rule]]\nid = \"requests\"\nhttp = [\"https://localhost:{opened}/**\"]\nneed = \"none\"\n"
    )
}

/// Tries every tool by every way, the tools beside each other.
fn script(tunnelled: u16, opened: u16) -> String {
    let mut script = "exec 2>/dev/null\nproxy=${HTTPS_PROXY:-$https_proxy}\nNO_PROXY= no_proxy=\nexport NO_PROXY no_proxy\n".to_owned();
    script.push_str("direct='env -u HTTP_PROXY -u http_proxy -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy'\ntab=$(printf '\\t')\n");
    for (_, program, _) in NOT_YET {
        // Writing to a String cannot fail.
        let _ = writeln!(script, "command -v {program} >/dev/null && printf 'there\\t%s\\n' '{program}'");
    }
    for tool in &TOOLS {
        let program = tool.program;
        let _ = writeln!(
            script,
            "(\n{program} --version >/dev/null || {program} version >/dev/null || exit\nprintf 'there\\t%s\\n' '{program}'"
        );
        for way in 0..WAYS.len() {
            let port = if way < 2 { tunnelled } else { opened };
            let (before, proxy) = if way % 2 == 0 { ("", "${proxy#*://}") } else { ("$direct ", "") };
            let (name, path) = (tool.name, path(tool, way));
            let line = tool.line.replace('\'', "'\\''");
            let _ = writeln!(
                script,
                "export U=https://localhost:{port}{} P={port} X=\"{proxy}\"; X=${{X%/}}\nout=$({before}timeout 20 sh -c '{line}' 2>&1 </dev/null | tail -n 1)\n\
                 printf 'tried\\t%s\\t{way}\\t%s\\n' '{name}' \"$out\"",
                path.trim_end_matches('/'),
            );
        }
        script.push_str(") &\n");
    }
    script.push_str("wait\nprintf 'ended\\n'\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_works_where_it_gets_through_by_every_way_or_is_not_there() {
        let ways = |got: [Got; 4]| WAYS.into_iter().zip(got).collect();
        let row = Row { tool: "x", installed: true, ways: BTreeMap::new(), because: None, fix: None };
        assert!(row.works());
        assert!(Row { ways: ways([Got::Through; 4]), ..row.clone() }.works());
        let one = [Got::Through, Got::Through, Got::Nowhere, Got::Through];
        assert!(!Row { ways: ways(one), ..row }.works());
    }

    #[test]
    fn what_a_tool_says_is_its_own_word_and_moves_nothing() {
        let mut said = Said::default();
        for line in
            ["there\tcurl", "tried\tcurl\t2\tno\tway", "tried\tcurl\tx\t", "nonsense", "tried", "ended"]
        {
            said.hear(line);
        }
        assert_eq!(said.there, ["curl"]);
        assert_eq!(said.words[&("curl".to_owned(), 2)], "no\tway");
        assert!(said.ended && said.done == 2);
    }

    #[test]
    fn the_script_is_one_that_a_shell_reads() {
        let script = script(1, 2);
        let status = Command::new("sh").args(["-n", "-c", &script]).status().unwrap();
        assert!(status.success(), "{script}");
        policy::Layer::parse("x", policy::LayerKind::File, &rules(1, 2)).unwrap();
    }
}
