//! A run in the words of the ledger: how it began, under what, how it ended.
//!
//! Owns turning what the run knows into events. Does not own when they are written (`run`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::time::Instant;

use admission::{Admission, LedgerClosed};
use gateway::Authority;
use ledger::OsText;
use ledger::event::{
    ConfinementAsked, CredentialPassed, EnforcementGiven, EnvVar, EnvironmentRecorded, Machine, Passed,
    PolicyLoaded, RunEnded, RunOpened, TerminalFiltered,
};
use policy::{AbsPath, Command, Confinement, Enforcement};
use sandbox::Exit;
use sandbox::plan::Order;
use sandbox::terminal::Filtered;

use super::SEEN;
use crate::agents::Outfit;
use crate::failure::Failure;
use crate::logins::Login;
use crate::secrets::{Credentials, How};
use crate::task::Task;
use crate::toolchains::variables;
use crate::workspace::Change;

/// How it begins.
pub(super) fn opened(task: &Task, agent: &str, outfit: &Outfit, authority: &Authority) -> RunOpened {
    let system = rustix::system::uname();
    RunOpened {
        task: task.text.clone(),
        principal: task.principal.clone(),
        agent: ledger::Agent {
            name: agent.to_owned(),
            version: outfit.version.clone(),
            argv: task.argv.iter().map(|word| OsText::from(word.as_os_str())).collect(),
        },
        workspace: OsText::from(task.workspace.as_path()),
        mode: task.mode,
        evidence: task.evidence,
        attended: task.attended,
        provost_version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine {
            kernel: system.release().to_string_lossy().into_owned(),
            arch: system.machine().to_string_lossy().into_owned(),
            landlock_abi: sandbox::landlock_abi(),
        },
        authority: Some(authority.fingerprint()),
    }
}

/// What is known before anything of the run is inside.
pub(super) struct Before<'a> {
    pub(super) policy: PolicyLoaded,
    pub(super) asked: &'a Confinement,
    pub(super) order: &'a Order,
    pub(super) task: &'a Task,
    pub(super) agent: &'a str,
    pub(super) credentials: &'a Credentials,
    pub(super) login: Option<&'a Login>,
}

/// The policy, the confinement, the environment, the credentials.
pub(super) fn before(admission: &Admission, before: Before<'_>) -> Result<(), LedgerClosed> {
    admission.note(before.policy.into(), SEEN, None)?;
    let confinement = serde_json::to_value(before.asked).unwrap_or_default();
    admission.note(ConfinementAsked { confinement }.into(), SEEN, None)?;
    admission.note(environment(before.order, before.task, before.credentials).into(), SEEN, None)?;
    for one in before.credentials.iter() {
        let (how, by) = match one.how {
            How::Placeholder => (Passed::Placeholder, before.agent),
            How::Real => (Passed::Real, "--pass-credential"),
        };
        admission.note(
            CredentialPassed { name: one.name.clone(), how, by: by.to_owned() }.into(),
            SEEN,
            None,
        )?;
    }
    if let Some(login) = before.login {
        let (name, by) = (login.name().to_owned(), before.agent.to_owned());
        admission.note(CredentialPassed { name, how: Passed::Placeholder, by }.into(), SEEN, None)?;
    }
    Ok(())
}

fn environment(order: &Order, task: &Task, credentials: &Credentials) -> EnvironmentRecorded {
    let value = |name: &str| {
        let found = order.env.iter().find(|(known, _)| known == OsStr::new(name));
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    let secret = |name: &OsStr, value: &OsStr| {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        credentials.inside(&name).is_some()
            || variables::is_secret_name(&name)
            || variables::is_secret_value(&value)
    };
    let variable = |(name, value): &(OsString, OsString)| EnvVar {
        name: OsText::from(name.as_os_str()),
        value: (!secret(name, value)).then(|| OsText::from(value.as_os_str())),
    };
    EnvironmentRecorded {
        user: task.principal.name.clone(),
        home: OsText::from(order.home.as_path()),
        hostname: sandbox::plan::HOST_NAME.to_owned(),
        timezone: value("TZ").unwrap_or_else(timezone),
        locale: value("LC_ALL").or_else(|| value("LANG")).unwrap_or_else(|| "C".to_owned()),
        env: order.env.iter().map(variable).collect(),
    }
}

/// The host's time zone by name, as its link says.
fn timezone() -> String {
    let link = fs::read_link("/etc/localtime").unwrap_or_default();
    let text = link.to_string_lossy();
    text.split_once("zoneinfo/").map_or_else(|| "UTC".to_owned(), |(_, name)| name.to_owned())
}

/// What the kernel gave.
pub(super) fn enforcement(admission: &Admission, given: &Enforcement) -> Result<(), LedgerClosed> {
    let enforcement = serde_json::to_value(given).unwrap_or_default();
    admission.note(EnforcementGiven { enforcement }.into(), SEEN, None).map(drop)
}

/// The command that is launched, as it is judged.
pub(super) fn command(order: &Order) -> Result<Command, Failure> {
    let real = fs::canonicalize(&order.program).unwrap_or_else(|_| order.program.clone());
    let program = AbsPath::new(&real).map_err(|error| Failure::of(&error))?;
    let argv = order.argv.iter().map(|word| word.as_bytes().to_vec()).collect();
    let env =
        order.env.iter().map(|(name, value)| (name.clone().into_vec(), value.clone().into_vec())).collect();
    Ok(Command::new(program, argv, env))
}

/// What is known when the agent has ended.
pub(super) fn after(admission: &Admission, filtered: &Filtered) -> Result<(), LedgerClosed> {
    for (kind, count) in filtered.iter() {
        let kind = kind.name().to_owned();
        admission.note(TerminalFiltered { kind, count }.into(), SEEN, None)?;
    }
    Ok(())
}

/// What a person should know of what was changed on both sides, where what was there is not known any more.
pub(super) fn lost(change: &Change) -> Option<String> {
    let lost = change.files.iter().filter(|file| file.is_lost()).count() as u64;
    let files = crate::render::count(lost, "file");
    (lost > 0).then(|| {
        format!(
            "{files} changed on both sides, too large or too many to be saved when the run began: yours stay"
        )
    })
}

/// How it ended, and which signal told us to stop; `None` if the agent never started.
pub(super) fn ended(end: Option<(Exit, Option<u8>)>, began: Instant) -> RunEnded {
    let stopped = end.and_then(|(exit, signal)| signal.filter(|_| exit == Exit::Stopped));
    let exit = match end.map(|(exit, _)| exit) {
        Some(Exit::Code(code)) => ledger::event::Exit { code: Some(code), signal: None },
        Some(Exit::Signal(signal)) => ledger::event::Exit { code: None, signal: Some(signal) },
        Some(Exit::Stopped | Exit::Limit(_)) => ledger::event::Exit { code: None, signal: Some(9) },
        None => ledger::event::Exit::default(),
    };
    let wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    RunEnded { exit, wall_ms, cpu_ms: cpu_ms(), counts: BTreeMap::new(), stopped }
}

/// Processor time of everything inside, in milliseconds: that of our children that ended (proc(5), stat, 16 and 17).
fn cpu_ms() -> u64 {
    let stat = fs::read_to_string(Path::new("/proc/self/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    (ticks(13) + ticks(14)) * 1_000 / rustix::param::clock_ticks_per_second().max(1)
}
