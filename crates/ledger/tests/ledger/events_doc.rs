//! Promise: `docs/events.md` is the schema. It is generated from the source, must equal what is generated, and what it says
//! is held against the types themselves: an event made of nothing but the page reads as an event and comes back the same.
//!
//! `PROVOST_WRITE_DOCS=1 cargo test -p ledger events_doc` writes the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use ledger::Event;
use serde_json::{Map, Value, json};

const SOURCES: [&str; 8] = [
    include_str!("../../src/event.rs"),
    include_str!("../../src/event/run.rs"),
    include_str!("../../src/event/line.rs"),
    include_str!("../../src/event/inside.rs"),
    include_str!("../../src/event/network.rs"),
    include_str!("../../src/event/workspace.rs"),
    include_str!("../../src/event/git.rs"),
    include_str!("../../src/action.rs"),
];
const REGISTER: &str = include_str!("../../src/register.rs");

const HEAD: &str = "\
# Events

<!-- Generated from crates/ledger/src/event.rs and what is beside it; a test holds this page to it. Do not edit. -->

A run's ledger is a list of events, `runs/<run>/ledger/00000001.seg` and on. Each event is a leaf of the run's Merkle tree and is
one line of JSON of at most 65,535 bytes. `provost ledger tail --format json` prints them as they are.

* **Text of the operating system** (paths, arguments, values) may hold any bytes. It is written as it is, but for three
  escapes: `\\\\` is a backslash, `\\xNN` (lower case) a byte that is no part of valid UTF-8, and `\\+BYTES:SHA256`, only at the
  end, stands for that many bytes left out because they were too long, by their digest. Where such an end closes a list, it
  stands for the rest of the list, every word followed by a NUL. One text has one spelling.
* **Other text** is cut in the same way only where an event would not fit otherwise; then `cut` is true.
* A **list** too long for one event (`opened`, `exited`, `connected`, `change.staged`, `change.direct`, `environment.recorded`,
  `policy.loaded`) goes on in the next.
* An event that still does not fit gives its place to a `limit.reached` with its type, size and digest.
* Members marked *optional* are left out where there is nothing to say. Readers ignore members they do not know.
* No secret is written: credentials by name, requests without their query, the environment without values that are or may be
  secret. Arguments are written as the kernel took them.
";

#[derive(Debug, Clone)]
struct Field {
    name: String,
    kind: String,
    doc: String,
    optional: bool,
}

#[derive(Debug, Clone)]
enum Item {
    Struct(Vec<Field>),
    /// Words, with what they mean.
    Words(Vec<(String, String)>),
    /// An enum told apart by a member: tag, and per variant its name, meaning and members.
    Tagged(String, Vec<(String, String, Vec<Field>)>),
}

#[derive(Debug, Default)]
struct Schema {
    items: BTreeMap<String, (String, Item)>,
    order: Vec<String>,
}

/// What stands above an item: its documentation and its attributes.
#[derive(Default)]
struct Above {
    doc: String,
    attributes: String,
}

impl Above {
    /// Takes the line in, if it stands above something.
    fn take(&mut self, line: &str) -> bool {
        if let Some(text) = line.strip_prefix("///") {
            let blank = if self.doc.is_empty() { "" } else { " " };
            self.doc = format!("{}{blank}{}", self.doc, text.trim()).trim().to_owned();
        } else if line.starts_with("#[") {
            self.attributes.push_str(line);
        } else {
            return false;
        }
        true
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let rest = self.attributes.split_once(&format!("{name} = \""))?.1;
        rest.split('"').next()
    }

    fn field(&self, line: &str) -> Option<Field> {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        let (name, kind) = line.strip_suffix(',')?.split_once(": ")?;
        let optional = self.attributes.contains("skip_serializing_if");
        let flat = self.attributes.contains("flatten");
        (!flat).then(|| Field { name: name.into(), kind: kind.into(), doc: self.doc.clone(), optional })
    }
}

impl Schema {
    /// Reads the structs and enums of a source: plain Rust as rustfmt leaves it.
    fn read(&mut self, source: &str) {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let mut lines = source.lines().map(str::trim_end);
        let mut above = Above::default();
        while let Some(line) = lines.next() {
            if above.take(line) {
                continue;
            }
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
            let above = std::mem::take(&mut above);
            let (name, item) = if let Some(name) =
                line.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {"))
            {
                (name, Item::Struct(fields(&mut lines, "}")))
            } else if let Some(name) = line.strip_prefix("enum ").and_then(|rest| rest.strip_suffix(" {")) {
                (name, variants(&above, &mut lines))
            } else {
                continue;
            };
            if above.attributes.contains("Serialize") {
                self.order.push(name.to_owned());
                self.items.insert(name.to_owned(), (above.doc, item));
            }
        }
    }

    fn fields_of(&self, name: &str) -> &[Field] {
        match &self.items[name].1 {
            Item::Struct(fields) => fields,
            other => panic!("{name} is {other:?}"),
        }
    }
}

fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Vec<Field> {
    let (mut fields, mut above) = (Vec::new(), Above::default());
    for line in lines.by_ref().map(str::trim).take_while(|line| *line != end) {
        if !above.take(line) {
            fields.extend(std::mem::take(&mut above).field(line));
        }
    }
    fields
}

fn variants<'a>(of: &Above, lines: &mut impl Iterator<Item = &'a str>) -> Item {
    let lowercase = of.attribute("rename_all") == Some("lowercase");
    let (mut variants, mut above) = (Vec::new(), Above::default());
    while let Some(line) = lines.next().map(str::trim).filter(|line| *line != "}") {
        if above.take(line) {
            continue;
        }
        let above = std::mem::take(&mut above);
        let name = line.split(['(', ' ', ',']).next().unwrap();
        let spelled = match above.attribute("rename") {
            Some(renamed) => renamed.to_owned(),
            None if lowercase => name.to_lowercase(),
            None => name.to_owned(),
        };
        let members = if line.ends_with('{') {
            fields(lines, "},")
        } else if let Some((_, held)) = line.split_once('(') {
            let held = held.trim_end_matches([')', ',']).trim_start_matches("Box<").trim_end_matches('>');
            vec![Field { name: "..".into(), kind: held.into(), doc: String::new(), optional: false }]
        } else {
            Vec::new()
        };
        variants.push((spelled, above.doc, members));
    }
    match of.attribute("tag") {
        Some(tag) => Item::Tagged(tag.to_owned(), variants),
        None => Item::Words(variants.into_iter().map(|(name, doc, _)| (name, doc)).collect()),
    }
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    SOURCES.iter().for_each(|source| schema.read(source));
    schema
}

// --- the page ---

fn shown(kind: &str, schema: &Schema) -> String {
    let inner = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = inner("Option<") {
        return shown(inner, schema);
    }
    if let Some(inner) = inner("Vec<") {
        return format!("list of {}", shown(inner, schema));
    }
    if let Some(inner) = inner("BTreeMap<String, ") {
        return format!("object of {}", shown(inner, schema));
    }
    match kind {
        "String" => "text".into(),
        "OsText" => "OS text".into(),
        "bool" => "true or false".into(),
        "u8" | "u16" | "u32" | "u64" | "i32" => "integer".into(),
        "serde_json::Value" => "JSON".into(),
        "ActionRecord" => "[action](#actions)".into(),
        named => match &schema.items[named].1 {
            Item::Words(words) => {
                words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            _ => format!("[{named}](#{})", named.to_lowercase()),
        },
    }
}

fn table(page: &mut String, fields: &[Field], schema: &Schema) {
    if fields.is_empty() {
        return;
    }
    page.push_str("\n| member | type | |\n|---|---|---|\n");
    for Field { name, kind, doc, optional } in fields {
        let optional = if *optional { ", *optional*" } else { "" };
        writeln!(page, "| `{name}` | {}{optional} | {doc} |", shown(kind, schema)).unwrap();
    }
}

fn page() -> String {
    let schema = schema();
    let mut page = HEAD.to_owned();
    page.push_str("\n## Every event\n");
    table(&mut page, schema.fields_of("Event"), &schema);
    page.push_str("\nand the members of its type, beside these.\n\n`trust` in rising order:\n\n");
    let Item::Words(trusts) = &schema.items["Trust"].1 else { panic!("trust") };
    trusts.iter().for_each(|(word, doc)| writeln!(page, "* `{word}`: {doc}").unwrap());
    page.push_str("\n## Types\n");
    let Item::Tagged(_, bodies) = &schema.items["Body"].1 else { panic!("bodies") };
    let mut told = vec!["Event".to_owned(), "Trust".to_owned(), "Body".to_owned(), "ActionRecord".to_owned()];
    for (name, doc, members) in bodies {
        let (more, _) = &schema.items[&members[0].kind];
        let more = more.split_once(": ").filter(|_| more.starts_with("Body of")).map_or("", |(_, more)| more);
        let more = if more.is_empty() { String::new() } else { format!(" Here: {more}") };
        writeln!(page, "\n### `{name}`\n\n{doc}{more}").unwrap();
        table(&mut page, schema.fields_of(&members[0].kind), &schema);
        told.push(members[0].kind.clone());
    }
    page.push_str("\n## Parts\n");
    for name in schema.order.iter().filter(|name| !told.contains(name)) {
        let (doc, item) = &schema.items[name];
        match item {
            Item::Struct(fields) => {
                writeln!(page, "\n### {name}\n\n{doc}").unwrap();
                table(&mut page, fields, &schema);
            }
            Item::Words(words) => {
                writeln!(page, "\n### {name}\n\n{doc}\n").unwrap();
                words.iter().for_each(|(word, doc)| writeln!(page, "* `{word}`: {doc}").unwrap());
            }
            Item::Tagged(..) => panic!("{name} is not told"),
        }
    }
    actions(&mut page, &schema);
    register(&mut page);
    page
}

fn actions(page: &mut String, schema: &Schema) {
    let (doc, Item::Tagged(tag, kinds)) = &schema.items["ActionRecord"] else { panic!("actions") };
    writeln!(page, "\n## Actions\n\n{doc}\n\n| `{tag}` | members | |\n|---|---|---|").unwrap();
    for (kind, doc, members) in kinds {
        let members: Vec<String> = members
            .iter()
            .map(|member| match member.name.as_str() {
                ".." => format!("those of {}", shown(&member.kind, schema)),
                name => format!("`{name}` {}", shown(&member.kind, schema)),
            })
            .collect();
        writeln!(page, "| `{kind}` | {} | {doc} |", members.join(", ")).unwrap();
    }
    page.push_str("\n`digest` in `decision` and `exec` is the SHA-256 of exactly this JSON.\n");
}

fn register(page: &mut String) {
    let mut schema = Schema::default();
    schema.read(REGISTER);
    page.push_str(
        "\n## The register\n\nThe host's own ledger, `register/00000001.seg` and on: what runs there were, by which keys, and how each \
         ended. Its\ncheckpoints are signed by the host's key.\n",
    );
    table(page, schema.fields_of("Line"), &schema);
    let Item::Tagged(_, entries) = &schema.items["Entry"].1 else { panic!("entries") };
    for (name, doc, members) in entries {
        writeln!(page, "\n### `{name}`\n\n{doc}").unwrap();
        table(page, members, &schema);
    }
}

#[test]
fn the_page_is_what_the_source_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let page = page();
    if std::env::var_os("PROVOST_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap();
    assert!(there == page, "docs/events.md is not what the source says: write it with PROVOST_WRITE_DOCS=1");
}

// --- the page held against the types ---

fn sample(kind: &str, schema: &Schema, all: bool) -> Value {
    let inner = |prefix: &str| kind.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('>'));
    if let Some(inner) = inner("Option<") {
        return sample(inner, schema, all);
    }
    if let Some(inner) = inner("Vec<") {
        return json!([sample(inner, schema, all)]);
    }
    if let Some(inner) = inner("BTreeMap<String, ") {
        return json!({ "name": sample(inner, schema, all) });
    }
    match kind {
        "String" | "OsText" => json!("a\\\\b"),
        "bool" => json!(true),
        "u8" | "u16" | "u32" | "u64" | "i32" => json!(1),
        "serde_json::Value" => json!({ "any": ["thing"] }),
        named => match &schema.items[named].1 {
            Item::Words(words) => json!(words[0].0),
            Item::Struct(fields) => Value::Object(sample_members(fields, schema, all)),
            Item::Tagged(tag, variants) => sample_variant(tag, &variants[0], schema, all),
        },
    }
}

fn sample_members(fields: &[Field], schema: &Schema, all: bool) -> Map<String, Value> {
    let kept = fields.iter().filter(|field| all || !field.optional);
    kept.map(|field| (field.name.clone(), sample(&field.kind, schema, all))).collect()
}

fn sample_variant(tag: &str, variant: &(String, String, Vec<Field>), schema: &Schema, all: bool) -> Value {
    let (name, _, members) = variant;
    let mut sampled = Map::from_iter([(tag.to_owned(), json!(name))]);
    match &members[..] {
        [held] if held.name == ".." => {
            sampled.extend(sample_members(schema.fields_of(&held.kind), schema, all))
        }
        members => sampled.extend(sample_members(members, schema, all)),
    }
    Value::Object(sampled)
}

#[test]
fn what_the_page_says_reads_as_events_and_comes_back() {
    let schema = schema();
    let Item::Tagged(tag, bodies) = &schema.items["Body"].1 else { panic!("bodies") };
    assert!(bodies.len() > 20);
    for all in [true, false] {
        for body in bodies {
            let mut event = sample_members(schema.fields_of("Event"), &schema, all);
            let Value::Object(members) = sample_variant(tag, body, &schema, all) else { panic!("no object") };
            event.extend(members);
            let written = Value::Object(event);
            let read = Event::read(written.to_string().as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}\n{written}", body.0));
            assert_eq!(serde_json::to_value(&read).unwrap(), written);
        }
    }
}

#[test]
fn what_the_page_says_of_actions_and_words_is_so() {
    let schema = schema();
    let Item::Tagged(tag, kinds) = &schema.items["ActionRecord"].1 else { panic!("actions") };
    assert_eq!(kinds.len(), 10);
    for kind in kinds {
        let written = sample_variant(tag, kind, &schema, true);
        let read: ledger::action::ActionRecord = serde_json::from_value(written.clone()).unwrap();
        assert_eq!((serde_json::to_value(&read).unwrap(), read.kind()), (written, kind.0.as_str()));
    }
    fn words<T: serde::de::DeserializeOwned + serde::Serialize>(schema: &Schema, name: &str) {
        let Item::Words(words) = &schema.items[name].1 else { panic!("{name}") };
        for (word, doc) in words {
            let read: T = serde_json::from_value(json!(word)).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap(), json!(word));
            assert!(!doc.is_empty());
        }
    }
    use ledger::event::*;
    words::<Trust>(&schema, "Trust");
    words::<Verdict>(&schema, "Verdict");
    words::<Mode>(&schema, "Mode");
    words::<Evidence>(&schema, "Evidence");
    words::<Passed>(&schema, "Passed");
    words::<Answered>(&schema, "Answered");
    words::<GrantScope>(&schema, "GrantScope");
    words::<GrantOver>(&schema, "GrantOver");
    words::<Access>(&schema, "Access");
    words::<NameAct>(&schema, "NameAct");
    words::<Reach>(&schema, "Reach");
    words::<Ingress>(&schema, "Ingress");
    words::<Change>(&schema, "Change");
    words::<Risk>(&schema, "Risk");
    words::<Manner>(&schema, "Manner");
    words::<MovedBy>(&schema, "MovedBy");
    words::<OutcomeResult>(&schema, "OutcomeResult");
    let counted = schema.items.values().filter(|(_, item)| matches!(item, Item::Words(_))).count();
    assert_eq!(counted, 17, "a list of words that is not held against its type");
}
