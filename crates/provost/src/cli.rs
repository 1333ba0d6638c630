//! The command line: verbs, flags, and the words of their help.
//!
//! Owns what can be typed. Does not own what is done then: `commands`, one file a verb.

mod credential;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
pub use credential::{AddCredential, Credential};

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "provost",
    version,
    about = "Runs a coding agent, unmodified, in a sandbox over a staged copy of your folder: judged, recorded, landed only by you.",
    after_help = "Without a command: what needs you now.\n\n  provost run -- codex exec \"fix the failing test\"\n  provost show                what it did, and what it was refused\n  provost review              what it would change\n  provost apply --all         land it\n  provost doctor              what this machine can enforce",
    disable_help_subcommand = true,
    infer_subcommands = false
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// How to print: human, or json for programs (one object, or one a line where there are many).
    #[arg(long, value_enum, global = true, default_value_t = Format::Human, value_name = "FORMAT", hide_possible_values = true)]
    pub format: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// For programs: JSON, one object a line where there are many.
    Json,
}

/// Where the writes of a run go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Beside the folder, until they land.
    #[default]
    Staged,
    /// Into the folder.
    Direct,
}

/// What a run rests on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Tier {
    /// Namespaces, and all else beneath.
    #[default]
    Namespaces,
    /// No namespaces.
    Landlock,
}

/// How much of a run is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Evidence {
    /// Every exec, open, connect and end.
    #[default]
    Full,
    /// Without opens that only read.
    Writes,
    /// Without opens.
    Exec,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run an agent, or any command, governed.
    #[command(
        after_help = "The agent works on a staged copy; your folder stays as it is until `provost apply`.\nThe exit status is the agent's own; 124 a limit was reached, 125 Provost refused or failed, 128+n a signal ended it.\nThe summary goes to standard error, so that the agent's output can be piped.\n\n  provost run -- claude -p \"add a test for the parser\"\n  provost run --profile review -- codex exec \"explain this crate\"\n  provost run --unattended --timeout 20m -- ./agent.sh"
    )]
    Run(Run),
    /// Open a shell where the agent would be.
    Shell(RunFlags),
    /// Write a first `.provost/policy.toml` from what this repository uses.
    Init(Init),
    /// See it at work: a scripted agent in a scratch folder, in under a minute.
    Demo(Demo),
    /// What this machine can enforce, and the exact lines that fix what it cannot.
    #[command(
        after_help = "A sandbox is made as for a run and read back from inside: nothing is guessed. The exit status is 0 if runs can start here, else 125.\nWith --network the tools that are installed here are tried in a run, at a place in TLS of Provost's own: 0 if all get through, else 1."
    )]
    Doctor(Doctor),
    /// What needs you now: staged runs, runs at work, anything wrong.
    Status,
    /// End a run.
    Stop(Stop),
    /// List the runs, newest first.
    Runs(Runs),
    /// What happened in a run, process by process, and what it could have seen.
    #[command(
        after_help = "Alike processes are told as one with a count, and where there are many, those that only looked at the system too.\n\n  provost show\n  provost show --all\n  provost show --process '#4'\n  provost show --exposure"
    )]
    Show(Show),
    /// A run as it goes on: a line for each thing worth knowing, until it ends.
    #[command(
        after_help = "Without RUN it is the run at work in this folder; where there is none yet it waits for one to begin. Several can watch. Ctrl-C ends the watching and not the run."
    )]
    Watch(OneRun),
    /// The staged changes of a run: on a terminal a walk through files and hunks, else a diff.
    #[command(
        after_help = "On a terminal: y accepts, n rejects and asks why, e opens it in your editor, s skips, w says what is risky about it, q ends the walk. Then what was accepted lands, as by `provost apply`. Handoff files that you accept here land."
    )]
    Review(Review),
    /// Land staged changes in your folder.
    #[command(
        after_help = "What other programs later execute or obey (hooks, CI, build scripts, agent settings) lands only where it is named itself: its whole path by --only, or a hunk of it; so does a hunk that was rejected before. Nothing of .git ever lands as a file. An edit you made meanwhile to other lines is kept. Exit status: 0 when all that was asked landed, 1 when some was kept back.\n\n  provost apply --all\n  provost apply --only 'src/**' --only Makefile\n  provost apply --hunk 0c8d7e6f5a4b\n  provost apply --all --reject 'docs/**' --why \"not asked for\"\n  provost apply --all --commit\n  provost apply --only 'src/**' --branch fix-parser --message \"Fix the parser\""
    )]
    Apply(Apply),
    /// Put back what the last landing of a run changed, or all that a direct run wrote.
    #[command(
        after_help = "What it landed waits again, and can be applied again. A file that changed since stays as it is and is named.\nExit status: 0 when all was put back, 1 when some was not."
    )]
    Undo(OneRun),
    /// Throw away what a run has staged.
    #[command(
        after_help = "Traffic that a run recorded is thrown away as well; its ledger stays.\n\nWhat a run in direct mode changed is in your folder, and stays there: `provost undo` takes it back.\nWith --keep-changes what was there before is thrown away, and no undo is possible any more."
    )]
    Discard(Discard),
    /// What waits for your answer, in all runs, and what was agreed to for longer than once.
    #[command(
        after_help = "  provost asks\n  provost asks --follow\n  provost allow ID | provost deny ID --why \"use the mirror\""
    )]
    Asks(Asks),
    /// Say yes to what is asked.
    #[command(
        after_help = "`once` (the default) lets this one action happen. `run` lets the very same happen again until the run ends, `class` whatever matches the pattern that `provost asks` shows; --for and --uses bound either. `provost deny ID` takes it back. No yes lifts a `never`. Of a question, --why is the answer.\n\n  provost allow k7qd2m1x\n  provost allow k7qd2m1x --scope run --for 20m\n  provost allow k7qd2m1x --scope class --uses 5 --why \"for the release\""
    )]
    Allow(Allow),
    /// Say no to what is asked, or take back what was agreed to.
    #[command(
        after_help = "The agent is told your words.\n\n  provost deny k7qd2m1x --why \"use the mirror\""
    )]
    Deny(Deny),
    /// From inside a run: ask for a capability, or put a question to a person.
    Request(Request),
    /// From a commit, a line or an event back to run, action, decision and person.
    #[command(
        after_help = "What cannot be told is said, and not guessed.\n\n  provost why HEAD\n  provost why src/lib.rs:17\n  provost why 42                 event 42 of the last run\n  provost why 1ngw0ay-2ma:42"
    )]
    Why(Why),
    /// Read, check and ask policies.
    #[command(subcommand)]
    Policy(Policy),
    /// Keys that stay outside: the agent holds what stands for them.
    #[command(subcommand)]
    Credential(Credential),
    /// Let this repository's own policy allow, too. Without it, that policy only narrows.
    Trust(Trust),
    /// The evidence of runs.
    #[command(subcommand)]
    Ledger(Ledger),
}

/// `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// How to run it.
    #[command(flatten)]
    pub flags: RunFlags,
    /// What is asked of the agent, for the record.
    #[arg(long, value_name = "TEXT")]
    pub task: Option<String>,
    /// The agent, and its arguments.
    #[arg(trailing_var_arg = true, value_name = "CMD", required = true)]
    pub command: Vec<OsString>,
}

/// How to run it.
#[derive(Debug, Args, Default)]
pub struct RunFlags {
    /// The profile: review, refactor, build, deps, deploy. `provost policy show --profile P` prints one.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A further policy file; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// The folder to work on. Default: the repository around the current folder, or that folder.
    #[arg(long, value_name = "DIR")]
    pub workspace: Option<PathBuf>,
    /// Somebody can be asked: at this terminal or, by `provost asks` and `allow`, from any other. Default where input and error output are a terminal.
    #[arg(long, conflicts_with = "unattended")]
    pub attended: bool,
    /// Nobody can be asked: what would ask is denied.
    #[arg(long)]
    pub unattended: bool,
    /// Where writes go: staged (beside your folder, until `provost apply`), or direct (into it at once; `provost undo` puts
    /// back what was there).
    #[arg(long, value_enum, default_value_t = Mode::Staged, value_name = "MODE", hide_possible_values = true)]
    pub mode: Mode,
    /// What it rests on: namespaces, or landlock where this machine gives none. The second holds less, says what, and is
    /// never chosen by itself.
    #[arg(long, value_enum, default_value_t = Tier::Namespaces, value_name = "TIER", hide_possible_values = true)]
    pub tier: Tier,
    /// How much of what happens inside is recorded: full (programs, ends, connections, every open), writes (opens only where
    /// something may change), or exec (no opens). Less costs less, and is refused where the policy judges opens.
    #[arg(long, value_enum, default_value_t = Evidence::Full, value_name = "DEPTH", hide_possible_values = true)]
    pub evidence: Evidence,
    /// Ends the run after this time, e.g. 90s, 20m, 2h; its status is then 124.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// How long a question waits for an answer before it is denied.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ask_timeout: Option<Duration>,
    /// Ends the run where it uses more than this, e.g. memory=4GiB, cpu=30m, disk=10GiB; may be given several times. The least
    /// of this and the policy's `[limits]` holds.
    #[arg(long, value_name = "NAME=AMOUNT", value_parser = crate::run::limits::read)]
    pub limit: Vec<(policy::Limit, u64)>,
    /// Lets the agent hold this credential itself (the name of a variable); recorded.
    #[arg(long, value_name = "NAME")]
    pub pass_credential: Vec<String>,
}

/// `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Write over a policy that is there.
    #[arg(long)]
    pub force: bool,
}

/// `provost doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// Try what the tools of this machine get through: curl, git, cargo, npm, pip and others.
    #[arg(long)]
    pub network: bool,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Nobody is asked: what would ask is denied.
    #[arg(long)]
    pub unattended: bool,
    /// What its agent calls from inside.
    #[arg(long, hide = true, value_name = "HOST:PORT")]
    pub call: Option<String>,
}

/// `stop`.
#[derive(Debug, Args)]
pub struct Stop {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Every run that is at work.
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
}

/// `runs`.
#[derive(Debug, Args)]
pub struct Runs {
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    pub count: usize,
}

/// `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Every process by itself, however many there are.
    #[arg(long)]
    pub all: bool,
    /// One process in full, by its number in the tree (`#4`) or on the host.
    #[arg(long, value_name = "PID|#N", conflicts_with = "all")]
    pub process: Option<String>,
    /// What it could have seen and reached, and what of it it did.
    #[arg(long, conflicts_with_all = ["all", "process"])]
    pub exposure: bool,
    /// Every event as it stands in the ledger.
    #[arg(long, conflicts_with_all = ["all", "process", "exposure"])]
    pub events: bool,
    /// Every request and tunnel.
    #[arg(long, conflicts_with_all = ["all", "process", "exposure", "events"])]
    pub traffic: bool,
    /// One that was recorded, by its number: heads and bodies.
    #[arg(long, value_name = "N", conflicts_with_all = ["all", "process", "exposure", "events"])]
    pub flow: Option<u64>,
}

/// A run.
#[derive(Debug, Args)]
pub struct OneRun {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
}

/// `discard`.
#[derive(Debug, Args)]
pub struct Discard {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Of a run in direct mode: throws away what was there before; what it changed stays in the folder for good.
    #[arg(long)]
    pub keep_changes: bool,
}

/// `review`.
#[derive(Debug, Args)]
pub struct Review {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Only print it, on a terminal too.
    #[arg(long)]
    pub print: bool,
}

/// `apply`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["all", "only", "hunk", "reject", "commits"]))]
#[command(group = clap::ArgGroup::new("writes").args(["commit", "branch"]))]
pub struct Apply {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// Everything that may land.
    #[arg(long)]
    pub all: bool,
    /// Files that match this pattern (`src/**`); may be given several times.
    #[arg(long, value_name = "GLOB", conflicts_with = "all")]
    pub only: Vec<String>,
    /// This hunk, by its name in `provost review`; may be given several times.
    #[arg(long, value_name = "ID")]
    pub hunk: Vec<String>,
    /// Keep back this hunk or the files that match, and know them when they come again; may be given several times.
    #[arg(long, value_name = "GLOB|ID", requires = "why")]
    pub reject: Vec<String>,
    /// Why it is rejected.
    #[arg(long, value_name = "TEXT", requires = "reject")]
    pub why: Option<String>,
    /// The commits that the run made, as a branch `provost/RUN`; --all takes them over too.
    #[arg(long)]
    pub commits: bool,
    /// Then commit what landed, and nothing else, on the branch that is checked out.
    #[arg(long)]
    pub commit: bool,
    /// Land nothing: commit it on a new branch of this name instead.
    #[arg(long, value_name = "NAME", conflicts_with = "commits")]
    pub branch: Option<String>,
    /// What the commit says; what was asked of the agent, if left out.
    #[arg(long, value_name = "TEXT", requires = "writes")]
    pub message: Option<String>,
}

/// `why`.
#[derive(Debug, Args)]
pub struct Why {
    /// A commit of this repository, a line of a file, or an event: of a run, or of the last one in this folder.
    #[arg(value_name = "COMMIT|FILE:LINE|[RUN:]EVENT")]
    pub what: String,
}

/// `asks`.
#[derive(Debug, Args)]
pub struct Asks {
    /// Goes on, and tells whatever is asked, answered and granted as it comes.
    #[arg(long, alias = "watch")]
    pub follow: bool,
}

/// What a yes is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// This one action.
    Once,
    /// The very same action, until the run ends.
    Run,
    /// Whatever matches the pattern that is shown, until the run ends.
    Class,
}

impl Scope {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Once => "once",
            Scope::Run => "run",
            Scope::Class => "class",
        }
    }
}

/// `allow`.
#[derive(Debug, Args)]
pub struct Allow {
    /// The ask, or at least four letters of its beginning.
    #[arg(value_name = "ID")]
    pub id: String,
    /// What it is good for: once, run, class.
    #[arg(long, value_enum, value_name = "SCOPE", hide_possible_values = true)]
    pub scope: Option<Scope>,
    /// How long it holds, e.g. 90s, 20m, 2h.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lasts: Option<Duration>,
    /// How often it can be used.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub uses: Option<u64>,
    /// Your words, for the record and for the agent; of a question, the answer.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

/// `deny`.
#[derive(Debug, Args)]
pub struct Deny {
    /// The ask or the grant, or at least four letters of its beginning.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Your words; the agent is told them.
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
}

/// `request`.
#[derive(Debug, Args)]
pub struct Request {
    /// Why it is needed.
    #[arg(long, value_name = "TEXT")]
    pub why: String,
    /// Do not wait for the answer.
    #[arg(long)]
    pub no_wait: bool,
    /// What: `connect HOST[:PORT]`, `read PATH`, `exec WORDS...`, `question TEXT`.
    #[arg(value_names = ["WHAT", "WORDS"], num_args = 2.., required = true, trailing_var_arg = true)]
    pub what: Vec<String>,
}

/// `policy`.
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Print the policy a run here would have, or a shipped profile.
    Show(PolicyShow),
    /// Check a file; says where it is wrong.
    Check(PolicyFile),
    /// Run the examples (`yes`, `no`) of a file.
    Test(PolicyFile),
    /// Why an action would be allowed, asked about, or denied.
    #[command(
        after_help = "  provost policy explain exec git push -f origin main\n  provost policy explain read ~/.ssh/id_rsa\n  provost policy explain connect api.example.com:443\n  provost policy explain http GET https://api.example.com/repos/a/b"
    )]
    Explain(PolicyExplain),
}

/// `policy show`.
#[derive(Debug, Args)]
pub struct PolicyShow {
    /// This shipped profile, as it is.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// List the shipped profiles.
    #[arg(long, conflicts_with = "profile")]
    pub profiles: bool,
    /// As this agent would have it.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<OsString>,
}

/// A policy file.
#[derive(Debug, Args)]
pub struct PolicyFile {
    /// The file.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// `policy explain`.
#[derive(Debug, Args)]
pub struct PolicyExplain {
    /// The profile.
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// A further policy file; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub policy: Vec<PathBuf>,
    /// As this agent would have it.
    #[arg(long, value_name = "NAME")]
    pub agent: Option<OsString>,
    /// The kind of action, and its words.
    #[arg(value_names = ["KIND", "WORDS"], num_args = 2.., required = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

/// `trust`.
#[derive(Debug, Args)]
pub struct Trust {
    /// The repository; the one around the current folder if left out.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Take the trust back.
    #[arg(long)]
    pub revoke: bool,
}

/// `ledger`.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Whole, or exactly what is broken and where: a run, or a bundle from anywhere.
    #[command(
        after_help = "The first word is `whole` (status 0) or `broken` (1). A bundle needs nothing of this machine.\n\n  provost ledger verify\n  provost ledger verify run.bundle --host-key 'provost.host/..+..+..'"
    )]
    Verify(Verify),
    /// Write one file with all that a stranger needs to verify a run.
    Export(Export),
    /// Print the proof that an event is in a run's ledger, or that the ledger only grew, as C2SP has them.
    Prove(Prove),
    /// Print this host's public key, which everything is signed under.
    Key,
    /// The last events of a run as JSON, one a line.
    Tail(Tail),
}

/// `ledger verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The run, or the beginning of its id; the last one in this folder if left out. Or the file of a bundle: `./NAME` if it could be a run.
    #[arg(value_name = "RUN|FILE")]
    pub what: Option<String>,
    /// Every run, and the register.
    #[arg(long, conflicts_with = "what")]
    pub all: bool,
    /// The key of the host that a bundle must be of: what `provost ledger key` prints there.
    #[arg(long, value_name = "KEY", requires = "what")]
    pub host_key: Option<String>,
}

/// `ledger export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// The file to write; only you can read it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Write over a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// `ledger prove`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("of").required(true).args(["event", "from"]))]
pub struct Prove {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// That this event is in it.
    #[arg(long, value_name = "SEQ")]
    pub event: Option<u64>,
    /// That it grew out of its first so many events.
    #[arg(long, value_name = "COUNT")]
    pub from: Option<u64>,
}

/// `ledger tail`.
#[derive(Debug, Args)]
pub struct Tail {
    /// The run, or the beginning of its id; the last one in this folder if left out.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// So many of the last events.
    #[arg(long, short = 'n', default_value_t = 20, value_name = "COUNT")]
    pub count: usize,
}

fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| "it is no time".to_owned())?;
    if time.is_zero() { Err("no time at all is no time".to_owned()) } else { Ok(time) }
}
