//! From files to the policy of a run: which layers there are, and in which order.
//!
//! Owns finding and reading them, and whether a repository is trusted. Does not own what they mean (`policy`).

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ledger::event::{HostRule, PolicyLayer, PolicyLoaded};
use policy::{Anchors, Context, Kind, Layer, LayerKind, Listed, Need, Policy, RuleSpec};
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::folders::{Folders, write_private};
use crate::toolchains::{Shown, Toolchains};
use crate::workspace::place;
use crate::{registries, store};

/// The profile of a run that names none.
pub const USUAL: &str = "build";
/// A repository's own policy.
pub const REPO: &str = ".provost/policy.toml";
/// Where an organisation keeps its floors.
const FLOORS: &str = "/etc/provost/policy.d";

/// Most bytes of a policy file that are read: `policy` takes 1 MiB.
const LONGEST: u64 = 1 << 20;

/// What a policy is put together for.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The profile by name.
    pub profile: &'a str,
    /// Files named on the command line.
    pub files: &'a [PathBuf],
    /// The workspace.
    pub workspace: &'a Path,
    /// What `when` asks about.
    pub context: Context,
    /// What the inside sees of the host's tools.
    pub tools: &'a Toolchains,
    /// What it sees beside: the agent's own program.
    pub shown: &'a [Shown],
    /// Where the tools get packages from, where the profile lets them.
    pub registries: &'a str,
    /// The agent's layer: its name and text.
    pub agent: (&'a str, &'a str),
}

/// Reads and compiles every layer.
///
/// # Errors
/// A file cannot be read, or is refused.
pub fn load(folders: &Folders, wanted: &Wanted<'_>) -> Result<Policy, Failure> {
    load_with(folders, wanted, None)
}

/// The same with one more layer, made by the program for this run.
///
/// # Errors
/// A file cannot be read, or is refused.
pub fn load_with(folders: &Folders, wanted: &Wanted<'_>, own: Option<Layer>) -> Result<Policy, Failure> {
    let mut layers = vec![Layer::parse("system", LayerKind::System, policy::system_layer())?];
    layers.push(profile(wanted.profile)?);
    layers.push(Layer::from_rules("toolchains", LayerKind::Toolchains, vec![tools(wanted)])?);
    if !wanted.registries.is_empty() {
        layers.push(Layer::parse(registries::LAYER, LayerKind::Toolchains, wanted.registries)?);
    }
    if !wanted.agent.1.is_empty() {
        layers.push(Layer::parse(wanted.agent.0, LayerKind::Agent, wanted.agent.1)?);
    }
    layers.extend(kept(folders)?);
    layers.extend(file(&folders.config.join("policy.toml"), LayerKind::User)?);
    layers.extend(repo(folders, wanted.workspace)?);
    layers.extend(file(&answers(folders, wanted.workspace), LayerKind::User)?);
    for path in wanted.files {
        let missing = || Failure::new(format!("there is no policy `{}`", path.display()));
        layers.push(file(path, LayerKind::File)?.ok_or_else(missing)?);
    }
    layers.extend(floors(Path::new(FLOORS))?);
    layers.extend(own);
    Ok(Policy::compile(layers, &anchors(folders, wanted.workspace), &wanted.context)?)
}

/// Where patterns start from.
pub fn anchors(folders: &Folders, workspace: &Path) -> Anchors {
    Anchors {
        workspace: workspace.to_owned(),
        home: folders.home.clone(),
        state: folders.state.clone(),
        config: folders.config.clone(),
    }
}

fn profile(name: &str) -> Result<Layer, Failure> {
    let (name, text, _) = shipped(name)?;
    Ok(Layer::parse(name, LayerKind::Profile, text)?)
}

/// A shipped profile: its name, its text, what it is for.
///
/// # Errors
/// There is none of that name.
pub fn shipped(name: &str) -> Result<(&'static str, &'static str, &'static str), Failure> {
    let all = policy::profiles();
    all.iter().find(|(known, ..)| *known == name).copied().ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|(name, ..)| *name).collect();
        Failure::new(format!("there is no profile `{name}`"))
            .hint(format!("the profiles are {}", known.join(", ")))
    })
}

/// What tools lie where may be read; what they keep between builds may be written, privately.
fn tools(wanted: &Wanted<'_>) -> RuleSpec {
    let mut rule = RuleSpec::new("toolchains", Need::None);
    let shown: BTreeSet<&Path> =
        wanted.tools.shown.iter().chain(wanted.shown).map(|shown| shown.path.as_path()).collect();
    for path in shown {
        rule = rule.tree(Kind::Read, path);
    }
    for cache in &wanted.tools.caches {
        rule = rule.tree(Kind::Read, &cache.path).tree(Kind::Write, &cache.path);
    }
    rule
}

/// Where the credentials may go that the person told us of: where they bound them.
fn kept(folders: &Folders) -> Result<Option<Layer>, Failure> {
    let mut rules = Vec::new();
    for kept in store::all(folders)? {
        let mut rule = RuleSpec::new(&kept.name, Need::None).why("Bound there by `provost credential add`.");
        for (place, _) in kept.requests()? {
            rule = rule.pattern(Kind::Credential, format!("{} {place}", kept.name));
        }
        rules.push(rule);
    }
    let layer = (!rules.is_empty()).then(|| Layer::from_rules("credentials", LayerKind::User, rules));
    Ok(layer.transpose()?)
}

/// A file, if it is there. One that is there and cannot be read stops everything.
fn file(path: &Path, kind: LayerKind) -> Result<Option<Layer>, Failure> {
    match read(path) {
        Ok(text) => Ok(Some(Layer::parse(&path.display().to_string(), kind, &text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// The text, as far as a policy can go: one byte more is refused, and no more than that is kept.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::of(error)
        .during(format!("could not read the policy `{}`", path.display()))
        .hint("a policy that is there must be readable: without it nothing runs")
}

/// The repository's own. A link is not followed: it could lead to a file that the person can read and the agent not.
fn repo(folders: &Folders, workspace: &Path) -> Result<Option<Layer>, Failure> {
    let path = workspace.join(REPO);
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Err(Failure::new(format!("`{}` is no plain file", path.display()))
            .hint("a repository's policy must be a file of its own"));
    }
    let mut layer = file(&path, LayerKind::Repo)?;
    if let Some(layer) = &mut layer {
        layer.trusted = is_trusted(folders, workspace);
    }
    Ok(layer)
}

fn floors(dir: &Path) -> Result<Vec<Layer>, Failure> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(dir, &error)),
    };
    let paths: io::Result<Vec<PathBuf>> = listing.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(|error| unreadable(dir, &error))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    paths.sort();
    let read = |path: &PathBuf| {
        let gone = || Failure::new(format!("the floor `{}` is gone", path.display()));
        file(path, LayerKind::Floor)?.ok_or_else(gone)
    };
    paths.iter().map(read).collect()
}

// === trust ===

/// Whether the repository's policy, as it stands, is the one that was trusted.
pub fn is_trusted(folders: &Folders, workspace: &Path) -> bool {
    let trusted = fs::read_to_string(trust_note(folders, workspace)).ok();
    trusted.is_some_and(|digest| policy_digest(workspace).is_some_and(|now| now == digest.trim()))
}

/// Trusts the repository's policy as it stands; gives its digest.
///
/// # Errors
/// There is none, or the state cannot be written.
pub fn trust(folders: &Folders, workspace: &Path) -> Result<String, Failure> {
    let digest = policy_digest(workspace).ok_or_else(|| {
        Failure::new(format!("there is no policy to trust: `{}`", workspace.join(REPO).display()))
            .hint("`provost init` writes a first one")
    })?;
    // What cannot be read as it stands is nothing to trust.
    repo(folders, workspace)?;
    folders.open()?;
    let note = trust_note(folders, workspace);
    let written = fs::create_dir_all(note.parent().unwrap_or(&note))
        .and_then(|()| write_private(&note, digest.as_bytes()));
    written.map_err(|error| Failure::of(&error).during("could not record the trust"))?;
    Ok(digest)
}

/// Takes the trust back; says whether there was any.
///
/// # Errors
/// The state cannot be written.
pub fn distrust(folders: &Folders, workspace: &Path) -> Result<bool, Failure> {
    match fs::remove_file(trust_note(folders, workspace)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::of(&error).during("could not take the trust back")),
    }
}

fn trust_note(folders: &Folders, workspace: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    folders.state.join("trust").join(hex(&Sha256::digest(workspace.as_os_str().as_bytes())))
}

fn policy_digest(workspace: &Path) -> Option<String> {
    read(&workspace.join(REPO)).ok().map(|text| hex(&Sha256::digest(text)))
}

// === answers ===

/// What a person once answered for a workspace, as rules.
fn answers(folders: &Folders, workspace: &Path) -> PathBuf {
    folders.state.join("workspaces").join(place::id(workspace)).join("land.toml")
}

/// The answer of somebody who lets routine files land by themselves.
const LANDS: &str = r#"# You were asked once whether routine files of this folder may land by themselves, and said yes.
# Remove this file to be asked again; empty it of its rule for a no. Handoff files wait whatever is written here.
version = 1
when = { attended = true }

[[rule]]
id = "routine"
land = ["./**"]
need = "none"
why = "You let routine files land at quiet points."
"#;

/// The answer of somebody who does not.
const WAITS: &str = r#"# You were asked once whether routine files of this folder may land by themselves, and said no.
# Remove this file to be asked again.
version = 1
"#;

/// Whether routine files may land by themselves; `None` where nobody was asked yet.
#[must_use]
pub fn lands(folders: &Folders, workspace: &Path) -> Option<bool> {
    let layer = file(&answers(folders, workspace), LayerKind::User).ok()??;
    let policy = Policy::compile(vec![layer], &anchors(folders, workspace), &Context::default()).ok()?;
    Some(policy.listed().iter().any(|line| line.rule == "routine"))
}

/// Records an answer; gives the file.
///
/// # Errors
/// The state cannot be written.
pub fn answer(folders: &Folders, workspace: &Path, lands: bool) -> Result<PathBuf, Failure> {
    let place = answers(folders, workspace);
    let text = if lands { LANDS } else { WAITS };
    let written = fs::create_dir_all(place.parent().unwrap_or(&place))
        .and_then(|()| write_private(&place, text.as_bytes()));
    written.map_err(|error| Failure::of(&error).during("could not record the answer"))?;
    Ok(place)
}

// === the record ===

/// What the ledger keeps of a policy.
pub fn record(policy: &Policy, profile: &str) -> PolicyLoaded {
    let layer = |layer: &Layer| PolicyLayer {
        name: layer.name.clone(),
        kind: kind(layer),
        digest: hex(&Sha256::digest(layer.digest_input())),
    };
    PolicyLoaded {
        digest: hex(&Sha256::digest(policy.digest_input())),
        profile: Some(profile.to_owned()),
        layers: policy.layers().iter().map(layer).collect(),
        hosts: policy.listed().into_iter().filter_map(host).collect(),
    }
}

/// What a rule that counts says of hosts.
fn host(line: Listed) -> Option<HostRule> {
    let counts = matches!(line.kind, Kind::Connect | Kind::Http) && line.idle.is_none();
    let (kind, need) = (line.kind.word().to_owned(), line.need.to_string());
    let Listed { layer, rule, pattern, except, narrows, .. } = line;
    counts.then_some(HostRule { kind, pattern, except, need, layer, rule, narrows })
}

/// The word for a layer's kind; a repository's says whether it is trusted.
pub fn kind(layer: &Layer) -> String {
    let word = match layer.kind {
        LayerKind::System => "system",
        LayerKind::Profile => "profile",
        LayerKind::Toolchains => "toolchains",
        LayerKind::Agent => "agent",
        LayerKind::User => "user",
        LayerKind::Repo if layer.trusted => "repo, trusted",
        LayerKind::Repo => "repo",
        LayerKind::File => "file",
        LayerKind::Floor => "floor",
    };
    word.to_owned()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_is_in_the_text_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap();
        let folders = Folders { home: home.clone(), state: home.join("state"), config: home.join("config") };
        let workspace = home.join("shop");
        fs::create_dir_all(workspace.join(".provost")).unwrap();
        assert!(trust(&folders, &workspace).unwrap_err().hint.is_some());
        fs::write(workspace.join(REPO), "version = 1\n").unwrap();
        assert!(!is_trusted(&folders, &workspace));
        trust(&folders, &workspace).unwrap();
        assert!(is_trusted(&folders, &workspace));
        fs::write(workspace.join(REPO), "version = 1\n# changed\n").unwrap();
        assert!(!is_trusted(&folders, &workspace), "another text is not trusted");
        fs::write(workspace.join(REPO), "version = 1\n").unwrap();
        assert!(distrust(&folders, &workspace).unwrap() && !is_trusted(&folders, &workspace));
    }

    #[test]
    fn an_answer_is_kept_as_a_rule_of_one_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap();
        let folders = Folders { home: home.clone(), state: home.join("state"), config: home.join("config") };
        let (shop, other) = (home.join("shop"), home.join("other"));
        fs::create_dir_all(home.join("state")).unwrap();
        assert_eq!(lands(&folders, &shop), None);
        let place = answer(&folders, &shop, false).unwrap();
        assert_eq!(lands(&folders, &shop), Some(false));
        answer(&folders, &shop, true).unwrap();
        assert_eq!((lands(&folders, &shop), lands(&folders, &other)), (Some(true), None));
        let layer = file(&place, LayerKind::User).unwrap().unwrap();
        let allows = |attended| {
            let context = Context { attended, ..Context::default() };
            let system = Layer::parse("system", LayerKind::System, policy::system_layer()).unwrap();
            let policy =
                Policy::compile(vec![system, layer.clone()], &anchors(&folders, &shop), &context).unwrap();
            let file = policy::AbsPath::new(&shop.join("a")).unwrap();
            matches!(policy.decide(&policy::Action::Land(file), &[]), policy::Decision::Allow { .. })
        };
        assert!(allows(true) && !allows(false), "where nobody attends it lets nothing land");
        fs::remove_file(place).unwrap();
        assert_eq!(lands(&folders, &shop), None);
    }

    #[test]
    fn a_policy_that_is_a_link_stops_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let home = fs::canonicalize(dir.path()).unwrap();
        let folders = Folders { home: home.clone(), state: home.join("state"), config: home.join("config") };
        fs::create_dir_all(home.join("shop/.provost")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", home.join("shop").join(REPO)).unwrap();
        assert!(repo(&folders, &home.join("shop")).is_err());
    }
}
