//! Prepared statements. sqlx prepares a statement once a session and then refers to it by its name, which a pooler in
//! transaction mode may send to another session of the server. Behind a pooler, the server gets the text with every use, in
//! the same message and without a name: a request depends on none before it, and still is one round trip. Names in the server
//! are those of sqlx behind a prefix of this session: behind a pooler that was not recognised, they mean nothing to the session
//! of somebody else, and never another statement.

use crate::database::proxy::messages::{HEADER, length, message, put};
use crate::random;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::HashMap;

/// The statements of a session.
pub(super) struct Statements {
    prefix: String,
    /// The Parse messages, without names, by the names that sqlx knows.
    texts: HashMap<Bytes, Bytes>,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            prefix: format!("{:016x}_", random::u64()),
            texts: HashMap::new(),
        }
    }
}

impl Statements {
    /// Remembers a Parse message, and writes it; without its name, unless names are kept. `parse` is a whole message.
    pub fn parse(&mut self, parse: &Bytes, keeps_names: bool, output: &mut BytesMut) {
        let (name, rest) = text(parse.slice(HEADER..));
        let unnamed = Bytes::from(message(b'P', &[b"\0", &rest]));
        if keeps_names && !name.is_empty() {
            put(b'P', &[self.prefix.as_bytes(), &name, b"\0", &rest], output);
        } else {
            output.extend_from_slice(&unnamed);
        }
        self.texts.insert(Bytes::copy_from_slice(&name), unnamed);
    }

    /// Writes a Describe or Close message; without the name of its statement, unless names are kept. `request` is a whole
    /// message.
    pub fn describe_or_close(&mut self, request: &Bytes, keeps_names: bool, output: &mut BytesMut) {
        let (kind, target) = (request[0], request.get(HEADER));
        if target != Some(&b'S') {
            return output.extend_from_slice(request);
        }
        let (name, _) = text(request.slice(HEADER + 1..));
        if kind == b'C' {
            self.texts.remove(&name);
        }
        if keeps_names && !name.is_empty() {
            put(kind, &[b"S", self.prefix.as_bytes(), &name, b"\0"], output);
        } else {
            put(kind, &[b"S\0"], output);
        }
    }

    /// Writes a request that begins with a Bind message, which names a statement.
    pub fn execute(&self, request: &[u8], output: &mut BytesMut) {
        let (bind, rest) = request.split_at(length(request).min(request.len()));
        let body = bind.get(HEADER..).unwrap_or_default();
        let portal = body.iter().position(|byte| *byte == 0).map_or(0, |end| end + 1);
        let (portal, statement) = body.split_at(portal);
        put(b'B', &[portal, self.prefix.as_bytes(), statement], output);
        output.extend_from_slice(rest);
    }

    /// The length of a request that executes a statement by its name, from its Bind message to its Sync message; `None` if
    /// there is no name, or if it has not arrived whole.
    pub fn named_request(input: &[u8]) -> Option<usize> {
        let mut ends = input.iter().skip(HEADER).enumerate().filter(|(_, byte)| **byte == 0);
        let (portal_end, name_end) = (ends.next()?.0, ends.next()?.0);
        let mut end = 0;
        while name_end > portal_end + 1 && input.len() >= end + HEADER {
            let kind = input[end];
            end += length(&input[end..]).max(HEADER);
            if kind == b'S' {
                return (end <= input.len()).then_some(end);
            }
        }
        None
    }

    /// Writes the Parse message that a Bind message needs, and the Bind message up to its parameters, without the name.
    /// Returns how many bytes of the message that was, and how many messages the server answers to the Parse. `None` if
    /// more of the Bind message has to arrive first.
    pub fn bind(&self, bind: &[u8], length: usize, output: &mut BytesMut) -> Option<(usize, usize)> {
        let mut ends = bind.iter().enumerate().skip(HEADER).filter(|(_, byte)| **byte == 0);
        let (portal_end, _) = ends.next()?;
        let (name_end, _) = ends.next()?;
        let (portal, name) = (&bind[HEADER..=portal_end], &bind[portal_end + 1..name_end]);
        let parse = self.texts.get(name);
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
        statements.parse(&whole(b'P', b"one\0SELECT $1\0\0\0"), false, &mut output);
        statements.describe_or_close(&whole(b'D', b"Sone\0"), false, &mut output);
        let parse = whole(b'P', b"\0SELECT $1\0\0\0");
        assert_eq!(output.split(), [&parse[..], &whole(b'D', b"S\0")].concat());
        let bind = whole(b'B', b"\0one\0rest");
        let written = statements.bind(&bind, bind.len(), &mut output);
        assert_eq!(written, Some((HEADER + 5, 1)));
        output.extend_from_slice(b"rest");
        assert_eq!(output.split(), [&parse[..], &whole(b'B', b"\0\0rest")].concat());
        statements.describe_or_close(&whole(b'C', b"Sone\0"), false, &mut output);
        assert_eq!(output.split(), whole(b'C', b"S\0"));
        assert_eq!(statements.bind(&bind, bind.len(), &mut output), Some((HEADER + 5, 0)));
    }

    #[test]
    fn a_request_by_name_ends_with_its_sync_message() {
        let request = [whole(b'B', b"\0one\0rest"), whole(b'E', &[0; 5]), whole(b'S', b"")].concat();
        for arrived in 0..request.len() {
            assert_eq!(Statements::named_request(&request[..arrived]), None, "{arrived}");
        }
        let next = [&request[..], b"B"].concat();
        assert_eq!(Statements::named_request(&next), Some(request.len()));
        let unnamed = [whole(b'B', b"\0\0rest"), whole(b'S', b"")].concat();
        assert_eq!(Statements::named_request(&unnamed), None);
    }

    #[test]
    fn names_are_those_of_the_session_where_the_server_may_know_them() {
        let mut all = Vec::new();
        for _ in 0..2 {
            let (mut statements, mut output) = (Statements::default(), BytesMut::new());
            let name = statements.prefix.clone() + "one";
            statements.parse(&whole(b'P', b"one\0SELECT $1\0\0\0"), true, &mut output);
            statements.describe_or_close(&whole(b'D', b"Sone\0"), true, &mut output);
            let sync = whole(b'S', b"");
            statements.execute(&[whole(b'B', b"p\0one\0rest"), sync.clone()].concat(), &mut output);
            statements.describe_or_close(&whole(b'C', b"Sone\0"), true, &mut output);
            let expected = [
                whole(b'P', format!("{name}\0SELECT $1\0\0\0").as_bytes()),
                whole(b'D', format!("S{name}\0").as_bytes()),
                whole(b'B', format!("p\0{name}\0rest").as_bytes()),
                sync,
                whole(b'C', format!("S{name}\0").as_bytes()),
            ];
            assert_eq!(output, expected.concat());
            all.push(name);
        }
        assert_ne!(all[0], all[1]);
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
        Statements::default().describe_or_close(&close, false, &mut output);
        assert_eq!(output, close);
    }
}
