//! Programs by content: a rule means a program, not a file of its name; whatever it is called and whatever starts it.

use super::runner::Case;
use super::scene::Scene;
use std::path::Path;

pub(crate) const CASES: &[Case] = &[
    ("a_forbidden_program_is_known_under_every_disguise", every_disguise),
    ("a_copy_that_nobody_can_read_is_taken_for_what_it_may_be", unreadable_copy),
    ("content_swapped_after_the_judgement_does_not_start", content_swapped),
    ("a_rule_that_allows_a_name_means_an_installed_program", an_installed_program),
];

const NO_BAD: &str =
    "[[rule]]\nid = \"speak\"\nexec = [\"echo bad **\"]\nneed = \"never\"\nwhy = \"Too loud.\"\n";
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

fn without(path: &str) -> bool {
    let missing = !Path::new(path).exists();
    if missing {
        eprintln!("SKIPPED: no {path}");
    }
    missing
}

fn every_disguise(root: &Path) {
    if without(LOADER) || without("/usr/bin/python3") {
        return;
    }
    let mut scene = Scene::new(root);
    scene.rules = NO_BAD.into();
    // Every attempt is made with a word that is forbidden, and with one that is not.
    let script = format!(
        r#"cp /bin/echo copy; cp {LOADER} loader; ln -s {LOADER} link; ln copy hard; mkdir lib; cp copy lib/named
        try() {{ (exec "$@" 2>/dev/null || exit); }}
        script() {{ rm -f script; printf '#!%s\n' "$1" > script; chmod +x script; try ./script "$2"; }}
        for word in good bad; do
            try ./copy $word 1
            try ./hard $word 2
            try {LOADER} /bin/echo $word 3
            try {LOADER} ../../../../../../../../../../bin/echo $word 4
            try {LOADER} --inhibit-cache --library-path /nowhere:/lib --preload "" /bin/echo $word 5
            try {LOADER} ./copy $word 6
            try {LOADER} --library-path lib named $word 7
            try ./loader /bin/echo $word 8
            try ./link /bin/echo $word 9
            try {LOADER} {LOADER} /bin/echo $word 10
            try {LOADER} ./loader ./copy $word 11
            script "/bin/echo $word" 12
            script "./copy $word" 13
            script "/usr/bin/env -S echo $word" 14
            rm -f up; printf '#!./script\n' > up; chmod +x up; try ./up 15
            exec 3<./copy; try /proc/self/fd/3 $word 16; try /dev/fd/3 $word 17; try {LOADER} /proc/self/fd/3 $word 18; exec 3<&-
            python3 -c 'import os, sys; f = os.memfd_create("x"); os.write(f, open("/bin/echo", "rb").read()); os.execve(f, ["x", *sys.argv[1:]], {{}})' $word 19 2>/dev/null
            python3 -c 'import os, sys; f = os.memfd_create("x"); os.write(f, open("/bin/echo", "rb").read()); os.execv("{LOADER}", ["x", f"/proc/self/fd/{{f}}", *sys.argv[1:]])' $word 20 2>/dev/null
        done
        cp copy longer; echo >> longer; ./longer bad "but another program"; exit 0"#
    );
    let ran = scene.bash(&script);
    let said = ran.fine();
    let bad: Vec<&str> = said.lines().filter(|line| line.contains("bad")).collect();
    assert_eq!(bad, ["bad but another program"], "{said}");
    for number in 1..=20 {
        let started =
            |line: &str| line.split(' ').any(|word| word == number.to_string()) || line.contains("script");
        assert!(said.lines().any(started), "attempt {number} is none: {said}");
    }
    assert!(ran.err.is_empty() || ran.err.contains("provost: denied exec"), "{}", ran.err);
    let denied = |part: &str| ran.events.iter().any(|event| format!("{:?}", event.body).contains(part));
    assert!(denied("speak"), "the rule is in the ledger");
}

fn unreadable_copy(root: &Path) {
    let mut scene = Scene::new(root);
    scene.rules = NO_BAD.into();
    let ran = scene.bash("cp /bin/echo copy; chmod 0111 copy; ./copy bad; ./copy good; ./copy bad; exit 0");
    assert!(!ran.fine().contains("bad"), "{}", ran.out);
}

fn content_swapped(root: &Path) {
    if without("/usr/bin/python3") {
        return;
    }
    let mut scene = Scene::new(root);
    scene.rules = NO_BAD.into();
    // The content becomes the forbidden program's, in the same file: by one byte, without which it is no program at all. While
    // the kernel runs it nobody can write it, so all depends on what lay there when it began.
    let program = r#"
import os, shutil, subprocess
shutil.copy("/bin/echo", "x"); os.chmod("x", 0o755)
machine = open("x", "rb").read()[18:19]
writer = os.fork()
while writer == 0:
    for byte in b"\0", machine:
        try:
            file = os.open("x", os.O_WRONLY); os.pwrite(file, byte, 18); os.close(file)
        except OSError: pass
said = set()
for _ in range(400):
    try: said.add(subprocess.run(["./x", "bad"], capture_output=True).stdout)
    except OSError: pass
os.kill(writer, 9); os.waitpid(writer, 0)
print(b"bad\n" in said)
"#;
    let ran = scene.run(&["/usr/bin/python3", "-c", program]);
    assert_eq!(ran.fine(), "False\n");
}

fn an_installed_program(root: &Path) {
    let mut scene = Scene::new(root);
    scene.execs = "deny";
    scene.rules = "[[rule]]\nid = \"few\"\nexec = [\"echo **\", \"cp **\", \"ln **\", \"./mine **\", \"sh **\"]\nneed = \"none\"\n".into();
    let ran = scene.bash(
        "/bin/echo 1; cp /bin/echo echo; ./echo 2; cp /bin/echo /tmp/echo; /tmp/echo 3; cp /bin/echo mine; ./mine 4
         (exec -a echo /bin/date +5); ln -s /bin/date ~/echo; ~/echo +6; ln -s /bin/echo other; ./other 7; sh -c 'echo 8'; date +9; exit 0",
    );
    assert_eq!(ran.fine(), "1\n4\n7\n8\n", "{}", ran.err);
}
