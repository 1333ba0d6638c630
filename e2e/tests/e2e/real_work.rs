//! Real work passes inside as outside: unmodified, unconfigured, with toolchains in the system and in the home.

use e2e::built;
use e2e::person::Person;
use e2e::ran::Ran;
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::path::{Path, PathBuf};

/// The same line outside, then inside, from the same files: both end with 0, print this, and the folder stays as it is.
fn same_inside(stage: &Stage, line: &str, printed: &[&str]) -> Ran {
    let before = Tree::of(&stage.workspace);
    let inside = stage.inside(line).ended(0);
    Tree::of(&stage.workspace).same_as(&before);
    let outside = stage.outside(line).ended(0);
    for words in printed {
        assert!(outside.stdout.contains(words), "outside lacks `{words}`: {outside}");
        assert!(inside.stdout.contains(words), "inside lacks `{words}`: {inside}");
    }
    inside
}

/// Where a program that the tests can start really lies.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{program} is not installed"))
}

/// A folder of a toolchain in the home: links to the same content where that is possible, so that it costs no time.
fn copied(from: &Path, to: &Path, person: Person) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    let from = from.canonicalize().unwrap();
    let linked = |how: &str| {
        let mut copy = std::process::Command::new("cp");
        copy.arg(how).args([&from, to]).stderr(std::process::Stdio::null());
        copy.status().unwrap().success()
    };
    assert!(linked("-al") || linked("-a"), "cannot copy {}", from.display());
    assert!(person.reaches(to), "{person} cannot read {}", to.display());
}

fn crate_of(stage: &Stage) {
    stage.write("Cargo.toml", "[package]\nname = \"adder\"\nversion = \"0.1.0\"\nedition = \"2021\"\n");
    stage.write(
        "src/lib.rs",
        "pub fn add(a: u32, b: u32) -> u32 { a + b }\n\n#[test]\nfn adds() { assert_eq!(add(2, 2), 4); }\n",
    );
    stage.write(
        "src/main.rs",
        "fn main() { println!(\"{}\", adder::add(1, 2)); println!(\"{}\", include_str!(concat!(env!(\"OUT_DIR\"), \"/made.txt\"))); }\n",
    );
    stage.write(
        "build.rs",
        "fn main() { let to = std::env::var(\"OUT_DIR\").unwrap(); std::fs::write(to + \"/made.txt\", \"built\").unwrap(); }\n",
    );
    stage.write(".gitignore", "/target\n");
    stage.git(&["add", "--all"]);
    stage.git(&["commit", "--quiet", "--message=a crate"]);
}

/// The sysroot that cargo here works with.
fn sysroot() -> PathBuf {
    let asked = std::process::Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim())
}

/// What cargo needs of a toolchain to build for this machine.
pub(crate) fn toolchain(to: &Path, person: Person) {
    for part in ["bin/cargo", "bin/rustc", "bin/rustdoc", "lib"] {
        copied(&sysroot().join(part), &to.join(part), person);
    }
}

#[test]
fn a_clean_cargo_build_with_a_target_that_was_there() {
    for person in Person::everybody() {
        let mut stage = Stage::new(person);
        crate_of(&stage);
        // As rustup lays it out: proxies are on PATH, toolchains lie beside.
        let name = "stable-x86_64-unknown-linux-gnu";
        toolchain(&stage.home.join(".rustup/toolchains").join(name), person);
        stage
            .in_home(".rustup/settings.toml", &format!("version = \"12\"\ndefault_toolchain = \"{name}\"\n"));
        copied(&found("rustup"), &stage.home.join(".cargo/bin/rustup"), person);
        for proxy in ["cargo", "rustc", "rustdoc"] {
            std::os::unix::fs::symlink("rustup", stage.home.join(".cargo/bin").join(proxy)).unwrap();
        }
        person.owns(&stage.home.join(".cargo"));
        stage.set("PATH", format!("{}/.cargo/bin:/usr/bin:/bin", stage.home.display()));
        stage.outside("cargo build --quiet").ended(0);
        assert!(stage.workspace.join("target/debug/adder").exists());
        let line = "rm -rf target && cargo build 2>&1 && cargo test 2>&1 && cargo run --quiet";
        same_inside(&stage, line, &["Compiling adder", "test result: ok. 1 passed", "built"]);
        // And again: what the first run left in the private caches is taken up.
        same_inside(&stage, "cargo build 2>&1", &[]);
    }
}

#[test]
fn cargo_from_the_system() {
    let mut stage = Stage::new(Person::myself());
    crate_of(&stage);
    // A toolchain without rustup, outside the home, as a distribution or an administrator installs it.
    let place = tempfile::tempdir_in(built::stages(stage.person)).unwrap();
    toolchain(&place.path().join("rust"), stage.person);
    stage.set("PATH", format!("{}/rust/bin:/usr/bin:/bin", place.path().display()));
    same_inside(&stage, "cargo test 2>&1", &["test result: ok. 1 passed"]);
}

fn package(stage: &Stage) {
    stage.write("package.json", "{\"name\": \"adder\", \"scripts\": {\"test\": \"node --test\"}}\n");
    stage.write("add.js", "module.exports = (a, b) => a + b;\n");
    stage.write(
        "add.test.js",
        "const test = require('node:test');\nconst assert = require('node:assert');\ntest('adds', () => assert.strictEqual(require('./add.js')(1, 2), 3));\n",
    );
}

#[test]
fn npm_test() {
    for person in Person::everybody() {
        let mut stage = Stage::new(person);
        package(&stage);
        let node = found("node").canonicalize().unwrap();
        let npm = found("npm").canonicalize().unwrap();
        assert!(person.reaches(&node) && person.reaches(&npm), "node lies where {person} cannot reach it");
        let folders = [found("node"), found("npm")].map(|path| path.parent().unwrap().display().to_string());
        stage.set("PATH", format!("{}:/usr/bin:/bin", folders.join(":")));
        same_inside(&stage, "npm test 2>&1", &["pass 1", "fail 0"]);
    }
}

#[test]
fn npm_test_with_nvm() {
    for person in Person::everybody() {
        let mut stage = Stage::new(person);
        package(&stage);
        let place = stage.home.join(".nvm/versions/node/v20.0.0");
        copied(&found("node"), &place.join("bin/node"), person);
        // npm is a folder of scripts, wherever its command leads.
        let npm = found("npm").canonicalize().unwrap();
        let modules = npm.ancestors().find(|part| part.ends_with("npm")).unwrap().to_owned();
        copied(&modules, &place.join("lib/node_modules/npm"), person);
        std::os::unix::fs::symlink("../lib/node_modules/npm/bin/npm-cli.js", place.join("bin/npm")).unwrap();
        person.owns(&stage.home.join(".nvm"));
        stage.set("NVM_DIR", stage.home.join(".nvm"));
        stage.set("PATH", format!("{}/bin:/usr/bin:/bin", place.display()));
        same_inside(&stage, "npm test 2>&1", &["pass 1", "fail 0"]);
    }
}

#[test]
fn pytest_in_a_virtual_environment() {
    let Some(agents) = built::agents(Person::myself()) else { return };
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let wheels = built::reachable(&agents.join("wheels"), person);
        stage.write("adder.py", "def add(a, b):\n    return a + b\n");
        stage.write(
            "test_adder.py",
            "from adder import add\n\n\ndef test_adds():\n    assert add(1, 2) == 3\n",
        );
        stage.write(".gitignore", ".venv/\n__pycache__/\n.pytest_cache/\n");
        let install = format!(
            "/usr/bin/python3 -m venv .venv && .venv/bin/pip install --quiet --no-index --find-links {} pytest",
            wheels.display()
        );
        stage.outside(&install).ended(0);
        same_inside(&stage, ". .venv/bin/activate && pytest && python -m pytest -q", &["1 passed"]);
    }
}

#[test]
fn python_from_pyenv() {
    for person in Person::everybody() {
        let mut stage = Stage::new(person);
        // As pyenv lays it out: a version with its own prefix, and shims that lead to it.
        let asked = std::process::Command::new("python3")
            .args(["-c", "import sys; print(sys.base_prefix)"])
            .output()
            .unwrap();
        let prefix = PathBuf::from(String::from_utf8(asked.stdout).unwrap().trim());
        let version = stage.home.join(".pyenv/versions/3.99.0");
        if prefix == Path::new("/usr") {
            copied(
                &Path::new("/usr/bin/python3").canonicalize().unwrap(),
                &version.join("bin/python3"),
                person,
            );
        } else {
            copied(&prefix, &version, person);
        }
        stage.in_home(".pyenv/version", "3.99.0\n");
        let shim = stage.in_home(
            ".pyenv/shims/python3",
            &format!("#!/bin/sh\nexec {}/bin/python3 \"$@\"\n", version.display()),
        );
        std::fs::set_permissions(shim, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        person.owns(&stage.home.join(".pyenv"));
        stage.set("PYENV_ROOT", stage.home.join(".pyenv"));
        stage.set("PATH", format!("{}/.pyenv/shims:/usr/bin:/bin", stage.home.display()));
        stage.write("test_adder.py", "import unittest\n\n\nclass Adds(unittest.TestCase):\n    def test_adds(self):\n        self.assertEqual(1 + 2, 3)\n");
        same_inside(
            &stage,
            "python3 -c 'import sys; print(sys.executable)' && python3 -m unittest 2>&1",
            &["3.99.0", "OK"],
        );
    }
}

#[test]
fn make_and_gcc() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        stage.write("main.c", "#include <stdio.h>\nint add(int, int);\nint main(void) { printf(\"%d\\n\", add(40, 2)); return 0; }\n");
        stage.write("add.c", "int add(int a, int b) { return a + b; }\n");
        stage.write(
            "Makefile",
            "adder: main.o add.o\n\t$(CC) -o $@ $^\n%.o: %.c\n\t$(CC) -O2 -c -o $@ $<\ntest: adder\n\ttest \"$$(./adder)\" = 42 && echo the sum is right\nclean:\n\trm -f adder *.o\n",
        );
        stage.outside("make adder").ended(0);
        same_inside(&stage, "make clean && make -j2 test", &["the sum is right"]);
    }
}

#[test]
fn git_commit_rebase_and_stash() {
    for person in Person::everybody() {
        let stage = Stage::new(person);
        let line = "set -e
            git status --short
            git switch --quiet --create topic
            echo topic > topic.txt; git add topic.txt; git commit --quiet --message=topic
            git switch --quiet main
            echo main > main.txt; git add main.txt; git commit --quiet --message=main
            git switch --quiet topic; git rebase --quiet main
            echo unfinished >> README.md; git stash --quiet; git diff --quiet; git stash pop --quiet
            git log --format=%s
            git diff --stat
            git gc --quiet
            git fsck --strict";
        same_inside(&stage, line, &["topic\nmain\nfirst", "README.md | 1 +"]);
    }
}
