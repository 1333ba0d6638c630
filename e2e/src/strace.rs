//! What another observer saw: a command beneath strace, and each of its acts in our own words.
//!
//! Owns: running strace, and reading what it wrote. An act is one line of text, so that two observers' acts can be compared
//! as multisets: `exec sh -c ..`, `read /etc/passwd`, `write /tmp/x`, `removed /tmp/x`, `exit 0`, `connect 127.0.0.1:80`.

use crate::stage::Stage;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Acts, each with how often it was seen.
pub type Acts = BTreeMap<String, u64>;

/// The calls that a supervisor sees too.
pub const CALLS: &str = "execve,execveat,open,openat,openat2,creat,connect,rename,renameat,renameat2,unlink,unlinkat,rmdir,\
    mkdir,mkdirat,link,linkat,symlink,symlinkat,truncate,mknod,mknodat,exit_group,chdir";

/// A command of this stage beneath strace, which writes a file for each thread into this folder.
#[must_use]
pub fn beneath(stage: &Stage, words: &[&str], folder: &Path) -> Command {
    let mut traced = stage.command("strace");
    traced.args(["-ff", "-qqq", "-xx", "-y", "-s", "1000000", "-e", "signal=none", "-e"]);
    traced.arg(format!("trace={CALLS}")).arg("-o").arg(folder.join("acts")).arg("--").args(words);
    traced
}

/// What strace wrote of a command that began in a folder, but for what failed: of connects, every attempt.
#[must_use]
pub fn acts(folder: &Path, began: &Path) -> Acts {
    let mut acts = Acts::new();
    for entry in std::fs::read_dir(folder).expect("strace's folder can be read") {
        let text =
            std::fs::read_to_string(entry.expect("an entry can be read").path()).expect("strace writes text");
        let mut thread = Thread { folder: first_folder(&text).unwrap_or_else(|| began.to_owned()) };
        for line in text.lines() {
            for act in thread.act(line).iter().flat_map(|acts| acts.lines()) {
                *acts.entry(act.to_owned()).or_default() += 1;
            }
        }
    }
    acts
}

/// Strace tells the folder that a thread stands in with the calls that name it.
fn first_folder(text: &str) -> Option<PathBuf> {
    let (folder, _) = text.split_once("AT_FDCWD<")?.1.split_once('>')?;
    Some(PathBuf::from(unescaped(folder)))
}

struct Thread {
    folder: PathBuf,
}

impl Thread {
    /// The act of a call, or a line for each of its two.
    fn act(&mut self, line: &str) -> Option<String> {
        let (name, rest) = line.split_once('(')?;
        let (words, result) = rest.rsplit_once(" = ")?;
        let words = words.trim_end();
        if name == "connect" {
            return self.attempt(words, result);
        }
        if result.starts_with("-1 ") {
            return None;
        }
        let words = words.strip_suffix(')').unwrap_or(words);
        let (args, at) = (split(words), result.split_once('<'));
        let named = |index: usize| args.get(index).map(|arg| self.path(arg, None));
        let beneath = |folder: usize, index: usize| {
            Some(self.path(args.get(index)?, args.get(folder).map(String::as_str)))
        };
        match name {
            "execve" => Some(format!("exec {}", strings(args.get(1)?).join(" "))),
            "execveat" => Some(format!("exec {}", strings(args.get(2)?).join(" "))),
            "open" | "openat" | "openat2" | "creat" => {
                let (_, path) = at?;
                let path = unescaped(path.strip_suffix('>')?);
                let writes = name == "creat"
                    || ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC"].iter().any(|flag| words.contains(flag));
                Some(format!(
                    "{} {}",
                    if writes { "write" } else { "read" },
                    path.trim_end_matches(" (deleted)")
                ))
            }
            "exit_group" => Some(format!("exit {}", words.trim())),
            "chdir" => {
                self.folder = named(0)?;
                None
            }
            "unlink" | "rmdir" => Some(format!("removed {}", named(0)?.display())),
            "unlinkat" => Some(format!("removed {}", beneath(0, 1)?.display())),
            "mkdir" | "mknod" => Some(format!("made {}", named(0)?.display())),
            "mkdirat" | "mknodat" => Some(format!("made {}", beneath(0, 1)?.display())),
            "symlink" => Some(format!("made {}", named(1)?.display())),
            "symlinkat" => Some(format!("made {}", beneath(1, 2)?.display())),
            "truncate" => Some(format!("truncated {}", named(0)?.display())),
            "rename" => Some(format!("renamed {}\nrenamed {}", named(0)?.display(), named(1)?.display())),
            "renameat" | "renameat2" => {
                Some(format!("renamed {}\nrenamed {}", beneath(0, 1)?.display(), beneath(2, 3)?.display()))
            }
            "link" => Some(format!("linked {}", named(1)?.display())),
            "linkat" => Some(format!("linked {}", beneath(2, 3)?.display())),
            _ => None,
        }
    }

    /// An attempt to connect, whatever became of it: not asking what became of one before, and not what is no address.
    fn attempt(&self, words: &str, result: &str) -> Option<String> {
        const NONE: [&str; 7] =
            ["EALREADY", "EISCONN", "EBADF", "ENOTSOCK", "EFAULT", "EINVAL", "EAFNOSUPPORT"];
        if NONE.iter().any(|errno| result.contains(errno)) {
            return None;
        }
        let named = strings(words.split_once("sa_family=")?.1).into_iter().next()?;
        if words.contains("sa_family=AF_UNIX") {
            let is_abstract = words.contains("sun_path=@");
            let path = if is_abstract { named } else { self.folder.join(named).display().to_string() };
            return Some(format!("connect unix:{}{path}", if is_abstract { "@" } else { "" }));
        }
        let port = words.split_once("port=htons(")?.1.split_once(')')?.0.parse().ok()?;
        let address: IpAddr = named.parse().ok()?;
        Some(format!("connect {}", SocketAddr::new(address.to_canonical(), port)))
    }

    /// A path argument from the folder that it names, or the thread's own.
    fn path(&self, argument: &str, from: Option<&str>) -> PathBuf {
        let folder = from
            .and_then(|from| from.split_once('<'))
            .map(|(_, folder)| unescaped(folder.trim_end_matches('>')));
        let folder = folder.map_or_else(|| self.folder.clone(), PathBuf::from);
        folded(&folder.join(strings(argument).first().cloned().unwrap_or_default()))
    }
}

/// Without `.`, `..` and doubled slashes, as text.
fn folded(path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(folded.pop()),
            std::path::Component::CurDir => {}
            other => folded.push(other),
        }
    }
    folded
}

/// The arguments of a call: at commas that are in no string, list or structure.
fn split(words: &str) -> Vec<String> {
    let (mut args, mut depth, mut quoted, mut own) = (Vec::new(), 0, false, String::new());
    for letter in words.chars() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' | '<' if !quoted => depth += 1,
            ']' | '}' | '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                args.push(std::mem::take(&mut own).trim().to_owned());
                continue;
            }
            _ => {}
        }
        own.push(letter);
    }
    args.push(own.trim().to_owned());
    args
}

/// The strings in an argument.
fn strings(argument: &str) -> Vec<String> {
    argument.split('"').skip(1).step_by(2).map(unescaped).collect()
}

/// `\x2f` and the like as what they are.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.strip_prefix(b"x").and_then(|code| code.split_at_checked(2));
        let byte = code.and_then(|(code, _)| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match (first, byte, code) {
            (b'\\', Some(byte), Some((_, after))) => {
                bytes.push(byte);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
