//! The same on a disk that is full: of the state folder, or of the workspace. The disk is a small one of the test's own, in a
//! namespace of its own.

use super::{Staged, killed, lasts, mended};
use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells the child which disk is small.
const DISK: &str = "PROVOST_E2E_SMALL_DISK";

/// Room that is left when something lands: for nothing at all, for a part of it, for all of it.
const FREE: [u64; 3] = [0, 40 << 10, 1 << 20];

/// A mounted disk of twelve megabytes.
struct Disk {
    place: PathBuf,
    filler: PathBuf,
}

impl Disk {
    fn at(place: &Path, filler: &str, person: Person) -> Self {
        std::fs::create_dir_all(place).unwrap();
        let uid = person.uid;
        let options = format!("size=12m,mode=0700,uid={uid},gid={uid}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(place)).ended(0);
        Self { place: place.to_owned(), filler: place.join(filler) }
    }

    /// Fills it, but for so many bytes.
    fn leave(&self, free: u64) {
        std::fs::create_dir_all(self.filler.parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(&self.filler).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
        let size = file.metadata().unwrap().len();
        file.set_len(size - free.min(size)).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(&self.filler).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.place));
    }
}

/// Each file is as it was or as it is to be, and nothing else is there; the record is whole; what waits lands when there is
/// room, and all of it can be taken back.
#[track_caller]
fn is_in_order(stage: &Stage, staged: &Staged, told: &Ran) {
    let run = staged.run.as_str();
    let ran = stage.says(&["status"]).ended(0);
    mended(&ran);
    let now = Tree::shape_of(&stage.workspace);
    let wanted = now.apart(&staged.wanted);
    // A folder that a file takes the place of goes with what was in it; the file lands, or waits, by itself.
    let replaced = |path: &Path| path == Path::new("was") && !stage.workspace.join(path).exists();
    let neither =
        now.apart(&staged.before).into_iter().filter(|path| wanted.contains(path) && !replaced(path));
    let neither: Vec<_> = neither.collect();
    assert!(neither.is_empty(), "neither as it was nor as it is to be: {neither:?}: {told}{ran}");
    stage.says(&["ledger", "verify", "--all"]).ended(0);
    stage.says(&["apply", run, "--all"]).ended(0);
    Tree::shape_of(&stage.workspace).same_as(&staged.wanted);
    let mut undone = stage.says(&["undo", run]).ended(0);
    while undone.status == 0 {
        undone = stage.says(&["undo", run]);
    }
    let _ = undone.ended(125).complained("nothing of this run has landed");
    Tree::shape_of(&stage.workspace).same_as(&staged.before);
    stage.says(&["ledger", "verify", "--all"]).ended(0);
}

fn plays(stage: &Stage, disk: &Disk) {
    let staged = Staged::on(stage);
    let words: &[&str] = &["apply", &staged.run, "--all"];
    let (mut stopped, mut landed) = (0, 0);
    for free in FREE {
        disk.leave(free);
        let ran = stage.says(words);
        disk.empty();
        stopped += usize::from(ran.status != 0);
        landed += usize::from(ran.status == 0);
        assert!(ran.status == 0 || !(ran.stdout.clone() + &ran.stderr).is_empty(), "no reason: {ran}");
        is_in_order(stage, &staged, &ran);
    }
    assert!(stopped > 1 && landed > 0, "{stopped} landings found no room, {landed} did: that shows nothing");
    // And killed beside.
    let lasts = lasts(stage, words);
    let undone = stage.says(&["undo", &staged.run]).ended(0);
    for (point, free) in FREE.into_iter().enumerate().skip(1) {
        disk.leave(free);
        killed(stage, words, lasts * (point as u32) / 3);
        disk.empty();
        is_in_order(stage, &staged, &undone);
    }
}

/// Not a test of its own: the child in its namespace.
#[test]
fn the_child_on_the_small_disk() {
    let Ok(which) = std::env::var(DISK) else { return };
    let ordinary = std::env::var_os("PROVOST_E2E_MAPPED").is_none();
    let people = if ordinary { Person::everybody() } else { vec![Person::myself()] };
    for person in people {
        let stage = Stage::new(person);
        let disk = match which.as_str() {
            "state" => {
                let state = stage.state();
                stage.in_home(".local/state/beside", "");
                Disk::at(&state, "filler", person)
            }
            _ => {
                let disk = Disk::at(&stage.workspace, ".git/filler", person);
                stage.write("README.md", "# A project\n");
                stage.git(&["init", "--quiet", "--initial-branch=main"]);
                disk
            }
        };
        plays(&stage, &disk);
        drop(disk);
    }
    println!("in order");
}

fn on_a_small_disk(which: &str) {
    let (flags, mapped) = match Person::myself().uid {
        0 => ("-m", false),
        _ => ("-Urm", true),
    };
    let mut command = Command::new("unshare");
    command
        .arg(flags)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "half_landed::small_disk::the_child_on_the_small_disk", "--nocapture"])
        .env(DISK, which);
    if mapped {
        command.env("PROVOST_E2E_MAPPED", "1");
    }
    let child = command.output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let complained = String::from_utf8_lossy(&child.stderr);
    if complained.starts_with("unshare:") {
        println!("SKIPPED: no file system can be mounted in a namespace here: {complained}");
        return;
    }
    assert!(child.status.success() && said.contains("in order"), "{said}{complained}");
}

#[test]
fn a_landing_that_finds_no_room_for_its_record_is_put_in_order() {
    on_a_small_disk("state");
}

#[test]
fn a_landing_that_finds_no_room_in_the_workspace_is_put_in_order() {
    on_a_small_disk("workspace");
}
