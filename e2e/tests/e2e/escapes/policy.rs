//! Policy: nobody inside widens it, and what cannot be read as it stands stops the run.

use super::{everybody, keeps_the_secret};
use e2e::tree::Tree;

const WIDE: &str = r#"version = 1

default = { read = "none", write = "none", connect = "none" }

[[rule]]
id = "everything"
read = ["/**", "~/**", "~/.ssh/**"]
write = ["/**", "~/**"]
connect = ["*.example.org:80"]
need = "none"
"#;

#[test]
fn a_repositorys_own_policy_widens_nothing() {
    everybody(|stage| {
        stage.write(".provost/policy.toml", WIDE);
        keeps_the_secret(stage, &[], "cat ~/.ssh/id_rsa");
        let ran = stage.inside("curl --silent --include http://a.example.org/; echo x > ~/outside.txt; true");
        assert!(ran.stdout.contains(" 403 "), "{ran}");
        assert!(!stage.home.join("outside.txt").exists());
    });
}

#[test]
fn a_repositorys_own_policy_narrows() {
    everybody(|stage| {
        stage.write("private/key", e2e::stage::SECRET);
        let rule = "version = 1\n\n[[rule]]\nid = \"private\"\nread = [\"./private/**\"]\nneed = \"never\"\n";
        stage.write(".provost/policy.toml", rule);
        keeps_the_secret(stage, &[], "cat private/key");
        stage.ledger().denial("read", "/private/key");
    });
}

#[test]
fn nothing_that_is_written_inside_changes_the_rules() {
    everybody(|stage| {
        let wide = stage.policy(WIDE);
        let before = Tree::of(&stage.workspace);
        let wide = std::fs::read_to_string(wide).unwrap();
        let line = format!(
            "mkdir -p .provost ~/.config/provost ~/.local/state/provost
             for to in .provost ~/.config/provost /etc/provost/policy.d; do cat > $to/policy.toml <<'E'\n{wide}\nE\ndone
             cat ~/.ssh/id_rsa; true"
        );
        let ran = stage.inside(&line);
        assert!(!ran.stdout.contains(e2e::stage::SECRET), "{ran}");
        Tree::of(&stage.workspace).same_as(&before);
        assert!(!stage.home.join(".config/provost").exists(), "a policy of the person came to be");
        keeps_the_secret(stage, &[], "cat ~/.ssh/id_rsa");
    });
}

#[test]
fn a_policy_that_cannot_be_read_as_it_stands_stops_the_run() {
    everybody(|stage| {
        for (text, words) in [
            ("version = 1\n\n[[rule]\n", "policy.toml:3"),
            ("version = 1\n\n[[rule]]\nid = \"a\"\nread = [\"./**\"]\nneed = \"nothing\"\n", "nothing"),
            ("version = 1\nsurprise = true\n", "surprise"),
            ("version = 2\n", "version"),
            (
                "version = 1\n\n[[rule]]\nid = \"a\"\nexec = [\"git push\"]\nneed = \"never\"\nyes = [\"git pull\"]\n",
                "git pull",
            ),
        ] {
            let policy = stage.policy(text);
            let ran = stage.inside_with(&["--policy", &policy], "touch ran; echo it ran").ended(125);
            assert!(ran.stderr.contains(words) && ran.stderr.contains("policy.toml"), "`{words}`: {ran}");
            assert!(!ran.stdout.contains("it ran"), "{ran}");
            let checked = stage.says(&["policy", "check", &policy]).ended(1);
            assert!(checked.stderr.contains(words), "{checked}");
        }
        stage.inside_with(&["--policy", "nowhere.toml"], "true").ended(125).complained("nowhere.toml");
        // The person's own, unreadable for whoever it is: a folder is no file.
        std::fs::create_dir_all(stage.home.join(".config/provost/policy.toml")).unwrap();
        stage.person.owns(&stage.home.join(".config"));
        stage.inside("true").ended(125).complained("policy.toml");
    });
}

#[test]
fn what_explain_says_is_what_happens() {
    everybody(|stage| {
        let explain = |words: &[&str]| {
            let all = ["policy", "explain"].iter().chain(words).copied().collect::<Vec<_>>();
            stage.says(&all).ended(0).stdout.split_whitespace().next().unwrap_or_default().to_owned()
        };
        assert_eq!(explain(&["read", "./README.md"]), "allow");
        assert_eq!(explain(&["read", "~/.ssh/id_rsa"]), "deny");
        assert_eq!(explain(&["read", "~/notes.txt"]), "deny");
        assert_eq!(explain(&["write", "./.git/hooks/pre-commit"]), "deny");
        assert_eq!(explain(&["connect", "unlisted.example.org:80"]), "ask");
        assert_eq!(explain(&["exec", "ls", "-l"]), "allow");
        stage
            .inside("cat README.md && ls -l && ! cat ~/.ssh/id_rsa && ! touch .git/hooks/pre-commit")
            .ended(0);
    });
}

#[test]
fn each_profile_does_what_it_is_for() {
    everybody(|stage| {
        let ran = stage
            .inside_with(&["--profile", "review"], "cat README.md; echo x > new.txt; echo status $?")
            .ended(0);
        assert!(
            ran.stdout.contains("# A project") && !ran.stdout.contains("status 0"),
            "review only reads: {ran}"
        );
        for profile in ["refactor", "build", "deps", "deploy"] {
            stage
                .inside_with(&["--profile", profile], "echo x > new.txt && cat new.txt")
                .ended(0)
                .printed("x");
        }
        stage.inside_with(&["--profile", "nonesuch"], "true").ended(125).complained("nonesuch");
    });
}
