//! S3, on servers that others wrote.
