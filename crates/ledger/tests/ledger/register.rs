//! Promise: the register knows every run, however many processes begin at once, and nobody but its owner reads the key.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{begin, host, tell};
use ledger::{Host, HostError, Standing};

const STATE: &str = "LEDGER_TEST_REGISTER";

/// Not a test of its own: a process that begins and seals runs beside others.
#[test]
fn the_child_that_registers_runs() {
    let Ok(state) = std::env::var(STATE) else { return };
    let host = Host::open(state.as_ref()).unwrap();
    for _ in 0..5 {
        let (run, mut writer) = begin(&host);
        tell(&mut writer, 2);
        host.seal(&run, &writer.seal().unwrap()).unwrap();
    }
}

#[test]
fn processes_that_begin_at_once_make_one_key_and_lose_no_run() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let child = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "register::the_child_that_registers_runs"]).env(STATE, &state).spawn().unwrap()
    };
    for mut child in (0..6).map(|_| child()).collect::<Vec<_>>() {
        assert!(child.wait().unwrap().success());
    }
    let host = Host::open(&state).unwrap();
    let runs = host.runs().unwrap();
    assert_eq!(runs.len(), 30);
    assert!(runs.iter().all(|run| matches!(run.standing, Standing::Sealed(_))));
    assert!(runs.windows(2).all(|pair| pair[0].opened >= pair[1].opened));
    assert_eq!(host.verify_all().unwrap().len(), 30);
    let names: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn threads_of_one_process_take_turns_as_well() {
    let (_dir, host) = host();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (run, writer) = begin(&host);
                host.seal(&run, &writer.seal().unwrap()).unwrap();
            });
        }
    });
    assert_eq!(host.verify_all().unwrap().len(), 8);
}

#[test]
fn a_run_is_found_by_a_beginning_that_is_its_own() {
    let (_dir, host) = host();
    assert!(matches!(host.find(None), Err(HostError::NoSuchRun(_))));
    let (first, one) = begin(&host);
    let (second, two) = begin(&host);
    assert_eq!(host.find(None).unwrap().run, second);
    assert_eq!(host.find(Some(first.as_str())).unwrap().run, first);
    assert_eq!(host.find(Some(&second.as_str()[..10])).unwrap().run, second);
    assert!(matches!(host.find(Some("")), Err(HostError::Ambiguous(_, several)) if several.len() == 2));
    assert!(matches!(host.find(Some("zzz")), Err(HostError::NoSuchRun(_))));
    drop((one, two));
}

#[test]
fn a_running_run_is_no_dead_one() {
    let (_dir, host) = host();
    let (run, writer) = begin(&host);
    assert_eq!(host.find(None).unwrap().standing, Standing::Running);
    assert!(matches!(host.mark_interrupted(&run, "test"), Err(HostError::Running(_))));
    let sealed = writer.seal().unwrap();
    // Between its seal and the register's word the run is still held.
    assert!(matches!(host.mark_interrupted(&run, "test"), Err(HostError::Running(_))));
    host.seal(&run, &sealed).unwrap();
    drop(sealed);
    assert!(matches!(host.mark_interrupted(&run, "test"), Err(HostError::Standing(..))));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let (_dir, host) = host();
    let key = host.dir().join("key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(host.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Host::open(host.dir()), Err(HostError::Exposed { .. })));
}

#[test]
fn a_state_directory_open_to_others_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    Host::open(dir.path()).unwrap();
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_same_key_opens_again_and_a_lost_one_is_not_quietly_replaced() {
    let (_dir, host) = host();
    assert_eq!(Host::open(host.dir()).unwrap().verifier(), host.verifier());
    let (run, writer) = begin(&host);
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let key = host.dir().join("key");
    fs::remove_file(&key).unwrap();
    assert!(matches!(Host::open(host.dir()), Err(HostError::KeyGone(_))));
    fs::write(&key, "PRIVATE+KEY+nonsense\n").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Host::open(host.dir()), Err(HostError::Key { .. })));
}

#[test]
fn no_private_key_of_a_run_is_ever_on_disk() {
    let (_dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, 2);
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let mut holders = Vec::new();
    let mut todo = vec![host.dir().to_owned()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap()).contains("PRIVATE+KEY") {
            holders.push(path);
        }
    }
    assert_eq!(holders, [host.dir().join("key")]);
}

#[test]
fn the_registers_ending_is_believed_only_where_the_signed_checkpoint_bears_it_out() {
    let (_dir, host) = host();
    let enter = || {
        let (run, writer) = begin(&host);
        host.seal(&run, &writer.seal().unwrap()).unwrap();
    };
    enter();
    let (ending, segment) = (host.dir().join("register/ending"), host.dir().join("register/00000001.seg"));
    let old = fs::read(&ending).unwrap();
    enter();
    // One that is old, torn, of nonsense, or gone.
    for wrong in [&old[..], &old[..old.len() / 2], b"provost.register-ending/v2\n1 20 1\n\n00\n", b""] {
        fs::write(&ending, wrong).unwrap();
        enter();
    }
    fs::remove_file(&ending).unwrap();
    enter();
    // A flipped digit of a subtree's root.
    let mut flipped = fs::read(&ending).unwrap();
    let at = flipped.len() - 2;
    flipped[at] = if flipped[at] == b'0' { b'1' } else { b'0' };
    fs::write(&ending, flipped).unwrap();
    enter();
    assert_eq!(host.verify_all().unwrap().len(), 8);
    // An entry whose end is torn is cut, ending or no ending.
    let whole = fs::read(&segment).unwrap();
    fs::write(&segment, [&whole[..], &[9; 40]].concat()).unwrap();
    enter();
    assert_eq!(host.verify_all().unwrap().len(), 9);
}

#[test]
fn runs_that_died_are_found_with_the_ending_and_without() {
    let (_dir, host) = host();
    let enter = || {
        let (run, writer) = begin(&host);
        host.seal(&run, &writer.seal().unwrap()).unwrap();
    };
    enter();
    let (dead, writer) = begin(&host);
    assert!(host.interrupted().unwrap().is_empty(), "it is at work");
    drop(writer);
    let ending = host.dir().join("register/ending");
    assert_eq!(host.interrupted().unwrap(), std::slice::from_ref(&dead));
    fs::remove_file(&ending).unwrap();
    assert_eq!(host.interrupted().unwrap(), std::slice::from_ref(&dead));
    // The ending is made again by the next entry.
    enter();
    assert!(ending.exists());
    assert_eq!(host.interrupted().unwrap(), std::slice::from_ref(&dead));
    host.mark_interrupted(&dead, "test").unwrap();
    assert!(host.interrupted().unwrap().is_empty());
}

/// The key is in no tree and under no checksum: what it signed tells whether it is the one.
#[test]
fn no_bit_of_the_hosts_key_can_change_and_none_of_it_be_cut_unnoticed() {
    let (dir, first) = host();
    let (run, mut writer) = begin(&first);
    tell(&mut writer, 1);
    first.seal(&run, &writer.seal().unwrap()).unwrap();
    let (state, key) = (dir.path().join("state"), dir.path().join("state/key"));
    let (bytes, whole) = (fs::read(&key).unwrap(), first.verify_all().unwrap());
    let put = |changed: &[u8]| {
        fs::write(&key, changed).unwrap();
        Host::open(&state)
    };
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // Another end of the line is the same key.
        let Ok(other) = put(&changed) else { continue };
        match other.verifier() == first.verifier() {
            true => assert_eq!(other.verify_all().unwrap(), whole, "bit {bit}"),
            false => {
                assert!(other.verify_all().is_err() && other.verify(&run).is_err(), "bit {bit}");
                assert!(other.reopen(&run, "test").is_err(), "bit {bit}");
            }
        }
    }
    for end in 0..bytes.len() - 1 {
        assert!(put(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(put(&bytes).unwrap().verify_all().unwrap(), whole);
}

#[test]
fn whatever_the_registers_ending_says_what_is_entered_next_is_whole() {
    let (dir, host) = host();
    let (run, mut writer) = begin(&host);
    tell(&mut writer, 1);
    host.seal(&run, &writer.seal().unwrap()).unwrap();
    let (ending, register) =
        (dir.path().join("state/register/ending"), dir.path().join("state/register/00000001.seg"));
    let (bytes, entries) = (fs::read(&ending).unwrap(), fs::read(&register).unwrap());
    let flips = (0..bytes.len()).map(|at| {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        changed
    });
    let cuts = (0..bytes.len()).step_by(5).map(|end| bytes[..end].to_vec());
    for changed in flips.chain(cuts) {
        fs::write(&ending, &changed).unwrap();
        let (next, writer) = begin(&host);
        host.seal(&next, &writer.seal().unwrap()).unwrap();
        let told = String::from_utf8_lossy(&changed).into_owned();
        let whole = host.verify_all().unwrap_or_else(|broken| panic!("{told}: {broken:?}"));
        assert!(whole.len() == 2 && whole.iter().all(|(_, verified)| verified.sealed), "{told}");
        fs::remove_dir_all(host.run_dir(&next)).unwrap();
        fs::write(&register, &entries).unwrap();
    }
}
