//! Which control sequences may reach a person's terminal, and what they leave switched on.
//!
//! Allowed: moving the cursor, erasing what is visible, colours, scrolling, the alternate screen, mouse and paste
//! reporting, links to web pages. Kept away: whatever makes the terminal type back, touches the clipboard, the title,
//! the palette, the window, the keyboard's encoding or the scrollback, and every string that is passed to something
//! else. What is not listed is kept away.

use super::filtered::{Filtered, Kind};
use super::sequence::Sequence;
use std::collections::BTreeMap;

/// Answers are for a program that reads them; one that does not gets no more than this.
const REPLY_LIMIT: usize = 1024;

/// What a plain VT100 with advanced video says about itself.
const DEVICE_ATTRIBUTES: &[u8] = b"\x1b[?1;2c";

/// The private modes that may be switched, with the state they have when nobody touched them. `None`: nobody knows.
const MODES: [(u16, Option<bool>); 22] = [
    (1, Some(false)),    // cursor keys for applications
    (5, Some(false)),    // reverse video
    (6, Some(false)),    // origin
    (7, Some(true)),     // wrapping
    (12, None),          // blinking cursor
    (25, Some(true)),    // cursor visible
    (66, Some(false)),   // keypad for applications
    (47, Some(false)),   // alternate screen, three ages of it
    (1000, Some(false)), // mouse: buttons
    (1002, Some(false)), // mouse: drags
    (1003, Some(false)), // mouse: motion
    (1004, Some(false)), // focus
    (1005, Some(false)), // mouse encodings
    (1006, Some(false)),
    (1007, None), // wheel as arrow keys in the alternate screen
    (1015, Some(false)),
    (1016, Some(false)),
    (1047, Some(false)),
    (1048, None), // saved cursor
    (1049, Some(false)),
    (2004, Some(false)), // bracketed paste
    (2026, Some(false)), // hold drawing until an update is whole
];

/// The part of a terminal's state that a program can leave behind.
#[derive(Clone, Debug, Default)]
pub(super) struct Screen {
    pub(super) filtered: Filtered,
    pub(super) replies: Vec<u8>,
    modes: BTreeMap<u16, bool>,
    insert: bool,
    keypad: bool,
    drawing_set: bool,
    shifted: bool,
    styled: bool,
    cursor_style: Vec<u8>,
    scroll_region: Vec<u8>,
    link: Vec<u8>,
}

impl Screen {
    /// A single control character below U+0020.
    pub(super) fn control(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x07..=0x0d => out.push(byte),
            0x0e | 0x0f => {
                self.shifted = byte == 0x0e;
                out.push(byte);
            }
            0x05 => self.filtered.count(Kind::Query),
            _ => self.filtered.count(Kind::Control),
        }
    }

    /// ESC, the bytes between, and a final byte.
    pub(super) fn escape(&mut self, between: &[u8], too_long: bool, last: u8, out: &mut Vec<u8>) {
        let allowed = match (between, last) {
            _ if too_long => Err(Kind::Broken),
            ([], b'7' | b'8' | b'D' | b'E' | b'M' | b'H') => Ok(()),
            ([], b'=' | b'>') => {
                self.keypad = last == b'=';
                Ok(())
            }
            ([b'(' | b')'], b'B' | b'0') => {
                self.drawing_set |= last == b'0';
                Ok(())
            }
            // The end of a string that is over already.
            ([], b'\\') => return,
            ([], b'Z') => Err(Kind::Query),
            ([], b'c') => Err(Kind::Reset),
            _ => Err(Kind::Other),
        };
        match allowed {
            Ok(()) => {
                out.push(0x1b);
                out.extend_from_slice(between);
                out.push(last);
            }
            Err(kind) => self.filtered.count(kind),
        }
    }

    /// A control sequence: ESC `[`, `text`, and a final byte.
    pub(super) fn control_sequence(&mut self, text: &[u8], last: u8, out: &mut Vec<u8>) {
        let Some(sequence) = Sequence::read(text) else { return self.filtered.count(Kind::Broken) };
        match (sequence.marker, sequence.between, last) {
            (Some(b'?'), [], b'h' | b'l') => return self.switch(&sequence, last == b'h', out),
            (None, [], b'c') if sequence.only(&[0]) => return self.reply(DEVICE_ATTRIBUTES),
            (None, [], b'n') if sequence.only(&[5]) => return self.reply(b"\x1b[0n"),
            _ => {}
        }
        match self.judge(&sequence, text, last) {
            Ok(()) => emit(text, last, out),
            Err(kind) => self.filtered.count(kind),
        }
    }

    fn judge(&mut self, sequence: &Sequence<'_>, text: &[u8], last: u8) -> Result<(), Kind> {
        match (sequence.marker, sequence.between, last) {
            (None, [], b'J') if sequence.numbers().any(|number| number == 3) => Err(Kind::Reset),
            (None, [], b'b') if sequence.first() > 1000 => Err(Kind::Other),
            (None, [], b'@' | b'A'..=b'M' | b'P' | b'S' | b'X' | b'Z' | b'`' | b'a' | b'b' | b'd'..=b'g') => {
                Ok(())
            }
            (None, [], b'T') if sequence.count() <= 1 => Ok(()),
            (None, [], b's' | b'u') if text.is_empty() => Ok(()),
            (None, [], b'm') => {
                self.styled = !sequence.only(&[0]);
                Ok(())
            }
            (None, [], b'r') => {
                self.scroll_region = if text.is_empty() { Vec::new() } else { text.to_vec() };
                Ok(())
            }
            (None, [], b'h' | b'l') if sequence.only(&[4]) => {
                self.insert = last == b'h';
                Ok(())
            }
            (None, [b' '], b'q') if sequence.count() <= 1 && sequence.first() <= 6 => {
                self.cursor_style = if sequence.first() == 0 { Vec::new() } else { text.to_vec() };
                Ok(())
            }
            (None, [b'!'], b'p') if sequence.count() == 0 => Ok(()),
            refused => Err(Self::kind_of_control_sequence(refused, sequence)),
        }
    }

    fn kind_of_control_sequence(shape: (Option<u8>, &[u8], u8), sequence: &Sequence<'_>) -> Kind {
        match shape {
            (_, [] | [b'$'], b'n' | b'c' | b'x') | (Some(b'>'), [], b'q') | (Some(b'?'), [], b'u' | b'm') => {
                Kind::Query
            }
            (_, [b'$'], b'p' | b'w' | b'u') | (_, [b'*'], b'y') | (_, [b'\''], b'|') => Kind::Query,
            (None, [], b't') if matches!(sequence.first(), 20..=23) => Kind::Title,
            (Some(b'>'), [], b't' | b'T') => Kind::Title,
            (_, _, b't' | b'i' | b'v') => Kind::Window,
            (Some(b'>' | b'<' | b'='), [], b'u' | b'm' | b'f') => Kind::Keyboard,
            (_, _, b'h' | b'l') | (Some(_), _, b's' | b'r' | b'p') | (_, [b'\''], _) => Kind::Mode,
            _ => Kind::Other,
        }
    }

    /// Private modes: those on the list are switched, the others are left out.
    fn switch(&mut self, sequence: &Sequence<'_>, on: bool, out: &mut Vec<u8>) {
        let mut kept: Vec<String> = Vec::new();
        for number in sequence.numbers() {
            if MODES.iter().any(|(mode, _)| *mode == number) {
                self.modes.insert(number, on);
                kept.push(number.to_string());
            } else {
                self.filtered.count(Kind::Mode);
            }
        }
        if !kept.is_empty() {
            emit(format!("?{}", kept.join(";")).as_bytes(), if on { b'h' } else { b'l' }, out);
        }
    }

    fn reply(&mut self, words: &[u8]) {
        if self.replies.len() + words.len() <= REPLY_LIMIT {
            self.replies.extend_from_slice(words);
        } else {
            self.filtered.count(Kind::Query);
        }
    }

    /// An operating system command. Only links are let through.
    pub(super) fn system_command(&mut self, text: &[u8], too_long: bool, out: &mut Vec<u8>) {
        let link = if too_long { None } else { link(text) };
        match link {
            Some(words) => {
                self.link = if words.ends_with(b";") { Vec::new() } else { words.clone() };
                emit_system(&words, out);
            }
            None => self.filtered.count(Self::kind_of_system_command(text)),
        }
    }

    pub(super) fn kind_of_system_command(text: &[u8]) -> Kind {
        let mut words = text.split(|byte| *byte == b';');
        match words.next().unwrap_or_default() {
            b"52" => Kind::Clipboard,
            b"0" | b"1" | b"2" | b"3" | b"l" | b"L" | b"I" => Kind::Title,
            b"8" => Kind::Link,
            b"9" | b"99" | b"777" => Kind::Notification,
            [b'4' | b'5' | b'6'] | [b'1', b'0'..=b'9'] | b"21" if words.any(|word| word == b"?") => {
                Kind::Query
            }
            [b'4' | b'5' | b'6'] | [b'1', b'0'..=b'9'] | [b'1', b'0' | b'1', b'0'..=b'9'] | b"21" => {
                Kind::Colours
            }
            b"1337" => Kind::Image,
            _ => Kind::Other,
        }
    }

    pub(super) fn kind_of_device_control(head: &[u8]) -> Kind {
        let last = head.iter().position(|byte| matches!(byte, 0x40..=0x7e));
        match last.and_then(|last| head.get(..=last)) {
            Some([.., b'$' | b'+', b'q']) => Kind::Query,
            Some([b't']) => Kind::Passthrough,
            Some([.., b'q']) => Kind::Image,
            Some(_) | None => Kind::String,
        }
    }

    /// What switches everything off that was left on; nothing if nothing was.
    pub(super) fn undo(&self, out: &mut Vec<u8>) {
        if !self.link.is_empty() {
            emit_system(b"8;;", out);
        }
        let parts: [(bool, &[u8]); 6] = [
            (self.insert, b"\x1b[4l"),
            (self.keypad, b"\x1b>"),
            (self.drawing_set || self.shifted, b"\x1b(B\x1b)B\x0f"),
            (self.styled, b"\x1b[m"),
            (!self.cursor_style.is_empty(), b"\x1b[0 q"),
            (!self.scroll_region.is_empty(), b"\x1b7\x1b[r\x1b8"),
        ];
        parts.iter().filter(|(left, _)| *left).for_each(|(_, words)| out.extend_from_slice(words));
        for (mode, usual, _) in self.unusual() {
            emit(format!("?{mode}").as_bytes(), if usual { b'h' } else { b'l' }, out);
        }
    }

    /// What `undo` switched off, on again. The picture itself is the program's to draw again.
    pub(super) fn redo(&self, out: &mut Vec<u8>) {
        for (mode, usual, _) in self.unusual() {
            emit(format!("?{mode}").as_bytes(), if usual { b'l' } else { b'h' }, out);
        }
        let parts: [(bool, &[u8]); 2] = [(self.insert, b"\x1b[4h"), (self.keypad, b"\x1b=")];
        parts.iter().filter(|(left, _)| *left).for_each(|(_, words)| out.extend_from_slice(words));
        if !self.cursor_style.is_empty() {
            emit(&self.cursor_style, b'q', out);
        }
        if !self.scroll_region.is_empty() {
            out.extend_from_slice(b"\x1b7");
            emit(&self.scroll_region, b'r', out);
            out.extend_from_slice(b"\x1b8");
        }
    }

    /// Modes that are not as they usually are, with their usual state.
    fn unusual(&self) -> impl Iterator<Item = (u16, bool, bool)> + '_ {
        MODES.iter().filter_map(|(mode, usual)| {
            let (usual, now) = ((*usual)?, *self.modes.get(mode)?);
            (usual != now).then_some((*mode, usual, now))
        })
    }
}

fn emit(text: &[u8], last: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b[");
    out.extend_from_slice(text);
    out.push(last);
}

fn emit_system(words: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\x1b]");
    out.extend_from_slice(words);
    out.extend_from_slice(b"\x1b\\");
}

/// The words of a link that may be shown, rebuilt from its parts: a web address without a user in it, or the end of a link.
fn link(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let (parameters, address) = text.strip_prefix("8;")?.split_once(';')?;
    if address.is_empty() {
        return Some(b"8;;".to_vec());
    }
    let lower = address.to_ascii_lowercase();
    let place = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"))?;
    let host = place.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    // A closing `;` is how `system_command` knows the end of a link, so no address may have one.
    let plain = address.bytes().all(|byte| byte.is_ascii_graphic()) && !address.ends_with(';');
    if host.is_empty() || host.contains('@') || !plain {
        return None;
    }
    let id = parameters.split(':').filter_map(|word| word.strip_prefix("id=")).find(|id| is_link_id(id));
    let id = id.map(|id| format!("id={id}")).unwrap_or_default();
    Some(format!("8;{id};{address}").into_bytes())
}

fn is_link_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
