//! Folders of migrations, and everything that can be wrong with them, on the real binary and a real Postgres.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod commands;
mod files;
mod folder;
mod pooler;
mod sessions;
mod stop;
mod table;
mod together;
