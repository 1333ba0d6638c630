//! Where cargo gets crates from: its indexes, and where each says that its files are.
//!
//! Which index is meant where nobody names one is in cargo itself, and what stands for it in the person's settings. So cargo is
//! asked, by being its proxy for the length of one word: it says whom it wants to reach, and is refused. Where an index keeps its
//! files is in the index; cargo keeps that from one time to the next. An index that is kept counts only where cargo or the person
//! names it: what a repository brought in once is nobody's choice.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::place::Place;
use super::{Host, ask, files};

/// How long it is waited for the word.
const PATIENCE: Duration = Duration::from_secs(5);
const OFTEN: Duration = Duration::from_millis(2);

/// Where cargo goes where nobody names a registry.
#[derive(Debug, Clone, Default)]
pub(super) struct Goes {
    /// The host and port of the index.
    pub(super) index: Option<String>,
    /// Where the index keeps its files, as the index said it when it was asked now.
    pub(super) files: Option<String>,
}

pub(super) fn registries(host: &Host<'_>) -> Vec<String> {
    let file = |name: &str| host.own("CARGO_HOME", ".cargo", name);
    let settings = [file("config.toml"), file("config")].into_iter().find(|path| host.read(path).is_some());
    let text = settings.as_deref().and_then(|path| host.read(path)).unwrap_or_default();
    let mut all = files::cargo(&files::toml_file(&text).unwrap_or_default());
    let named = host
        .environment
        .variables
        .iter()
        .filter(|(name, _)| name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_INDEX"));
    all.extend(named.map(|(_, index)| index.clone()));
    let goes = (host.cargo)(settings.as_deref());
    all.extend(goes.index.map(|index| format!("https://{index}")));
    let known: BTreeSet<String> =
        all.iter().filter_map(|address| Place::of(address)).map(|place| place.place).collect();
    all.extend(kept(host, &file("registry/index"), &known));
    all.extend(goes.files);
    all
}

/// Where indexes that are known keep their files, as cargo kept it: each is named for its host. Those kept as git repositories lie
/// with hosts that hold everything else as well, and are left out.
fn kept(host: &Host<'_>, folder: &Path, known: &BTreeSet<String>) -> Vec<String> {
    let Ok(listing) = fs::read_dir(folder) else { return Vec::new() };
    let mut all = Vec::new();
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((name, _)) = name.rsplit_once('-') else { continue };
        let is_known = known.iter().any(|place| place.rsplit_once(':').is_some_and(|(host, _)| host == name));
        let says = host.read(&entry.path().join("config.json")).filter(|_| is_known);
        all.extend(says.as_deref().and_then(files::of_index));
    }
    all
}

/// Asks cargo where it goes, and where nothing is kept of that index, lets it ask there, in a folder of its own.
pub(super) fn ask(tools: &ask::Tools<'_>, settings: Option<&Path>) -> Goes {
    let asked = || {
        let project = project().ok()?;
        let index = index(tools, project.path(), settings)?;
        let kept = tools.cargo_home().join("registry/index");
        let host = index.rsplit_once(':').map_or(index.as_str(), |(host, _)| host);
        let is_kept = fs::read_dir(kept).into_iter().flatten().flatten().any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.rsplit_once('-').is_some_and(|(known, _)| known == host)
                && entry.path().join("config.json").is_file()
        });
        let files = if is_kept { None } else { files_of_index(tools, project.path(), settings) };
        Some(Goes { index: Some(index), files })
    };
    asked().unwrap_or_default()
}

/// A project that wants one crate, so that cargo looks for it.
fn project() -> std::io::Result<tempfile::TempDir> {
    let project = tempfile::Builder::new().prefix("provost-").tempdir()?;
    fs::create_dir_all(project.path().join("src"))?;
    fs::write(project.path().join("src/lib.rs"), "")?;
    let wants =
        "[package]\nname = \"asks\"\nversion = \"0.0.0\"\n[dependencies]\nitoa = \"1\"\n[workspace]\n";
    fs::write(project.path().join("Cargo.toml"), wants)?;
    Ok(project)
}

/// The words by which cargo looks for what the project wants.
fn words(project: &Path, settings: Option<&Path>) -> Vec<PathBuf> {
    let manifest = project.join("Cargo.toml");
    let mut words: Vec<PathBuf> = vec!["generate-lockfile".into(), "--manifest-path".into(), manifest];
    // Its home is another for once.
    if let Some(settings) = settings {
        words.extend(["--config".into(), settings.to_owned()]);
    }
    words
}

/// Whom it asks for first.
fn index(tools: &ask::Tools<'_>, project: &Path, settings: Option<&Path>) -> Option<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    listener.set_nonblocking(true).ok()?;
    // Whoever else is on this machine cannot answer in its stead.
    let mut chance = [0; 16];
    getrandom::fill(&mut chance).ok()?;
    let word: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    let proxy = format!("http://asks:{word}@{}", listener.local_addr().ok()?);
    let home = project.join("home");
    let variables = [
        ("CARGO_HOME", home.as_os_str()),
        ("CARGO_HTTP_PROXY", proxy.as_ref()),
        ("CARGO_NET_RETRY", "0".as_ref()),
        ("CARGO_HTTP_TIMEOUT", "2".as_ref()),
        ("NO_PROXY", "".as_ref()),
        ("no_proxy", "".as_ref()),
        ("CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "sparse".as_ref()),
    ];
    let mut child = tools.start("cargo", &words(project, settings), &variables)?;
    let until = Instant::now() + PATIENCE;
    let mut asked = None;
    while asked.is_none() && Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        match listener.accept() {
            Ok((stream, _)) => asked = wanted(stream, &word),
            Err(_) => std::thread::sleep(OFTEN),
        }
    }
    // It has said what it was asked.
    let _ = child.kill();
    let _ = child.wait();
    asked
}

/// The place that a request to a proxy names, from whoever knows the word.
fn wanted(mut stream: TcpStream, word: &str) -> Option<String> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut text = [0; 1024];
    let length = stream.read(&mut text).ok()?;
    // Whether it still hears that does not matter.
    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    let known = format!("Basic {}", STANDARD.encode(format!("asks:{word}")));
    text.contains(&known).then_some(())?;
    let place = text.strip_prefix("CONNECT ")?.split(' ').next()?;
    Place::of(&format!("https://{place}")).map(|place| place.place)
}

/// What the index says about its files, asked now.
fn files_of_index(tools: &ask::Tools<'_>, project: &Path, settings: Option<&Path>) -> Option<String> {
    let home = project.join("home");
    let variables = [("CARGO_HOME", home.as_os_str()), ("CARGO_NET_RETRY", "0".as_ref())];
    let child = tools.start("cargo", &words(project, settings), &variables)?;
    // Whether it found the crate does not matter.
    let _ = ask::ended(child);
    let listing = fs::read_dir(home.join("registry/index")).ok()?;
    listing
        .flatten()
        .find_map(|entry| files::of_index(&fs::read_to_string(entry.path().join("config.json")).ok()?))
}
