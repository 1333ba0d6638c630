//! What the model says and wants done, turn by turn.

use serde::Deserialize;

/// A script. As a file it is JSON:
///
/// ```json
/// {"turns": [
///   {"say": "Let me look.", "calls": [{"read": "README.md"}, {"shell": "ls -la"}]},
///   {"calls": [{"write": {"path": "notes.txt", "content": "hello\n"}}]},
///   {"say": "All done."}
/// ]}
/// ```
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// In order.
    pub turns: Vec<Turn>,
    /// The only key that is let in; any, if there is none.
    #[serde(default)]
    pub key: Option<String>,
    /// Tokens of input that each answer says it used; 100, if none are said.
    #[serde(default)]
    pub input: Option<u64>,
    /// Whether it speaks Responses over a WebSocket as well.
    #[serde(default)]
    pub talks: bool,
}

/// What the model says, and the calls it makes in the same breath. One without calls ends the script.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Its words.
    #[serde(default)]
    pub say: String,
    /// Its calls of tools.
    #[serde(default)]
    pub calls: Vec<Call>,
}

/// Something to be done, with whatever tool the agent offers for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    /// A line for the shell.
    Shell(String),
    /// A file to be read.
    Read(String),
    /// A file to be written.
    Write {
        /// Where.
        path: String,
        /// What.
        content: String,
    },
    /// A patch in the form of Codex's `apply_patch`.
    Patch(String),
}

/// A text that is no script.
#[derive(Debug, thiserror::Error)]
#[error("the script cannot be read")]
pub struct ScriptError(#[from] serde_json::Error);

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// When the text is no script.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        Ok(serde_json::from_str(text)?)
    }

    /// A script of one call a turn, and a last word.
    #[must_use]
    pub fn of(calls: impl IntoIterator<Item = Call>, last: &str) -> Self {
        let single = |call| Turn { say: String::new(), calls: vec![call] };
        let end = Turn { say: last.to_owned(), calls: Vec::new() };
        Self { turns: calls.into_iter().map(single).chain([end]).collect(), ..Self::default() }
    }

    /// The same, but only for this key.
    #[must_use]
    pub fn for_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// The same, with answers that say so many tokens of input.
    #[must_use]
    pub fn that_uses(mut self, input: u64) -> Self {
        self.input = Some(input);
        self
    }

    /// The same, over a WebSocket as well.
    #[must_use]
    pub fn that_talks(mut self) -> Self {
        self.talks = true;
        self
    }

    pub(super) fn tokens(&self) -> u64 {
        self.input.unwrap_or(100)
    }

    pub(super) fn knows(&self, key: Option<&str>) -> bool {
        self.key.is_none() || self.key.as_deref() == key
    }

    /// The turn after so many results. A call without a result yet is made again.
    pub(super) fn turn(&self, results: usize) -> Turn {
        let mut behind = 0;
        for turn in &self.turns {
            if turn.calls.is_empty() || results < behind + turn.calls.len() {
                return turn.clone();
            }
            behind += turn.calls.len();
        }
        self.last_word()
    }

    /// What it says to somebody who offers no tools: a request for a title, a summary.
    pub(super) fn last_word(&self) -> Turn {
        let end = self.turns.iter().find(|turn| turn.calls.is_empty());
        end.cloned().unwrap_or_else(|| Turn { say: "Done.".to_owned(), calls: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Call, Script};

    #[test]
    fn a_turn_is_behind_when_all_its_calls_have_results() {
        let script = Script::parse(
            r#"{"turns": [{"calls": [{"shell": "a"}, {"shell": "b"}]}, {"calls": [{"read": "c"}]}, {"say": "end"}]}"#,
        )
        .unwrap();
        let calls = |results| script.turn(results).calls;
        assert!(matches!(calls(0).as_slice(), [Call::Shell(_), Call::Shell(_)]));
        assert!(matches!(calls(1).as_slice(), [Call::Shell(_), Call::Shell(_)]));
        assert!(matches!(calls(2).as_slice(), [Call::Read(_)]));
        assert!(calls(3).is_empty());
        assert_eq!(script.turn(9).say, "end");
    }

    #[test]
    fn a_script_with_an_unknown_word_is_refused() {
        assert!(Script::parse(r#"{"turns": [{"tool": "shell"}]}"#).is_err());
    }
}
