//! A question on the person's terminal that nothing but a person can answer.
//!
//! Owns: throwing away what was typed before the question was there, showing it so that its text can only be text, and
//! wanting a whole word. Does not own: what is asked, or what the answer means. The relay must stand still meanwhile
//! (`Control::pause`).

use super::TerminalError;
use super::line::{Line, Moved, wait};
use super::raw::{Changed, Manner};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::AsFd;
use rustix::termios::{QueueSelector, tcflush};
use std::time::{Duration, Instant};

/// Longest answer that is taken; further keys are not heard.
const LONGEST: usize = 400;
/// What asks for an explanation instead of answering.
const HELP: &str = "?";
/// What people say where a yes is meant, elsewhere.
const ALSO_YES: [&str; 5] = ["y", "yes", "ok", "j", "ja"];
/// How often to look whether the question has become idle.
const GLANCE: Duration = Duration::from_millis(100);
/// How long a terminal may take to show a question.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shows the lines of `question`, those of `help` where `?` is typed, and waits for a line of keys. `Some(true)` if it is exactly `word`, `Some(false)` for
/// any other line, ^C, ^D or a terminal that is gone; `None` when the time is up or the question is `idle`: somebody else
/// answered it, or nobody needs the answer any more.
pub fn ask_on_terminal(
    input: impl AsFd,
    output: impl AsFd,
    texts: (&[String], &[String]),
    word: &str,
    time: Duration,
    idle: &dyn Fn() -> bool,
) -> Result<Option<bool>, TerminalError> {
    let prompt = format!("type `{}` and press enter, `?` explains, anything else refuses: ", printable(word));
    let (question, help) = texts;
    let again = |said: &str| explains(said, &[word], help);
    let said = hear_on_terminal(input, output, question, &prompt, (time, idle), &again)?;
    Ok(said.map(|said| said.is_some_and(|said| said == word)))
}

/// What is said to a line that answers nothing: the explanation, or that a yes is one of these words and nothing like it.
pub fn explains(said: &str, words: &[&str], help: &[String]) -> Option<Vec<String>> {
    let typed = said.trim();
    if typed == HELP {
        return Some(help.to_vec());
    }
    let small = typed.to_ascii_lowercase();
    let like = |word: &&&str| word.starts_with(&small) || small.starts_with(**word);
    let meant = ALSO_YES.contains(&&*small) || (!small.is_empty() && words.iter().any(|word| like(&word)));
    let meant = meant && !words.is_empty();
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    let line = || vec![format!("  That is no answer yet: a yes is the word {} alone.", quoted.join(" or "))];
    (meant && !words.contains(&said)).then(line)
}

/// The same for an answer in words: the line as it was typed, which is text of one line; `Some(None)` for ^C, ^D or a terminal
/// that is gone. After a line to which `again` has something to say, it is asked again.
pub fn hear_on_terminal(
    input: impl AsFd,
    output: impl AsFd,
    question: &[String],
    prompt: &str,
    (time, idle): (Duration, &dyn Fn() -> bool),
    again: &dyn Fn(&str) -> Option<Vec<String>>,
) -> Result<Option<Option<String>>, TerminalError> {
    let deadline = Instant::now() + time;
    let keys = Line::open(input.as_fd())?;
    let show = Line::open(output.as_fd())?;
    let _manner = Changed::enter(input.as_fd(), Manner::Question)?;
    // ORDER: throw away, then show. What is read from here on was typed with the question in view.
    tcflush(input.as_fd(), QueueSelector::IFlush).map_err(super::line::lost)?;
    for line in question {
        show.write_all(format!("{}\r\n", printable(line)).as_bytes(), PATIENCE)?;
    }
    loop {
        show.write_all(printable(prompt).as_bytes(), PATIENCE)?;
        let answer = listen(&keys, &show, deadline, idle)?;
        show.write_all(b"\r\n", PATIENCE)?;
        if let Some(lines) = answer.as_ref().and_then(|said| again(said.as_deref()?)) {
            for line in &lines {
                show.write_all(format!("{}\r\n", printable(line)).as_bytes(), PATIENCE)?;
            }
            continue;
        }
        return Ok(answer);
    }
}

/// Shows one line, so that it can only be text.
pub fn say_on_terminal(output: impl AsFd, line: &str) -> Result<(), TerminalError> {
    Line::open(output.as_fd())?.write_all(format!("{}\r\n", printable(line)).as_bytes(), PATIENCE)
}

/// A line of keys: `None` when the time is up or nobody waits, `Some(None)` if the person broke off.
fn listen(
    keys: &Line,
    show: &Line,
    deadline: Instant,
    idle: &dyn Fn() -> bool,
) -> Result<Option<Option<String>>, TerminalError> {
    let mut said = Answer::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || idle() {
            return Ok(None);
        }
        wait(&mut [PollFd::new(keys, PollFlags::IN)], left.min(GLANCE))?;
        let mut bytes = [0; 256];
        let count = match keys.read(&mut bytes)? {
            Moved::Bytes(count) => count,
            Moved::Nothing => continue,
            Moved::Gone => return Ok(Some(None)),
        };
        let mut echo = Vec::new();
        let end = said.hear(bytes.get(..count).unwrap_or_default(), &mut echo);
        show.write_all(&echo, PATIENCE)?;
        match end {
            Some(End::Said) => return Ok(Some(Some(said.text))),
            Some(End::BrokenOff) => return Ok(Some(None)),
            None => {}
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Said,
    BrokenOff,
}

/// The line so far.
#[derive(Debug, Default)]
struct Answer {
    text: String,
}

impl Answer {
    /// Takes keys that arrived together; says whether the line ended. An escape sequence (an arrow, an answer of the
    /// terminal itself) and what arrived with it is not heard.
    fn hear(&mut self, keys: &[u8], echo: &mut Vec<u8>) -> Option<End> {
        for key in keys {
            match key {
                b'\r' | b'\n' => return Some(End::Said),
                0x03 | 0x04 => return Some(End::BrokenOff),
                0x1b => return None,
                0x08 | 0x7f => {
                    let gone = self.text.pop().map(|_| b"\x08 \x08");
                    echo.extend(gone.into_iter().flatten());
                }
                0x15 => {
                    (0..self.text.len()).for_each(|_| echo.extend_from_slice(b"\x08 \x08"));
                    self.text.clear();
                }
                0x20..=0x7e if self.text.len() < LONGEST => {
                    self.text.push(char::from(*key));
                    echo.push(*key);
                }
                _ => {}
            }
        }
        None
    }
}

/// The text with everything escaped that a terminal would act on or that would change how the rest reads: controls, line
/// ends, direction marks, invisible characters.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::relay::tests::{pair, read_some};
    use rustix::fd::OwnedFd;
    use std::thread;

    fn ask(keys: &'static [u8], early: &'static [u8], time: u64) -> (Option<bool>, String) {
        let (master, slave) = pair();
        rustix::io::write(&master, early).unwrap();
        let typist = {
            let master: OwnedFd = master.try_clone().unwrap();
            thread::spawn(move || {
                let mut seen = String::new();
                while !seen.contains("refuses: ") {
                    seen.push_str(&read_some(&master, Duration::from_secs(5)));
                }
                rustix::io::write(&master, keys).unwrap();
                seen
            })
        };
        let question = ["land `a\u{1b}]52;c;x\u{7}b`?".to_owned(), "line\ntwo \u{202e}abc".to_owned()];
        let answer = ask_on_terminal(
            &slave,
            &slave,
            (&question, &["it means this".to_owned()]),
            "yes",
            Duration::from_millis(time),
            &|| false,
        )
        .unwrap();
        (answer, typist.join().unwrap())
    }

    #[test]
    fn only_the_whole_word_counts() {
        assert_eq!(ask(b"yes\r", b"", 5000).0, Some(true));
        assert_eq!(ask(b"yex\x7fs\r", b"", 5000).0, Some(true));
        for other in [
            &b"y\r"[..],
            b"\r",
            b"yes please\r",
            b"YES\r",
            b" yes\r",
            b"no\r",
            b"\x03",
            b"\x04",
            b"ye\x1bs\rs\r",
        ] {
            assert!(!ask(other, b"", 1000).0.unwrap_or(false), "{other:?}");
        }
    }

    #[test]
    fn a_question_mark_explains_and_asks_again() {
        let (master, slave) = pair();
        let typist = thread::spawn(move || {
            let mut seen = String::new();
            for (prompts, keys) in [(1, &b"?\r"[..]), (2, b" ? \r"), (3, b"yes\r")] {
                while seen.matches("refuses: ").count() < prompts {
                    seen.push_str(&read_some(&master, Duration::from_secs(5)));
                }
                rustix::io::write(&master, keys).unwrap();
            }
            (seen, master)
        });
        let help = ["it means this".to_owned()];
        let answer =
            ask_on_terminal(&slave, &slave, (&[], &help), "yes", Duration::from_secs(5), &|| false).unwrap();
        let (seen, _master) = typist.join().unwrap();
        assert_eq!((answer, seen.matches("it means this").count()), (Some(true), 2), "{seen:?}");
    }

    #[test]
    fn what_is_nearly_a_yes_is_told_the_word_and_asked_again() {
        for near in ["y", "YES", "allo", "Allow", "allow it", " allow", "allow  run"] {
            let said = explains(near, &["allow", "allow run"], &[]).unwrap_or_default();
            assert_eq!(
                said,
                ["  That is no answer yet: a yes is the word `allow` or `allow run` alone."],
                "{near}"
            );
        }
        for answer in ["allow", "allow run", "no", "", "n", "deny", "never"] {
            assert_eq!(explains(answer, &["allow", "allow run"], &[]), None, "{answer}");
        }
        assert_eq!(explains("?", &["allow"], &["it means this".to_owned()]).unwrap(), ["it means this"]);
    }

    #[test]
    fn what_was_typed_before_the_question_is_thrown_away() {
        assert_eq!(ask(b"", b"yes\ryes\ryes\n", 300).0, None);
    }

    #[test]
    fn an_answer_of_the_terminal_itself_is_no_answer() {
        assert_eq!(ask(b"\x1b[24;80Ryes\r", b"", 300).0, None);
    }

    #[test]
    fn the_question_can_only_be_text() {
        let (_, seen) = ask(b"no\r", b"", 5000);
        assert!(
            !seen.contains('\u{1b}') && !seen.contains('\u{7}') && !seen.contains('\u{202e}'),
            "{seen:?}"
        );
        assert!(seen.contains(r"a\u{1b}]52;c;x\u{7}b"), "{seen:?}");
        assert!(seen.contains(r"line\u{a}two \u{202e}abc"), "{seen:?}");
    }

    #[test]
    fn time_runs_out() {
        assert_eq!(ask(b"ye", b"", 200).0, None);
    }

    #[test]
    fn a_question_that_nobody_needs_answered_is_over() {
        let (_master, slave) = pair();
        let began = Instant::now();
        let answer =
            ask_on_terminal(&slave, &slave, (&[], &[]), "yes", Duration::from_secs(60), &|| true).unwrap();
        assert!(answer.is_none() && began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn ordinary_text_is_shown_as_it_is() {
        assert_eq!(printable("écrire 日本 `x` \"y\" \\n"), "écrire 日本 `x` \"y\" \\n");
    }
}
