//! Patterns on commands: `git push ** {--force,-f} **`.
//!
//! The first word names the program: by its file's name if it has no slash, which means one that is installed, else by its path.
//! `**` as the first word is any program with any words. One word `NAME=value` may stand before it and asks for that variable; without one, any
//! environment matches.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::pattern::glob::{self, Between, Glob, Part, Piece};
use crate::pattern::path::PathPattern;
use crate::pattern::regex::Regex;
use crate::pattern::{PatternError, Places};

/// So many alternatives of a name are looked for one by one.
const MOST_NAMES: usize = 64;

/// A pattern on commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommandPattern {
    pub(crate) variable: Option<Glob>,
    pub(crate) program: Program,
    pub(crate) words: Vec<Part>,
}

/// Which programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Program {
    /// Any.
    Any,
    /// Those of this name, in any folder where nobody inside can write.
    Named(Glob),
    /// Those of this path.
    At(PathPattern),
}

impl CommandPattern {
    pub(crate) fn parse(text: &str) -> Result<CommandPattern, PatternError> {
        let mut words = glob::globs(text, Between::Words)?.into_iter().peekable();
        let variable = words.next_if(is_assignment);
        if words.next_if(is_assignment).is_some() {
            return Err(
                PatternError::new("a pattern asks for two variables").hint("write a pattern for each")
            );
        }
        let program = program(words.next().ok_or_else(|| PatternError::new("a command has no program"))?)?;
        let mut words: Vec<Part> = words.map(glob::part).collect::<Result<_, _>>()?;
        if program == Program::Any {
            words.insert(0, Part::Any);
        }
        Ok(CommandPattern { variable, program, words })
    }

    /// The names and paths of programs that it gives literally.
    pub(crate) fn programs(&self, places: &Places) -> Vec<PathBuf> {
        match &self.program {
            Program::Any => Vec::new(),
            Program::Named(glob) => {
                let names = glob.texts(MOST_NAMES).unwrap_or_default();
                names.into_iter().map(|name| OsString::from_vec(name).into()).collect()
            }
            Program::At(pattern) => pattern.trees(places).unwrap_or_default(),
        }
    }

    pub(crate) fn write(&self, out: &mut Regex, places: &Places) {
        out.raw("(?:[^\\x00]+\\x00)*");
        if let Some(variable) = &self.variable {
            out.glob(variable, "[^\\x00]");
            out.raw("\\x00(?:[^\\x00]+\\x00)*");
        }
        out.raw("\\x00");
        match &self.program {
            Program::Any => out.raw("[^\\x00]*"),
            Program::Named(glob) if glob.is_star() => out.raw("[^\\x00]*"),
            // What is not installed is spelled with a mark before its path, and its name as a name by itself.
            Program::Named(glob) => {
                out.raw("(?:/(?:[^\\x00]*/)?)?");
                out.glob(glob, "[^/\\x00]");
            }
            Program::At(pattern) => {
                out.raw("!?");
                pattern.write_exact(out, places);
            }
        }
        out.raw("\\x00");
        for part in &self.words {
            match part {
                Part::Any => out.raw("(?:[^\\x00]*\\x00)*"),
                Part::One(glob) => {
                    out.glob(glob, "[^\\x00]");
                    out.raw("\\x00");
                }
            }
        }
    }
}

/// Whether a word is `NAME=..`, the name being one that a variable can have (stars allowed).
fn is_assignment(glob: &Glob) -> bool {
    for piece in &glob.0 {
        match piece {
            Piece::Star => {}
            Piece::Choice(_) => return false,
            Piece::Literal(bytes) => {
                let name = bytes.split(|byte| *byte == b'=').next().unwrap_or_default();
                if !name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_') {
                    return false;
                }
                if name.len() < bytes.len() {
                    return true;
                }
            }
        }
    }
    false
}

fn program(glob: Glob) -> Result<Program, PatternError> {
    if glob.0.iter().any(Piece::has_slash) {
        let folders = glob.folders().ok_or_else(|| {
            PatternError::new("an alternative spans more than one folder name")
                .hint("write a pattern for each")
        })?;
        return PathPattern::of(folders).map(Program::At);
    }
    Ok(match glob::part(glob)? {
        Part::Any => Program::Any,
        Part::One(glob) => Program::Named(glob),
    })
}
