//! What a model answers: what it used, which tools it calls; read beside the bytes that pass, which are never held back.

use super::api::Api;
use super::sse::Events;
use super::usage::Usage;
use serde_json::Value;

/// The longest answer in one piece that is read, in bytes.
const LONGEST: usize = 16 << 20;
/// How many calls of tools are kept of one answer.
const CALLS: usize = 256;
/// The longest name or id of a call that is kept, in characters.
const NAME: usize = 128;
/// Bytes of a stream for each token of output, where nobody says how many there were: the text and what is around it.
const STREAMED_BYTES: u64 = 4;

/// A tool that the model wants to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    /// The provider's id of the call.
    pub(crate) id: String,
    /// The tool's name.
    pub(crate) name: String,
}

/// An answer, as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    /// The model that answered, as it names itself; empty where it does not.
    pub(crate) model: String,
    pub(crate) usage: Usage,
    /// Whether the usage is an estimate, because the answer was cut short or did not say.
    pub(crate) estimated: bool,
    pub(crate) calls: Vec<Called>,
}

/// Reads an answer while it passes.
#[derive(Debug)]
pub(crate) struct Reader {
    api: Api,
    form: Form,
    answer: Answered,
    /// Whether the answer has said what it used.
    told: bool,
    /// Bytes of text that it has brought.
    text: u64,
}

#[derive(Debug)]
enum Form {
    Events(Events),
    Whole { body: Vec<u8>, too_long: bool },
}

impl Reader {
    /// For an answer of this type; `content_type` as its head says.
    pub(crate) fn new(api: Api, content_type: &str) -> Reader {
        let is_stream = content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream");
        let form = match is_stream {
            true => Form::Events(Events::default()),
            false => Form::Whole { body: Vec::new(), too_long: false },
        };
        Reader { api, form, answer: Answered::default(), told: false, text: 0 }
    }

    /// Whether it comes as a stream of events.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.form, Form::Events(_))
    }

    /// The next bytes of it.
    pub(crate) fn piece(&mut self, piece: &[u8]) {
        let mut ready = Vec::new();
        match &mut self.form {
            Form::Events(events) => events.piece(piece, |data| ready.push(data.to_vec())),
            Form::Whole { body, too_long } if body.len() + piece.len() > LONGEST => {
                *too_long = true;
                body.clear();
            }
            Form::Whole { body, .. } => body.extend_from_slice(piece),
        }
        ready.iter().for_each(|data| self.event(data));
    }

    /// One event of a stream, or one frame of a WebSocket.
    pub(crate) fn event(&mut self, data: &[u8]) {
        let Ok(event) = serde_json::from_slice::<Value>(data) else { return };
        match self.api {
            Api::Responses => self.responses(&event),
            Api::Chat => self.chat(&event),
            Api::Messages => self.messages(&event),
            Api::Gemini => self.gemini(&event),
        }
    }

    /// What it has used so far, by what it said or by what it brought.
    pub(crate) fn so_far(&self) -> Usage {
        let mut usage = self.answer.usage;
        if !self.told {
            usage.output = usage.output.max(self.text / STREAMED_BYTES);
        }
        usage
    }

    /// Whether it has said what it used: then it is over, where it is one of many in a WebSocket.
    pub(crate) fn told(&self) -> bool {
        self.told
    }

    /// The answer, as far as it came.
    pub(crate) fn end(mut self) -> Answered {
        if let Form::Whole { body, too_long: false } = &mut self.form {
            let body = std::mem::take(body);
            self.whole(&body);
        }
        self.answer.usage = self.so_far();
        self.answer.estimated = !self.told;
        self.answer
    }

    fn whole(&mut self, body: &[u8]) {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return };
        // Gemini streams a list where nobody asked for events.
        let parts = match &body {
            Value::Array(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        for part in parts {
            match self.api {
                Api::Responses => self.response(part),
                Api::Chat => self.chat(part),
                Api::Messages => self.message(part),
                Api::Gemini => self.gemini(part),
            }
        }
    }

    fn named(&mut self, model: Option<&Value>) {
        if let Some(model) = model.and_then(Value::as_str) {
            self.answer.model = short(model);
        }
    }

    fn called(&mut self, id: Option<&Value>, name: Option<&Value>) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(short).unwrap_or_default();
        if self.answer.calls.len() < CALLS {
            self.answer.calls.push(Called { id: text(id), name: text(name) });
        }
    }

    fn responses(&mut self, event: &Value) {
        match kind(event) {
            "response.completed" | "response.incomplete" | "response.failed" => {
                // Its calls were told one by one before.
                let calls = std::mem::take(&mut self.answer.calls);
                self.response(&event["response"]);
                self.answer.calls =
                    if calls.is_empty() { std::mem::take(&mut self.answer.calls) } else { calls };
            }
            "response.output_item.done" => self.item(&event["item"]),
            delta if delta.ends_with(".delta") => self.text += length(&event["delta"]),
            _ => {}
        }
    }

    fn response(&mut self, response: &Value) {
        self.named(response.get("model"));
        for item in response["output"].as_array().into_iter().flatten() {
            self.item(item);
        }
        if response["usage"].is_object() {
            self.answer.usage = Usage::responses(&response["usage"]);
            self.told = true;
        }
    }

    fn item(&mut self, item: &Value) {
        match kind(item) {
            "function_call" | "custom_tool_call" => self.called(item.get("call_id"), item.get("name")),
            other if other.ends_with("_call") => {
                self.called(item.get("call_id").or(item.get("id")), item.get("type"))
            }
            _ => {}
        }
    }

    fn chat(&mut self, event: &Value) {
        self.named(event.get("model"));
        for choice in event["choices"].as_array().into_iter().flatten() {
            self.text += length(&choice["delta"]["content"]);
            let said = choice.get("delta").or(choice.get("message"));
            let calls = said.and_then(|said| said.get("tool_calls")).and_then(Value::as_array);
            for call in calls.into_iter().flatten() {
                self.text += length(&call["function"]["arguments"]);
                if call["function"]["name"].is_string() {
                    self.called(call.get("id"), call["function"].get("name"));
                }
            }
        }
        if event["usage"].is_object() {
            self.answer.usage = Usage::chat(&event["usage"]);
            self.told = true;
        }
    }

    fn messages(&mut self, event: &Value) {
        match kind(event) {
            "message_start" => {
                self.named(event["message"].get("model"));
                self.answer.usage.messages(&event["message"]["usage"]);
            }
            "content_block_start" => self.block(&event["content_block"]),
            "content_block_delta" => {
                let delta = &event["delta"];
                self.text +=
                    length(&delta["text"]) + length(&delta["partial_json"]) + length(&delta["thinking"]);
            }
            "message_delta" => {
                self.answer.usage.messages(&event["usage"]);
                self.told |= event["usage"].is_object();
            }
            _ => {}
        }
    }

    fn message(&mut self, message: &Value) {
        self.named(message.get("model"));
        for block in message["content"].as_array().into_iter().flatten() {
            self.block(block);
        }
        self.answer.usage.messages(&message["usage"]);
        self.told |= message["usage"].is_object();
    }

    fn block(&mut self, block: &Value) {
        if kind(block).ends_with("tool_use") {
            self.called(block.get("id"), block.get("name"));
        }
    }

    fn gemini(&mut self, event: &Value) {
        self.named(event.get("modelVersion"));
        for candidate in event["candidates"].as_array().into_iter().flatten() {
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                self.text += length(&part["text"]);
                if let Some(call) = part.get("functionCall") {
                    self.called(call.get("id"), call.get("name"));
                }
            }
        }
        if event["usageMetadata"].is_object() {
            self.answer.usage = Usage::gemini(&event["usageMetadata"]);
            // Every piece has a sum; only that of the last is the whole.
            self.told |= event["candidates"][0]["finishReason"].is_string();
        }
    }
}

fn kind(value: &Value) -> &str {
    value["type"].as_str().unwrap_or_default()
}

fn length(text: &Value) -> u64 {
    text.as_str().map_or(0, |text| text.len() as u64)
}

fn short(text: &str) -> String {
    text.chars().take(NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn streamed(api: Api, events: &[Value]) -> Answered {
        let text: String = events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect();
        let whole = {
            let mut reader = Reader::new(api, "text/event-stream; charset=utf-8");
            reader.piece(text.as_bytes());
            reader.end()
        };
        let mut reader = Reader::new(api, "text/event-stream");
        text.as_bytes().chunks(7).for_each(|piece| reader.piece(piece));
        assert_eq!(reader.end(), whole, "cut in pieces it is another");
        whole
    }

    fn at_once(api: Api, body: &Value) -> Answered {
        let mut reader = Reader::new(api, "application/json");
        body.to_string().as_bytes().chunks(11).for_each(|piece| reader.piece(piece));
        reader.end()
    }

    fn calls(answered: &Answered) -> Vec<(&str, &str)> {
        answered.calls.iter().map(|call| (call.id.as_str(), call.name.as_str())).collect()
    }

    #[test]
    fn responses_are_read_streamed_and_at_once() {
        let call = json!({"type": "function_call", "call_id": "call_1", "name": "shell", "arguments": "{}"});
        let response = json!({"model": "m-1", "output": [call],
            "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3}});
        let events = [
            json!({"type": "response.created", "response": {"model": "m-1", "usage": null}}),
            json!({"type": "response.output_item.done", "item": call}),
            json!({"type": "response.completed", "response": response}),
        ];
        for answered in [streamed(Api::Responses, &events), at_once(Api::Responses, &response)] {
            let usage = Usage { input: 6, cache_read: 4, output: 3, ..Usage::default() };
            assert_eq!((answered.model.as_str(), answered.usage, answered.estimated), ("m-1", usage, false));
            assert_eq!(calls(&answered), [("call_1", "shell")]);
        }
    }

    #[test]
    fn messages_are_read_streamed_and_at_once() {
        let block = json!({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}});
        let events = [
            json!({"type": "message_start", "message": {"model": "c-1", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "content_block": block}),
            json!({"type": "message_delta", "usage": {"output_tokens": 7}}),
            json!({"type": "message_delta", "usage": {"output_tokens": 8}}),
        ];
        let body =
            json!({"model": "c-1", "content": [block], "usage": {"input_tokens": 9, "output_tokens": 8}});
        for answered in [streamed(Api::Messages, &events), at_once(Api::Messages, &body)] {
            let usage = Usage { input: 9, output: 8, ..Usage::default() };
            assert_eq!((answered.model.as_str(), answered.usage, answered.estimated), ("c-1", usage, false));
            assert_eq!(calls(&answered), [("toolu_1", "Bash")]);
        }
    }

    #[test]
    fn chat_and_gemini_are_read() {
        let events = [
            json!({"model": "g", "choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]}}]}),
            json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]}),
            json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}),
        ];
        let answered = streamed(Api::Chat, &events);
        assert_eq!((answered.usage.tokens(), calls(&answered)), (7, vec![("c", "f")]));
        let part = json!({"functionCall": {"name": "f", "args": {}}});
        let events = [
            json!({"modelVersion": "v", "candidates": [{"content": {"parts": [part]}}], "usageMetadata": {"promptTokenCount": 5}}),
            json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}}),
        ];
        for answered in [streamed(Api::Gemini, &events), at_once(Api::Gemini, &json!(events))] {
            assert_eq!(
                (answered.usage.tokens(), calls(&answered), answered.estimated),
                (7, vec![("", "f")], false)
            );
        }
    }

    #[test]
    fn an_answer_that_is_cut_short_is_estimated_by_what_it_brought() {
        let events = [
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}}),
            json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x".repeat(400)}}),
        ];
        let answered = streamed(Api::Messages, &events);
        assert_eq!((answered.usage.input, answered.usage.output, answered.estimated), (9, 100, true));
        let chat = json!({"choices": [{"delta": {"content": "x".repeat(40)}}]});
        assert_eq!(streamed(Api::Chat, &[chat]).usage.output, 10);
    }

    #[test]
    fn no_answer_makes_the_reader_grow_without_end() {
        let mut reader = Reader::new(Api::Chat, "application/json");
        for _ in 0..64 {
            reader.piece(&vec![b' '; 1 << 20]);
        }
        let Form::Whole { body, .. } = &reader.form else { panic!("it is no stream") };
        assert!(body.capacity() <= 2 * LONGEST);
        let call = json!({"choices": [{"delta": {"tool_calls": [{"id": "c".repeat(9999), "function": {"name": "f"}}]}}]});
        let answered = streamed(Api::Chat, &vec![call; 1000]);
        assert_eq!((answered.calls.len(), answered.calls[0].id.len()), (CALLS, NAME));
    }
}
