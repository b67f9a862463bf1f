//! Messages of the protocol (PostgreSQL, 55.7): the few that the proxy reads or writes itself.

use bytes::{BufMut, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// SQLSTATEs of the errors that the proxy sends to sqlx: class 08, connection exceptions, with subclasses that the SQL
/// standard leaves to implementations.
pub(in crate::database) const UNREACHABLE: &str = "08001";
pub(in crate::database) const TIMEOUT: &str = "08TIM";
pub(in crate::database) const TLS: &str = "08TLS";
pub(in crate::database) const MISCONFIGURED: &str = "08MIS";
const PROTOCOL: &str = "08P01";

pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
pub(super) const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];
/// Describe, for the portal without a name.
pub(super) const DESCRIBE_PORTAL: [u8; 7] = [b'D', 0, 0, 0, 6, b'P', 0];
/// Bytes of a message's type and length.
pub(super) const HEADER: usize = 5;
/// Bytes to read at once. `BytesMut` by itself reserves 64, and each read becomes a write and a packet.
pub(super) const CHUNK: usize = 8 * 1024;
/// The largest startup message, and the largest first message of a server, in bytes. Servers accept startup messages of
/// up to 10,000.
const GREETING: usize = 64 * 1024;

/// Why a session cannot begin, or cannot go on.
pub(super) enum ProxyError {
    Unreachable(String),
    Timeout(&'static str),
    Tls(String),
    Misconfigured(String),
    Protocol(String),
    /// The ErrorResponse of the server.
    Rejected(Vec<u8>),
}

impl ProxyError {
    /// An ErrorResponse for sqlx.
    pub fn message(self) -> Vec<u8> {
        let (code, text) = match self {
            Self::Rejected(message) => return message,
            Self::Unreachable(text) => (UNREACHABLE, text),
            Self::Timeout(text) => (TIMEOUT, text.to_owned()),
            Self::Tls(text) => (TLS, text),
            Self::Misconfigured(text) => (MISCONFIGURED, text),
            Self::Protocol(text) => (PROTOCOL, text),
        };
        let text = text.replace('\0', " ");
        message(b'E', &[format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0").as_bytes()])
    }

    /// The SQLSTATE of the server's ErrorResponse.
    pub fn code(&self) -> Option<&[u8]> {
        self.field(b'C')
    }

    /// Whether the message of the server's ErrorResponse contains `text`.
    pub fn says(&self, text: &str) -> bool {
        let message = self.field(b'M').map(String::from_utf8_lossy);
        message.is_some_and(|message| message.contains(text))
    }

    fn field(&self, kind: u8) -> Option<&[u8]> {
        match self {
            Self::Rejected(message) => field(message, kind),
            _ => None,
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        match error.get_ref() {
            Some(cause) if cause.is::<rustls::Error>() => Self::Tls(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

/// The startup message of a client.
pub(super) async fn startup(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await?;
    if !(8..GREETING as u32).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = length.to_be_bytes().to_vec();
    message.resize(length as usize, 0);
    client.read_exact(&mut message[4..]).await?;
    Ok(message)
}

/// A startup message with other parameters behind its own, but without its `options`: sqlx takes them from `PGOPTIONS`, and
/// the connection string decides whether that variable counts.
pub(super) fn with_parameters<'a>(startup: &[u8], parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let (head, sent) = startup.split_at(8);
    let mut message = head.to_vec();
    let mut words = sent.split(|byte| *byte == 0);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        if !name.is_empty() && name != b"options" {
            message.extend_from_slice(&[name, b"\0", value, b"\0"].concat());
        }
    }
    for (name, value) in parameters {
        message.extend_from_slice(format!("{name}\0{value}\0").as_bytes());
    }
    // An empty name ends the list.
    message.push(0);
    let length = (message.len() as u32).to_be_bytes();
    message[..4].copy_from_slice(&length);
    message
}

/// The first message of a server.
pub(super) async fn greeting(server: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, ProxyError> {
    let mut message = vec![0; HEADER];
    server.read_exact(&mut message).await?;
    let length = length(&message);
    if !(HEADER..=GREETING).contains(&length) {
        return Err(ProxyError::Protocol(
            "the first message of the server is not one of Postgres".to_owned(),
        ));
    }
    message.resize(length, 0);
    server.read_exact(&mut message[HEADER..]).await?;
    Ok(message)
}

/// A message of this type. The parts are its body.
pub(super) fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut message = BytesMut::new();
    put(kind, parts, &mut message);
    message.into()
}

/// Writes a message of this type. The parts are its body.
pub(super) fn put(kind: u8, parts: &[&[u8]], output: &mut BytesMut) {
    let length = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    output.put_u8(kind);
    output.put_u32(length as u32);
    for part in parts {
        output.extend_from_slice(part);
    }
}

/// A field of an ErrorResponse: `C` is the SQLSTATE, `M` the message, `R` the function of the server.
pub(super) fn field(response: &[u8], kind: u8) -> Option<&[u8]> {
    let mut fields = response.get(HEADER..)?.split(|byte| *byte == 0);
    fields.find_map(|field| field.strip_prefix(&[kind]))
}

/// The length of a message in bytes, with its header.
pub(super) fn length(header: &[u8]) -> usize {
    let length = header.get(1..HEADER).and_then(|bytes| bytes.first_chunk::<4>());
    length.map_or(0, |bytes| (u32::from_be_bytes(*bytes) as usize).saturating_add(1))
}

/// A CancelRequest for the session with this key.
pub(super) fn cancel_request(key: &[u8]) -> Vec<u8> {
    const CODE: u32 = 80_877_102;
    let length = (8 + key.len()) as u32;
    [&length.to_be_bytes(), &CODE.to_be_bytes(), key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_client_give_way_to_those_of_the_connection_string() {
        let sent = b"\0\0\0\0\0\x03\0\0user\0u\0options\0-c a=1\0\0";
        let message = with_parameters(sent, [("options", "-c b=2")].into_iter());
        assert_eq!(&message[4..], b"\0\x03\0\0user\0u\0options\0-c b=2\0\0");
        assert_eq!(message[..4], (message.len() as u32).to_be_bytes());
        assert_eq!(with_parameters(sent, [].into_iter())[4..], *b"\0\x03\0\0user\0u\0\0");
    }
}
