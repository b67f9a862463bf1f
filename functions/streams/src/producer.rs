//! Producers: who appends, and what number the append has, so that a repetition is stored once (section 5.2.1).

use crate::{
    header::{self, PRODUCER_EPOCH, PRODUCER_ID, PRODUCER_SEQ},
    problem::invalid_header,
};
use axum::http::HeaderMap;
use shared::{problem::Problem, streams::Producer};

/// The largest whole number that every JavaScript engine has.
const LARGEST: u64 = (1 << 53) - 1;
/// The longest id, in bytes.
const LONGEST: usize = 256;

/// The producer of a request, if it names one.
///
/// # Errors
/// A header does not fit, or not all three are there.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<Producer>, Problem> {
    let id = header::text(headers, &PRODUCER_ID)?;
    let epoch = header::number(headers, &PRODUCER_EPOCH, LARGEST)?;
    let seq = header::number(headers, &PRODUCER_SEQ, LARGEST)?;
    if id.is_none() && epoch.is_none() && seq.is_none() {
        return Ok(None);
    }
    let missing = |name| invalid_header(&name, "it is missing: a producer has all three headers");
    let id = id.ok_or_else(|| missing(PRODUCER_ID))?;
    if !(1..=LONGEST).contains(&id.len()) {
        let why = format!("it must have 1 to {LONGEST} bytes");
        return Err(invalid_header(&PRODUCER_ID, &why));
    }
    Ok(Some(Producer {
        id: id.to_owned(),
        epoch: epoch.ok_or_else(|| missing(PRODUCER_EPOCH))? as i64,
        seq: seq.ok_or_else(|| missing(PRODUCER_SEQ))? as i64,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn parsed(headers: &[(&'static str, &str)]) -> Result<Option<(String, i64, i64)>, Option<&'static str>> {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        let producer = from_headers(&headers.iter().map(pair).collect());
        let producer = producer.map(|producer| producer.map(|of| (of.id, of.epoch, of.seq)));
        producer.map_err(|problem| problem.slug())
    }

    #[test]
    fn a_producer_has_three_headers_or_none() {
        let all = [("producer-id", "a"), ("producer-epoch", "1"), ("producer-seq", "2")];
        for left_out in 0..3 {
            let some: Vec<_> = (0..3)
                .filter(|index| *index != left_out)
                .map(|index| all[index])
                .collect();
            assert_eq!(parsed(&some), Err(Some("invalid-header")), "{some:?}");
            assert_eq!(parsed(&all[left_out..=left_out]), Err(Some("invalid-header")));
        }
        assert_eq!(parsed(&[]), Ok(None));
        assert_eq!(parsed(&all), Ok(Some(("a".to_owned(), 1, 2))));
    }

    #[test]
    fn numbers_end_where_those_of_javascript_do() {
        let with = |id, epoch, seq| parsed(&[("producer-id", id), ("producer-epoch", epoch), ("producer-seq", seq)]);
        let long = "x".repeat(257);
        for (id, epoch, seq) in [
            ("", "0", "0"),
            (&long, "0", "0"),
            ("a", "-1", "0"),
            ("a", "0", "1.5"),
            ("a", "9007199254740992", "0"),
            ("a", "0", "9007199254740992"),
            ("a", "x", "0"),
        ] {
            assert_eq!(with(id, epoch, seq), Err(Some("invalid-header")), "{epoch} {seq}");
        }
        let largest = LARGEST as i64;
        assert_eq!(
            with(&long[1..], "9007199254740991", "9007199254740991"),
            Ok(Some((long[1..].to_owned(), largest, largest)))
        );
    }
}
