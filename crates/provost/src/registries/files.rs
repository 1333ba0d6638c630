//! Registries in the tools' own files.

use toml::{Table, Value};

/// `key = value` and `key: value`, without quotes; lines that go on are joined to the value before them.
pub(super) fn ini(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut last = "";
    text.lines().filter_map(move |line| {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';', '[']) {
            return None;
        }
        if line.starts_with([' ', '\t']) && !last.is_empty() {
            return Some((last, bare));
        }
        // A key may hold a colon (`@scope:registry`), so the sign that comes first with a blank or `=` ends it.
        let (key, value) = bare.split_once('=').or_else(|| bare.split_once(": "))?;
        last = key.trim();
        Some((last, value.trim().trim_matches(['"', '\''])))
    })
}

/// A file of TOML; one that cannot be read names nothing.
pub(super) fn toml_file(text: &str) -> Option<Table> {
    text.parse().ok()
}

/// Addresses in uv's configuration, and whether one takes the place of the usual index.
pub(super) fn uv(table: &Table) -> (Vec<String>, bool) {
    let mut all = Vec::new();
    let mut instead = false;
    for table in [Some(table), table.get("pip").and_then(Value::as_table)].into_iter().flatten() {
        if let Some(address) = text(table, "index-url") {
            all.push(address);
            instead = true;
        }
        let more = table.get("extra-index-url").and_then(Value::as_array).into_iter().flatten();
        all.extend(more.filter_map(|one| one.as_str().map(str::to_owned)));
    }
    for index in
        table.get("index").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
    {
        all.extend(text(index, "url"));
        instead |= index.get("default").and_then(Value::as_bool).unwrap_or_default();
    }
    (all, instead)
}

/// Addresses in cargo's configuration.
pub(super) fn cargo(table: &Table) -> Vec<String> {
    let tables = |name: &str| {
        let all = table.get(name).and_then(Value::as_table).into_iter().flatten();
        all.filter_map(|(_, value)| value.as_table()).collect::<Vec<_>>()
    };
    let indexes = tables("registries").into_iter().filter_map(|one| text(one, "index"));
    indexes.chain(tables("source").into_iter().filter_map(|one| text(one, "registry"))).collect()
}

/// Where an index of cargo's keeps its files.
pub(super) fn of_index(text: &str) -> Option<String> {
    let says: serde_json::Value = serde_json::from_str(text).ok()?;
    says.get("dl")?.as_str().map(str::to_owned)
}

fn text(table: &Table, key: &str) -> Option<String> {
    table.get(key)?.as_str().map(str::to_owned)
}
