//! What the tests share: one person's places, and short ways to layers and actions.

use std::path::Path;

use policy::{
    AbsPath, Action, Anchors, Command, Context, Decision, Endpoint, Enforcement, Layer, LayerKind, Policy,
};

/// The workspace.
pub(crate) const WORK: &str = "/home/ann/work";

/// A path in it.
pub(crate) fn in_work(path: &str) -> String {
    format!("{WORK}/{path}")
}

pub(crate) fn anchors() -> Anchors {
    Anchors {
        workspace: WORK.into(),
        home: "/home/ann".into(),
        state: "/home/ann/.local/state/provost".into(),
        config: "/home/ann/.config/provost".into(),
    }
}

pub(crate) fn context() -> Context {
    Context {
        repo: Some("Acme/web".to_owned()),
        agent: "codex".to_owned(),
        principal: "ann".to_owned(),
        attended: true,
    }
}

pub(crate) fn layer(kind: LayerKind, text: &str) -> Layer {
    let name = format!("{kind:?}").to_lowercase();
    Layer::parse(&name, kind, &format!("version = 1\n{text}"))
        .unwrap_or_else(|error| panic!("{error} {error:?}"))
}

pub(crate) fn compile(layers: Vec<Layer>) -> Policy {
    Policy::compile(layers, &anchors(), &context()).unwrap()
}

/// A policy of one file.
pub(crate) fn file(text: &str) -> Policy {
    compile(vec![layer(LayerKind::File, text)])
}

/// The system layer and a shipped profile.
pub(crate) fn profile(name: &str) -> Policy {
    let (_, text, _) = policy::profiles().iter().find(|(known, _, _)| *known == name).unwrap();
    compile(vec![
        Layer::parse("system", LayerKind::System, policy::system_layer()).unwrap(),
        Layer::parse(name, LayerKind::Profile, text).unwrap(),
    ])
}

pub(crate) fn path(text: &str) -> AbsPath {
    AbsPath::new(Path::new(text)).unwrap()
}

pub(crate) fn read(text: &str) -> Action {
    Action::Read(path(text))
}

pub(crate) fn write(text: &str) -> Action {
    Action::Write(path(text))
}

pub(crate) fn land(text: &str) -> Action {
    Action::Land(path(text))
}

pub(crate) fn connect(text: &str) -> Action {
    Action::Connect(Endpoint::parse(text).unwrap())
}

/// A command of the system's programs.
pub(crate) fn exec(words: &str) -> Action {
    let argv: Vec<Vec<u8>> = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    let program = path(&format!("/usr/bin/{}", words.split(' ').next().unwrap()));
    Action::Exec(Command::new(program, argv, Vec::new()))
}

/// The verdict and the rules named, as `deny: a, b`.
pub(crate) fn said(policy: &Policy, action: &Action) -> String {
    line(&policy.decide(action, &[]))
}

pub(crate) fn line(decision: &Decision) -> String {
    let rules: Vec<&str> = decision.reasons().iter().map(|reason| reason.rule.as_str()).collect();
    match decision {
        Decision::Ask { need, .. } => format!("ask {need}: {}", rules.join(", ")),
        _ => format!("{}: {}", decision.word(), rules.join(", ")),
    }
}

/// Everything that can be asked of a kernel but limits.
pub(crate) fn all() -> Enforcement {
    Enforcement {
        user_namespace: true,
        mount_namespace: true,
        pid_namespace: true,
        network_namespace: true,
        ipc_namespace: true,
        uts_namespace: true,
        no_new_privs: true,
        no_capabilities: true,
        landlock_abi: 2,
        seccomp: true,
        supervisor: true,
        ..Enforcement::default()
    }
}
