//! What an exec comes to: the program as it is called, and whatever starts with it.
//!
//! Owns: following `#!` lines and calls of the loader to the commands that they are, each known by its content, and to
//! what the new image must be. Does not own: judging any of it (`policy`), nor reading the caller (`exec.rs`).

use super::Supervisor;
use crate::caller::{self, Identity};
use crate::image::{CHAIN_MAX, Content, Image, LINE_MAX, Variable, interpreter};
use crate::loader;
use crate::programs::Kind;
use crate::view::{Found, read_some};
use policy::{AbsPath, Command, Guise};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// How many loaders of loaders are followed.
const LOADERS_MAX: usize = 4;
/// So many programs one call of a loader may lead to, beyond which it is refused.
const STARTED_MAX: usize = 64;

/// Who starts a program, and where from.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) pid: i32,
    pub(super) who: Identity,
    pub(super) folder: &'a Path,
}

/// A program as it is called.
pub(super) struct Called<'a> {
    pub(super) found: &'a Found,
    pub(super) named: &'a Path,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) env: Vec<Variable>,
}

fn refused(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

impl Supervisor {
    /// The command that a program is when it is called so, and the image that the kernel must make of it.
    pub(super) fn comes_to(
        &self,
        by: Caller<'_>,
        called: Called<'_>,
    ) -> io::Result<(Command, io::Result<Image>)> {
        let programs = self.programs.as_ref().ok_or_else(|| refused(libc::EACCES))?;
        let mut kind = programs.kind_of(called.found)?;
        let mut links = vec![self.known(by, &called, kind.clone(), 0)?];
        let Called { found, named, argv: mut words, env } = called;
        let mut name = named.as_os_str().as_bytes().to_vec();
        let mut runs = Ok(found.object.try_clone()?);
        for _ in 0..=CHAIN_MAX {
            let Ok(held) = &runs else { break };
            let Some((next, argument)) = interpreter(&read_some(held, LINE_MAX)) else { break };
            let rest = words.split_off(words.len().min(1));
            words = [Some(next.clone()), argument, Some(name)].into_iter().flatten().chain(rest).collect();
            // The kernel finds a name without a folder where the caller stands, and knows nothing of its /proc/self.
            match self.view.find(&by.folder.join(OsStr::from_bytes(&next)), true) {
                Ok(found) => {
                    let path = found.path.clone();
                    let called =
                        Called { found: &found, named: &path, argv: words.clone(), env: env.clone() };
                    kind = programs.kind_of(&found)?;
                    links.push(self.known(by, &called, kind.clone(), 0)?);
                    runs = Ok(found.object);
                }
                Err(error) => runs = Err(error),
            }
            name = next;
        }
        let command = chained(links).ok_or_else(|| refused(libc::EACCES))?;
        let image = runs.map(|runs| {
            let content = Content { programs: Arc::clone(programs), kind };
            Image { program: runs, words, steering: command.env.clone(), content }
        });
        Ok((command, image))
    }

    /// One program by itself, with what is known of it and what it starts as a loader.
    fn known(&self, by: Caller<'_>, called: &Called<'_>, kind: Kind, depth: usize) -> io::Result<Command> {
        let Called { found, argv, env, .. } = called;
        let path = AbsPath::new(&self.spoken(&found.path)).map_err(|_| refused(libc::EACCES))?;
        let command = Command::new(path, argv.clone(), env.clone());
        let Kind { installed, loader, names, copies } = kind;
        let names = names.into_iter().map(Guise::Named);
        let mut also: Vec<Guise> = names.chain(copies.into_iter().map(Guise::Copy)).collect();
        if loader {
            also.extend(self.loaded(by, called, depth)?.into_iter().map(|one| Guise::Starts(Box::new(one))));
        }
        Ok(command.known(installed, also))
    }

    /// What a call of the loader may start.
    fn loaded(&self, by: Caller<'_>, called: &Called<'_>, depth: usize) -> io::Result<Vec<Command>> {
        if depth == LOADERS_MAX {
            return Err(refused(libc::ELOOP));
        }
        let Some(programs) = &self.programs else { return Ok(Vec::new()) };
        let mut commands = Vec::new();
        for started in loader::started(&called.argv, &called.env) {
            for place in started.places {
                let at = caller::asked(by.pid, libc::AT_FDCWD, &place)?;
                let Ok(Some(found)) = self.find_program(by.pid, by.who, &at) else { continue };
                if commands.len() == STARTED_MAX {
                    return Err(refused(libc::E2BIG));
                }
                let (argv, env) = (started.argv.clone(), called.env.clone());
                let kind = programs.kind_of(&found)?;
                commands.push(self.known(
                    by,
                    &Called { found: &found, named: &at, argv, env },
                    kind,
                    depth + 1,
                )?);
            }
        }
        Ok(commands)
    }
}

/// A script with its interpreter, and that one's: who wrote the `#!` line chose what starts.
fn chained(links: Vec<Command>) -> Option<Command> {
    let mut links = links.into_iter().rev();
    let last = links.next()?;
    Some(links.fold(last, |interpreter, mut script| {
        let interpreter = Box::new(interpreter);
        let brought = script.installed;
        script.also.push(if brought { Guise::Brings(interpreter) } else { Guise::Starts(interpreter) });
        script
    }))
}
