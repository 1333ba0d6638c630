//! Paths: links, races, hard links, `/proc`, neighbours, renames, late files, odd names.

use super::{everybody, keeps_the_secret};
use e2e::stage::SECRET;
use std::os::unix::fs::symlink;

#[test]
fn a_link_that_leads_outside_shows_nothing() {
    everybody(|stage| {
        symlink(stage.home.join(".ssh"), stage.workspace.join("was-there")).unwrap();
        keeps_the_secret(
            stage,
            &[],
            "cat was-there/id_rsa; ln -s ~/.ssh/id_rsa link && cat link; rm -f link",
        );
    });
}

#[test]
fn what_is_not_shown_is_named_in_the_record_and_to_who_tries() {
    everybody(|stage| {
        let ran = stage.inside("cat ~/.ssh/id_rsa; echo x > /etc/provost-e2e-new; true").ended(0);
        let ledger = stage.ledger();
        ledger.denial("read", "/.ssh/id_rsa");
        ledger.denial("write", "/etc/provost-e2e-new");
        ran.complained("provost: denied read").complained("provost: denied write");
    });
}

#[test]
fn a_link_that_leads_outside_takes_nothing() {
    everybody(|stage| {
        let outside = stage.elsewhere.join("outside.txt");
        std::fs::write(&outside, "as it was").unwrap();
        stage.person.owns(&outside);
        symlink(&outside, stage.workspace.join("link")).unwrap();
        let line = "echo changed > link; echo changed > ../../elsewhere/outside.txt; echo new > ../../elsewhere/new.txt
            truncate -s 0 link; rm -f ../../elsewhere/outside.txt; true";
        stage.inside(line).ended(0);
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "as it was");
        assert!(!stage.elsewhere.join("new.txt").exists());
        stage.outside(line).ended(0);
        assert!(!outside.exists() && stage.elsewhere.join("new.txt").exists(), "no attempt at all");
    });
}

#[test]
fn a_link_swapped_between_check_and_use_leads_nowhere_new() {
    everybody(|stage| {
        stage.write("inside.txt", "nothing secret");
        let line = "./probe swap-read inside.txt ~/.ssh/id_rsa";
        stage.inside(line).ended(1).printed("swap-read: EACCES");
        stage.outside(line).ended(0).printed("swap-read: done");

        let outside = stage.in_home("outside.txt", "as it was");
        let line = "./probe swap-write inside.txt ~/outside.txt";
        stage.inside(line).ended(1);
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "as it was");
        stage.outside(line).ended(1);
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "overwritten", "no attempt at all");
    });
}

#[test]
fn a_folder_swapped_under_a_path_leads_nowhere_new() {
    everybody(|stage| {
        stage.write("inside/id_rsa", "nothing secret");
        // The folder above the file is what changes.
        stage.inside("./probe swap-folder inside ~/.ssh id_rsa").ended(1).printed("swap-folder: EACCES");
        stage.outside("./probe swap-folder inside ~/.ssh id_rsa").ended(0);
    });
}

#[test]
fn a_hard_link_carries_nothing_in() {
    everybody(|stage| keeps_the_secret(stage, &[], "ln ~/.ssh/id_rsa stolen && cat stolen; rm -f stolen"));
}

#[test]
fn proc_is_no_way_around() {
    everybody(|stage| {
        let line = "for way in self self/task/self $$ $PPID 1; do
            cat /proc/$way/root$HOME/.ssh/id_rsa /proc/$way/cwd/../.ssh/id_rsa; done
            for fd in /proc/1/fd/* /proc/$PPID/fd/* /dev/fd/*; do
            test -d $fd && cat $fd/id_rsa $fd/$HOME/.ssh/id_rsa $fd/.ssh/id_rsa; done; true";
        keeps_the_secret(stage, &[], line);
    });
}

#[test]
fn a_neighbour_whose_name_begins_alike_is_not_the_workspace() {
    everybody(|stage| {
        stage.in_home("project-of-others/key", SECRET);
        keeps_the_secret(stage, &[], "cat ../project-of-others/key");
        stage.ledger().denial("read", "/project-of-others/key");
    });
}

#[test]
fn nothing_in_the_home_comes_to_be() {
    everybody(|stage| {
        stage.in_home(".bashrc", "# as it was\n");
        stage.inside(
            "echo 'echo pwned' >> ~/.bashrc; mkdir -p ~/.config/autostart ~/.ssh ~/.local/bin
             echo x > ~/.config/autostart/x; echo x > ~/.ssh/authorized_keys; echo x > ~/.local/bin/git; true",
        );
        assert_eq!(std::fs::read_to_string(stage.home.join(".bashrc")).unwrap(), "# as it was\n");
        for path in [".config/autostart/x", ".ssh/authorized_keys", ".local/bin/git"] {
            assert!(!stage.home.join(path).exists(), "{path} came to be");
        }
    });
}

const SECRETS: &str = r#"version = 1

[[rule]]
id = "secrets"
read = ["./secrets/**"]
need = "never"
why = "They are for people."
"#;

#[test]
fn a_rename_carries_nothing_out_of_a_rule() {
    everybody(|stage| {
        stage.write("secrets/key", SECRET);
        let policy = stage.policy(SECRETS);
        let options = ["--policy", &policy];
        keeps_the_secret(stage, &options, "cat secrets/key");
        stage.ledger().denial("read", "/secrets/key");
        for line in [
            "mv secrets open && cat open/key && mv open secrets",
            "mkdir a && mv secrets/key a/key && cat a/key && mv a/key secrets/key; rmdir a",
            "ln secrets/key k && cat k && rm k",
            "ln -s secrets s && cat s/key && rm s",
            "cp secrets/key k && cat k && rm k",
            "cd secrets && cat key",
            "tar -cf - secrets",
        ] {
            keeps_the_secret(stage, &options, line);
        }
    });
}

const ENV_FILES: &str = r#"version = 1

[[rule]]
id = "env-files"
read = ["./**/.env", "./.env"]
need = "never"
why = "Keys live there."
"#;

#[test]
fn a_glob_holds_at_any_depth_and_for_files_made_later() {
    everybody(|stage| {
        stage.write("deep/in/it/.env", SECRET);
        let policy = stage.policy(ENV_FILES);
        let options = ["--policy", &policy];
        for line in [
            "cat deep/in/it/.env",
            "mv deep elsewhere && cat elsewhere/in/it/.env; mv elsewhere deep",
            "mv deep/in/it/.env plain && cat plain; mv plain deep/in/it/.env",
            "ln deep/in/it/.env plain && cat plain; rm -f plain",
        ] {
            keeps_the_secret(stage, &options, line);
        }
        let late = "mkdir -p new/place && echo late-content > new/place/.env && cat new/place/.env";
        let ran = stage.inside_with(&options, late);
        assert!(!ran.stdout.contains("late-content"), "{ran}");
        stage.ledger().denial("read", "/new/place/.env");
    });
}

#[test]
fn odd_paths_are_refused_and_the_run_goes_on() {
    everybody(|stage| {
        let line = r#"mkdir gone && cd gone && rmdir ../gone && cat x ../../.ssh/id_rsa; cd "$OLDPWD"
            long=$(printf 'a/%.0s' $(seq 3000)); cat "$long" "./$long"; mkdir -p "$(printf 'x%.0s' $(seq 300))"
            odd=$(printf 'odd\377\376name'); echo fine > "$odd" && cat "$odd"; cat "/etc/$odd"; echo x > "/etc/$odd"
            cat "$(printf '../.ssh/id_rsa\n')" ../.ssh//id_rsa ../.ssh/./id_rsa ../../ada/.ssh/id_rsa
            cat README.md"#;
        let ran = stage.inside(line).ended(0).printed("fine").printed("# A project");
        assert!(!ran.stdout.contains(SECRET), "{ran}");
        // What is no text is in the record all the same, and the record can be read.
        stage.ledger().denial("write", r"/etc/odd\xff\xfename");
        stage.says(&["ledger", "verify"]).ended(0);
    });
}
