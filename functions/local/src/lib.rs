//! The command line of the bundle: serves every function in one process, and checks how the functions are deployed.

pub mod bundle;
pub mod checkout;
mod commands;
pub mod deployment;
pub mod functions;
mod issuer;
pub mod openapi;
pub mod pages;
pub mod problems;
pub mod route_table;
pub mod settings;

pub use commands::run;
