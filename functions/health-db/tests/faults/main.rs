//! Faults of `health-db`: a server that fails, hangs or lies, a network that drops, a pooler, a wrong certificate.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod certificates;
mod clock;
mod connection_strings;
mod connections;
mod drain;
mod empty_root;
mod front;
mod impatient;
mod poolers;
mod postgres;
mod probed;
mod rogue_servers;
mod sessions;
mod world;
