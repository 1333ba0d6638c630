//! Which of an agent's tools does what the script wants, and in which words.

use super::script::Call;
use serde_json::{Value, json};

/// A call as an agent understands it.
pub(super) struct Named {
    pub(super) tool: &'static str,
    pub(super) input: Input,
}

/// What a tool is called with.
pub(super) enum Input {
    /// An object by its schema.
    Object(Value),
    /// Text without a schema (Codex: a custom tool).
    Text(String),
}

/// A tool on offer.
pub(super) struct Offer<'a> {
    pub(super) name: &'a str,
    /// Whether it takes text without a schema.
    pub(super) custom: bool,
}

/// The call in the words of one of the tools on offer, or which tool was missed.
pub(super) fn named(call: &Call, offers: &[Offer<'_>]) -> Result<Named, String> {
    let has = |name: &str| offers.iter().any(|offer| offer.name == name);
    let object = |tool, input| Ok(Named { tool, input: Input::Object(input) });
    match call {
        Call::Shell(line) if has("exec_command") => object("exec_command", json!({"cmd": line})),
        Call::Shell(line) if has("Bash") => {
            object("Bash", json!({"command": line, "description": "as told"}))
        }
        Call::Read(path) if has("Read") => object("Read", json!({"file_path": path})),
        Call::Read(path) if has("exec_command") => {
            named(&Call::Shell(format!("cat {}", quoted(path))), offers)
        }
        Call::Write { path, content } if has("Write") => {
            object("Write", json!({"file_path": path, "content": content}))
        }
        Call::Write { path, content } if has("apply_patch") => {
            named(&Call::Patch(adding(path, content)), offers)
        }
        Call::Patch(patch) if offers.iter().any(|offer| offer.name == "apply_patch" && offer.custom) => {
            Ok(Named { tool: "apply_patch", input: Input::Text(patch.clone()) })
        }
        Call::Patch(patch) if has("apply_patch") => object("apply_patch", json!({"input": patch})),
        call => Err(format!("no tool on offer does {call:?}")),
    }
}

/// One word for a shell, whatever is in it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn adding(path: &str, content: &str) -> String {
    let lines: String = content.lines().map(|line| format!("+{line}\n")).collect();
    format!("*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch\n")
}
