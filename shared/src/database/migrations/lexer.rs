//! The tokens of SQL as PostgreSQL reads them, with `standard_conforming_strings` on: as much of its lexical structure as
//! it takes to tell statements apart. Source: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.

/// A token. Comments and white space are skipped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token<'a> {
    /// A key word or an identifier without quotes.
    Word(&'a str),
    /// Anything between quotes, an identifier or a string.
    Quoted,
    /// `\` and the rest of its line: a command of psql, never SQL.
    Backslash(&'a str),
    /// Any other character.
    Sign(char),
}

/// Reads tokens one after the other, with the offsets of their first bytes. Never fails: an unterminated string or
/// comment ends with the text.
pub(super) struct Lexer<'a> {
    sql: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(sql: &'a str) -> Self {
        Self { sql, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    /// Takes as many bytes from the rest as `count` says.
    fn take(&mut self, count: impl FnOnce(&str) -> usize) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..count(rest)];
        self.at += taken.len();
        taken
    }

    fn skip_blank(&mut self) {
        loop {
            let before = self.at;
            self.take(|rest| rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']).len());
            if self.rest().starts_with("--") {
                self.take(line);
            } else if self.rest().starts_with("/*") {
                self.take(block_comment);
            }
            if self.at == before {
                return;
            }
        }
    }

    /// Strings that only white space with a line end separates are one string (PostgreSQL, 4.1.2.1). The escapes of the
    /// first apply to all.
    fn escape_string(&mut self) {
        loop {
            self.take(|rest| quoted(rest, '\'', true));
            let (end, start) = (self.at, self.rest());
            self.skip_blank();
            let between = &start[..self.at - end];
            if between.contains(['\n', '\r']) && !between.contains("/*") && self.rest().starts_with('\'') {
                continue;
            }
            self.at = end;
            return;
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = (usize, Token<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip_blank();
        let (at, first) = (self.at, self.rest().chars().next()?);
        let token = match first {
            '\'' | '"' => {
                self.take(|rest| quoted(rest, first, false));
                Token::Quoted
            }
            '$' => match dollar_tag(self.rest()) {
                Some(tag) => {
                    self.take(|rest| dollar_quoted(rest, tag));
                    Token::Quoted
                }
                None => Token::Sign(self.sign()),
            },
            '\\' => Token::Backslash(self.take(line)),
            _ if begins_word(first) => {
                let word = self.take(|rest| rest.find(|c| !continues_word(c)).unwrap_or(rest.len()));
                if word.eq_ignore_ascii_case("e") && self.rest().starts_with('\'') {
                    self.escape_string();
                    Token::Quoted
                } else {
                    Token::Word(word)
                }
            }
            _ => Token::Sign(self.sign()),
        };
        Some((at, token))
    }
}

impl Lexer<'_> {
    fn sign(&mut self) -> char {
        let sign = self.take(|rest| rest.chars().next().map_or(0, char::len_utf8));
        sign.chars().next().unwrap_or_default()
    }
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn continues_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || c == '$'
}

/// The length up to the end of the line.
fn line(text: &str) -> usize {
    text.find(['\n', '\r']).unwrap_or(text.len())
}

/// The length of a block comment. Block comments nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// The length of a quoted text. A doubled quote stands for one.
fn quoted(text: &str, quote: char, escapes: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let is_doubled = c == quote && chars.peek().is_some_and(|(_, next)| *next == quote);
        if is_doubled || escapes && c == '\\' {
            chars.next();
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// `$$` or `$tag$` at the beginning.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let tag = &text[1..end];
    let is_tag = tag.is_empty() || tag.starts_with(begins_word) && tag.chars().all(continues_word);
    is_tag.then_some(&text[..=end])
}

fn dollar_quoted(text: &str, tag: &str) -> usize {
    let content = &text[tag.len()..];
    content.find(tag).map_or(text.len(), |end| tag.len() + end + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str) -> Vec<&str> {
        let word = |(_, token)| match token {
            Token::Word(word) => Some(word),
            _ => None,
        };
        Lexer::new(sql).filter_map(word).collect()
    }

    #[test]
    fn words_in_quotes_and_comments_are_hidden() {
        for sql in [
            "a 'COMMIT' b",
            "a 'it''s COMMIT' b",
            "a '\\' b --'COMMIT",
            "a E'\\' COMMIT' b",
            "a e'x'\n  'it\\'s COMMIT' b",
            "a e'x' -- comment\n 'it\\'s COMMIT' b",
            "a \"CO\"\"MMIT\" b",
            "a E'it''s \\' COMMIT' b",
            "a U&'\\0041 COMMIT' b",
            "a -- COMMIT\n b",
            "a /* COMMIT /* nested */ COMMIT */ b",
            "a $$ COMMIT $$ b",
            "a $q$ $$ COMMIT $q $q$ b",
            "a $ü1$ COMMIT $ü1$ b",
            "a $1 + '\n' b",
            "a+-- COMMIT\nb",
            "a 1 '$$' $$'$$ b",
        ] {
            let words: Vec<&str> = words(sql).into_iter().filter(|word| word.len() == 1).collect();
            assert!(words.ends_with(&["b"]) && words[0] == "a", "{sql}: {words:?}");
            assert!(!self::words(sql).contains(&"COMMIT"), "{sql}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_hidden_by_its_quotes(text in ".{0,40}") {
            let standard = text.replace('\'', "''");
            let escaped = standard.replace('\\', "\\\\");
            let identifier = text.replace('"', "\"\"");
            for sql in [
                format!("a '{standard}' b"),
                format!("a E'{escaped}' b"),
                format!("a \"{identifier}\" b"),
                format!("a $any_tag${text}$any_tag$ b"),
            ] {
                proptest::prop_assert_eq!(words(&sql), ["a", "b"], "{}", sql);
            }
        }

        #[test]
        fn any_text_has_tokens_at_growing_offsets(text in "[-'\"$/*\\\\eE;(\n aü]{0,40}") {
            let ends = Lexer::new(&text).map(|(at, _)| at).collect::<Vec<_>>();
            proptest::prop_assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "{}", text);
        }
    }

    #[test]
    fn words_outside_quotes_and_comments_are_found() {
        for sql in [
            "'\\' COMMIT --'",
            "nameE'\\' COMMIT",
            "e'a' 'b\\' COMMIT",
            "e'a' /*\n*/ 'b\\' COMMIT",
            "a$b$ COMMIT $b$",
            "$1$ COMMIT",
            "/**/COMMIT",
            "'a'COMMIT",
            "1COMMIT",
            "--\rCOMMIT",
        ] {
            assert!(words(sql).contains(&"COMMIT"), "{sql}: {:?}", words(sql));
        }
    }
}
