//! Landings cut short after every part of them, and finished or taken back by the next process.

use super::journal::Stands;
use super::*;
use crate::workspace::tests::desk::{Desk, Line, line, line_for, listing, write};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// Where a landing ends without a word.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The names of what will be made ready are on disk.
    Announced,
    /// It is made ready.
    Ready,
    /// So is the plan; this many steps are done.
    Steps(usize),
    /// As before, and the next has changed places without being looked at.
    Within(usize),
}

/// Lands like [`Workspace::land`], up to the cut.
fn land_until(workspace: &Workspace, line: &Line, cut: Cut) {
    let (admission, mut landing) = (&line.admission, Landing::default());
    let mut journal = workspace.begin(&mut workspace.hold().unwrap()).unwrap();
    let sides = workspace.sides().unwrap();
    let change = workspace.change().unwrap();
    let pick = Pick::all().with_handoffs();
    let permitted = workspace.permitted(admission, &change, &pick, &mut landing).unwrap();
    if matches!(cut, Cut::Announced) {
        let places: Vec<_> = permitted.iter().map(|one| ready::beside(&sides, &one.file.path)).collect();
        journal.announce(&places).unwrap();
        return;
    }
    let (steps, permits) =
        workspace.make_ready(admission, &mut journal, &sides, permitted, &mut landing).unwrap();
    if matches!(cut, Cut::Ready) {
        return;
    }
    let folders = journal.prepared(&sides, steps).unwrap();
    let (Cut::Steps(whole) | Cut::Within(whole)) = cut else { panic!() };
    for (index, (step, permit)) in swap::in_order(journal.steps(), permits).into_iter().enumerate() {
        if index < whole {
            let done = swap::perform(permit, step, &sides, &folders);
            // Of every other step that was done the ledger has no word yet.
            if index % 2 == 0 {
                workspace.record(admission, (&sides, &journal), step, done, &mut landing).unwrap();
            }
        } else if index == whole && matches!(cut, Cut::Within(_)) {
            change_places(&workspace.root, step);
        }
    }
}

/// The first half of a step.
fn change_places(root: &Path, step: &Step) {
    let (place, temp) = (root.join(step.path()), root.join(step.temp.path()));
    let (from, to, flags) = match (&step.pre, &step.post) {
        (Stands::File { .. } | Stands::Link { .. }, Stands::Nothing | Stands::Folder { .. }) => {
            (&place, &temp, RenameFlags::NOREPLACE)
        }
        _ if step.is_mode() => return,
        (Stands::File { .. } | Stands::Link { .. }, _) => (&temp, &place, RenameFlags::EXCHANGE),
        _ => return,
    };
    renameat_with(CWD, from, CWD, to, flags).unwrap();
}

/// A desk, a staged change of every kind, and what it leads to.
fn staged() -> (Desk, Workspace, Vec<String>) {
    let desk = Desk::new();
    for name in ["edit", "gone", "old/x", "old/y", "was-file", "mode", "was-folder/z"] {
        desk.write(name, format!("{name}\n"));
    }
    symlink("edit", desk.root().join("link")).unwrap();
    let workspace = desk.stage();
    let seen = desk.edited(&workspace, |seen| {
        write(seen, "edit", "of the run\n");
        fs::remove_file(seen.join("gone")).unwrap();
        fs::remove_dir_all(seen.join("old")).unwrap();
        fs::remove_file(seen.join("was-file")).unwrap();
        write(seen, "was-file/in", "x\n");
        fs::remove_dir_all(seen.join("was-folder")).unwrap();
        write(seen, "was-folder", "x\n");
        fs::set_permissions(seen.join("mode"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(seen.join("link")).unwrap();
        symlink("gone", seen.join("link")).unwrap();
        write(seen, "new/deep/er", "x\n");
        fs::create_dir(seen.join("bare")).unwrap();
        fs::set_permissions(seen.join("bare"), fs::Permissions::from_mode(0o750)).unwrap();
    });
    let wanted = listing(&seen);
    (desk, workspace, wanted)
}

#[test]
fn a_landing_that_was_cut_short_is_finished_or_taken_back() {
    let steps = 12;
    let cuts = [Cut::Announced, Cut::Ready].into_iter();
    for cut in cuts.chain((0..=steps).map(Cut::Steps)).chain((0..steps).map(Cut::Within)) {
        let (desk, workspace, wanted) = staged();
        let line = line_for(&desk.root());
        workspace.settle(&line.admission).unwrap();
        assert_eq!(workspace.change().unwrap().files.len(), steps);
        let before = listing(&desk.root());
        land_until(&workspace, &line, cut);
        let later = Workspace::reopen(&desk.run_dir()).unwrap();
        assert!(later.is_half_landed());
        // Until it is in order, nothing else lands there, of whatever run.
        let change = later.change().unwrap();
        let refused = later.land(&line.admission, &change, &Pick::all());
        assert!(matches!(refused, Err(LandError::HalfLanded(run)) if run == "r1"), "{cut:?}");
        let recovered = line.recover(&later).unwrap();
        assert_eq!(recovered.landing.refused, vec![], "{cut:?}");
        let taken_back = matches!(cut, Cut::Announced | Cut::Ready);
        assert_eq!((recovered.taken_back, recovered.undo), (taken_back, false), "{cut:?}");
        assert_eq!(listing(&desk.root()), if taken_back { before } else { wanted.clone() }, "{cut:?}");
        let change = later.change().unwrap();
        assert_eq!(change.is_empty(), !taken_back, "{cut:?} {change:?}");
        later.land(&line.admission, &change, &Pick::all().with_handoffs()).unwrap();
        assert_eq!(listing(&desk.root()), wanted, "{cut:?}");
        let told = line.events().into_iter().filter(|event| matches!(event, Body::Landed(_))).count();
        assert_eq!(told, steps, "{cut:?}: each landing is told once");
        assert_eq!(line.recover(&later), None);
        line.ends_whole();
    }
}

#[test]
fn what_a_person_wrote_between_crash_and_recovery_stays() {
    for cut in [Cut::Steps(0), Cut::Within(0)] {
        let (desk, line) = (Desk::new(), line());
        desk.write("edit", "1\n");
        let workspace = desk.stage();
        desk.edited(&workspace, |seen| write(seen, "edit", "of the run\n"));
        workspace.settle(&line.admission).unwrap();
        if matches!(cut, Cut::Within(_)) {
            // The editor was faster than the step: what came out of the place is the person's.
            land_until(&workspace, &line, Cut::Steps(0));
            desk.write("edit", "mine\n");
            let journal = Journal::found(&workspace.run_dir.join("landing")).unwrap().unwrap();
            change_places(&workspace.root, &journal.steps()[0]);
            assert_eq!(fs::read_to_string(desk.root().join("edit")).unwrap(), "of the run\n");
        } else {
            land_until(&workspace, &line, cut);
            desk.write("edit", "mine\n");
        }
        let landing = line.recover(&Workspace::reopen(&desk.run_dir()).unwrap()).unwrap().landing;
        assert_eq!((landing.landed.len(), landing.refused.len()), (0, 1), "{cut:?}");
        assert_eq!(fs::read_to_string(desk.root().join("edit")).unwrap(), "mine\n", "{cut:?}");
        assert_eq!(fs::read_dir(desk.root()).unwrap().count(), 2, "{cut:?}: something is left beside");
    }
}

#[test]
fn a_journal_whose_last_line_was_cut_is_taken_back() {
    let line = line();
    let (desk, workspace, _) = staged();
    let before = listing(&desk.root());
    land_until(&workspace, &line, Cut::Steps(0));
    let journal = workspace.run_dir.join("landing/journal");
    let text = fs::read(&journal).unwrap();
    fs::write(&journal, &text[..text.len() - 1]).unwrap();
    let recovered = line.recover(&workspace).unwrap();
    assert_eq!((recovered.landing, recovered.taken_back), (Landing::default(), true));
    assert_eq!(listing(&desk.root()), before);
}

/// Takes a landing back like [`Workspace::undo`], up to the cut.
fn undo_until(workspace: &Workspace, line: &Line, cut: Cut) {
    let (admission, mut landing) = (&line.admission, Landing::default());
    let at = workspace.run_dir.join("landing");
    let (name, done) = Journal::last(&at).unwrap().unwrap();
    let sides = workspace.sides().unwrap();
    let permitted = workspace.permitted_back(admission, &sides, &done, &mut landing).unwrap();
    let mut journal = workspace.begin(&mut workspace.hold().unwrap()).unwrap();
    let made = workspace.make_ready_back(admission, (&mut journal, &sides), permitted, &mut landing);
    let (steps, permits) = made.unwrap();
    let (Cut::Steps(whole) | Cut::Within(whole)) = cut else { return };
    let folders = journal.prepared_back(&sides.now, steps, (&name, &done)).unwrap();
    for (index, (step, permit)) in swap::in_order(journal.steps(), permits).into_iter().enumerate() {
        if index < whole {
            swap::make_way(&sides.now, &journal, step);
            let done = swap::perform(permit, step, &sides, &folders);
            if index % 2 == 0 {
                workspace.record(admission, (&sides, &journal), step, done, &mut landing).unwrap();
            }
        } else if index == whole && matches!(cut, Cut::Within(_)) {
            change_places(&workspace.root, step);
        }
    }
}

#[test]
fn an_undo_that_was_cut_short_is_finished() {
    let steps = 12;
    for cut in
        std::iter::once(Cut::Ready).chain((0..=steps).map(Cut::Steps)).chain((0..steps).map(Cut::Within))
    {
        let (desk, workspace, wanted) = staged();
        let line = line_for(&desk.root());
        let change = workspace.settle(&line.admission).unwrap();
        let before = listing(&desk.root());
        workspace.land(&line.admission, &change, &Pick::all().with_handoffs()).unwrap();
        undo_until(&workspace, &line, cut);
        let later = Workspace::reopen(&desk.run_dir()).unwrap();
        let recovered = line.recover(&later).unwrap();
        assert_eq!(recovered.landing.refused, vec![], "{cut:?}");
        if matches!(cut, Cut::Ready) {
            // Nothing had changed yet: the landing stands, and can be taken back anew.
            assert_eq!(listing(&desk.root()), wanted);
            later.undo(&line.admission).unwrap();
        }
        assert_eq!(listing(&desk.root()), before, "{cut:?}");
        assert_eq!(later.change().unwrap(), change, "{cut:?}");
        assert!(matches!(later.undo(&line.admission), Err(LandError::NothingLanded)), "{cut:?}");
        line.ends_whole();
    }
}

/// A disk that is full when a journal is closed leaves a line without its end, and the next line must stand by itself.
#[test]
fn a_journal_whose_end_did_not_fit_is_closed_later_and_can_still_be_undone() {
    let (desk, workspace, wanted) = staged();
    let line = line_for(&desk.root());
    workspace.settle(&line.admission).unwrap();
    let before = listing(&desk.root());
    land_until(&workspace, &line, Cut::Steps(12));
    let journal = workspace.run_dir.join("landing/journal");
    let text = fs::read(&journal).unwrap();
    fs::write(&journal, [&text[..], b"{\"landed\":[\"edi"].concat()).unwrap();
    line.recover(&workspace).unwrap();
    assert_eq!(listing(&desk.root()), wanted);
    let later = Workspace::reopen(&desk.run_dir()).unwrap();
    assert_eq!(later.undo(&line.admission).unwrap().refused, vec![]);
    assert_eq!(listing(&desk.root()), before);
    line.ends_whole();
}
