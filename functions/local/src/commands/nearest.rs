//! The name that was probably meant.

/// The nearest of these names, if few letters are wrong.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = names.map(|name| (distance(typed, name), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.len() / 3).then_some(name)
}

/// How many letters are missing, too many, wrong, or in another order than their neighbour (optimal string alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().take(100).collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, letter) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, expected) in other.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(letter != expected);
            let swapped = if i > 0 && j > 0 && one[i - 1] == *expected && other[j - 1] == *letter {
                rows[i - 1][j - 1] + 1
            } else {
                usize::MAX
            };
            row.push(replaced.min(swapped).min(row[j] + 1).min(rows[i][j + 1] + 1));
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_another_word_does_not() {
        const NAMES: [&str; 8] = [
            "serve",
            "migrate",
            "job",
            "reset",
            "new",
            "remove",
            "migration",
            "doctor",
        ];
        for (typed, expected) in [
            ("serv", Some("serve")),
            ("sevre", Some("serve")),
            ("docter", Some("doctor")),
            ("migraton", Some("migration")),
            ("migrat", Some("migrate")),
            ("nwe", Some("new")),
            ("remvoe", Some("remove")),
            ("jbo", Some("job")),
            ("sideways", None),
            ("", None),
            ("--port", None),
            ("größe", None),
        ] {
            assert_eq!(nearest(typed, NAMES.into_iter()), expected, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), NAMES.into_iter()), None);
    }
}
