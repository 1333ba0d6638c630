//! Patches made to harm whoever lands them, or what lies beside: none does anything but what was accepted of it, and what is
//! kept back says why.

use super::everybody;
use e2e::person::Person;
use e2e::ran::{Ran, run};
use e2e::stage::Stage;
use e2e::tree::Tree;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything of a person's that a landing has no business with: the home but for state and workspace, and beside it.
fn outside(stage: &Stage) -> Vec<Tree> {
    vec![
        Tree::of(&stage.home.join(".ssh")),
        Tree::of(&stage.elsewhere),
        Tree::of(&stage.workspace.join(".git")),
    ]
}

/// Nothing outside has changed.
#[track_caller]
fn is_as_before(stage: &Stage, before: &[Tree]) {
    outside(stage).iter().zip(before).for_each(|(now, before)| now.same_as(before));
}

/// Why something was kept back.
#[track_caller]
fn kept<'a>(ran: &'a Ran, path: &str) -> &'a str {
    let line = ran.stdout.lines().find(|line| line.starts_with("kept") && line.contains(path));
    line.unwrap_or_else(|| panic!("`{path}` was not kept back, or nothing says so: {ran}"))
}

/// What the probe answers outside, in a folder of this person's.
fn does(stage: &Stage, words: &[&str]) -> Ran {
    run(stage.command(stage.workspace.join("probe")).args(words))
}

#[test]
fn no_spelling_of_gits_own_names_lands_even_by_its_own_name() {
    everybody(|stage| {
        let before = outside(stage);
        let names = [
            ".GIT",
            ".Git",
            ".git ",
            ".git.",
            ".git. .",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".gi\u{ff54}",
            ".git::$INDEX_ALLOCATION",
            ".git\u{200d}",
            "sub/.GiT",
        ];
        let lines = names.map(|name| format!("mkdir -p '{name}/hooks'; echo pwned > '{name}/config'; echo pwned > '{name}/hooks/pre-commit'\n"));
        stage.inside(&format!("{}echo ok > honest", lines.concat())).ended(0);
        let ran = stage.says(&["apply", "--all"]).ended(1);
        for name in names {
            let file = format!("{name}/config");
            let ran = stage.says(&["apply", "--only", &file, "--only", name]);
            assert!(!stage.workspace.join(&file).exists(), "{name:?} landed: {ran}");
        }
        assert!(ran.stdout.contains("never lands"), "{ran}");
        assert!(stage.workspace.join("honest").exists());
        is_as_before(stage, &before);
    });
}

#[test]
fn what_git_would_run_or_follow_springs_no_trap() {
    everybody(|stage| {
        let trap = stage.in_home("trap.sh", "#!/bin/sh\ntouch ~/sprung\nexit 0\n");
        std::fs::set_permissions(&trap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let trap = trap.display();
        let before = outside(stage);
        // By a program of the agent's that writes the files itself; git inside may refuse some of it.
        let config = format!(
            "[core]\\n\\tfsmonitor = {trap}\\n\\thooksPath = {home}\\n\\tsshCommand = {trap}\\n\\tpager = {trap}\\n[alias]\\n\\tstatus = !{trap}\\n[filter \"x\"]\\n\\tclean = {trap}\\n\\tsmudge = {trap}\\n[include]\\n\\tpath = {home}/evil\\n[diff]\\n\\texternal = {trap}\\n",
            home = stage.home.display()
        );
        let line = format!(
            "printf '{config}' >> .git/config; printf '{config}' > .git/config.worktree; echo '* filter=x diff=x' > .gitattributes; \
             echo '* filter=x' > .git/info/attributes; mkdir -p sub; echo 'gitdir: ../../../.ssh' > sub/.git; \
             printf '[submodule \"--upload-pack={trap}\"]\\n\\tpath = -x\\n\\turl = --upload-pack={trap}\\n' > .gitmodules; \
             git update-index --add --cacheinfo 160000,0123456789012345678901234567890123456789,linked; \
             echo honest >> README.md; true"
        );
        stage.inside(&line).ended(0);
        let ran = stage.says(&["apply", "--all"]).ended(1);
        for name in [".git/config", ".gitattributes", ".gitmodules", "sub"] {
            kept(&ran, name);
        }
        let names = [".git/config", ".git/config.worktree", ".git/info/attributes", "sub/.git", "linked"];
        for name in names {
            let ran = stage.says(&["apply", "--only", name]);
            assert!(!ran.stdout.contains("landed  "), "{name}: {ran}");
        }
        is_as_before(stage, &before);
        // Two that a person may accept by name do nothing where git's configuration is the person's own.
        stage.says(&["apply", "--only", ".gitattributes", "--only", ".gitmodules"]).ended(0);
        stage.outside("git status; git diff; git add --all; git commit --quiet --message=x; git submodule status; git log -1").ended(0);
        assert!(!stage.home.join("sprung").exists(), "a trap was sprung");
        assert!(!stage.git(&["ls-files", "--stage"]).contains("160000"), "a gitlink came through");
    });
}

#[test]
fn links_and_climbing_names_lead_nowhere() {
    everybody(|stage| {
        stage.in_home("target/kept", "as it was");
        std::fs::write(stage.elsewhere.join("kept"), "as it was").unwrap();
        let before = outside(stage);
        let target = stage.home.join("target");
        let line = format!(
            "ln -s {target} absolute; ln -s ../target relative; ln -s ../../elsewhere up; rm -r src; ln -s {target} src; \
             mkdir -p 'a/...' '..;' '..\\..\\x'; echo x > 'a/.../f'; echo x > '..;/f'; echo x > '..\\..\\x/f'; echo x > '..a'",
            target = target.display()
        );
        stage.inside(&line).ended(0);
        let ran = stage.says(&["apply", "--all"]).ended(1);
        for link in ["absolute", "relative", "up"] {
            assert!(kept(&ran, link).contains("link"), "{ran}");
            assert!(!stage.workspace.join(link).is_symlink());
        }
        // Accepted by name they are what they are; what comes after does not go through them.
        stage.says(&["apply", "--only", "absolute", "--only", "relative", "--only", "src"]);
        stage.inside("rm absolute relative; mkdir absolute relative; echo pwned > absolute/kept; echo pwned > relative/kept").ended(0);
        std::fs::write(stage.workspace.join("kept"), "").unwrap();
        stage.says(&["apply", "--all"]);
        assert_eq!(std::fs::read_to_string(target.join("kept")).unwrap(), "as it was");
        is_as_before(stage, &before);
        for name in ["a/.../f", "..;/f", "..\\..\\x/f", "..a"] {
            assert!(stage.workspace.join(name).exists(), "{name} is an honest name");
        }
    });
}

#[test]
fn marks_of_an_overlay_hide_and_show_nothing() {
    everybody(|stage| {
        for file in ["planted/a", "planted/b", "marked/c", "moved/d"] {
            stage.write(file, "as it was\n");
        }
        stage.in_home("hidden/key", "the key");
        // Before the run, in the repository, as a clone or an unpacked archive could bring them.
        let planted = [
            ("planted", "user.overlay.opaque", "y"),
            ("planted/b", "user.overlay.whiteout", "y"),
            ("planted", "user.overlay.whiteouts", "y"),
            ("moved", "user.overlay.redirect", "/../../hidden"),
            ("moved/d", "user.overlay.metacopy", ""),
            ("marked/c", "user.overlay.origin", "x"),
        ];
        for (path, name, value) in planted {
            does(stage, &["attribute", path, name, value]).ended(0);
        }
        does(stage, &["whiteout", "marked/gone"]).ended(0);
        stage.write("marked/gone2", "x\n");
        let before = (outside(stage), Tree::shape_of(&stage.workspace));
        // And by the agent, from within.
        let line = "for p in planted moved marked src; do for n in opaque redirect metacopy whiteouts; do \
             ./probe attribute $p user.overlay.$n y; ./probe attribute $p trusted.overlay.$n y; done; done; \
             ./probe attribute src/greeting.txt user.overlay.redirect /../../hidden/key; \
             ./probe whiteout src/gone; ./probe whiteout README.md; mkdir fresh; ./probe attribute fresh user.overlay.redirect /../../.ssh; \
             echo more >> planted/a; echo more >> moved/d; echo new > marked/new; true";
        stage.inside(line).ended(0);
        let review = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        let told = review["files"].as_array().unwrap().iter().map(|file| {
            (file["path"].as_str().unwrap().to_owned(), file["change"].as_str().unwrap().to_owned())
        });
        let told: Vec<_> = told.filter(|(path, _)| path != "src/gone").collect();
        assert!(told.iter().all(|(_, change)| change != "deleted"), "something seems to be gone: {told:?}");
        stage.says(&["apply", "--all"]);
        let now = Tree::shape_of(&stage.workspace);
        let changed = now.apart(&before.1);
        let honest = ["fresh", "marked/new", "moved/d", "planted/a"].map(std::path::PathBuf::from);
        assert!(changed.iter().all(|path| honest.contains(path)), "{changed:?}");
        // The kernel refuses the agent a file that claims to be a part of another; a person's own is as it was.
        for path in ["planted/a", "planted/b", "moved/d", "marked/c"] {
            let text = std::fs::read_to_string(stage.workspace.join(path)).unwrap();
            assert!(text == "as it was\n" || text == "as it was\nmore\n", "{path}: {text:?}");
        }
        assert_eq!(std::fs::read_to_string(stage.workspace.join("planted/a")).unwrap(), "as it was\nmore\n");
        is_as_before(stage, &before.0);
    });
}

#[test]
fn devices_pipes_rights_and_holes_do_not_land() {
    everybody(|stage| {
        stage.write("twin", "as it was\n");
        std::fs::hard_link(stage.workspace.join("twin"), stage.elsewhere.join("twin")).unwrap();
        let before = outside(stage);
        let line = "mkfifo pipe; ./probe device disk; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")'; \
            cp check.sh suid; chmod 4755 suid; cp check.sh sgid; chmod 2755 sgid; mkdir sticky; chmod 1777 sticky; echo x > sticky/x; \
            truncate -s 1000000000000 holes; chmod 6755 check.sh; ln twin twin2; echo more >> twin; \
            ln ../.ssh/id_rsa stolen; ln /etc/hostname stolen2; true";
        stage.inside(line).ended(0);
        let ran = stage.says(&["apply", "--all"]).ended(1);
        for (name, why) in [
            ("pipe", "pipe"),
            ("suid", "program"),
            ("sgid", "program"),
            ("check.sh", "program"),
            ("holes", "4 GiB"),
        ] {
            assert!(kept(&ran, name).contains(why), "{name}: {ran}");
        }
        // Set-id bits do not come even by name.
        for name in ["suid", "sgid", "check.sh", "pipe", "holes"] {
            stage.says(&["apply", "--only", name]);
        }
        let special = stage.outside("find . -path ./.git -prune -o ! -type f ! -type d -print -o -perm /6000 -print -o -size +1G -print");
        assert_eq!(special.ended(0).stdout, "");
        assert!(!stage.workspace.join("stolen").exists() && !stage.workspace.join("stolen2").exists());
        assert_eq!(std::fs::read_to_string(stage.elsewhere.join("twin")).unwrap(), "as it was\n");
        outside(stage).iter().zip(&before).skip(2).for_each(|(now, before)| now.same_as(before));
    });
}

#[test]
fn a_file_that_may_not_be_changed_is_kept_back_and_the_rest_lands() {
    let stage = Stage::new(Person::myself());
    stage.write("fixed", "as it was\n");
    stage.inside("echo pwned > fixed; echo x > free").ended(0);
    let chattr = |flag: &str| {
        let done = Command::new("chattr").arg(flag).arg(stage.workspace.join("fixed")).output();
        done.is_ok_and(|done| done.status.success())
    };
    if !chattr("+i") {
        println!("SKIPPED: no file can be made immutable here");
        return;
    }
    let ran = stage.says(&["apply", "--all"]);
    assert!(chattr("-i"));
    assert_eq!(ran.status, 1, "{ran}");
    kept(&ran, "fixed");
    assert_eq!(std::fs::read_to_string(stage.workspace.join("fixed")).unwrap(), "as it was\n");
    assert!(stage.workspace.join("free").exists());
    stage.says(&["ledger", "verify"]).ended(0);
    stage.says(&["apply", "--all"]).ended(0);
}

#[test]
fn a_folder_that_becomes_a_link_and_back_while_it_lands_leads_nothing_outside() {
    everybody(|stage| {
        let victim = stage.elsewhere.join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::write(victim.join("0"), "as it was").unwrap();
        stage.person.owns(&victim);
        stage.write("dir/0", "as it was\n");
        stage
            .inside(
                "for i in $(seq 0 60); do echo pwned > dir/$i; done; mkdir dir/deep; echo pwned > dir/deep/x",
            )
            .ended(0);
        let before = outside(stage);
        let (dir, link) = (stage.workspace.join("dir"), stage.home.join("swapped"));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // A program beside: in one step the folder is a link to the outside, in the next a folder again.
                while !done.load(Ordering::Relaxed) {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &link, flags).unwrap();
                }
            });
            for _ in 0..4 {
                stage.says(&["apply", "--all"]);
            }
            done.store(true, Ordering::Relaxed);
        });
        is_as_before(stage, &before);
        if dir.is_symlink() {
            std::fs::rename(&dir, stage.home.join("aside")).unwrap();
            std::fs::rename(&link, &dir).unwrap();
        }
        stage.says(&["status"]).ended(0);
        stage.says(&["ledger", "verify"]).ended(0);
    });
}

#[test]
fn what_is_changed_between_review_and_apply_does_not_land() {
    everybody(|stage| {
        stage.inside("echo reviewed > file; echo reviewed > other; printf 'a\\0b' > binary").ended(0);
        stage.says(&["review"]).ended(0).printed("reviewed");
        let upper = find_upper(&stage.state());
        for name in ["file", "binary"] {
            std::fs::write(upper.join(name), "pwned\n").unwrap();
        }
        std::fs::write(upper.join("more"), "pwned\n").unwrap();
        let ran = stage.says(&["apply", "--all"]).ended(1);
        for name in ["file", "binary", "more"] {
            assert!(kept(&ran, name).contains("nobody has looked at it"), "{ran}");
            assert!(!stage.workspace.join(name).exists(), "{ran}");
        }
        assert_eq!(std::fs::read_to_string(stage.workspace.join("other")).unwrap(), "reviewed\n");
    });
}

/// Where the only run's changes lie.
fn find_upper(state: &Path) -> std::path::PathBuf {
    let run = std::fs::read_dir(state.join("runs")).unwrap().next().unwrap().unwrap().path();
    ["upper", "copy"]
        .map(|name| run.join("staged").join(name))
        .into_iter()
        .find(|place| place.exists())
        .unwrap()
}
