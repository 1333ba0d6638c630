//! Rules on files: what a view cannot hold by itself is held all the same, however a path is spelled or swapped.

use super::runner::Case;
use super::scene::Scene;
use std::fs;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("secrets_of_the_system_are_not_to_be_read", secrets_of_the_system),
    ("a_hidden_tree_is_not_there", a_hidden_tree_is_not_there),
    ("what_is_hidden_may_be_a_link_or_not_be_there", hidden_names_that_are_links),
    ("a_frozen_tree_takes_no_writes", a_frozen_tree_takes_no_writes),
    ("a_shape_holds_however_it_is_reached", a_shape_holds_however_it_is_reached),
    ("a_name_that_is_held_does_not_come_to_be", a_name_that_is_held_does_not_come_to_be),
    ("a_shape_holds_against_swapped_links", a_shape_holds_against_swapped_links),
    ("a_shape_holds_against_swapped_memory", a_shape_holds_against_swapped_memory),
    ("a_lease_holds_nobody_up_but_who_opens", a_lease_holds_nobody_up),
    ("ordinary_work_passes_where_every_open_is_judged", ordinary_work_passes),
];

const PYTHON: &str = "/usr/bin/python3";

/// A rule that nothing lifts.
fn never(id: &str, kinds: &[&str], patterns: &[&str]) -> String {
    let patterns = patterns.iter().map(|pattern| format!("\"{pattern}\"")).collect::<Vec<_>>().join(", ");
    let kinds: String = kinds.iter().map(|kind| format!("{kind} = [{patterns}]\n")).collect();
    format!("[[rule]]\nid = \"{id}\"\n{kinds}need = \"never\"\nwhy = \"Not yours.\"\n")
}

fn secrets_of_the_system(root: &Path) {
    let ran = Scene::new(root).bash(
        "cat /etc/shadow; cat /etc/gshadow; ls /etc/ssl/private; cat /etc/passwd >/dev/null && echo open; exit 0",
    );
    assert_eq!(ran.fine(), "open\n");
    assert!(ran.err.contains("provost: denied read /etc/shadow (rule system-secrets"), "{}", ran.err);
}

fn a_hidden_tree_is_not_there(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = never("hide", &["read", "write"], &["./secret/**", "./key"]);
    fs::create_dir(scene.work().join("secret")).unwrap();
    fs::write(scene.work().join("secret/file"), "hidden").unwrap();
    fs::write(scene.work().join("key"), "hidden").unwrap();
    let script = "cat key; cat secret/file; ls secret; mv key other; rm -f key; ln key hard
                  cp -r . /tmp/all 2>/dev/null; cat /tmp/all/key /tmp/all/secret/* other hard; exit 0";
    let set = scene.set(&["/bin/bash", "-c", script]);
    assert!(!set.asked.judged_opens, "trees need nobody to look at opens");
    let ran = set.go().unwrap().end();
    assert_eq!(ran.fine(), "");
    assert!(ran.err.contains("(rule hide: Not yours.)"), "{}", ran.err);
    let denied = ran.denials();
    assert!(denied.contains(&("read".into(), root.join("work/key").display().to_string())), "{denied:?}");
}

fn hidden_names_that_are_links(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = never("hide", &["read"], &["./link", "./gone"]);
    scene.state = std::path::PathBuf::from("/dev/shm").join(root.file_name().unwrap());
    std::os::unix::fs::symlink("plain", scene.work().join("link")).unwrap();
    fs::write(scene.work().join("plain"), "plain").unwrap();
    let state = scene.state.clone();
    let ran = scene.bash(&format!("cat plain; ls {}; exit 0", state.display()));
    fs::remove_dir_all(state).unwrap();
    assert_eq!(ran.fine(), "plain");
}

fn a_frozen_tree_takes_no_writes(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = never("locked", &["write"], &["./lock", "./hooks/**"]);
    fs::create_dir(scene.work().join("hooks")).unwrap();
    fs::write(scene.work().join("hooks/pre"), "before").unwrap();
    fs::write(scene.work().join("lock"), "before").unwrap();
    let ran = scene.bash(
        "echo x > lock; echo x > hooks/pre; echo x > hooks/new; rm -rf hooks lock; mv hooks gone; mv lock gone
         echo y > new; mv -f new lock; truncate -s0 lock; chmod 777 hooks/pre; perl -e 'truncate(q(lock), 0)'
         cat lock hooks/pre; ls hooks; echo fine > other; cat other",
    );
    assert_eq!(ran.fine(), "beforebeforepre\nfine\n");
}

fn shapes(scene: &mut Scene) {
    scene.rules = never("env", &["read", "write"], &["./**/.env"]);
    fs::create_dir(scene.work().join("a")).unwrap();
    for name in [".env", "a/.env"] {
        fs::write(scene.work().join(name), "SECRET").unwrap();
    }
    fs::write(scene.work().join("plain"), "plain").unwrap();
}

fn a_shape_holds_however_it_is_reached(root: &Path) {
    let mut scene = Scene::new(root);
    shapes(&mut scene);
    let ran = scene.bash(
        "cat .env; cat a/.env; cat ./a/../.env; cat /proc/self/cwd/.env; cat /proc/self/root$PWD/.env
         cat /proc/$$/cwd/.env; cat /dev/fd/3/.env 3<a; cat /proc/self/fd/3/.env 3<a; (cd a; cat .env)
         ln -s .env link; cat link; ln .env hard; cat hard; mv .env moved; cat moved; mv a b; cat b/.env
         cp -r a /tmp/a; cat /tmp/a/.env; perl -e 'open(F, q(<), q(.env)) and print <F>'; ln -s /proc/self/root$PWD up; cat up/.env
         mkdir late; echo SECRET > late/.env; cat late/.env; truncate -s 0 .env; perl -e 'truncate(q(.env), 0)'; rm -f .env; rm -rf a
         . ./.env; tar cf - . | grep -ac SECRET; cat plain; echo",
    );
    assert_eq!(ran.fine(), "0\nplain\n");
    assert!(ran.err.contains("(rule env: Not yours.)"), "{}", ran.err);
    assert_eq!(fs::read_to_string(root.join("work/.env")).unwrap(), "SECRET");
    assert!(!root.join("upper/.env").exists() && !root.join("upper/a/.env").exists());
}

fn a_name_that_is_held_does_not_come_to_be(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = never("held", &["write"], &["./**/.held/**"]);
    let ran = scene.bash(
        "mkdir .held; mkdir -p a/b/.held; mkdir evil; echo x > evil/file; ln -s evil .held; ln -s ../evil a/.held; ln evil/file a/.held
         mkfifo .held; mknod a/.held p; mv evil .held; cp -r evil a/.held; (cd a && mkdir .held; mkdir ./.held/; ln -s x .held)
         perl -e 'mkdir q(.held); symlink q(evil), q(.held); mkdir qq($ENV{PWD}/a/../.held)'
         umask 027; mkdir fine; mkdir -p fine/er/yet fine/er; ln -s evil fine/link; mkfifo fine/pipe; mkdir fine && echo wrong
         find . -name .held; stat -c '%a %F' fine fine/er fine/pipe; readlink fine/link; cat fine/link/file; cat fine/../evil/file",
    );
    let expected = "750 directory\n750 directory\n640 fifo\nevil\nx\n";
    assert_eq!(ran.fine(), expected, "{}", ran.err);
    assert!(ran.err.contains("(rule held: Not yours.)") && ran.err.contains("File exists"), "{}", ran.err);
}

fn a_shape_holds_against_swapped_links(root: &Path) {
    let mut scene = Scene::new(root);
    shapes(&mut scene);
    let program = r#"
        my $child = fork;
        if (!$child) { for (;;) { for my $to ("plain", ".env") { symlink $to, "next"; rename "next", "link"; } } }
        select undef, undef, undef, 0.001 until -l "link";
        my (%seen, $n);
        for ($n = 0; $n < 3000 || ($n < 300000 && keys %seen < 2); $n++) {
            my $text = ""; if (open my $f, "<", "link") { $text = <$f> } else { $text = "refused" } $seen{$text}++ }
        kill 9, $child; print join(",", sort keys %seen), "\n";"#;
    let ran = scene.run(&["/usr/bin/perl", "-e", program]);
    assert_eq!(ran.fine(), "plain,refused\n", "both were met, and the secret was never read");
}

fn a_shape_holds_against_swapped_memory(root: &Path) {
    if !Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: no {PYTHON}");
        return;
    }
    let mut scene = Scene::new(root);
    shapes(&mut scene);
    // One thread exchanges the path while another opens it.
    let program = r#"
import ctypes, os, threading
libc = ctypes.CDLL(None, use_errno=True)
here = os.getcwd()
for good in ["/proc/self/status", "/dev/null", here + "/plain"]:
    path = ctypes.create_string_buffer(256)
    texts = [ctypes.create_string_buffer(t.encode(), 256) for t in (good, here + "/.env")]
    ctypes.memmove(path, texts[0], 256)
    over = False
    def swap():
        while not over:
            for text in texts: ctypes.memmove(path, text, 256)
    thread = threading.Thread(target=swap); thread.start()
    got = set()
    for _ in range(3000):
        fd = libc.open(path, 0)
        if fd >= 0:
            got.add(os.read(fd, 6)); os.close(fd)
    over = True; thread.join()
    print(b"SECRET" in got)
"#;
    let ran = scene.run(&[PYTHON, "-c", program]);
    assert_eq!(ran.fine(), "False\nFalse\nFalse\n");
}

fn a_lease_holds_nobody_up(root: &Path) {
    if !Path::new(PYTHON).exists() {
        eprintln!("SKIPPED: no {PYTHON}");
        return;
    }
    let mut scene = Scene::new(root);
    shapes(&mut scene);
    // The second open would wait for as long as the lease is kept; the third has nothing to do with it.
    let program = "
import fcntl, os, signal, subprocess
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = os.open('/tmp/leased', os.O_RDWR | os.O_CREAT)
os.write(held, b'leased')
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
waits = subprocess.Popen(['/bin/cat', '/tmp/leased'])
while 'breaking' not in open('/proc/locks').read().lower():
    assert open('plain').read() == 'plain' and waits.poll() is None
assert open('plain').read() == 'plain' and waits.poll() is None
os.close(held)
assert waits.wait() == 0
";
    assert_eq!(scene.run(&[PYTHON, "-c", program]).fine(), "leased");
}

fn ordinary_work_passes(root: &Path) {
    let mut scene = Scene::new(root);
    shapes(&mut scene);
    let ran = scene.bash(
        "set -e; echo one > f; echo two >> f; cat f; mkdir d; mv f d/g; ln d/g d/h; ln -s g d/l; cat d/l; rm d/g; rm -r d
         mkfifo p; (echo through > p) & cat p; wait; cat <(echo substituted); cat /proc/self/comm; echo null > /dev/null
         head -c3 /dev/zero | wc -c; umask 027; : > made; stat -c %a made
         perl -e 'open(F, q(+>), undef) or die; print F 1; print -s F, qq(\\n)'
         exec 5<>made; echo x >&5; cat /proc/self/fd/5 /dev/fd/5 | wc -l; cat <<< here; (: < /dev/tty) 2>/dev/null || echo no tty",
    );
    assert_eq!(ran.fine(), "one\ntwo\none\ntwo\nthrough\nsubstituted\ncat\n3\n640\n0\n2\nhere\nno tty\n");
}
