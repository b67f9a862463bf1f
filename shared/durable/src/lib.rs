//! What the tests of durable streams share: a log in a database, and a model of it in memory.

mod log;
mod model;
pub mod wrong;

pub use log::{Log, append, create, fork, within};
pub use model::Model;
