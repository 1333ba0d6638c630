//! Anthropic Messages, as Claude Code speaks it.

use super::Spoken;
use super::exchange::list;
use super::script::Script;
use super::tools::{Input, Offer, named};
use serde_json::{Value, json};

pub(super) fn speak(request: &Value, script: &Script) -> Result<Spoken, String> {
    let blocks = list(&request["messages"]).iter().flat_map(|message| list(&message["content"]));
    let results = blocks.filter(|block| block["type"] == "tool_result").count();
    let offers: Vec<Offer<'_>> = list(&request["tools"])
        .iter()
        .filter_map(|tool| Some(Offer { name: tool["name"].as_str()?, custom: false }))
        .collect();
    let turn = if offers.is_empty() { script.last_word() } else { script.turn(results) };
    let mut content = Vec::new();
    if !turn.say.is_empty() {
        content.push(json!({"type": "text", "text": turn.say}));
    }
    for (place, call) in turn.calls.iter().enumerate() {
        let named = named(call, &offers)?;
        let Input::Object(input) = named.input else {
            return Err(format!("`{}` takes an object", named.tool));
        };
        content.push(json!({
            "type": "tool_use", "id": format!("toolu_{results}_{place}"), "name": named.tool, "input": input,
        }));
    }
    let stop = if turn.calls.is_empty() { "end_turn" } else { "tool_use" };
    Ok(whole((request, script.tokens()), results, &content, stop))
}

fn whole((request, tokens): (&Value, u64), results: usize, content: &[Value], stop: &str) -> Spoken {
    let message = |content: &[Value], stop: Value| {
        json!({
            "id": format!("msg_{results}"), "type": "message", "role": "assistant", "model": request["model"],
            "content": content, "stop_reason": stop, "stop_sequence": null,
            "usage": {
                "input_tokens": tokens, "output_tokens": 20,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
            },
        })
    };
    let mut events = vec![json!({"type": "message_start", "message": message(&[], Value::Null)})];
    for (index, block) in content.iter().enumerate() {
        events.extend(streamed(index, block));
    }
    events.push(json!({
        "type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 20},
    }));
    events.push(json!({"type": "message_stop"}));
    Spoken { events, whole: message(content, stop.into()) }
}

/// A block as it comes in a stream: empty, what it holds, its end.
fn streamed(index: usize, block: &Value) -> [Value; 3] {
    let (empty, delta) = if block["type"] == "text" {
        (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]}))
    } else {
        let mut empty = block.clone();
        empty["input"] = json!({});
        (empty, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}))
    };
    [
        json!({"type": "content_block_start", "index": index, "content_block": empty}),
        json!({"type": "content_block_delta", "index": index, "delta": delta}),
        json!({"type": "content_block_stop", "index": index}),
    ]
}
