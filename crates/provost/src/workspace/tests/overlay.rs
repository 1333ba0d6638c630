//! The upper layers that the kernel really writes.

use super::super::*;
use super::desk::{Desk, copy, line, listing};
use std::fs;
use std::process::Command;

/// Edits of every kind, as a program does them.
const EDITS: &str = r#"
set -e
cd "$1"
echo changed >> src/main.rs
rm gone; rm -rf old; mkdir old; echo fresh > old/fresh
mv renamed/a renamed/b; mv moved elsewhere
chmod 600 mode; touch same; chmod 644 same
rm was-file; mkdir was-file; echo x > was-file/in
rm -rf was-folder; echo x > was-folder
ln -s gone link; ln -sf old link2
rm -rf twice; mkdir twice; echo 1 > twice/one; rm -rf twice
mkdir -p new/deep; echo y > new/deep/er; mkdir new/bare
mkdir -p again/sub; rm -rf again; mkdir again; echo z > again/z
printf 'a' > "$(printf 'odd\nname')"
"#;

/// Runs the edits over a real overlay, in a namespace of its own. False where this machine has none.
fn run_on_overlay(lower: &Path, upper: &Path, work: &Path, place: &Path) -> bool {
    let script = format!("mount -t overlay overlay -o \"$2\" \"$1\" || exit 77; {EDITS}");
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr,volatile",
        lower.display(),
        upper.display(),
        work.display()
    );
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", &script, "sh"]).arg(place).arg(options);
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) if output.status.code() != Some(77) && !output.stderr.starts_with(b"unshare:") => {
            panic!("the edits failed: {}", String::from_utf8_lossy(&output.stderr))
        }
        _ => false,
    }
}

#[test]
fn what_a_real_overlay_holds_is_told_and_lands_exactly() {
    let (desk, line) = (Desk::new(), line());
    for name in [
        "gone",
        "old/a",
        "old/deep/b",
        "renamed/a",
        "moved/x",
        "moved/y/z",
        "mode",
        "same",
        "was-file",
        "was-folder/x",
        "twice/two",
        "again/sub/x",
    ] {
        desk.write(name, format!("{name}\n"));
    }
    std::os::unix::fs::symlink("mode", desk.root().join("link2")).unwrap();
    let workspace = desk.stage();
    let Stage::Overlay { lower, upper, work } = workspace.staged() else { panic!() };
    let place = desk.path("mounted");
    fs::create_dir(&place).unwrap();
    if !run_on_overlay(lower, upper, work, &place) {
        eprintln!("SKIPPED: no overlay can be mounted in a user namespace here");
        return;
    }
    let seen = desk.path("seen");
    copy(&desk.root(), &seen);
    let edited = Command::new("sh").args(["-c", EDITS, "sh"]).arg(&seen).status().unwrap();
    assert!(edited.success());
    let before = listing(&desk.root());
    let change = workspace.settle(&line.admission).unwrap();
    assert!(!change.files.iter().any(|file| file.path == Path::new("same")), "it was only touched");
    assert_eq!(listing(&desk.root()), before);
    let landing = workspace.land(&line.admission, &change, &Pick::all().with_handoffs()).unwrap();
    assert_eq!(landing.refused, vec![]);
    assert_eq!(listing(&desk.root()), listing(&seen));
    assert!(workspace.change().unwrap().is_empty());
    workspace.discard(&line.admission).unwrap();
    assert!(!desk.run_dir().join("staged").exists());
}
