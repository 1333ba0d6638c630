//! A person at the gate: hunks, a yes of its own, a no that is remembered, edits made meanwhile, and taking it back.

use super::super::*;
use super::desk::{Desk, Line, line, listing, write};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use ledger::Body;
use ledger::event::Manner;

/// A text of forty lines with some of them changed.
pub(super) fn text(edits: &[(usize, &str)]) -> String {
    let line = |number: usize| match edits.iter().find(|(at, _)| *at == number) {
        Some((_, line)) => format!("{line}\n"),
        None => format!("line {number}\n"),
    };
    (1..=40).map(line).collect()
}

pub(super) fn read(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.root().join(name)).unwrap()
}

pub(super) fn ids(workspace: &Workspace, name: &str) -> Vec<String> {
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    let file = review.files.iter().find(|file| file.path.to_path() == Path::new(name)).unwrap();
    file.hunks.iter().map(|hunk| hunk.id.clone()).collect()
}

pub(super) fn land(workspace: &Workspace, line: &Line, pick: Pick) -> Landing {
    let change = workspace.change().unwrap();
    workspace.accept(&line.admission, &change, &pick, &voice()).unwrap();
    workspace.land(&line.admission, &change, &pick).unwrap()
}

fn hunks<const N: usize>(ids: [&String; N]) -> Pick {
    Pick::default().with_hunks(ids.map(String::clone))
}

fn reject(workspace: &Workspace, line: &Line, what: &str, pick: Pick) -> Pick {
    let change = workspace.change().unwrap();
    let no = No { what: Named::Word(what.to_owned()), why: "too wide".to_owned() };
    workspace.reject(&line.admission, &change, (&[no], &voice()), pick).unwrap()
}

pub(super) fn voice() -> Voice {
    Voice { by: "ann".to_owned(), how: "command" }
}

pub(super) fn landed(line: &Line) -> Vec<(Manner, usize)> {
    let told = |event: Body| match event {
        Body::Landed(landed) => Some((landed.manner, landed.hunks.len())),
        _ => None,
    };
    line.events().into_iter().filter_map(told).collect()
}

pub(super) fn staged(edits: &[(usize, &str)]) -> (Desk, Line, Workspace) {
    let (desk, line) = (Desk::new(), line());
    desk.write("file", text(&[]));
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| write(seen, "file", text(edits)));
    workspace.settle(&line.admission).unwrap();
    (desk, line, workspace)
}

#[test]
fn only_the_named_hunks_land_and_the_others_wait_under_their_names() {
    let (desk, line, workspace) = staged(&[(2, "two"), (20, "twenty"), (38, "last")]);
    let all = ids(&workspace, "file");
    assert_eq!(all.len(), 3);
    let landing = land(&workspace, &line, hunks([&all[1]]));
    assert_eq!((landing.landed.len(), landing.refused.len()), (1, 0));
    assert_eq!(read(&desk, "file"), text(&[(20, "twenty")]));
    let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
    assert_eq!(ids(&workspace, "file"), [all[0].clone(), all[2].clone()]);
    // What waits is still known when the file moves on.
    desk.write("file", text(&[(10, "mine"), (20, "twenty")]));
    assert_eq!(ids(&workspace, "file"), [all[0].clone(), all[2].clone()]);
    land(&workspace, &line, hunks([&all[2]]));
    assert_eq!(read(&desk, "file"), text(&[(10, "mine"), (20, "twenty"), (38, "last")]));
    land(&workspace, &line, hunks([&all[0]]));
    assert_eq!(read(&desk, "file"), text(&[(2, "two"), (10, "mine"), (20, "twenty"), (38, "last")]));
    assert!(workspace.change().unwrap().is_empty());
    assert_eq!(landed(&line), [(Manner::Part, 1), (Manner::Merged, 1), (Manner::Verbatim, 0)]);
    let change = workspace.change().unwrap();
    let gone = workspace.accept(&line.admission, &change, &hunks([&all[0]]), &voice());
    assert!(matches!(gone, Err(GateError::Unknown(_))));
}

#[test]
fn a_mode_that_changes_is_not_named_by_a_hunk() {
    let (desk, line) = (Desk::new(), line());
    desk.write("run", "1\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "run", "2\n");
        fs::set_permissions(seen.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    let all = ids(&workspace, "run");
    assert_eq!(land(&workspace, &line, hunks([&all[0]])).refused, vec![]);
    assert_eq!(read(&desk, "run"), "2\n");
    assert_eq!(fs::metadata(desk.root().join("run")).unwrap().mode() & 0o111, 0);
    assert_eq!(workspace.change().unwrap().files[0].kind, Became::Mode);
}

#[test]
fn a_handoff_file_lands_by_its_own_name_alone_and_what_is_gits_never() {
    let (desk, line) = (Desk::new(), line());
    desk.write(".git/config", "[core]\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, ".git/config", "[core]\n\thooksPath = x\n");
        for name in ["Makefile", "sub/Makefile", ".github/a.yml"] {
            write(seen, name, "all:\n");
        }
    });
    for pick in [Pick::all(), Pick::only(&["Make*", "sub/", ".github", "**/*"]).unwrap()] {
        assert_eq!(land(&workspace, &line, pick).landed, Vec::<PathBuf>::new());
    }
    // The pattern matches both; it is the whole path of one.
    let landing = land(&workspace, &line, Pick::only(&["Makefile"]).unwrap());
    assert_eq!(landing.landed, [PathBuf::from("Makefile")]);
    assert_eq!(landing.refused[0].path, Path::new("sub/Makefile"));
    let hunk = ids(&workspace, ".github/a.yml");
    assert_eq!(land(&workspace, &line, hunks([&hunk[0]])).landed, [PathBuf::from(".github/a.yml")]);
    let git = ids(&workspace, ".git/config");
    for pick in [hunks([&git[0]]), Pick::only(&[".git/config"]).unwrap()] {
        assert_eq!(land(&workspace, &line, pick).landed, Vec::<PathBuf>::new());
    }
    assert_eq!(read(&desk, ".git/config"), "[core]\n");
}

#[test]
fn what_was_rejected_stays_back_and_comes_back_marked() {
    let (desk, line, workspace) = staged(&[(2, "two"), (20, "twenty")]);
    let all = ids(&workspace, "file");
    let pick = reject(&workspace, &line, &all[0], Pick::all());
    let landing = land(&workspace, &line, pick);
    assert_eq!((landing.landed.len(), landing.refused.len()), (1, 0));
    assert_eq!(read(&desk, "file"), text(&[(20, "twenty")]));
    assert!(line.events().iter().any(|event| {
        matches!(event, Body::ChangeRejected(no) if no.hunk.as_ref() == Some(&all[0]) && no.why == "too wide")
    }));
    // A later run brings it again, with another edit beside it.
    let later = desk.stage_run("r2");
    fs::remove_dir_all(desk.path("seen")).unwrap();
    desk.edited(&later, |seen| write(seen, "file", text(&[(2, "two"), (20, "twenty"), (38, "last")])));
    let review = later.review(&later.change().unwrap()).unwrap();
    let known: Vec<Option<&str>> =
        review.files[0].hunks.iter().map(|hunk| hunk.rejected.as_deref()).collect();
    assert_eq!(known, [Some("too wide"), None]);
    assert!(review.text(false).contains("  rejected before: too wide\n"));
    let landing = land(&later, &line, Pick::all());
    assert!(landing.refused[0].because.contains("rejected before: too wide"), "{landing:?}");
    assert_eq!(read(&desk, "file"), text(&[(20, "twenty"), (38, "last")]));
    // Named itself it is accepted after all, and forgotten.
    let again = ids(&later, "file");
    assert_eq!(land(&later, &line, hunks([&again[0]])).refused, vec![]);
    assert_eq!(read(&desk, "file"), text(&[(2, "two"), (20, "twenty"), (38, "last")]));
    assert!(later.rejected().unwrap().is_empty());
}

#[test]
fn what_has_no_lines_is_known_by_its_content() {
    let (desk, line) = (Desk::new(), line());
    let image = |desk: &Desk, run: &str, bytes: &[u8]| {
        let workspace = desk.stage_run(run);
        let _ = fs::remove_dir_all(desk.path("seen"));
        desk.edited(&workspace, |seen| write(seen, "image", bytes));
        workspace
    };
    let workspace = image(&desk, "r1", &[0, 1, 2]);
    let pick = reject(&workspace, &line, "ima*", Pick::all());
    assert_eq!(land(&workspace, &line, pick), Landing::default());
    let same = image(&desk, "r2", &[0, 1, 2]);
    let review = same.review(&same.change().unwrap()).unwrap();
    assert_eq!(review.files[0].rejected.as_deref(), Some("too wide"));
    assert_eq!(land(&same, &line, Pick::all()).landed, Vec::<PathBuf>::new());
    let other = image(&desk, "r3", &[0, 1, 3]);
    assert_eq!(land(&other, &line, Pick::all()).landed, [PathBuf::from("image")]);
}

#[test]
fn an_edit_made_meanwhile_to_other_lines_is_kept() {
    let (desk, line, workspace) = staged(&[(2, "two"), (20, "twenty")]);
    desk.write("file", text(&[(30, "mine")]));
    let landing = land(&workspace, &line, Pick::all());
    assert_eq!((landing.landed.len(), landing.refused), (1, vec![]));
    assert_eq!(read(&desk, "file"), text(&[(2, "two"), (20, "twenty"), (30, "mine")]));
    assert_eq!(landed(&line), [(Manner::Merged, 0)]);
    // Nothing waits that would take the edit back, and undoing leaves the edit alone.
    assert!(Workspace::reopen(&desk.run_dir()).unwrap().change().unwrap().is_empty());
    workspace.undo(&line.admission).unwrap();
    assert_eq!(read(&desk, "file"), text(&[(30, "mine")]));
    land(&workspace, &line, Pick::all());
    assert_eq!(read(&desk, "file"), text(&[(2, "two"), (20, "twenty"), (30, "mine")]));
}

#[test]
fn edits_of_the_same_lines_are_not_brought_together() {
    let (desk, line, workspace) = staged(&[(2, "two"), (20, "twenty")]);
    let mine = text(&[(21, "mine")]);
    desk.write("file", &mine);
    let landing = land(&workspace, &line, Pick::all());
    assert_eq!(landing.landed, Vec::<PathBuf>::new());
    let because = &landing.refused[0].because;
    assert!(because.contains("lines 20 to 21 were changed on both sides"), "{because}");
    assert!(because.contains("staged/upper") && because.contains("home/app/file"), "{because}");
    assert_eq!(read(&desk, "file"), mine);
    // The hunk that is not in the way can land by itself.
    let all = ids(&workspace, "file");
    assert_eq!(all.len(), 2);
}

#[test]
fn what_changed_since_it_landed_is_not_put_back() {
    let (desk, line) = (Desk::new(), line());
    for name in ["edit", "again", "gone"] {
        desk.write(name, "1\n");
    }
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "edit", "2\n");
        write(seen, "again", "2\n");
        write(seen, "new/file", "2\n");
        fs::remove_file(seen.join("gone")).unwrap();
    });
    workspace.settle(&line.admission).unwrap();
    land(&workspace, &line, Pick::all());
    desk.write("again", "mine\n");
    desk.write("new/mine", "mine\n");
    let undone = workspace.undo(&line.admission).unwrap();
    assert_eq!(undone.refused.len(), 1, "{undone:?}");
    assert!(
        undone.refused[0].path == Path::new("again") && undone.refused[0].because.contains("changed since")
    );
    assert_eq!((read(&desk, "edit"), read(&desk, "gone")), ("1\n".into(), "1\n".into()));
    assert_eq!((read(&desk, "again"), read(&desk, "new/mine")), ("mine\n".into(), "mine\n".into()));
    assert!(!desk.root().join("new/file").exists());
    // Once the person has put their own back, the rest can go back too.
    desk.write("again", "2\n");
    assert_eq!(workspace.undo(&line.admission).unwrap().landed, [PathBuf::from("again")]);
    assert_eq!(read(&desk, "again"), "1\n");
    let told = line.events().iter().filter(|event| matches!(event, Body::Undone(_))).count();
    assert_eq!(told, 4);
}

#[test]
fn landings_are_undone_the_last_first() {
    let (desk, line, workspace) = staged(&[(2, "two"), (20, "twenty")]);
    let all = ids(&workspace, "file");
    land(&workspace, &line, hunks([&all[0]]));
    land(&workspace, &line, hunks([&all[1]]));
    workspace.undo(&line.admission).unwrap();
    assert_eq!(read(&desk, "file"), text(&[(2, "two")]));
    workspace.undo(&line.admission).unwrap();
    assert_eq!(read(&desk, "file"), text(&[]));
    assert_eq!(ids(&workspace, "file"), all);
    let before = listing(&desk.root());
    assert!(matches!(workspace.undo(&line.admission), Err(LandError::NothingLanded)));
    assert_eq!(listing(&desk.root()), before);
}
