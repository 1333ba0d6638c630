//! All layers, put together.
//!
//! Owns which rules count in this run, the defaults, and the floors. `table` finds the rules that speak of an action;
//! `decide` is what they come to.

use std::path::{Path, PathBuf};

use crate::layer::rule::Rule;
use crate::pattern::{Pattern, Places};
use crate::{
    Action, Confinement, Decision, Endpoint, Explanation, Grant, HttpRequest, Kind, Layer, LayerKind, Limits,
    ListedLimit, Need, PolicyError, RuleSpec, Shortfall, canonical, confinement, decide, explain, limits,
};

pub(crate) mod conditions;
pub(crate) mod listed;
pub(crate) mod table;

use listed::Listed;
use table::{Requests, Table};

/// The places that patterns start from and that no policy opens. All absolute, links resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    /// `./` in every layer.
    pub workspace: PathBuf,
    /// `~/`: the person's home on the host.
    pub home: PathBuf,
    /// Where Provost keeps its state; never readable or writable.
    pub state: PathBuf,
    /// Where Provost keeps its configuration; never readable or writable.
    pub config: PathBuf,
}

/// What `when` asks about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The repository as `owner/name`, if there is one.
    pub repo: Option<String>,
    /// The agent's name.
    pub agent: String,
    /// Who runs it.
    pub principal: String,
    /// Whether somebody can be asked.
    pub attended: bool,
}

/// Where the policy of an organisation lies: as little the agent's business as the person's own.
const ORGANISATION: &str = "/etc/provost";

/// All layers, compiled.
#[derive(Debug)]
pub struct Policy {
    /// The built-in floor first.
    layers: Vec<Layer>,
    anchors: Anchors,
    context: Context,
    pub(crate) places: Places,
    pub(crate) rules: Vec<Counted>,
    tables: Vec<Table>,
    requests: Requests,
    pub(crate) defaults: Vec<Standard>,
    pub(crate) nested: bool,
    pub(crate) limits: Limits,
}

/// A rule that counts in this run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    pub(crate) layer: usize,
    pub(crate) rule: usize,
    pub(crate) need: Need,
    /// It can only restrict.
    pub(crate) narrows: bool,
}

/// What is needed where no rule speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standard {
    pub(crate) need: Need,
    /// Who says so; nobody if no layer names this kind.
    pub(crate) layer: Option<usize>,
}

impl Policy {
    /// Puts layers together.
    ///
    /// # Errors
    /// A place that no policy can protect, or rules too large to be judged by.
    pub fn compile(layers: Vec<Layer>, anchors: &Anchors, context: &Context) -> Result<Policy, PolicyError> {
        let anchors = &checked(anchors)?;
        let layers: Vec<Layer> = std::iter::once(built_in(anchors)?).chain(layers).collect();
        let places = Places { workspace: anchors.workspace.clone(), home: anchors.home.clone() };
        let rules = counted(&layers, context);
        let tables = Kind::ALL.iter().map(|kind| Table::new(*kind, &layers, &rules, &places));
        let policy = Policy {
            tables: tables.collect::<Result<_, _>>()?,
            requests: Requests::new(&layers, &rules)?,
            defaults: Kind::ALL.iter().map(|kind| standard(*kind, &layers, context)).collect(),
            nested: nested(&layers, context),
            limits: limits::of(&layers, context),
            layers,
            anchors: anchors.clone(),
            context: context.clone(),
            places,
            rules,
        };
        Ok(policy)
    }

    /// Judges an action. Total: what cannot be judged is denied.
    pub fn decide(&self, action: &Action, grants: &[Grant]) -> Decision {
        decide::decide(self, action, grants)
    }

    /// Why an action is judged as it is.
    pub fn explain(&self, action: &Action) -> Explanation {
        explain::explain(self, action)
    }

    /// Canonical bytes whose digest names this policy: its layers, and what they were put together for.
    pub fn digest_input(&self) -> Vec<u8> {
        let around = format!("{:?}\n{:?}\n", self.anchors, self.context).into_bytes();
        let layers = self.layers.iter().map(Layer::digest_input);
        let sized = layers.flat_map(|layer| [format!("{}\n", layer.len()).into_bytes(), layer].concat());
        around.into_iter().chain(sized).collect()
    }

    /// The layers, in order; the built-in floor first.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What the kernel is asked to hold.
    ///
    /// # Errors
    /// What no kernel can hold: files that are open because no rule speaks of them.
    pub fn confinement(&self) -> Result<Confinement, Shortfall> {
        confinement::of(self)
    }

    /// Whether a run whose writes reach the workspace at once can hold it. `held` says of a path beneath the workspace that
    /// no write reaches it, nor what is beneath it.
    ///
    /// # Errors
    /// The rules that ask before something lands, of files that can be written.
    pub fn holds_direct(&self, asked: &Confinement, held: &dyn Fn(&Path) -> bool) -> Result<(), Shortfall> {
        confinement::holds_direct(self, asked, held)
    }

    /// Ports of this host's loopback that a rule on connections or requests names literally, in order.
    pub fn loopback_ports(&self) -> Vec<u16> {
        let open = self.rules.iter().filter(|counted| counted.need != Need::Never && !counted.narrows);
        let mut ports: Vec<u16> = open
            .flat_map(|counted| {
                let rule = self.rule(*counted);
                rule.patterns(Kind::Connect).chain(rule.patterns(Kind::Http))
            })
            .filter_map(|pattern| match pattern {
                Pattern::Connect(endpoint) if endpoint.is_loopback() => endpoint.port,
                Pattern::Http(http) if http.endpoint.is_loopback() => http.endpoint.port,
                _ => None,
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }

    /// The programs that rules on commands name literally: names, and absolute paths.
    pub fn named_programs(&self) -> Vec<PathBuf> {
        let patterns = self.rules.iter().flat_map(|counted| self.rule(*counted).patterns(Kind::Exec));
        let mut named: Vec<PathBuf> = patterns
            .flat_map(|pattern| match pattern {
                Pattern::Command(command) => command.programs(&self.places),
                _ => Vec::new(),
            })
            .collect();
        named.sort();
        named.dedup();
        named
    }

    /// Whether some rule on commands asks for a variable.
    pub fn looks_at_variables(&self) -> bool {
        let rules = self.rules.iter().map(|counted| self.rule(*counted));
        let mut patterns = rules.flat_map(|rule| rule.patterns(Kind::Exec).chain(rule.holes(Kind::Exec)));
        patterns.any(|pattern| matches!(pattern, Pattern::Command(command) if command.variable.is_some()))
    }

    /// Ports by which all ports can be told apart: those that a rule on connections or requests names, in order, and one that
    /// none names.
    pub fn telling_ports(&self) -> Vec<u16> {
        let rules = self.rules.iter().map(|counted| self.rule(*counted));
        let patterns = rules.flat_map(|rule| {
            let holes = |kind| rule.holes(kind);
            let says = |kind| rule.patterns(kind);
            [Kind::Connect, Kind::Http].into_iter().flat_map(move |kind| says(kind).chain(holes(kind)))
        });
        let mut ports: Vec<u16> = patterns
            .filter_map(|pattern| match pattern {
                Pattern::Connect(endpoint) => endpoint.port,
                Pattern::Http(http) => http.endpoint.port,
                _ => None,
            })
            .collect();
        ports.sort_unstable();
        ports.dedup();
        let other = (1..=u16::MAX).rev().find(|port| ports.binary_search(port).is_err());
        ports.extend(other);
        ports
    }

    /// Whether some rule speaks of requests to this place, so that each must be seen. Elsewhere the connection is judged.
    pub fn looks_inside(&self, endpoint: &Endpoint) -> bool {
        self.requests.speak_of(endpoint)
    }

    /// A request with what of its query and headers rules ask about, and nothing else of them: what is judged, shown and agreed to.
    #[must_use]
    pub fn heeding(&self, request: HttpRequest) -> HttpRequest {
        let names = self.requests.names(&request.endpoint);
        request.heeding(&names)
    }

    /// Every rule of every layer, pattern by pattern: what `policy show` prints.
    pub fn listed(&self) -> Vec<Listed> {
        listed::of(&self.layers, &self.context)
    }

    /// Every limit of every layer, and which of them hold.
    pub fn listed_limits(&self) -> Vec<ListedLimit> {
        limits::listed(&self.layers, &self.context)
    }

    pub(crate) fn rule(&self, counted: Counted) -> &Rule {
        // INVARIANT: `counted` made these numbers from these very layers.
        &self.layers[counted.layer].content.rules[counted.rule]
    }

    pub(crate) fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind as usize]
    }

    pub(crate) fn home(&self) -> &Path {
        &self.anchors.home
    }

    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    pub(crate) fn standard(&self, kind: Kind) -> Standard {
        self.defaults[kind as usize]
    }
}

/// The places, spelled canonically. A place from which nothing could be protected is refused.
fn checked(anchors: &Anchors) -> Result<Anchors, PolicyError> {
    let wrong = |because: String| PolicyError::whole("built-in", because);
    let canonical = |what: &str, path: &Path| {
        canonical::path(path)
            .map_err(|error| wrong(format!("the {what} `{}` is no path: {error}", path.display())))
    };
    let anchors = Anchors {
        workspace: canonical("workspace", &anchors.workspace)?,
        home: canonical("home", &anchors.home)?,
        state: canonical("state", &anchors.state)?,
        config: canonical("configuration", &anchors.config)?,
    };
    let Anchors { workspace, home, state, config } = &anchors;
    let refused = |because: &str| {
        wrong(format!("the workspace `{}` {because}", workspace.display()))
            .hint("run in the folder of one project")
    };
    if workspace == Path::new("/") {
        return Err(refused("is the root of the file system"));
    }
    if workspace == home {
        return Err(refused("is your home"));
    }
    if state.starts_with(workspace) {
        return Err(refused("holds Provost's own state"));
    }
    if workspace.starts_with(state) || workspace.starts_with(config) {
        return Err(refused("lies within Provost's own files"));
    }
    Ok(anchors)
}

/// Where a person keeps keys and passwords, beneath the home. A rule that shows any of it still has a person asked.
const SECRETS: [&str; 15] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".config/gcloud",
    ".config/gh",
    ".config/op",
    ".docker/config.json",
    ".git-credentials",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
    ".config/google-chrome",
    ".config/chromium",
];

/// The floor that precedes every file.
fn built_in(anchors: &Anchors) -> Result<Layer, PolicyError> {
    let [own, secrets] = crate::decide::FLOOR;
    let mut secrets = RuleSpec::new(secrets, Need::Human).why("Your keys and passwords.");
    for place in SECRETS {
        secrets = secrets.tree(Kind::Read, anchors.home.join(place));
    }
    let mut rule = RuleSpec::new(own, Need::Never).why("Provost's own files stay out of reach.");
    for kind in [Kind::Read, Kind::Write, Kind::Land] {
        for place in [anchors.state.as_path(), &anchors.config, Path::new(ORGANISATION)] {
            rule = rule.tree(kind, place);
        }
    }
    Layer::from_rules("built-in", LayerKind::Floor, vec![rule, secrets])
}

fn counted(layers: &[Layer], context: &Context) -> Vec<Counted> {
    let mut counted = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        if layer.content.when.fails(context).is_some() {
            continue;
        }
        let holding = |(_, rule): &(usize, &Rule)| rule.when.fails(context).is_none();
        let narrows = layer.only_narrows();
        let one = |(rule, said): (usize, &Rule)| Counted { layer: at, rule, need: said.need, narrows };
        counted.extend(layer.content.rules.iter().enumerate().filter(holding).map(one));
    }
    counted
}

/// The default of the last kind of layer that gives one, the strictest if several of that kind do; what only narrows can
/// make it stricter.
fn standard(kind: Kind, layers: &[Layer], context: &Context) -> Standard {
    let given = |narrows: bool| {
        let counting = layers.iter().enumerate().filter(move |(_, layer)| layer.only_narrows() == narrows);
        counting
            .filter(|(_, layer)| layer.content.when.fails(context).is_none())
            .filter_map(move |(at, layer)| Some((layer.kind, layer.content.default_of(kind)?, at)))
    };
    // Of equals the first, so that it is named.
    let working = given(false).max_by_key(|(stands, need, at)| (*stands, *need, std::cmp::Reverse(*at)));
    let mut standard = working.map_or(Standard { need: Need::Never, layer: None }, |(_, need, at)| {
        Standard { need, layer: Some(at) }
    });
    for (_, need, at) in given(true) {
        if need > standard.need {
            standard = Standard { need, layer: Some(at) };
        }
    }
    standard
}

/// The last kind of layer that speaks of it says so, all of that kind together, and no floor says no.
fn nested(layers: &[Layer], context: &Context) -> bool {
    let said = |narrows: bool| {
        let counting = layers.iter().filter(move |layer| layer.only_narrows() == narrows);
        counting
            .filter(|layer| layer.content.when.fails(context).is_none())
            .filter_map(|layer| Some((layer.kind, !layer.content.nested?)))
    };
    said(false).max().is_some_and(|(_, closed)| !closed) && !said(true).any(|(_, closed)| closed)
}
