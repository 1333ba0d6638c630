//! The strictest rule wins, holes are holes, floors hold, grants lift what may be lifted.

use policy::{
    AbsPath, Action, Command, Context, Decision, Endpoint, Grant, Guise, HttpRequest, Layer, LayerKind,
    Policy, Scheme, Selector,
};

use crate::common::{
    anchors, compile, connect, context, exec, file, in_work, land, layer, line, path, profile, read, said,
    write,
};

#[test]
fn the_strictest_rule_that_matches_wins_and_is_named() {
    let policy = file(
        r#"
        default = { read = "ask" }
        [[rule]]
        id = "all"
        read = ["./**"]
        need = "none"
        [[rule]]
        id = "env"
        read = ["./**/.env"]
        need = "never"
        why = "Secrets."
        [[rule]]
        id = "docs"
        read = ["./docs/**"]
        need = "human"
        "#,
    );
    assert_eq!(said(&policy, &read("/home/ann/work/src/main.rs")), "allow: all");
    assert_eq!(said(&policy, &read("/home/ann/work/docs/a")), "ask human: docs");
    assert_eq!(said(&policy, &read("/home/ann/work/docs/.env")), "deny: env");
    assert_eq!(said(&policy, &read("/home/ann/work/.env")), "deny: env");
    assert_eq!(said(&policy, &read("/home/ann/workshop")), "ask human: default");
    let Decision::Deny { reasons } = policy.decide(&read("/home/ann/work/.env"), &[]) else { panic!() };
    assert_eq!((reasons[0].layer.as_str(), reasons[0].why.as_deref()), ("file", Some("Secrets.")));
}

#[test]
fn a_hole_is_a_hole_in_its_own_rule_only() {
    let policy = file(
        r#"
        [[rule]]
        id = "all"
        read = ["./**"]
        except = ["./secret/**", "./**/*.pem"]
        need = "none"
        [[rule]]
        id = "public"
        read = ["./secret/public.pem"]
        need = "none"
        "#,
    );
    assert_eq!(said(&policy, &read("/home/ann/work/a")), "allow: all");
    assert_eq!(said(&policy, &read("/home/ann/work/secret/a")), "deny: default");
    assert_eq!(said(&policy, &read("/home/ann/work/x/a.pem")), "deny: default");
    assert_eq!(said(&policy, &read("/home/ann/work/secret/public.pem")), "allow: public");
}

#[test]
fn where_no_rule_speaks_the_last_default_holds_and_without_one_nothing_is_allowed() {
    let user = || layer(LayerKind::User, "default = { connect = \"none\" }");
    let profile = || layer(LayerKind::Profile, "default = { connect = \"deny\", exec = \"human\" }");
    for layers in [vec![user(), profile()], vec![profile(), user()]] {
        let policy = compile(layers);
        assert_eq!(said(&policy, &connect("a.example:443")), "allow: default");
        assert_eq!(policy.decide(&connect("a.example:443"), &[]).reasons()[0].layer, "user");
        assert_eq!(said(&policy, &exec("ls")), "ask human: default");
        assert_eq!(said(&policy, &read("/x")), "deny: default");
    }
    assert_eq!(said(&compile(Vec::new()), &connect("a.example:443")), "deny: default");
}

#[test]
fn a_floor_restricts_and_nothing_lifts_it() {
    let floor = r#"
        [[rule]]
        id = "no-mail"
        connect = ["mail.example:*"]
        need = "never"
        [[rule]]
        id = "two"
        connect = ["pay.example"]
        need = "humans(2)"
        [[rule]]
        id = "free"
        connect = ["free.example"]
        need = "none"
        "#;
    let open = "default = { connect = \"none\" }";
    let policy = compile(vec![layer(LayerKind::Floor, floor), layer(LayerKind::File, open)]);
    let mail = connect("mail.example:25");
    let asked = |action: &Action| match policy.decide(action, &[]) {
        Decision::Ask { need, reasons } => (need, reasons),
        Decision::Allow { reasons } | Decision::Deny { reasons } => (policy::Need::Never, reasons),
    };
    let grant = |action: &Action| {
        let (need, asked) = asked(action);
        Grant { id: "g1".to_owned(), selector: Selector::exact(action), need, asked }
    };
    let less = |action: &Action| Grant { need: policy::Need::Human, ..grant(action) };
    assert_eq!(said(&policy, &mail), "deny: no-mail");
    assert_eq!(line(&policy.decide(&mail, &[grant(&mail)])), "deny: no-mail");
    let pay = connect("pay.example:443");
    assert_eq!(said(&policy, &pay), "ask humans(2): two");
    assert_eq!(line(&policy.decide(&pay, &[grant(&mail), grant(&pay)])), "allow: two, g1");
    assert_eq!(line(&policy.decide(&pay, &[less(&pay)])), "ask humans(2): two", "one person is not two");
    assert_eq!(said(&policy, &connect("other.example:443")), "allow: default");
    let closed = compile(vec![layer(LayerKind::Floor, floor)]);
    assert_eq!(said(&closed, &connect("free.example:443")), "deny: default, free");
}

#[test]
fn a_repository_only_narrows_until_it_is_trusted() {
    let text = r#"
        default = { connect = "deny", exec = "none" }
        [[rule]]
        id = "more"
        connect = ["evil.example"]
        need = "none"
        [[rule]]
        id = "less"
        connect = ["a.example"]
        need = "never"
        [[rule]]
        id = "no-make"
        exec = ["make"]
        need = "never"
        "#;
    let user = || layer(LayerKind::User, "default = { connect = \"ask\", exec = \"ask\" }");
    let mut repo = layer(LayerKind::Repo, text);
    let untrusted = compile(vec![user(), repo.clone()]);
    assert_eq!(said(&untrusted, &connect("evil.example:443")), "deny: default, more");
    assert_eq!(said(&untrusted, &connect("a.example:443")), "deny: less, default");
    assert_eq!(said(&untrusted, &connect("b.example:443")), "deny: default");
    assert_eq!(said(&untrusted, &exec("ls")), "ask human: default");
    assert_eq!(said(&untrusted, &exec("make")), "deny: no-make");
    repo.trusted = true;
    let trusted = compile(vec![user(), repo]);
    assert_eq!(said(&trusted, &connect("evil.example:443")), "allow: more");
    assert_eq!(said(&trusted, &connect("a.example:443")), "deny: less");
    assert_eq!(said(&trusted, &exec("ls")), "allow: default");
}

#[test]
fn provosts_own_files_are_out_of_reach_whatever_is_written() {
    let everything = r#"
        [[rule]]
        id = "all"
        read = ["/**"]
        write = ["/**"]
        land = ["/**"]
        need = "none"
        "#;
    let policy = file(everything);
    for place in [
        "/home/ann/.local/state/provost",
        "/home/ann/.config/provost/policy.toml",
        "/etc/provost/policy.d/a.toml",
    ] {
        for action in [read(place), write(place), land(place)] {
            assert_eq!(said(&policy, &action), "deny: provost");
        }
    }
    assert_eq!(said(&policy, &read("/home/ann/.local/state/provosts")), "allow: all");
}

#[test]
fn commands_are_judged_on_their_words_and_by_every_name_they_go_by() {
    let policy = file(
        r#"
        default = { exec = "none" }
        [[rule]]
        id = "no-force"
        exec = ["git push ** {--force,-f} **"]
        need = "never"
        yes = ["git push -f origin x", "git push origin --force"]
        no = ["git push origin x", "git pull -f"]
        [[rule]]
        id = "no-preload"
        exec = ["LD_PRELOAD=* **"]
        need = "never"
        yes = ["LD_PRELOAD=/tmp/x.so ls"]
        "#,
    );
    assert_eq!(said(&policy, &exec("git push origin x")), "allow: default");
    assert_eq!(said(&policy, &exec("git push -f origin x")), "deny: no-force");
    let called = |program: &str, argv: &[&str], env: &[(&str, &str)]| {
        let argv = argv.iter().map(|word| word.as_bytes().to_vec()).collect();
        let env =
            env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Action::Exec(Command::new(path(program), argv, env))
    };
    assert_eq!(said(&policy, &called("/opt/multi", &["git", "push", "-f"], &[])), "deny: no-force");
    assert_eq!(said(&policy, &called("/usr/bin/git", &["innocent", "push", "-f"], &[])), "deny: no-force");
    assert_eq!(said(&policy, &called("/bin/ls", &["ls"], &[("LD_PRELOAD", "x")])), "deny: no-preload");
    // A name that a program gives itself allows nothing.
    let strict = file("[[rule]]\nid = \"ls\"\nexec = [\"ls **\"]\nneed = \"none\"\n");
    assert_eq!(said(&strict, &called("/tmp/evil", &["ls"], &[])), "deny: default, ls");
    assert_eq!(said(&strict, &called("/bin/ls", &["ls"], &[])), "allow: ls");
}

fn command(program: &str, line: &str) -> Command {
    let argv = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    Command::new(path(program), argv, Vec::new())
}

#[test]
fn a_name_means_an_installed_program_and_forbids_every_file_of_that_name() {
    let strict = file(
        "[[rule]]\nid = \"git\"\nexec = [\"git **\", \"./tools/lint **\"]\nneed = \"none\"\n\
         [[rule]]\nid = \"python\"\nexec = [\"python3 **\"]\nneed = \"none\"\n",
    );
    let agents = |program: &str| Action::Exec(command(program, "git status").known(false, Vec::new()));
    assert_eq!(said(&strict, &Action::Exec(command("/usr/bin/git", "git status"))), "allow: git");
    for place in [&in_work("git"), "/tmp/git", &in_work("bin/git")] {
        assert_eq!(said(&strict, &agents(place)), "deny: default, git", "{place}");
    }
    // A path means the file that lies there.
    assert_eq!(said(&strict, &agents(&in_work("tools/lint"))), "allow: git");
    let near = strict.explain(&agents(&in_work("git"))).nearest.unwrap();
    assert!(near.because.contains("lies where the agent can write"), "{}", near.because);
    // A name that the system gives a file is as good as its own.
    let python = |also| Action::Exec(command("/usr/bin/python3.11", "x -c pass").known(true, also));
    assert_eq!(said(&strict, &python(vec![Guise::Named(b"python3".to_vec())])), "allow: python");
    assert_eq!(said(&strict, &python(vec![Guise::Copy(b"python3".to_vec())])), "deny: default, python");
    let asks = file(
        "default = { exec = \"none\" }\n[[rule]]\nid = \"git\"\nexec = [\"git **\"]\nneed = \"human\"\n",
    );
    assert_eq!(said(&asks, &agents(&in_work("git"))), "ask human: git");
    assert_eq!(said(&asks, &agents(&in_work("other"))), "ask human: git", "it calls itself so");
}

#[test]
fn of_all_that_an_exec_comes_to_the_strictest_counts() {
    let open = file(
        "default = { exec = \"none\" }\n[[rule]]\nid = \"no-force\"\nexec = [\"git push ** -f **\"]\nneed = \"never\"\n",
    );
    let force = || command("/usr/bin/git", "/usr/bin/git push -f");
    let copy = command(&in_work("x"), "x push -f").known(false, vec![Guise::Copy(b"/usr/bin/git".to_vec())]);
    assert_eq!(said(&open, &Action::Exec(copy.clone())), "deny: no-force");
    assert_eq!(copy.to_string(), in_work("x push -f (a copy of /usr/bin/git)"));
    let loader = |starts| command("/lib64/ld.so", "ld.so /x").known(true, starts);
    let starts = || vec![Guise::Starts(Box::new(force()))];
    assert_eq!(said(&open, &Action::Exec(loader(starts()))), "deny: no-force");
    assert_eq!(
        said(&open, &Action::Exec(loader(vec![Guise::Starts(Box::new(loader(starts())))]))),
        "deny: no-force"
    );
    assert_eq!(said(&open, &Action::Exec(loader(vec![Guise::Starts(Box::new(copy))]))), "deny: no-force");
    assert_eq!(said(&open, &Action::Exec(loader(Vec::new()))), "allow: default");
    // What the caller chose must be allowed as well; what an installed script brings must only not be forbidden.
    let strict = file("[[rule]]\nid = \"npm\"\nexec = [\"npm **\", \"./go **\"]\nneed = \"none\"\n");
    let node = || Box::new(command("/usr/bin/node", "node npm test"));
    let npm = command("/usr/bin/npm", "npm test").known(true, vec![Guise::Brings(node())]);
    assert_eq!(said(&strict, &Action::Exec(npm.clone())), "allow: npm");
    let go = command(&in_work("go"), "go").known(false, vec![Guise::Starts(node())]);
    assert_eq!(said(&strict, &Action::Exec(go)), "deny: default");
    let no_node = file(
        "[[rule]]\nid = \"npm\"\nexec = [\"npm **\"]\nneed = \"none\"\n[[rule]]\nid = \"node\"\nexec = [\"node **\"]\nneed = \"never\"\n",
    );
    assert_eq!(said(&no_node, &Action::Exec(npm)), "deny: node");
}

#[test]
fn the_programs_that_rules_name_are_known() {
    let policy = file(
        "[[rule]]\nid = \"a\"\nexec = [\"{git,hg} push **\", \"/opt/x/tool **\", \"** -f\", \"py* **\"]\nneed = \"never\"\n",
    );
    let named: Vec<_> = policy.named_programs().iter().map(|name| name.display().to_string()).collect();
    assert_eq!(named, ["/opt/x/tool", "git", "hg"]);
}

#[test]
fn what_cannot_be_spelled_is_denied() {
    let policy = file("default = { connect = \"none\", exec = \"none\", tool = \"none\" }");
    let host = policy::Host::Name("EXAMPLE.com".to_owned());
    let denied = [
        Action::Connect(Endpoint { host, port: 443 }),
        Action::Exec(Command::new(path("/bin/ls"), vec![b"ls".to_vec(), b"a\0b".to_vec()], Vec::new())),
        Action::Tool { name: "a\0b".to_owned() },
    ];
    for action in denied {
        assert_eq!(said(&policy, &action), "deny: canonical", "{action}");
    }
}

#[test]
fn requests_are_judged_where_a_rule_looks_and_as_their_connection_elsewhere() {
    let policy = file(
        r#"
        default = { connect = "none" }
        [[rule]]
        id = "api"
        http = ["https://api.example.com/repos/acme/**"]
        methods = ["GET", "HEAD"]
        need = "none"
        yes = ["GET https://api.example.com/repos/acme/web"]
        no = ["POST https://api.example.com/repos/acme/web", "GET https://api.example.com/repos/other"]
        "#,
    );
    let request = |method: &str, host: &str, path: &str| {
        let endpoint = Endpoint::parse(host).unwrap();
        Action::Http(HttpRequest::new(Scheme::Https, endpoint, method, path).unwrap())
    };
    assert_eq!(said(&policy, &request("GET", "api.example.com:443", "/repos/acme/web?x=1")), "allow: api");
    assert_eq!(said(&policy, &request("POST", "api.example.com:443", "/repos/acme/web")), "deny: default");
    assert_eq!(said(&policy, &request("GET", "api.example.com:443", "/repos/acmes")), "deny: default");
    assert_eq!(said(&policy, &request("GET", "other.example.com:443", "/")), "allow: default");
    assert!(policy.looks_inside(&Endpoint::parse("api.example.com:443").unwrap()));
    assert!(!policy.looks_inside(&Endpoint::parse("api.example.com:8443").unwrap()));
    assert!(!policy.looks_inside(&Endpoint::parse("other.example.com:443").unwrap()));
}

#[test]
fn a_rule_counts_only_when_all_that_it_names_holds() {
    let with =
        |when: &str| file(&format!("[[rule]]\nid = \"x\"\ntool = [\"x\"]\nneed = \"none\"\nwhen = {when}\n"));
    let tool = Action::Tool { name: "x".to_owned() };
    for (when, holds) in [
        ("{ repo = \"acme/*\" }", true),
        ("{ repo = \"ACME/web\" }", true),
        ("{ repo = [\"other/*\", \"acme/web\"] }", true),
        ("{ repo = \"acme/we\" }", false),
        ("{ repo = \"*/*\", agent = \"claude\" }", false),
        ("{ agent = \"cod*\", principal = \"ann\", attended = true }", true),
        ("{ attended = false }", false),
    ] {
        assert_eq!(matches!(with(when).decide(&tool, &[]), Decision::Allow { .. }), holds, "{when}");
    }
    let text = "version = 1\nwhen = { repo = \"acme/*\" }\ndefault = { tool = \"none\" }\n";
    let layer = Layer::parse("x", LayerKind::File, text).unwrap();
    let nowhere = Policy::compile(vec![layer], &anchors(), &Context::default()).unwrap();
    assert_eq!(said(&nowhere, &tool), "deny: default");
}

#[test]
fn ports_of_this_host_are_those_that_a_rule_names() {
    let policy = compile(vec![
        layer(
            LayerKind::File,
            r#"
            [[rule]]
            id = "models"
            connect = ["localhost:{11434,1234}", "127.0.0.1:8099", "[::1]:8099", "example.com:9", "localhost:*"]
            need = "none"
            [[rule]]
            id = "api"
            http = ["http://127.0.0.1:8080/v1/**", "https://localhost:8443/", "http://example.com:8/"]
            need = "none"
            [[rule]]
            id = "db"
            connect = ["127.0.0.1:5432"]
            http = ["http://127.0.0.1:5433/**"]
            need = "never"
            "#,
        ),
        layer(LayerKind::Floor, "[[rule]]\nid = \"f\"\nconnect = [\"localhost:1\"]\nneed = \"human\"\n"),
    ]);
    assert_eq!(policy.loopback_ports(), [1234, 8080, 8099, 8443, 11434]);
}

#[test]
fn a_workspace_from_which_nothing_can_be_protected_is_refused() {
    let at = |workspace: &str| {
        let anchors = policy::Anchors { workspace: workspace.into(), ..anchors() };
        Policy::compile(Vec::new(), &anchors, &context()).map(drop).map_err(|error| error.because)
    };
    assert!(at("/home/ann/work").is_ok() && at("/home/ann/work/").is_ok());
    for workspace in [
        "/",
        "/home/ann",
        "/home",
        "/home/ann/.local",
        "/home/ann/.local/state/provost/runs",
        "work",
        "/home/ann/../x",
    ] {
        assert!(at(workspace).is_err(), "{workspace}");
    }
}

#[test]
fn the_digest_names_layers_places_and_trust() {
    let one = profile("build").digest_input();
    assert_eq!(one, profile("build").digest_input());
    assert_ne!(one, profile("deps").digest_input());
    let mut repo = layer(LayerKind::Repo, "");
    let before = repo.digest_input();
    repo.trusted = true;
    assert_ne!(before, repo.digest_input());
}

#[test]
fn rules_of_the_program_take_any_path() {
    use policy::{Kind, Need, RuleSpec};
    let odd = "/home/ann/a {b}*[c]\"'\n\\";
    let rules =
        vec![RuleSpec::new("odd", Need::None).tree(Kind::Read, odd).pattern(Kind::Connect, "a.example")];
    let policy = compile(vec![Layer::from_rules("made", LayerKind::Toolchains, rules).unwrap()]);
    let inner = AbsPath::new(&std::path::Path::new(odd).join("x")).unwrap();
    assert_eq!(said(&policy, &Action::Read(inner)), "allow: odd");
    assert_eq!(said(&policy, &read("/home/ann/a b")), "deny: default");
    assert_eq!(said(&policy, &connect("a.example:443")), "allow: odd");
    assert_eq!(policy.confinement().unwrap().read, [std::path::PathBuf::from(odd)]);
    let nothing =
        Layer::from_rules("made", LayerKind::Toolchains, vec![RuleSpec::new("x", Need::None)]).unwrap();
    assert_eq!(said(&compile(vec![nothing]), &read("/x")), "deny: default");
    for rule in [
        RuleSpec::new("", Need::None).tree(Kind::Read, "/x"),
        RuleSpec::new("x", Need::None).tree(Kind::Read, "x"),
        RuleSpec::new("x", Need::None).tree(Kind::Connect, "/x"),
        RuleSpec::new("x", Need::None).pattern(Kind::Connect, "**"),
    ] {
        assert!(Layer::from_rules("made", LayerKind::Toolchains, vec![rule]).is_err());
    }
}
