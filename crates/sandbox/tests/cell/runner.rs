//! Runs cases: each in a process of its own, with a folder of its own, as root and as an ordinary user.

use libtest_mimic::{Arguments, Failed, Trial};
use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A case: its name, and what it does with a folder of its own.
pub(crate) type Case = (&'static str, fn(&Path));

/// The variable that makes this program a case.
const CASE: &str = "PROVOST_CELL_CASE";
/// The variable that names a case's folder.
const FOLDER: &str = "PROVOST_CELL_FOLDER";
/// A user without a name, without rights, and without other processes.
const ORDINARY: u32 = 54_321;
/// A loaded machine is slow; a case that hangs must still end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs all cases; `parts` are programs that cases start, and no cases by themselves.
pub(crate) fn run(cases: &[&[Case]], parts: &[Case]) -> ExitCode {
    let cases: Vec<Case> = cases.concat();
    if let (Some(name), Some(folder)) = (std::env::var_os(CASE), std::env::var_os(FOLDER)) {
        let (_, case) = cases.iter().chain(parts).find(|(known, _)| name == *known).expect("a known case");
        case(Path::new(&folder));
        return ExitCode::SUCCESS;
    }
    let shared = Arc::new(tempfile::tempdir().unwrap());
    std::fs::set_permissions(shared.path(), Permissions::from_mode(0o755)).unwrap();
    // An ordinary user may not reach where this was built.
    let program = shared.path().join("cell");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let users: &[Option<u32>] =
        if rustix::process::geteuid().is_root() { &[None, Some(ORDINARY)] } else { &[None] };
    let trials = users
        .iter()
        .flat_map(|user| cases.iter().map(move |(name, _)| (*user, *name)))
        .map(|(user, name)| {
            let (program, shared) = (program.clone(), Arc::clone(&shared));
            let title = if user.is_some() { format!("{name} (ordinary user)") } else { name.to_owned() };
            Trial::test(title, move || {
                let _shared = shared;
                attempt(&program, name, user)
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// Runs one case as `user`, and says what it said if it failed.
fn attempt(program: &Path, name: &str, user: Option<u32>) -> Result<(), Failed> {
    let folder = tempfile::Builder::new().prefix("provost-cell-").tempdir()?;
    std::os::unix::fs::chown(folder.path(), user, user)?;
    let mut child = command(program, name, folder.path());
    if let Some(user) = user {
        child.uid(user).gid(user);
    }
    let mut child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let said = std::thread::spawn(move || {
        let (mut first, mut second) = (String::new(), String::new());
        let _ = (err.read_to_string(&mut second), out.read_to_string(&mut first));
        first + &second
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = said.join().unwrap_or_default();
    match status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{said}").into()),
        None => Err(format!("did not end\n{said}").into()),
    }
}

/// This program as a case.
pub(crate) fn command(program: &Path, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RUST_BACKTRACE", "1");
    command.env(CASE, name).env(FOLDER, folder);
    command
}

/// The program that is running, for a case that starts another.
pub(crate) fn itself() -> PathBuf {
    std::env::current_exe().unwrap()
}
