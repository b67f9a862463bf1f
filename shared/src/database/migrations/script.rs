//! Finds what must not run, before anything runs: statements that end or begin a transaction, because the migrator does
//! that; copies from or to a client, which wait for data that never comes; commands of psql.

use super::lexer::{Lexer, Token};
use std::borrow::Cow;

/// Why a file cannot run, and where.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Flaw {
    pub line: usize,
    pub cause: String,
}

/// The SQL of a file as it is sent to the server: without the `\restrict` and `\unrestrict` that guard a dump of
/// pg_dump against psql's other commands. Characters and lines keep their places.
///
/// # Errors
/// The first flaw.
pub(super) fn read(sql: &str) -> Result<Cow<'_, str>, Flaw> {
    if sql.starts_with('\u{feff}') {
        return Err(flaw(sql, 0, "a byte order mark is not SQL: save the file without one"));
    }
    if let Some(at) = sql.find('\0') {
        return Err(flaw(sql, at, "a NUL is not SQL: take it out"));
    }
    let mut statement = Statement::default();
    let mut blanked = Cow::Borrowed(sql);
    for (at, token) in Lexer::new(sql) {
        match token {
            Token::Backslash(command) if statement.is_empty() && is_restrict_command(command) => {
                let blank = " ".repeat(command.len());
                blanked.to_mut().replace_range(at..at + command.len(), &blank);
            }
            Token::Backslash(command) => {
                let name = command.split_whitespace().next().unwrap_or_default();
                let cause = format!("{name} is a command of psql, not SQL: take it out");
                return Err(flaw(sql, at, cause));
            }
            Token::Sign(';') if statement.is_whole() => statement.end(sql)?,
            token => statement.push(at, token),
        }
    }
    statement.end(sql)?;
    Ok(blanked)
}

/// Only ASCII, so that one blank replaces one character.
fn is_restrict_command(command: &str) -> bool {
    let is_restrict = ["\\restrict ", "\\unrestrict "]
        .iter()
        .any(|restrict| command.starts_with(restrict));
    is_restrict && command.is_ascii()
}

fn flaw(sql: &str, at: usize, cause: impl Into<String>) -> Flaw {
    Flaw {
        line: 1 + sql[..at].matches('\n').count(),
        cause: cause.into(),
    }
}

/// The statement that is being read.
#[derive(Default)]
struct Statement<'a> {
    start: usize,
    /// The first tokens, at most four: they show what kind of statement it is.
    first: Vec<Token<'a>>,
    last: Option<Token<'a>>,
    parentheses: usize,
    /// The depth in `BEGIN ATOMIC ... END`, the body of a function in SQL, whose semicolons end no statement of the
    /// file. Each `CASE ... END` in it counts, too.
    body: usize,
    copies: bool,
}

impl<'a> Statement<'a> {
    fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    fn is_whole(&self) -> bool {
        self.parentheses == 0 && self.body == 0
    }

    fn push(&mut self, at: usize, token: Token<'a>) {
        if self.is_empty() {
            self.start = at;
        }
        match token {
            Token::Sign('(') => self.parentheses += 1,
            Token::Sign(')') => self.parentheses = self.parentheses.saturating_sub(1),
            Token::Word(word) if self.parentheses == 0 => self.word(word),
            _ => {}
        }
        if self.first.len() < 4 {
            self.first.push(token);
        }
        self.last = Some(token);
    }

    fn word(&mut self, word: &str) {
        let last = self.last;
        let follows = |words: &[&str]| words.iter().any(|word| is(last, word));
        let reads = |words: &[&str]| words.iter().any(|expected| expected.eq_ignore_ascii_case(word));
        let is_name = last == Some(Token::Sign('.')) || follows(&["AS"]);
        self.copies |= reads(&["STDIN", "STDOUT"]) && follows(&["FROM", "TO"]);
        if self.body == 0 {
            let begins = reads(&["ATOMIC"]) && follows(&["BEGIN"]) && self.creates_a_routine();
            self.body = usize::from(begins);
        } else if reads(&["CASE"]) && !is_name {
            self.body += 1;
        } else if reads(&["END"]) && !is_name {
            self.body -= 1;
        }
    }

    fn creates_a_routine(&self) -> bool {
        let kind = if self.begins(&["CREATE", "OR", "REPLACE"]) {
            3
        } else {
            1
        };
        let kind = self.first.get(kind).copied();
        self.begins(&["CREATE"]) && (is(kind, "FUNCTION") || is(kind, "PROCEDURE"))
    }

    fn begins(&self, words: &[&str]) -> bool {
        let mut pairs = words.iter().zip(0..);
        pairs.all(|(word, at)| is(self.first.get(at).copied(), word))
    }

    /// Checks the statement that was read, and begins the next one.
    fn end(&mut self, sql: &str) -> Result<(), Flaw> {
        let statement = std::mem::take(self);
        if let Some(command) = statement.ends_or_begins_a_transaction() {
            let cause =
                format!("{command}: a transaction around each file and its record is the migrator's: take it out");
            return Err(flaw(sql, statement.start, cause));
        }
        if statement.begins(&["COPY"]) && statement.copies {
            let cause = "COPY from stdin or to stdout needs psql: write INSERT (pg_dump --inserts or --schema-only)";
            return Err(flaw(sql, statement.start, cause));
        }
        Ok(())
    }

    /// Savepoints are allowed, because they are part of the transaction; so is the end of a prepared transaction, which
    /// is another one.
    fn ends_or_begins_a_transaction(&self) -> Option<&'static str> {
        const COMMANDS: [&[&str]; 7] = [
            &["BEGIN"],
            &["START", "TRANSACTION"],
            &["COMMIT"],
            &["END"],
            &["ABORT"],
            &["ROLLBACK"],
            &["PREPARE", "TRANSACTION"],
        ];
        const ALLOWED: [&[&str]; 5] = [
            &["COMMIT", "PREPARED"],
            &["ROLLBACK", "PREPARED"],
            &["ROLLBACK", "TO"],
            &["ROLLBACK", "WORK", "TO"],
            &["ROLLBACK", "TRANSACTION", "TO"],
        ];
        if ALLOWED.iter().any(|words| self.begins(words)) {
            return None;
        }
        COMMANDS.iter().find(|words| self.begins(words)).map(|words| words[0])
    }
}

fn is(token: Option<Token<'_>>, word: &str) -> bool {
    matches!(token, Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sql: &str) -> usize {
        read(sql).expect_err(sql).line
    }

    #[test]
    fn statements_that_end_or_begin_a_transaction_are_found_with_their_lines() {
        for command in [
            "COMMIT",
            "commit work",
            "Commit AND CHAIN",
            "END",
            "END TRANSACTION",
            "ABORT",
            "ROLLBACK",
            "ROLLBACK WORK",
            "BEGIN",
            "begin isolation level serializable",
            "START TRANSACTION READ ONLY",
            "PREPARE TRANSACTION 'x'",
            "/* a comment */ COMMIT -- and another",
        ] {
            assert_eq!(line(command), 1, "{command}");
            assert_eq!(line(&format!("SELECT ';';\n\n{command};\nSELECT 1;")), 3, "{command}");
            let body = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END";
            assert_eq!(line(&format!("{body};\n{command}")), 2, "{command}");
        }
    }

    #[test]
    fn statements_that_only_look_like_them_may_run() {
        for sql in [
            "SAVEPOINT a; ROLLBACK TO a; RELEASE a; ROLLBACK WORK TO SAVEPOINT a; ROLLBACK TRANSACTION TO a;",
            "COMMIT PREPARED 'x'",
            "PREPARE transaction_like AS SELECT 1",
            "START_ME_UP",
            "DO $$ BEGIN COMMIT; END $$;",
            "SELECT 'COMMIT;'; SELECT \"COMMIT;\" -- COMMIT;",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 1 AS end; SELECT x.case; END;",
            "CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC SELECT CASE 1 WHEN 1 THEN CASE 2 WHEN 2 THEN 3 END END; END;",
            "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; END);",
            "CREATE TABLE t (begin int, atomic int); SELECT 1",
            "ALTER TABLE t ADD COLUMN commit int",
            "COPY t FROM '/file'; COPY (SELECT stdin FROM stdin) TO '/file'; COPY stdin TO '/file'",
            "SELECT a FROM stdin",
            "SELECT '\\'; SELECT E'\\\\connect'",
            "",
            ";;",
        ] {
            assert_eq!(read(sql), Ok(Cow::Borrowed(sql)));
        }
    }

    #[test]
    fn copies_from_a_client_and_commands_of_psql_are_found_with_their_lines() {
        for sql in [
            "SELECT 1;\nCOPY t FROM stdin",
            "SELECT 1;\ncopy t (a, b) FROM STDIN WITH (FORMAT csv);\n1\t2\n\\.\n",
            "SELECT 1;\nCOPY (SELECT 1) TO STDOUT;",
            "SELECT 1;\n\\connect other",
            "SELECT 1\n\\g",
            "SELECT 1;\n\\i other.sql",
            "SELECT 1;\n\0",
        ] {
            assert_eq!(line(sql), 2, "{sql}");
        }
        assert_eq!(line("\u{feff}SELECT 1"), 1);
    }

    #[test]
    fn the_restrict_commands_of_a_dump_are_blanked_and_everything_else_keeps_its_place() {
        let dump = "--\n\\restrict a1B\n\nSELECT 1;\n\\unrestrict a1B\n";
        let plain = "--\n             \n\nSELECT 1;\n               \n";
        assert_eq!(read(dump).as_deref(), Ok(plain));
        assert_eq!(line("SELECT 1\n\\restrict a1B\n;"), 2);
    }
}
