//! The names of a folder's migrations: `NNNN_name.up.sql` with its way back, `NNNN_name.down.sql`, or `NNNN_name.sql`
//! without one. sqlx skips a name that is almost right, and takes two files with one version; here both are an error.
//! Shared with the build script, so that a wrong name does not compile.

/// The parts of a file's name.
#[derive(Debug, Eq, PartialEq)]
struct Name<'a> {
    file: &'a str,
    version: i64,
    description: &'a str,
    is_down: bool,
}

/// Checks the names in a folder. A file that does not look like a migration, such as a README, may lie beside them.
///
/// # Errors
/// A sentence that names the files which are wrong.
pub fn check<'a>(files: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let names = files.filter(|file| looks_like_a_migration(file));
    let mut names = names.map(parse).collect::<Result<Vec<_>, String>>()?;
    names.sort_by_key(|name| (name.version, name.is_down, name.file));
    for pair in names.windows(2) {
        if (pair[0].version, pair[0].is_down) == (pair[1].version, pair[1].is_down) {
            return Err(format!(
                "{} and {} have the same version: give the later one a newer number",
                pair[0].file, pair[1].file
            ));
        }
    }
    for down in names.iter().filter(|name| name.is_down) {
        let is_its_up = |up: &Name| !up.is_down && (up.version, up.description) == (down.version, down.description);
        if !names.iter().any(is_its_up) {
            return Err(format!(
                "{} has no .up.sql file of the same version and name beside it",
                down.file
            ));
        }
    }
    Ok(())
}

fn looks_like_a_migration(file: &str) -> bool {
    !file.starts_with('.') && (file.starts_with(|c: char| c.is_ascii_digit()) || file.to_lowercase().contains(".sql"))
}

fn parse(file: &str) -> Result<Name<'_>, String> {
    strictly(file).ok_or_else(|| {
        format!(
            "{file} is not a migration's name: NNNN_name.up.sql and NNNN_name.down.sql are, with a number from 1 on"
        )
    })
}

fn strictly(file: &str) -> Option<Name<'_>> {
    let (version, name) = file.strip_suffix(".sql")?.split_once('_')?;
    if !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (description, is_down) = match (name.strip_suffix(".up"), name.strip_suffix(".down")) {
        (Some(description), _) => (description, false),
        (_, Some(description)) => (description, true),
        _ => (name, false),
    };
    let ends_in_a_direction = [".up", ".down", ".sql"]
        .iter()
        .any(|direction| description.to_lowercase().ends_with(direction));
    if description.is_empty() || ends_in_a_direction {
        return None;
    }
    Some(Name {
        file,
        version: version.parse().ok().filter(|version| *version > 0)?,
        description,
        is_down,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(files: &[&str]) -> Result<(), String> {
        check(files.iter().copied())
    }

    #[test]
    fn other_files_may_lie_beside_migrations() {
        let files = [
            "0001_a.up.sql",
            "0001_a.down.sql",
            "2_only_up.up.sql",
            "20260101120000_v1.2 plain.sql",
            "README.md",
            ".gitkeep",
            ".0001_a.up.sql.swp",
        ];
        assert_eq!(checked(&files), Ok(()));
    }

    #[test]
    fn an_error_has_the_name_that_is_almost_right() {
        for file in [
            "0002-add.up.sql",
            "1.sql",
            "0003_x.UP.SQL",
            "0003_x.Up.sql",
            "0003_x.down.SQL",
            "0003_x.up.sql~",
            "0003_x.up.sql.orig",
            "0003_x.up.txt",
            "0003_x.up",
            "0003_.up.sql",
            "0003_x.down.up.sql",
            "0003_x.sql.sql",
            "0000_x.up.sql",
            "-1_x.up.sql",
            "+1_x.up.sql",
            "V2_x.up.sql",
            "x.up.sql",
            "9223372036854775808_x.up.sql",
            "0003",
            "0003_x.up.sql/",
        ] {
            let refused = checked(&["0001_a.up.sql", file]).expect_err(file);
            assert!(refused.starts_with(file), "{refused}");
        }
    }

    #[test]
    fn two_files_with_one_version_are_an_error_with_both_names() {
        for pair in [
            ["0002_a.up.sql", "0002_b.up.sql"],
            ["0002_a.up.sql", "2_b.up.sql"],
            ["0002_a.sql", "0002_a.up.sql"],
            ["0002_a.down.sql", "0002_b.down.sql"],
        ] {
            let refused = checked(&pair).expect_err(pair[0]);
            assert!(pair.iter().all(|file| refused.contains(file)), "{refused}");
        }
    }

    #[test]
    fn a_down_file_without_its_up_file_is_an_error() {
        for files in [&["0002_a.down.sql"][..], &["0002_a.up.sql", "0002_b.down.sql"]] {
            let refused = checked(files).expect_err("no up file");
            assert!(refused.contains(".down.sql has no .up.sql"), "{refused}");
        }
    }
}
