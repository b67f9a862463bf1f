//! The subscriber of `tracing`: filters by level, writes events, and stores the spans around them.

use super::{PROCESS, entered, format::Lines, spans::Spans, writer};
use tracing::{
    Event, Metadata, Subscriber,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_core::span::Current;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The registry of `tracing-subscriber` would make every function 72 KB larger, and its spans are not bounded.
pub struct Log {
    levels: Targets,
    lines: Lines,
    spans: Spans,
}

impl Log {
    pub fn new(levels: Targets, lines: Lines) -> Self {
        let spans = Spans::default();
        Self { levels, lines, spans }
    }
}

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == PROCESS || self.levels.would_enable(metadata.target(), metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.levels
            .iter()
            .map(|(_, level)| level)
            .chain(self.levels.default_level())
            // For the target `process`.
            .chain([LevelFilter::WARN])
            .max()
    }

    fn event(&self, event: &Event<'_>) {
        let around = self.spans.around(event);
        writer::write(&self.lines.line(event, around.as_ref()));
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.spans.open(attributes)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        self.spans.record(id, values);
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        self.spans.follows_from(id, follows);
    }

    fn enter(&self, id: &Id) {
        entered::enter(id);
    }

    fn exit(&self, id: &Id) {
        entered::exit(id);
    }

    fn clone_span(&self, id: &Id) -> Id {
        self.spans.share(id);
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        self.spans.close(&id)
    }

    fn current_span(&self) -> Current {
        self.spans.current()
    }
}
