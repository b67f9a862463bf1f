//! The trace that a request belongs to, read from three headers: the W3C's, Google's and AWS X-Ray's.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt;

/// Google's header: `TRACE_ID/SPAN_ID;o=OPTIONS`.
const CLOUD: HeaderName = HeaderName::from_static("x-cloud-trace-context");
/// The header of AWS X-Ray: `Root=1-8HEX-24HEX;Parent=16HEX;Sampled=1`.
pub const XRAY: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// <https://www.w3.org/TR/trace-context/#traceparent-header>.
const W3C: HeaderName = HeaderName::from_static("traceparent");

/// A position in a distributed trace. The trace's id is never zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trace {
    /// The trace.
    pub id: u128,
    /// This request's span if one is recorded, else the caller's; 0 if neither is known.
    pub span: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl Trace {
    /// The trace in the headers of a request. The W3C's header comes first, because all platforms pass it on unchanged.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok();
        text(W3C)
            .and_then(Self::from_w3c)
            .or_else(|| text(CLOUD).and_then(Self::from_cloud))
            .or_else(|| text(XRAY).and_then(Self::from_xray))
    }

    fn from_w3c(text: &str) -> Option<Self> {
        let mut fields = text.trim().split('-');
        let (version, id, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let version = hex::<2>(version)?;
        // Version ff is invalid. Later versions may add fields, version 00 may not.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return None;
        }
        let sampled = hex::<2>(flags)? & 1 == 1;
        let (id, span) = (hex::<32>(id)?, hex::<16>(span)? as u64);
        (id != 0 && span != 0).then_some(Self { id, span, sampled })
    }

    fn from_cloud(text: &str) -> Option<Self> {
        let (ids, options) = text.split_once(";o=").unwrap_or((text, "0"));
        let (id, span) = ids.split_once('/').unwrap_or((ids, "0"));
        let (id, span) = (hex::<32>(id)?, span.parse().ok()?);
        let sampled = options == "1";
        (id != 0).then_some(Self { id, span, sampled })
    }

    fn from_xray(text: &str) -> Option<Self> {
        let field = |name| text.split(';').find_map(|field| field.trim().strip_prefix(name));
        let (time, unique) = field("Root=1-")?.split_once('-')?;
        let id = hex::<8>(time)? << 96 | hex::<24>(unique)?;
        let span = field("Parent=").and_then(hex::<16>).unwrap_or(0) as u64;
        let sampled = field("Sampled=") == Some("1");
        (id != 0).then_some(Self { id, span, sampled })
    }

    /// The value of `traceresponse`: <https://www.w3.org/TR/trace-context-2/#traceresponse-header>.
    pub fn response(&self) -> HeaderValue {
        let text = format!("00-{self}-{:016x}-0{}", self.span, u8::from(self.sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits are a header value")
    }
}

/// The id of the trace, as 32 digits.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

/// Parses exactly `DIGITS` hexadecimal digits, without a sign.
fn hex<const DIGITS: usize>(text: &str) -> Option<u128> {
    let digits = text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    fn from(headers: &[(HeaderName, &'static str)]) -> Option<Trace> {
        let headers = headers.iter().cloned();
        Trace::from_headers(
            &headers
                .map(|(name, text)| (name, HeaderValue::from_static(text)))
                .collect(),
        )
    }

    #[test]
    fn a_malformed_header_is_ignored() {
        for (name, text) in [
            (W3C, ""),
            (W3C, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"),
            (W3C, "00-00000000000000000000000000000000-00f067aa0ba902b7-01"),
            (W3C, "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"),
            (W3C, "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (W3C, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
            (W3C, "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (CLOUD, "4bf92f3577b34da6a3ce929d0e0e47/1;o=1"),
            (CLOUD, "4bf92f3577b34da6a3ce929d0e0e4736/x;o=1"),
            (CLOUD, "/"),
            (XRAY, "Root=1-4bf92f35"),
            (XRAY, "Root=2-4bf92f35-77b34da6a3ce929d0e0e4736"),
            (XRAY, "Self=1-4bf92f35-77b34da6a3ce929d0e0e4736"),
        ] {
            assert_eq!(from(&[(name, text)]), None, "{text}");
        }
    }

    #[test]
    fn all_three_headers_carry_the_same_trace() {
        let expected = Some(Trace {
            id: ID,
            span: SPAN,
            sampled: true,
        });
        for (name, text) in [
            (W3C, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            (W3C, "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03-later"),
            (CLOUD, "4bf92f3577b34da6a3ce929d0e0e4736/67667974448284343;o=1"),
            (
                XRAY,
                "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1",
            ),
        ] {
            assert_eq!(from(&[(name, text)]), expected, "{text}");
        }
    }

    #[test]
    fn a_trace_needs_no_span_and_the_w3c_header_comes_first() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            from(&[(CLOUD, id)]),
            Some(Trace {
                id: ID,
                span: 0,
                sampled: false
            })
        );
        let both = [
            (XRAY, "Root=1-11111111-111111111111111111111111"),
            (W3C, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
        ];
        let trace = from(&both).unwrap();
        assert_eq!(
            trace,
            Trace {
                id: ID,
                span: SPAN,
                sampled: false
            }
        );
        assert_eq!(trace.response(), both[1].1);
    }
}
