//! A person who edits while a run goes on: what was there when it began is known all the same.

use super::super::*;
use super::desk::{Desk, line, write};
use std::fs;
use std::process::Command;

/// A text of twenty lines, some of them changed.
fn text(edits: &[(usize, &str)]) -> String {
    let line = |number: usize| {
        let edit = edits.iter().find(|(place, _)| *place == number);
        edit.map_or_else(|| format!("line {number}\n"), |(_, line)| format!("{line}\n"))
    };
    (1..=20).map(line).collect()
}

fn git(root: &Path, words: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(root).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]).args(words);
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with these files committed, so long ago that git is sure of them.
fn repository(desk: &Desk, files: &[(&str, &str)]) {
    files.iter().for_each(|(name, content)| desk.write(name, content));
    git(&desk.root(), &["init", "-q"]);
    git(&desk.root(), &["add", "--all"]);
    git(&desk.root(), &["commit", "-q", "-m", "all"]);
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    for (name, _) in files {
        let file = fs::File::options().write(true).open(desk.root().join(name)).unwrap();
        file.set_modified(long_ago + std::time::Duration::from_nanos(7)).unwrap();
    }
    git(&desk.root(), &["update-index", "-q", "--refresh"]);
}

fn kept(desk: &Desk) -> usize {
    let names = fs::read_dir(desk.run_dir().join("base/kept")).unwrap();
    names.filter(|name| name.as_ref().unwrap().file_name().len() == 64).count()
}

fn read(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.root().join(name)).unwrap()
}

/// The run changes line 2, the person line 19, while it goes on; then all lands.
fn both(desk: &Desk, names: &[&str]) -> Landing {
    let line = line();
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        names.iter().for_each(|name| {
            let text = fs::read_to_string(seen.join(name)).unwrap();
            write(seen, name, text.replace("line 2\n", "the run\n"));
        });
    });
    for name in names {
        desk.write(name, read(desk, name).replace("line 19\n", "mine\n"));
    }
    workspace.settle(&line.admission).unwrap();
    let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
    workspace.land(&line.admission, &workspace.change().unwrap(), &Pick::all()).unwrap()
}

#[test]
fn what_git_has_is_got_back_from_it_and_what_it_has_not_was_saved() {
    let desk = Desk::new();
    repository(
        &desk,
        &[("clean", &text(&[])), ("dirty", &text(&[])), ("in/deep", &text(&[])), (".gitignore", "out\n")],
    );
    desk.write("dirty", text(&[(10, "not committed")]));
    desk.write("new", text(&[]));
    desk.write("out/built", text(&[]));
    let workspace = desk.stage();
    // Neither what git has nor what it ignores is saved.
    assert_eq!(
        kept(&desk),
        2,
        "{:?}",
        fs::read_dir(desk.run_dir().join("base/kept")).unwrap().collect::<Vec<_>>()
    );
    drop(workspace);
    fs::remove_dir_all(desk.run_dir()).unwrap();
    fs::create_dir_all(desk.run_dir()).unwrap();
    let names = ["clean", "dirty", "in/deep", "new"];
    let landing = both(&desk, &names);
    assert_eq!(landing.refused, vec![]);
    for name in names {
        let edits =
            [(2, "the run"), (10, if name == "dirty" { "not committed" } else { "line 10" }), (19, "mine")];
        assert_eq!(read(&desk, name), text(&edits), "{name}");
    }
}

#[test]
fn a_workspace_within_a_repository_and_a_tree_that_was_copied_are_known_too() {
    let desk = Desk::new();
    repository(&desk, &[("clean", &text(&[]))]);
    desk.write("new", "x\n");
    // A copy has other numbers, and another time of its last change.
    let copy = desk.path("home/copy");
    let copied = Command::new("cp").arg("-a").arg(desk.root()).arg(&copy).status().unwrap();
    assert!(copied.success());
    let held = Root::open(&copy).unwrap();
    let base = Arc::new(Base::take(&held, now()).unwrap());
    let base_dir = desk.path("base");
    fs::create_dir(&base_dir).unwrap();
    let index = blob::Index::take(&copy, &base_dir).unwrap();
    let entry = base.get(Path::new("clean")).unwrap();
    assert_eq!(index.knows(entry), Some(blob::As::Copied));
    assert_eq!(saved::save(&copy, held, Arc::clone(&base), &base_dir).unwrap(), 0);
    assert!(index.knows(base.get(Path::new("new")).unwrap()).is_none());
    let mut sides = Sides::at_the_start(Root::open(&copy).unwrap(), Arc::clone(&base), &base_dir).unwrap();
    fs::remove_file(copy.join("clean")).unwrap();
    assert!(sides.recall(&copy, &[Path::new("clean")]).unwrap());
    let content = sides.before(entry).unwrap().unwrap();
    assert_eq!(std::io::read_to_string(content).unwrap(), text(&[]));
}

#[test]
fn a_worktree_is_known_from_its_repository_and_nothing_of_a_configuration_is_obeyed() {
    let desk = Desk::new();
    repository(&desk, &[("clean", &text(&[]))]);
    let tree = desk.path("home/tree");
    git(&desk.root(), &["worktree", "add", "-q", tree.to_str().unwrap()]);
    let index = tree.join("later");
    std::thread::sleep(std::time::Duration::from_millis(20));
    fs::write(&index, "").unwrap();
    git(&tree, &["add", "later"]);
    // Each of these would end git, or have it run something.
    desk.write(".git/config", "[core]\n\trepositoryformatversion = 99\n[extensions]\n\tpartialClone = x\n");
    let base = Base::take(&Root::open(&tree).unwrap(), now()).unwrap();
    let entry = base.get(Path::new("clean")).unwrap();
    let index = blob::Index::take(&tree, &desk.run_dir()).unwrap();
    let mut given = Vec::new();
    let mut keep = |_: &base::Entry, content: &[u8]| {
        given.push(String::from_utf8(content.to_vec()).unwrap());
        Ok(())
    };
    index.read(&tree, &[entry], &mut keep).unwrap();
    assert_eq!(given, [text(&[])]);
}

#[test]
fn what_git_converts_or_lost_is_not_taken_for_what_was_there() {
    let desk = Desk::new();
    desk.write(".gitattributes", "* text eol=crlf\n");
    repository(&desk, &[("crlf", &text(&[]).replace('\n', "\r\n"))]);
    let held = Root::open(&desk.root()).unwrap();
    let base = Arc::new(Base::take(&held, now()).unwrap());
    let entry = base.get(Path::new("crlf")).unwrap();
    let index = blob::Index::take(&desk.root(), &desk.run_dir()).unwrap();
    assert_eq!(index.knows(entry), Some(blob::As::Known));
    let mut given = 0;
    let mut count = |_: &base::Entry, _: &[u8]| {
        given += 1;
        Ok(())
    };
    index.read(&desk.root(), &[entry], &mut count).unwrap();
    fs::remove_dir_all(desk.root().join(".git/objects")).unwrap();
    fs::create_dir(desk.root().join(".git/objects")).unwrap();
    index.read(&desk.root(), &[entry], &mut count).unwrap();
    assert_eq!(given, 0);
    // A file that is as young as the index may have changed after git looked.
    let young = fs::File::options().write(true).open(desk.root().join(".git/index")).unwrap();
    let (seconds, nanoseconds) = entry.found.stamp.mtime;
    young
        .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(seconds as u64, nanoseconds))
        .unwrap();
    let index = blob::Index::take(&desk.root(), &desk.run_dir()).unwrap();
    assert_eq!(index.knows(entry), None);
    assert_eq!(blob::Index::load(&desk.root(), &desk.run_dir()).unwrap().knows(entry), None);
}

#[test]
fn what_was_changed_last_is_saved_up_to_a_bound_and_the_rest_is_counted() {
    let desk = Desk::new();
    let large = vec![b'a'; sides::LARGE as usize];
    for number in 0..12 {
        desk.write(&format!("file{number}"), &large);
        let file = fs::File::options().write(true).open(desk.root().join(format!("file{number}"))).unwrap();
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(1000 - number);
        file.set_modified(time).unwrap();
    }
    let workspace = desk.stage();
    let left_out = fs::read_to_string(desk.run_dir().join("base/unsaved")).unwrap();
    // One small file of the desk's own takes a place as well.
    assert_eq!(left_out, "5");
    let known = workspace.sides().unwrap();
    let base = workspace.base().unwrap();
    let is_known = |number: usize| {
        let entry = base.get(Path::new(&format!("file{number}"))).unwrap();
        fs::remove_file(desk.root().join(&entry.path)).unwrap();
        known.before(entry).unwrap().is_some()
    };
    assert!(is_known(11) && is_known(5) && !is_known(4) && !is_known(0));
}

#[test]
fn a_copy_is_worked_beside_as_an_overlay_is() {
    let (desk, line) = (Desk::new(), line());
    desk.write("file", text(&[]));
    for folder in ["staged", "base"] {
        fs::create_dir(desk.run_dir().join(folder)).unwrap();
    }
    let held = Root::open(&desk.root()).unwrap();
    let mut base = Base::take(&held, now()).unwrap();
    let stage = stage::private_copy(&held, &mut base, &desk.run_dir().join("staged")).unwrap();
    let Stage::Copy { from } = stage.clone() else { panic!() };
    base.save(&desk.run_dir().join("base")).unwrap();
    let looking = look(|_, _| Ok(base), (&desk.root(), held), &desk.run_dir().join("base")).unwrap();
    let why = Some("a test".to_owned());
    let workspace =
        Workspace::staged_as(desk.root(), &desk.run_dir(), stage, why, Past::Looking(looking)).unwrap();
    workspace.base().unwrap();
    desk.write("file", text(&[(19, "mine")]));
    write(&from, "file", text(&[(2, "the run")]));
    workspace.settle(&line.admission).unwrap();
    let landing = workspace.land(&line.admission, &workspace.change().unwrap(), &Pick::all()).unwrap();
    assert_eq!(landing.refused, vec![]);
    assert_eq!(read(&desk, "file"), text(&[(2, "the run"), (19, "mine")]));
}

/// What a person does, step by step, and which names are told then.
fn noticed(desk: &Desk, mut moves: Moves) {
    let mut told = |what: &str, expected: &[&str]| {
        let found = moves.moved().unwrap();
        let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(found, expected, "{what}");
    };
    let root = desk.root();
    told("nothing", &[]);
    write(&root, "a/file", "2\n");
    told("in place", &["a/file"]);
    told("nothing more", &[]);
    write(&root, "a/.new", "3\n");
    fs::rename(root.join("a/.new"), root.join("a/file")).unwrap();
    told("by rename", &["a/file"]);
    fs::remove_file(root.join("a/file")).unwrap();
    told("gone", &["a/file"]);
    fs::create_dir_all(root.join("new/er")).unwrap();
    write(&root, "new/er/file", "1\n");
    told("new folders", &["new", "new/er", "new/er/file"]);
    write(&root, "new/er/file", "2\n");
    told("in a new folder", &["new/er/file"]);
    write(&root, "new/er/newest/file", "1\n");
    told("a folder in a new folder", &["new/er/newest", "new/er/newest/file"]);
    fs::rename(root.join("new"), root.join("b")).unwrap();
    let moved = ["b", "b/er", "b/er/file", "b/er/newest", "b/er/newest/file"];
    told(
        "a folder renamed",
        &[&moved[..], &["new", "new/er", "new/er/file", "new/er/newest", "new/er/newest/file"]].concat(),
    );
    write(&root, ".git/index", "x");
    write(&root, "out/built", "x");
    told("git's own and what it ignores", &[]);
    fs::remove_file(root.join("later")).unwrap();
    fs::create_dir(root.join("later")).unwrap();
    write(&root, "later/file", "x");
    told("another kind of thing", &["later", "later/file"]);
}

#[test]
fn what_changes_outside_is_noticed_once_and_by_name() {
    let desk = Desk::new();
    repository(&desk, &[("a/file", "1\n"), ("later", "1\n"), (".gitignore", "out\n")]);
    let workspace = desk.stage();
    let mut moves = workspace.moves().unwrap();
    assert!(moves.bell().is_some() && moves.pause().is_none());
    moves.moved().unwrap();
    assert!(!moves.hears());
    desk.write(".git/index.lock", "x");
    assert!(!moves.hears());
    desk.write("a/file", "1\n\n");
    assert!(moves.hears());
    desk.write("a/file", "1\n");
    moves.moved().unwrap();
    noticed(&desk, moves);
}

#[test]
fn without_ears_everything_is_looked_at() {
    let desk = Desk::new();
    repository(&desk, &[("a/file", "1\n"), ("later", "1\n"), (".gitignore", "out\n")]);
    let workspace = desk.stage();
    let mut moves = workspace.moves().unwrap().deaf();
    assert!(moves.bell().is_none() && moves.hears());
    moves.moved().unwrap();
    assert!(
        moves.pause().is_some_and(|pause| pause > std::time::Duration::from_millis(900)) && !moves.hears()
    );
    noticed(&desk, moves);
}

#[test]
fn while_a_run_goes_on_what_lands_holds_no_edit_that_the_run_would_not_see() {
    let (desk, line) = (Desk::new(), line());
    desk.write("file", text(&[]));
    let workspace = Workspace { frozen: true, ..desk.stage() };
    desk.edited(&workspace, |seen| write(seen, "file", text(&[(2, "the run")])));
    let change = workspace.change().unwrap();
    // The person saves in between.
    desk.write("file", text(&[(19, "mine")]));
    let landing = workspace.land(&line.admission, &change, &Pick::all()).unwrap();
    assert_eq!((landing.landed.len(), landing.refused.len()), (0, 1));
    assert_eq!(read(&desk, "file"), text(&[(19, "mine")]));
    // When it is over both come together.
    let workspace = Workspace { frozen: false, ..workspace };
    workspace.land(&line.admission, &workspace.change().unwrap(), &Pick::all()).unwrap();
    assert_eq!(read(&desk, "file"), text(&[(2, "the run"), (19, "mine")]));
}
