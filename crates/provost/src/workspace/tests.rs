//! Staging, with real folders and the real kernel.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

mod changes;
pub(crate) mod desk;
mod editing;
mod gate;
mod landing;
mod left;
mod live;
mod model;
mod overlay;
mod renaming;
mod reviewing;

use desk::Desk;

#[test]
fn a_staged_workspace_is_an_overlay_that_looks_like_the_folder() {
    let desk = Desk::new();
    fs::set_permissions(desk.root(), fs::Permissions::from_mode(0o751)).unwrap();
    let workspace = desk.stage();
    let Stage::Overlay { lower, upper, work } = workspace.staged() else { panic!("{workspace:?}") };
    assert_eq!(lower, &desk.root());
    assert_eq!(fs::metadata(upper).unwrap().mode() & 0o7777, 0o751);
    assert!(work.is_dir() && fs::read_dir(upper).unwrap().next().is_none());
    assert_eq!(fs::metadata(desk.run_dir().join("staged")).unwrap().mode() & 0o777, 0o700);
    assert!(workspace.base().unwrap().get(Path::new("src/main.rs")).is_some());
}

#[test]
fn what_was_staged_is_taken_up_by_a_later_process() {
    let desk = Desk::new();
    let first = desk.stage();
    let base = first.base().unwrap();
    let again = Workspace::reopen(&desk.run_dir()).unwrap();
    assert_eq!(again.root(), first.root());
    assert_eq!(again.staged(), first.staged());
    assert_eq!(*again.base().unwrap(), *base);
    let other = desk.path("state/runs/r2");
    assert!(matches!(Workspace::reopen(&other), Err(StageError::NothingStaged(_))));
}

#[test]
fn a_copy_is_whole_and_noted() {
    let desk = Desk::new();
    let root = desk.root();
    symlink("/etc/passwd", root.join("out")).unwrap();
    fs::create_dir(root.join("shut")).unwrap();
    fs::write(root.join("shut/in"), "x").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 34).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", (1 << 34) - 3).unwrap();
    fs::set_permissions(root.join("shut"), fs::Permissions::from_mode(0o555)).unwrap();
    let held = Root::open(&root).unwrap();
    let mut base = Base::take(&held, now()).unwrap();
    let staged = desk.path("staged");
    fs::create_dir(&staged).unwrap();
    let Stage::Copy { from } = stage::private_copy(&held, &mut base, &staged).unwrap() else { panic!() };
    let copy = Base::take(&Root::open(&from).unwrap(), now()).unwrap();
    for (one, other) in base.entries.iter().zip(&copy.entries) {
        assert_eq!(
            (&one.path, one.found.kind, one.found.mode),
            (&other.path, other.found.kind, other.found.mode)
        );
        assert_eq!((one.found.uid, &one.target), (other.found.uid, &other.target));
        assert_eq!(one.copied, Some(other.found.stamp));
        assert_eq!(one.found.stamp.mtime.0, other.found.stamp.mtime.0, "{:?}", one.path);
    }
    assert_eq!(base.entries.len(), copy.entries.len());
    let copied = fs::metadata(from.join("sparse")).unwrap();
    assert_eq!(copied.len(), 1 << 34);
    assert!(copied.blocks() < 1000, "holes were filled");
    fs::set_permissions(root.join("shut"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(from.join("shut"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_state_folder_is_no_workspace() {
    let desk = Desk::new();
    let (home, state, config) = (desk.path("home"), desk.path("state"), desk.path("config"));
    let around = Surroundings { home: &home, state: &state, config: &config };
    let refused = Workspace::stage(&desk.path(""), &desk.run_dir(), &around).unwrap_err();
    assert!(matches!(refused, StageError::Refused(NotAWorkspace::Home(_))), "{refused}");
    let refused = Workspace::stage(&desk.run_dir(), &desk.run_dir(), &around).unwrap_err();
    assert!(matches!(refused, StageError::Refused(NotAWorkspace::Own { .. })), "{refused}");
    assert!(!desk.run_dir().join("staged").exists());
}
