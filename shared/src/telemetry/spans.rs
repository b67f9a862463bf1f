//! Spans that are open: the records of the events inside of a span have its fields, and with the feature `otel` it is
//! exported when it ends.
//!
//! Their memory is bounded, also where spans are leaked. The code of a function (`Debug` of its values) never runs under the
//! lock, so it may log and open spans itself.

mod open;

use super::{
    Context, PROCESS, entered,
    fields::{Fields, Value},
};
use open::{Open, Span};
use std::{
    iter::successors,
    sync::{Arc, Mutex, MutexGuard, Once, PoisonError},
};
use tracing::{
    Event,
    span::{Attributes, Id, Record},
};
use tracing_core::span::Current;

/// How far from an event its outermost span may be.
const MAX_DEPTH: usize = 128;

#[derive(Default)]
pub struct Spans(Mutex<Open>);

/// The spans around an event.
pub struct Around {
    /// The name of the innermost.
    pub name: &'static str,
    /// The fields of all; those of inner ones come first, and hide outer ones with the same name.
    pub fields: Fields,
    /// The request that they belong to.
    pub context: Option<Arc<Context>>,
    /// The id of the innermost in an exported trace.
    #[cfg(feature = "otel")]
    pub trace: Option<super::Trace>,
}

impl Around {
    /// The fields, without those that the event has itself. Its message is no field.
    pub fn fields_beside(&self, event: &Event<'_>) -> impl Iterator<Item = (&'static str, &Value)> {
        let inner = event.metadata().fields();
        self.fields
            .iter()
            .filter(move |(name, _)| *name == "message" || inner.field(*name).is_none())
    }
}

impl Spans {
    pub fn open(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let contextual = || attributes.is_contextual().then(entered::current).flatten();
        let span = Span {
            metadata: attributes.metadata(),
            parent: attributes.parent().map(Id::into_u64).or_else(contextual),
            fields,
            context: super::context(),
            handles: 1,
            children: 0,
            #[cfg(feature = "otel")]
            recording: None,
        };
        let mut open = self.open_spans();
        let id = open.insert(span, attributes.is_root());
        let has_forgotten = open.forget_oldest();
        drop(open);
        if has_forgotten {
            warn_once();
        }
        Id::from_u64(id)
    }

    pub fn record(&self, id: &Id, values: &Record<'_>) {
        let mut newer = Fields::default();
        values.record(&mut newer);
        let mut open = self.open_spans();
        if let Some(span) = open.spans.get_mut(&id.into_u64()) {
            let before = span.size();
            span.fields.update(newer);
            let after = span.size();
            open.size = open.size + after - before;
        }
    }

    #[cfg_attr(
        not(feature = "otel"),
        expect(unused_variables, reason = "only exported spans have links")
    )]
    pub fn follows_from(&self, id: &Id, followed: &Id) {
        #[cfg(feature = "otel")]
        {
            let mut open = self.open_spans();
            let followed = open.spans.get(&followed.into_u64()).and_then(Span::trace);
            let recording = open
                .spans
                .get_mut(&id.into_u64())
                .and_then(|span| span.recording.as_mut());
            if let (Some(recording), Some(followed)) = (recording, followed) {
                recording.follows_from(followed);
            }
        }
    }

    /// Counts another handle.
    pub fn share(&self, id: &Id) {
        if let Some(span) = self.open_spans().spans.get_mut(&id.into_u64()) {
            span.handles += 1;
        }
    }

    /// Gives a handle up. True if it was the last one.
    pub fn close(&self, id: &Id) -> bool {
        let mut open = self.open_spans();
        let Some(span) = open.spans.get_mut(&id.into_u64()) else {
            return true;
        };
        span.handles -= 1;
        if span.handles > 0 {
            return false;
        }
        #[cfg(feature = "otel")]
        if let Some(recording) = span.recording.take() {
            recording.end_span(span.metadata.name(), &span.fields);
        }
        open.remove_ended(id.into_u64());
        true
    }

    /// The span that code is in now.
    pub fn current(&self) -> Current {
        let metadata = |id| self.open_spans().spans.get(&id).map(|span| span.metadata);
        match entered::current().and_then(|id| Some((id, metadata(id)?))) {
            Some((id, metadata)) => Current::new(Id::from_u64(id), metadata),
            None => Current::none(),
        }
    }

    /// The spans around an event, if there are any.
    pub fn around(&self, event: &Event<'_>) -> Option<Around> {
        let contextual = || event.is_contextual().then(entered::current).flatten();
        let innermost = event.parent().map(Id::into_u64).or_else(contextual)?;
        #[cfg_attr(not(feature = "otel"), expect(unused_mut, reason = "an error is recorded"))]
        let mut open = self.open_spans();
        #[cfg(feature = "otel")]
        if *event.metadata().level() == tracing::Level::ERROR {
            open.fail(innermost);
        }
        let span = open.spans.get(&innermost)?;
        let mut fields = Fields::default();
        let outwards = successors(Some(span), |span| open.spans.get(&span.parent?));
        outwards.take(MAX_DEPTH).for_each(|span| fields.add_outer(&span.fields));
        Some(Around {
            name: span.metadata.name(),
            fields,
            context: span.context.clone(),
            #[cfg(feature = "otel")]
            trace: span.trace(),
        })
    }

    fn open_spans(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn warn_once() {
    static WARNED: Once = Once::new();
    WARNED.call_once(|| tracing::warn!(target: PROCESS, "too many spans are open: the oldest are forgotten"));
}
