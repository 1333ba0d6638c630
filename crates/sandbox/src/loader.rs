//! The dynamic loader as a program: which program a call of it starts.
//!
//! Owns: reading its words, and where a program says which loader it wants. Does not own: finding or judging what is
//! named (`supervisor/guise.rs`). Where loaders differ, more is taken for a program than any one of them would start.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Where loaders lie that nearly every program wants.
pub(crate) const USUAL: [&str; 3] =
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/lib/ld-linux.so.2"];

/// Where a loader looks for a program without a folder, beside what it is told.
const LIBRARIES: [&str; 6] =
    ["/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"];

/// Options of glibc and musl whose next word is no program.
const WITH_VALUE: [&[u8]; 7] = [
    b"--library-path",
    b"--inhibit-rpath",
    b"--audit",
    b"--preload",
    b"--argv0",
    b"--glibc-hwcaps-prepend",
    b"--glibc-hwcaps-mask",
];
const ALONE: [&[u8]; 8] = [
    b"--list",
    b"--verify",
    b"--inhibit-cache",
    b"--list-tunables",
    b"--list-diagnostics",
    b"--help",
    b"--version",
    b"--",
];

/// Whether a file of this name calls itself a loader.
pub(crate) fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let version = name.strip_prefix(b"ld-").or_else(|| name.strip_prefix(b"ld."));
    version.is_some_and(|rest| rest.starts_with(b"so") || rest.windows(3).any(|part| part == b".so"))
}

/// Something that a call of a loader may start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Started {
    /// Where it may lie, as it is named: relative to where the caller stands.
    pub(crate) places: Vec<PathBuf>,
    pub(crate) argv: Vec<Vec<u8>>,
}

/// What a loader with these words and variables starts.
pub(crate) fn started(argv: &[Vec<u8>], env: &[(Vec<u8>, Vec<u8>)]) -> Vec<Started> {
    let mut found = Vec::new();
    let (mut called, mut folders): (Option<Vec<u8>>, Vec<PathBuf>) = (None, libraries(env));
    let mut at = 1;
    while let Some(word) = argv.get(at) {
        let (option, value) = match word.iter().position(|byte| *byte == b'=') {
            Some(end) => (word.get(..end).unwrap_or_default(), word.get(end + 1..).map(<[u8]>::to_vec)),
            None => (word.as_slice(), None),
        };
        let known = WITH_VALUE.contains(&option);
        if !word.starts_with(b"--") || !(known || ALONE.contains(&option)) {
            found.push(Started {
                places: places(word, &folders),
                argv: words(called.as_ref(), word, argv, at),
            });
            if !word.starts_with(b"--") {
                break;
            }
        }
        let taken = if known && value.is_none() { 2 } else { 1 };
        let value = value.or_else(|| argv.get(at + 1).cloned()).unwrap_or_default();
        match option {
            b"--argv0" => called = Some(value),
            b"--library-path" => folders.extend(split(&value)),
            _ => {}
        }
        at += taken;
    }
    found
}

fn words(called: Option<&Vec<u8>>, word: &[u8], argv: &[Vec<u8>], at: usize) -> Vec<Vec<u8>> {
    let first = called.cloned().unwrap_or_else(|| word.to_vec());
    let rest = argv.get(at + 1..).unwrap_or_default();
    std::iter::once(first).chain(rest.iter().cloned()).collect()
}

fn libraries(env: &[(Vec<u8>, Vec<u8>)]) -> Vec<PathBuf> {
    let told = env.iter().filter(|(name, _)| name == b"LD_LIBRARY_PATH").flat_map(|(_, value)| split(value));
    told.chain(LIBRARIES.map(PathBuf::from)).collect()
}

fn split(value: &[u8]) -> Vec<PathBuf> {
    let parts = value.split(|byte| matches!(byte, b':' | b';'));
    parts.map(|part| PathBuf::from(OsStr::from_bytes(if part.is_empty() { b"." } else { part }))).collect()
}

/// Where a program of this name may lie: a name without a folder is looked for like a library, or where one stands.
fn places(word: &[u8], folders: &[PathBuf]) -> Vec<PathBuf> {
    let name = Path::new(OsStr::from_bytes(word));
    if word.contains(&b'/') {
        return vec![name.to_owned()];
    }
    std::iter::once(name.to_owned()).chain(folders.iter().map(|folder| folder.join(name))).collect()
}

/// The loader that an ELF program of 64 bits asks for. `read` gives so many bytes from a place.
pub(crate) fn wanted(read: impl Fn(u64, usize) -> Vec<u8>) -> Option<PathBuf> {
    let head = read(0, 64);
    if !head.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |bytes: &[u8], at: usize, size: usize| {
        let field = bytes.get(at..at + size)?;
        Some(field.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(&head, 32, 8)?, number(&head, 54, 2)?, number(&head, 56, 2)?);
    for index in 0..count.min(64) {
        let entry = read(table.checked_add(index * size)?, 56);
        if number(&entry, 0, 4)? != u64::from(libc::PT_INTERP) {
            continue;
        }
        let length = usize::try_from(number(&entry, 32, 8)?).ok()?.min(4096);
        let name = read(number(&entry, 8, 8)?, length);
        let name = name.split(|byte| *byte == 0).next()?;
        return Some(PathBuf::from(OsStr::from_bytes(name)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(line: &str, env: &[(&str, &str)]) -> Vec<(String, String)> {
        let argv: Vec<Vec<u8>> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let env: Vec<_> =
            env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let shown = |one: Started| {
            let words: Vec<_> = one.argv.iter().map(|word| String::from_utf8_lossy(word)).collect();
            let places: Vec<_> = one.places.iter().map(|place| place.display().to_string()).collect();
            (places.join(" "), words.join(" "))
        };
        started(&argv, &env).into_iter().map(shown).collect()
    }

    #[test]
    fn the_program_of_a_loader_is_found_behind_its_options() {
        let one = |places: &str, words: &str| vec![(places.to_owned(), words.to_owned())];
        assert_eq!(starts("ld.so /bin/git push -f", &[]), one("/bin/git", "/bin/git push -f"));
        let line = "ld.so --library-path /a:/b --argv0 x --inhibit-cache --preload=y ./p --argv0 z";
        assert_eq!(starts(line, &[]), one("./p", "x --argv0 z"));
        assert_eq!(starts("ld.so --argv0=x -- /p", &[]), one("/p", "x"));
        assert_eq!(starts("ld.so", &[]), []);
        // What one loader does not know is an option it complains of, or the program.
        let both = starts("ld.so --new /p", &[]);
        assert_eq!(both.len(), 2, "{both:?}");
        assert_eq!(both[1].0, "/p");
        let named = starts("ld.so --library-path lib p", &[("LD_LIBRARY_PATH", "/more")]);
        assert!(named[0].0.starts_with("p /more/p ") && named[0].0.ends_with(" lib/p"), "{named:?}");
    }

    #[test]
    fn a_program_names_its_loader_and_a_loader_its_kind() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let read = |at: u64, most: usize| own.iter().skip(at as usize).take(most).copied().collect();
        if let Some(wanted) = wanted(read) {
            assert!(is_named_so(&wanted), "{}", wanted.display());
        }
        assert!(wanted(|_, _| b"#!/bin/sh".to_vec()).is_none());
        for name in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "ld.so", "/x/ld-2.36.so"] {
            assert!(is_named_so(Path::new(name)), "{name}");
        }
        assert!(!is_named_so(Path::new("/usr/bin/ld")) && !is_named_so(Path::new("/usr/bin/ld.gold")));
    }
}
