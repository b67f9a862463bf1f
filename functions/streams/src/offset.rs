//! Offsets: a place in a stream as text. Clients keep it, compare it byte by byte, and send it back (section 8).

use serde::{Deserialize, Deserializer, de::Error};
use shared::streams::{Position, ReadFrom};
use std::{fmt, str::FromStr};

/// The digits of each number of an offset.
const DIGITS: usize = 16;

/// A position as clients see it: `%016d_%016d`, the incarnation and the end. The order of the text is that of the positions.
pub struct Token(pub Position);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016}_{:016}", self.0.incarnation, self.0.end)
    }
}

/// Where a client wants to read from, as it has sent it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Offset(pub ReadFrom);

impl FromStr for Offset {
    type Err = &'static str;

    /// `-1` is the start, `now` the end. All zeros are the start, too: the end of what a stream has before its first byte.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let from = match text {
            "-1" => ReadFrom::Start,
            "now" => ReadFrom::Tail,
            _ => from_position(position(text).ok_or("not a valid offset")?),
        };
        Ok(Self(from))
    }
}

fn from_position(position: Position) -> ReadFrom {
    match position {
        Position { incarnation: 0, end: 0 } => ReadFrom::Start,
        position => ReadFrom::At(position),
    }
}

fn position(text: &str) -> Option<Position> {
    let (incarnation, end) = text.split_once('_')?;
    Some(Position {
        incarnation: number(incarnation)?,
        end: number(end)?,
    })
}

fn number(digits: &str) -> Option<i64> {
    let fits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().ok())?
}

impl<'de> Deserialize<'de> for Offset {
    fn deserialize<D: Deserializer<'de>>(text: D) -> Result<Self, D::Error> {
        let text = String::deserialize(text)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_this_server_has_not_made_is_refused() {
        for text in [
            "",
            " ",
            "0",
            "-2",
            "NOW",
            "0000000000000001",
            "0000000000000001_",
            "0000000000000001_1",
            "0000000000000001_00000000000000010",
            "+000000000000001_0000000000000001",
            "0000000000000001_-000000000000001",
            "0000000000000001,0000000000000001",
            "0000000000000001_0000000000000001_0000000000000001",
            "000000000000000１_0000000000000001",
        ] {
            assert_eq!(text.parse::<Offset>(), Err("not a valid offset"), "{text:?}");
        }
    }

    #[test]
    fn the_start_has_three_names_and_the_end_one() {
        for text in ["-1", "0000000000000000_0000000000000000"] {
            assert_eq!(text.parse(), Ok(Offset(ReadFrom::Start)));
        }
        assert_eq!("now".parse(), Ok(Offset(ReadFrom::Tail)));
    }

    proptest! {
        #[test]
        fn an_offset_comes_back_as_the_position_that_it_was(incarnation in 1..10_i64.pow(16), end in 0..10_i64.pow(16)) {
            let position = Position { incarnation, end };
            prop_assert_eq!(Token(position).to_string().parse(), Ok(Offset(ReadFrom::At(position))));
        }

        #[test]
        fn offsets_are_in_the_order_of_their_positions(a: (u32, u32), b: (u32, u32)) {
            let position = |(incarnation, end): (u32, u32)| Position { incarnation: incarnation.into(), end: end.into() };
            let text = |of| Token(position(of)).to_string();
            prop_assert_eq!(text(a).cmp(&text(b)), position(a).cmp(&position(b)));
        }

        #[test]
        fn no_text_is_more_than_refused(text: String) {
            let _ = text.parse::<Offset>();
        }
    }
}
