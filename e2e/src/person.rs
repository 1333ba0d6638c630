//! On whose behalf a test runs.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// The user that an ordinary person is where the tests run as root: one that no machine has.
const ORDINARY: u32 = 64_123;

/// A user of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Person {
    /// The user's number, and that of the user's only group.
    pub uid: u32,
}

impl Person {
    /// Who runs the tests.
    #[must_use]
    pub fn myself() -> Self {
        Self { uid: rustix::process::getuid().as_raw() }
    }

    /// Everybody a promise is kept to here: root and an ordinary person where the tests run as root, else who runs them.
    #[must_use]
    pub fn everybody() -> Vec<Self> {
        match Self::myself() {
            root @ Self { uid: 0 } => vec![root, Self { uid: ORDINARY }],
            ordinary => vec![ordinary],
        }
    }

    /// A command that this person starts. No variable is set.
    pub fn command(self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env_clear();
        if self != Self::myself() {
            command.uid(self.uid).gid(self.uid);
        }
        command
    }

    /// Gives a file, a link or a folder with all it holds to this person; not a file that has a second name, for that
    /// one is shared with what lies outside the stage.
    pub fn owns(self, path: &Path) {
        let Ok(data) = std::fs::symlink_metadata(path) else { return };
        if self == Self::myself() || (data.is_file() && data.nlink() > 1) {
            return;
        }
        std::os::unix::fs::lchown(path, Some(self.uid), Some(self.uid)).expect("a file can be given away");
        if data.is_dir() {
            for entry in std::fs::read_dir(path).expect("a folder can be read") {
                self.owns(&entry.expect("an entry can be read").path());
            }
        }
    }

    /// Whether this person can read a path, with every folder above it.
    #[must_use]
    pub fn reaches(self, path: &Path) -> bool {
        self.uid == 0
            || path.ancestors().all(|part| {
                let Ok(part) =
                    std::fs::metadata(if part.as_os_str().is_empty() { Path::new(".") } else { part })
                else {
                    return false;
                };
                let shift = match part.uid() == self.uid {
                    true => 6,
                    false if part.gid() == self.uid => 3,
                    false => 0,
                };
                let wanted = if part.is_dir() { 0o1 } else { 0o4 };
                (part.permissions().mode() >> shift) & wanted == wanted
            })
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.uid == 0 { to.write_str("root") } else { write!(to, "user {}", self.uid) }
    }
}
