//! From an action back to words: what of it a person reads, and what is typed to ask for it.
//!
//! Pure. Owns which variables of a command are left out because every command of the run has them, and the quoting of a shell. Such
//! texts are read and typed, never judged.

use crate::Action;

/// Names and values.
type Variables = [(Vec<u8>, Vec<u8>)];

impl Action {
    /// As a person reads it who knows `usual`, the variables that every command has.
    pub fn text_beside(&self, usual: &Variables) -> String {
        self.beside(usual).map_or_else(|| self.to_string(), |shown| shown.to_string())
    }

    /// `KIND WORDS..`, as it is typed in a shell where `usual` are set already. None for kinds that nobody asks for by words, and
    /// for what cannot be typed on one line of plain text.
    pub fn typed_beside(&self, usual: &Variables) -> Option<String> {
        let words: Vec<Vec<u8>> = match self.beside(usual).as_ref().unwrap_or(self) {
            Action::Exec(command) => {
                let set = command.env.iter().map(|(name, value)| [name, &b"="[..], value].concat());
                set.chain(command.argv.iter().cloned()).collect()
            }
            Action::Read(path) => vec![path.as_bytes().to_vec()],
            Action::Connect(endpoint) => vec![endpoint.to_string().into_bytes()],
            _ => return None,
        };
        let plain = |word: &Vec<u8>| std::str::from_utf8(word).is_ok_and(crate::text::is_plain);
        let quoted = |word: &Vec<u8>| shlex::bytes::try_quote(word).ok().map(std::borrow::Cow::into_owned);
        if words.is_empty() || !words.iter().all(plain) {
            return None;
        }
        let typed = words.iter().map(quoted).collect::<Option<Vec<_>>>()?.join(&b' ');
        Some(format!("{} {}", self.kind(), String::from_utf8(typed).ok()?))
    }

    fn beside(&self, usual: &Variables) -> Option<Action> {
        let Action::Exec(command) = self else { return None };
        let mut command = command.clone();
        command.env.retain(|variable| !usual.contains(variable));
        Some(Action::Exec(command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AbsPath, Command, Endpoint};
    use std::path::Path;

    fn at(path: &str) -> AbsPath {
        AbsPath::new(Path::new(path)).unwrap()
    }

    fn git(words: &[&str]) -> Action {
        let argv = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let env = vec![(b"GIT_DIR".to_vec(), b"a b".to_vec()), (b"GIT_EDITOR".to_vec(), b"vi".to_vec())];
        Action::Exec(Command::new(at("/usr/bin/git"), argv, env))
    }

    #[test]
    fn what_every_command_has_is_not_shown_and_what_differs_is() {
        let usual = [(b"GIT_EDITOR".to_vec(), b"vi".to_vec()), (b"GIT_DIR".to_vec(), b"c".to_vec())];
        assert_eq!(git(&["git", "tag"]).text_beside(&usual), "exec GIT_DIR='a b' git tag");
        assert_eq!(git(&["git", "tag"]).text_beside(&[]), "exec GIT_DIR='a b' GIT_EDITOR=vi git tag");
    }

    #[test]
    fn what_is_typed_means_the_same_to_a_shell() {
        let usual = [(b"GIT_EDITOR".to_vec(), b"vi".to_vec())];
        let typed = git(&["git", "tag", "v 1", "$(x)", "it's", "a*", ""]).typed_beside(&usual).unwrap();
        let words = ["exec", "GIT_DIR=a b", "git", "tag", "v 1", "$(x)", "it's", "a*", ""];
        assert_eq!(shlex::split(&typed).unwrap(), words, "{typed}");
        assert_eq!(Action::Read(at("/a b")).typed_beside(&[]).unwrap(), "read '/a b'");
        let to = Action::Connect(Endpoint::parse("x.example:443").unwrap());
        assert_eq!(to.typed_beside(&[]).unwrap(), "connect x.example:443");
    }

    #[test]
    fn what_cannot_be_typed_is_not_offered() {
        for odd in ["a\nb", "a\u{1b}[2Jb", "a\u{202e}b"] {
            assert_eq!(git(&["git", odd]).typed_beside(&[]), None, "{odd:?}");
        }
        assert_eq!(Action::Write(at("/a")).typed_beside(&[]), None);
    }
}
