//! What is there and what is not: the workspace, the private places, the host's secrets, processes, the network.

use super::runner::Case;
use super::scene::Scene;
use sandbox::plan::Cache;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("the_workspace_stays_as_it_was", the_workspace_stays_as_it_was),
    ("a_copy_takes_the_writes_where_no_overlay_is_wanted", a_copy_takes_the_writes),
    ("home_and_temporary_folders_are_private_and_writable", private_places),
    ("private_places_share_one_bound", private_places_share_one_bound),
    ("processes_are_limited", processes_are_limited),
    ("a_device_of_the_host_keeps_its_mode", a_device_of_the_host_keeps_its_mode),
    ("the_system_is_read_only", the_system_is_read_only),
    ("caches_are_shown_and_keep_what_is_added", caches_are_shown_and_keep_what_is_added),
    ("files_are_given_to_the_home", files_are_given_to_the_home),
    ("no_process_of_the_host_is_there", no_process_of_the_host_is_there),
    ("pid_one_keeps_its_memory_to_itself", pid_one_keeps_its_memory_to_itself),
    ("there_is_no_network_but_loopback", there_is_no_network_but_loopback),
    ("sockets_of_the_host_answer_nobody_inside", sockets_of_the_host),
    ("enforcement_is_what_the_kernel_says", enforcement_is_what_the_kernel_says),
    ("landlock_holds_where_no_mount_does", landlock_holds_where_no_mount_does),
    ("links_lead_nowhere_outside", links_lead_nowhere_outside),
    ("odd_names_are_only_names", odd_names_are_only_names),
];

fn the_workspace_stays_as_it_was(root: &Path) {
    let scene = Scene::new(root);
    let work = scene.work();
    fs::write(work.join("kept"), "before").unwrap();
    fs::write(work.join("gone"), "before").unwrap();
    let before = fs::metadata(work.join("kept")).unwrap();
    let ran = scene.bash("set -e; echo after > kept; rm gone; mkdir new; echo x > new/file; mv new moved; chmod +x kept; cat kept moved/file");
    assert_eq!(ran.fine(), "after\nx\n");
    let after = fs::metadata(work.join("kept")).unwrap();
    assert_eq!(fs::read_to_string(work.join("kept")).unwrap(), "before");
    assert_eq!(
        (before.mode(), before.mtime_nsec(), before.ino()),
        (after.mode(), after.mtime_nsec(), after.ino())
    );
    assert!(work.join("gone").exists() && !work.join("moved").exists());
    let upper = root.join("upper");
    assert_eq!(fs::read_to_string(upper.join("kept")).unwrap(), "after\n");
    assert_eq!(fs::read_to_string(upper.join("moved/file")).unwrap(), "x\n");
}

fn a_copy_takes_the_writes(root: &Path) {
    let mut scene = Scene::new(root);
    scene.copy = true;
    fs::write(scene.work().join("file"), "original").unwrap();
    fs::write(root.join("upper/file"), "copy").unwrap();
    let ran = scene.bash("cat file; echo changed > file");
    assert_eq!(ran.fine(), "copy");
    assert_eq!(fs::read_to_string(root.join("work/file")).unwrap(), "original");
    assert_eq!(fs::read_to_string(root.join("upper/file")).unwrap(), "changed\n");
}

fn private_places(root: &Path) {
    let scene = Scene::new(root);
    let mark = format!("/tmp/{}", root.file_name().unwrap().to_str().unwrap()) + "-mark";
    fs::write(&mark, "the host's").unwrap();
    fs::write(scene.home().join(".secret"), "the person's").unwrap();
    let ran = scene.bash(&format!(
        "[ ! -e {mark} ] && [ ! -e ~/.secret ] && [ -z \"$(ls -A ~)\" ] || exit 1
         for d in ~ /tmp /var/tmp /dev/shm; do echo x > $d/mine && cat $d/mine || exit 2; done
         stat -c %a /tmp ~"
    ));
    assert_eq!(ran.fine(), "x\nx\nx\nx\n1777\n700\n");
    assert!(!root.join("home/mine").exists() && fs::read_to_string(&mark).unwrap() == "the host's");
    fs::remove_file(mark).unwrap();
}

fn private_places_share_one_bound(root: &Path) {
    let ran = Scene::new(root).bash("stat -c %d /tmp /var/tmp /run /dev/shm ~ | sort -u | wc -l");
    assert_eq!(ran.fine(), "1\n", "each could fill half of the memory");
}

fn processes_are_limited(root: &Path) {
    let ran = Scene::new(root).bash("[ $(ulimit -Hu) -le 8192 ] && echo limited");
    assert_eq!(ran.fine(), "limited\n");
}

fn a_device_of_the_host_keeps_its_mode(root: &Path) {
    // The same mode, so that nothing is harmed if it can be set.
    let ran = Scene::new(root).bash(
        "for name in null zero full random urandom tty; do
             chmod $(stat -c %a /dev/$name) /dev/$name 2>/dev/null && echo $name
         done; echo x > /dev/null && head -c1 /dev/zero | wc -c",
    );
    assert_eq!(ran.fine(), "1\n");
}

fn the_system_is_read_only(root: &Path) {
    let ran = Scene::new(root).bash(
        "for f in /usr/x /etc/x /bin/x /x /dev/x /proc/sys/kernel/x /proc/sys/kernel/hostname /proc/sysrq-trigger; do
           { echo x > $f; } 2>/dev/null && echo wrote $f; done; touch /usr/bin 2>/dev/null && echo touched;
         chmod 700 /usr/bin 2>/dev/null && echo changed; ln -s x /usr/y 2>/dev/null && echo linked; echo done",
    );
    assert_eq!(ran.fine(), "done\n");
}

fn caches_are_shown_and_keep_what_is_added(root: &Path) {
    let mut scene = Scene::new(root);
    let (own, upper, kernel, fresh) =
        (root.join("home/.cache/own"), root.join("c-upper"), root.join("c-work"), root.join("c-fresh"));
    for folder in [&own, &upper, &kernel, &fresh] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(own.join("shared"), "from the person").unwrap();
    let cache = |at: &str, lower: Option<&Path>, upper: &Path| Cache {
        at: root.join("home/.cache").join(at),
        lower: lower.map(Path::to_path_buf),
        upper: upper.to_path_buf(),
        work: kernel.clone(),
    };
    scene.caches = vec![cache("own", Some(&own), &upper), cache("fresh", None, &fresh)];
    let ran =
        scene.bash("cat ~/.cache/own/shared; echo more > ~/.cache/own/more; echo new > ~/.cache/fresh/new");
    assert_eq!(ran.fine(), "from the person");
    assert!(!own.join("more").exists() && upper.join("more").exists() && fresh.join("new").exists());
}

fn files_are_given_to_the_home(root: &Path) {
    let mut scene = Scene::new(root);
    scene.files = vec![(root.join("home/.agent/config"), b"given".to_vec())];
    let ran = scene.bash("cat ~/.agent/config; stat -c ' %a' ~/.agent/config; echo more >> ~/.agent/config");
    assert_eq!(ran.fine(), "given 600\n");
    assert!(!root.join("home/.agent").exists());
}

fn no_process_of_the_host_is_there(root: &Path) {
    let ran = Scene::new(root).bash(&format!(
        "kill -0 {} 2>/dev/null && echo seen; ls -d /proc/[0-9]* | wc -l; hostname; kill -9 1 2>/dev/null; kill -TERM 1 2>/dev/null; echo on",
        std::process::id()
    ));
    // PID 1, the shell, and the two ends of the pipe.
    assert_eq!(ran.fine(), "4\nprovost\non\n");
}

fn pid_one_keeps_its_memory_to_itself(root: &Path) {
    let ran = Scene::new(root).bash(
        "for f in mem environ maps fd/0 fd/3 root/etc cwd/x exe auxv stack syscall io; do
           { cat /proc/1/$f; } >/dev/null 2>&1 && echo read $f; done
         { echo x > /proc/1/mem; } 2>/dev/null && echo wrote; readlink /proc/1/fd/* /proc/1/exe /proc/1/cwd; echo done",
    );
    assert_eq!(ran.fine(), "done\n");
}

fn there_is_no_network_but_loopback(root: &Path) {
    let mut scene = Scene::new(root);
    scene.ports = vec![4321];
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let mut set = scene.set(&["/bin/bash", "-c", &format!(
        "exec 2>/dev/null; (echo > /dev/tcp/127.0.0.1/{port}) && echo host; (echo > /dev/tcp/192.0.2.1/80) && echo out
         (echo > /dev/tcp/127.0.0.1/4321) && echo proxy; (echo > /dev/udp/192.0.2.1/53) && echo dns; :"
    )]);
    let sockets = set.jail.take_sockets();
    assert_eq!(sockets.len(), 1);
    let ran = set.go().unwrap().end();
    assert_eq!(ran.fine(), "proxy\n");
    assert!(sockets[0].accept().is_ok(), "what is reached inside is the socket that was handed out");
    assert!(ran.denials().contains(&("connect".into(), "192.0.2.1:80".into())), "{:?}", ran.denials());
}

fn sockets_of_the_host(root: &Path) {
    let mut scene = Scene::new(root);
    let shown = root.join("shown");
    fs::create_dir(&shown).unwrap();
    scene.rules = format!("[[rule]]\nid = \"shown\"\nread = [\"{}/**\"]\nneed = \"none\"\n", shown.display());
    let listen = |path: &Path| std::os::unix::net::UnixListener::bind(path).unwrap();
    let _early =
        (listen(&shown.join("early")), listen(&root.join("work/early")), listen(&root.join("hidden")));
    let connect = "for (@ARGV) { print qq($_ answers\n) if IO::Socket::UNIX->new(Peer => $_) }";
    let script = format!(
        "perl -MIO::Socket::UNIX -e 'my $own = IO::Socket::UNIX->new(Local => q(own), Listen => 1) or die; {connect}' \
         {0}/shown/early {0}/work/early {0}/hidden {0}/shown/late own; echo done",
        root.display()
    );
    let set = scene.set(&["/bin/bash", "-c", &script]);
    let _late = listen(&shown.join("late"));
    assert_eq!(set.go().unwrap().end().fine(), "own answers\ndone\n");
}

fn enforcement_is_what_the_kernel_says(root: &Path) {
    let set = Scene::new(root).set(&["/bin/true"]);
    let given = set.jail.enforcement();
    assert!(given.user_namespace && given.mount_namespace && given.pid_namespace && given.network_namespace);
    assert!(given.ipc_namespace && given.uts_namespace && given.no_new_privs && given.no_capabilities);
    assert!(given.seccomp && given.supervisor && given.landlock_abi >= 2);
    assert!(given.mounts.contains(&"ro /".to_owned()) && given.mounts.contains(&"ro /usr".to_owned()));
    assert!(given.mounts.contains(&format!("rw {}", root.join("work").display())), "{:?}", given.mounts);
    policy::shortfall(&set.asked, given).unwrap();
}

/// /proc is mounted writable for the processes' own entries, and nobody is asked about it.
fn landlock_holds_where_no_mount_does(root: &Path) {
    let ran = Scene::new(root).bash(
        "f=/proc/self/coredump_filter; [ -w $f ] || echo not even asked; { cat $f > $f; } 2>/dev/null && echo wrote; echo done",
    );
    assert_eq!(ran.fine(), "done\n");
}

fn links_lead_nowhere_outside(root: &Path) {
    let scene = Scene::new(root);
    fs::write(scene.home().join("key"), "private").unwrap();
    std::os::unix::fs::symlink(scene.home().join("key"), scene.work().join("link")).unwrap();
    std::os::unix::fs::symlink("/proc/self/root", scene.work().join("slash")).unwrap();
    let key = scene.home().join("key");
    let ran = scene.bash(&format!(
        "exec 2>/dev/null; cat link; cat slash{0}; cat /proc/self/root{0}; cat /proc/self/cwd/../home/key
         echo x > link; ln link hard; echo done",
        key.display()
    ));
    assert_eq!(ran.fine(), "done\n");
    assert_eq!(fs::read_to_string(key).unwrap(), "private");
}

fn odd_names_are_only_names(root: &Path) {
    let odd = root.join("a,b:c\\d=e f");
    fs::create_dir(&odd).unwrap();
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o755)).unwrap();
    let scene = Scene::new(&odd);
    fs::write(scene.work().join("file"), "here").unwrap();
    assert_eq!(scene.bash("cat file; echo x > new").fine(), "here");
    assert!(odd.join("upper/new").exists());
}
