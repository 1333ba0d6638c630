//! Names as other programs may read them: file systems and tools differ in what they take for the same name.
//!
//! Owns: one spelling for all names that some file system or program takes for one another. Does not own which names
//! matter (`handoff`).

use std::borrow::Cow;

/// The spelling under which a name is compared: compatibility forms unified, case folded, characters that are not seen
/// left out (as Apple's and Windows' file systems do, which is how `.git` was once written into by other names), dots and
/// spaces at the end too, and short DOS names of `.git` spelt out. Bytes that are no text stay apart from all text.
pub(crate) fn folded(name: &[u8]) -> Cow<'_, str> {
    if name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.'))
        && !name.ends_with(b".")
        && let Ok(name) = std::str::from_utf8(name)
    {
        return Cow::Borrowed(name);
    }
    let text = String::from_utf8_lossy(name);
    // A stream of a file (`.git::$INDEX_ALLOCATION`) is the file.
    let text = text.split(':').next().unwrap_or_default();
    let unified = icu_normalizer::ComposingNormalizerBorrowed::new_nfkc();
    let seen: String = unified.normalize(text).chars().filter(|one| !is_unseen(*one)).collect();
    let folded = unified.normalize(&seen.to_uppercase().to_lowercase()).into_owned();
    let folded = folded.trim_end_matches(['.', ' ']);
    Cow::Owned(if folded == "git~1" { ".git".to_owned() } else { folded.to_owned() })
}

/// Characters that some file system leaves out when it compares names.
fn is_unseen(one: char) -> bool {
    matches!(one, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}')
        || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}')
        || matches!(one, '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_file_system_takes_for_git_are_git() {
        for name in [
            ".git",
            ".GIT",
            ".Git",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git.",
            ".git ",
            ".git. .",
            "git~1",
            "GIT~1",
            ".git::$INDEX_ALLOCATION",
            ".gi\u{ff54}",
            ".G\u{131}T".to_uppercase().as_str(),
        ] {
            assert_eq!(folded(name.as_bytes()), ".git", "{name:?}");
        }
    }

    #[test]
    fn names_that_are_others_stay_so() {
        for name in [".gitignore", ".github", "git", "a.git", ".git2", "git~2"] {
            assert_ne!(folded(name.as_bytes()), ".git", "{name:?}");
        }
        assert_eq!(folded("Straße".as_bytes()), folded("STRASSE".as_bytes()));
        assert_eq!(folded("e\u{301}".as_bytes()), folded("\u{c9}".as_bytes()));
        assert_ne!(folded(b".git\xff"), ".git");
    }
}
