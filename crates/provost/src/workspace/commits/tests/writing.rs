//! What a person accepted, as commits of theirs, beside what else they are at.

use super::*;
use crate::workspace::land::Landing;

fn message() -> Message {
    Message { text: "Do it".to_owned(), run: "r1".to_owned(), agent: "sh".to_owned() }
}

/// Lands all, and commits what landed.
fn committed(workspace: &Workspace, line: &Line) -> (Landing, Written) {
    let target = workspace.commit_target(None).unwrap();
    let change = workspace.change().unwrap();
    let landing = workspace.land(&line.admission, &change, &Pick::all()).unwrap();
    let written = workspace.commit_landed(&line.admission, &target, (&landing.landed, &message())).unwrap();
    (landing, written)
}

fn replace(folder: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join("lines.txt")).unwrap();
    fs::write(folder.join("lines.txt"), text.replace(from, to)).unwrap();
}

#[test]
fn a_commit_holds_what_was_accepted_and_nothing_of_what_else_was_changed() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    desk.write("staged", "one\n");
    git(&root, &["add", "staged"]);
    git(&root, &["commit", "--quiet", "--message=more"]);
    // Lines of the same file in the folder and in the index, another file staged, and one that git does not know.
    replace(&root, "line 20\n", "mine in the index\n");
    git(&root, &["add", "lines.txt"]);
    replace(&root, "line 10\n", "mine in the folder\n");
    desk.write("staged", "two\n");
    git(&root, &["add", "staged"]);
    desk.write("untracked", "x");
    let index = git(&root, &["diff", "--cached"]);
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        replace(seen, "line 1\n", "the run's\n");
        write(seen, "made", "new\n");
        fs::remove_file(seen.join("src/main.rs")).unwrap();
    });
    let (_, written) = committed(&workspace, &line);
    assert!(written.refused.is_empty() && written.files.len() == 3, "{written:?}");
    let shown = git(&root, &["show", "--format=", "--unified=0", "HEAD"]);
    assert!(
        shown.contains("+the run's") && shown.contains("+new") && shown.contains("deleted file"),
        "{shown}"
    );
    assert!(!shown.contains("mine") && !shown.contains("two"), "{shown}");
    // What was staged before is staged now, and nothing else; the folder is as landing left it.
    let lines = |diff: &str| -> Vec<String> {
        diff.lines().filter(|line| line.starts_with(['+', '-'])).map(str::to_owned).collect()
    };
    assert_eq!(lines(&git(&root, &["diff", "--cached"])), lines(&index));
    assert_eq!(git(&root, &["diff", "--unified=0"]).matches("\n+mine in the folder").count(), 1);
    let status = git(&root, &["status", "--porcelain"]);
    assert_eq!(status, "MM lines.txt\nM  staged\n?? untracked");
    let said = git(&root, &["log", "-1", "--format=%B"]);
    let head: Vec<&str> = said.lines().collect();
    assert_eq!(
        &head[..5],
        ["Do it", "", "Provost-Run: r1", "Assisted-by: sh", "Reviewed-by: Ada <ada@example.org>"]
    );
    let (size, root) = head[5].strip_prefix("Provost-Ledger: ").unwrap().split_once(' ').unwrap();
    let size: usize = size.parse().unwrap();
    let at = line.events().iter().position(|body| matches!(body, Body::RefMoved(_))).unwrap();
    assert!(size <= at && size > 5 && root.len() == 64, "the ledger before the branch moved: {size} of {at}");
    assert_eq!(moved(&line), [("refs/heads/main".to_owned(), true, MovedBy::Commit)]);
}

#[test]
fn a_file_whose_lines_cannot_be_told_apart_is_not_committed() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    replace(&root, "line 10\n", "mine\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        replace(seen, "mine\n", "the run's and mine\n");
        write(seen, "made", "new\n");
    });
    let (landing, written) = committed(&workspace, &line);
    assert_eq!(landing.landed.len(), 2);
    assert_eq!(written.files, [PathBuf::from("made")]);
    assert!(written.refused[0].because.contains("the same lines"), "{written:?}");
    assert_eq!(git(&root, &["status", "--porcelain"]), " M lines.txt");
}

#[test]
fn a_first_commit_and_a_commit_on_a_new_branch() {
    let (desk, line) = (Desk::new(), line());
    let root = desk.root();
    git(&root, &["init", "--quiet", "--initial-branch=main"]);
    git(&root, &["config", "user.name", "Ada"]);
    git(&root, &["config", "user.email", "ada@example.org"]);
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| write(seen, "made", "new\n"));
    let (_, written) = committed(&workspace, &line);
    assert!(written.commit.is_some(), "{written:?}");
    assert_eq!(git(&root, &["ls-tree", "-r", "--name-only", "HEAD"]), "made");

    let workspace = desk.stage_run("r2");
    fs::remove_dir_all(desk.path("seen")).unwrap();
    desk.edited(&workspace, |seen| write(seen, "made", "newer\n"));
    let before = (git(&root, &["status", "--porcelain"]), git(&root, &["rev-parse", "HEAD"]));
    let target = workspace.commit_target(Some("fix/it")).unwrap();
    let change = workspace.change().unwrap();
    let picked = (&change, &Pick::all(), &message());
    let written = workspace.commit_staged(&line.admission, &target, picked).unwrap();
    assert_eq!(written.files, [PathBuf::from("made")], "{written:?}");
    assert_eq!(git(&root, &["show", "fix/it:made"]), "newer");
    assert_eq!(git(&root, &["rev-parse", "fix/it~1"]), before.1);
    assert_eq!((git(&root, &["status", "--porcelain"]), git(&root, &["rev-parse", "HEAD"])), before);
    assert_eq!(fs::read_to_string(root.join("made")).unwrap(), "new\n");
    assert_eq!(workspace.change().unwrap(), change, "it waits as before");
    assert!(workspace.commit_target(Some("fix/it")).unwrap_err().to_string().contains("is there already"));
    for name in ["a b", "-x", "../x", "HEAD", "x.lock", ""] {
        assert!(workspace.commit_target(Some(name)).is_err(), "{name}");
    }
}

#[test]
fn hooks_filters_and_what_is_under_way_are_left_alone() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    for hook in ["pre-commit", "post-commit", "reference-transaction", "post-index-change", "commit-msg"] {
        write(&root, format!(".git/hooks/{hook}"), "#!/bin/sh\ntouch ../../ran; exit 1\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.join(".git/hooks").join(hook), mode).unwrap();
    }
    git(&root, &["config", "filter.x.clean", "touch ../../ran; cat"]);
    desk.write(".git/info/attributes", "*.x filter=x\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "a.x", "x");
        write(seen, "made", "x");
    });
    let (_, written) = committed(&workspace, &line);
    assert!(written.refused[0].because.contains("filter"), "{written:?}");
    assert_eq!(written.files, [PathBuf::from("made")]);
    assert!(!desk.path("ran").exists() && !desk.path("home/ran").exists());
    write(&root, ".git/MERGE_HEAD", "");
    assert!(workspace.commit_target(None).unwrap_err().to_string().contains("a merge is under way"));
    fs::remove_file(root.join(".git/MERGE_HEAD")).unwrap();
    git(&root, &["-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach"]);
    assert!(workspace.commit_target(None).unwrap_err().to_string().contains("no branch is checked out"));
    assert!(workspace.commit_target(Some("new")).is_ok());
    fs::remove_dir_all(root.join(".git")).unwrap();
    assert!(workspace.commit_target(None).unwrap_err().to_string().contains("is no git repository"));
}

#[test]
fn a_file_where_git_has_something_else_takes_nothing_out_of_it() {
    let (desk, line) = (desk(), line());
    let root = desk.root();
    desk.write("both", "a file\n");
    let commit = git(&root, &["rev-parse", "HEAD"]);
    git(&root, &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
    git(&root, &["add", "both"]);
    git(&root, &["commit", "--quiet", "--message=a submodule that is not checked out"]);
    // The person has put a folder where HEAD has a file, and has not committed it.
    fs::remove_file(root.join("both")).unwrap();
    write(&root, "both/mine", "x\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "sub/x", "the run's\n");
        write(seen, "both/y", "the run's\n");
        write(seen, "made", "new\n");
        // What the run itself puts in another's place is its edit.
        fs::remove_file(seen.join("lines.txt")).unwrap();
        write(seen, "lines.txt/z", "the run's\n");
    });
    let (landing, written) = committed(&workspace, &line);
    assert_eq!((landing.landed.len(), written.files.len()), (5, 3), "{landing:?} {written:?}");
    let refused: Vec<&str> = written.refused.iter().map(|kept| kept.because.as_str()).collect();
    assert!(refused.iter().any(|because| because.contains("HEAD has `sub`")), "{refused:?}");
    let tree = git(&root, &["ls-tree", "-r", "--name-only", "HEAD"]);
    assert_eq!(tree, "both\nlines.txt/z\nmade\nsrc/main.rs\nsub");
    assert_eq!(git(&root, &["ls-files"]), tree);
}
