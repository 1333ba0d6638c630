//! For rules on trees the kernel holds what the policy decides: on random rules and random paths, what can be opened inside
//! is what `provost policy explain` says.

use e2e::person::Person;
use e2e::stage::Stage;

/// Folders and files of the workspace, and of a folder beside it that rules may show.
const FILES: [&str; 10] = [
    "project/a/one.txt",
    "project/a/deep/two.txt",
    "project/a/deep/er/three.txt",
    "project/b/one.txt",
    "project/b/.hidden/two.txt",
    "project/top.txt",
    "beside/x/one.txt",
    "beside/x/y/two.txt",
    "beside/z/three.txt",
    "beside/top.txt",
];
/// What rules speak of.
const TREES: [&str; 12] = [
    "./a/**",
    "./a/deep/**",
    "./a/deep/er/three.txt",
    "./b/**",
    "./b/.hidden/**",
    "./top.txt",
    "~/beside/**",
    "~/beside/x/**",
    "~/beside/x/y/**",
    "~/beside/x/y/two.txt",
    "~/beside/z/**",
    "~/beside/top.txt",
];

/// Numbers that look random and are the same every time: a failure can be had again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A policy of a few rules on trees. Only what lies beside is opened by them; both are closed.
fn policy(numbers: &mut Numbers) -> String {
    let mut text = "version = 1\n".to_owned();
    for rule in 0..5 {
        let tree = TREES[numbers.below(TREES.len())];
        let beside = tree.starts_with('~');
        // Nothing beside the workspace can be written: there is nowhere to stage it.
        let kind = if beside || numbers.below(2) == 0 { "read" } else { "write" };
        let need = if beside && numbers.below(3) > 0 { "none" } else { "never" };
        text += &format!("[[rule]]\nid = \"r{rule}\"\n{kind} = [\"{tree}\"]\nneed = \"{need}\"\n");
    }
    text
}

/// The shell that tries to open everything, and says what it could.
fn probe(home: &str) -> String {
    let mut line = String::new();
    for file in FILES {
        let path = format!("{home}/{file}");
        line += &format!("( : <{path} ) 2>/dev/null && echo read {path}; ");
        line += &format!("( : >>{path} ) 2>/dev/null && echo write {path}; ");
    }
    line + "true"
}

#[test]
fn what_opens_is_what_is_decided() {
    let mut numbers = Numbers(7);
    let (mut opened, mut kept) = (0, 0);
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let home = stage.home.display().to_string();
        FILES.iter().for_each(|file| drop(stage.in_home(file, "x\n")));
        for _ in 0..4 {
            let text = policy(&mut numbers);
            let file = stage.policy(&text);
            let could = stage.inside_with(&["--policy", &file], &probe(&home)).ended(0).stdout;
            let done = |kind: &str, path: &str| could.lines().any(|line| line == format!("{kind} {path}"));
            for name in FILES {
                let path = format!("{home}/{name}");
                let decided = |kind: &str| {
                    let said = stage.says(&["policy", "explain", "--policy", &file, kind, &path]);
                    said.ended(0).stdout.starts_with("allow")
                };
                let (read, write) = (decided("read"), decided("write"));
                let what = format!("{person}: {path}\nunder\n{text}\ninside:\n{could}");
                assert_eq!(done("read", &path), read, "read {what}");
                // What must not be seen is not there to be written. Beside the workspace the home is the run's own.
                if name.starts_with("project/") {
                    assert_eq!(done("write", &path), write && read, "write {what}");
                }
                assert_eq!(std::fs::read_to_string(&path).unwrap(), "x\n", "changed {what}");
                if read { opened += 1 } else { kept += 1 }
            }
        }
    }
    assert!(opened > 10 && kept > 10, "{opened} opened, {kept} kept: the rules say nothing");
}
