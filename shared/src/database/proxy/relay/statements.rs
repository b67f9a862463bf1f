//! Prepared statements that exist here only. sqlx prepares a statement once a session and then refers to it by its name,
//! which a pooler in transaction mode may send to another session of the server. So the server gets the text with every
//! use, in the same message and without a name: a request depends on none before it, and still is one round trip.

use crate::database::proxy::messages::{HEADER, message};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::HashMap;

/// The Parse messages of a session, without names, by the names that sqlx knows.
#[derive(Default)]
pub(super) struct Statements(HashMap<Bytes, Bytes>);

impl Statements {
    /// Remembers a Parse message, and writes it without its name. `parse` is a whole message.
    pub fn parse(&mut self, parse: &Bytes, output: &mut BytesMut) {
        let (name, rest) = text(parse.slice(HEADER..));
        let unnamed = Bytes::from(message(b'P', &[b"\0", &rest]));
        output.extend_from_slice(&unnamed);
        self.0.insert(name, unnamed);
    }

    /// Writes a Describe or Close message without the name of its statement. `request` is a whole message.
    pub fn describe_or_close(&mut self, request: &Bytes, output: &mut BytesMut) {
        let (kind, target) = (request[0], request.get(HEADER));
        if target != Some(&b'S') {
            return output.extend_from_slice(request);
        }
        output.extend_from_slice(&message(kind, &[b"S\0"]));
        if kind == b'C' {
            self.0.remove(&text(request.slice(HEADER + 1..)).0);
        }
    }

    /// Writes the Parse message that a Bind message needs, and the Bind message up to its parameters, without the name.
    /// Returns how many bytes of the message that was, and how many messages the server answers to the Parse. `None` if
    /// more of the Bind message has to arrive first.
    pub fn bind(&self, bind: &[u8], length: usize, output: &mut BytesMut) -> Option<(usize, usize)> {
        let mut ends = bind.iter().enumerate().skip(HEADER).filter(|(_, byte)| **byte == 0);
        let (portal_end, _) = ends.next()?;
        let (name_end, _) = ends.next()?;
        let (portal, name) = (&bind[HEADER..=portal_end], &bind[portal_end + 1..name_end]);
        let parse = self.0.get(name);
        output.extend_from_slice(parse.map_or(b"", Bytes::as_ref));
        output.put_u8(b'B');
        output.put_u32((length - 1 - name.len()) as u32);
        output.extend_from_slice(portal);
        output.put_u8(0);
        Some((name_end + 1, usize::from(parse.is_some())))
    }
}

/// A text that ends with NUL, and what follows.
fn text(mut bytes: Bytes) -> (Bytes, Bytes) {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = bytes.split_to(end);
    bytes.advance(bytes.len().min(1));
    (text, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(kind: u8, body: &[u8]) -> Bytes {
        message(kind, &[body]).into()
    }

    #[test]
    fn a_name_is_replaced_by_the_text_that_it_stands_for() {
        let (mut statements, mut output) = (Statements::default(), BytesMut::new());
        statements.parse(&whole(b'P', b"one\0SELECT $1\0\0\0"), &mut output);
        statements.describe_or_close(&whole(b'D', b"Sone\0"), &mut output);
        let parse = whole(b'P', b"\0SELECT $1\0\0\0");
        assert_eq!(output.split(), [&parse[..], &whole(b'D', b"S\0")].concat());
        let bind = whole(b'B', b"\0one\0rest");
        let written = statements.bind(&bind, bind.len(), &mut output);
        assert_eq!(written, Some((HEADER + 5, 1)));
        output.extend_from_slice(b"rest");
        assert_eq!(output.split(), [&parse[..], &whole(b'B', b"\0\0rest")].concat());
        statements.describe_or_close(&whole(b'C', b"Sone\0"), &mut output);
        assert_eq!(output.split(), whole(b'C', b"S\0"));
        assert_eq!(statements.bind(&bind, bind.len(), &mut output), Some((HEADER + 5, 0)));
    }

    #[test]
    fn a_bind_message_waits_for_both_of_its_names() {
        let (statements, mut output) = (Statements::default(), BytesMut::new());
        let bind = whole(b'B', b"\0one\0rest");
        for arrived in 0..HEADER + 5 {
            assert_eq!(statements.bind(&bind[..arrived], bind.len(), &mut output), None);
        }
        assert!(output.is_empty());
    }

    #[test]
    fn a_portal_keeps_its_name() {
        let mut output = BytesMut::new();
        let close = whole(b'C', b"Pone\0");
        Statements::default().describe_or_close(&close, &mut output);
        assert_eq!(output, close);
    }
}
