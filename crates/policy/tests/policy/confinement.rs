//! What is asked of the kernel is what is decided, and what it does not give stops the run.

use std::path::{Path, PathBuf};

use policy::{Confinement, Context, Enforcement, LayerKind, Policy, Tier, shortfall};

use crate::common::{all, anchors, compile, context, file, in_work, layer};

fn trees(texts: &[&str]) -> Vec<PathBuf> {
    texts.iter().map(PathBuf::from).collect()
}

#[test]
fn trees_are_held_by_the_kernel_and_nothing_is_judged_one_by_one() {
    let asked = file(
        r#"
        default = { exec = "none" }
        [[rule]]
        id = "open"
        read = ["./**", "/usr/**", "/usr/lib/**", "/opt/{a,b}", "~/.cargo/bin"]
        write = ["./**"]
        need = "none"
        [[rule]]
        id = "closed"
        read = ["./secret", "/opt/a/**", "/elsewhere"]
        write = ["./.git/hooks"]
        need = "never"
        "#,
    )
    .confinement()
    .unwrap();
    let expected = Confinement {
        read: trees(&["/home/ann/.cargo/bin", "/home/ann/work", "/opt/b", "/usr"]),
        write: trees(&["/home/ann/work"]),
        hidden: trees(&[&in_work("secret")]),
        frozen: trees(&["/home/ann/work/.git/hooks"]),
        ..Confinement::default()
    };
    assert_eq!(asked, expected);
}

#[test]
fn what_asks_is_shown_where_somebody_attends_and_closed_where_nobody_does() {
    let text = r#"
        default = { exec = "none" }
        [[rule]]
        id = "open"
        read = ["./**"]
        write = ["./**"]
        need = "none"
        [[rule]]
        id = "asks"
        read = ["./private/**", "/srv/data", "./closed/in"]
        write = ["./deploy/**"]
        need = "human"
        [[rule]]
        id = "closed"
        read = ["./closed/**"]
        need = "never"
        "#;
    let floor = "[[rule]]\nid = \"floor\"\nread = [\"/srv/**\", \"/var/**\"]\nneed = \"human\"\n";
    let layers = || vec![layer(LayerKind::File, text), layer(LayerKind::Floor, floor)];
    let asked = compile(layers()).confinement().unwrap();
    let expected = Confinement {
        read: trees(&["/home/ann/work", "/srv/data"]),
        write: trees(&["/home/ann/work"]),
        hidden: trees(&[&in_work("closed")]),
        asks_read: trees(&[&in_work("private"), "/srv/data"]),
        asks_write: trees(&[&in_work("deploy")]),
        judged_opens: true,
        judged_execs: true,
        ..Confinement::default()
    };
    assert_eq!(asked, expected);
    let nobody = Context { attended: false, ..context() };
    let asked = Policy::compile(layers(), &anchors(), &nobody).unwrap().confinement().unwrap();
    let expected = Confinement {
        read: trees(&["/home/ann/work"]),
        write: trees(&["/home/ann/work"]),
        hidden: trees(&[&in_work("closed"), &in_work("private")]),
        frozen: trees(&[&in_work("deploy")]),
        ..Confinement::default()
    };
    assert_eq!(asked, expected);
}

#[test]
fn shapes_holes_and_rules_on_commands_need_somebody_who_looks() {
    let judged = |text: &str| {
        let asked = file(&format!("default = {{ exec = \"none\" }}\n[[rule]]\nid = \"all\"\nread = [\"./**\"]\nneed = \"none\"\n[[rule]]\nid = \"x\"\n{text}\n")).confinement().unwrap();
        (asked.judged_opens, asked.judged_execs)
    };
    assert_eq!(judged("read = [\"./a\"]\nneed = \"never\""), (false, false));
    assert_eq!(judged("read = [\"./**/.env\"]\nneed = \"never\""), (true, true));
    assert_eq!(judged("read = [\"./a\"]\nneed = \"human\""), (true, true));
    assert_eq!(judged("read = [\"./**/.env\"]\nneed = \"human\""), (true, true));
    assert_eq!(judged("write = [\"./*.rs\"]\nneed = \"none\""), (true, false));
    assert_eq!(judged("write = [\"./**\"]\nexcept = [\"./a\"]\nneed = \"none\""), (true, false));
    assert_eq!(judged("read = [\"./a/**\"]\nexcept = [\"./a/b\"]\nneed = \"never\""), (true, true));
    assert_eq!(judged("land = [\"./**/x\"]\nneed = \"never\""), (false, false));
    assert_eq!(judged("exec = [\"rm **\"]\nneed = \"none\""), (false, false));
    assert_eq!(judged("exec = [\"rm **\"]\nneed = \"never\""), (false, true));
    assert!(
        file("[[rule]]\nid = \"all\"\nread = [\"./**\"]\nneed = \"none\"\n")
            .confinement()
            .unwrap()
            .judged_execs
    );
}

#[test]
fn what_only_narrows_closes_and_never_opens() {
    let open = "[[rule]]\nid = \"all\"\nread = [\"./**\"]\nwrite = [\"./**\"]\nneed = \"none\"\n";
    let floor = "nested = true\n[[rule]]\nid = \"more\"\nread = [\"/etc/**\"]\nneed = \"none\"\n[[rule]]\nid = \"less\"\nread = [\"./x\"]\nwrite = [\"./y\"]\nneed = \"human\"\n";
    for kind in [LayerKind::Floor, LayerKind::Repo] {
        let asked = compile(vec![layer(LayerKind::Profile, open), layer(kind, floor)]).confinement().unwrap();
        assert_eq!(asked.read, trees(&["/home/ann/work"]));
        assert_eq!(
            (asked.asks_read, asked.asks_write),
            (trees(&["/home/ann/work/x"]), trees(&["/home/ann/work/y"]))
        );
        assert!(!asked.nested);
    }
}

#[test]
fn namespaces_inside_are_opened_by_who_may_and_closed_by_a_floor() {
    let nested = |kind, text: &str| layer(kind, &format!("nested = {text}"));
    let asked = |layers| compile(layers).confinement().unwrap().nested;
    assert!(asked(vec![nested(LayerKind::User, "true")]));
    assert!(!asked(vec![nested(LayerKind::User, "true"), nested(LayerKind::File, "false")]));
    assert!(!asked(vec![nested(LayerKind::User, "true"), nested(LayerKind::Floor, "false")]));
}

#[test]
fn what_no_kernel_can_hold_is_said() {
    for text in [
        "default = { read = \"none\" }",
        "default = { write = \"ask\" }",
        "[[rule]]\nid = \"x\"\nread = [\"/**/*.h\"]\nneed = \"none\"\n",
    ] {
        let missing = file(text).confinement().unwrap_err();
        assert_eq!(missing.missing.len(), 1, "{missing}");
    }
    // A Shape that closes needs no folder.
    assert!(
        file("[[rule]]\nid = \"x\"\nread = [\"/**/*.h\"]\nneed = \"never\"\n")
            .confinement()
            .unwrap()
            .judged_opens
    );
}

#[test]
fn each_thing_that_is_missing_stops_the_run_and_is_named() {
    let asked = Confinement::default();
    assert_eq!(shortfall(&asked, &all()), Ok(()));
    type Take = fn(&mut Enforcement);
    let takes: [(&str, Take); 11] = [
        ("users", |given| given.user_namespace = false),
        ("files", |given| given.mount_namespace = false),
        ("processes", |given| given.pid_namespace = false),
        ("network", |given| given.network_namespace = false),
        ("shared memory", |given| given.ipc_namespace = false),
        ("host name", |given| given.uts_namespace = false),
        ("no_new_privs", |given| given.no_new_privs = false),
        ("capability", |given| given.no_capabilities = false),
        ("Landlock version 2 (here: 1)", |given| given.landlock_abi = 1),
        ("seccomp", |given| given.seccomp = false),
        ("supervisor", |given| given.supervisor = false),
    ];
    for (name, take) in takes {
        let mut given = all();
        take(&mut given);
        let missing = shortfall(&asked, &given).unwrap_err().missing;
        assert!(
            missing.len() == 1 && missing[0].what.contains(name) && !missing[0].hint.is_empty(),
            "{missing:?}"
        );
    }
    assert_eq!(shortfall(&asked, &Enforcement::default()).unwrap_err().missing.len(), 11);
    let nested = Confinement { nested: true, ..Confinement::default() };
    assert_eq!(shortfall(&nested, &Enforcement { landlock_abi: 0, ..all() }), Ok(()));
}

/// What a machine gives that refuses namespaces.
fn alone() -> Enforcement {
    Enforcement {
        tier: Tier::Landlock,
        no_new_privs: true,
        no_capabilities: true,
        landlock_abi: 6,
        landlock_network: true,
        landlock_scopes: true,
        seccomp: true,
        supervisor: true,
        ..Enforcement::default()
    }
}

#[test]
fn the_lesser_tier_is_held_to_its_own_and_never_stands_for_the_other() {
    let asked = Confinement { tier: Tier::Landlock, ..Confinement::default() };
    assert_eq!(shortfall(&asked, &alone()), Ok(()));
    type Take = fn(&mut Enforcement);
    let takes: [(&str, Take); 8] = [
        ("the tier", |given| given.tier = Tier::Namespaces),
        ("Landlock version 6 (here: 5)", |given| given.landlock_abi = 5),
        ("TCP", |given| given.landlock_network = false),
        ("signals", |given| given.landlock_scopes = false),
        ("no_new_privs", |given| given.no_new_privs = false),
        ("capability", |given| given.no_capabilities = false),
        ("seccomp", |given| given.seccomp = false),
        ("supervisor", |given| given.supervisor = false),
    ];
    for (name, take) in takes {
        let mut given = alone();
        take(&mut given);
        let missing = shortfall(&asked, &given).unwrap_err().missing;
        assert!(missing.len() == 1 && missing[0].what.contains(name), "{name}: {missing:?}");
    }
    let nested = Confinement { nested: true, ..asked };
    assert!(shortfall(&nested, &alone()).unwrap_err().to_string().contains("nested"));
    // Who asked for namespaces does not get less.
    assert_eq!(shortfall(&Confinement::default(), &alone()).unwrap_err().missing.len(), 6);
}

#[test]
fn without_staging_what_asks_before_it_lands_must_be_out_of_reach() {
    let held = |path: &Path| path.starts_with(".github");
    let judge = |rules: &str| {
        let open = "default = { exec = \"none\", land = \"ask\" }\n[[rule]]\nid = \"open\"\nread = [\"./**\"]\nwrite = [\"./**\"]\nneed = \"none\"\n";
        let policy = file(&format!("{open}{rules}"));
        policy.holds_direct(&policy.confinement().unwrap(), &held).map_err(|short| short.to_string())
    };
    let land = |pattern: &str, need: &str| {
        format!("\n[[rule]]\nid = \"look\"\nland = [\"{pattern}\"]\nneed = \"{need}\"\n")
    };
    assert_eq!(judge(""), Ok(()));
    assert_eq!(judge(&land("./src/**", "none")), Ok(()));
    assert_eq!(judge(&land("./.github/**", "humans(2)")), Ok(()), "no write reaches it");
    assert_eq!(judge(&land("/elsewhere/**", "human")), Ok(()), "nothing is written there");
    for (pattern, need) in
        [("./src/**", "human"), ("./**", "never"), ("./**/*.sql", "human"), ("./{a,.github}/**", "model")]
    {
        let short = judge(&land(pattern, need)).unwrap_err();
        assert!(short.contains("rule `look`") && short.contains(need), "{pattern}: {short}");
    }
    let frozen = "\n[[rule]]\nid = \"froze\"\nwrite = [\"./sql/**\"]\nneed = \"never\"\n";
    assert_eq!(judge(&format!("{frozen}{}", land("./sql/**", "human"))), Ok(()));
    assert!(judge(&format!("{frozen}{}", land("./sq/**", "human"))).is_err());
}
