//! Tokens, counted alike whoever reports them: OpenAI and Gemini count what was cached within the input, Anthropic beside it.

use serde_json::Value;

/// What one answer, or many, used. All in tokens but `searches`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Input that was read anew.
    pub input: u64,
    /// Input that was read from a cache.
    pub cache_read: u64,
    /// Input that was put in a cache, for minutes or for as long as the provider likes.
    pub cache_write: u64,
    /// Input that was put in a cache for an hour.
    pub cache_write_long: u64,
    /// Output, thoughts included.
    pub output: u64,
    /// Searches and fetches that the provider made.
    pub searches: u64,
}

impl Usage {
    /// All tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        [self.input, self.cache_read, self.cache_write, self.cache_write_long, self.output]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// This and that.
    #[must_use]
    pub fn and(self, more: Usage) -> Usage {
        Usage {
            input: self.input.saturating_add(more.input),
            cache_read: self.cache_read.saturating_add(more.cache_read),
            cache_write: self.cache_write.saturating_add(more.cache_write),
            cache_write_long: self.cache_write_long.saturating_add(more.cache_write_long),
            output: self.output.saturating_add(more.output),
            searches: self.searches.saturating_add(more.searches),
        }
    }

    /// From the `usage` of a Responses answer.
    pub(crate) fn responses(usage: &Value) -> Usage {
        let cached = number(usage, &["input_tokens_details", "cached_tokens"]);
        let written = number(usage, &["input_tokens_details", "cache_write_tokens"]);
        Usage {
            input: number(usage, &["input_tokens"]).saturating_sub(cached.saturating_add(written)),
            cache_read: cached,
            cache_write: written,
            output: number(usage, &["output_tokens"]),
            ..Usage::default()
        }
    }

    /// From the `usage` of Chat Completions.
    pub(crate) fn chat(usage: &Value) -> Usage {
        let cached = number(usage, &["prompt_tokens_details", "cached_tokens"]);
        let written = number(usage, &["prompt_tokens_details", "cache_write_tokens"]);
        Usage {
            input: number(usage, &["prompt_tokens"]).saturating_sub(cached.saturating_add(written)),
            cache_read: cached,
            cache_write: written,
            output: number(usage, &["completion_tokens"]),
            ..Usage::default()
        }
    }

    /// Takes over what a `usage` of Messages says. The numbers of a later one are sums so far, and take the place of the
    /// earlier; one that is left out stands.
    pub(crate) fn messages(&mut self, usage: &Value) {
        let set = |to: &mut u64, path: &[&str]| {
            if let Some(said) = at(usage, path) {
                *to = (*to).max(said);
            }
        };
        set(&mut self.input, &["input_tokens"]);
        set(&mut self.cache_read, &["cache_read_input_tokens"]);
        set(&mut self.cache_write_long, &["cache_creation", "ephemeral_1h_input_tokens"]);
        if let Some(written) = at(usage, &["cache_creation_input_tokens"]) {
            self.cache_write = self.cache_write.max(written.saturating_sub(self.cache_write_long));
        }
        set(&mut self.output, &["output_tokens"]);
        let tools = |name| number(usage, &["server_tool_use", name]);
        self.searches =
            self.searches.max(tools("web_search_requests").saturating_add(tools("web_fetch_requests")));
    }

    /// From Gemini's `usageMetadata`: thoughts are told beside the candidates there.
    pub(crate) fn gemini(usage: &Value) -> Usage {
        let cached = number(usage, &["cachedContentTokenCount"]);
        let input =
            number(usage, &["promptTokenCount"]).saturating_add(number(usage, &["toolUsePromptTokenCount"]));
        Usage {
            input: input.saturating_sub(cached),
            cache_read: cached,
            output: number(usage, &["candidatesTokenCount"])
                .saturating_add(number(usage, &["thoughtsTokenCount"])),
            ..Usage::default()
        }
    }
}

fn at(value: &Value, path: &[&str]) -> Option<u64> {
    path.iter().try_fold(value, |value, name| value.get(name))?.as_u64()
}

fn number(value: &Value, path: &[&str]) -> u64 {
    at(value, path).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_work_is_the_same_usage_whoever_reports_it() {
        let want = Usage { input: 70, cache_read: 30, output: 20, ..Usage::default() };
        assert_eq!(want.tokens(), 120);
        let details = json!({"cached_tokens": 30});
        let openai = json!({"input_tokens": 100, "input_tokens_details": details, "output_tokens": 20,
            "output_tokens_details": {"reasoning_tokens": 5}});
        assert_eq!(Usage::responses(&openai), want);
        let chat = json!({"prompt_tokens": 100, "prompt_tokens_details": details, "completion_tokens": 20});
        assert_eq!(Usage::chat(&chat), want);
        let mut anthropic = Usage::default();
        anthropic.messages(&json!({"input_tokens": 70, "cache_read_input_tokens": 30, "output_tokens": 1}));
        anthropic.messages(&json!({"output_tokens": 20}));
        assert_eq!(anthropic, want);
        let gemini = json!({"promptTokenCount": 100, "cachedContentTokenCount": 30,
            "candidatesTokenCount": 15, "thoughtsTokenCount": 5});
        assert_eq!(Usage::gemini(&gemini), want);
    }

    #[test]
    fn what_was_cached_for_an_hour_is_told_apart() {
        let mut usage = Usage::default();
        usage.messages(&json!({"input_tokens": 1, "cache_creation_input_tokens": 50,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}}));
        assert_eq!((usage.cache_write, usage.cache_write_long), (20, 30));
    }

    #[test]
    fn numbers_that_make_no_sense_do_no_harm() {
        let odd = json!({"input_tokens": 3, "input_tokens_details": {"cached_tokens": u64::MAX}, "output_tokens": -4});
        assert_eq!(Usage::responses(&odd).input, 0);
        assert_eq!(Usage::responses(&json!("x")), Usage::default());
        let most = Usage { input: u64::MAX, output: 2, ..Usage::default() };
        assert_eq!(most.and(most).tokens(), u64::MAX);
    }
}
