//! Files and folders under a new name: shown as one thing, landed as what they are.

use super::super::*;
use super::desk::{Desk, line, listing, write};
use std::fs;
use std::os::unix::fs::symlink;

fn text(name: &str, edit: &str) -> String {
    let lines: Vec<String> = (1..=20).map(|number| format!("{name} {number}\n")).collect();
    lines.concat().replace(&format!("{name} 3\n"), edit)
}

/// A folder of fourteen things that moves, with two of them changed.
fn moved() -> (Desk, Workspace) {
    let desk = Desk::new();
    for number in 0..10 {
        desk.write(&format!("src/old/f{number}.rs"), text(&format!("f{number}"), "three\n"));
    }
    desk.write("src/old/deep/image", [0u8, 1, 2]);
    desk.write("src/old/deep/empty", "");
    fs::create_dir(desk.root().join("src/old/bare")).unwrap();
    symlink("f1.rs", desk.root().join("src/old/link")).unwrap();
    desk.write("src/stays.rs", "x\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        fs::rename(seen.join("src/old"), seen.join("src/new")).unwrap();
        write(seen, "src/new/f0.rs", text("f0", "drei\n"));
        write(seen, "src/new/deep/image", [0u8, 9, 9, 9]);
    });
    (desk, workspace)
}

#[test]
fn a_folder_that_moved_is_one_rename_with_a_count() {
    let (_desk, workspace) = moved();
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    let text = review.text(false);
    assert!(text.contains("renamed src/old/ -> src/new/ (14 files, 2 changed)\n"), "{text}");
    assert!(text.contains("  f0.rs  +1 -1\n") && text.contains("-three\n+drei\n"), "{text}");
    assert!(text.contains("  deep/image") && !text.contains("f1.rs  +"), "{text}");
    // A link leads elsewhere from where it is now: it is looked at by itself.
    assert!(
        text.contains("  1 of them is shown by itself\n") && text.contains("link src/new/link\n"),
        "{text}"
    );
    assert!(text.contains("28 files changed, +1 -1"), "{text}");
    let data = serde_json::to_value(&review).unwrap();
    let expected = serde_json::json!([
        { "from": "src/old", "to": "src/new", "folder": true, "files": 14, "changed": 2 }
    ]);
    assert_eq!(data["renames"], expected);
    let file = |name: &str| {
        data["files"].as_array().unwrap().iter().find(|file| file["path"] == name).unwrap().clone()
    };
    let (was, is) = (file("src/old/f0.rs"), file("src/new/f0.rs"));
    assert_eq!((&was["renamed_to"], &is["renamed_from"]), (&is["path"], &was["path"]));
    assert_eq!((is["edits"].as_array().unwrap().len(), is.get("same")), (1, None));
    assert_eq!(file("src/new/f1.rs")["same"], true);
}

#[test]
fn a_rename_lands_as_what_it_is_and_goes_back() {
    let (desk, workspace) = moved();
    let (line, before) = (line(), listing(&desk.root()));
    let landing = workspace.land(&line.admission, &workspace.change().unwrap(), &Pick::all()).unwrap();
    assert_eq!((landing.landed.len(), landing.refused.len()), (27, 1));
    let link = Pick::only(&["src/new/link"]).unwrap();
    workspace.land(&line.admission, &workspace.change().unwrap(), &link).unwrap();
    assert_eq!(listing(&desk.root()), listing(&desk.path("seen")));
    workspace.undo(&line.admission).unwrap();
    workspace.undo(&line.admission).unwrap();
    assert_eq!(listing(&desk.root()), before);
}

#[test]
fn what_did_not_move_as_a_whole_is_shown_file_by_file() {
    let desk = Desk::new();
    for name in ["old/a.rs", "old/b.rs", "old/c.rs", "tests/t.rs"] {
        desk.write(name, text(name, "three\n"));
    }
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        fs::create_dir(seen.join("new")).unwrap();
        fs::rename(seen.join("old/a.rs"), seen.join("new/a.rs")).unwrap();
        write(seen, "new/b.rs", text("old/b.rs", "drei\n"));
        fs::remove_file(seen.join("old/b.rs")).unwrap();
        fs::rename(seen.join("tests/t.rs"), seen.join("t.bak")).unwrap();
    });
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    let text = review.text(false);
    assert!(text.contains("renamed old/a.rs -> new/a.rs\n"), "{text}");
    assert!(text.contains("renamed old/b.rs -> new/b.rs (changed)\n"), "{text}");
    // Under the name of no test, a test is gone.
    assert!(
        text.contains("renamed tests/t.rs -> t.bak\n  high risk: a file of tests is deleted\n"),
        "{text}"
    );
}

#[test]
fn a_test_that_only_moves_is_no_test_that_is_deleted() {
    let desk = Desk::new();
    desk.write("tests/a.rs", "#[test]\n#[ignore]\nfn a() { assert!(x); }\n");
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| fs::rename(seen.join("tests/a.rs"), seen.join("tests/b.rs")).unwrap());
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    assert!(review.files.iter().all(|file| file.risk == Risk::default()), "{review:#?}");
}

#[test]
fn files_that_share_little_are_not_the_same_under_another_name() {
    let desk = Desk::new();
    desk.write("a.rs", text("a", "three\n"));
    desk.write("licence.rs", "a licence\n\n".to_owned() + &text("x", "y\n"));
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        fs::remove_file(seen.join("a.rs")).unwrap();
        fs::remove_file(seen.join("licence.rs")).unwrap();
        write(seen, "b.rs", text("b", "three\n"));
        write(seen, "c.rs", "a licence\n\n".to_owned() + &text("c", "d\n"));
    });
    let review = workspace.review(&workspace.change().unwrap()).unwrap();
    assert_eq!(review.renames, vec![]);
}
