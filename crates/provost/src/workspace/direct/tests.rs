//! Direct mode, with real folders: whatever is done to a workspace, an undo leaves it as it was.

use super::*;
use crate::workspace::Pick;
use crate::workspace::beneath::Kind;
use crate::workspace::land::{LandError, Landing};
use crate::workspace::tests::desk::{Desk, line, write};
use ledger::Body;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

impl Desk {
    fn direct(&self) -> Workspace {
        self.try_direct().unwrap().0
    }

    fn try_direct(&self) -> Result<(Workspace, PreimagesKept), StageError> {
        let (home, state, config) = (self.path("home"), self.path("state"), self.path("config"));
        let around = Surroundings { home: &home, state: &state, config: &config };
        Workspace::direct(&self.root(), &self.run_dir(), &around)
    }
}

/// Everything of a folder that an undo gives back.
type Picture = BTreeMap<PathBuf, (Kind, u32, (u32, u32), (i64, u32), Option<PathBuf>, Vec<u8>, PathBuf, u64)>;

fn picture(root: &Path) -> Picture {
    let base = Base::take(&Root::open(root).unwrap(), (0, 0)).unwrap();
    let mut names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut picture = Picture::new();
    for entry in base.entries {
        let found = entry.found;
        let first = names.entry(found.stamp.ino).or_insert_with(|| entry.path.clone()).clone();
        let content = match found.kind {
            Kind::File => fs::read(root.join(&entry.path)).unwrap(),
            _ => Vec::new(),
        };
        let links = match found.is_folder() {
            true => 1,
            false => fs::symlink_metadata(root.join(&entry.path)).unwrap().nlink(),
        };
        let owner = (found.uid, found.gid);
        let all = (found.kind, found.mode, owner, found.stamp.mtime, entry.target, content, first, links);
        picture.insert(entry.path, all);
    }
    picture
}

fn assert_same(one: &Picture, other: &Picture) {
    for path in one.keys().chain(other.keys()) {
        assert_eq!(one.get(path), other.get(path), "{path:?}");
    }
}

fn undo(workspace: &Workspace) -> Landing {
    let line = line();
    workspace.undo_last(&line.admission).unwrap()
}

/// Something that a program does to a tree; it may fail.
#[derive(Debug, Clone)]
enum Deed {
    Write(usize, Vec<u8>),
    Append(usize, u8),
    Remove(usize),
    Folder(usize),
    Link(usize, usize),
    Name(usize, usize),
    Move(usize, usize),
    Mode(usize, u32),
    Touch(usize),
    Pipe(usize),
}

/// Names of all kinds, few enough to meet one another.
fn name(index: usize) -> PathBuf {
    let names: [&[u8]; 16] = [
        b"a",
        b"b",
        b"c",
        b"d",
        b"d/a",
        b"d/b",
        b"d/e",
        b"d/e/f",
        b"d/e/f/g",
        b"odd\nname",
        b"\xff\xfe",
        b"target",
        b"target/x",
        b"target/y/z",
        b"Makefile",
        b"sp ace/ \"q\"",
    ];
    PathBuf::from(OsStr::from_bytes(names[index % names.len()]))
}

fn perform(root: &Path, deed: &Deed) {
    let at = |index: &usize| root.join(name(*index));
    let above = |path: &Path| drop(fs::create_dir_all(path.parent().unwrap()));
    // Whoever opens a pipe waits for its other end.
    let is_pipe = |path: &usize| {
        use std::os::unix::fs::FileTypeExt as _;
        fs::metadata(at(path)).is_ok_and(|found| found.file_type().is_fifo())
    };
    let _ = match deed {
        Deed::Write(path, _) | Deed::Append(path, _) | Deed::Touch(path) if is_pipe(path) => Ok(()),
        Deed::Write(path, content) => {
            above(&at(path));
            fs::write(at(path), content)
        }
        Deed::Append(path, byte) => fs::OpenOptions::new()
            .append(true)
            .open(at(path))
            .and_then(|mut file| io::Write::write_all(&mut file, &[*byte])),
        Deed::Remove(path) => fs::remove_file(at(path)).or_else(|_| fs::remove_dir_all(at(path))),
        Deed::Folder(path) => fs::create_dir_all(at(path)),
        Deed::Link(path, target) => symlink(name(*target), at(path)),
        Deed::Name(path, other) => fs::hard_link(at(path), at(other)),
        Deed::Move(from, to) => fs::rename(at(from), at(to)),
        Deed::Mode(path, mode) => match fs::symlink_metadata(at(path)) {
            Ok(found) if !found.is_symlink() => {
                fs::set_permissions(at(path), fs::Permissions::from_mode(*mode))
            }
            _ => Ok(()),
        },
        Deed::Touch(path) => fs::File::open(at(path))
            .and_then(|file| file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(7))),
        Deed::Pipe(path) => {
            let kind = rustix::fs::FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, at(path), kind, rustix::fs::Mode::RWXU, 0)
                .map_err(Into::into)
        }
    };
}

fn deed() -> impl Strategy<Value = Deed> {
    let content = prop_oneof![Just(b"one\n".to_vec()), Just(b"two\n".to_vec()), Just(vec![0; 70_000])];
    let mode = prop_oneof![Just(0o644u32), Just(0o755), Just(0o600), Just(0o700), Just(0o500), Just(0o4755)];
    let place = 0..16usize;
    prop_oneof![
        4 => (place.clone(), content).prop_map(|(path, content)| Deed::Write(path, content)),
        1 => (place.clone(), any::<u8>()).prop_map(|(path, byte)| Deed::Append(path, byte)),
        3 => place.clone().prop_map(Deed::Remove),
        2 => place.clone().prop_map(Deed::Folder),
        2 => (place.clone(), place.clone()).prop_map(|(path, target)| Deed::Link(path, target)),
        2 => (place.clone(), place.clone()).prop_map(|(path, other)| Deed::Name(path, other)),
        2 => (place.clone(), place.clone()).prop_map(|(from, to)| Deed::Move(from, to)),
        2 => (place.clone(), mode).prop_map(|(path, mode)| Deed::Mode(path, mode)),
        1 => place.clone().prop_map(Deed::Touch),
        1 => place.prop_map(Deed::Pipe),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 300, ..ProptestConfig::default() })]
    #[test]
    fn whatever_a_run_did_directly_an_undo_leaves_everything_as_it_was(
        first in prop::collection::vec(deed(), 0..25),
        then in prop::collection::vec(deed(), 1..25),
        ignores in any::<bool>(),
        ends in any::<bool>(),
    ) {
        let desk = Desk::in_memory();
        if ignores {
            desk.write(".gitignore", "target/\n");
        }
        first.iter().for_each(|deed| perform(&desk.root(), deed));
        let before = picture(&desk.root());
        let workspace = desk.direct();
        assert_same(&picture(&desk.root()), &before);
        then.iter().for_each(|deed| perform(&desk.root(), deed));
        if ends {
            workspace.settle(&line().admission).unwrap();
        }
        // In another process, as it is told.
        let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
        let landing = undo(&workspace);
        prop_assert_eq!(landing.refused, vec![]);
        assert_same(&picture(&desk.root()), &before);
        prop_assert!(!workspace.has_preimages() && !desk.run_dir().join("before").exists());
        prop_assert!(matches!(workspace.undo_last(&line().admission), Err(LandError::NothingLanded)));
    }
}

#[test]
fn names_of_one_file_are_names_of_one_file_again() {
    let (one, two) =
        (|path| Deed::Write(path, b"one\n".to_vec()), |path| Deed::Write(path, b"two\n".to_vec()));
    let scenes = [
        // Its first name goes away with a folder, and nothing of the file itself is touched.
        (vec![Deed::Folder(3), one(9), Deed::Name(9, 4)], vec![Deed::Move(3, 0)]),
        (vec![Deed::Folder(3), Deed::Link(9, 0), Deed::Name(9, 4)], vec![Deed::Move(3, 0)]),
        // One becomes a name of another file that holds the same and was written in the same moment.
        (vec![two(9), two(5)], vec![Deed::Name(9, 14), Deed::Remove(5), Deed::Name(14, 5)]),
        (vec![one(0), one(8), Deed::Name(8, 1)], vec![Deed::Move(8, 0)]),
    ];
    for (first, then) in &scenes {
        let desk = Desk::in_memory();
        first.iter().for_each(|deed| perform(&desk.root(), deed));
        for index in 0..16 {
            if let Ok(file) = fs::File::open(desk.root().join(name(index))) {
                let _ = file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(9));
            }
        }
        let before = picture(&desk.root());
        let workspace = desk.direct();
        then.iter().for_each(|deed| perform(&desk.root(), deed));
        assert_eq!(undo(&workspace).refused, vec![], "{then:?}");
        assert_same(&picture(&desk.root()), &before);
    }
}

#[test]
fn what_is_taken_back_waits_and_can_be_applied() {
    let desk = Desk::in_memory();
    for name in ["src/a.rs", "src/b.rs", "docs/only.md"] {
        desk.write(name, format!("{name}\n"));
    }
    let workspace = desk.direct();
    let root = desk.root();
    desk.write("src/a.rs", "changed\n");
    fs::remove_file(root.join("docs/only.md")).unwrap();
    fs::remove_dir(root.join("docs")).unwrap();
    desk.write("new/deep/file", "new\n");
    fs::create_dir(root.join("empty")).unwrap();
    let ran = picture(&root);
    let line = line();
    let change = workspace.settle(&line.admission).unwrap();
    assert_eq!(change.files.len(), 4, "{change:?}");
    assert!(workspace.change().unwrap().is_empty(), "nothing waits: it is there");
    let landing = workspace.undo_last(&line.admission).unwrap();
    assert!(landing.refused.is_empty() && !root.join("new").exists() && root.join("docs/only.md").exists());
    let waits = workspace.change().unwrap();
    let names: Vec<&str> = waits.files.iter().map(|file| file.path.to_str().unwrap()).collect();
    assert_eq!(names, ["docs/only.md", "empty", "new/deep/file", "src/a.rs"]);
    let landed = workspace.land(&line.admission, &waits, &Pick::all()).unwrap();
    assert_eq!(landed.refused, vec![]);
    let bare = |picture: Picture| -> Vec<_> {
        picture.into_iter().map(|(path, all)| (path, all.0, all.5)).collect()
    };
    assert_eq!(bare(picture(&root)), bare(ran));
    // And that landing is taken back like any.
    workspace.undo_last(&line.admission).unwrap();
    assert!(!root.join("new").exists() && root.join("docs/only.md").exists());
}

#[test]
fn what_a_person_changed_since_is_named_and_stays() {
    let desk = Desk::in_memory();
    for name in ["mine", "both", "gone", "agents"] {
        desk.write(name, "before\n");
    }
    let workspace = desk.direct();
    for name in ["both", "gone", "agents", "made/by/agent", "made/file"] {
        desk.write(name, "agent\n");
    }
    workspace.settle(&line().admission).unwrap();
    desk.write("mine", "person\n");
    desk.write("both", "person\n");
    fs::remove_file(desk.root().join("gone")).unwrap();
    desk.write("made/by/person", "person\n");
    let landing = undo(&workspace);
    let kept: Vec<&Path> = landing.refused.iter().map(|kept| kept.path.as_path()).collect();
    let all = ["both", "gone", "made", "made/by", "made/by/person", "mine"].map(Path::new);
    assert_eq!(kept, all, "{landing:?}");
    let text = |name: &str| fs::read_to_string(desk.root().join(name)).unwrap();
    assert_eq!([text("mine"), text("both"), text("made/by/person")], ["person\n"; 3]);
    assert_eq!(text("agents"), "before\n");
    assert!(!desk.root().join("gone").exists() && !desk.root().join("made/by/agent").exists());
    assert!(workspace.has_preimages(), "what could not be put back may be later");
    desk.write("both", "before\n");
    desk.write("gone", "before\n");
    desk.write("mine", "before\n");
    fs::remove_dir_all(desk.root().join("made")).unwrap();
    assert_eq!(undo(&workspace).refused.len(), 0);
    assert!(!workspace.has_preimages());
}

#[test]
fn a_name_that_slipped_past_the_rules_and_a_link_that_leads_out_are_taken_back() {
    let desk = Desk::in_memory();
    desk.write(".gitignore", "target/\n");
    let workspace = desk.direct();
    let root = desk.root();
    write(&root, ".vscode./tasks.json", "{}");
    write(&root, "target/.g\u{200c}it/config", "[core]\n");
    symlink("../../elsewhere", root.join("out")).unwrap();
    symlink("src/main.rs", root.join("within")).unwrap();
    symlink("/usr/bin/python3", root.join("target/python")).unwrap();
    desk.write("src/main.rs", "fn main() { }\n");
    let line = line();
    workspace.settle(&line.admission).unwrap();
    assert!(!root.join(".vscode.").exists() && fs::symlink_metadata(root.join("out")).is_err());
    assert!(!root.join("target/.g\u{200c}it").exists());
    assert!(fs::symlink_metadata(root.join("within")).is_ok());
    assert!(fs::symlink_metadata(root.join("target/python")).is_ok(), "build output leads where it wants");
    let events = line.events();
    let direct = events.iter().find_map(|body| match body {
        Body::ChangeDirect(direct) => {
            Some(direct.files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(direct.unwrap(), ["src/main.rs", "within"]);
    let staged = events.iter().find_map(|body| match body {
        Body::ChangeStaged(staged) => {
            Some(staged.files.iter().map(|file| file.path.to_string()).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(staged.unwrap(), [".vscode./tasks.json", "out", "target/.g\u{200c}it"]);
    let landing = undo(&workspace);
    assert_eq!(landing.refused, vec![]);
    assert!(!root.join("within").exists() && !root.join("target").exists());
}

/// To bind a socket is no write: no rule sees it.
#[test]
fn a_socket_by_a_name_that_is_held_is_taken_back() {
    let desk = Desk::in_memory();
    desk.write("sub/code", "before\n");
    let before = picture(&desk.root());
    for ends in [true, false] {
        let workspace = desk.direct();
        for name in [".envrc", "sub/.git"] {
            drop(std::os::unix::net::UnixListener::bind(desk.root().join(name)).unwrap());
        }
        if ends {
            workspace.settle(&line().admission).unwrap();
            assert!(!desk.root().join(".envrc").exists() && !desk.root().join("sub/.git").exists());
        }
        undo(&workspace);
        assert_same(&picture(&desk.root()), &before);
        fs::remove_dir_all(desk.run_dir()).unwrap();
        fs::create_dir(desk.run_dir()).unwrap();
    }
}

#[test]
fn what_a_person_did_to_held_files_meanwhile_is_theirs() {
    let desk = Desk::in_memory();
    desk.write(".git/config", "[core]\n");
    desk.write("sub/.envrc", "before\n");
    desk.write("sub/code", "before\n");
    desk.write("other/.env", "before\n");
    let before = picture(&desk.root());
    let workspace = desk.direct();
    desk.write(".git/config", "[user]\n");
    desk.write(".git/objects/ab/cd", "blob");
    desk.write("sub/.envrc", "person\n");
    desk.write(".vscode/settings.json", "person\n");
    desk.write("sub/code", "agent\n");
    // A folder that is moved carries what no write reaches: that is the run's.
    fs::rename(desk.root().join("other"), desk.root().join("moved")).unwrap();
    workspace.settle(&line().admission).unwrap();
    assert_eq!(undo(&workspace).refused, vec![]);
    let text = |name: &str| fs::read_to_string(desk.root().join(name)).unwrap();
    assert_eq!(text("sub/.envrc"), "person\n");
    assert_eq!(text(".vscode/settings.json"), "person\n");
    assert_eq!(text(".git/config"), "[user]\n");
    assert_eq!(text("sub/code"), "before\n");
    let path = Path::new("other/.env");
    assert_eq!(picture(&desk.root()).get(path), before.get(path));
    assert!(!desk.root().join("moved").exists());
}

#[test]
fn what_cannot_be_put_back_exactly_is_refused_and_named() {
    let desk = Desk::in_memory();
    fs::write(desk.path("outside"), "x").unwrap();
    fs::hard_link(desk.path("outside"), desk.root().join("inside")).unwrap();
    let refused = desk.try_direct().unwrap_err();
    assert!(refused.to_string().contains("`inside` has another name"), "{refused}");
    assert!(refused.hint().unwrap().contains("without --mode direct"));

    let desk = Desk::in_memory();
    desk.write(".envrc", "x");
    fs::hard_link(desk.root().join(".envrc"), desk.root().join("plain")).unwrap();
    assert!(desk.try_direct().is_err(), "a write to the one would reach the other");

    let desk = Desk::in_memory();
    desk.write("one", "x");
    fs::hard_link(desk.root().join("one"), desk.root().join("two")).unwrap();
    assert!(desk.try_direct().is_ok(), "all its names are in the folder");
}

#[test]
fn an_undo_that_was_cut_short_is_finished_and_loses_nothing() {
    let desk = Desk::in_memory();
    desk.write("a", "before a\n");
    desk.write("d/b", "before b\n");
    fs::create_dir(desk.root().join("gone")).unwrap();
    let before = picture(&desk.root());
    let workspace = desk.direct();
    fs::remove_dir(desk.root().join("gone")).unwrap();
    desk.write("a", "agent a\n");
    desk.write("d/b", "agent b\n");
    desk.write("d/new", "agent\n");
    workspace.settle(&line().admission).unwrap();
    // As a crash may leave it: names announced, one made ready in part, one swapped out, and a version of the person's that
    // was caught in between.
    let journal = serde_json::json!([
        { "path": "a", "name": ".provost-undo-x-0" },
        { "path": "d/b", "name": ".provost-undo-x-1" },
        { "path": "d/new", "name": ".provost-undo-x-2" },
        { "path": "gone", "name": ".provost-undo-x-3" },
    ]);
    fs::write(desk.run_dir().join("before/undoing"), journal.to_string()).unwrap();
    desk.write(".provost-undo-x-0", "before");
    desk.write("d/.provost-undo-x-1", "person\n");
    write(&desk.run_dir().join("staged/copy"), "d/new", "agent\n");
    fs::rename(desk.root().join("d/new"), desk.root().join("d/.provost-undo-x-2")).unwrap();
    fs::create_dir(desk.root().join("gone")).unwrap();
    fs::set_permissions(desk.root().join("gone"), fs::Permissions::from_mode(0o700)).unwrap();
    let landing = undo(&workspace);
    let kept: Vec<&Path> = landing.refused.iter().map(|kept| kept.path.as_path()).collect();
    let mine = Path::new("d/b.yours.provost-undo-x-1");
    assert!(kept.contains(&mine), "{landing:?}");
    assert_eq!(fs::read_to_string(desk.root().join(mine)).unwrap(), "person\n");
    fs::remove_file(desk.root().join(mine)).unwrap();
    undo(&workspace);
    let after = picture(&desk.root());
    for path in ["a", "d/b", "gone"] {
        assert_eq!(after.get(Path::new(path)), before.get(Path::new(path)));
    }
    assert!(!after.keys().any(|path| path.to_string_lossy().contains("provost-undo")), "{after:?}");
    assert!(!desk.root().join("d/new").exists());
}

#[test]
fn what_is_discarded_stays_in_the_folder_for_good() {
    let desk = Desk::in_memory();
    let workspace = desk.direct();
    desk.write("src/main.rs", "agent\n");
    let line = line();
    workspace.settle(&line.admission).unwrap();
    workspace.discard(&line.admission).unwrap();
    assert_eq!(fs::read_to_string(desk.root().join("src/main.rs")).unwrap(), "agent\n");
    assert!(!desk.run_dir().join("before").exists());
    assert!(matches!(Workspace::reopen(&desk.run_dir()), Err(StageError::NothingStaged(_))));
}

#[test]
fn no_tree_that_a_run_made_outwits_an_undo() {
    let desk = Desk::in_memory();
    desk.write("keep/me", "before\n");
    let before = picture(&desk.root());
    let workspace = desk.direct();
    let root = desk.root();
    fs::remove_dir_all(root.join("keep")).unwrap();
    fs::create_dir(desk.path("victim")).unwrap();
    fs::write(desk.path("victim/me"), "outside\n").unwrap();
    symlink(desk.path("victim"), root.join("keep")).unwrap();
    write(&root, "shut/in/deep", "x");
    for folder in ["shut/in", "shut"] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let landing = undo(&workspace);
    assert_eq!(landing.refused, vec![]);
    assert_same(&picture(&root), &before);
    assert_eq!(fs::read_to_string(desk.path("victim/me")).unwrap(), "outside\n");
}
