//! Handoff: what other programs later run or obey never lands unseen, and Provost itself never runs it.

use super::everybody;
use e2e::tree::Tree;

#[test]
fn files_that_others_obey_never_land_unseen() {
    everybody(|stage| {
        let git = Tree::of(&stage.workspace.join(".git"));
        let files = [
            ".git/config",
            ".git/info/attributes",
            ".GIT/hooks/post-checkout",
            "sub/.git/config",
            ".gitattributes",
            ".gitmodules",
            ".provost/policy.toml",
            ".claude/settings.json",
            ".claude/settings.local.json",
            ".codex/config.toml",
            ".mcp.json",
            "CLAUDE.md",
            "AGENTS.md",
            ".vscode/tasks.json",
            ".envrc",
            ".github/workflows/build.yml",
            ".gitlab-ci.yml",
            "Makefile",
            "build.rs",
            "package.json",
            "conftest.py",
        ];
        let write: String =
            files.map(|file| format!("mkdir -p $(dirname {file}); echo pwned >> {file}\n")).concat();
        stage
            .inside(&format!(
                "{write} chmod +x README.md; ln -s /etc/passwd out; echo fine >> src/greeting.txt"
            ))
            .ended(0);
        // Something was kept back, and it says so.
        stage.says(&["apply", "--all"]).ended(1);
        Tree::of(&stage.workspace.join(".git")).same_as(&git);
        for file in files {
            let now = std::fs::read_to_string(stage.workspace.join(file)).unwrap_or_default();
            assert!(!now.contains("pwned"), "{file} landed");
        }
        assert!(!stage.workspace.join("out").is_symlink(), "a link to the outside landed");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(stage.workspace.join("README.md")).unwrap().permissions(),
        );
        assert_eq!(mode & 0o111, 0, "a mode bit landed");
        assert_eq!(
            std::fs::read_to_string(stage.workspace.join("src/greeting.txt")).unwrap(),
            "hello\nfine\n"
        );
        assert!(stage.ledger().of("land.refused").count() > 0);
    });
}

#[test]
fn provost_runs_nothing_that_the_repository_names() {
    everybody(|stage| {
        let trap = stage.in_home("trap.sh", "#!/bin/sh\ntouch ~/sprung\nexit 1\n");
        std::fs::set_permissions(&trap, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let trap = trap.display();
        for (name, value) in [
            ("core.fsmonitor", trap.to_string()),
            ("core.hooksPath", stage.home.display().to_string()),
            ("core.sshCommand", trap.to_string()),
            ("diff.external", trap.to_string()),
            ("filter.x.clean", trap.to_string()),
            ("filter.x.smudge", trap.to_string()),
            ("core.pager", trap.to_string()),
        ] {
            stage.git(&["config", name, &value]);
        }
        stage.write(".gitattributes", "* filter=x diff=x\n");
        stage.inside("echo changed >> README.md").ended(0);
        stage.says(&["review"]).ended(0);
        stage.says(&["show"]).ended(0);
        stage.says(&["apply", "--only", "README.md"]).ended(0);
        stage.says(&["status"]).ended(0);
        assert!(!stage.home.join("sprung").exists(), "Provost ran what the repository names");
        stage.outside("git status; git diff");
        assert!(stage.home.join("sprung").exists(), "no trap at all");
    });
}

#[test]
fn landing_goes_beneath_the_root_and_follows_no_link() {
    everybody(|stage| {
        stage.in_home("elsewhere/kept.txt", "as it was");
        stage.inside("mkdir new && echo x > new/kept.txt; echo y > new/other.txt").ended(0);
        // Between the run and the landing, the folder's name comes to lead outside.
        std::os::unix::fs::symlink(stage.home.join("elsewhere"), stage.workspace.join("new")).unwrap();
        stage.says(&["apply", "--all"]).ended(1);
        assert_eq!(std::fs::read_to_string(stage.home.join("elsewhere/kept.txt")).unwrap(), "as it was");
        assert!(!stage.home.join("elsewhere/other.txt").exists(), "landed through a link");
    });
}

#[test]
fn what_is_what_it_is_after_landing() {
    everybody(|stage| {
        stage.write("old.txt", "to be renamed\n");
        stage.write("gone.txt", "to be removed\n");
        stage.git(&["add", "--all"]);
        stage.git(&["commit", "--quiet", "--message=more"]);
        stage.inside("mv old.txt new.txt; rm gone.txt; printf '\\000\\001\\377' > binary.dat; mkdir -p deep/er; echo x > deep/er/file").ended(0);
        stage.says(&["apply", "--all"]).ended(0);
        let here = |path: &str| std::fs::read(stage.workspace.join(path)).ok();
        assert_eq!(here("new.txt").as_deref(), Some(b"to be renamed\n".as_slice()));
        assert_eq!((here("old.txt"), here("gone.txt")), (None, None));
        assert_eq!(here("binary.dat").as_deref(), Some([0, 1, 255].as_slice()));
        assert_eq!(here("deep/er/file").as_deref(), Some(b"x\n".as_slice()));
    });
}

#[test]
fn what_is_discarded_is_gone() {
    everybody(|stage| {
        let before = Tree::of(&stage.workspace);
        stage.inside("echo x > new.txt; rm README.md").ended(0);
        stage.says(&["discard"]).ended(0);
        let ran = stage.says(&["apply", "--all"]);
        assert_ne!(ran.status, 0, "{ran}");
        Tree::of(&stage.workspace).same_as(&before);
    });
}
