//! Which folder may be a workspace.
//!
//! Owns: the canonical root, the refusals, and the id by which a workspace is known across runs. Does not own what a
//! policy says of the folder.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The folders that a workspace must keep clear of. All absolute; those that do not exist yet are fine.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The person's home.
    pub home: &'a Path,
    /// Where Provost keeps its state.
    pub state: &'a Path,
    /// Where Provost keeps its configuration.
    pub config: &'a Path,
}

/// Why a folder cannot be a workspace.
#[derive(Debug, thiserror::Error)]
pub enum NotAWorkspace {
    /// It cannot be reached.
    #[error("cannot work in `{}`", .path.display())]
    Unreachable {
        /// As it was given.
        path: PathBuf,
        /// Why not.
        #[source]
        because: io::Error,
    },
    /// It is no folder.
    #[error("`{}` is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// It is the whole machine.
    #[error("the whole file system cannot be a workspace")]
    Everything,
    /// It is the home, or the home lies in it.
    #[error("`{}` cannot be a workspace: the whole home lies in it", .0.display())]
    Home(PathBuf),
    /// Provost's own state or configuration lies in it, or it in them.
    #[error("`{}` cannot be a workspace: Provost keeps its own files in `{}`", .root.display(), .own.display())]
    Own {
        /// The folder.
        root: PathBuf,
        /// What of ours.
        own: PathBuf,
    },
}

impl NotAWorkspace {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } | Self::NotAFolder(_) => {
                "name the folder of your project: provost run --workspace DIR -- COMMAND"
            }
            Self::Everything | Self::Home(_) => {
                "an agent works in the folder of one project: go there, or name it with --workspace DIR"
            }
            Self::Own { .. } => {
                "work in another folder, or let XDG_STATE_HOME and XDG_CONFIG_HOME lead elsewhere"
            }
        }
    }
}

/// The canonical path of a folder that may be a workspace.
///
/// # Errors
/// It may not be one.
pub fn root(folder: &Path, around: &Surroundings<'_>) -> Result<PathBuf, NotAWorkspace> {
    let unreachable = |because| NotAWorkspace::Unreachable { path: folder.to_owned(), because };
    let root = std::fs::canonicalize(folder).map_err(unreachable)?;
    if !std::fs::metadata(&root).map_err(unreachable)?.is_dir() {
        return Err(NotAWorkspace::NotAFolder(root));
    }
    if root == Path::new("/") {
        return Err(NotAWorkspace::Everything);
    }
    if real(around.home).starts_with(&root) || around.home.starts_with(&root) {
        return Err(NotAWorkspace::Home(root));
    }
    for own in [around.state, around.config] {
        let own = real(own);
        if own.starts_with(&root) || root.starts_with(&own) {
            return Err(NotAWorkspace::Own { root, own });
        }
    }
    Ok(root)
}

/// Where a path leads to, also if its last parts do not exist yet.
fn real(path: &Path) -> PathBuf {
    for known in path.ancestors() {
        if let (Ok(real), Ok(rest)) = (std::fs::canonicalize(known), path.strip_prefix(known)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// The name by which a workspace is known across runs: the digest of its canonical path.
pub(crate) fn id(root: &Path) -> String {
    Sha256::digest(root.as_os_str().as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    struct Home {
        _dir: tempfile::TempDir,
        path: PathBuf,
    }

    fn home() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap().join("ann");
        fs::create_dir_all(home.join("work/app")).unwrap();
        Home { _dir: dir, path: home }
    }

    impl Home {
        fn judge(&self, folder: &Path) -> Result<PathBuf, NotAWorkspace> {
            let (state, config) = (self.path.join(".local/state/provost"), self.path.join(".config/provost"));
            root(folder, &Surroundings { home: &self.path, state: &state, config: &config })
        }
    }

    #[test]
    fn the_folder_of_a_project_is_a_workspace_by_whatever_name() {
        let home = home();
        let app = home.path.join("work/app");
        symlink(&app, home.path.join("shortcut")).unwrap();
        for name in ["work/app", "shortcut", "work/../work/./app"] {
            assert_eq!(home.judge(&home.path.join(name)).unwrap(), app);
        }
    }

    #[test]
    fn what_holds_too_much_is_refused_by_whatever_name() {
        let home = home();
        symlink(&home.path, home.path.join("work/me")).unwrap();
        assert!(matches!(home.judge(Path::new("/")), Err(NotAWorkspace::Everything)));
        for folder in [home.path.clone(), home.path.join("work/me"), home.path.parent().unwrap().to_owned()] {
            assert!(matches!(home.judge(&folder), Err(NotAWorkspace::Home(_))), "{folder:?}");
        }
    }

    #[test]
    fn our_own_files_are_never_in_a_workspace_nor_it_among_them() {
        let home = home();
        // Neither the state nor the configuration exists yet.
        fs::create_dir_all(home.path.join(".local/state")).unwrap();
        assert!(matches!(home.judge(&home.path.join(".local/state")), Err(NotAWorkspace::Own { .. })));
        fs::create_dir_all(home.path.join(".config/provost/x")).unwrap();
        assert!(matches!(home.judge(&home.path.join(".config/provost/x")), Err(NotAWorkspace::Own { .. })));
        // A sibling whose name begins alike is another folder.
        fs::create_dir_all(home.path.join(".config/provost-site")).unwrap();
        assert!(home.judge(&home.path.join(".config/provost-site")).is_ok());
    }

    #[test]
    fn a_file_and_nothing_are_refused() {
        let home = home();
        fs::write(home.path.join("file"), "").unwrap();
        assert!(matches!(home.judge(&home.path.join("file")), Err(NotAWorkspace::NotAFolder(_))));
        assert!(matches!(home.judge(&home.path.join("none")), Err(NotAWorkspace::Unreachable { .. })));
    }
}
