//! The spans that a thread is in.
//!
//! A guard of `Span::enter` that is never dropped, or held across an await, is still there when the thread works for another
//! request. So a span counts only for the request that has entered it: the fields of one request never reach the records of
//! another.

use super::{Context, context};
use std::{cell::RefCell, sync::Arc};
use tracing::span::Id;

/// How many spans a thread may be in. Beyond that, the outermost is forgotten: most likely its guard was never dropped.
const MAX_ENTERED: usize = 1024;

struct Entered {
    id: u64,
    by: Option<Arc<Context>>,
}

thread_local! {
    static ENTERED: RefCell<Vec<Entered>> = const { RefCell::new(Vec::new()) };
}

pub fn enter(id: &Id) {
    let entered = Entered {
        id: id.into_u64(),
        by: context(),
    };
    with(|stack| {
        if stack.len() == MAX_ENTERED {
            stack.remove(0);
        }
        stack.push(entered);
    });
}

pub fn exit(id: &Id) {
    with(|stack| {
        if let Some(index) = stack.iter().rposition(|entered| entered.id == id.into_u64()) {
            stack.remove(index);
        }
    });
}

/// The innermost span that the present request, or none, has entered.
pub fn current() -> Option<u64> {
    with(|stack| {
        // Most functions have no spans: they do not even look the context up.
        let by = if stack.is_empty() { return None } else { context() };
        let is_by = |entered: &&Entered| entered.by.as_ref().map(Arc::as_ptr) == by.as_ref().map(Arc::as_ptr);
        stack.iter().rev().find(is_by).map(|entered| entered.id)
    })
    .flatten()
}

/// `None` at the end of the thread.
fn with<T>(work: impl FnOnce(&mut Vec<Entered>) -> T) -> Option<T> {
    ENTERED.try_with(|stack| work(&mut stack.borrow_mut())).ok()
}
