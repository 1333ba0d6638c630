//! Codex: its settings without secrets, its own sandbox off because ours is on, its side traffic silenced.
//!
//! Measured with 0.169: `codex exec` takes a key from `CODEX_API_KEY` and not from `OPENAI_API_KEY`; with its sandbox
//! bypassed it runs outside a git repository; `features.plugins`, `features.apps` and `analytics.enabled` account for
//! every connection that is not the model's; `features.daemon_auto_start` would leave a server behind that copies the
//! whole program into the home; `features.enable_request_compression` compresses what is asked where a person is logged in, which
//! the gateway could not read.

use super::endpoint::{self, Endpoint};
use super::launcher::{self, Names};
use super::program;
use super::settings;
use super::{Agent, AgentError, Host, Outfit};
use crate::logins::Found;
use crate::secrets::{Credentials, Shape, Wanted};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

mod config;
mod login;
mod words;

use config::Config;

const NAMES: Names = Names { program: "codex", package: "@openai/codex", scripts: &[("codex.js", "codex")] };
const INSTALL: &str = "install it with: npm install -g @openai/codex";
/// Where Codex looks for its things inside.
const HOME: &str = ".codex";

/// The adapter for Codex.
#[derive(Clone, Copy, Debug)]
pub struct Codex;

impl Agent for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn recognises(&self, argv: &[OsString]) -> bool {
        launcher::lead(argv, NAMES).is_some()
    }

    fn wants(&self, host: &Host<'_>) -> Result<Vec<Wanted>, AgentError> {
        let model = Model::of(&read(host)?, host)?;
        let endpoints = vec![model.endpoint.to_string()];
        let exchangeable = model.endpoint.is_covered();
        let wanted = |name: &str, enters_as: &str, shape| Wanted {
            name: name.to_owned(),
            enters_as: enters_as.to_owned(),
            shape,
            endpoints: endpoints.clone(),
            exchangeable,
        };
        let mut all: Vec<Wanted> =
            model.variables.iter().map(|name| wanted(name, name, Shape::OpenAi)).collect();
        if model.takes_openai_key {
            // The first that is set is taken: Codex itself reads only the first, people mostly have the second.
            // Where Codex is logged in, it heeds only its own.
            let known =
                if model.logged_in { &["CODEX_API_KEY"][..] } else { &["CODEX_API_KEY", "OPENAI_API_KEY"] };
            let set = known.iter().copied().find(|name| host.environment.get(name).is_some());
            all.push(wanted(set.unwrap_or("CODEX_API_KEY"), "CODEX_API_KEY", Shape::OpenAi));
        }
        Ok(all)
    }

    fn login(&self, host: &Host<'_>) -> Result<Option<Found>, AgentError> {
        let config = read(host)?;
        let model = Model::of(&config, host)?;
        let account = config.text(&["chatgpt_base_url"]);
        let account = account.as_deref().unwrap_or(login::ACCOUNT);
        Ok(model.uses_login.then(|| login::found(host, &codex_home(host), &model.address, account)))
    }

    fn outfit(&self, host: &Host<'_>, credentials: &Credentials) -> Result<Outfit, AgentError> {
        let lead = launcher::lead(host.argv, NAMES).unwrap_or(1);
        let found = program::find_agent(host, lead, INSTALL)?;
        let folder = codex_home(host);
        let config = read(host)?;
        let model = Model::of(&config, host)?;
        let (argv, mut notes) = words::with_sandbox_off(host.argv, lead);
        let mut files =
            vec![(Path::new(HOME).join("config.toml"), config.private(host.environment)?.into_bytes())];
        for name in ["AGENTS.md", "AGENTS.override.md"] {
            files.extend(settings::instructions(&folder.join(name), &format!("{HOME}/{name}"))?);
        }
        if let Some(profile) = words::profile(host.argv, lead) {
            let name = format!("{profile}.config.toml");
            if let Some(text) = settings::text(&folder.join(&name))? {
                let profile = Config::parse(&folder.join(&name), &text)?;
                files.push((Path::new(HOME).join(name), profile.subset(host.environment)?.into_bytes()));
            }
        }
        notes.extend(config.notes());
        notes.extend(login_note(&model, credentials));
        notes.extend(exchange_note(&model, credentials));
        let mut environment = credentials.environment();
        environment.extend(login::refreshed_elsewhere(host));
        environment.push(("CODEX_HOME".to_owned(), host.environment.home.join(HOME).display().to_string()));
        Ok(Outfit {
            program: found.path,
            argv,
            version: found.version,
            environment,
            files,
            shown: found.shown,
            layer: endpoint::layer("codex", &[model.endpoint]),
            notes,
        })
    }
}

fn codex_home(host: &Host<'_>) -> PathBuf {
    settings::folder(host.environment.get("CODEX_HOME"), &host.environment.home, HOME)
}

/// The settings that hold for this command: the file, under what its words override.
fn read(host: &Host<'_>) -> Result<Config, AgentError> {
    let folder = codex_home(host);
    let path = folder.join("config.toml");
    let mut config = Config::parse(&path, &settings::text(&path)?.unwrap_or_default())?;
    let lead = launcher::lead(host.argv, NAMES).unwrap_or(1);
    if let Some(profile) = words::profile(host.argv, lead) {
        let path = folder.join(format!("{profile}.config.toml"));
        if let Some(text) = settings::text(&path)? {
            config.lay_over(Config::parse(&path, &text)?);
        }
    }
    config.overrides = words::overrides(host.argv, lead);
    Ok(config)
}

/// The model that a command talks to.
struct Model {
    endpoint: Endpoint,
    /// As the settings have it.
    address: String,
    /// Whether the person is logged in.
    logged_in: bool,
    /// Whether this command uses that.
    uses_login: bool,
    /// Variables that hold its key.
    variables: Vec<String>,
    takes_openai_key: bool,
}

impl Model {
    fn of(config: &Config, host: &Host<'_>) -> Result<Self, AgentError> {
        let lead = launcher::lead(host.argv, NAMES).unwrap_or(1);
        let local = words::local_provider(host.argv, lead)
            .map(|named| named.or_else(|| config.text(&["oss_provider"])));
        let provider = match local {
            Some(named) => named.unwrap_or_else(|| "ollama".to_owned()),
            None => config.text(&["model_provider"]).unwrap_or_else(|| "openai".to_owned()),
        };
        let own = |key: &str| config.text(&["model_providers", &provider, key]);
        let asks = config.truth(&["model_providers", &provider, "requires_openai_auth"]);
        let takes_openai_key = asks || (provider == "openai" && own("env_key").is_none());
        let logged_in = takes_openai_key && login::is_there(&codex_home(host))?;
        let uses_login = logged_in && host.environment.get("CODEX_API_KEY").is_none();
        let usual = match provider.as_str() {
            "openai" => {
                let usual = if uses_login { login::MODEL } else { "https://api.openai.com/v1" };
                config.text(&["openai_base_url"]).unwrap_or_else(|| usual.to_owned())
            }
            "ollama" => "http://localhost:11434/v1".to_owned(),
            "lmstudio" => "http://localhost:1234/v1".to_owned(),
            _ => String::new(),
        };
        let variables = own("env_key").into_iter().chain(config.header_variables(&provider)).collect();
        let address = own("base_url").unwrap_or(usual);
        let endpoint = Endpoint::of(&address)?;
        Ok(Self { endpoint, address, logged_in, uses_login, variables, takes_openai_key })
    }
}

/// What a person should know whose agent has no key and no login.
fn login_note(model: &Model, credentials: &Credentials) -> Option<String> {
    let has = !model.takes_openai_key || model.uses_login || credentials.iter().next().is_some();
    (!has).then(|| {
        "Codex has no key: log in with `codex login`, or set CODEX_API_KEY or OPENAI_API_KEY.".to_owned()
    })
}

/// What a person whose placeholder cannot be exchanged should know.
fn exchange_note(model: &Model, credentials: &Credentials) -> Option<String> {
    let stuck = credentials
        .iter()
        .find(|one| one.how == crate::secrets::How::Placeholder && one.endpoints.is_empty())?;
    Some(format!(
        "`{}` enters as a placeholder, which {} will refuse: to use the real one, --pass-credential {}",
        stuck.name, model.endpoint, stuck.name
    ))
}
