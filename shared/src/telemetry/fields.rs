//! The fields of spans, bounded in size.

use serde::Serialize;
use std::{
    fmt::{self, Write},
    mem,
    sync::Arc,
};
use tracing::field::{Field, Visit};

/// The longest text of a value, in bytes. The rest is cut off, with an ellipsis.
const MAX_VALUE: usize = 1024;
/// How many fields the spans around an event may have together.
const MAX_AROUND: usize = 64;

/// The value of a field. A clone copies no text.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    #[serde(serialize_with = "as_text")]
    Text(Arc<str>),
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Texts stand in quotes.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Names and values. `tracing` allows 32 a span.
#[derive(Default)]
pub struct Fields(Vec<(&'static str, Value)>);

impl Fields {
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Replaces those that have the same name.
    pub fn update(&mut self, newer: Self) {
        for (name, value) in newer.0 {
            self.set(name, value);
        }
    }

    /// Adds the fields of an outer span whose names no inner one has.
    pub fn add_outer(&mut self, outer: &Self) {
        for (name, value) in outer.iter() {
            let is_new = self.iter().all(|(inner, _)| inner != name);
            if is_new && self.0.len() < MAX_AROUND {
                self.0.push((name, value.clone()));
            }
        }
    }

    /// About how many bytes they take.
    pub fn size(&self) -> usize {
        let texts = self.iter().map(|(_, value)| value.text().map_or(0, str::len));
        self.0.capacity() * mem::size_of::<(&str, Value)>() + texts.sum::<usize>()
    }

    fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Cut::default();
        // Fails where the text is cut: the rest is not even formatted.
        let _ = write!(text, "{value:?}");
        self.set(field.name(), Value::Text(text.text.into()));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Cut::default();
        let _ = text.write_str(value);
        self.set(field.name(), Value::Text(text.text.into()));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::Bool(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::Signed(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::Unsigned(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::Float(value));
    }
}

/// A text of at most [`MAX_VALUE`] bytes.
#[derive(Default)]
struct Cut {
    text: String,
    is_cut: bool,
}

impl Write for Cut {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        if self.is_cut {
            return Err(fmt::Error);
        }
        let room = MAX_VALUE - self.text.len();
        if part.len() <= room {
            self.text.push_str(part);
            return Ok(());
        }
        self.text.push_str(&part[..part.floor_char_boundary(room)]);
        self.text.push('…');
        self.is_cut = true;
        Err(fmt::Error)
    }
}
