//! How bytes that an agent chose are shown to a person: on one line, with nothing that steers a terminal, hides or turns
//! text around.

use std::fmt::{self, Write};

/// Writes bytes so that they can be read, and read in one way only.
pub(crate) fn write_escaped(to: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => to.write_str("\\n")?,
                '\r' => to.write_str("\\r")?,
                '\t' => to.write_str("\\t")?,
                '\\' => to.write_str("\\\\")?,
                other if is_misleading(other) => write!(to, "\\u{{{:x}}}", u32::from(other))?,
                other => to.write_char(other)?,
            }
        }
        for byte in chunk.invalid() {
            write!(to, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// A text made readable in this way, cut after so many characters.
pub(crate) fn printable(text: &str, most: usize) -> String {
    let cut: String = text.chars().take(most).collect();
    let mut shown = String::new();
    // Writing to a String cannot fail.
    let _ = write_escaped(&mut shown, cut.as_bytes());
    if text.chars().nth(most).is_some() {
        shown.push_str("..");
    }
    shown
}

/// Whether a text is shown as it is.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.chars().any(is_misleading)
}

/// Characters that show nothing, something else, or somewhere else.
fn is_misleading(character: char) -> bool {
    character.is_control()
        || (character.is_whitespace() && character != ' ')
        || matches!(u32::from(character),
            0xad | 0x34f | 0x61c | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f
            | 0x202a..=0x202e | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
            | 0x1d173..=0x1d17a | 0xe0000..=0xe0fff)
}

/// Writes a word of a command: quoted where it has to be, so that words can be told apart.
pub(crate) fn write_word(to: &mut impl Write, word: &[u8]) -> fmt::Result {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80 || b"-_./:=,+@%^~{}*?![]#".contains(byte);
    if !word.is_empty() && word.iter().all(plain) {
        return write_escaped(to, word);
    }
    to.write_char('\'')?;
    let mut first = true;
    for part in word.split(|byte| *byte == b'\'') {
        if !first {
            to.write_str("\\'")?;
        }
        first = false;
        write_escaped(to, part)?;
    }
    to.write_char('\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut text = String::new();
        write_escaped(&mut text, bytes).unwrap();
        text
    }

    fn word(bytes: &[u8]) -> String {
        let mut text = String::new();
        write_word(&mut text, bytes).unwrap();
        text
    }

    #[test]
    fn nothing_steers_hides_or_turns() {
        assert_eq!(escaped(b"plain name"), "plain name");
        assert_eq!(escaped("stra\u{df}e".as_bytes()), "stra\u{df}e");
        assert_eq!(escaped(b"a\nb\rc\td\\e"), "a\\nb\\rc\\td\\\\e");
        assert_eq!(escaped(b"\x1b[2J"), "\\u{1b}[2J");
        assert_eq!(escaped("x\u{202e}y\u{200b}z".as_bytes()), "x\\u{202e}y\\u{200b}z");
        assert_eq!(escaped("\u{e0041}\u{2028}".as_bytes()), "\\u{e0041}\\u{2028}");
        assert_eq!(escaped(b"a\xff\xfeb"), "a\\xff\\xfeb");
    }

    #[test]
    fn words_can_be_told_apart() {
        assert_eq!(word(b"--force"), "--force");
        assert_eq!(word(b""), "''");
        assert_eq!(word(b"two words"), "'two words'");
        assert_eq!(word(b"it's"), "'it\\'s'");
        assert_eq!(word(b"$(x)"), "'$(x)'");
    }
}
