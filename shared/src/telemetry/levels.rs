//! `RUST_LOG`: which records are written.

use tracing_subscriber::filter::Targets;

/// A comma list of directives, the forms that `env_logger` and `tracing` share: `info`, `sqlx=warn`, `shared::runtime`. A
/// directive by itself that is not a level is a target, of which everything is written and nothing else. So what no target
/// can be is refused: `info;debug` would write nothing.
pub fn parse(text: &str) -> Option<Targets> {
    let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
    let directives: Vec<&str> = directives.collect();
    let is_valid = |directive: &&str| is_path(directive.split('=').next().unwrap_or_default());
    if directives.is_empty() || !directives.iter().all(is_valid) {
        None
    } else {
        directives.join(",").parse().ok()
    }
}

/// A path of Rust, or the beginning of one.
fn is_path(target: &str) -> bool {
    let is_word = |word: &str| word.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c));
    target.split("::").all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    /// Whether records of `sqlx` at these levels are written.
    fn written(text: &str) -> [bool; 3] {
        let levels = parse(text).unwrap_or_else(|| panic!("{text} is refused"));
        [Level::ERROR, Level::INFO, Level::TRACE].map(|level| levels.would_enable("sqlx::query", &level))
    }

    #[test]
    fn every_form_that_has_a_meaning_is_taken() {
        for (text, expected) in [
            ("info", [true, true, false]),
            ("INFO", [true, true, false]),
            ("3", [true, true, false]),
            ("off", [false, false, false]),
            ("sqlx", [true, true, true]),
            ("sq", [true, true, true]),
            ("sqlx=error", [true, false, false]),
            ("sqlx::query=trace", [true, true, true]),
            ("sqlx::=trace", [true, true, true]),
            ("sqlx=", [true, false, false]),
            ("=info", [true, true, false]),
            ("access", [false, false, false]),
            ("info,my-job.v2=debug", [true, true, false]),
            (" info , sqlx=warn ", [true, false, false]),
            ("info,", [true, true, false]),
            (",,info", [true, true, false]),
        ] {
            assert_eq!(written(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_would_silence_the_log_is_refused() {
        for text in [
            "info;debug",
            "info debug",
            "info|debug",
            "info:debug",
            "info/sqlx",
            "info;sqlx=warn",
            "sqlx = warn",
            "sqlx=loud",
            "sqlx=warn=info",
            "sqlx:query=warn",
            "[span]=debug",
            "sqlx[{id}]=debug",
            "sqlx[span{id=1}]=debug",
            "\"info\"",
            "größe",
            ",",
            "",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }
}
