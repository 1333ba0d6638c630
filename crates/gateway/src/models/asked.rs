//! What is asked of a model: which model, and which of the provider's own tools.
//!
//! Owns telling tools that the agent runs from those that the provider runs, which reach the world from the provider's
//! side, past every rule on connections. Does not own whether they may (`judge`).

use super::api::Api;
use super::strict;
use serde_json::Value;
use std::collections::BTreeSet;

/// Tools that the agent runs itself, or that stay within the model, by API; without their date.
const OWN_OPENAI: [&str; 10] = [
    "function",
    "custom",
    "local_shell",
    "apply_patch",
    "computer",
    "computer_use",
    "computer_use_preview",
    "tool_search",
    "image_generation",
    "file_search",
];
const OWN_ANTHROPIC: [&str; 7] =
    ["custom", "bash", "text_editor", "computer", "memory", "tool_search_tool_regex", "tool_search_tool_bm"];
const OWN_GOOGLE: [&str; 2] = ["function_declarations", "computer_use"];
/// Bytes of text that become one token at the most, by and large.
const MOST_BYTES: u64 = 8;
/// A word of more bytes is no word.
const DATA: usize = 1024;
/// How deep namespaces of tools may lie in each other.
const DEEPEST: usize = 8;

/// A question to a model, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The model by name; empty where the path names it.
    pub(crate) model: String,
    /// The most output that is wanted, in tokens.
    pub(crate) most_output: Option<u64>,
    /// Whether it is a question: the other messages of a WebSocket are none.
    pub(crate) begins: bool,
    /// The tokens that its text comes to at the least.
    pub(crate) least_input: u64,
    /// The provider's own tools that it may use, as policy writes them: `openai/web_search`.
    pub(crate) tools: BTreeSet<String>,
}

/// Why a question cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the question to the model cannot be read: {0}")]
pub(crate) struct Unreadable(String);

impl Asked {
    /// Reads a request's body, or a frame that stands for one.
    pub(crate) fn read(api: Api, body: &[u8]) -> Result<Asked, Unreadable> {
        let body = strict::read(body).map_err(|error| Unreadable(error.to_string()))?;
        if !body.is_object() {
            return Err(Unreadable("it is no object".to_owned()));
        }
        let mut found = Found { api, tools: BTreeSet::new() };
        match api {
            Api::Responses => {
                found.responses(&body);
                // Some clients wrap it up in a message.
                body.get("response").into_iter().for_each(|inner| found.responses(inner));
            }
            Api::Chat => found.chat(&body),
            Api::Messages => found.messages(&body),
            Api::Gemini => found.gemini(&body),
        }
        let limits = ["max_output_tokens", "max_completion_tokens", "max_tokens"];
        let most = limits.iter().find_map(|name| body.get(name)?.as_u64());
        let inner = || body.get("generationConfig")?.get("maxOutputTokens")?.as_u64();
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let begins = matches!(kind(&body), "" | "response.create");
        let least_input = letters(&body) / MOST_BYTES;
        Ok(Asked { model, most_output: most.or_else(inner), begins, least_input, tools: found.tools })
    }
}

/// What was found so far.
struct Found {
    api: Api,
    tools: BTreeSet<String>,
}

impl Found {
    fn add(&mut self, name: &str) {
        let plain: String =
            name.chars().take(64).filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let plain = if plain.is_empty() { "unnamed".to_owned() } else { plain };
        self.tools.insert(format!("{}/{plain}", self.api.provider()));
    }

    fn url(&mut self, address: Option<&Value>) {
        // What is not text is not known to be harmless.
        let is_own = address.and_then(Value::as_str).is_some_and(|text| text.starts_with("data:"));
        if !address.is_none_or(Value::is_null) && !is_own {
            self.add("url_input");
        }
    }

    fn responses(&mut self, body: &Value) {
        self.openai_tools(body.get("tools"), 0);
        if body.get("prompt").is_some_and(|prompt| !prompt.is_null()) {
            // A prompt that is kept with the provider brings tools of its own.
            self.add("stored_prompt");
        }
        for item in list(body.get("input")) {
            let is_output = kind(item).ends_with("_output");
            let parts =
                list(item.get("content")).iter().chain(list(item.get("output")).iter().filter(|_| is_output));
            for part in parts {
                self.url(part.get("image_url"));
                self.url(part.get("file_url"));
            }
        }
    }

    fn openai_tools(&mut self, tools: Option<&Value>, depth: usize) {
        for tool in list(tools) {
            let kind = undated(kind(tool));
            if kind == "namespace" && depth < DEEPEST {
                self.openai_tools(tool.get("tools"), depth + 1);
                continue;
            }
            let is_local = |tool: &Value| {
                tool.get("environment").is_none_or(|place| place.is_null() || self::kind(place) == "local")
            };
            match kind.as_str() {
                "shell" if is_local(tool) => {}
                "shell" => self.add("code_interpreter"),
                known if OWN_OPENAI.contains(&known) => {}
                other => {
                    let name = other.strip_suffix("_preview").unwrap_or(other);
                    self.add(name);
                }
            }
        }
    }

    fn chat(&mut self, body: &Value) {
        self.openai_tools(body.get("tools"), 0);
        let is_there = |name: &&str| body.get(*name).is_some_and(|options| !options.is_null());
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default();
        // Some models search whatever is asked.
        if ["web_search_options", "search_parameters"].iter().any(is_there)
            || model.contains("search")
            || model.ends_with(":online")
        {
            self.add("web_search");
        }
        for plugin in list(body.get("plugins")) {
            let id = plugin.get("id").and_then(Value::as_str).unwrap_or("plugin");
            self.add(if id == "web" { "web_search" } else { id });
        }
        for message in list(body.get("messages")) {
            for part in list(message.get("content")) {
                let image = part.get("image_url");
                self.url(image.and_then(|image| image.get("url")).or(image));
            }
        }
    }

    fn messages(&mut self, body: &Value) {
        for tool in list(body.get("tools")) {
            let kind = undated(kind(tool));
            match kind.as_str() {
                "" => {}
                "mcp_toolset" => self.add("mcp"),
                known if OWN_ANTHROPIC.contains(&known) => {}
                other => self.add(other),
            }
        }
        if body.get("mcp_servers").is_some_and(|servers| servers.as_array().is_none_or(|all| !all.is_empty()))
        {
            self.add("mcp");
        }
        for message in list(body.get("messages")).iter().chain(list(body.get("system"))) {
            self.blocks(message.get("content"), 0);
        }
    }

    fn blocks(&mut self, content: Option<&Value>, depth: usize) {
        for block in list(content) {
            if let Some(source) = block.get("source").filter(|source| kind(source) == "url") {
                self.url(source.get("url"));
            }
            if depth < DEEPEST {
                self.blocks(block.get("content"), depth + 1);
                // A document can be made of blocks.
                self.blocks(block.get("source").and_then(|source| source.get("content")), depth + 1);
            }
        }
    }

    fn gemini(&mut self, body: &Value) {
        for tool in list(body.get("tools")) {
            for name in tool.as_object().into_iter().flat_map(|tool| tool.keys()) {
                let name = snake(name);
                if !OWN_GOOGLE.contains(&name.as_str()) {
                    self.add(&name);
                }
            }
        }
        let instruction =
            ["systemInstruction", "system_instruction"].iter().filter_map(|name| body.get(name));
        for content in list(body.get("contents")).iter().chain(instruction) {
            for part in list(content.get("parts")) {
                let file = part.get("fileData").or_else(|| part.get("file_data"));
                if let Some(file) = file {
                    self.url(file.get("fileUri").or_else(|| file.get("file_uri")));
                }
            }
        }
    }
}

/// Bytes of text; what is data in letters does not become tokens by its length.
fn letters(value: &Value) -> u64 {
    match value {
        Value::String(text) if text.len() > DATA && !text.contains([' ', '\n']) => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(letters).sum(),
        Value::Object(members) => members.values().map(letters).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(items)) => items,
        // A single thing stands for a list of one in more than one API.
        Some(one @ Value::Object(_)) => std::slice::from_ref(one),
        _ => &[],
    }
}

fn kind(value: &Value) -> &str {
    value.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Without the date or version that tools carry: `web_search_20250305`, `web_search_preview_2025_03_11`.
fn undated(kind: &str) -> String {
    kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_' || c == '-').to_owned()
}

fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tools(api: Api, body: &Value) -> Vec<String> {
        Asked::read(api, body.to_string().as_bytes()).unwrap().tools.into_iter().collect()
    }

    #[test]
    fn what_the_agent_runs_is_no_tool_of_the_provider() {
        let codex = json!({"model": "m", "max_output_tokens": 9, "tools": [
            {"type": "function", "name": "exec_command"}, {"type": "custom", "name": "apply_patch"},
            {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
            {"type": "shell", "environment": {"type": "local"}}, {"type": "tool_search", "execution": "client"}],
            "input": [{"type": "message", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]});
        assert!(tools(Api::Responses, &codex).is_empty());
        let asked = Asked::read(Api::Responses, codex.to_string().as_bytes()).unwrap();
        assert_eq!((asked.model.as_str(), asked.most_output), ("m", Some(9)));
        let claude = json!({"tools": [{"name": "Bash", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"},
            {"type": "text_editor_20250728"}], "messages": [{"role": "user", "content": "see https://example.com"},
            {"content": [{"type": "tool_use", "input": {"source": {"type": "url", "url": "https://example.com"}}}]}]});
        assert!(tools(Api::Messages, &claude).is_empty());
        let gemini =
            json!({"tools": [{"functionDeclarations": []}], "contents": [{"parts": [{"text": "x"}]}]});
        assert!(tools(Api::Gemini, &gemini).is_empty());
    }

    #[test]
    fn what_the_provider_runs_is_named() {
        let body = |tool: Value| json!({"tools": [tool]});
        for (api, tool, name) in [
            (Api::Responses, json!({"type": "web_search"}), "openai/web_search"),
            (Api::Responses, json!({"type": "web_search_2025_08_26"}), "openai/web_search"),
            (Api::Responses, json!({"type": "web_search_preview_2025_03_11"}), "openai/web_search"),
            (Api::Responses, json!({"type": "mcp", "server_url": "https://x"}), "openai/mcp"),
            (Api::Responses, json!({"type": "code_interpreter"}), "openai/code_interpreter"),
            (
                Api::Responses,
                json!({"type": "shell", "environment": {"type": "container_auto"}}),
                "openai/code_interpreter",
            ),
            (Api::Responses, json!({"type": "namespace", "tools": [{"type": "mcp"}]}), "openai/mcp"),
            (Api::Responses, json!({"type": "something_new"}), "openai/something_new"),
            (Api::Responses, json!({}), "openai/unnamed"),
            (Api::Messages, json!({"type": "web_search_20250305"}), "anthropic/web_search"),
            (Api::Messages, json!({"type": "web_fetch_20250910"}), "anthropic/web_fetch"),
            (Api::Messages, json!({"type": "code_execution_20250825"}), "anthropic/code_execution"),
            (Api::Messages, json!({"type": "mcp_toolset"}), "anthropic/mcp"),
            (Api::Gemini, json!({"googleSearch": {}}), "google/google_search"),
            (Api::Gemini, json!({"url_context": {}}), "google/url_context"),
            (Api::Gemini, json!({"codeExecution": {}}), "google/code_execution"),
        ] {
            assert_eq!(tools(api, &body(tool)), [name]);
        }
        let more = [
            (Api::Responses, json!({"prompt": {"id": "p"}}), "openai/stored_prompt"),
            (Api::Chat, json!({"web_search_options": {}}), "openai/web_search"),
            (Api::Chat, json!({"search_parameters": {"mode": "on"}}), "openai/web_search"),
            (Api::Chat, json!({"model": "gpt-4o-search-preview"}), "openai/web_search"),
            (Api::Chat, json!({"model": "some/model:online"}), "openai/web_search"),
            (Api::Chat, json!({"plugins": [{"id": "web"}]}), "openai/web_search"),
            (Api::Messages, json!({"mcp_servers": [{"url": "https://x"}]}), "anthropic/mcp"),
        ];
        for (api, body, name) in more {
            assert_eq!(tools(api, &body), [name]);
        }
    }

    #[test]
    fn an_address_that_the_provider_would_fetch_is_named_wherever_it_stands() {
        let url = "https://example.com/x.png";
        let block = json!({"type": "image", "source": {"type": "url", "url": url}});
        for (api, body, provider) in [
            (
                Api::Responses,
                json!({"input": [{"content": [{"type": "input_image", "image_url": url}]}]}),
                "openai",
            ),
            (
                Api::Responses,
                json!({"input": [{"content": [{"type": "input_file", "file_url": url}]}]}),
                "openai",
            ),
            (
                Api::Responses,
                json!({"input": [{"type": "function_call_output", "output": [{"image_url": url}]}]}),
                "openai",
            ),
            (Api::Chat, json!({"messages": [{"content": [{"image_url": {"url": url}}]}]}), "openai"),
            (Api::Messages, json!({"messages": [{"content": [block]}]}), "anthropic"),
            (
                Api::Messages,
                json!({"messages": [{"content": [{"type": "tool_result", "content": [block]}]}]}),
                "anthropic",
            ),
            (Api::Gemini, json!({"contents": [{"parts": [{"fileData": {"fileUri": url}}]}]}), "google"),
            (Api::Gemini, json!({"contents": {"parts": {"file_data": {"file_uri": url}}}}), "google"),
        ] {
            assert_eq!(tools(api, &body), [format!("{provider}/url_input")], "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_one_way_is_refused() {
        for body in ["", "[]", "{", r#"{"tools":[],"tools":[{"type":"mcp"}]}"#] {
            assert!(Asked::read(Api::Responses, body.as_bytes()).is_err(), "{body}");
        }
    }
}
