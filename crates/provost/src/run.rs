//! The story of a run, top to bottom.
//!
//! Owns the order in which the rooms are used. Does not own what any of them does. Whatever goes wrong once the run is
//! opened, it is closed and sealed: what happened so far is evidence.

mod beside;
mod carried;
mod console;
pub(crate) use console::terminals;
mod describe;
mod direct;
pub(crate) mod limits;
mod models;
pub(crate) mod recorded;
mod signals;
pub(crate) mod tier;

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use admission::{Admission, Asking, Launch};
use gateway::cassette::Recorder;
use gateway::{Authority, Flows, Gateway, Guests, Prices};
use ledger::event::{self, Trust};
use ledger::{Evidence, Host, RunEnded, RunId};
use policy::{Confinement, Context, Endpoint, Limits, Policy, Tier, shortfall};
use sandbox::plan::PlanError;
use sandbox::{Cell, Exit, Jail, Watch};

use crate::agents::{self, Agent, Outfit};
use crate::certificates;
use crate::cli::RunFlags;
use crate::desk::words::Asker;
use crate::desk::{Parties, Socket, Terminal};
use crate::failure::Failure;
use crate::folders::{Folders, Governor};
use crate::inside::Door;
use crate::layers::{self, Wanted};
use crate::logins::Login;
use crate::mend;
use crate::proxy;
use crate::registries;
use crate::secrets::Credentials;
use crate::store;
use crate::task::{self, Task};
use crate::toolchains::{self, Toolchains, git};
use crate::vault::{self, RunVault};
use crate::view;
use crate::workspace::{Change, Workspace};

use beside::Beside;
use console::Console;
use recorded::Recorded;
use signals::Signals;

/// How long open connections may go on when the agent has ended.
const DRAIN: Duration = Duration::from_secs(2);

/// What a run is made from.
#[derive(Debug)]
pub struct Order<'a> {
    /// How to run it.
    pub flags: &'a RunFlags,
    /// What is asked, where it is said apart from the command.
    pub task: Option<&'a str>,
    /// The command.
    pub argv: &'a [std::ffi::OsString],
    /// Where what a person should know is said before the agent starts.
    pub say: fn(&str),
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    /// Its id.
    pub run: RunId,
    /// How the agent ended.
    pub exit: Exit,
    /// The exit status that says so.
    pub status: u8,
    /// What a person should know beside.
    pub notes: Vec<String>,
    /// Whether somebody attended.
    pub attended: bool,
}

/// All that is known before anything is opened.
pub(crate) struct Prepared {
    pub(crate) task: Task,
    agent: &'static dyn Agent,
    tools: Toolchains,
    credentials: Credentials,
    login: Option<Login>,
    prices: Prices,
    /// By which the outside is reached.
    via: Option<gateway::Via>,
    outfit: Outfit,
    profile: String,
    /// Where the agent's models answer.
    models: Vec<Endpoint>,
    pub(crate) policy: Arc<Policy>,
}

/// Runs an agent, governed. `cell` was made while this process had one thread.
///
/// # Errors
/// Provost could not do its part, or refused.
pub fn run(order: &Order<'_>, cell: Cell, folders: &Folders) -> Result<Ended, Failure> {
    let began = Instant::now();
    let task = understand(order, folders)?;
    // Answered while we look around.
    let person = git::ask(&task.environment);
    let prepared = prepare(order, task, folders)?;
    let host = folders.open()?;
    let task = &prepared.task;
    let _claim = direct::claim(task, folders)?;
    mend::whole(folders, &task.workspace)?;
    let run = host.new_run()?;
    let run_dir = host.run_dir(&run);
    let (workspace, kept) = direct::place(task, &run_dir, folders)?;
    let authority = Authority::new().map_err(|error| Failure::of(&error))?;
    let kept_for = workspace.folder(&folders.state);
    let recorded = Recorded::begin(&prepared.policy, &run, (&run_dir, &kept_for))?;
    let opened = describe::opened(task, prepared.agent.name(), &prepared.outfit, &authority);
    // The disk takes its time over the first words of a run: the view, in which nothing runs yet, is built meanwhile.
    let (writer, built) = thread::scope(|scope| {
        let opening = thread::Builder::new().name("opening".to_owned());
        let opening = opening.spawn_scoped(scope, || host.begin(&run, opened));
        let inside = (&run, person, authority.pem());
        let built = build(&prepared, (&workspace, &run_dir), cell, folders, inside);
        (opening.map(ScopedJoinHandle::join), built)
    });
    let writer = writer.map_err(|error| Failure::of(&error).during("could not start a thread"))?;
    let writer = writer.map_err(|_| Failure::new("the thread that opens the run died"))??;
    Governor::here().and_then(|here| here.note(&host, &run)).map_err(|error| Failure::of(&error))?;
    let mut notes = prepared.outfit.notes.clone();
    tier::warn(task, order.say);
    notes.extend(workspace.why_copy().map(|why| format!("the agent works on a copy of the folder: {why}")));
    notes.iter().for_each(|note| (order.say)(note));
    let asking = Asking { timeout: task.ask_timeout, ..Asking::usual(task.attended) };
    let admission = Admission::start_with(Arc::clone(&prepared.policy), writer, asking);
    let socket = task.attended.then(|| prepared.desk(&admission, &host, &run)).transpose();
    let lands = task.attended && layers::lands(folders, &task.workspace) == Some(true);
    let mut through = direct::Through::new(kept);
    let governed = socket.and_then(|socket| {
        let governed = built.and_then(|built| {
            let outside = (authority, recorded.recorder());
            govern(&prepared, (built, outside), (&workspace, lands), &admission, &mut through)
        });
        drop(socket);
        governed
    });
    tier::leave(&run_dir);
    notes.extend(recorded.close(&admission));
    let end = governed.as_ref().ok().map(|governed| (governed.exit, governed.signal));
    let ended = describe::ended(end, began);
    let sealed = finish(&host, &run, (&workspace, through), admission, ended);
    let governed = governed?;
    let change = sealed?;
    let status = governed.signal.map_or_else(|| status(governed.exit), |signal| 128 + signal);
    let attended = task.attended;
    notes.extend(describe::lost(&change));
    notes.extend(governed.notes);
    Ok(Ended { run, exit: governed.exit, status, notes, attended })
}

/// Who, what, where.
pub(crate) fn understand(order: &Order<'_>, folders: &Folders) -> Result<Task, Failure> {
    let task = Task::understand(order.flags, order.task, order.argv, folders)?;
    crate::workspace::place::root(&task.workspace, &folders.around())?;
    Ok(task)
}

/// With which tools, under which policy. Nothing is changed anywhere.
pub(crate) fn prepare(order: &Order<'_>, task: Task, folders: &Folders) -> Result<Prepared, Failure> {
    let agent = agents::recognise(&task.argv);
    let wanted = agent.wants(&task.seen())?;
    let mut credentials = Credentials::prepare(&wanted, &task.environment, &order.flags.pass_credential)?;
    let mut outfit = agent.outfit(&task.seen(), &credentials)?;
    let login =
        agent.login(&task.seen())?.map(|found| Login::prepare(agent.name(), found, folders)).transpose()?;
    login.iter().for_each(|login| login.enter(&mut outfit));
    for kept in store::all(folders)? {
        if let Err(error) = credentials.keep(&kept, &task.environment) {
            outfit.notes.push(format!("{error}: the run goes on without it."));
        }
    }
    add_variables(&mut outfit, &credentials);
    let mut tools = toolchains::discover(&task.environment);
    view::show_ourselves(&mut tools);
    outfit.notes.extend(view::show_git(&mut tools, &task.workspace));
    let profile = order.flags.profile.clone().unwrap_or_else(|| layers::USUAL.to_owned());
    let context = Context {
        repo: task.repo.clone(),
        agent: agent.name().to_owned(),
        principal: task.principal.name.clone(),
        attended: task.attended,
    };
    let via = proxy::of(&task.environment)?;
    let by = |via: &gateway::Via| {
        format!("what may leave goes by the proxy at {}, as for your own programs", via.name())
    };
    outfit.notes.extend(via.as_ref().map(by));
    let registries =
        if profile == registries::PROFILE { registries::find(&task.environment) } else { String::new() };
    let policy = layers::load_with(
        folders,
        &Wanted {
            profile: &profile,
            files: &order.flags.policy,
            workspace: &task.workspace,
            context,
            tools: &tools,
            shown: &outfit.shown,
            registries: &registries,
            agent: (agent.name(), &outfit.layer),
        },
        direct::layer(&task)?,
    )?;
    direct::check(&task, &policy)?;
    if let Some(login) = &login {
        let asked = Confinement { tier: task.tier, ..policy.confinement()? };
        login.stays_outside(&asked, &task.environment.home)?;
    }
    let judged = task.tier == Tier::Landlock || policy.confinement()?.judged_opens;
    if task.evidence != Evidence::Full && judged {
        return Err(PlanError::Unseen(task.evidence).into());
    }
    let named = wanted.iter().flat_map(|wanted| &wanted.endpoints);
    let models = named.filter_map(|text| Endpoint::parse(text).ok()).collect();
    let (prices, policy) = (models::prices(folders)?, Arc::new(policy));
    Ok(Prepared { task, agent, tools, credentials, login, prices, via, outfit, profile, models, policy })
}

/// The variables in which the inside finds its credentials, those that the agent has not asked for included.
fn add_variables(outfit: &mut Outfit, credentials: &Credentials) {
    for (name, value) in credentials.environment() {
        if !outfit.environment.iter().any(|(known, _)| *known == name) {
            outfit.environment.push((name, value));
        }
    }
}

/// How the governed part went.
struct Governed {
    exit: Exit,
    /// The signal that told us to stop.
    signal: Option<u8>,
    notes: Vec<String>,
}

/// The jail, and what it was built from.
struct Built {
    asked: Confinement,
    order: sandbox::plan::Order,
    console: Console,
    jail: Jail,
}

/// From the policy to a view of its own, and the agent's process in it before its first instruction.
fn build(
    prepared: &Prepared,
    (workspace, run_dir): (&Workspace, &Path),
    cell: Cell,
    folders: &Folders,
    (run, person, authority): (&RunId, git::Asked, &str),
) -> Result<Built, Failure> {
    let asked = prepared.asked()?;
    let kept = workspace.folder(&folders.state);
    let mut order = view::order(
        &prepared.task,
        &prepared.tools,
        &prepared.outfit,
        (workspace, &kept),
        (&prepared.policy, person),
    );
    view::make_caches(&order)?;
    view::add_environment(&mut order, &prepared.tools, &prepared.outfit, run);
    let configured = certificates::configured::in_files(&prepared.task.environment);
    certificates::trust(&mut order, &asked, &configured, authority);
    let plan = tier::plan(&prepared.task, &asked, &order, run_dir)?;
    let console = Console::open()?;
    let jail = cell.prepare(&plan)?;
    Ok(Built { asked, order, console, jail })
}

/// From the view to the agent's end.
fn govern(
    prepared: &Prepared,
    (built, (authority, recorder)): (Built, (Authority, Option<Recorder>)),
    (workspace, lands): (&Workspace, bool),
    admission: &Admission,
    through: &mut direct::Through,
) -> Result<Governed, Failure> {
    let Built { asked, order, console, mut jail } = built;
    describe::before(admission, prepared.describe(&asked, &order))?;
    // ORDER: the listening sockets are made in the jail's network, so the jail comes before the gateway; and what the
    // kernel gave is compared with what was asked before anything may start.
    let given = models::with_limits(jail.enforcement(), &asked.limits);
    describe::enforcement(admission, &given)?;
    shortfall(&asked, &given)?;
    through.permit(admission, &asked, &prepared.task)?;
    // It becomes durable while the gateway and the desk are opened.
    let launch = admission.admit(Launch(describe::command(&order)?));
    let mut signals = Signals::listen()?;
    let (carried, carriage) =
        jail.take_carriers().map(|carriers| carried::join(carriers, jail.voice())).unzip();
    let (guests, told) = tier::guests(&prepared.task);
    let tls = gateway::Tls {
        authority,
        roots: gateway::Roots::SystemAnd(certificates::configured::all(&prepared.task.environment)),
    };
    let seats = (&mut jail, carried, guests);
    let gateway =
        serve(seats, (&order.ports, &asked.limits), admission, (prepared, tls, recorder), &mut signals)?;
    let terminal = console.join(jail.take_terminal())?;
    let parties =
        Parties { agent: prepared.agent.name().to_owned(), person: task::person(&prepared.task.principal) };
    let desk = Terminal::open(admission, terminal.control(), parties).map_err(|error| Failure::of(&error))?;
    let watch = Watch {
        quiet: prepared.tools.shown.iter().map(|shown| shown.path.clone()).collect(),
        judged_opens: asked.judged_opens || asked.tier == Tier::Landlock,
        carriage,
        guests: told,
        evidence: prepared.task.evidence,
    };
    let launch = launch.wait().permit()?;
    let overlay = jail.take_overlay();
    let exit = thread::scope(|scope| {
        // Where nothing is staged, whoever edits is before the other at once, and everything has landed.
        let staged = !workspace.is_direct();
        let beside = staged.then(|| Beside::start(scope, (workspace, lands), overlay, admission)).transpose();
        let beside = beside.map_err(|error| Failure::of(&error).during("could not start a thread"))?;
        let agent = jail.go(launch, admission, watch);
        let exit = agent.and_then(|agent| agent.wait(signals.stop()));
        drop(beside);
        Ok::<_, Failure>(exit)
    })?;
    // ORDER: a question that is still open holds the terminal, so it goes before the terminal is given back.
    drop(desk);
    let filtered = terminal.leave();
    let flows = gateway.drain(DRAIN);
    let exit = exit?;
    describe::after(admission, &filtered)?;
    Ok(Governed { exit, signal: signals.heard(), notes: notes(&flows) })
}

fn serve(
    (jail, carried, guests): (&mut Jail, Option<gateway::Carried>, Option<Guests>),
    (ports, limits): (&[u16], &Limits),
    admission: &Admission,
    (prepared, tls, recorder): (&Prepared, gateway::Tls, Option<Recorder>),
    signals: &mut Signals,
) -> Result<Gateway, Failure> {
    let mut sockets = jail.take_sockets().into_iter();
    let proxy = sockets.next().ok_or_else(|| Failure::new("the jail made no socket for the gateway"))?;
    let loopback = ports.iter().skip(1).copied().zip(sockets).collect();
    let login = prepared.login.clone();
    let mut known = vault::placeholders(&prepared.credentials);
    known.extend(login.iter().flat_map(Login::placeholders));
    let logins = login.iter().map(Login::for_gateway).collect();
    let vault = RunVault { credentials: prepared.credentials.clone(), login };
    let kept_back = vault::guarded(&prepared.credentials, &prepared.task.environment);
    let credentials = gateway::Credentials::new(known, Arc::new(vault), kept_back)
        .and_then(|credentials| credentials.with_logins(logins))
        .map_err(|error| Failure::of(&error))?;
    let inside = Arc::new(Door { admission: admission.clone() });
    let failed = |error: &dyn std::error::Error| Failure::of(error).during("could not start the gateway");
    let seat = gateway::Seat { proxy, loopback, carried, guests };
    let models = models::of(&prepared.models, limits, &prepared.prices);
    let gateway = gateway::serve(
        seat,
        admission.clone(),
        credentials,
        inside,
        tls,
        (models, recorder, prepared.via.clone()),
    )
    .map_err(|error| failed(&error))?;
    // Without its gateway the run has no way out that is judged: it ends.
    let gone = gateway.watch().map_err(|error| failed(&error))?;
    signals.also(gone)?;
    Ok(gateway)
}

fn notes(flows: &Flows) -> Vec<String> {
    let faults = (flows.faults > 0)
        .then(|| format!("the gateway failed {} times; what it carried then was cut", flows.faults));
    faults.into_iter().collect()
}

/// Settles what was changed, writes the last event and seals: in this order, whatever happened before.
fn finish(
    host: &Host,
    run: &RunId,
    (workspace, through): (&Workspace, direct::Through),
    admission: Admission,
    ended: RunEnded,
) -> Result<Change, Failure> {
    let settled = through.settle(workspace, &admission);
    let sealed = admission.close(event::Body::RunEnded(ended))?;
    host.seal(run, &sealed)?;
    Ok(settled?)
}

/// The exit status of Provost that tells how the agent ended.
fn status(exit: Exit) -> u8 {
    let low = |value: i32| u8::try_from(value & 0xff).unwrap_or(u8::MAX);
    match exit {
        Exit::Code(code) => low(code),
        Exit::Signal(signal) => 128_u8.saturating_add(low(signal)),
        Exit::Limit(_) => 124,
        Exit::Stopped => 143,
    }
}

impl Prepared {
    /// PATH inside.
    pub(crate) fn inside_path(&self) -> String {
        let path = self.tools.environment.iter().find(|(name, _)| name == "PATH");
        path.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// The desk, for whoever answers from elsewhere.
    fn desk(&self, admission: &Admission, host: &Host, run: &RunId) -> Result<Socket, Failure> {
        let (agent, workspace) = (self.agent.name().to_owned(), self.task.workspace.display().to_string());
        let asker = Asker { run: run.as_str().to_owned(), agent, workspace };
        Socket::open(admission, &host.run_dir(run), asker)
            .map_err(|error| Failure::of(&error).during("could not open the desk where people answer"))
    }

    /// What is asked of the kernel: by the policy, by flags, and where neither says, for the machine's sake.
    fn asked(&self) -> Result<Confinement, Failure> {
        let mut asked = Confinement { tier: self.task.tier, ..self.policy.confinement()? };
        limits::complete(&mut asked.limits, &self.task);
        Ok(asked)
    }

    fn describe<'a>(
        &'a self,
        asked: &'a policy::Confinement,
        order: &'a sandbox::plan::Order,
    ) -> describe::Before<'a> {
        describe::Before {
            policy: layers::record(&self.policy, &self.profile),
            asked,
            order,
            task: &self.task,
            agent: self.agent.name(),
            credentials: &self.credentials,
            login: self.login.as_ref(),
        }
    }
}

/// Everything of the agent's own word is `reported`; what we saw is `observed`.
const SEEN: Trust = Trust::Observed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agents_end_is_ours() {
        assert_eq!(status(Exit::Code(0)), 0);
        assert_eq!(status(Exit::Code(3)), 3);
        assert_eq!(status(Exit::Signal(9)), 137);
        let reached = sandbox::Reached { limit: policy::Limit::Memory, most: 1, used: 2 };
        assert_eq!(status(Exit::Limit(reached)), 124);
    }
}
