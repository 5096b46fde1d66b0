//! Patterns: `*` any bytes (also `/`), `?` one byte, `[abc]`, `[a-z]`, `[!a]` one byte of a class, `\x` the byte x itself.

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(Vec<u8>),
    One,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
    Many,
}

/// A compiled pattern. Bytes, not characters; case is ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    ignore_case: bool,
    whole_path: bool,
}

/// What a search may do faster than ask [`Pattern::matches`] of every name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// `*`.
    Everything,
    /// A stretch of the list of names, NULs included: beginning and end of the name are part of it where they matter.
    Stretch(Vec<u8>),
    /// Every match holds this (which may be empty), but not all that hold it match.
    Holds(Vec<u8>),
}

impl Pattern {
    /// Compiles a pattern. A pattern with a `/` is for the whole path, which begins with `/`; one without is for the last
    /// component. A `[` without its `]` stands for itself.
    pub fn new(pattern: &[u8], ignore_case: bool) -> Pattern {
        let whole_path = pattern.contains(&b'/');
        let mut tokens: Vec<Token> = Vec::new();
        let fold = |b: u8| if ignore_case { b.to_ascii_lowercase() } else { b };
        // A stored path has no slash before it; asked for that way it means the same.
        if whole_path && !matches!(pattern.first(), Some(b'/' | b'*')) {
            tokens.push(Token::Literal(vec![b'/']));
        }
        let mut rest = pattern;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            let literal = match byte {
                b'*' => {
                    if tokens.last() != Some(&Token::Many) {
                        tokens.push(Token::Many);
                    }
                    continue;
                }
                b'?' => {
                    tokens.push(Token::One);
                    continue;
                }
                b'[' => {
                    if let Some((class, after)) = class(tail) {
                        tokens.push(class);
                        rest = after;
                        continue;
                    }
                    byte
                }
                b'\\' => match tail.split_first() {
                    Some((&escaped, after)) => {
                        rest = after;
                        escaped
                    }
                    None => byte,
                },
                _ => byte,
            };
            match tokens.last_mut() {
                // No path has two slashes in a row.
                Some(Token::Literal(bytes)) if literal == b'/' && bytes.last() == Some(&b'/') => {}
                Some(Token::Literal(bytes)) => bytes.push(fold(literal)),
                _ => tokens.push(Token::Literal(vec![fold(literal)])),
            }
        }
        Pattern { tokens, ignore_case, whole_path }
    }

    /// Whether it is for the whole path.
    pub fn is_whole_path(&self) -> bool {
        self.whole_path
    }

    /// Whether case counts for nothing.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Whether `text` (a name, or a path with its leading `/`) matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        loop {
            let stepped = match self.tokens.get(token) {
                None if at == text.len() => return true,
                None => None,
                Some(Token::Many) => {
                    if token + 1 == self.tokens.len() {
                        return true;
                    }
                    back = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::Literal(bytes)) => self.literal_at(bytes, text, at).then_some(bytes.len()),
                Some(Token::One) => (at < text.len()).then_some(1),
                Some(Token::Class { negated, ranges }) => {
                    text.get(at).filter(|b| self.in_class(ranges, **b) != *negated).map(|_| 1)
                }
            };
            if let Some(length) = stepped {
                token += 1;
                at += length;
                continue;
            }
            match back {
                Some((star, from)) if from < text.len() => {
                    back = Some((star, from + 1));
                    token = star + 1;
                    at = from + 1;
                }
                _ => return false,
            }
        }
    }

    fn literal_at(&self, literal: &[u8], text: &[u8], at: usize) -> bool {
        text.get(at..at + literal.len())
            .is_some_and(|t| if self.ignore_case { t.eq_ignore_ascii_case(literal) } else { t == literal })
    }

    fn in_class(&self, ranges: &[(u8, u8)], byte: u8) -> bool {
        let within = |b: u8| ranges.iter().any(|(low, high)| (*low..=*high).contains(&b));
        within(byte)
            || (self.ignore_case && (within(byte.to_ascii_lowercase()) || within(byte.to_ascii_uppercase())))
    }

    /// For a pattern of names: how to look for it in a list of names.
    pub(super) fn shape(&self) -> Shape {
        use Token::{Literal, Many};
        match self.tokens.as_slice() {
            [Many] => Shape::Everything,
            [] => Shape::Stretch(vec![0, 0]),
            [Literal(l)] => Shape::Stretch([&[0], l.as_slice(), &[0]].concat()),
            [Many, Literal(l), Many] => Shape::Stretch(l.clone()),
            [Literal(l), Many] => Shape::Stretch([&[0], l.as_slice()].concat()),
            [Many, Literal(l)] => Shape::Stretch([l.as_slice(), &[0]].concat()),
            _ => Shape::Holds(self.anchored().into_iter().max_by_key(Vec::len).unwrap_or_default()),
        }
    }

    /// The literals of a pattern of names, with NUL for the beginning and the end of the name.
    fn anchored(&self) -> Vec<Vec<u8>> {
        let last = self.tokens.len().saturating_sub(1);
        let literals = self.tokens.iter().enumerate();
        literals
            .filter_map(|(i, token)| match token {
                Token::Literal(l) => {
                    let mut bytes = Vec::with_capacity(l.len() + 2);
                    bytes.extend((i == 0).then_some(0));
                    bytes.extend_from_slice(l);
                    bytes.extend((i == last).then_some(0));
                    Some(bytes)
                }
                _ => None,
            })
            .collect()
    }

    /// Stretches that every name must hold whose path matches: of a pattern of paths only what must stand at the end.
    pub(super) fn required(&self) -> Vec<Vec<u8>> {
        if !self.whole_path {
            return self.anchored();
        }
        match self.tokens.last() {
            Some(Token::Literal(l)) => {
                // Behind its last slash the literal is the whole name.
                let tail = match memchr::memrchr(b'/', l) {
                    Some(slash) => [&[0], l.get(slash + 1..).unwrap_or_default(), &[0]].concat(),
                    None => [l.as_slice(), &[0]].concat(),
                };
                vec![tail]
            }
            _ => Vec::new(),
        }
    }

    /// For `*.ext`: the extension.
    pub(super) fn extension(&self) -> Option<&[u8]> {
        match self.tokens.as_slice() {
            [Token::Many, Token::Literal(l)] if !self.whole_path => {
                l.strip_prefix(b".").filter(|e| !e.is_empty() && !e.contains(&b'.'))
            }
            _ => None,
        }
    }

    /// For a pattern of paths: the directory that every match is below, from what stands before the first wildcard.
    pub(super) fn base(&self) -> Option<&[u8]> {
        match self.tokens.first() {
            Some(Token::Literal(l)) if self.whole_path && !self.ignore_case => {
                l.get(..memchr::memrchr(b'/', l)?)
            }
            _ => None,
        }
    }

    /// For `/dir/*`: the directory.
    pub(super) fn whole_directory(&self) -> Option<&[u8]> {
        match self.tokens.as_slice() {
            [Token::Literal(l), Token::Many] if self.whole_path && !self.ignore_case => l.strip_suffix(b"/"),
            _ => None,
        }
    }

    /// Whether everything below a directory matches: its path with a slash behind it already does, and the pattern ends in `*`.
    pub(super) fn matches_all_below(&self, path_and_slash: &[u8]) -> bool {
        self.tokens.last() == Some(&Token::Many) && self.matches(path_and_slash)
    }
}

fn class(text: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, mut rest) = match text.split_first() {
        Some((b'!' | b'^', tail)) => (true, tail),
        _ => (false, text),
    };
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        let (&low, tail) = rest.split_first()?;
        if low == b']' && !first {
            return Some((Token::Class { negated, ranges }, tail));
        }
        first = false;
        rest = tail;
        match rest {
            [b'-', high, tail @ ..] if *high != b']' => {
                ranges.push((low, *high));
                rest = tail;
            }
            _ => ranges.push((low, low)),
        }
    }
}

#[cfg(test)]
#[path = "glob_tests.rs"]
mod tests;
