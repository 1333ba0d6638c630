//! A person's own text in the place of a hunk.

use super::super::*;
use super::desk::{Desk, Line, line, write};
use super::gate::{ids, land, landed, read, staged, text, voice};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use ledger::Body;
use ledger::event::Manner;

fn edit(name: &str, hunk: &str, text: &str) -> Pick {
    let edit = HandEdit { path: name.into(), hunk: hunk.to_owned(), text: text.as_bytes().to_vec() };
    Pick::default().with_edits(vec![edit])
}

fn accepted(line: &Line) -> Vec<ledger::event::ChangeAccepted> {
    let told = |event: Body| match event {
        Body::ChangeAccepted(accepted) => Some(accepted),
        _ => None,
    };
    line.events().into_iter().filter_map(told).collect()
}

/// The lines that the hunk around line 2 shows, with another in its place.
fn around(two: &str) -> String {
    format!("line 1\n{two}\nline 3\nline 4\nline 5\n")
}

#[test]
fn what_a_person_saved_lands_in_the_place_of_the_hunk_and_is_recorded_as_theirs() {
    let (desk, line, workspace) = staged(&[(2, "two"), (38, "last")]);
    let all = ids(&workspace, "file");
    let landing = land(&workspace, &line, edit("file", &all[0], &around("mine")));
    assert_eq!((landing.landed.len(), landing.refused.len()), (1, 0));
    assert_eq!(read(&desk, "file"), text(&[(2, "mine")]));
    assert_eq!(landed(&line), [(Manner::Edited, 0)]);
    let told = accepted(&line).remove(0);
    assert_eq!((told.hunks.len(), told.edited.len(), &told.edited[0].hunk), (0, 1, &all[0]));
    let digest = |text: &str| {
        use sha2::Digest as _;
        sides::hex(&sha2::Sha256::digest(text))
    };
    assert_eq!(told.edited[0].offered, digest(&around("two")));
    assert_eq!(told.edited[0].saved, digest(&around("mine")));
    // What the agent wrote there does not come back; the other hunk waits under its name.
    let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
    assert_eq!(ids(&workspace, "file"), [all[1].clone()]);
    land(&workspace, &line, Pick::all());
    assert_eq!(read(&desk, "file"), text(&[(2, "mine"), (38, "last")]));
    assert!(workspace.change().unwrap().is_empty());
}

#[test]
fn taken_back_the_hunk_waits_as_the_agent_left_it() {
    let (desk, line, workspace) = staged(&[(2, "two")]);
    let all = ids(&workspace, "file");
    land(&workspace, &line, edit("file", &all[0], &around("mine")));
    assert!(workspace.change().unwrap().is_empty());
    workspace.undo(&line.admission).unwrap();
    assert_eq!(read(&desk, "file"), text(&[]));
    let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
    assert_eq!(ids(&workspace, "file"), all);
    land(&workspace, &line, Pick::all());
    assert_eq!(read(&desk, "file"), text(&[(2, "two")]));
}

#[test]
fn an_edit_lands_beside_one_made_meanwhile_and_not_over_it() {
    let (desk, line, workspace) = staged(&[(2, "two"), (38, "last")]);
    let all = ids(&workspace, "file");
    desk.write("file", text(&[(20, "meanwhile")]));
    land(&workspace, &line, edit("file", &all[0], &around("mine")));
    assert_eq!(read(&desk, "file"), text(&[(2, "mine"), (20, "meanwhile")]));
    assert_eq!(landed(&line), [(Manner::Edited, 0)]);
    assert_eq!(ids(&workspace, "file"), [all[1].clone()]);
    let (desk, line, workspace) = staged(&[(2, "two")]);
    let all = ids(&workspace, "file");
    desk.write("file", text(&[(2, "meanwhile")]));
    let landing = land(&workspace, &line, edit("file", &all[0], &around("mine")));
    assert!(landing.landed.is_empty() && landing.refused[0].because.contains("changed"), "{landing:?}");
    assert_eq!((read(&desk, "file"), ids(&workspace, "file")), (text(&[(2, "meanwhile")]), all));
}

#[test]
fn a_new_file_and_one_that_changes_its_mode_land_as_they_were_edited() {
    let (desk, line) = (Desk::new(), line());
    desk.write("run", "1\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "new/file", "theirs\n");
        write(seen, "run", "2\n");
        fs::set_permissions(seen.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    workspace.settle(&line.admission).unwrap();
    let hunk = |name| ids(&workspace, name).remove(0);
    let (new, run) = (hunk("new/file"), hunk("run"));
    land(&workspace, &line, edit("new/file", &new, "mine\n"));
    assert_eq!(read(&desk, "new/file"), "mine\n");
    land(&workspace, &line, edit("run", &run, "3\n").with_files(["run".into()]));
    assert_eq!(read(&desk, "run"), "3\n");
    assert_eq!(fs::metadata(desk.root().join("run")).unwrap().mode() & 0o777, 0o755);
    assert!(workspace.change().unwrap().is_empty());
    workspace.undo(&line.admission).unwrap();
    workspace.undo(&line.admission).unwrap();
    assert_eq!(read(&desk, "run"), "1\n");
    assert!(!desk.root().join("new").exists());
    assert_eq!((hunk("new/file"), hunk("run")), (new, run));
}

#[test]
fn what_was_rejected_stays_rejected_where_an_edit_of_it_lands() {
    let (desk, line, workspace) = staged(&[(2, "two")]);
    let all = ids(&workspace, "file");
    let change = workspace.change().unwrap();
    let no = No { what: Named::Hunk(all[0].clone()), why: "wrong".to_owned() };
    workspace.reject(&line.admission, &change, (&[no], &voice()), Pick::default()).unwrap();
    land(&workspace, &line, edit("file", &all[0], &around("mine")));
    assert_eq!(read(&desk, "file"), text(&[(2, "mine")]));
    workspace.undo(&line.admission).unwrap();
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    assert_eq!(review.files[0].hunks[0].rejected.as_deref(), Some("wrong"));
    let change = workspace.change().unwrap();
    let gone = workspace.accept(&line.admission, &change, &edit("file", "0123", "x\n"), &voice());
    assert!(matches!(gone, Err(GateError::Unknown(_))));
}

#[test]
fn an_edit_outlives_a_crash_right_after_it_landed() {
    let (desk, line, workspace) = staged(&[(2, "two"), (38, "last")]);
    let all = ids(&workspace, "file");
    land(&workspace, &line, edit("file", &all[0], &around("mine")));
    // As if the power had failed before what the run left was told of the edit: the journal was not closed.
    let journal = desk.run_dir().join("landing");
    let closed = fs::read_to_string(journal.join("done-1")).unwrap();
    let open: Vec<&str> = closed.lines().filter(|line| !line.starts_with("{\"landed\"")).collect();
    fs::write(journal.join("journal"), open.join("\n") + "\n").unwrap();
    fs::remove_file(journal.join("done-1")).unwrap();
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    fs::write(upper.join("file"), text(&[(2, "two"), (38, "last")])).unwrap();
    let workspace = Workspace::reopen(&desk.run_dir()).unwrap();
    line.recover(&workspace).unwrap();
    assert_eq!(ids(&workspace, "file"), [all[1].clone()]);
    land(&workspace, &line, Pick::all());
    assert_eq!(read(&desk, "file"), text(&[(2, "mine"), (38, "last")]));
}
