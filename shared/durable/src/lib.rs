//! What the tests of durable streams share.
