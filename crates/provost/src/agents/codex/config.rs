//! Codex's settings file: what of it goes inside, and what is set there whatever the person's says.

use crate::agents::AgentError;
use crate::agents::settings;
use crate::toolchains::Environment;
use std::path::Path;
use toml::{Table, Value};

/// Settings of one word that change how Codex works and nothing else.
const KEPT: [&str; 25] = [
    "model",
    "model_provider",
    "review_model",
    "oss_provider",
    "openai_base_url",
    "chatgpt_base_url",
    "model_reasoning_effort",
    "model_reasoning_summary",
    "model_verbosity",
    "model_context_window",
    "model_max_output_tokens",
    "model_auto_compact_token_limit",
    "model_supports_reasoning_summaries",
    "plan_mode_reasoning_effort",
    "personality",
    "service_tier",
    "hide_agent_reasoning",
    "show_raw_agent_reasoning",
    "project_doc_max_bytes",
    "project_doc_fallback_filenames",
    "tool_output_token_limit",
    "disable_paste_burst",
    "profile",
    "compact_prompt",
    "developer_instructions",
];

/// Settings of a provider of models. Left out are headers and tokens, which hold secrets, and commands.
const PROVIDER: [&str; 13] = [
    "name",
    "base_url",
    "wire_api",
    "env_key",
    "env_key_instructions",
    "query_params",
    "env_http_headers",
    "request_max_retries",
    "stream_max_retries",
    "stream_idle_timeout_ms",
    "websocket_connect_timeout_ms",
    "supports_websockets",
    "requires_openai_auth",
];

/// A provider's setting that names variables by the headers they go into: it sounds like secrets and holds none.
const NAMES_VARIABLES: &str = "env_http_headers";

/// Tables about what was shown and how it looks; only their plain values.
const PLAIN_TABLES: [&str; 2] = ["notice", "tui"];

/// A settings file, and what a command overrides in it.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    table: Table,
    pub(super) overrides: Vec<(Vec<String>, Value)>,
}

impl Config {
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, AgentError> {
        let table = text.parse().map_err(|error: toml::de::Error| AgentError::Settings {
            path: path.display().to_string(),
            because: error.message().to_owned(),
        })?;
        Ok(Self { table, overrides: Vec::new() })
    }

    /// Settings that win over these, key by key.
    pub(super) fn lay_over(&mut self, upper: Self) {
        merge(&mut self.table, upper.table);
    }

    fn value(&self, key: &[&str]) -> Option<&Value> {
        let overridden = self.overrides.iter().rev().find(|(name, _)| name.iter().eq(key.iter()));
        if let Some((_, value)) = overridden {
            return Some(value);
        }
        let (last, path) = key.split_last()?;
        let folder = path.iter().try_fold(&self.table, |table, part| table.get(*part)?.as_table())?;
        folder.get(*last)
    }

    pub(super) fn text(&self, key: &[&str]) -> Option<String> {
        self.value(key)?.as_str().map(str::to_owned)
    }

    pub(super) fn truth(&self, key: &[&str]) -> bool {
        self.value(key).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Variables that a provider sends as headers.
    pub(super) fn header_variables(&self, provider: &str) -> Vec<String> {
        let headers =
            self.value(&["model_providers", provider, "env_http_headers"]).and_then(Value::as_table);
        headers
            .into_iter()
            .flat_map(Table::values)
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// What the inside gets: the harmless part, and what holds there in any case.
    pub(super) fn private(&self, environment: &Environment) -> Result<String, AgentError> {
        let mut table = self.harmless(environment);
        for (key, value) in
            [("approval_policy", "never"), ("sandbox_mode", "danger-full-access"), ("web_search", "disabled")]
        {
            table.insert(key.to_owned(), Value::from(value));
        }
        table.insert("cli_auth_credentials_store".to_owned(), Value::from("file"));
        table.insert("check_for_update_on_startup".to_owned(), Value::from(false));
        let off = |names: &[&str]| {
            names.iter().map(|name| ((*name).to_owned(), Value::from(false))).collect::<Table>()
        };
        table.insert("analytics".to_owned(), off(&["enabled"]).into());
        let mut features =
            self.table.get("features").and_then(Value::as_table).map(plain).unwrap_or_default();
        features.extend(off(&["plugins", "apps", "daemon_auto_start", "enable_request_compression"]));
        table.insert("features".to_owned(), features.into());
        written(&table)
    }

    /// The harmless part alone, for a file that is laid over another.
    pub(super) fn subset(&self, environment: &Environment) -> Result<String, AgentError> {
        written(&self.harmless(environment))
    }

    fn harmless(&self, environment: &Environment) -> Table {
        let mut kept = only(&self.table, &KEPT);
        for name in PLAIN_TABLES {
            if let Some(table) = self.table.get(name).and_then(Value::as_table) {
                kept.insert(name.to_owned(), plain(table).into());
            }
        }
        let providers =
            tables(&self.table, "model_providers").map(|(name, table)| (name, only(table, &PROVIDER).into()));
        insert_table(&mut kept, "model_providers", providers.collect());
        let profiles = tables(&self.table, "profiles").map(|(name, table)| (name, only(table, &KEPT).into()));
        insert_table(&mut kept, "profiles", profiles.collect());
        insert_table(&mut kept, "projects", self.trusted(environment));
        kept
    }

    /// Whether to trust the folder is the person's decision; where they made it on the host it holds inside.
    fn trusted(&self, environment: &Environment) -> Table {
        let real =
            std::fs::canonicalize(&environment.workspace).unwrap_or_else(|_| environment.workspace.clone());
        let same = |name: &str| Path::new(name) == environment.workspace || Path::new(name) == real;
        let told = tables(&self.table, "projects").filter(|(name, _)| same(name));
        told.map(|(name, table)| (name, only(table, &["trust_level"]).into())).collect()
    }

    /// What of the person's settings does not go inside, for them to know.
    pub(super) fn notes(&self) -> Vec<String> {
        let servers = tables(&self.table, "mcp_servers").count();
        let mut notes = Vec::new();
        if servers > 0 {
            notes.push(format!("{servers} MCP server(s) of your Codex settings stay outside."));
        }
        if ["hooks", "notify"].iter().any(|name| self.table.contains_key(*name)) {
            notes.push("The hooks of your Codex settings stay outside.".to_owned());
        }
        notes
    }
}

fn tables<'a>(table: &'a Table, name: &str) -> impl Iterator<Item = (String, &'a Table)> {
    let inner = table.get(name).and_then(Value::as_table).into_iter().flatten();
    inner.filter_map(|(name, value)| Some((name.clone(), value.as_table()?)))
}

fn insert_table(into: &mut Table, name: &str, table: Table) {
    if !table.is_empty() {
        into.insert(name.to_owned(), table.into());
    }
}

/// The named entries, without values that look like secrets.
fn only(table: &Table, names: &[&str]) -> Table {
    let named = table.iter().filter(|(name, _)| names.contains(&name.as_str()));
    named
        .filter_map(|(name, value)| {
            Some((name.clone(), if name == NAMES_VARIABLES { value.clone() } else { harmless(value)? }))
        })
        .collect()
}

/// Plain entries and tables of plain entries, without what looks like a secret.
fn plain(table: &Table) -> Table {
    table.iter().filter_map(|(name, value)| Some((name.clone(), harmless(value)?))).collect()
}

fn harmless(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => settings::is_harmless("", text).then(|| value.clone()),
        Value::Array(items) => items.iter().all(|item| harmless(item).is_some()).then(|| value.clone()),
        Value::Table(table) => {
            let known = |(name, text): &(&String, &Value)| {
                text.as_str().is_none_or(|text| settings::is_harmless(name, text))
            };
            let entries = table.iter().filter(known);
            Some(Value::Table(
                entries.filter(|(_, value)| !value.is_table()).map(|(k, v)| (k.clone(), v.clone())).collect(),
            ))
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Some(value.clone()),
    }
}

fn merge(lower: &mut Table, upper: Table) {
    for (name, value) in upper {
        match (lower.get_mut(&name), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => merge(lower, upper),
            (_, value) => drop(lower.insert(name, value)),
        }
    }
}

fn written(table: &Table) -> Result<String, AgentError> {
    toml::to_string(table)
        .map_err(|error| AgentError::Settings { path: "config.toml".to_owned(), because: error.to_string() })
}
