//! The plan of a run without namespaces: nothing is put where something else lies, so what a view would show under the
//! machine's names lies in folders of the run's own, under other names.
//!
//! Owns: which folders stand for which names, and the words of the command in them. Does not own making them
//! (`cell/bare.rs`), or the judgement of what is opened (`supervisor/bare.rs`).

use super::{
    Bytes, HOST_NAME, Order, Plan, PlanError, Stage, Standing, Step, environment_entry, shown,
    workspace_writes,
};
use crate::limits;
use ledger::Evidence;
use policy::Confinement;
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// What a run rests on that has no view of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bare {
    /// Trees of the machine that may be read and started.
    pub readable: Vec<Bytes>,
    /// What links lead to that a rule shows by the link's own name.
    pub linked: Vec<Bytes>,
    /// The run's own folders.
    pub places: Vec<Place>,
}

/// A folder of the run's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where it lies.
    pub real: Bytes,
    /// The name by which policy and ledger speak of it.
    pub spoken: Bytes,
    /// Whether it is private, and not the staged workspace.
    pub own: bool,
}

impl Plan {
    /// Makes the plan of a run without namespaces. `inside` is an empty folder for what is private to the run.
    ///
    /// # Errors
    /// The policy asks for what cannot be held.
    pub fn bare(
        asked: &Confinement,
        order: &Order,
        inside: &Path,
        look: &dyn Fn(&Path) -> Option<Standing>,
    ) -> Result<Self, PlanError> {
        workspace_writes(asked, order)?;
        if !order.folder.starts_with(&order.workspace)
            || !asked.read.iter().any(|tree| order.folder.starts_with(tree))
        {
            return Err(PlanError::FolderHidden(order.folder.clone()));
        }
        if order.evidence != Evidence::Full {
            return Err(PlanError::Unseen(order.evidence));
        }
        let Stage::Copy { from } = &order.stage else {
            return Err(PlanError::NoCopy(order.workspace.clone()));
        };
        let names = Names { order, copy: from, home: &inside.join("home"), tmp: &inside.join("tmp") };
        let bare = bare(asked, &names, look);
        let readable: Vec<&Path> = bare.readable.iter().map(Bytes::path).collect();
        let mut env: Vec<(OsString, OsString)> =
            order.env.iter().map(|(name, value)| (name.clone(), names.value(value, &readable))).collect();
        env.retain(|(name, _)| name != "TMPDIR" && name != "HOME");
        env.extend([("TMPDIR".into(), names.tmp.into()), ("HOME".into(), names.home.into())]);
        env.sort();
        let files = order.files.iter().map(|(at, content)| Step::File {
            at: names.private(at).as_path().into(),
            content: Bytes(content.clone()),
            mode: 0o600,
        });
        Ok(Self {
            host_name: HOST_NAME.to_owned(),
            steps: files.collect(),
            writable: Vec::new(),
            ports: order.ports.clone(),
            carrier: None,
            program: names.staged(&order.program).as_path().into(),
            argv: order.argv.iter().map(Bytes::from).collect(),
            env: env.iter().map(|(name, value)| environment_entry(name, value)).collect(),
            workspace: order.workspace.as_path().into(),
            folder: names.staged(&order.folder).as_path().into(),
            terminal: order.terminal,
            evidence: order.evidence,
            judged_execs: asked.judged_execs,
            nested: asked.nested,
            bare: Some(bare),
            limits: limits::without_view(&asked.limits),
        })
    }
}

fn bare(asked: &Confinement, names: &Names<'_>, look: &dyn Fn(&Path) -> Option<Standing>) -> Bare {
    let mut bare = Bare::default();
    for tree in shown(asked, names.order) {
        match look(tree) {
            Some(Standing::File | Standing::Directory) => bare.readable.push(tree.into()),
            Some(Standing::Link { leads_to: Some(target), .. }) if !names.is_private(&target) => {
                bare.readable.push(target.as_path().into());
                bare.linked.push(target.as_path().into());
            }
            Some(Standing::Link { .. }) | None => {}
        }
    }
    let place = |real: &Path, spoken: &Path, own| Place { real: real.into(), spoken: spoken.into(), own };
    bare.places = vec![
        place(names.copy, &names.order.workspace, false),
        place(names.home, &names.order.home, true),
        place(names.tmp, Path::new("/tmp"), true),
    ];
    bare
}

/// The names of a run, and what stands for them.
struct Names<'a> {
    order: &'a Order,
    copy: &'a Path,
    home: &'a Path,
    tmp: &'a Path,
}

impl Names<'_> {
    /// Whether a path is of the workspace, or of a place that a view would have made private.
    fn is_private(&self, path: &Path) -> bool {
        path.starts_with(&self.order.workspace)
            || path.starts_with("/proc")
            || path.starts_with("/dev")
            || path == Path::new("/")
    }

    /// A path of the workspace, in the copy; any other as it is.
    fn staged(&self, path: &Path) -> PathBuf {
        moved(path, &self.order.workspace, self.copy).unwrap_or_else(|| path.to_owned())
    }

    /// A path of the home, in the private one.
    fn private(&self, path: &Path) -> PathBuf {
        moved(path, &self.order.home, self.home).unwrap_or_else(|| path.to_owned())
    }

    /// A variable's value: what it names of the workspace lies in the copy, what it names of the home and is not shown
    /// in the private one.
    fn value(&self, value: &OsStr, readable: &[&Path]) -> OsString {
        let one = |part: &[u8]| {
            let path = Path::new(OsStr::from_bytes(part));
            let is_shown = readable.iter().any(|tree| path.starts_with(tree));
            if !path.is_absolute() || is_shown {
                return part.to_vec();
            }
            let staged = moved(path, &self.order.workspace, self.copy);
            let moved = staged.or_else(|| moved(path, &self.order.home, self.home));
            moved.map_or_else(|| part.to_vec(), |path| path.into_os_string().into_vec())
        };
        let parts: Vec<Vec<u8>> = value.as_bytes().split(|byte| *byte == b':').map(one).collect();
        OsString::from_vec(parts.join(&b':'))
    }
}

/// A path beneath `from`, beneath `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Order {
        let env = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        Order {
            workspace: "/home/ada/shop".into(),
            stage: Stage::Copy { from: "/state/run/copy".into() },
            home: "/home/ada".into(),
            caches: Vec::new(),
            files: vec![("/home/ada/.gitconfig".into(), b"x".to_vec())],
            over: Vec::new(),
            ports: vec![9317],
            carrier: Some(9318),
            program: "/home/ada/shop/agent.sh".into(),
            argv: vec!["agent.sh".into()],
            env: vec![
                env("HOME", "/home/ada"),
                env("PATH", "/home/ada/.cargo/bin:/usr/bin"),
                env("CARGO_HOME", "/home/ada/.cargo"),
                env("PYTHONPATH", "/home/ada/shop/lib"),
                env("LANG", "C.UTF-8"),
            ],
            folder: "/home/ada/shop/src".into(),
            terminal: [false; 3],
            evidence: Evidence::Full,
        }
    }

    #[test]
    fn what_a_view_would_show_by_its_name_lies_in_folders_of_the_run() {
        let asked = Confinement {
            read: ["/usr", "/home/ada/.cargo/bin", "/home/ada/shop", "/proc", "/home/ada/link"]
                .map(PathBuf::from)
                .to_vec(),
            write: vec!["/home/ada/shop".into()],
            ..Confinement::default()
        };
        let look = |path: &Path| {
            Some(match path.ends_with("link") {
                true => Standing::Link { text: "/opt/tool".into(), leads_to: Some("/opt/tool".into()) },
                false => Standing::Directory,
            })
        };
        let plan = Plan::bare(&asked, &order(), Path::new("/state/run/inside"), &look).unwrap();
        let text = |bytes: &Bytes| bytes.path().display().to_string();
        let env: Vec<String> = plan.env.iter().map(text).collect();
        assert_eq!(
            env,
            [
                "CARGO_HOME=/state/run/inside/home/.cargo",
                "HOME=/state/run/inside/home",
                "LANG=C.UTF-8",
                "PATH=/home/ada/.cargo/bin:/usr/bin",
                "PYTHONPATH=/state/run/copy/lib",
                "TMPDIR=/state/run/inside/tmp",
            ]
        );
        assert_eq!(
            (text(&plan.program), text(&plan.folder)),
            ("/state/run/copy/agent.sh".into(), "/state/run/copy/src".into())
        );
        let bare = plan.bare.unwrap();
        let readable: Vec<String> = bare.readable.iter().map(text).collect();
        assert_eq!(readable, ["/home/ada/.cargo/bin", "/opt/tool", "/usr"]);
        assert!(
            matches!(plan.steps.as_slice(), [Step::File { at, .. }] if text(at) == "/state/run/inside/home/.gitconfig")
        );
        assert!(plan.writable.is_empty());
    }

    #[test]
    fn without_a_copy_and_for_writes_outside_there_is_no_plan() {
        let asked = Confinement { read: vec!["/home/ada/shop".into()], ..Confinement::default() };
        let plan = |asked: &Confinement, order: &Order| {
            Plan::bare(asked, order, Path::new("/i"), &|_| None).map(drop)
        };
        let direct = Stage::Overlay { lower: "/l".into(), upper: "/u".into(), work: "/w".into() };
        let refused = plan(&asked, &Order { stage: direct, ..order() });
        assert_eq!(refused, Err(PlanError::NoCopy("/home/ada/shop".into())));
        let outside = Confinement { write: vec!["/srv/data".into()], ..asked };
        assert_eq!(plan(&outside, &order()), Err(PlanError::WritesOutside("/srv/data".into())));
    }
}
