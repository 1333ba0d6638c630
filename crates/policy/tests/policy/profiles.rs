//! Each shipped profile does what it is for.

use policy::Action;

use crate::common::{connect, exec, land, profile, read, said, write};

#[test]
fn every_profile_reads_the_workspace_and_the_system_and_no_secret() {
    for (name, _, purpose) in policy::profiles() {
        let policy = profile(name);
        assert!(!purpose.is_empty());
        for open in ["/home/ann/work/src/main.rs", "/usr/lib/libc.so.6", "/etc/passwd", "/bin/sh"] {
            assert!(said(&policy, &read(open)).starts_with("allow"), "{name} {open}");
        }
        for closed in [
            "/etc/shadow",
            "/etc/sudoers.d/x",
            "/etc/ssh/ssh_host_ed25519_key",
            "/home/ann/notes.txt",
            "/root/x",
            "/var/lib/x",
        ] {
            assert!(said(&policy, &read(closed)).starts_with("deny"), "{name} {closed}");
        }
        for hers in ["/home/ann/.ssh/id_rsa", "/home/ann/.aws/credentials"] {
            assert!(said(&policy, &read(hers)).starts_with("deny: home-secrets, default"), "{name} {hers}");
        }
        assert_eq!(said(&policy, &exec("make test")), "allow: default", "{name}");
        for closed in
            ["/etc/passwd", "/home/ann/.bashrc", "/usr/bin/x", "/home/ann/work/.git/hooks/pre-commit"]
        {
            assert!(said(&policy, &write(closed)).starts_with("deny"), "{name} {closed}");
        }
        let asked = policy.confinement().unwrap();
        assert!(!asked.judged_opens && !asked.judged_execs && !asked.nested, "{name}");
    }
}

#[test]
fn what_each_is_for() {
    let file = "/home/ann/work/a";
    let spent = Action::Spend { unit: "tokens".to_owned(), amount: 5 };
    let key =
        Action::Credential { name: "k".to_owned(), to: policy::Endpoint::parse("a.example:443").unwrap() };
    let tool = Action::Tool { name: "mcp/x".to_owned() };
    //            write    land    host    credential  tool
    let table = [
        ("review", "deny", "deny", "deny", "deny", "deny"),
        ("refactor", "allow", "ask", "deny", "deny", "deny"),
        ("deps", "allow", "ask", "deny", "deny", "deny"),
        ("build", "allow", "ask", "ask", "deny", "deny"),
        ("deploy", "allow", "ask", "ask", "ask", "ask"),
    ];
    assert_eq!(policy::profiles().len(), table.len());
    for (name, writes, lands, host, credential, tools) in table {
        let policy = profile(name);
        let word = |action: &Action| policy.decide(action, &[]).word();
        let found = [write(file), land(file), connect("unknown.example:443"), key.clone(), tool.clone()];
        assert_eq!(found.each_ref().map(word), [writes, lands, host, credential, tools], "{name}");
        assert_eq!(word(&land("/home/ann/work/.git/config")), "deny", "{name}");
        assert_eq!(word(&spent), "allow");
    }
}

#[test]
fn no_profile_names_a_host() {
    for (name, text, _) in policy::profiles() {
        assert!(!text.contains("connect = ["), "{name}");
    }
}

#[test]
fn what_each_asks_of_the_kernel() {
    for (name, _, _) in policy::profiles() {
        let asked = profile(name).confinement().unwrap();
        insta::assert_snapshot!(format!("confinement_of_{name}"), toml::to_string(&asked).unwrap());
    }
}
