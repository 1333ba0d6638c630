//! Whatever a file system holds comes through a run as what it is, and git works where its folder lies outside.

use e2e::person::Person;
use e2e::stage::Stage;
use e2e::tree::Tree;

fn everybody(scene: impl Fn(&mut Stage)) {
    for person in Person::everybody() {
        println!("as {person}");
        scene(&mut Stage::new(person));
    }
}

/// All that is there but git's own: kinds, modes, names, where links lead, contents.
const LIST: &str = "find . -path ./.git -prune -o ! -type s -printf '%y %m %p %l\\0' | sort -z | od -c | sha256sum; \
                    find . -path ./.git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum -z | od -c | sha256sum";

#[test]
fn everything_a_file_system_holds_lands_for_what_it_is() {
    everybody(|stage| {
        stage.write("dos.txt", "one\r\ntwo\r\nthree\n");
        stage.write("unix.txt", "one\ntwo\n");
        stage.write("end.txt", "one\ntwo\n");
        stage.write(".gitignore", "*.o\nbuild/\n");
        stage.outside("mkdir -p moves/deep; seq 99 > moves/a; seq 50 > moves/deep/b; : > moves/none; mkdir bare; mkdir shut; echo x > shut/in; chmod 700 shut").ended(0);
        stage.outside("echo twin > twin; ln twin twin2; ln -s a dead; echo '#!/bin/sh' > run.sh").ended(0);
        stage.git(&["add", "--all"]);
        stage.git(&["commit", "--quiet", "--message=all"]);
        let edits = "rm README.md; mv moves moved; echo 100 >> moved/a; rmdir bare; mkdir -p new/bare; \
            sed -i 's/$/\\r/' unix.txt; printf 'one\\r\\nzwei\\nthree\\n' > dos.txt; printf 'one\\ntwo' > end.txt; \
            printf 'a\\000b\\377' > binary; head -c 6000000 /dev/zero | tr '\\0' x > large; truncate -s 9000000 holes; \
            echo n > \"$(printf 'new\\nline')\"; echo f > \"$(printf 'odd\\377\\033[31m')\"; echo s > ' -rf '; \
            chmod 600 check.sh; chmod 755 run.sh; ln -sf ../elsewhere dead; ln twin twin3; echo more >> twin; \
            echo o > a.o; mkdir build; echo b > build/b; git init --quiet inner; echo i > inner/file; \
            mkfifo pipe; chmod 755 shut";
        let told = stage.inside(&format!("{edits}; {LIST}")).ended(0).stdout;
        let text = stage.says(&["review"]).ended(0).stdout;
        for line in [
            "renamed moves/ -> moved/ (3 files, 1 changed)\n",
            "  only line ends change: LF -> CRLF\n",
            "\\ no line end at the end of the file\n",
            "added new/bare\n  nothing -> a folder\n",
            "deleted bare\n  a folder -> nothing\n",
            "  binary: nothing -> 4 bytes\n",
            "  too large to be shown: nothing -> 6000000 bytes\n",
            "added new\\u{a}line",
            "added odd\\xff\\u{1b}[31m",
            "mode check.sh\n",
            "link dead\n",
            "added pipe\n  kept back: a pipe, socket or device never lands\n",
            "a repository within never lands as files",
            "ignored by git, never landing: a.o, build\n",
        ] {
            assert!(text.contains(line), "{line:?} is not in\n{text}");
        }
        stage.says(&["apply", "--all"]).ended(1);
        // What others obey, by its own name.
        stage.says(&["apply", "--only", "run.sh", "--only", "dead"]).ended(0);
        let rest = stage.says(&["review", "--format", "json"]).ended(0).json().remove(0);
        let rest: Vec<&str> =
            rest["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
        assert_eq!(rest, ["inner/.git", "pipe"], "{rest:?}");
        // The rest stays where it is: what git ignores, the pipe, the repository within.
        stage
            .outside("mkdir build; echo b > build/b; echo o > a.o; mkfifo pipe; git init --quiet inner")
            .ended(0);
        assert_eq!(stage.outside(LIST).ended(0).stdout, told);
        // The other name of a hard link keeps what it held, inside as outside.
        assert_eq!(stage.outside("cat twin twin2").ended(0).stdout, "twin\nmore\ntwin\n");
    });
}

#[test]
fn git_works_in_a_linked_worktree_and_in_a_submodule_and_changes_nothing_outside() {
    everybody(|stage| {
        stage.outside("git init --quiet ../lib && cd ../lib && echo l > l && git add l && git commit --quiet --message=lib").ended(0);
        stage.outside("git -c protocol.file.allow=always submodule --quiet add \"$HOME/lib\" sub && git commit --quiet --message=sub").ended(0);
        stage.git(&["worktree", "add", "--quiet", "../linked"]);
        let git = Tree::of(&stage.workspace.join(".git"));
        let line = "git log --oneline | wc -l; echo more >> FILE; git status --short; git diff | tail -n 1; git commit --quiet --all --message=x";
        for (place, file, log) in [("../linked", "README.md", "2"), ("sub", "l", "1")] {
            let ran = stage.inside_with(&["--workspace", place], &line.replace("FILE", file));
            let said = format!("{log}\n M {file}\n+more\n");
            assert!(ran.stdout.ends_with(&said) && ran.status != 0, "{place}: {ran}");
            assert!(ran.stderr.contains("lies outside and is read-only inside"), "{ran}");
            Tree::of(&stage.workspace.join(".git")).same_as(&git);
            stage.says(&["apply", "--all"]).ended(0);
            assert!(stage.outside(&format!("tail -n 1 {place}/{file}")).ended(0).stdout.contains("more"));
        }
        // In the repository itself the submodule is one as well, and commits in it are git's own.
        let ran = stage.inside("cd sub && git commit --quiet --all --message=x && git log --oneline | wc -l && cd .. && git status --short").ended(0);
        assert_eq!(ran.stdout, "2\n M sub\n");
        let text = stage.says(&["review"]).ended(0).stdout;
        assert!(text.contains("of git's own files changed") && !text.contains("modules"), "{text}");
        // A `.git` file that names somebody's folder shows nothing of it.
        let forged = format!("gitdir: {}\n", stage.workspace.join(".git").display());
        stage.in_home("forged/.git", &forged);
        let ran = stage.inside_with(
            &["--workspace", "../forged"],
            &format!("git log; ls {}", stage.workspace.join(".git").display()),
        );
        assert!(
            ran.stderr.contains("does not lead back here") && ran.stdout.is_empty() && ran.status != 0,
            "{ran}"
        );
    });
}
