//! Plans as people read them, without a kernel.

use super::*;

fn line(step: &Step) -> String {
    let path = |bytes: &Bytes| bytes.path().display().to_string();
    match step {
        Step::Private { at, mode } => format!("private {} {mode:o}", path(at)),
        Step::Show { from, at, writable } => {
            let word = if *writable { "write" } else { "show" };
            if from == at {
                format!("{word} {}", path(at))
            } else {
                format!("{word} {} from {}", path(at), path(from))
            }
        }
        Step::Layer { lower, upper, at, .. } => {
            format!("layer {} over {} into {}", path(at), path(lower), path(upper))
        }
        Step::Link { at, target } => format!("link {} to {}", path(at), path(target)),
        Step::File { at, content, mode } => {
            format!("file {} {mode:o} of {} bytes", path(at), content.as_slice().len())
        }
        Step::Over { at, content } => format!("over {} {:?}", path(at), content),
        Step::Mask { at, directory } => {
            format!("mask {} {}", if *directory { "folder" } else { "file" }, path(at))
        }
        Step::Keep { at } => format!("keep {}", path(at)),
        Step::Freeze { at } => format!("freeze {}", path(at)),
    }
}

fn lines(plan: &Plan) -> String {
    let writable = plan.writable.iter().map(|at| format!("writable {}", at.path().display()));
    plan.steps.iter().map(line).chain(writable).collect::<Vec<_>>().join("\n")
}

fn paths(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(PathBuf::from).collect()
}

fn asked() -> Confinement {
    Confinement {
        read: paths(&["/usr", "/bin", "/etc", "/proc", "/dev", "/home/ann/w", "/home/ann/.cargo/bin"]),
        write: paths(&["/home/ann/w"]),
        hidden: paths(&["/etc/shadow", "/etc/ssh", "/home/ann/w/.key", "/home/ann/.local/state/provost"]),
        frozen: paths(&["/home/ann/w/.git/hooks", "/home/ann/w/none"]),
        ..Confinement::default()
    }
}

fn order() -> Order {
    Order {
        workspace: "/home/ann/w".into(),
        stage: Stage::Overlay {
            lower: "/home/ann/w".into(),
            upper: "/state/staged".into(),
            work: "/state/kernel".into(),
        },
        home: "/home/ann".into(),
        caches: vec![Cache {
            at: "/home/ann/.cargo/registry".into(),
            lower: Some("/home/ann/.cargo/registry".into()),
            upper: "/state/cache".into(),
            work: "/state/cache-work".into(),
        }],
        files: vec![("/home/ann/.codex/config.toml".into(), b"x = 1".to_vec())],
        over: Vec::new(),
        carrier: None,
        ports: vec![8080],
        program: "/usr/bin/codex".into(),
        argv: vec!["codex".into(), "exec".into()],
        env: vec![("HOME".into(), "/home/ann".into())],
        folder: "/home/ann/w/src".into(),
        terminal: [false; 3],
        evidence: ledger::Evidence::Full,
    }
}

/// A host where everything is a folder but for a few files, one link, and what is not there.
fn look(path: &Path) -> Option<Standing> {
    match path.to_str()? {
        "/bin" => Some(Standing::Link { text: "usr/bin".into(), leads_to: Some("/usr/bin".into()) }),
        "/etc/shadow" | "/home/ann/w/.key" => Some(Standing::File),
        "/home/ann/w/none" => None,
        _ => Some(Standing::Directory),
    }
}

#[test]
fn a_day_of_work() {
    insta::assert_snapshot!(lines(&Plan::new(&asked(), &order(), &look).unwrap()), @r"
    private /tmp 1777
    private /run 755
    link /bin to usr/bin
    show /etc
    show /usr
    private /var/tmp 1777
    private /dev/shm 1777
    private /home/ann 700
    layer /home/ann/w over /home/ann/w into /state/staged
    show /home/ann/.cargo/bin
    layer /home/ann/.cargo/registry over /home/ann/.cargo/registry into /state/cache
    mask file /etc/shadow
    mask folder /etc/ssh
    mask file /home/ann/w/.key
    keep /home/ann/w/.git/hooks
    freeze /home/ann/w/.git/hooks
    file /home/ann/.codex/config.toml 600 of 5 bytes
    writable /tmp
    writable /var/tmp
    writable /dev/shm
    writable /run
    writable /home/ann
    writable /dev
    writable /home/ann/.cargo/registry
    writable /home/ann/w
    ");
}

#[test]
fn a_workspace_that_is_only_read_is_frozen_but_for_what_may_be_written() {
    let asked = Confinement {
        read: paths(&["/usr", "/home/ann/w"]),
        write: paths(&["/home/ann/w/out", "/tmp"]),
        ..Confinement::default()
    };
    let order = Order { caches: Vec::new(), files: Vec::new(), ..order() };
    insta::assert_snapshot!(lines(&Plan::new(&asked, &order, &look).unwrap()), @r"
    private /tmp 1777
    private /run 755
    show /usr
    private /var/tmp 1777
    private /dev/shm 1777
    private /home/ann 700
    layer /home/ann/w over /home/ann/w into /state/staged
    keep /home/ann/w/out
    freeze /home/ann/w
    writable /tmp
    writable /var/tmp
    writable /dev/shm
    writable /run
    writable /home/ann
    writable /dev
    writable /home/ann/w/out
    ");
}

#[test]
fn a_copy_is_shown_where_the_folder_would_be() {
    let order = Order { stage: Stage::Copy { from: "/state/copy".into() }, ..order() };
    let plan = Plan::new(&asked(), &order, &look).unwrap();
    assert!(lines(&plan).contains("write /home/ann/w from /state/copy"));
}

#[test]
fn sockets_of_the_host_are_masked_where_they_would_be_shown() {
    let mut plan = Plan::new(&asked(), &order(), &look).unwrap();
    let before = plan.steps.len();
    plan.mask_sockets(&paths(&["/etc/x/agent.sock", "/run/docker.sock", "/home/ann/w/own.sock"]));
    let added: Vec<String> = plan.steps.iter().skip(before).map(line).collect();
    assert_eq!(added, ["mask file /etc/x/agent.sock"]);
}

#[test]
fn what_no_view_can_hold_is_refused() {
    let outside = Confinement { write: paths(&["/srv/data"]), ..asked() };
    assert_eq!(
        Plan::new(&outside, &order(), &look).unwrap_err(),
        PlanError::WritesOutside("/srv/data".into())
    );
    let elsewhere = Order { folder: "/srv".into(), ..order() };
    assert_eq!(Plan::new(&asked(), &elsewhere, &look).unwrap_err(), PlanError::FolderHidden("/srv".into()));
}

#[test]
fn the_runs_own_places_are_neither_the_workspace_nor_what_is_shown() {
    let own = Plan::new(&asked(), &order(), &look).unwrap().own();
    let of =
        |path: &str| own.iter().rev().find(|(at, _)| Path::new(path).starts_with(at)).map(|(_, own)| *own);
    assert_eq!(of("/tmp/x"), Some(Whose::Run));
    assert_eq!(of("/home/ann/.bashrc"), Some(Whose::Run));
    assert_eq!(of("/home/ann/w/src/main.rs"), Some(Whose::Host));
    assert_eq!(of("/home/ann/.cargo/registry/x"), Some(Whose::Cache));
    assert_eq!(of("/home/ann/.cargo/bin/cargo"), Some(Whose::Host));
    assert_eq!(of("/usr/bin/true"), Some(Whose::Host));
    assert_eq!(of("/srv"), None);
}

#[test]
fn bytes_come_back_from_text_whatever_they_are() {
    let all: Vec<u8> = (0..=255).collect();
    let bytes = Bytes(all);
    assert_eq!(Bytes::from(String::from(bytes.clone())), bytes);
}

#[test]
fn programs_are_told_whom_to_ask_for_names_wherever_the_host_has_that() {
    let carried = |ports: &[u16]| Order { carrier: Some(9318), ports: ports.to_vec(), ..order() };
    let over = |order: &Order, standing: Option<Standing>| {
        let look = |path: &Path| match path == Path::new("/etc/resolv.conf") {
            true => standing.clone(),
            false => look(path),
        };
        let plan = Plan::new(&asked(), order, &look).unwrap();
        let over = plan.steps.iter().filter(|step| matches!(step, Step::Over { .. }));
        over.map(line).collect::<Vec<_>>().join("\n")
    };
    let link = |text: &str, leads_to: Option<&str>| {
        Some(Standing::Link { text: text.into(), leads_to: leads_to.map(PathBuf::from) })
    };
    let said = |at: &str, who: &str| {
        format!("over {at} {:?}", format!("# Names are answered by Provost.\nnameserver {who}\n"))
    };
    let plain = carried(&[8080]);
    assert_eq!(over(&plain, Some(Standing::File)), said("/etc/resolv.conf", "127.0.0.1"));
    assert_eq!(over(&carried(&[9317, 53]), Some(Standing::File)), said("/etc/resolv.conf", "127.0.0.53"));
    assert_eq!(
        over(&plain, link("../run/systemd/resolve/stub-resolv.conf", None)),
        said("/run/systemd/resolve/stub-resolv.conf", "127.0.0.1")
    );
    assert_eq!(
        over(&plain, link("x", Some("/mnt/wsl/resolv.conf"))),
        said("/mnt/wsl/resolv.conf", "127.0.0.1")
    );
    assert_eq!(over(&plain, None), "");
    assert_eq!(over(&order(), Some(Standing::File)), "", "where nothing is carried the host's file stays");
}
