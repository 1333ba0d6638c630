//! A class is narrow, is shown as it is, and holds for nothing that was not in view when it was agreed to.

use std::path::Path;

use super::*;
use crate::{AbsPath, Anchors, Context, Decision, Layer, LayerKind};

fn policy(text: &str) -> Policy {
    let layer = Layer::parse("user", LayerKind::User, &format!("version = 1\n{text}")).unwrap();
    let anchors = Anchors {
        workspace: "/home/ada/shop".into(),
        home: "/home/ada".into(),
        state: "/home/ada/state".into(),
        config: "/home/ada/config".into(),
    };
    Policy::compile(vec![layer], &anchors, &Context::default()).unwrap()
}

fn exec(words: &[&str]) -> Action {
    exec_with(words, &[])
}

fn exec_with(words: &[&str], env: &[(&str, &str)]) -> Action {
    let program = AbsPath::new(Path::new(words[0])).unwrap();
    let argv = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let env = env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
    Action::Exec(Command::new(program, argv, env))
}

fn read(path: &str) -> Action {
    Action::Read(AbsPath::new(Path::new(path)).unwrap())
}

fn connect(place: &str) -> Action {
    Action::Connect(Endpoint::parse(place).unwrap())
}

fn get(path: &str) -> Action {
    let endpoint = Endpoint::parse("api.example.com:443").unwrap();
    Action::Http(HttpRequest::new(crate::Scheme::Https, endpoint, "GET", path).unwrap())
}

fn class(action: &Action) -> Option<String> {
    policy("").class_of(action).ok().map(|class| class.to_string())
}

#[test]
fn a_class_is_no_wider_than_one_command_one_folder_or_one_host() {
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        class(&exec(&["/usr/bin/git", "push", "origin", "main"])),
        some("exec /usr/bin/git push origin **")
    );
    assert_eq!(class(&exec(&["/usr/bin/git", "commit", "-m", "x"])), some("exec /usr/bin/git commit **"));
    assert_eq!(class(&read("/home/ada/notes/one")), some("read /home/ada/notes/*"));
    assert_eq!(class(&connect("docs.example.com:443")), some("connect docs.example.com:*"));
    assert_eq!(class(&get("/repos/shop/pulls")), some("http GET https://api.example.com:443/repos/shop/*"));
    for none in [
        exec(&["/usr/bin/make"]),
        exec(&["/usr/bin/git", "-C", "x", "push"]),
        exec(&["/usr/bin/rm", "./build"]),
        exec(&["/bin/sh", "deploy"]),
        exec(&["/usr/bin/python3.12", "deploy"]),
        exec(&["/usr/bin/env", "git", "push"]),
        exec(&["/usr/bin/a*b", "push"]),
        read("/home/ada/one"),
        read("/home/other"),
        read("/etc/shadow"),
        read("/home/ada/.ssh/id"),
        read("/home/ada/a/.keys/one"),
        read("/home/ada/{a}/one"),
        connect("127.0.0.1:443"),
        connect("localhost:443"),
        get("/"),
    ] {
        assert_eq!(class(&none), None, "{none}");
    }
}

#[test]
fn a_class_covers_what_it_says_and_nothing_beside() {
    let policy = policy("");
    let git = policy.class_of(&exec(&["/usr/bin/git", "push", "origin", "a"])).unwrap();
    assert!(git.covers(&exec(&["/usr/bin/git", "push", "origin", "b", "c"])));
    for other in [
        exec(&["/usr/bin/git", "push", "other", "a"]),
        exec(&["/usr/bin/git", "-c", "x=y", "push", "origin", "a"]),
        exec(&["/opt/bin/git", "push", "origin", "a"]),
        exec_with(&["/usr/bin/git", "push", "origin", "a"], &[("GIT_SSH_COMMAND", "x")]),
        connect("git.example:443"),
    ] {
        assert!(!git.covers(&other), "{other}");
    }
    let Action::Exec(mut renamed) = exec(&["/usr/bin/git", "push", "origin", "a"]) else { panic!() };
    renamed.argv[0] = b"git-shell".to_vec();
    assert!(!git.covers(&Action::Exec(renamed)));
    let notes = policy.class_of(&read("/home/ada/notes/one")).unwrap();
    assert!(notes.covers(&read("/home/ada/notes/two")));
    assert!(!notes.covers(&read("/home/ada/notes/sub/two")) && !notes.covers(&read("/home/ada/notesx/two")));
    let host = policy.class_of(&connect("docs.example.com:443")).unwrap();
    assert!(host.covers(&connect("docs.example.com:80")));
    assert!(!host.covers(&connect("a.docs.example.com:443")) && !host.covers(&connect("example.com:443")));
}

#[test]
fn what_starts_with_a_command_is_answered_for_by_name() {
    let policy = policy(
        r#"
        default = { exec = "none" }
        [[rule]]
        id = "run"
        exec = ["wrap **"]
        need = "human"
        [[rule]]
        id = "push"
        exec = ["git push **"]
        need = "human"
        "#,
    );
    let Action::Exec(plain) = exec(&["/usr/bin/wrap", "it"]) else { panic!() };
    let Action::Exec(push) = exec(&["/usr/bin/git", "push"]) else { panic!() };
    let both = Action::Exec(plain.clone().known(true, vec![crate::Guise::Starts(Box::new(push))]));
    let grant = |action: &Action| {
        let Decision::Ask { need, reasons } = policy.decide(action, &[]) else { panic!() };
        Grant { id: "g".into(), selector: Selector::exact(action), need, asked: reasons }
    };
    // Asked for beforehand, nobody knew what starts with it; asked about, it was in view.
    assert_eq!(policy.decide(&both, &[grant(&Action::Exec(plain.clone()))]).word(), "ask");
    assert_eq!(policy.decide(&both, &[grant(&both)]).word(), "allow");
    assert_eq!(policy.decide(&Action::Exec(plain.clone()), &[grant(&Action::Exec(plain))]).word(), "allow");
}

#[test]
fn a_grant_answers_the_rules_that_asked_and_no_others() {
    let policy = policy(
        r#"
        default = { exec = "none" }
        [[rule]]
        id = "push"
        exec = ["git push **"]
        need = "human"
        [[rule]]
        id = "force"
        exec = ["git push ** -f **"]
        need = "human"
        [[rule]]
        id = "two"
        exec = ["git push ** --mirror **"]
        need = "humans(2)"
        [[rule]]
        id = "never"
        exec = ["git push ** --delete **"]
        need = "never"
        "#,
    );
    let push = exec(&["/usr/bin/git", "push", "origin", "a"]);
    let Decision::Ask { need, reasons } = policy.decide(&push, &[]) else { panic!() };
    let grant = Grant { id: "g".into(), selector: policy.class_of(&push).unwrap(), need, asked: reasons };
    let word = |words: &[&str]| policy.decide(&exec(words), std::slice::from_ref(&grant)).word();
    assert_eq!(word(&["/usr/bin/git", "push", "origin", "b"]), "allow");
    assert_eq!(word(&["/usr/bin/git", "push", "origin", "b", "-f"]), "ask");
    assert_eq!(word(&["/usr/bin/git", "push", "origin", "b", "--mirror"]), "ask");
    assert_eq!(word(&["/usr/bin/git", "push", "origin", "b", "--delete"]), "deny");
}
