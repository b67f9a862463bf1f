//! The command line. On Lambda, the event holds the same arguments.

/// What `migrate --help` says.
pub const USAGE: &str = "\
migrate [--json] [COMMAND]

  up [--to VERSION]  applies what is pending, to VERSION at most (the default)
  down [N]           reverts the newest N migrations (1)
  status             where each migration stands
  plan               the SQL that up would run; runs nothing
  stamp VERSION      records that the schema is at VERSION, 0 for none; runs nothing
  history            the recorded runs, the newest first

DATABASE_URL names the database. The report is text, or one line of JSON with --json, in a Cloud Run job and on Lambda.";

/// The parsed arguments; `command` is `None` where they are invalid.
#[derive(Debug, Eq, PartialEq)]
pub struct Arguments {
    pub command: Option<Command>,
    pub json: bool,
}

/// What to do.
#[derive(Debug, Eq, PartialEq)]
pub enum Command {
    Up { to: Option<i64> },
    Down { count: usize },
    Stamp { version: i64 },
    Plan,
    Status,
    History,
    Help,
}

impl Arguments {
    pub fn parse(arguments: &[String]) -> Self {
        let (flags, words): (Vec<&str>, Vec<&str>) = arguments
            .iter()
            .map(String::as_str)
            .partition(|argument| *argument == "--json");
        Self {
            command: Command::parse(&words),
            json: !flags.is_empty(),
        }
    }
}

impl Command {
    fn parse(words: &[&str]) -> Option<Self> {
        Some(match words {
            [] | ["up"] => Self::Up { to: None },
            ["up", "--to", version] => Self::Up {
                to: Some(version_number(version)?),
            },
            ["down"] => Self::Down { count: 1 },
            ["down", count] => Self::Down {
                count: count.parse().ok().filter(|count| *count > 0)?,
            },
            ["stamp", version] => Self::Stamp {
                version: version_number(version)?,
            },
            ["plan"] => Self::Plan,
            ["status"] => Self::Status,
            ["history"] => Self::History,
            ["help" | "--help" | "-h"] => Self::Help,
            _ => return None,
        })
    }
}

/// A version may begin with zeros, as in a file's name.
fn version_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|version| *version >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Arguments {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn arguments_that_are_not_a_valid_command_are_rejected() {
        for line in [
            "sideways",
            "down 0",
            "down -1",
            "up 3",
            "up --to",
            "up --to x",
            "stamp",
            "stamp -1",
            "plan 1",
        ] {
            assert_eq!(parse(line).command, None, "{line}");
        }
    }

    #[test]
    fn versions_may_be_written_as_in_file_names() {
        assert_eq!(parse("up --to 0003").command, Some(Command::Up { to: Some(3) }));
        assert_eq!(parse("stamp 0").command, Some(Command::Stamp { version: 0 }));
        assert_eq!(parse("").command, Some(Command::Up { to: None }));
    }

    #[test]
    fn json_may_stand_anywhere() {
        for line in ["--json down 2", "down --json 2", "down 2 --json"] {
            let expected = Arguments {
                command: Some(Command::Down { count: 2 }),
                json: true,
            };
            assert_eq!(parse(line), expected);
        }
    }
}
