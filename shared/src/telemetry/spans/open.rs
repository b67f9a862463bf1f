//! The open spans, and how their memory is bounded.

use crate::telemetry::{Context, fields::Fields};
#[cfg(feature = "otel")]
use crate::telemetry::{Trace, otlp::Recording};
use std::{collections::BTreeMap, sync::Arc};
use tracing::Metadata;

/// How many bytes open spans may take together. The oldest are forgotten beyond that: most likely they are leaked, and what
/// is forgotten is missing in records, and nothing else.
const MAX_SIZE: usize = 4 * 1024 * 1024;
/// About how many bytes a span takes without its fields.
const SPAN_SIZE: usize = 512;

#[derive(Default)]
pub struct Open {
    /// By their ids, which are never used again. A child has a higher one than its parent.
    pub spans: BTreeMap<u64, Span>,
    last: u64,
    pub size: usize,
}

pub struct Span {
    pub metadata: &'static Metadata<'static>,
    pub parent: Option<u64>,
    pub fields: Fields,
    /// The request that has opened it: a task that holds the span and no context logs for the same request.
    pub context: Option<Arc<Context>>,
    /// Without a handle, a span has ended; it stays for its children.
    pub handles: usize,
    pub children: usize,
    #[cfg(feature = "otel")]
    pub recording: Option<Recording>,
}

impl Open {
    #[cfg_attr(not(feature = "otel"), expect(unused_variables, reason = "a root starts a trace"))]
    pub fn insert(&mut self, mut span: Span, is_root: bool) -> u64 {
        let mut parent = span.parent.and_then(|parent| self.spans.get_mut(&parent));
        if let Some(parent) = &mut parent {
            parent.children += 1;
            span.context = span.context.or_else(|| parent.context.clone());
        }
        #[cfg(feature = "otel")]
        {
            let parent = parent.map(|parent| parent.trace());
            span.recording = Recording::of_span(parent, is_root, span.context.as_deref());
        }
        self.last += 1;
        self.size += span.size();
        self.spans.insert(self.last, span);
        self.last
    }

    pub fn forget_oldest(&mut self) -> bool {
        let before = self.spans.len();
        while self.size > MAX_SIZE
            && let Some((_, oldest)) = self.spans.pop_first()
        {
            self.size -= oldest.size();
        }
        self.spans.len() < before
    }

    /// Removes a span that has ended, unless it has children, and then its parent, if that waited for it.
    pub fn remove_ended(&mut self, mut id: u64) {
        while let Some(span) = self.spans.get(&id)
            && (span.handles, span.children) == (0, 0)
        {
            self.size -= span.size();
            let Some(parent) = self.spans.remove(&id).and_then(|span| span.parent) else {
                return;
            };
            if let Some(parent) = self.spans.get_mut(&parent) {
                parent.children -= 1;
            }
            id = parent;
        }
    }

    #[cfg(feature = "otel")]
    pub fn fail(&mut self, id: u64) {
        if let Some(recording) = self.spans.get_mut(&id).and_then(|span| span.recording.as_mut()) {
            recording.fail();
        }
    }
}

impl Span {
    pub fn size(&self) -> usize {
        SPAN_SIZE + self.fields.size()
    }

    #[cfg(feature = "otel")]
    pub fn trace(&self) -> Option<Trace> {
        self.recording.as_ref().map(Recording::trace)
    }
}
