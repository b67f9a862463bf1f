//! Who may do what with which stream.

use shared::{
    callers::{Caller, scope_missing},
    problem::Problem,
};

/// What reads need. With `:` and a path at its end, it permits the streams there alone.
pub const READ: &[&str] = &[READ_ONE];
const READ_ONE: &str = "streams:read";
/// What everything else needs, in the same way.
pub const WRITE: &[&str] = &["streams:write"];

/// For streams that the path of the URL does not name.
///
/// # Errors
/// The caller may not read this stream.
pub fn check_read(caller: &Caller, path: &str) -> Result<(), Problem> {
    let may = caller.may(READ_ONE, path);
    may.then_some(()).ok_or_else(|| scope_missing(READ_ONE))
}
