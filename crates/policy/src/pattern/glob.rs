//! Words and folder names with stars and alternatives.
//!
//! `*` is any text within one word or folder name, `**` (alone) any number of whole ones, `{a,b}` either. A backslash takes the
//! meaning off the next character; in commands, quotes do it for all they enclose. Characters that mean something to
//! a shell or to other globs are refused rather than taken literally: who writes them expects that meaning.

use crate::pattern::PatternError;

/// One word or folder name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Glob(pub(crate) Vec<Piece>);

/// A piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These bytes.
    Literal(Vec<u8>),
    /// Any bytes within the word.
    Star,
    /// One of these.
    Choice(Vec<Glob>),
}

impl Piece {
    /// Whether a slash stands in it.
    pub(crate) fn has_slash(&self) -> bool {
        match self {
            Piece::Star => false,
            Piece::Literal(bytes) => bytes.contains(&b'/'),
            Piece::Choice(choices) => choices.iter().any(|choice| choice.0.iter().any(Piece::has_slash)),
        }
    }
}

/// One place in a sequence of words or folder names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Exactly one.
    One(Glob),
    /// Any number, none included.
    Any,
}

/// What separates the parts of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// Blanks; quotes enclose literal text.
    Words,
    /// Slashes.
    Folders,
}

impl Glob {
    /// A literal.
    pub(crate) fn literal(bytes: impl Into<Vec<u8>>) -> Glob {
        let bytes = bytes.into();
        Glob(if bytes.is_empty() { Vec::new() } else { vec![Piece::Literal(bytes)] })
    }

    /// Whether it is a single star.
    pub(crate) fn is_star(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Star])
    }

    /// All texts it stands for, if it has no star and they are few.
    pub(crate) fn texts(&self, most: usize) -> Option<Vec<Vec<u8>>> {
        let mut texts = vec![Vec::new()];
        for piece in &self.0 {
            let tails = match piece {
                Piece::Literal(bytes) => vec![bytes.clone()],
                Piece::Star => return None,
                Piece::Choice(choices) => {
                    let each: Option<Vec<_>> = choices.iter().map(|choice| choice.texts(most)).collect();
                    each?.concat()
                }
            };
            if texts.len() * tails.len() > most {
                return None;
            }
            texts = texts
                .iter()
                .flat_map(|head: &Vec<u8>| tails.iter().map(move |tail| [head.as_slice(), tail].concat()))
                .collect();
        }
        Some(texts)
    }

    /// Cuts it at every slash; `None` if one stands within an alternative.
    pub(crate) fn folders(&self) -> Option<Vec<Glob>> {
        let mut folders = vec![Glob::default()];
        for piece in &self.0 {
            let Piece::Literal(bytes) = piece else {
                let whole = matches!(piece, Piece::Star) || !piece.has_slash();
                folders.last_mut().filter(|_| whole)?.0.push(piece.clone());
                continue;
            };
            for (index, name) in bytes.split(|byte| *byte == b'/').enumerate() {
                if index > 0 {
                    folders.push(Glob::default());
                }
                folders.last_mut()?.0.extend(Glob::literal(name).0);
            }
        }
        Some(folders)
    }

    /// The only text it stands for, if it is one.
    pub(crate) fn text(&self) -> Option<Vec<u8>> {
        self.texts(1)?.pop()
    }
}

/// How deep alternatives stand within alternatives at most.
const DEEPEST: usize = 8;

/// Reads the words or folder names of a pattern, as they stand.
pub(crate) fn globs(text: &str, between: Between) -> Result<Vec<Glob>, PatternError> {
    Reader { rest: text.chars(), between }.globs()
}

/// What a word or folder name stands for in its sequence.
pub(crate) fn part(glob: Glob) -> Result<Part, PatternError> {
    if glob.0 == [Piece::Star, Piece::Star] {
        return Ok(Part::Any);
    }
    if has_double_star(&glob) { Err(lone_any()) } else { Ok(Part::One(glob)) }
}

fn has_double_star(glob: &Glob) -> bool {
    glob.0.windows(2).any(|pair| pair == [Piece::Star, Piece::Star])
}

/// Reads literal words, with quotes and backslashes and nothing else: examples, and what is typed on a command line.
pub(crate) fn words(text: &str) -> Result<Vec<Vec<u8>>, PatternError> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            ' ' => words.extend(word.take()),
            '\\' => push(word.get_or_insert_default(), rest.next().ok_or_else(lone_backslash)?),
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                quoted(&mut rest, character)?.chars().for_each(|character| push(word, character));
            }
            other => push(word.get_or_insert_default(), other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn push(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

fn lone_backslash() -> PatternError {
    PatternError::new("a backslash stands at the end, with nothing to take the meaning off")
}

fn quoted(rest: &mut impl Iterator<Item = char>, quote: char) -> Result<String, PatternError> {
    let mut inner = String::new();
    for character in rest {
        if character == quote {
            return Ok(inner);
        }
        inner.push(character);
    }
    Err(PatternError::new(format!("the quote {quote} is never closed")))
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
    between: Between,
}

/// What ended a glob.
#[derive(PartialEq, Eq)]
enum End {
    Text,
    Separator,
    Comma,
    Close,
}

impl Reader<'_> {
    fn globs(mut self) -> Result<Vec<Glob>, PatternError> {
        let mut globs = Vec::new();
        loop {
            let mut quoted = false;
            let (glob, end) = self.glob(0, &mut quoted)?;
            // Blanks may stand in a row; an empty folder name is for the caller to judge.
            if self.between == Between::Folders || quoted || !glob.0.is_empty() {
                globs.push(glob);
            }
            if end == End::Text {
                return Ok(globs);
            }
        }
    }

    fn glob(&mut self, depth: usize, was_quoted: &mut bool) -> Result<(Glob, End), PatternError> {
        let mut pieces = Vec::new();
        while let Some(character) = self.rest.next() {
            let separates = match self.between {
                Between::Words => character == ' ',
                Between::Folders => character == '/',
            };
            if separates && depth > 0 {
                return Err(PatternError::new("an alternative spans more than one word or folder name")
                    .hint("write a pattern for each"));
            }
            match character {
                _ if separates => return Ok((Glob(pieces), End::Separator)),
                '\\' => add(&mut pieces, self.rest.next().ok_or_else(lone_backslash)?),
                '\'' | '"' if self.between == Between::Words => {
                    *was_quoted = true;
                    quoted(&mut self.rest, character)?.chars().for_each(|inner| add(&mut pieces, inner));
                }
                '*' => pieces.push(Piece::Star),
                '{' => pieces.push(self.choice(depth + 1)?),
                ',' if depth > 0 => return Ok((Glob(pieces), End::Comma)),
                '}' if depth > 0 => return Ok((Glob(pieces), End::Close)),
                '}' => {
                    return Err(
                        PatternError::new("a `}` closes nothing").hint("write `\\}` for the character")
                    );
                }
                other => {
                    self.is_plain(other)?;
                    add(&mut pieces, other);
                }
            }
        }
        if depth > 0 {
            return Err(PatternError::new("a `{` is never closed").hint("write `\\{` for the character"));
        }
        Ok((Glob(pieces), End::Text))
    }

    fn choice(&mut self, depth: usize) -> Result<Piece, PatternError> {
        if depth > DEEPEST {
            return Err(PatternError::new("alternatives stand too deep within alternatives"));
        }
        let mut choices = Vec::new();
        loop {
            let (glob, end) = self.glob(depth, &mut false)?;
            if has_double_star(&glob) {
                return Err(lone_any());
            }
            choices.push(glob);
            if end == End::Close {
                return Ok(Piece::Choice(choices));
            }
        }
    }

    fn is_plain(&self, character: char) -> Result<(), PatternError> {
        let told = match character {
            '?' | '[' | ']' => "is no wildcard here",
            '$' | '`' | '|' | '&' | ';' | '<' | '>' | '(' | ')' if self.between == Between::Words => {
                "means nothing here: a command is a list of words, not a line for a shell"
            }
            _ => return Ok(()),
        };
        Err(PatternError::new(format!("`{character}` {told}"))
            .hint(format!("write `\\{character}` for the character itself")))
    }
}

fn add(pieces: &mut Vec<Piece>, character: char) {
    if let Some(Piece::Literal(bytes)) = pieces.last_mut() {
        push(bytes, character);
    } else {
        let mut bytes = Vec::new();
        push(&mut bytes, character);
        pieces.push(Piece::Literal(bytes));
    }
}

fn lone_any() -> PatternError {
    PatternError::new("`**` stands for whole words or folder names, so it stands alone")
        .hint("write `*` for any text within one word or folder name")
}
