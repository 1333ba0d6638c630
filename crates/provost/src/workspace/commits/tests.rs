//! Commits of a run, honest and hostile, taken over and taken back.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ledger::Body;
use ledger::event::MovedBy;

use super::*;
use crate::workspace::land::Pick;
use crate::workspace::tests::desk::{Desk, Line, line, listing, write};

mod writing;

/// Git as a person has it, in a folder; with this to read.
fn fed(folder: &Path, words: &[&str], input: &[u8]) -> String {
    let mut child = Command::new("git")
        .args(words)
        .current_dir(folder)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // One that has read enough is its own matter.
    let _ = io::Write::write_all(&mut child.stdin.take().unwrap(), input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {words:?} in {}", folder.display());
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn git(folder: &Path, words: &[&str]) -> String {
    fed(folder, words, b"")
}

/// A desk whose project is a repository with one commit.
fn desk() -> Desk {
    let desk = Desk::new();
    let root = desk.root();
    git(&root, &["init", "--quiet", "--initial-branch=main"]);
    git(&root, &["config", "user.name", "Ada"]);
    git(&root, &["config", "user.email", "ada@example.org"]);
    desk.write("lines.txt", (1..=20).map(|line| format!("line {line}\n")).collect::<String>());
    git(&root, &["add", "--all"]);
    git(&root, &["commit", "--quiet", "--message=first"]);
    desk
}

fn commit(folder: &Path, name: &str, text: &str) -> String {
    write(folder, name, text);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", &format!("write {name}")]);
    git(folder, &["rev-parse", "HEAD"])
}

/// All of the person's git folder, without what was looked at.
fn persons(desk: &Desk) -> Vec<String> {
    listing(&desk.root().join(".git"))
}

fn moved(line: &Line) -> Vec<(String, bool, MovedBy)> {
    let moved = |body: Body| match body {
        Body::RefMoved(moved) => Some((moved.name, moved.to.is_some(), moved.by)),
        _ => None,
    };
    line.events().into_iter().filter_map(moved).collect()
}

#[test]
fn commits_land_as_objects_and_a_branch_and_nothing_else() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    let mut tip = String::new();
    desk.edited(&workspace, |seen| {
        commit(seen, "a", "a");
        git(seen, &["checkout", "--quiet", "-b", "side", "HEAD~1"]);
        commit(seen, ".github/workflows/ci.yml", "on: push\n");
        git(seen, &["checkout", "--quiet", "main"]);
        git(seen, &["merge", "--quiet", "--no-edit", "side"]);
        git(seen, &["config", "core.fsmonitor", "touch ../../escaped; true"]);
        write(seen, ".git/hooks/reference-transaction", "#!/bin/sh\ntouch ../../escaped\n");
        git(seen, &["branch", "more/work", "HEAD~1"]);
        tip = git(seen, &["rev-parse", "HEAD"]);
    });
    let before = (persons(&desk), git(&desk.root(), &["status", "--porcelain"]));
    let change = workspace.settle(&line.admission).unwrap();
    assert!(change.files.iter().any(|file| file.path.starts_with(".git/hooks") && file.never.is_some()));
    let commits = workspace.commits().unwrap();
    let names: Vec<_> =
        commits.branches.iter().map(|branch| (branch.name.as_str(), branch.commits)).collect();
    assert_eq!(names, [("refs/heads/provost/r1", 3)]);
    assert_eq!(commits.commits.len(), 3);
    let merge = commits.commits.first().unwrap();
    assert_eq!((merge.parents.len(), merge.author.to_string().as_str()), (2, "Ada <ada@example.org>"));
    let text = commits.text();
    assert!(text.contains("high risk: build servers obey it: .github/workflows/ci.yml"), "{text}");
    assert_eq!(persons(&desk), before.0, "looking changes nothing");
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert!(import.refused.is_empty(), "{import:?}");
    assert_eq!(git(&desk.root(), &["rev-parse", "provost/r1"]), tip);
    git(&desk.root(), &["fsck", "--strict", "--no-dangling"]);
    let added: Vec<String> = persons(&desk).into_iter().filter(|entry| !before.0.contains(entry)).collect();
    let expected = ["\"objects/pack", "\"logs/refs/heads/provost", "\"refs/heads/provost"];
    let is_expected = |entry: &&String| !expected.iter().any(|start| entry.starts_with(start));
    assert_eq!(added.iter().filter(is_expected).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(git(&desk.root(), &["status", "--porcelain"]), before.1);
    assert!(!desk.path("escaped").exists() && !desk.path("home/escaped").exists());
    // There is nothing more to take, and it can be taken back.
    assert!(workspace.commits().unwrap().is_empty());
    assert!(workspace.import(&line.admission, Terms::default()).unwrap().moved.is_empty());
    assert_eq!(workspace.undo_import(&line.admission).unwrap().unwrap().0.moved.len(), 1);
    assert_eq!(git(&desk.root(), &["for-each-ref", "refs/heads/provost"]), "");
    let name = || "refs/heads/provost/r1".to_owned();
    assert_eq!(moved(&line), [(name(), true, MovedBy::Import), (name(), false, MovedBy::Undo)]);
    assert!(workspace.commits().unwrap().waits());
}

#[test]
fn a_branch_that_is_there_or_led_elsewhere_since_stays() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| drop(commit(seen, "a", "a")));
    git(&desk.root(), &["branch", "provost/r1"]);
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert_eq!((import.moved.len(), import.refused.len()), (0, 1), "{import:?}");
    git(&desk.root(), &["branch", "--delete", "provost/r1"]);
    assert_eq!(workspace.import(&line.admission, Terms::default()).unwrap().moved.len(), 1);
    let elsewhere = git(&desk.root(), &["rev-parse", "main"]);
    git(&desk.root(), &["update-ref", "refs/heads/provost/r1", &elsewhere]);
    let (undone, _) = workspace.undo_import(&line.admission).unwrap().unwrap();
    assert!(undone.refused[0].because.contains("does not lead where it was set"), "{undone:?}");
    assert_eq!(git(&desk.root(), &["rev-parse", "provost/r1"]), elsewhere);
}

#[test]
fn commits_that_came_to_be_after_the_run_stay() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| drop(commit(seen, "a", "a")));
    let other = Terms { known: Some(vec!["a".repeat(40)]), ..Terms::default() };
    let import = workspace.import(&line.admission, other).unwrap();
    assert!(import.moved.is_empty() && import.refused[0].because.contains("when it was over"), "{import:?}");
}

#[test]
fn what_policy_forbids_is_not_taken_over() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage_run("secret");
    desk.edited(&workspace, |seen| drop(commit(seen, "a", "a")));
    let before = persons(&desk);
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert!(import.moved.is_empty() && import.refused[0].because.contains("secrets"), "{import:?}");
    assert_eq!(persons(&desk), before);
}

/// Has the run do this in its view after an honest commit `a`, and gives why its commits are kept back; nothing of the
/// person's git folder may have changed, and no program may have been run.
fn refused(hostile: impl FnOnce(&Path)) -> String {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        commit(seen, "a", "a");
        hostile(seen);
    });
    let before = persons(&desk);
    let commits = workspace.commits().unwrap();
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert_eq!(persons(&desk), before);
    assert!(import.moved.is_empty() && commits.branches.is_empty(), "{commits:?}");
    let because = commits.refused.unwrap();
    assert_eq!(import.refused.first().unwrap().because, because);
    because
}

fn object(folder: &Path, id: &str) -> PathBuf {
    folder.join(".git/objects").join(&id[..2]).join(&id[2..])
}

/// Writes an object as it is, whatever git thinks of it.
fn raw(folder: &Path, kind: &str, bytes: &[u8]) -> String {
    fed(
        folder,
        &["-c", "core.looseCompression=1", "hash-object", "-w", "-t", kind, "--literally", "--stdin"],
        bytes,
    )
}

fn unhex(id: &str) -> Vec<u8> {
    (0..id.len() / 2).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A commit on top of HEAD of a tree with one file of this name, whatever git thinks of it.
fn commit_of(folder: &Path, mode: &str, name: &[u8], content: &[u8]) {
    let blob = raw(folder, "blob", content);
    let tree = raw(folder, "tree", &[mode.as_bytes(), b" ", name, b"\0", &unhex(&blob)].concat());
    let commit = fed(folder, &["commit-tree", &tree, "-p", "HEAD"], b"odd");
    git(folder, &["update-ref", "refs/heads/main", &commit]);
}

#[test]
fn names_that_git_must_not_hold_are_refused() {
    for name in [".git", ".GIT", ".g\u{200c}it", "git~1", ".git::$INDEX_ALLOCATION", "..", ".", "a/b", ""] {
        let because = refused(|seen| commit_of(seen, "100644", name.as_bytes(), b"x"));
        assert!(!because.is_empty(), "{name}");
    }
    let url = b"[submodule \"x\"]\n\tpath = x\n\turl = -uwhoami\n";
    assert!(refused(|seen| commit_of(seen, "100644", b".gitmodules", url)).contains("gitmodules"));
    assert!(refused(|seen| commit_of(seen, "120000", b".gitmodules", b"/etc/passwd")).contains("gitmodules"));
}

#[test]
fn what_only_some_file_system_takes_for_git_is_refused() {
    let because = refused(|seen| commit_of(seen, "100644", ".gi\u{ff54}".as_bytes(), b"x"));
    assert!(because.contains("git's own files never land"), "{because}");
}

#[test]
fn objects_that_are_not_what_they_say_are_refused() {
    let other = |seen: &Path| raw(seen, "blob", b"another content");
    // A blob under another's name, with its first byte changed, cut short, and gone.
    refused(|seen| {
        let a = git(seen, &["rev-parse", "HEAD:a"]);
        fs::rename(object(seen, &other(seen)), object(seen, &a)).unwrap();
    });
    for broken in [&b"no object"[..], b"", b"x\x9cK\xca\xc9OR0d\x00\x00"] {
        refused(|seen| {
            let place = object(seen, &git(seen, &["rev-parse", "HEAD:a"]));
            fs::remove_file(&place).unwrap();
            fs::write(place, broken).unwrap();
        });
    }
    refused(|seen| fs::remove_file(object(seen, &git(seen, &["rev-parse", "HEAD:a"]))).unwrap());
    refused(|seen| fs::remove_file(object(seen, &git(seen, &["rev-parse", "HEAD^{tree}"]))).unwrap());
    refused(|seen| {
        commit(seen, "b", "b");
        fs::remove_file(object(seen, &git(seen, &["rev-parse", "HEAD~1"]))).unwrap();
    });
    let no_commit = refused(|seen| {
        let blob = git(seen, &["rev-parse", "HEAD:a"]);
        fs::write(seen.join(".git/refs/heads/main"), format!("{blob}\n")).unwrap();
    });
    assert!(no_commit.contains("leads to no commit"), "{no_commit}");
}

#[test]
fn packs_that_are_not_whole_are_refused() {
    let pack = |seen: &Path| {
        git(seen, &["repack", "--quiet", "-a", "-d"]);
        let names = fs::read_dir(seen.join(".git/objects/pack")).unwrap();
        let mut packs = names.map(|name| name.unwrap().path());
        packs.find(|path| path.extension().is_some_and(|ending| ending == "pack")).unwrap()
    };
    refused(|seen| {
        let pack = pack(seen);
        let mut bytes = fs::read(&pack).unwrap();
        *bytes.get_mut(40).unwrap() ^= 1;
        fs::remove_file(&pack).unwrap();
        fs::write(pack, bytes).unwrap();
    });
    refused(|seen| {
        let pack = pack(seen);
        let bytes = fs::read(&pack).unwrap();
        fs::remove_file(&pack).unwrap();
        fs::write(pack, &bytes[..bytes.len() / 2]).unwrap();
    });
}

#[test]
fn a_packed_repository_lands_like_any_other() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        commit(seen, "a", "a");
        git(seen, &["gc", "--quiet", "--prune=now"]);
    });
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert_eq!((import.moved.len(), import.refused.len()), (1, 0), "{import:?}");
    assert_eq!(git(&desk.root(), &["show", "provost/r1:a"]), "a");
}

#[test]
fn links_pipes_and_places_elsewhere_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let hold = |seen: &Path, name: &str| {
        let place = object(seen, &git(seen, &["rev-parse", name]));
        let held = outside.path().join(place.parent().unwrap().file_name().unwrap());
        fs::create_dir_all(&held).unwrap();
        let held = held.join(place.file_name().unwrap());
        fs::rename(&place, &held).unwrap();
        (place, held)
    };
    refused(|seen| {
        let (place, held) = hold(seen, "HEAD:a");
        symlink(held, place).unwrap();
    });
    refused(|seen| {
        let (place, _) = hold(seen, "HEAD:a");
        rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    });
    refused(|seen| {
        hold(seen, "HEAD:a");
        let alternates = [outside.path().as_os_str().as_bytes(), b"\n"].concat();
        fs::create_dir_all(seen.join(".git/objects/info")).unwrap();
        fs::write(seen.join(".git/objects/info/alternates"), alternates).unwrap();
    });
    let objects = refused(|seen| {
        let (objects, held) = (seen.join(".git/objects"), outside.path().join("objects"));
        fs::rename(&objects, &held).unwrap();
        symlink(held, objects).unwrap();
    });
    assert!(objects.contains("is no folder"), "{objects}");
}

#[test]
fn nothing_that_rewrites_history_is_believed() {
    // What is missing is not hidden by saying that history ends there, or goes on elsewhere.
    let without_parent = |seen: &Path| {
        let tip = commit(seen, "b", "b");
        let parent = git(seen, &["rev-parse", "HEAD~1"]);
        fs::remove_file(object(seen, &parent)).unwrap();
        (tip, parent)
    };
    refused(|seen| {
        let (tip, _) = without_parent(seen);
        fs::write(seen.join(".git/shallow"), format!("{tip}\n")).unwrap();
    });
    refused(|seen| {
        let (tip, _) = without_parent(seen);
        fs::write(seen.join(".git/info/grafts"), format!("{tip}\n")).unwrap();
    });
    refused(|seen| {
        let first = git(seen, &["rev-parse", "HEAD~1"]);
        let (_, parent) = without_parent(seen);
        write(seen, format!(".git/refs/replace/{parent}"), format!("{first}\n"));
    });
}

#[test]
fn one_object_takes_no_more_memory_than_there_is_for_all() {
    let because = refused(|seen| {
        let tree = git(seen, &["rev-parse", "HEAD^{tree}"]);
        let mut bomb = format!("tree {tree}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\n").into_bytes();
        bomb.resize(140 << 20, b'x');
        let id = raw(seen, "commit", &bomb);
        fs::write(seen.join(".git/refs/heads/main"), format!("{id}\n")).unwrap();
    });
    assert!(because.contains("limit"), "{because}");
}

#[test]
fn a_tree_of_trees_of_trees_is_refused_in_time() {
    let because = refused(|seen| {
        let mut id = raw(seen, "blob", b"x");
        for level in 0..10 {
            let mode: &[u8] = if level == 0 { b"100644 " } else { b"40000 " };
            let entry = |name: u8| [mode, &[b'a' + name], b"\0", &unhex(&id)].concat();
            id = raw(seen, "tree", &(0..10).flat_map(entry).collect::<Vec<u8>>());
        }
        let commit = fed(seen, &["commit-tree", &id, "-p", "HEAD"], b"many");
        git(seen, &["update-ref", "refs/heads/main", &commit]);
    });
    // Which of the two it meets first is its own matter.
    assert!(because.contains("limit") || because.contains("memory"), "{because}");
}

#[test]
fn branches_that_lead_to_nothing_new_cost_nothing() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    let old = git(&root, &["rev-parse", "HEAD"]);
    commit(&root, "more", "x");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        let new = commit(seen, "a", "a");
        let flood = (0..3000).map(|at| format!("{old} refs/heads/o{at}\n{new} refs/heads/n{at}\n"));
        fs::write(seen.join(".git/packed-refs"), flood.collect::<String>()).unwrap();
    });
    let began = Instant::now();
    let commits = workspace.commits().unwrap();
    assert_eq!((commits.branches.len(), commits.refused), (1, None));
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert_eq!(import.moved.len(), 1, "{import:?}");
}

#[test]
fn all_questions_to_git_together_have_an_end() {
    let (never, held) = io::pipe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let git = Git::ours(dir.path()).unwrap().until(began);
    let waits =
        git.ask(["hash-object", "--stdin"]).reading_file(fs::File::from(std::os::fd::OwnedFd::from(never)));
    let error = waits.answer().unwrap_err();
    assert!(matches!(error, crate::workspace::git::GitError::TooLong(_)), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(held);
}

/// The limits of this process's children that are git.
fn limits_of_git() -> Vec<String> {
    let own = format!("PPid:\t{}\n", std::process::id());
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let gits = processes.filter(|process| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        status.starts_with("Name:\tgit\n") && status.contains(&own)
    });
    gits.filter_map(|git| fs::read_to_string(git.join("limits")).ok()).collect()
}

#[test]
fn no_git_takes_all_the_memory_that_there_is() {
    let (never, held) = io::pipe().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let waiting = std::thread::scope(|scope| {
        scope.spawn(|| {
            let git = Git::ours(dir.path()).unwrap();
            let never = fs::File::from(std::os::fd::OwnedFd::from(never));
            git.ask(["hash-object", "--stdin"]).reading_file(never).answer()
        });
        let until = Instant::now() + Duration::from_secs(20);
        let is_bound = |limits: &String| {
            limits.lines().any(|line| line.starts_with("Max data size") && line.contains("1073741824"))
        };
        let mut bound = false;
        while !bound && Instant::now() < until {
            bound = limits_of_git().iter().any(is_bound);
        }
        drop(held);
        bound
    });
    assert!(waiting);
}

#[test]
fn a_branch_that_somebody_is_at_is_not_taken_away() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| drop(commit(seen, "a", "a")));
    let name = workspace.import(&line.admission, Terms::default()).unwrap().moved.remove(0).name;
    let beside = desk.path("beside").to_string_lossy().into_owned();
    for at in [&["checkout", "--quiet"][..], &["worktree", "add", "--quiet", &beside]] {
        git(&root, &[at, &[name.trim_start_matches("refs/heads/")]].concat());
        let (import, _) = workspace.undo_import(&line.admission).unwrap().unwrap();
        assert!(import.moved.is_empty() && import.refused[0].because.contains("checked out"), "{import:?}");
        git(&root, &["checkout", "--quiet", "main"]);
    }
    git(&root, &["worktree", "remove", "--force", &beside]);
    assert_eq!(workspace.undo_import(&line.admission).unwrap().unwrap().0.moved.len(), 1);
}

#[test]
fn where_there_is_no_repository_of_the_folder_itself_commits_stay() {
    let line = line();
    let plain = Desk::new();
    let workspace = plain.stage();
    plain.edited(&workspace, |seen| {
        git(seen, &["init", "--quiet", "--initial-branch=main"]);
        git(
            seen,
            &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "x"],
        );
    });
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert!(import.refused[0].because.contains("is no git repository"), "{import:?}");

    // A worktree's git folder lies elsewhere; one that the run makes in its place is none of the person's.
    let (desk, other) = (desk(), Desk::new());
    let tree = other.path("home/tree");
    git(&desk.root(), &["worktree", "add", "--quiet", tree.to_str().unwrap()]);
    fs::remove_dir_all(other.root()).unwrap();
    fs::rename(&tree, other.root()).unwrap();
    let workspace = other.stage();
    assert!(workspace.commits().unwrap().is_empty());
    other.edited(&workspace, |seen| {
        fs::remove_file(seen.join(".git")).unwrap();
        git(seen, &["init", "--quiet", "--initial-branch=main"]);
        git(
            seen,
            &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "x"],
        );
    });
    let import = workspace.import(&line.admission, Terms::default()).unwrap();
    assert!(import.refused[0].because.contains("lies elsewhere"), "{import:?}");
}

#[test]
fn what_the_agent_wrote_does_nothing_to_a_terminal() {
    let (desk, line) = (desk(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "\x1b[31mred\n", "x");
        git(seen, &["add", "--all"]);
        git(seen, &["commit", "--quiet", "--author", "\x1b]0;x\x07 <a@b>", "--message", "\x1b[2J gone"]);
    });
    workspace.settle(&line.admission).unwrap();
    let text = workspace.commits().unwrap().text();
    assert!(!text.contains('\x1b') && !text.contains('\x07') && text.contains("gone"), "{text:?}");
    let staged = line.events().into_iter().find_map(|body| match body {
        Body::CommitsStaged(staged) => Some(staged),
        _ => None,
    });
    let staged = staged.unwrap();
    assert_eq!((staged.commits, staged.ids.len(), staged.refused), (1, 1, None));
}
