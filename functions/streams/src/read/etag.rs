//! Entity tags of pages: which stream, from where, up to where, and what the answer says of its end (section 10.1).

use axum::http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};
use shared::streams::Page;

use crate::{header::value, offset::Token};

/// The tag of a page. It begins where the page does: retention moves the start. 304 leaves `Stream-Up-To-Date` and
/// `Stream-Closed` of a stored answer as they are (RFC 9111, section 3.2), so that the tag has them, too.
pub fn of(page: &Page) -> HeaderValue {
    let stream = page.head.incarnation;
    let end = match page.is_up_to_date() {
        false => "",
        true if page.head.closed => ":c",
        true => ":t",
    };
    value(format!("\"{stream}:{}:{}{end}\"", Token(page.begin), Token(page.next)))
}

/// Whether the client has the page with this tag: weak comparison (RFC 9110, section 13.1.2).
pub fn matches(etag: &HeaderValue, request: &HeaderMap) -> bool {
    let values = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    // No tag of a page has a comma.
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_a_list_and_in_its_weak_form() {
        let etag = HeaderValue::from_static("\"1:-1:2\"");
        let sent = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            matches(&etag, &headers)
        };
        for values in [&[][..], &["1:-1:2"], &["\"1:-1:2:c\""], &["W/\"x\", \"y\""], &[""]] {
            assert!(!sent(values), "{values:?}");
        }
        for values in [
            &["*"][..],
            &["W/\"1:-1:2\""],
            &["\"x\",\"1:-1:2\""],
            &["\"x\"", "\"1:-1:2\""],
        ] {
            assert!(sent(values), "{values:?}");
        }
    }
}
