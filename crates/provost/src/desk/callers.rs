//! The other end of the line: a command that asks the runs at work what is asked there, and answers.
//!
//! Owns finding the runs whose desks are open, and which ask a text means. Does not own how it is shown (`commands`).

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ledger::{Host, RunId, Standing};

use super::socket::{NAME, short};
use super::words::{Asked, Granted, Order, Reply, Said, VERSION, What};
use crate::failure::{Failure, NO};

/// How long a run may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer, in bytes.
const LONGEST: u64 = 16 << 20;
/// The least of an id that names an ask: with less, the one that was seen could be over and another be meant.
const LEAST: usize = 4;

/// The line to a run.
#[derive(Debug)]
pub struct Line {
    reader: BufReader<UnixStream>,
}

/// What stands in all runs.
#[derive(Debug, Default)]
pub struct Standings {
    /// The open asks, the oldest first.
    pub asks: Vec<Asked>,
    /// The grants in being.
    pub grants: Vec<Granted>,
    /// Runs at work whose desk does not answer, and why.
    pub silent: Vec<(RunId, String)>,
}

impl Line {
    /// To a run; none where it has no desk.
    ///
    /// # Errors
    /// There is one, and it does not answer.
    pub fn to(host: &Host, run: &RunId) -> io::Result<Option<Line>> {
        let (_held, name) = match short(&host.run_dir(run)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        match UnixStream::connect(name) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Some(Line { reader: BufReader::new(stream) }))
            }
            // It has none, or is ending.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Orders something.
    ///
    /// # Errors
    /// The run does not take it.
    pub fn order(&mut self, what: What) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Order { v: VERSION, what })?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line)
    }

    /// The next answer; none when the run has hung up.
    ///
    /// # Errors
    /// It is late, or no answer.
    pub fn hear(&mut self) -> io::Result<Option<Reply>> {
        let mut line = Vec::new();
        if (&mut self.reader).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let reply: Reply = serde_json::from_slice(&line)?;
        if reply.v == VERSION { Ok(Some(reply)) } else { Err(io::Error::other("it speaks another version")) }
    }

    /// Waits for what comes as long as it takes.
    ///
    /// # Errors
    /// The system refused.
    pub fn wait_forever(&self) -> io::Result<()> {
        self.reader.get_ref().set_read_timeout(None)
    }

    fn asked(&mut self, what: What) -> io::Result<Reply> {
        self.order(what)?;
        self.hear()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// The runs at work.
///
/// # Errors
/// The register cannot be read.
pub fn at_work(host: &Host) -> Result<Vec<RunId>, Failure> {
    let runs = host.runs()?.into_iter().filter(|run| run.standing == Standing::Running);
    Ok(runs.map(|run| run.run).collect())
}

/// The socket that a run left which was killed.
pub fn clear(host: &Host, run: &RunId) {
    // One that is not there needs no clearing, and one that stays hurts nobody.
    let _ = fs::remove_file(host.run_dir(run).join(NAME));
}

/// What stands in all runs.
///
/// # Errors
/// The register cannot be read.
pub fn standings(host: &Host) -> Result<Standings, Failure> {
    let mut all = Standings::default();
    for run in at_work(host)? {
        let said =
            Line::to(host, &run).and_then(|line| line.map(|mut line| line.asked(What::Asks)).transpose());
        match said {
            Ok(None) => {}
            Ok(Some(Reply { refused: Some(because), .. })) => all.silent.push((run, because)),
            Ok(Some(reply)) => {
                all.asks.extend(reply.asks.unwrap_or_default());
                all.grants.extend(reply.grants.unwrap_or_default());
            }
            // It ended meanwhile, or cannot be heard.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => all.silent.push((run, error.to_string())),
        }
    }
    all.asks.sort_by_key(|ask| std::cmp::Reverse(ask.age_ms));
    Ok(all)
}

/// What a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// An open ask.
    Ask(Box<Asked>),
    /// A grant in being.
    Grant(Box<Granted>),
}

impl Named {
    /// Its id and its run.
    fn place(&self) -> (&str, &str) {
        match self {
            Named::Ask(ask) => (&ask.id, &ask.asker.run),
            Named::Grant(grant) => (&grant.id, &grant.asker.run),
        }
    }
}

impl Standings {
    /// The ask or the grant that a text names: its id, or enough of its beginning.
    ///
    /// # Errors
    /// None, or more than one.
    pub fn find(&self, text: &str) -> Result<Named, Failure> {
        let asks = self.asks.iter().cloned().map(|ask| Named::Ask(Box::new(ask)));
        let grants = self.grants.iter().cloned().map(|grant| Named::Grant(Box::new(grant)));
        let text = text.to_ascii_lowercase();
        let mut named: Vec<Named> =
            asks.chain(grants).filter(|one| one.place().0.starts_with(&text)).collect();
        if let Some(at) = named.iter().position(|one| one.place().0 == text) {
            return Ok(named.swap_remove(at));
        }
        let hint = "`provost asks` lists what is asked";
        if text.len() < LEAST && !named.is_empty() {
            let named: Vec<&str> = named.iter().map(|one| one.place().0).collect();
            return Err(Failure::new(format!("`{text}` is too short a name"))
                .hint(format!("give at least 4 letters of one of these: {}", named.join(", "))));
        }
        match named.len() {
            0 => Err(Failure::new(format!("nothing that is asked is named `{text}`")).hint(hint)),
            1 => Ok(named.swap_remove(0)),
            _ => {
                let named: Vec<&str> = named.iter().map(|one| one.place().0).collect();
                Err(Failure::new(format!("`{text}` could be any of these: {}", named.join(", "))).hint(hint))
            }
        }
    }
}

/// Answers what is named so; what was answered, and what that did.
///
/// # Errors
/// It names nothing, or the answer does not count.
pub fn answer(host: &Host, said: Said) -> Result<(Named, Reply), Failure> {
    let standings = standings(host)?;
    let named = match standings.find(&said.id) {
        Ok(named) => named,
        Err(failure) => return Err(ended(host, &said)?.unwrap_or(failure)),
    };
    let seen_open = matches!(named, Named::Ask(_));
    let (id, run) = named.place();
    let failed =
        |error: &dyn std::error::Error| Failure::of(error).during(format!("run {run} does not answer"));
    let run = host.find(Some(run))?.run;
    let gone = || Failure::new(format!("run {run} has ended")).status(NO);
    let mut line = Line::to(host, &run).map_err(|error| failed(&error))?.ok_or_else(gone)?;
    let reply = line
        .asked(What::Answer(Said { id: id.to_owned(), seen_open, ..said }))
        .map_err(|error| failed(&error))?;
    match &reply.refused {
        Some(because) => Err(Failure::new(format!("your answer does not count: {because}")).status(NO)),
        None => Ok((named, reply)),
    }
}

/// How an ask ended that is named by its whole id and not open any more, if a run at work knows.
fn ended(host: &Host, said: &Said) -> Result<Option<Failure>, Failure> {
    for run in at_work(host)? {
        let Ok(Some(mut line)) = Line::to(host, &run) else { continue };
        let Ok(reply) = line.asked(What::Answer(said.clone())) else { continue };
        let unknown = format!("no open ask `{}`", said.id);
        if let Some(because) = reply.refused.filter(|because| *because != unknown) {
            return Ok(Some(Failure::new(format!("your answer does not count: {because}")).status(NO)));
        }
    }
    Ok(None)
}
