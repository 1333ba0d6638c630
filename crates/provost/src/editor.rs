//! A person's own editor, opened on text that an agent wrote.
//!
//! Owns: which program that is, the private place where the text lies meanwhile, and that nothing of the text, and nothing
//! but a known ending of its name, reaches a command line. Does not own what becomes of what was saved (`walk`, `workspace`).
//!
//! The text is the adversary's, and the editor is not confined: it shows what it opens, with the person's own plugins. So the
//! file lies alone in a folder of its own, which is also where the editor starts: what editors look for beside a file or
//! around it (project settings, `.exrc`, `.editorconfig`) is not the agent's. Lines that an editor would obey are found
//! before, so that the person is asked.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of what was saved that are read.
const LONGEST: u64 = 4 << 20;

/// Endings that a file keeps, so that an editor shows its language. Any other is shown as plain text: the ending decides
/// which plugins an editor loads.
const ENDINGS: [&str; 27] = [
    "c", "cc", "cpp", "cs", "css", "go", "h", "hpp", "html", "java", "js", "json", "jsx", "kt", "md", "py",
    "rb", "rs", "scss", "sh", "sql", "swift", "toml", "ts", "tsx", "yaml", "yml",
];

/// The editor of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editor {
    /// The program and its own arguments.
    words: Vec<String>,
    /// The folder in which private places are made.
    beneath: PathBuf,
}

/// Nothing was edited.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    /// No editor is named.
    #[error("no editor is set: set VISUAL or EDITOR, for example `export EDITOR=nano`")]
    None,
    /// What is named is no command.
    #[error("`{0}` is no editor's command: set EDITOR to a program, with its arguments if it needs some")]
    Unreadable(String),
    /// It did not start.
    #[error("the editor `{0}` could not be started: {1}")]
    Start(String, #[source] io::Error),
    /// It said that it failed.
    #[error("the editor `{0}` ended with {1}: nothing is changed")]
    Failed(String, std::process::ExitStatus),
    /// The place could not be made or read.
    #[error("what was edited could not be read: {0}")]
    Io(#[from] io::Error),
    /// What was saved is no text that can land as lines.
    #[error("what was saved is no text, or larger than 4 MiB: nothing is changed")]
    NoText,
}

impl Editor {
    /// The one that the environment names: `VISUAL`, else `EDITOR`. `beneath` is a folder that is the person's alone.
    ///
    /// # Errors
    /// None is named, or it is no command.
    pub fn named(visual: Option<&str>, editor: Option<&str>, beneath: &Path) -> Result<Editor, EditorError> {
        let set = |value: Option<&str>| value.filter(|value| !value.trim().is_empty()).map(str::to_owned);
        let named = set(visual).or_else(|| set(editor)).ok_or(EditorError::None)?;
        let words = shlex::split(&named).filter(|words| words.first().is_some_and(|word| is_program(word)));
        let words = words.ok_or(EditorError::Unreadable(named))?;
        Ok(Editor { words, beneath: beneath.to_owned() })
    }

    /// Opens it on a text that belongs to a file of this name, and gives back what was saved.
    ///
    /// # Errors
    /// It failed, or what it saved is no text. Nothing is kept of either.
    pub fn edit(&self, name: &Path, text: &[u8]) -> Result<Vec<u8>, EditorError> {
        let place = Place::make(&self.beneath)?;
        let file = place.0.join(format!("part.{}", ending(name)));
        let mut fresh = File::options().mode(0o600).write(true).create_new(true).open(&file)?;
        fresh.write_all(text)?;
        drop(fresh);
        let (program, arguments) = self.words.split_first().ok_or(EditorError::None)?;
        let mut command = Command::new(program);
        command.args(arguments).arg(&file).current_dir(&place.0);
        let ended = command.status().map_err(|error| EditorError::Start(program.clone(), error))?;
        if !ended.success() {
            return Err(EditorError::Failed(program.clone(), ended));
        }
        let mut saved = Vec::new();
        File::open(&file)?.take(LONGEST + 1).read_to_end(&mut saved)?;
        if saved.len() as u64 > LONGEST || saved.contains(&0) {
            return Err(EditorError::NoText);
        }
        Ok(saved)
    }
}

/// A program by its name or its whole path. A path from the current folder would be another one in ours.
fn is_program(word: &str) -> bool {
    !word.is_empty() && (!word.contains('/') || word.starts_with('/'))
}

/// The ending under which a text is edited.
fn ending(name: &Path) -> &'static str {
    let own = name.extension().and_then(|ending| ending.to_str());
    ENDINGS.into_iter().find(|known| Some(*known) == own).unwrap_or("txt")
}

/// The first line of a text that an editor may obey when it opens it, though it looks like a comment: settings for vim,
/// Emacs and their like.
#[must_use]
pub fn obeyed(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().find(|line| is_obeyed(line)).map(str::to_owned)
}

fn is_obeyed(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    // vim takes `vi:`, `vim:`, `ex:` and `vim>800:` behind a blank or at the beginning of a line.
    let vim = ["vi", "vim", "ex"].iter().any(|word| {
        lower.match_indices(word).any(|(at, _)| {
            let before = lower.get(..at).and_then(|before| before.chars().last());
            let rest = lower.get(at + word.len()..).unwrap_or_default();
            let rest = rest.trim_start_matches(|one: char| "<=>".contains(one) || one.is_ascii_digit());
            before.is_none_or(char::is_whitespace) && rest.starts_with(':')
        })
    });
    vim || lower.contains("-*-") || lower.contains("local variables:") || lower.contains("kate:")
}

/// A private folder that goes when it is not needed any more.
struct Place(PathBuf);

/// What such a folder is named, before the process that made it.
const PREFIX: &str = "editing-";

impl Place {
    fn make(beneath: &Path) -> io::Result<Place> {
        clear(beneath);
        let mut chance = [0u8; 8];
        getrandom::fill(&mut chance).map_err(|error| io::Error::other(error.to_string()))?;
        let chance = u64::from_le_bytes(chance);
        let place = beneath.join(format!("{PREFIX}{}-{chance:016x}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&place)?;
        Ok(Place(place))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // One that cannot be removed is cleared by the next.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Removes what processes left that were killed.
fn clear(beneath: &Path) {
    for entry in fs::read_dir(beneath).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn editor(beneath: &Path, script: &str) -> Editor {
        let program = beneath.join("my editor");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let named = format!("'{}' --wait", program.display());
        Editor::named(Some(" "), Some(&named), beneath).unwrap()
    }

    fn left(beneath: &Path) -> usize {
        fs::read_dir(beneath).unwrap().count()
    }

    #[test]
    fn a_text_is_edited_in_a_private_place_that_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let seen = "{ echo $(stat -c '%a %s' . \"$2\"); pwd; echo \"$1 $2\"; } > ../seen";
        let editor = editor(dir.path(), &format!("{seen}\nprintf 'mine\\n' > other; mv other \"$2\""));
        let before = left(dir.path());
        let saved = editor.edit(Path::new("x/$(touch evil);a.vim"), b"theirs\n").unwrap();
        assert_eq!(saved, b"mine\n");
        let seen = fs::read_to_string(dir.path().join("seen")).unwrap();
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines[0].starts_with("700 ") && lines[0].ends_with(" 600 7"), "{seen}");
        assert!(lines[1].contains(PREFIX), "{seen}");
        assert_eq!(lines[2], format!("--wait {}/part.txt", lines[1]));
        assert_eq!(left(dir.path()), before + 1, "a private place stayed");
    }

    #[test]
    fn an_editor_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let failed = |script: &str| editor(dir.path(), script).edit(Path::new("a.rs"), b"x\n").unwrap_err();
        assert!(matches!(failed("echo y > \"$2\"; exit 1"), EditorError::Failed(..)));
        assert!(matches!(failed("rm \"$2\""), EditorError::Io(_)));
        assert!(matches!(failed("printf 'a\\0b' > \"$2\""), EditorError::NoText));
        assert_eq!(left(dir.path()), 1);
        let named = |editor| Editor::named(None, editor, dir.path());
        assert!(matches!(named(None), Err(EditorError::None)));
        assert!(matches!(named(Some("  ")), Err(EditorError::None)));
        for no in ["./vi", "'vi", "''"] {
            assert!(matches!(named(Some(no)), Err(EditorError::Unreadable(_))), "{no}");
        }
        let gone = named(Some("/nowhere/vi")).unwrap().edit(Path::new("a"), b"").unwrap_err();
        assert!(matches!(gone, EditorError::Start(..)), "{gone}");
    }

    #[test]
    fn only_known_endings_reach_an_editor() {
        for (name, known) in [
            ("a.rs", "rs"),
            ("b/a.test.ts", "ts"),
            ("a.RS", "txt"),
            ("a.vim", "txt"),
            ("a.music", "txt"),
            ("a.el", "txt"),
            ("Makefile", "txt"),
            (".vimrc", "txt"),
            ("a.rs; rm", "txt"),
        ] {
            assert_eq!(ending(Path::new(name)), known, "{name}");
        }
    }

    #[test]
    fn what_an_editor_would_obey_is_found() {
        for line in [
            "# vim: set ft=x:",
            "vi:set ro",
            "/* ex: tw=3 */",
            "// vim>800: x",
            "; -*- eval: (x) -*-",
            "# Local Variables:",
            "# kate: x",
            "\tVim: set a",
        ] {
            assert!(obeyed(format!("a\n{line}\nb\n").as_bytes()).is_some(), "{line}");
        }
        for line in ["let vim = 1;", "index: 3", "envi: x", "regex: y", "vim is an editor"] {
            assert_eq!(obeyed(line.as_bytes()), None, "{line}");
        }
    }
}
