//! What a run left, told apart from what was there.

use super::super::*;
use super::desk::{Desk, hide, line, write};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// One line a file.
fn told(change: &Change) -> Vec<String> {
    let line = |file: &FileChange| {
        let (added, removed) = file.lines();
        let why = file.why().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{:?} {:?} +{added} -{removed}{why}", file.kind, file.path)
    };
    change.files.iter().map(line).collect()
}

fn left(desk: &Desk, edit: impl FnOnce(&Path)) -> Vec<String> {
    let workspace = desk.stage();
    desk.edited(&workspace, edit);
    told(&workspace.change().unwrap())
}

#[test]
fn every_kind_of_edit_is_told_for_what_it_is() {
    let desk = Desk::new();
    for name in ["a.txt", "b", "c", "gone", "same.t", "run.sh", "old/x", "old/y", "was-folder/z", "was-file"]
    {
        desk.write(name, "one\ntwo\nthree\n");
    }
    fs::create_dir_all(desk.root().join("bare")).unwrap();
    symlink("a.txt", desk.root().join("link")).unwrap();
    let told = left(&desk, |seen| {
        write(seen, "a.txt", "one\n2\nthree\nfour\n");
        write(seen, "b", [0u8, 159, 146, 150]);
        fs::set_permissions(seen.join("c"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(seen.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(seen.join("gone")).unwrap();
        fs::remove_dir_all(seen.join("old")).unwrap();
        fs::remove_dir(seen.join("bare")).unwrap();
        fs::remove_dir_all(seen.join("was-folder")).unwrap();
        write(seen, "was-folder", "file\n");
        fs::remove_file(seen.join("was-file")).unwrap();
        write(seen, "was-file/new", "new");
        fs::remove_file(seen.join("link")).unwrap();
        symlink("/etc/passwd", seen.join("link")).unwrap();
        fs::create_dir_all(seen.join("empty/er")).unwrap();
        write(seen, "new/file", "x\n");
    });
    let expected = [
        r#"Modified "a.txt" +2 -1"#,
        r#"Modified "b" +0 -0"#,
        r#"Deleted "bare" +0 -0"#,
        r#"Mode "c" +0 -0"#,
        r#"Added "empty/er" +0 -0"#,
        r#"Deleted "gone" +0 -3"#,
        r#"Link "link" +0 -0 (it is a link, and leads elsewhere)"#,
        r#"Added "new/file" +1 -0"#,
        r#"Deleted "old/x" +0 -3"#,
        r#"Deleted "old/y" +0 -3"#,
        r#"Mode "run.sh" +0 -0 (it becomes a program, or open to others)"#,
        r#"Deleted "was-file" +0 -3"#,
        r#"Added "was-file/new" +1 -0"#,
        r#"Added "was-folder" +1 -0"#,
        r#"Deleted "was-folder/z" +0 -3"#,
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_folder_made_anew_hides_what_was_in_it() {
    let desk = Desk::new();
    desk.write("lib/a", "a\n");
    desk.write("lib/deep/b", "b\n");
    let workspace = desk.stage();
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    write(upper, "lib/a", "a\n");
    hide(&upper.join("lib"));
    assert_eq!(told(&workspace.change().unwrap()), [r#"Deleted "lib/deep/b" +0 -1"#]);
}

#[test]
fn names_of_any_bytes_are_told() {
    let desk = Desk::new();
    let odd = OsStr::from_bytes(b"new\nline\xff\x1b[31m");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| write(seen, odd, "x\n"));
    let change = workspace.change().unwrap();
    assert_eq!(change.files[0].path, Path::new(odd));
    assert_eq!(change.event(&Left::default()).files[0].path.to_path(), Path::new(odd));
}

#[test]
fn what_git_ignores_is_listed_apart_unless_git_tracks_it() {
    let desk = Desk::new();
    fs::create_dir(desk.root().join(".git")).unwrap();
    desk.write(".gitignore", "/target/\n*.log\n!keep.log\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "target/debug/app", "elf");
        write(seen, "src/a.log", "x");
        write(seen, "src/keep.log", "x");
        write(seen, "deep/.gitignore", "*\n");
        write(seen, "deep/in", "x");
    });
    let change = workspace.change().unwrap();
    assert_eq!(told(&change), [r#"Added "src/keep.log" +1 -0"#]);
    let ignored: Vec<_> = change.ignored.iter().map(|path| path.to_str().unwrap()).collect();
    assert_eq!(ignored, ["deep/.gitignore", "deep/in", "src/a.log", "target"]);
}

#[test]
fn a_linked_worktree_ignores_what_its_repository_ignores() {
    let desk = Desk::new();
    let git = desk.path("home/main/.git");
    for (name, text) in [
        ("HEAD", "ref: refs/heads/main\n".to_owned()),
        ("info/exclude", "*.tmp\n".to_owned()),
        ("objects/x", String::new()),
        ("refs/x", String::new()),
        ("worktrees/app/commondir", "../..\n".to_owned()),
        ("worktrees/app/gitdir", format!("{}\n", desk.root().join(".git").display())),
    ] {
        write(&git, name, text);
    }
    desk.write(".git", format!("gitdir: {}\n", git.join("worktrees/app").display()));
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "a.tmp", "x");
        write(seen, "a", "x");
    });
    let change = workspace.change().unwrap();
    assert_eq!((told(&change).len(), change.ignored), (1, vec![PathBuf::from("a.tmp")]));
}

#[test]
fn without_a_repository_what_was_there_is_not_ignored() {
    let desk = Desk::new();
    desk.write(".gitignore", "*.log\n");
    desk.write("old.log", "1\n");
    let told = left(&desk, |seen| {
        write(seen, "old.log", "2\n");
        write(seen, "new.log", "2\n");
    });
    assert_eq!(told, [r#"Modified "old.log" +1 -1"#]);
}

#[test]
fn what_is_gits_own_never_lands_and_only_what_git_obeys_is_shown() {
    let desk = Desk::new();
    desk.write(".git/config", "[core]\n");
    desk.write(".git/HEAD", "ref: refs/heads/main\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, ".git/config", "[core]\n\tfsmonitor = ./x\n");
        write(seen, ".git/hooks/pre-commit", "#!/bin/sh\n");
        write(seen, ".git/objects/ab/cdef", "x");
        write(seen, ".git/index", "x");
        write(seen, ".git/HEAD", "ref: refs/heads/other\n");
        write(seen, "sub/.git/config", "x");
        write(seen, "sub/.git/objects/x", "x");
        for name in ["HEAD", "index", "logs/HEAD", "objects/ab/cdef", "config", "hooks/x"] {
            write(seen, format!(".git/modules/lib/deep/{name}"), "x");
            write(seen, format!(".git/worktrees/w/{name}"), "x");
        }
        write(seen, "sub/file", "x");
    });
    let change = workspace.change().unwrap();
    let own = "(git's own files never land as files)";
    assert_eq!(
        told(&change),
        [
            format!(r#"Modified ".git/config" +1 -0 {own}"#),
            format!(r#"Added ".git/hooks/pre-commit" +1 -0 {own}"#),
            format!(r#"Added ".git/modules/lib/deep/config" +1 -0 {own}"#),
            format!(r#"Added ".git/modules/lib/deep/hooks/x" +1 -0 {own}"#),
            format!(r#"Added ".git/worktrees/w/config" +1 -0 {own}"#),
            format!(r#"Added ".git/worktrees/w/hooks/x" +1 -0 {own}"#),
            r#"Added "sub/.git" +0 -0 (a repository within never lands as files)"#.to_owned(),
            r#"Added "sub/file" +1 -0"#.to_owned(),
        ]
    );
    assert_eq!(change.git.len(), 11, "{:?}", change.git);
}

#[test]
fn special_files_are_shown_and_never_land() {
    let desk = Desk::new();
    let workspace = desk.stage();
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    rustix::fs::mknodat(
        rustix::fs::CWD,
        upper.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(upper.join("socket")).unwrap();
    let change = workspace.change().unwrap();
    assert_eq!(change.files.len(), 2);
    assert!(change.files.iter().all(|file| file.never.is_some()), "{change:?}");
}

#[test]
fn a_large_file_is_told_without_being_read_into_memory() {
    let desk = Desk::new();
    let workspace = desk.stage();
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    fs::File::create(upper.join("big")).unwrap().set_len(10 << 30).unwrap();
    let change = workspace.change().unwrap();
    assert_eq!(change.files[0].content, Content::Large);
    assert_eq!(change.files[0].post.as_ref().unwrap().what, What::File(10 << 30));
}

#[test]
fn a_repository_that_moved_beneath_is_told() {
    let desk = Desk::new();
    desk.write("a", "1\n");
    let large = "1\n".repeat(1 + sides::LARGE as usize / 2);
    desk.write("large", &large);
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| ["a", "large"].iter().for_each(|name| write(seen, name, "2\n")));
    assert!(!workspace.change().unwrap().files[0].moved);
    desk.write("a", "three\n");
    desk.write("large", "three\n");
    let change = workspace.change().unwrap();
    assert!(change.files.iter().all(|file| file.moved));
    assert_eq!(change.files[0].content, Content::Lines { added: 1, removed: 1 });
    assert_eq!(change.files[1].content, Content::Large);
}

#[test]
fn build_output_stays_with_the_workspace_and_never_lands() {
    let (desk, line) = (Desk::new(), line());
    fs::create_dir(desk.root().join(".git")).unwrap();
    desk.write(".gitignore", "target\n*.log\n");
    desk.write("sub/file", "x\n");
    fs::set_permissions(desk.root().join("sub"), fs::Permissions::from_mode(0o751)).unwrap();
    let first = desk.stage_run("r1");
    desk.edited(&first, |seen| {
        write(seen, "target/debug/app", "elf");
        write(seen, "sub/target/out", "o");
        write(seen, "gone/x.log", "o");
        // What is kept may be called anything, and lead anywhere.
        symlink("/etc/passwd", seen.join("list.json.log")).unwrap();
    });
    let change = first.settle(&line.admission).unwrap();
    assert_eq!(change.ignored.len(), 4);
    assert_eq!(Workspace::reopen(&desk.path("state/runs/r1")).unwrap().change().unwrap(), change);
    let second = desk.stage_run("r2");
    let Stage::Overlay { upper, .. } = second.staged() else { panic!() };
    assert_eq!(fs::read_to_string(upper.join("target/debug/app")).unwrap(), "elf");
    assert_eq!(fs::read_to_string(upper.join("sub/target/out")).unwrap(), "o");
    assert!(!upper.join("gone").exists() && upper.join("list.json.log").is_symlink());
    let change = second.change().unwrap();
    assert_eq!((told(&change), change.ignored.len()), (vec![], 3));
    // A run at the same time has none of it, and one after a build of the person's keeps the person's.
    let third = desk.stage_run("r3");
    assert!(third.change().unwrap().ignored.is_empty());
    second.settle(&line.admission).unwrap();
    desk.write("target/mine", "x");
    let fourth = desk.stage_run("r4");
    let Stage::Overlay { upper, .. } = fourth.staged() else { panic!() };
    assert!(!upper.join("target").exists() && upper.join("sub/target/out").exists());
}
