//! What lands is what was there when the run was over.

use super::super::*;
use super::desk::{Desk, line, listing, write};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use ledger::Body;
use sha2::{Digest as _, Sha256};

#[test]
fn what_changed_in_the_staged_folder_after_the_run_does_not_land() {
    let (desk, line) = (Desk::new(), line());
    for name in ["edit", "hunks", "mode", "link", "kept", "gone"] {
        desk.write(name, "1\n");
    }
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        for name in ["edit", "hunks", "mode", "link", "kept", "fresh"] {
            write(seen, name, "of the run\n");
        }
        write(seen, "big", vec![b'x'; (sides::LARGE + 1) as usize]);
        fs::remove_file(seen.join("gone")).unwrap();
    });
    let change = workspace.settle(&line.admission).unwrap();
    let before = listing(&desk.root());
    let Stage::Overlay { upper, .. } = workspace.staged() else { panic!() };
    // Somebody gets at it between the run and the landing: contents, modes, kinds, things that were not there.
    write(upper, "edit", "of somebody\n");
    write(upper, "hunks", "of somebody else\n");
    fs::set_permissions(upper.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(upper.join("link")).unwrap();
    symlink("/etc/passwd", upper.join("link")).unwrap();
    fs::remove_file(upper.join("gone")).unwrap();
    write(upper, "gone", "back\n");
    write(upper, "more", "more\n");
    let mut big = fs::OpenOptions::new().write(true).open(upper.join("big")).unwrap();
    std::io::Write::write_all(&mut big, b"y").unwrap();
    let later = Workspace::reopen(&desk.run_dir()).unwrap();
    for looked_at in [change, later.change().unwrap()] {
        let hunks: Vec<String> = later
            .review(&looked_at)
            .unwrap()
            .files
            .iter()
            .flat_map(|file| &file.hunks)
            .map(|hunk| hunk.id.clone())
            .collect();
        for pick in [Pick::all(), Pick::default().with_hunks(hunks)] {
            let landing = later.land(&line.admission, &looked_at, &pick.with_handoffs()).unwrap();
            assert!(
                landing.landed.iter().all(|path| path.ends_with("kept") || path.ends_with("fresh")),
                "{landing:?}"
            );
            let altered = |kept: &&Kept| kept.because.contains("nobody has looked at it");
            assert!(landing.refused.iter().all(|kept| altered(&kept)), "{landing:?}");
        }
    }
    let now = listing(&desk.root());
    let same = |name: &str| before.iter().filter(|line| line.contains(name)).all(|line| now.contains(line));
    assert!(["edit", "hunks", "mode", "link", "gone"].into_iter().all(same), "{now:?}");
    assert!(!now.iter().any(|line| line.contains("big") || line.contains("more")), "{now:?}");
    assert_eq!(fs::read_to_string(desk.root().join("kept")).unwrap(), "of the run\n");
}

#[test]
fn what_had_landed_before_the_run_was_over_can_be_taken_back_and_land_again() {
    let (desk, line) = (Desk::new(), line());
    desk.write("gone", "1\n");
    let workspace = desk.stage();
    let seen = desk.edited(&workspace, |seen| {
        write(seen, "file", "of the run\n");
        write(seen, "more", "of the run\n");
        fs::remove_file(seen.join("gone")).unwrap();
    });
    let before = listing(&desk.root());
    // Some of it lands while the run goes on, and is no change any more when the run is over.
    let change = workspace.change().unwrap();
    workspace.land(&line.admission, &change, &Pick::only(&["file", "gone"]).unwrap()).unwrap();
    workspace.settle(&line.admission).unwrap();
    let later = Workspace::reopen(&desk.run_dir()).unwrap();
    later.undo(&line.admission).unwrap();
    assert_eq!(listing(&desk.root()), before);
    let landing = later.land(&line.admission, &later.change().unwrap(), &Pick::all()).unwrap();
    assert_eq!(landing.refused, vec![]);
    assert_eq!(listing(&desk.root()), listing(&seen));
}

#[test]
fn the_record_names_what_was_staged_by_the_digest_with_which_it_lands() {
    let (desk, line) = (Desk::new(), line());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "file", "of the run\n");
        symlink("file", seen.join("link")).unwrap();
    });
    let change = workspace.settle(&line.admission).unwrap();
    workspace.land(&line.admission, &change, &Pick::all().with_handoffs()).unwrap();
    let digest = |text: &str| Some(sides::hex(&Sha256::digest(text)));
    let (mut staged, mut landed) = (Vec::new(), Vec::new());
    for event in line.events() {
        match event {
            Body::ChangeStaged(change) => staged.extend(change.files.into_iter().map(|file| file.digest)),
            Body::Landed(file) => landed.push(file.post),
            _ => {}
        }
    }
    assert_eq!(staged, [digest("of the run\n"), digest("file")]);
    assert_eq!(landed, staged);
}
