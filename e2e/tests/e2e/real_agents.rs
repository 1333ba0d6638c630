//! Real agents run unmodified, confined, judged and recorded.

use e2e::doubles::model::ModelServer;

/// Codex's settings for a scripted model, with its side traffic off.
pub(crate) fn codex_config(server: &ModelServer) -> String {
    let url = server.url();
    format!(
        r#"model = "gpt-5.5"
model_provider = "scripted"

[model_providers.scripted]
name = "scripted"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "MODEL_KEY"

[analytics]
enabled = false

[features]
plugins = false
apps = false
"#
    )
}
