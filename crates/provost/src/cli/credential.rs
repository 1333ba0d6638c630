//! What can be typed after `provost credential`.

use clap::{Args, Subcommand};

/// `credential`.
#[derive(Debug, Subcommand)]
pub enum Credential {
    /// Keep one: runs hold a stand-in, and the real one is put in where it is bound to go and nowhere else.
    #[command(
        after_help = "Where its value is found is kept, and not the value.\n\n  provost credential add github --from env:GITHUB_TOKEN --bind 'https://api.github.com/**' --as GITHUB_TOKEN\n  provost credential add deploy --from 'command:pass show deploy' --bind 'https://deploy.example.com/v1/**' --method POST"
    )]
    Add(AddCredential),
    /// All of them: where each is found, and what it is good for. No value is shown.
    List,
    /// Forget one.
    Remove {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// `credential add`.
#[derive(Debug, Args)]
pub struct AddCredential {
    /// Its name, for policy and record.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where its value is found, each time a run begins: env:VARIABLE, file:PATH, or command:WORDS, which print it.
    #[arg(long, value_name = "SOURCE")]
    pub from: String,
    /// The requests it is good for (`https://api.example.com/**`); may be given several times.
    #[arg(long, value_name = "URL-PATTERN", required = true)]
    pub bind: Vec<String>,
    /// Only for requests of this method; may be given several times.
    #[arg(long, value_name = "METHOD")]
    pub method: Vec<String>,
    /// The variable in which the agent finds what stands for it. Default: the name in capital letters.
    #[arg(long = "as", value_name = "VARIABLE")]
    pub enters_as: Option<String>,
}
