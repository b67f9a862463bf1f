//! One event, in the framing of the HTML standard
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>).

use bytes::Bytes;
use serde::Serialize;
use std::{borrow::Cow, fmt::Display, time::Duration};

/// An event, encoded as its fields are added: `Event::default().id("7").event("tick").data("ping")`.
///
/// No text can add a field or end the event early.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Event {
    /// Whole events that leave before this one.
    before: Bytes,
    lines: String,
    /// Comments alone are no event.
    has_field: bool,
}

impl Event {
    /// What the client sends back as `Last-Event-ID`. Line ends are left out, and NUL, which would make clients ignore it.
    #[must_use]
    pub fn id(self, id: impl Display) -> Self {
        self.field("id", &one_line(&id.to_string()))
    }

    /// The event's type; `message` without one. Line ends and NUL are left out.
    #[must_use]
    pub fn event(self, event: &str) -> Self {
        self.field("event", &one_line(event))
    }

    /// The payload. CR, LF and CRLF reach the client as LF.
    #[must_use]
    pub fn data(self, data: &str) -> Self {
        normal(data)
            .split('\n')
            .fold(self, |event, line| event.field("data", line))
    }

    /// The same without the space after `data:`, which is optional, except before a line that begins with one: for protocols
    /// whose readers look for `data:{`.
    #[must_use]
    pub fn dense_data(mut self, data: &str) -> Self {
        self.has_field = true;
        for line in normal(data).split('\n') {
            let colon = if line.starts_with(' ') { "data: " } else { "data:" };
            self.lines.extend([colon, line, "\n"]);
        }
        self
    }

    /// The payload as JSON.
    ///
    /// # Errors
    /// JSON cannot hold the value, such as a map whose keys are not text.
    pub fn json(self, value: &impl Serialize) -> serde_json::Result<Self> {
        Ok(self.data(&serde_json::to_string(value)?))
    }

    /// How long the client waits before it reconnects, in whole milliseconds.
    #[must_use]
    pub fn retry(self, delay: Duration) -> Self {
        self.field("retry", &delay.as_millis().to_string())
    }

    /// A line that clients ignore. Line ends and NUL are left out.
    #[must_use]
    pub fn comment(mut self, text: &str) -> Self {
        self.push("", &one_line(text));
        self
    }

    /// This event and another one, which leave in one piece.
    #[must_use]
    pub fn followed_by(self, next: Self) -> Self {
        let before = [self.encode(), next.before].concat();
        Self {
            before: before.into(),
            ..next
        }
    }

    /// The same event, whose clones share its bytes.
    #[must_use]
    pub fn shared(self) -> Self {
        Self {
            before: self.encode(),
            ..Self::default()
        }
    }

    /// The event on the wire, with its final blank line.
    pub fn encode(mut self) -> Bytes {
        // After comments alone, some clients take a blank line for an empty event.
        if self.has_field {
            self.lines.push('\n');
        }
        match (self.before.is_empty(), self.lines.is_empty()) {
            (_, true) => self.before,
            (true, false) => self.lines.into(),
            (false, false) => [&self.before, self.lines.as_bytes()].concat().into(),
        }
    }

    fn field(mut self, name: &str, value: &str) -> Self {
        self.has_field = true;
        self.push(name, value);
        self
    }

    fn push(&mut self, name: &str, value: &str) {
        self.lines.reserve(name.len() + value.len() + 4);
        for part in [name, ": ", value, "\n"] {
            self.lines.push_str(part);
        }
    }
}

impl From<Event> for Bytes {
    fn from(event: Event) -> Self {
        event.encode()
    }
}

/// The text with LF as its only line end.
fn normal(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n").into()
    } else {
        text.into()
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], "")
}

/// What an event has, for the API document.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "a schema")]
pub struct EventSchema {
    /// What the client sends back as `Last-Event-ID`. NUL, which would make clients ignore it, is left out.
    #[schema(nullable = false)]
    id: Option<String>,
    /// The event's type; `message` when `None`.
    #[schema(nullable = false)]
    event: Option<String>,
    /// The payload. CR, LF and CRLF reach the client as LF.
    data: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_and_nul_in_any_field_cannot_break_the_framing() {
        let hostile = "a\r\nb\rc\nd\0e\n\nevent: forged";
        let event = Event::default()
            .id(hostile)
            .event(hostile)
            .comment(hostile)
            .data(hostile);
        let frame = String::from_utf8(event.encode().to_vec()).unwrap();
        let lines: Vec<&str> = frame.split('\n').collect();
        assert_eq!(lines[0], "id: abcdeevent: forged");
        assert_eq!(lines[1], "event: abcdeevent: forged");
        assert_eq!(lines[2], ": abcdeevent: forged");
        assert_eq!(
            lines[3..],
            [
                "data: a",
                "data: b",
                "data: c",
                "data: d\0e",
                "data: ",
                "data: event: forged",
                "",
                ""
            ]
        );
        assert!(!frame.contains('\r'));
    }

    #[test]
    fn json_is_one_line_and_retry_is_in_milliseconds() {
        let event = Event::default().retry(Duration::from_millis(1500));
        let event = event.json(&["a\r\nb", "c"]).unwrap();
        assert_eq!(event.encode(), "retry: 1500\ndata: [\"a\\r\\nb\",\"c\"]\n\n");
        let no_json = std::collections::HashMap::from([((1, 2), 3)]);
        assert!(Event::default().json(&no_json).is_err());
    }

    #[test]
    fn dense_data_is_the_same_to_a_client() {
        let event = Event::default().id("1").dense_data("a\r\n b\r\n\ndata: c");
        assert_eq!(event.encode(), "id: 1\ndata:a\ndata:  b\ndata:\ndata:data: c\n\n");
    }

    #[test]
    fn two_events_in_one_piece_are_two_events() {
        let event = Event::default()
            .data("1")
            .followed_by(Event::default().id("2").data("2"));
        assert_eq!(event.encode(), "data: 1\n\nid: 2\ndata: 2\n\n");
    }

    #[test]
    fn clones_of_a_shared_event_have_the_same_bytes_until_something_is_added() {
        let event = Event::default().data("1").shared();
        let (first, second) = (event.clone().encode(), event.clone().encode());
        assert_eq!((&*first, first.as_ptr()), (&b"data: 1\n\n"[..], second.as_ptr()));
        assert_eq!(event.data("2").encode(), "data: 1\n\ndata: 2\n\n");
    }

    #[test]
    fn comments_alone_are_no_event() {
        assert_eq!(
            Event::default().comment("one").comment("two").encode(),
            ": one\n: two\n"
        );
        assert_eq!(Event::default().encode(), "");
        assert_eq!(Event::default().data("").encode(), "data: \n\n");
    }
}
