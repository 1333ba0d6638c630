//! The judgement on files: what the policy says of a path, and what of that binds where the view shows more or less.
//!
//! Owns: which denial holds a call, which is only recorded, and what must be asked. Does not own: the rules (`policy`), the answer.

use super::{Refusal, Supervisor, built_in, judge, on_host};
use crate::deed::{Deed, Demand};
use crate::plan::Whose;
use crate::view::Found;
use ledger::Access;
use policy::{AbsPath, Action, Command, Decision, Guise, Reason};
use std::io;
use std::path::{Path, PathBuf};

/// How many judgements are remembered.
const JUDGED_MAX: usize = 65_536;
/// What shows the namespaces of whoever opens it, which would be the host's if we did.
const OPENERS: [&str; 2] = ["/proc/sysvipc", "/proc/sys/net"];

/// What the rules come to for all that a call needs.
pub(super) enum Judged {
    Clear,
    Refused {
        path: PathBuf,
        access: Access,
        reasons: Vec<Reason>,
    },
    /// Somebody must say yes to each of these.
    Asks(Vec<(AbsPath, Access)>),
}

/// What the rules come to for one thing.
pub(super) enum Weighed {
    Clear,
    Refused(Vec<Reason>),
    Asks(AbsPath),
}

impl Supervisor {
    /// Judges everything that a call needs.
    pub(super) fn judge_deed(&self, caller: i32, deed: &Deed) -> io::Result<Judged> {
        let mut judged = Judged::Clear;
        deed.demands(&mut |demand| match (self.weigh(caller, &demand), &mut judged) {
            (Weighed::Clear, _) => true,
            (Weighed::Refused(reasons), _) => {
                judged = Judged::Refused { path: demand.path.to_owned(), access: demand.access, reasons };
                false
            }
            (Weighed::Asks(path), Judged::Asks(needed)) => {
                needed.push((path, demand.access));
                true
            }
            (Weighed::Asks(path), _) => {
                judged = Judged::Asks(vec![(path, demand.access)]);
                true
            }
        })?;
        Ok(judged)
    }

    /// Whether a program may be read: whoever starts it has its content in memory. What starts with it is not asked about.
    pub(super) fn weigh_start(&self, caller: i32, program: &Found, command: &Command) -> Weighed {
        if !self.watch.judged_opens || program.is_nameless() {
            return Weighed::Clear;
        }
        for started in started_with(command) {
            let path = self.bare.as_ref().map(|bare| bare.meant(started.program.as_path()));
            let path = path.as_deref().unwrap_or(started.program.as_path());
            let demand = Demand { asks: false, ..Demand::of(path, Access::Read) };
            if let Weighed::Refused(reasons) = self.weigh(caller, &demand) {
                return Weighed::Refused(reasons);
            }
        }
        self.weigh(caller, &Demand::of(&program.path, Access::Read))
    }

    /// What binds although no mount holds it: a rule that names the path, content that no rule shows, a write outside every
    /// place that may be written.
    pub(super) fn weigh(&self, caller: i32, demand: &Demand<'_>) -> Weighed {
        let path = demand.path;
        if OPENERS.iter().any(|tree| path.starts_with(tree)) {
            let why = "it would tell of the host: the kernel answers whoever opens it";
            return Weighed::Refused(vec![built_in(why)]);
        }
        if let Some(bare) = &self.bare {
            return self.weigh_bare(bare, caller, demand);
        }
        let Ok(spelled) = AbsPath::new(path) else {
            return Weighed::Refused(vec![built_in("a path that cannot be spelled cannot be judged")]);
        };
        match self.decide(spelled.clone(), demand.access) {
            Decision::Allow { .. } => Weighed::Clear,
            Decision::Deny { reasons } => {
                let by_rule = !reasons.iter().any(|reason| reason.rule == "default");
                if by_rule || self.is_closed(demand) { Weighed::Refused(reasons) } else { Weighed::Clear }
            }
            Decision::Ask { .. } if !demand.content || self.whose(path) == Some(Whose::Run) => Weighed::Clear,
            Decision::Ask { .. } if demand.asks && self.admission.is_attended() => Weighed::Asks(spelled),
            Decision::Ask { reasons, .. } => Weighed::Refused(reasons),
        }
    }

    /// Whether nobody's yes could open a path.
    pub(super) fn denies(&self, path: &Path, access: Access) -> bool {
        let asks = |path| matches!(self.decide(path, access), Decision::Ask { .. });
        !(self.admission.is_attended() && AbsPath::new(path).is_ok_and(asks))
    }

    pub(super) fn decide(&self, path: AbsPath, access: Access) -> Decision {
        self.admission.decide(&match access {
            Access::Read => Action::Read(path),
            Access::Write => Action::Write(path),
        })
    }

    /// Whether what no rule opens is closed there: content of the host's, and writes but to what is the run's own.
    fn is_closed(&self, demand: &Demand<'_>) -> bool {
        match demand.access {
            Access::Read => demand.content && self.whose(demand.path) == Some(Whose::Host),
            Access::Write => !self.is_private(demand.path) && !demand.path.starts_with("/dev"),
        }
    }

    fn whose(&self, path: &Path) -> Option<Whose> {
        self.own.iter().rev().find(|(place, _)| path.starts_with(place)).map(|(_, whose)| *whose)
    }

    /// Whether what lies there is the run's own, and no policy of the host's files speaks of it by default.
    fn is_private(&self, path: &Path) -> bool {
        matches!(self.whose(path), Some(Whose::Run | Whose::Cache))
    }

    /// What the policy has against it; asked once for each path.
    fn judgement(&mut self, path: &Path, access: Access) -> Option<Vec<Reason>> {
        let [reads, writes] = &mut self.judged;
        let judged = if access == Access::Read { reads } else { writes };
        if let Some(known) = judged.get(path.as_os_str()) {
            return known.clone();
        }
        if judged.len() > JUDGED_MAX {
            judged.clear();
        }
        let reasons = judge(&self.admission, path, access);
        judged.insert(path.into(), reasons.clone());
        reasons
    }

    /// Whether the policy denies what the confinement keeps away anyway, so that it can be recorded and told.
    pub(super) fn denied(&mut self, path: &Path, access: Access) -> Option<Refusal> {
        let reasons = self.judgement(path, access)?;
        let explicit = is_explicit(&reasons);
        let private = self.is_private(path);
        let stands = self.view.stands(path);
        let refusal =
            |errno, tell| Some(Refusal { errno, tell, ..Refusal::of(path.to_path_buf(), access, reasons) });
        match access {
            // The agent's own file in a private place, or a folder on the way to something that is shown.
            Access::Read if stands && (private || !explicit) => None,
            Access::Read if stands => refusal(Some(libc::EACCES), true),
            // What the view has not: the call finds nothing. That the host has it is for the record; neither an errno nor a
            // line may depend on it.
            Access::Read if explicit || on_host(path) => refusal(None, explicit),
            Access::Read => None,
            Access::Write if private && !explicit => None,
            Access::Write => {
                let quiet = self.watch.quiet.iter().any(|tree| path.starts_with(tree));
                refusal(Some(libc::EACCES), explicit || !quiet)
            }
        }
    }
}

/// What starts with a command: by its `#!` line, by the loader that it is, and what starts with those.
fn started_with(command: &Command) -> Vec<&Command> {
    let mut found = Vec::new();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        for guise in &command.also {
            if let Guise::Starts(started) | Guise::Brings(started) = guise {
                found.push(&**started);
                left.push(started);
            }
        }
    }
    found
}

/// Whether a rule spoke, not only a kind's default.
pub(super) fn is_explicit(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| reason.rule != "default")
}
