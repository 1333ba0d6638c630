//! OpenAI Responses, as Codex speaks it.

use super::Spoken;
use super::exchange::list;
use super::script::Script;
use super::tools::{Input, Offer, named};
use serde_json::{Value, json};

pub(super) fn speak(request: &Value, script: &Script) -> Result<Spoken, String> {
    let input = list(&request["input"]);
    let results =
        input.iter().filter(|item| item["type"].as_str().is_some_and(|kind| kind.ends_with("_call_output")));
    let results = results.count();
    let offers: Vec<Offer<'_>> = list(&request["tools"])
        .iter()
        .filter_map(|tool| Some(Offer { name: tool["name"].as_str()?, custom: tool["type"] == "custom" }))
        .collect();
    let turn = if offers.is_empty() { script.last_word() } else { script.turn(results) };
    let mut output = Vec::new();
    if !turn.say.is_empty() {
        let content = json!([{"type": "output_text", "text": turn.say, "annotations": []}]);
        output.push(json!({
            "type": "message", "id": format!("msg_{results}"), "role": "assistant", "status": "completed",
            "content": content,
        }));
    }
    for (place, call) in turn.calls.iter().enumerate() {
        let named = named(call, &offers)?;
        let call_id = format!("call_{results}_{place}");
        output.push(match named.input {
            Input::Object(input) => json!({
                "type": "function_call", "id": format!("fc_{results}_{place}"), "call_id": call_id,
                "name": named.tool, "arguments": input.to_string(), "status": "completed",
            }),
            Input::Text(input) => json!({
                "type": "custom_tool_call", "id": format!("ctc_{results}_{place}"), "call_id": call_id,
                "name": named.tool, "input": input, "status": "completed",
            }),
        });
    }
    Ok(whole((request, script.tokens()), results, output))
}

/// What it answers to somebody who only wants it to get ready.
pub(super) fn silence(request: &Value) -> Spoken {
    whole((request, 0), 0, Vec::new())
}

fn whole((request, tokens): (&Value, u64), results: usize, output: Vec<Value>) -> Spoken {
    let response = |status: &str, output: &[Value], usage: Value| {
        json!({
            "id": format!("resp_{results}"), "object": "response", "created_at": 1, "status": status,
            "model": request["model"], "output": output, "usage": usage,
        })
    };
    let usage = json!({
        "input_tokens": tokens, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": tokens + 20,
    });
    let mut events =
        vec![json!({"type": "response.created", "response": response("in_progress", &[], Value::Null)})];
    for (index, item) in output.iter().enumerate() {
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        if let Some(text) = item["content"][0]["text"].as_str() {
            let place = |kind: &str, key: &str| {
                json!({
                    "type": format!("response.output_text.{kind}"), "item_id": item["id"], "output_index": index,
                    "content_index": 0, key: text,
                })
            };
            events.extend([place("delta", "delta"), place("done", "text")]);
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let whole = response("completed", &output, usage);
    events.push(json!({"type": "response.completed", "response": whole}));
    Spoken { events, whole }
}
