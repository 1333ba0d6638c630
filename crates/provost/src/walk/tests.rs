//! Walks without a terminal.

use super::*;
use crate::workspace::{HunkReview, RenameReview, SideReview};
use ledger::event::Change;

fn hunk(id: &str, text: &str) -> HunkReview {
    let risk = Risk { grade: None, reasons: vec!["tests are skipped".to_owned()] };
    let lines = vec![text.into()];
    HunkReview { id: id.to_owned(), old: (1, 0), new: (1, 1), risk, rejected: None, lines }
}

fn file(path: &str, hunks: Vec<HunkReview>) -> FileReview {
    FileReview {
        path: path.into(),
        change: Change::Modified,
        pre: None,
        post: None,
        content: "lines",
        added: 0,
        removed: 0,
        handoff: None,
        why: None,
        demand: None,
        lands: true,
        moved: false,
        risk: Risk::default(),
        rejected: None,
        renamed_from: None,
        renamed_to: None,
        same: false,
        line_ends: None,
        edits: Vec::new(),
        hunks,
    }
}

fn walked(files: Vec<FileReview>, keys: &str) -> (Option<Said>, String) {
    edited(files, keys, &|_, _| Err(EditorError::None))
}

fn edited(files: Vec<FileReview>, keys: &str, edit: Edit<'_>) -> (Option<Said>, String) {
    let review = Review { files, renames: Vec::new(), ignored: Vec::new(), git: 0 };
    let (mut input, mut output) = (keys.as_bytes(), Vec::new());
    let said = through(&review, (&mut input, &mut output, Paint::PLAIN), None, edit).unwrap();
    (said, String::from_utf8(output).unwrap())
}

fn text_file(path: &str, hunks: Vec<HunkReview>) -> FileReview {
    let side = SideReview { kind: "file", mode: "0644".into(), size: Some(1), target: None };
    FileReview { pre: Some(side.clone()), post: Some(side), ..file(path, hunks) }
}

fn line(id: &str, before: &str, after: &str) -> HunkReview {
    let lines = vec![format!("-{before}\n").as_str().into(), format!("+{after}\n").as_str().into()];
    HunkReview { lines, ..hunk(id, "") }
}

#[test]
fn what_a_person_saved_lands_and_not_the_hunk() {
    let files = || vec![text_file("a.rs", vec![line("h1", "old", "new"), line("h2", "x", "y")])];
    let mine = |name: &Path, text: &[u8]| {
        assert_eq!((name, text), (Path::new("a.rs"), &b"new\n"[..]));
        Ok(b"mine\n".to_vec())
    };
    let (said, text) = edited(files(), "e\ny\ny\ny\n", &mine);
    let said = said.unwrap();
    let edit = HandEdit { path: "a.rs".into(), hunk: "h1".into(), text: b"mine\n".to_vec() };
    assert_eq!((said.hunks, said.files, said.edits), (vec!["h2".to_owned()], vec![], vec![edit]));
    assert!(text.contains("-old\n+mine\n") && text.contains("hunk 1 of 2, as you edited it: "), "{text}");
    assert!(text.contains("2 parts to land (1 as you edited it), 0 rejected"), "{text}");
    // An edit that is not accepted in the end is none.
    assert_eq!(edited(files(), "e\ns\ns\n", &mine).0, None);
}

#[test]
fn an_edit_that_changes_nothing_lands_nothing() {
    let files = || vec![text_file("a.rs", vec![line("h1", "old", "new")])];
    let (said, text) = edited(files(), "e\ns\n", &|_, _| Ok(b"old\n".to_vec()));
    assert!(said.is_none() && text.contains("that is what is there already"), "{text}");
    let (said, _) = edited(files(), "e\ny\ny\n", &|_, text| Ok(text.to_vec()));
    assert_eq!(said.unwrap().hunks, ["h1"]);
    let (said, text) = walked(files(), "e\ns\n");
    assert!(said.is_none() && text.contains("set VISUAL or EDITOR"), "{text}");
    let image = vec![file("image", Vec::new())];
    assert!(walked(image, "e\ns\n").1.contains("only lines can be edited"));
    let gone = vec![FileReview { post: None, ..text_file("a", vec![line("h1", "old", "")]) }];
    assert!(edited(gone, "e\ns\n", &|_, _| panic!("opened")).1.contains("nothing to edit"));
}

#[test]
fn a_line_that_an_editor_obeys_is_shown_before_it_is_opened() {
    let files = || vec![text_file("a.rs", vec![line("h1", "old", "// vim: set ft=evil:\u{1b}[2J")])];
    let (said, text) = edited(files(), "e\nn\ns\n", &|_, _| panic!("opened"));
    assert!(
        said.is_none() && text.contains("some editors obey a line of it: `// vim: set ft=evil:"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
    let (said, _) = edited(files(), "e\ny\ny\ny\n", &|_, _| Ok(b"mine\n".to_vec()));
    assert_eq!(said.unwrap().edits.len(), 1);
}

#[test]
fn each_part_is_shown_and_answered_for_itself() {
    let files = vec![
        file("a", vec![hunk("h1", "+one\n"), hunk("h2", "+two\n"), hunk("h3", "+three\n")]),
        file("image", Vec::new()),
        file("other", Vec::new()),
    ];
    let (said, text) = walked(files, "y\nw\nn\n\nn\nnot asked for\ns\ny\nn\nugly\ny\n");
    let said = said.unwrap();
    assert_eq!((said.hunks, said.files), (vec!["h1".to_owned()], vec![PathBuf::from("image")]));
    let no = |what, why: &str| No { what, why: why.to_owned() };
    let other = no(Named::File("other".into()), "ugly");
    assert_eq!(said.nos, [no(Named::Hunk("h2".into()), "not asked for"), other]);
    assert!(text.contains("+two") && text.contains("  tests are skipped\n"), "{text}");
    assert!(text.contains("2 parts to land, 2 rejected"), "{text}");
}

#[test]
fn whoever_leaves_is_asked_before_anything_is_done() {
    let files = || vec![file("a", vec![hunk("h1", "+one\n"), hunk("h2", "+two\n")])];
    assert_eq!(walked(files(), "y\nq\ny\n").0.unwrap().hunks, ["h1"]);
    assert_eq!(walked(files(), "y\nq\nn\n").0, None);
    for end in ["", "y\n", "y\ny\n", "s\ns\n", "nonsense\n", "n\n"] {
        assert_eq!(walked(files(), end).0, None, "{end:?}");
    }
}

#[test]
fn a_mode_is_asked_for_by_itself_and_what_never_lands_not_at_all() {
    let side = |mode: &str| SideReview { kind: "file", mode: mode.into(), size: Some(1), target: None };
    let run = FileReview {
        pre: Some(side("0644")),
        post: Some(side("0755")),
        ..file("run.sh", vec![hunk("h1", "+one\n")])
    };
    let git = FileReview { lands: false, ..file(".git/config", vec![hunk("h9", "+x\n")]) };
    let (said, text) = walked(vec![git.clone(), run.clone()], "y\ny\ny\n");
    let said = said.unwrap();
    assert_eq!((said.hunks.len(), said.files), (0, vec![PathBuf::from("run.sh")]));
    assert!(text.contains("its mode 0644 -> 0755: ") && !text.contains("+x"), "{text}");
    assert_eq!(walked(vec![git, run], "y\ns\ny\n").0.unwrap().hunks, ["h1"]);
}

#[test]
fn a_rename_is_asked_for_once_or_file_by_file() {
    let renamed = || {
        let names = [("new/a", None, Some("old/a")), ("old/a", Some("new/a"), None)];
        let file = |(path, to, from): (&str, Option<&str>, Option<&str>)| FileReview {
            renamed_to: to.map(Into::into),
            renamed_from: from.map(Into::into),
            same: true,
            ..text_file(path, vec![hunk(path, "+x\n")])
        };
        let files: Vec<FileReview> = names.into_iter().map(file).chain([file(("z", None, None))]).collect();
        let (from, to) = ("old".into(), "new".into());
        let rename = RenameReview { from, to, folder: true, files: 1, changed: 0, pairs: vec![(1, 0)] };
        Review { files, renames: vec![rename], ignored: Vec::new(), git: 0 }
    };
    let walked = |keys: &str| {
        let (mut input, mut output) = (keys.as_bytes(), Vec::new());
        let terminal: (&mut dyn BufRead, &mut dyn Write, _) = (&mut input, &mut output, Paint::PLAIN);
        let said = through(&renamed(), terminal, None, &|_, _| Err(EditorError::None)).unwrap();
        (said, String::from_utf8(output).unwrap())
    };
    let (said, text) = walked("y\ns\ny\n");
    let said = said.unwrap();
    assert_eq!(said.files, [PathBuf::from("old/a"), "new/a".into()]);
    assert!(text.contains("renamed old/ -> new/ (1 file)") && text.contains("part 2 of 2"), "{text}");
    let (said, _) = walked("n\nno\ns\ny\n");
    assert_eq!(said.unwrap().nos.len(), 2);
    let (said, text) = walked("f\nn\nno\ny\ns\ny\n");
    let said = said.unwrap();
    assert_eq!((said.hunks, said.nos.len()), (vec!["new/a".to_owned()], 1), "{text}");
}
