//! Mutations: each takes one defence away and names the tests that must then fail.
//!
//! A file of `mutations/` says in plain words what is taken away, names the tests, and gives the change as text that is
//! there exactly once and the text that takes its place:
//!
//! ```text
//! The filter no longer closes `mount` inside.
//!
//! test: sandbox mount_is_closed_inside
//! file: crates/sandbox/src/filter.rs
//! --- found
//!     libc::SYS_mount,
//! --- instead
//! --- end
//! ```
//!
//! Owns how such a file is read and applied. Does not own running the tests: that is the program `mutate`.

use std::path::Path;

/// One defence taken away.
#[derive(Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The file's name without its ending.
    pub name: String,
    /// What is taken away, for people.
    pub what: String,
    /// The tests that must fail then.
    pub tests: Vec<Test>,
    /// What is changed, in order.
    pub changes: Vec<Change>,
}

/// A test by the crate it is in and its name, which may be the end of its whole path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// The crate.
    pub member: String,
    /// The name.
    pub name: String,
}

/// Text that is there exactly once, and what takes its place.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The file, from the root of the repository.
    pub file: String,
    /// What is there.
    pub found: String,
    /// What takes its place.
    pub instead: String,
}

impl Mutation {
    /// Reads one file of `mutations/`.
    ///
    /// # Errors
    /// In words, where it is not written as it should be.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        let mut read =
            Self { name: name.to_owned(), what: String::new(), tests: Vec::new(), changes: Vec::new() };
        let mut file = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(test) = line.strip_prefix("test: ") {
                read.tests.push(Test::read(test)?);
            } else if let Some(named) = line.strip_prefix("file: ") {
                file = Some(named.to_owned());
            } else if line == "--- found" {
                let file = file.clone().ok_or("a change before the file it is in is named")?;
                let found = until(&mut lines, "--- instead")?;
                read.changes.push(Change { file, found, instead: until(&mut lines, "--- end")? });
            } else if read.tests.is_empty() && file.is_none() {
                read.what = format!("{} {line}", read.what).trim().to_owned();
            } else if !line.is_empty() {
                return Err(format!("`{line}` is no part of a mutation"));
            }
        }
        match read.what.is_empty() || read.tests.is_empty() || read.changes.is_empty() {
            true => Err("a mutation says what is taken away, names a test and makes a change".to_owned()),
            false => Ok(read),
        }
    }

    /// Every mutation of the repository at `root`, by name.
    ///
    /// # Errors
    /// In words, where the folder or a file of it cannot be read.
    pub fn all(root: &Path) -> Result<Vec<Self>, String> {
        let folder = root.join("mutations");
        let unread = |why| format!("cannot read {}: {why}", folder.display());
        let mut all = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unread)? {
            let path = entry.map_err(unread)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".mutation"))
            else {
                continue;
            };
            let text = std::fs::read_to_string(&path).map_err(unread)?;
            all.push(Self::read(name, &text).map_err(|why| format!("{}: {why}", path.display()))?);
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

impl Test {
    fn read(text: &str) -> Result<Self, String> {
        let (member, name) = text.trim().split_once(' ').ok_or("a test is named as `crate name`")?;
        Ok(Self { member: member.to_owned(), name: name.to_owned() })
    }
}

impl Change {
    /// The text with the change made.
    ///
    /// # Errors
    /// In words, where what should be there is not, or more than once.
    pub fn made(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.found).count() {
            1 => Ok(text.replacen(&self.found, &self.instead, 1)),
            0 => Err(format!("{}: what is to be taken away is not there:\n{}", self.file, self.found)),
            many => Err(format!("{}: there {many} times, where once is meant:\n{}", self.file, self.found)),
        }
    }
}

fn until<'a>(lines: &mut impl Iterator<Item = &'a str>, end: &str) -> Result<String, String> {
    let mut text = String::new();
    for line in lines {
        if line == end {
            return Ok(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    Err(format!("no `{end}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "Said in\ntwo lines.\n\ntest: a b::c\nfile: x.rs\n--- found\n  one\n--- instead\n--- end\n";

    #[test]
    fn a_mutation_is_read_as_it_is_written() {
        let read = Mutation::read("n", TEXT).unwrap();
        assert_eq!(read.what, "Said in two lines.");
        assert_eq!(read.tests, [Test { member: "a".into(), name: "b::c".into() }]);
        assert_eq!(read.changes[0].found, "  one\n");
        assert_eq!(read.changes[0].made("0\n  one\n2\n").unwrap(), "0\n2\n");
    }

    #[test]
    fn what_is_there_twice_or_never_is_refused() {
        let change = &Mutation::read("n", TEXT).unwrap().changes[0];
        assert!(change.made("  one\n  one\n").is_err());
        assert!(change.made("one\n").is_err());
    }

    #[test]
    fn a_mutation_without_a_test_a_change_or_an_end_is_refused() {
        for text in
            ["", "Said.\n", "Said.\ntest: a b\n", &TEXT.replace("--- end\n", ""), &TEXT.replace("test: ", "")]
        {
            assert!(Mutation::read("n", text).is_err(), "{text}");
        }
    }
}
