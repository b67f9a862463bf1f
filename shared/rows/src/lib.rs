//! Typed queries as functions write them.
