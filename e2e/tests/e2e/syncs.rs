//! How often the disk is waited for: counted on a disk that is slow, so that no machine's speed decides.
//!
//! A library before the C library's own makes every sync last long and writes down that it was asked for. What happens
//! meanwhile has time to gather, and one sync serves it all.

use e2e::person::Person;
use e2e::ran::run;
use e2e::stage::Stage;
use std::path::PathBuf;

/// A sync that lasts.
const SLOW: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static int slow(long number, int fd) {
    long result = syscall(number, fd);
    struct timespec nap = { 0, 50000000 };
    char *told = getenv("SYNCS");
    int list = told ? open(told, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (list >= 0) { if (write(list, "s", 1) != 1) abort(); close(list); }
    nanosleep(&nap, 0);
    return (int) result;
}
int fsync(int fd) { return slow(SYS_fsync, fd); }
int fdatasync(int fd) { return slow(SYS_fdatasync, fd); }
"#;

/// A stage whose disk is slow, and where each sync is written down.
fn slow(stage: &mut Stage) -> PathBuf {
    let (source, library) = (stage.elsewhere.join("slow.c"), stage.elsewhere.join("slow.so"));
    std::fs::write(&source, SLOW).unwrap();
    run(stage.command("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source)).ended(0);
    let list = stage.elsewhere.join("syncs");
    stage.set("LD_PRELOAD", &library);
    stage.set("SYNCS", &list);
    list
}

/// How often it was synced since this was asked last.
fn counted(list: &PathBuf) -> usize {
    let count = std::fs::read(list).map_or(0, |marks| marks.len());
    let _ = std::fs::remove_file(list);
    count
}

#[test]
fn the_disk_is_waited_for_by_the_run_and_not_by_every_act() {
    let mut stage = Stage::new(Person::myself());
    let list = slow(&mut stage);
    const ACTS: usize = 300;
    let acts = format!("i=0; while [ $i -lt {ACTS} ]; do /bin/true; i=$((i+1)); done");
    stage.inside(&acts).ended(0);
    let syncs = counted(&list);
    println!("{syncs} syncs for {ACTS} programs");
    assert!(syncs >= 5, "the opening, the launch and the seal are durable: {syncs}");
    assert!(syncs < ACTS - 50, "{syncs} syncs for {ACTS} programs");
    assert!(stage.ledger().of("exec").count() >= ACTS);
}

#[test]
fn many_files_land_together_and_not_one_sync_after_the_other() {
    let mut stage = Stage::new(Person::myself());
    let list = slow(&mut stage);
    const FILES: usize = 200;
    let files = format!("mkdir new; i=0; while [ $i -lt {FILES} ]; do echo $i > new/$i; i=$((i+1)); done");
    stage.inside(&files).ended(0);
    counted(&list);
    stage.says(&["apply", "--all"]).ended(0);
    let syncs = counted(&list);
    println!("{syncs} syncs for {FILES} files");
    assert!(syncs >= 5, "the permits and the journal are durable: {syncs}");
    assert!(syncs < FILES - 50, "{syncs} syncs for {FILES} files");
    assert_eq!(std::fs::read_dir(stage.workspace.join("new")).unwrap().count(), FILES);
    assert_eq!(stage.ledger().of("ask.answered").count(), FILES);
}
