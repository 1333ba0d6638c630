//! What a program writes, cut into characters and control sequences, so that only what is understood and allowed reaches
//! a person's terminal.
//!
//! Owns: the cutting (ECMA-48 as terminals practise it, UTF-8 only), with memory that does not grow. Does not own: which
//! sequences are allowed (`screen.rs`). A sequence reaches the output whole or not at all, so a reader may stop and go on
//! between any two bytes.

use super::filtered::{Filtered, Kind};
use super::screen::Screen;

/// Longest control sequence that is looked at; real ones stay under 50 bytes.
const CSI_LIMIT: usize = 128;
/// Longest operating system command that is looked at; the long ones are links.
const OSC_LIMIT: usize = 2048;
/// How much of a device control string is kept, to tell its kind.
const HEAD_LIMIT: usize = 8;

/// Where in a sequence the last byte left us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    Csi,
    Osc,
    /// A string whose content is swallowed; its first bytes tell the kind.
    Swallow(Opening),
    /// After an ESC within a string: a backslash ends the string.
    Closing(Opening),
}

/// What opened a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Osc,
    DeviceControl,
    /// Application program command, privacy message, start of string.
    Private,
    /// The window title of `screen`.
    ScreenTitle,
}

/// The state of one stream of output.
#[derive(Clone, Debug)]
pub struct Filter {
    state: State,
    /// The bytes of the sequence so far, without its introducer.
    held: Vec<u8>,
    /// The sequence grew past its limit.
    too_long: bool,
    /// The bytes of a character that is not complete.
    partial: Vec<u8>,
    screen: Screen,
}

impl Default for Filter {
    fn default() -> Self {
        Self::new()
    }
}

impl Filter {
    /// A filter at the start of a stream, for a terminal in its usual state.
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Ground,
            held: Vec::new(),
            too_long: false,
            partial: Vec::new(),
            screen: Screen::default(),
        }
    }

    /// Takes what the program wrote; appends to `out` what may be shown. How the input is cut into calls never matters.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            if self.state == State::Ground && self.partial.is_empty() {
                let plain = rest.iter().take_while(|byte| matches!(byte, 0x20..=0x7e)).count();
                if plain > 0 {
                    let (text, after) = rest.split_at(plain);
                    out.extend_from_slice(text);
                    rest = after;
                    continue;
                }
            }
            self.take(byte, out);
            rest = after;
        }
    }

    /// What was kept from the terminal so far.
    #[must_use]
    pub fn filtered(&self) -> &Filtered {
        &self.screen.filtered
    }

    /// Answers to harmless questions of the program, to be written to its input; the real terminal was not asked.
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.screen.replies)
    }

    /// What brings the terminal back to its usual state, if the program left it in another. The filter remembers what
    /// was on, for [`Filter::resume`].
    pub fn suspend(&self, out: &mut Vec<u8>) {
        self.screen.undo(out);
    }

    /// What brings the terminal back to where the program had it before [`Filter::suspend`].
    pub fn resume(&self, out: &mut Vec<u8>) {
        self.screen.redo(out);
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.state {
            State::Ground => self.ground(byte, out),
            _ if matches!(byte, 0x18 | 0x1a) => self.abandon(),
            State::Escape => self.escape(byte, out),
            State::Csi => self.csi(byte, out),
            State::Osc => self.osc(byte, out),
            State::Swallow(opening) => self.swallow(opening, byte),
            State::Closing(opening) => self.closing(opening, byte, out),
        }
    }

    fn begin(&mut self, state: State) {
        self.held.clear();
        self.too_long = false;
        self.state = state;
    }

    fn hold(&mut self, byte: u8, limit: usize) {
        if self.held.len() < limit {
            self.held.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn ground(&mut self, byte: u8, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            if continues(&self.partial, byte) {
                self.partial.push(byte);
                self.complete(out);
                return;
            }
            self.partial.clear();
            push_replacement(out);
        }
        match byte {
            0x1b => self.begin(State::Escape),
            0x00..=0x1f => self.screen.control(byte, out),
            0x20..=0x7e => out.push(byte),
            // DEL, and the eight-bit controls, which are no UTF-8.
            0x7f..=0x9f => self.screen.filtered.count(Kind::Control),
            0xc2..=0xf4 => self.partial.push(byte),
            _ => push_replacement(out),
        }
    }

    /// Shows the character that is gathered, once it is whole.
    fn complete(&mut self, out: &mut Vec<u8>) {
        let Ok(text) = std::str::from_utf8(&self.partial) else { return };
        if text.chars().all(char::is_control) {
            self.screen.filtered.count(Kind::Control);
        } else {
            out.extend_from_slice(&self.partial);
        }
        self.partial.clear();
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        match (byte, self.held.is_empty()) {
            (0x1b, _) => self.begin(State::Escape),
            (0x00..=0x1f, _) => self.screen.control(byte, out),
            (b'[', true) => self.begin(State::Csi),
            (b']', true) => self.begin(State::Osc),
            (b'P', true) => self.begin(State::Swallow(Opening::DeviceControl)),
            (b'X' | b'^' | b'_', true) => self.begin(State::Swallow(Opening::Private)),
            (b'k', true) => self.begin(State::Swallow(Opening::ScreenTitle)),
            (0x20..=0x2f, _) => self.hold(byte, 2),
            (0x30..=0x7e, _) => {
                self.screen.escape(&self.held, self.too_long, byte, out);
                self.begin(State::Ground);
            }
            (0x7f, _) => {}
            (0x80.., _) => self.broken(byte, out),
        }
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x1b => {
                self.screen.filtered.count(Kind::Broken);
                self.begin(State::Escape);
            }
            0x00..=0x1f => self.screen.control(byte, out),
            0x20..=0x3f => self.hold(byte, CSI_LIMIT),
            0x40..=0x7e => {
                if self.too_long {
                    self.screen.filtered.count(Kind::Broken);
                } else {
                    self.screen.control_sequence(&self.held, byte, out);
                }
                self.begin(State::Ground);
            }
            0x7f => {}
            0x80.. => self.broken(byte, out),
        }
    }

    fn osc(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x07 => self.end_osc(out),
            0x1b => self.state = State::Closing(Opening::Osc),
            0x20.. => self.hold(byte, OSC_LIMIT),
            _ => {}
        }
    }

    fn end_osc(&mut self, out: &mut Vec<u8>) {
        self.screen.system_command(&self.held, self.too_long, out);
        self.begin(State::Ground);
    }

    fn swallow(&mut self, opening: Opening, byte: u8) {
        match byte {
            0x1b => self.state = State::Closing(opening),
            0x07 if opening == Opening::ScreenTitle => self.abandon(),
            _ => self.hold(byte, HEAD_LIMIT),
        }
    }

    fn closing(&mut self, opening: Opening, byte: u8, out: &mut Vec<u8>) {
        match (byte, opening) {
            (b'\\', Opening::Osc) => self.end_osc(out),
            (b'\\', _) => self.abandon(),
            _ => {
                // The ESC began a new sequence: the string is over, unfinished.
                self.abandon();
                self.begin(State::Escape);
                self.take(byte, out);
            }
        }
    }

    /// A byte that belongs to no sequence: the sequence is dropped, the byte is text.
    fn broken(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.abandon();
        self.take(byte, out);
    }

    /// Drops the sequence in hand and counts it.
    fn abandon(&mut self) {
        let kind = match self.state {
            State::Ground => return self.begin(State::Ground),
            State::Escape | State::Csi => Kind::Broken,
            State::Osc => Screen::kind_of_system_command(&self.held),
            State::Swallow(opening) | State::Closing(opening) => match opening {
                Opening::Osc => Screen::kind_of_system_command(&self.held),
                Opening::DeviceControl => Screen::kind_of_device_control(&self.held),
                Opening::Private => Kind::String,
                Opening::ScreenTitle => Kind::Title,
            },
        };
        self.screen.filtered.count(kind);
        self.begin(State::Ground);
    }
}

fn push_replacement(out: &mut Vec<u8>) {
    out.extend_from_slice("\u{fffd}".as_bytes());
}

/// Whether `byte` can follow the begun character: the ranges of Unicode 3.9, table 3-7, so that no overlong form, no
/// surrogate and nothing past U+10FFFF passes.
fn continues(partial: &[u8], byte: u8) -> bool {
    match partial {
        [0xe0] => matches!(byte, 0xa0..=0xbf),
        [0xed] => matches!(byte, 0x80..=0x9f),
        [0xf0] => matches!(byte, 0x90..=0xbf),
        [0xf4] => matches!(byte, 0x80..=0x8f),
        _ => matches!(byte, 0x80..=0xbf),
    }
}

#[cfg(test)]
mod tests;
