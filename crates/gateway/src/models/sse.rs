//! Server-sent events, as their data comes in pieces (WHATWG HTML, 9.2.6).
//!
//! Own code, because it must never hold more than one bounded event and never stop the stream it looks on: an event that
//! is too long is left out; what it would have said is then estimated.

/// The longest event that is read, in bytes: one that carries a whole answer is the longest there is.
const LONGEST: usize = 16 << 20;

/// The data of events, from pieces of a stream.
#[derive(Debug, Default)]
pub(crate) struct Events {
    line: Vec<u8>,
    data: Vec<u8>,
    /// Whether the event so far has data at all.
    has_data: bool,
    after_return: bool,
    too_long: bool,
    begun: bool,
}

impl Events {
    /// Gives each event's data that ends within this piece.
    pub(crate) fn piece(&mut self, piece: &[u8], mut event: impl FnMut(&[u8])) {
        for byte in piece {
            let was_return = std::mem::replace(&mut self.after_return, *byte == b'\r');
            match byte {
                b'\n' if was_return => {}
                b'\n' | b'\r' => self.line_ends(&mut event),
                _ if self.line.len() + self.data.len() < LONGEST => self.line.push(*byte),
                _ => self.too_long = true,
            }
        }
    }

    fn line_ends(&mut self, event: &mut impl FnMut(&[u8])) {
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::replace(&mut self.begun, true) && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        if line.is_empty() {
            if !std::mem::take(&mut self.too_long) && self.has_data {
                event(&self.data);
            }
            self.data.clear();
            self.has_data = false;
        } else if let Some(data) = data_of(&line) {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data);
        }
        line.clear();
        self.line = line;
    }
}

fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    match rest.split_first() {
        None => Some(rest),
        Some((b':', value)) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Vec<String> {
        let (mut events, mut all) = (Events::default(), Vec::new());
        for piece in pieces {
            events.piece(piece, |data| all.push(String::from_utf8_lossy(data).into_owned()));
        }
        all
    }

    #[test]
    fn events_are_read_wherever_pieces_end() {
        let text = "\u{feff}: hello\r\nevent: a\r\ndata: one\r\ndata:two\r\n\r\ndata\rdata: x\r\rid: 1\n\ndata: [DONE]\n\n".as_bytes();
        let want = ["one\ntwo", "\nx", "[DONE]"];
        assert_eq!(read(&[text]), want);
        for at in 0..text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(read(&[first, second]), want, "cut at {at}");
        }
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out_and_the_next_is_read() {
        let mut events = Events::default();
        events.piece(b"data: ", |_| panic!("nothing ended"));
        for _ in 0..20 {
            events.piece(&vec![b'x'; 1 << 20], |_| panic!("nothing ended"));
        }
        assert!(events.line.len() <= LONGEST);
        let mut all = Vec::new();
        events.piece(b"\n\ndata: y\n\n", |data| all.push(data.to_vec()));
        assert_eq!(all, [b"y"]);
    }
}
