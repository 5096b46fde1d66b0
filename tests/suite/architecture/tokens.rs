//! Just enough of Rust's lexical structure: identifiers and punctuation with their lines; comments, strings and
//! characters are dropped.

/// One token and the line (from 1) on which it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// An identifier, `::`, or one character of punctuation.
    pub text: String,
    /// From 1.
    pub line: usize,
}

/// Splits Rust source into tokens.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1, found: Vec::new() };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    lexer.found
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    found: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn advance(&mut self) -> char {
        let c = self.peek(0);
        self.line += usize::from(c == '\n');
        self.at += 1;
        c
    }

    fn push(&mut self, text: String) {
        self.found.push(Token { text, line: self.line });
    }

    fn step(&mut self) {
        match (self.peek(0), self.peek(1)) {
            ('/', '/') => self.skip_while(|c| c != '\n'),
            ('/', '*') => self.block_comment(),
            ('"', _) => self.string(),
            ('\'', _) => self.character_or_lifetime(),
            (':', ':') => {
                self.push("::".to_owned());
                self.at += 2;
            }
            (c, _) if c == '_' || c.is_alphanumeric() => self.word(),
            (c, _) => {
                if !c.is_whitespace() {
                    self.push(c.to_string());
                }
                self.advance();
            }
        }
    }

    fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && keep(self.peek(0)) {
            self.advance();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => (depth, self.at) = (depth + 1, self.at + 2),
                ('*', '/') => (depth, self.at) = (depth - 1, self.at + 2),
                _ => _ = self.advance(),
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.advance();
        while self.at < self.chars.len() {
            match self.advance() {
                '\\' => _ = self.advance(),
                '"' => return,
                _ => {}
            }
        }
    }

    fn raw_string(&mut self) {
        let mut hashes = 0;
        while self.peek(0) == '#' {
            hashes += 1;
            self.advance();
        }
        self.advance();
        while self.at < self.chars.len() {
            if self.advance() == '"' && (0..hashes).all(|n| self.peek(n) == '#') {
                self.at += hashes;
                return;
            }
        }
    }

    /// `'a'`, `'\n'`, `'\u{1f}'` are characters; `'a` is a lifetime.
    fn character_or_lifetime(&mut self) {
        self.advance();
        if self.peek(0) == '\\' {
            self.at += 2;
            self.skip_while(|c| c != '\'');
            self.advance();
        } else if self.peek(1) == '\'' {
            self.advance();
            self.advance();
        } else {
            self.skip_while(|c| c == '_' || c.is_alphanumeric());
        }
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0) == '_' || self.peek(0).is_alphanumeric() {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let raw_prefix = matches!(word.as_str(), "r" | "br" | "cr");
        match (self.peek(0), self.peek(1)) {
            ('"', _) if raw_prefix => self.raw_string(),
            ('#', '"' | '#') if raw_prefix => self.raw_string(),
            // A raw identifier: the name follows as its own word.
            ('#', _) if word == "r" => self.at += 1,
            ('"', _) if matches!(word.as_str(), "b" | "c") => self.string(),
            ('\'', _) if word == "b" => self.character_or_lifetime(),
            _ => self.push(word),
        }
    }
}

#[test]
fn comments_strings_and_characters_are_dropped() {
    let source = r####"
        // crate::one
        /* crate::two /* nested */ crate::three */
        let a = "crate::four \" crate::five"; let b = r#"crate::six " "#; let c = b"x\\";
        let d = '"'; let e = '\''; let f = b'"'; fn g<'a>(h: &'a str, i: &'static str) {} '\u{1f}'
        crate::seven
    "####;
    let found = tokens(source);
    let names: Vec<_> =
        found.iter().filter(|t| t.text.len() > 2).map(|t| (t.text.as_str(), t.line)).collect();
    let expected = [
        ("let", 4),
        ("let", 4),
        ("let", 4),
        ("let", 5),
        ("let", 5),
        ("let", 5),
        ("str", 5),
        ("str", 5),
        ("crate", 6),
        ("seven", 6),
    ];
    assert_eq!(names, expected);
}
