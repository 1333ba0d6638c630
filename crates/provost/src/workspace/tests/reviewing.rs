//! What a person reads of a change.

use super::super::*;
use super::desk::{Desk, line, write};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

fn reviewed(edit: impl FnOnce(&Path)) -> Review {
    let desk = Desk::new();
    desk.write("text", "1\n2\n3\n");
    desk.write("run.sh", "x\n");
    desk.write("image", [0u8; 9]);
    let workspace = desk.stage();
    desk.edited(&workspace, edit);
    workspace.review(&workspace.change().unwrap()).unwrap()
}

#[test]
fn everything_is_shown_for_what_it_is() {
    let review = reviewed(|seen| {
        write(seen, "text", "1\ntwo\n3\n4");
        write(seen, "image", [0u8; 12]);
        fs::set_permissions(seen.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../out", seen.join("link")).unwrap();
        fs::create_dir(seen.join("empty")).unwrap();
        fs::remove_file(seen.join("src/main.rs")).unwrap();
        write(seen, OsStr::from_bytes(b"odd\x1b[31m\n\xff"), "a\x1b[2Jb\r\n");
    });
    let text = review.text(false);
    let expected = "\
added empty
  nothing -> a folder

modified image
  medium risk: it is binary: nobody reads it
  binary: 9 bytes -> 12 bytes

link link
  kept back: it is a link, and leads elsewhere
  medium risk
  nothing -> a link to `../out`

added odd\\u{1b}[31m\\u{a}\\xff  +1 -0
@@ -0,0 +1,1 @@ HUNK
+a\\u{1b}[2Jb\\u{d}

mode run.sh
  kept back: it becomes a program, or open to others
  medium risk
  mode 0644 -> 0755

deleted src/main.rs  +0 -1
@@ -1,1 +0,0 @@ HUNK
-fn main() {}

modified text  +2 -1
@@ -1,3 +1,4 @@ HUNK
 1
-2
+two
 3
+4
\\ no line end at the end of the file

7 files changed, +3 -2; 2 of them kept back
";
    let ids: Vec<&str> =
        review.files.iter().flat_map(|file| &file.hunks).map(|hunk| hunk.id.as_str()).collect();
    let neutral = ids.iter().fold(text, |text, id| text.replace(id, "HUNK"));
    assert_eq!(neutral, expected);
    let coloured = review.text(true);
    assert!(coloured.contains("\x1b[32m+two\x1b[0m") && !coloured.contains("\x1b[2J"));
}

#[test]
fn the_data_says_the_same_with_the_same_ids() {
    let review = reviewed(|seen| write(seen, "text", "1\ntwo\n3\n"));
    let data = serde_json::to_value(&review).unwrap();
    let file = &data["files"][0];
    assert_eq!(file["path"], "text");
    assert_eq!(file["change"], "modified");
    assert_eq!(file["hunks"][0]["lines"], serde_json::json!([" 1\n", "-2\n", "+two\n", " 3\n"]));
    assert!(review.text(false).contains(file["hunks"][0]["id"].as_str().unwrap()));
}

#[test]
fn a_file_under_another_name_is_shown_as_the_same() {
    let review = reviewed(|seen| {
        fs::rename(seen.join("text"), seen.join("renamed")).unwrap();
        write(seen, "tests/a.rs", "#[test]\n#[ignore]\nfn a() {}\n");
    });
    let text = review.text(false);
    assert!(text.contains("renamed text -> renamed\n"), "{text}");
    assert!(text.contains("  high risk: tests are skipped\n"), "{text}");
    assert!(!text.contains("-1\n"), "what only changed its name is not shown line by line: {text}");
    let data = serde_json::to_value(&review).unwrap();
    assert_eq!(
        (&data["files"][0]["renamed_from"], &data["files"][2]["renamed_to"]),
        (&"text".into(), &"renamed".into())
    );
    assert_eq!(data["files"][1]["risk"]["grade"], "high");
    assert_eq!(data["files"][1]["hunks"][0]["risk"]["reasons"][0], "tests are skipped");
}

#[test]
fn what_is_discarded_is_gone_and_recorded_and_the_folder_untouched() {
    let (desk, line) = (Desk::new(), line());
    let before = super::desk::listing(&desk.root());
    let workspace = desk.stage();
    desk.edited(&workspace, |seen| {
        write(seen, "new", "x\n");
        fs::remove_dir_all(seen.join("src")).unwrap();
    });
    assert_eq!(workspace.discard(&line.admission).unwrap(), 2);
    assert_eq!(super::desk::listing(&desk.root()), before);
    assert!(matches!(Workspace::reopen(&desk.run_dir()), Err(StageError::NothingStaged(_))));
    assert!(!desk.run_dir().join("discarded").exists());
    assert!(
        line.events().iter().any(|event| matches!(event, ledger::Body::Discarded(told) if told.files == 2))
    );
}
