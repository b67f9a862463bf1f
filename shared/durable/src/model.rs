//! A model of the log, in memory.

/// The model.
#[derive(Debug, Default)]
pub struct Model;
