//! The life of a plain HTTP server: HTTP/1.1 and h2c.

mod chunked;
mod connection;
mod http2;
mod request_body;
mod server;

pub use server::{bind, serve_until};
