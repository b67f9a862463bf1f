//! S3, on servers that others wrote.

mod moto;
mod s3s_fs;
mod without_versions;

use crate::{
    conformance::{conforms, decides_races, takes_every_key},
    world::{LARGE, World, bound, content, downloads, files, key, read, storage},
};
use bytes::Bytes;
use shared::storage::{Hold, Kind, Put, Retention, Sha256, SignPut, Storage};
use std::time::{Duration, SystemTime};
use testing::{
    Client,
    s3::{ACCESS_KEY, ACCESS_KEY_WITHOUT_LIST, CLOSED_BUCKET, S3Server, SECRET_KEY},
};

fn on(server: &str, bucket: &str, secret: &str) -> Storage {
    with_key(server, bucket, ACCESS_KEY, secret)
}

fn with_key(server: &str, bucket: &str, access_key: &str, secret: &str) -> Storage {
    storage(&[
        ("S3_BUCKET", bucket),
        ("AWS_ENDPOINT_URL_S3", server),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", access_key),
        ("AWS_SECRET_ACCESS_KEY", secret),
    ])
}
