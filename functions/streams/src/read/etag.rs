//! Entity tags of pages: which stream, from where, up to where, and what the answer says of its end (section 10.1).

use crate::offset::Token;
use shared::streams::Page;

/// The tag of a page. It begins where the page does: retention moves the start. 304 leaves `Stream-Up-To-Date` and
/// `Stream-Closed` of a stored answer as they are (RFC 9111, section 3.2), so that the tag has them, too.
pub fn of(page: &Page) -> String {
    let stream = page.head.incarnation;
    let end = if page.is_end() {
        ":c"
    } else if page.is_up_to_date() {
        ":t"
    } else {
        ""
    };
    format!("\"{stream}:{}:{}{end}\"", Token(page.begin), Token(page.next))
}
