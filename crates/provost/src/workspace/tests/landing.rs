//! Landing on real folders: exactly what was left, nowhere else, and over nothing that the run did not see.

use super::super::*;
use super::desk::{Desk, Line, line, listing, write};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use ledger::Body;
use proptest::prelude::*;

fn land(workspace: &Workspace, line: &Line, pick: &Pick) -> Landing {
    let change = workspace.change().unwrap();
    workspace.land(&line.admission, &change, pick).unwrap()
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// What one edit does.
#[derive(Debug, Clone)]
enum Edit {
    Write(String, Vec<u8>),
    Remove(String),
    Mode(String, u32),
    Link(String, String),
    Folder(String),
    Rename(String, String),
}

fn name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ct", "d"]), 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "([ab]\n){0,12}[ab]?".prop_map(String::into_bytes),]
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => (name(), content()).prop_map(|(name, content)| Edit::Write(name, content)),
        2 => name().prop_map(Edit::Remove),
        1 => (name(), prop::sample::select(vec![0o600, 0o644, 0o755, 0o700])).prop_map(|(name, mode)| Edit::Mode(name, mode)),
        1 => (name(), name()).prop_map(|(name, target)| Edit::Link(name, target)),
        1 => name().prop_map(Edit::Folder),
        2 => (name(), name()).prop_map(|(from, to)| Edit::Rename(from, to)),
    ]
}

/// Does an edit, as far as it can be done.
fn apply(root: &Path, edit: &Edit) {
    // None of these may follow a link that an earlier edit made.
    let plain = |name: &str| {
        let mut path = root.to_owned();
        let parts: Vec<&str> = name.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => fs::remove_file(&path).and_then(|()| fs::create_dir(&path)).unwrap(),
                Err(_) => fs::create_dir(&path).unwrap(),
            }
        }
        path.push(parts[parts.len() - 1]);
        path
    };
    let remove = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    };
    match edit {
        Edit::Write(name, content) => {
            let path = plain(name);
            if !path.is_file() || path.is_symlink() {
                remove(&path);
            }
            fs::write(path, content).unwrap();
        }
        Edit::Remove(name) => remove(&plain(name)),
        Edit::Mode(name, mode) => {
            let path = plain(name);
            if path.symlink_metadata().is_ok_and(|found| !found.is_symlink()) {
                set_mode(&path, if path.is_dir() { mode | 0o700 } else { *mode });
            }
        }
        Edit::Link(name, target) => {
            let path = plain(name);
            remove(&path);
            symlink(target, path).unwrap();
        }
        Edit::Folder(name) => {
            let path = plain(name);
            remove(&path);
            fs::create_dir(path).unwrap();
        }
        Edit::Rename(from, to) => {
            let from = plain(from);
            if from.symlink_metadata().is_ok()
                && !to.starts_with(from.strip_prefix(root).unwrap().to_str().unwrap())
            {
                let to = plain(to);
                if !from.starts_with(&to) {
                    remove(&to);
                    let _ = fs::rename(from, to);
                }
            }
        }
    }
}

fn tree() -> impl Strategy<Value = Vec<Edit>> {
    prop::collection::vec(edit(), 0..14)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_lands_is_exactly_what_was_left(before in tree(), edits in tree()) {
        let line = line();
        let desk = Desk::new();
        before.iter().for_each(|edit| apply(&desk.root(), edit));
        let workspace = desk.stage();
        let seen = desk.edited(&workspace, |seen| edits.iter().for_each(|edit| apply(seen, edit)));
        let (was, wanted) = (listing(&desk.root()), listing(&seen));
        let change = workspace.settle(&line.admission).unwrap();
        prop_assert_eq!(change.is_empty(), was == wanted, "{:?}", change);
        prop_assert_eq!(&listing(&desk.root()), &was);
        let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
        let landing = land(&workspace, &line, &Pick::all().with_handoffs());
        prop_assert_eq!(&landing.refused, &vec![]);
        prop_assert_eq!(listing(&desk.root()), wanted);
        prop_assert_eq!(workspace.change().unwrap(), Change::default());
        prop_assert_eq!(Workspace::reopen(&desk.run_dir()).unwrap().change().unwrap(), Change::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_landed_and_was_undone_leaves_everything_as_it_was(before in tree(), edits in tree()) {
        let line = line();
        let desk = Desk::new();
        before.iter().for_each(|edit| apply(&desk.root(), edit));
        let workspace = desk.stage();
        let seen = desk.edited(&workspace, |seen| edits.iter().for_each(|edit| apply(seen, edit)));
        let (was, wanted) = (listing(&desk.root()), listing(&seen));
        let change = workspace.settle(&line.admission).unwrap();
        let landing = land(&workspace, &line, &Pick::all().with_handoffs());
        prop_assert_eq!(&landing.refused, &vec![]);
        prop_assume!(!landing.landed.is_empty());
        let undone = Workspace::reopen(&desk.run_dir()).unwrap().undo(&line.admission).unwrap();
        prop_assert_eq!(&undone.refused, &vec![]);
        prop_assert_eq!(listing(&desk.root()), was);
        let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
        prop_assert_eq!(workspace.change().unwrap(), change);
        prop_assert!(matches!(workspace.undo(&line.admission), Err(LandError::NothingLanded)));
        land(&workspace, &line, &Pick::all().with_handoffs());
        prop_assert_eq!(listing(&desk.root()), wanted);
    }
}

#[test]
fn a_folder_that_a_link_replaced_comes_back_with_all_that_was_in_it() {
    let (desk, line) = (Desk::new(), line());
    desk.write("old/deep/er/file", "1\n");
    desk.write("other/file", "2\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        fs::remove_dir_all(seen.join("old")).unwrap();
        symlink("other", seen.join("old")).unwrap();
    });
    let was = listing(&desk.root());
    workspace.settle(&line.admission).unwrap();
    assert_eq!(land(&workspace, &line, &Pick::all().with_handoffs()).refused, vec![]);
    assert!(desk.root().join("old").is_symlink());
    let undone = Workspace::reopen(&desk.run_dir()).unwrap().undo(&line.admission).unwrap();
    assert_eq!(undone.refused, vec![]);
    assert_eq!(listing(&desk.root()), was);
}

/// The project staged as a copy.
fn copied(desk: &Desk) -> Workspace {
    let held = Root::open(&desk.root()).unwrap();
    for folder in ["staged", "base"] {
        fs::create_dir(desk.run_dir().join(folder)).unwrap();
    }
    let mut base = Base::take(&held, now()).unwrap();
    let stage = stage::private_copy(&held, &mut base, &desk.run_dir().join("staged")).unwrap();
    base.save(&desk.run_dir().join("base")).unwrap();
    let past = Past::Taken(Arc::new(base));
    let why = Some("a test".to_owned());
    Workspace::staged_as(desk.root(), &desk.run_dir(), stage, why, past).unwrap()
}

#[test]
fn a_link_in_the_place_of_a_folder_lands_from_a_copy_too() {
    let (desk, line) = (Desk::new(), line());
    desk.write("old/deep/file", "1\n");
    let workspace = copied(&desk);
    let Stage::Copy { from } = workspace.staged() else { panic!() };
    fs::remove_dir_all(from.join("old")).unwrap();
    symlink("elsewhere", from.join("old")).unwrap();
    let (was, wanted) = (listing(&desk.root()), listing(from));
    workspace.settle(&line.admission).unwrap();
    assert_eq!(land(&workspace, &line, &Pick::all().with_handoffs()).refused, vec![]);
    assert_eq!(listing(&desk.root()), wanted);
    assert_eq!(workspace.change().unwrap(), Change::default());
    assert_eq!(workspace.undo(&line.admission).unwrap().refused, vec![]);
    assert_eq!(listing(&desk.root()), was);
}

#[test]
fn a_copy_lands_as_an_overlay_does() {
    let (desk, line) = (Desk::new(), line());
    desk.write("old/file", "1\n");
    desk.write("edit", "1\n");
    let workspace = copied(&desk);
    let Stage::Copy { from } = workspace.staged() else { panic!() };
    assert_eq!(workspace.change().unwrap(), Change::default());
    fs::remove_dir_all(from.join("old")).unwrap();
    write(from, "edit", "2\n");
    write(from, "new/er/file", "3\n");
    set_mode(from.join("new"), 0o700);
    let wanted = listing(from);
    assert_eq!(land(&workspace, &line, &Pick::all()).refused, vec![]);
    assert_eq!(listing(&desk.root()), wanted);
    assert_eq!(Workspace::reopen(&desk.run_dir()).unwrap().change().unwrap(), Change::default());
}

#[test]
fn only_what_is_picked_lands_and_the_rest_stays_staged() {
    let (desk, line) = (Desk::new(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        for name in ["src/a.rs", "src/deep/b.rs", "docs/c.md", "d.md"] {
            write(seen, name, "x\n");
        }
    });
    let landing = land(&workspace, &line, &Pick::only(&["src/**"]).unwrap());
    let landed: Vec<_> = landing.landed.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(landed, ["src/a.rs", "src/deep/b.rs"]);
    assert!(!desk.root().join("docs").exists());
    let landing = land(&workspace, &line, &Pick::only(&["./docs/", "e.md"]).unwrap());
    assert_eq!(landing.landed, [PathBuf::from("docs/c.md")]);
    assert_eq!(workspace.change().unwrap().files.len(), 1);
    assert!(Pick::only(&["a{"]).is_err());
}

#[test]
fn what_must_not_land_unseen_is_kept_back_and_recorded() {
    let (desk, line) = (Desk::new(), line());
    desk.write(".git/config", "[core]\n");
    let before = listing(&desk.root());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, ".git/hooks/pre-commit", "#!/bin/sh\n");
        write(seen, ".git/config", "[core]\n\thooksPath = x\n");
        write(seen, "Makefile", "all:\n");
        write(seen, "run.sh", "#!/bin/sh\n");
        set_mode(seen.join("run.sh"), 0o755);
        write(seen, "secret", "x\n");
        symlink("/etc/passwd", seen.join("link")).unwrap();
    });
    let landing = land(&workspace, &line, &Pick::all());
    assert_eq!(landing.landed, Vec::<PathBuf>::new());
    let because = |name: &str| {
        let kept = landing.refused.iter().find(|kept| kept.path == Path::new(name)).unwrap();
        kept.because.clone()
    };
    assert!(because(".git/config").contains("never land"));
    assert!(because(".git/hooks/pre-commit").contains("never land"));
    assert!(because("Makefile").contains("builds and tests run it"));
    assert!(because("run.sh").contains("becomes a program"));
    assert!(because("link").contains("link"));
    assert!(because("secret").contains("secrets"), "{}", because("secret"));
    assert_eq!(listing(&desk.root()), before);
    let refused = line.events().iter().filter(|event| matches!(event, Body::LandRefused(_))).count();
    assert_eq!(refused, 6);
    // Even a yes to every handoff lands nothing of git's own.
    land(&workspace, &line, &Pick::all().with_handoffs());
    assert_eq!(fs::read_to_string(desk.root().join(".git/config")).unwrap(), "[core]\n");
    assert!(!desk.root().join(".git/hooks").exists());
}

#[test]
fn what_lies_in_a_repository_by_any_name_waits_for_its_own_yes() {
    let (desk, line) = (Desk::new(), line());
    desk.write("fixtures/bare/HEAD", "ref: refs/heads/main\n");
    desk.write("fixtures/bare/config", "[core]\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "fixtures/bare/config", "[core]\n\tfsmonitor = x\n");
        write(seen, "fixtures/bare/hooks/post-checkout", "#!/bin/sh\n");
        write(seen, "fixtures/config", "plain\n");
    });
    let landing = land(&workspace, &line, &Pick::all());
    assert_eq!(landing.landed, [PathBuf::from("fixtures/config")]);
    assert!(landing.refused.iter().all(|kept| kept.because.contains("git obeys it")), "{landing:?}");
    assert_eq!(landing.refused.len(), 2);
}

#[test]
fn an_edit_made_meanwhile_is_never_overwritten() {
    let (desk, line) = (Desk::new(), line());
    for name in ["edited", "removed", "touched", "chmod", "deleted-by-run"] {
        desk.write(name, "1\n");
    }
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        for name in ["edited", "removed", "touched", "chmod", "made"] {
            write(seen, name, "of the run\n");
        }
        fs::remove_file(seen.join("deleted-by-run")).unwrap();
    });
    workspace.settle(&line.admission).unwrap();
    desk.write("edited", "mine\n");
    desk.write("made", "mine\n");
    desk.write("deleted-by-run", "mine\n");
    desk.write("touched", "2\n");
    desk.write("touched", "1\n");
    fs::remove_file(desk.root().join("removed")).unwrap();
    set_mode(desk.root().join("chmod"), 0o600);
    let landing = land(&workspace, &line, &Pick::all());
    assert_eq!(landing.landed, [PathBuf::from("chmod"), PathBuf::from("touched")], "{landing:?}");
    assert_eq!(fs::metadata(desk.root().join("chmod")).unwrap().mode() & 0o777, 0o600);
    for name in ["edited", "made", "deleted-by-run"] {
        assert_eq!(fs::read_to_string(desk.root().join(name)).unwrap(), "mine\n");
        let kept = landing.refused.iter().find(|kept| kept.path == Path::new(name)).unwrap();
        assert!(kept.because.contains(desk.root().join(name).to_str().unwrap()), "{}", kept.because);
        assert!(kept.because.contains("staged/upper"), "{}", kept.because);
    }
    assert!(!desk.root().join("removed").exists());
}

#[test]
fn what_a_person_did_by_hand_meanwhile_is_landed_already() {
    let (desk, line) = (Desk::new(), line());
    for name in ["edit", "gone", "other"] {
        desk.write(name, "1\n");
    }
    let workspace = desk.stage();
    let seen = desk.edited(&workspace, |seen| {
        write(seen, "edit", "2\n");
        write(seen, "made", "2\n");
        write(seen, "other", "2\n");
        fs::remove_file(seen.join("gone")).unwrap();
    });
    workspace.settle(&line.admission).unwrap();
    for name in ["edit", "made"] {
        desk.write(name, "2\n");
    }
    fs::remove_file(desk.root().join("gone")).unwrap();
    let landing = land(&workspace, &line, &Pick::all());
    assert_eq!((landing.landed.len(), landing.refused), (4, vec![]));
    assert_eq!(listing(&desk.root()), listing(&seen));
    assert!(workspace.change().unwrap().is_empty());
}

#[test]
fn nothing_lands_through_a_link_that_was_put_on_the_way() {
    let (desk, line) = (Desk::new(), line());
    let outside = desk.path("outside");
    fs::create_dir_all(&outside).unwrap();
    write(&outside, "file", "theirs\n");
    desk.write("dir/file", "1\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "dir/file", "2\n");
        write(seen, "dir/new", "2\n");
        write(seen, "dir/deep/er", "2\n");
    });
    workspace.settle(&line.admission).unwrap();
    fs::rename(desk.root().join("dir"), desk.root().join("moved")).unwrap();
    symlink(&outside, desk.root().join("dir")).unwrap();
    let landing = land(&workspace, &line, &Pick::all());
    assert_eq!(landing.landed, Vec::<PathBuf>::new());
    assert_eq!(landing.refused.len(), 3);
    assert_eq!(listing(&outside).len(), 1);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "theirs\n");
}

#[test]
fn a_link_swapped_in_while_landing_leads_nothing_outside() {
    let (desk, line) = (Desk::new(), line());
    let outside = desk.path("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    write(&outside, "deep/file", "theirs\n");
    desk.write("dir/deep/file", "1\n");
    symlink(&outside, desk.path("home/link")).unwrap();
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "dir/deep/file", "2\n");
        (0..8).for_each(|number| write(seen, format!("dir/deep/new{number}"), "2\n"));
        (0..8).for_each(|number| write(seen, format!("dir/made{number}/new"), "2\n"));
    });
    let before = listing(&outside);
    let (done, dir, link) = (AtomicBool::new(false), desk.root().join("dir"), desk.path("home/link"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                // In one step the folder is a link to the outside, in the next a folder again.
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &link, flags).unwrap();
            }
        });
        let mut tries = 0;
        while tries < 40 {
            let _ = workspace.change().map(|change| workspace.land(&line.admission, &change, &Pick::all()));
            tries += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(listing(&outside), before);
}

#[test]
fn owner_mode_and_the_other_name_of_a_hard_link_stay() {
    let (desk, line) = (Desk::new(), line());
    desk.write("file", "1\n");
    set_mode(desk.root().join("file"), 0o640);
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(desk.root().join("file"), Some(1234), Some(1235)).unwrap();
        std::os::unix::fs::chown(desk.root(), Some(1234), Some(1235)).unwrap();
    }
    fs::hard_link(desk.root().join("file"), desk.path("other")).unwrap();
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "file", "2\n");
        write(seen, "new", "2\n");
    });
    assert_eq!(land(&workspace, &line, &Pick::all()).refused, vec![]);
    assert_eq!(fs::read_to_string(desk.path("other")).unwrap(), "1\n");
    let (file, new) =
        (fs::metadata(desk.root().join("file")).unwrap(), fs::metadata(desk.root().join("new")).unwrap());
    assert_eq!(file.mode() & 0o7777, 0o640);
    let folder = fs::metadata(desk.root()).unwrap();
    assert_eq!((new.uid(), new.gid()), (folder.uid(), folder.gid()));
    assert_eq!((file.uid(), file.gid()), (folder.uid(), folder.gid()));
}

#[test]
fn what_a_file_carries_beside_its_content_stays_and_what_a_run_adds_to_it_does_not_land() {
    use rustix::fs::XattrFlags;
    let (desk, line) = (Desk::new(), line());
    desk.write("file", "1\n");
    let (here, none) = (desk.root().join("file"), XattrFlags::empty());
    rustix::fs::setxattr(&here, c"user.note", b"mine", none).unwrap();
    // Version 2; the owner, a user of its own, the group, the mask and all others: each a tag, rights and an id.
    let entries =
        [(1u16, 6u16, u32::MAX), (2, 4, 4321), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        list.extend([&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat());
    }
    let has_lists = rustix::fs::setxattr(&here, c"system.posix_acl_access", &list, none).is_ok();
    let read = |name: &std::ffi::CStr| {
        let mut value = [0u8; 256];
        rustix::fs::getxattr(&here, name, &mut value).ok().map(|length| value[..length].to_vec())
    };
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "file", "2\n");
        write(seen, "new", "2\n");
    });
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    for name in ["file", "new"] {
        rustix::fs::setxattr(upper.join(name), c"user.theirs", b"x", none).unwrap();
    }
    assert_eq!(land(&workspace, &line, &Pick::all()).refused, vec![]);
    let stands = |content: &str| {
        assert_eq!(fs::read_to_string(&here).unwrap(), content);
        assert_eq!((read(c"user.note").as_deref(), read(c"user.theirs")), (Some(&b"mine"[..]), None));
        assert_eq!(read(c"system.posix_acl_access"), has_lists.then(|| list.clone()));
    };
    stands("2\n");
    let mut value = [0u8; 8];
    assert!(rustix::fs::getxattr(desk.root().join("new"), c"user.theirs", &mut value).is_err());
    workspace.undo(&line.admission).unwrap();
    stands("1\n");
}

#[test]
fn each_landing_is_decided_before_it_happens_and_told_after() {
    let (desk, line) = (Desk::new(), line());
    desk.write("file", "1\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| write(seen, "file", "2\n"));
    land(&workspace, &line, &Pick::all());
    let events = line.events();
    let at = |wanted: fn(&Body) -> bool| events.iter().position(wanted).unwrap();
    let (decided, done) =
        (at(|event| matches!(event, Body::Decision(_))), at(|event| matches!(event, Body::Outcome(_))));
    let landed = at(|event| matches!(event, Body::Landed(_)));
    assert!(decided < done && done < landed);
    let Body::Landed(landed) = &events[landed] else { panic!() };
    let digest = |text: &str| sides::hex(&<sha2::Sha256 as sha2::Digest>::digest(text));
    assert_eq!((landed.pre.clone(), landed.post.clone()), (Some(digest("1\n")), Some(digest("2\n"))));
    assert_eq!(fs::read_dir(desk.root()).unwrap().count(), 2, "nothing of the landing is left beside");
}
