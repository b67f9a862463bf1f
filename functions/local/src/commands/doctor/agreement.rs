//! Rules that compare what a function's code declares with what its deployment provides.

use super::{Limits, declared::Declared};
use crate::deployment::{Deployed, Deployment, Platform};
use shared::{body::LAMBDA_LIMIT, health};
use std::collections::BTreeMap;

/// The variables that name the database, and those that name the bucket. A function needs one of each.
pub const DATABASE: &[&str] = &["DATABASE_URL"];
pub const BUCKET: &[&str] = &["STORAGE_URL", "GCS_BUCKET", "S3_BUCKET"];
const DEPENDENCIES: [(&[&str], &str); 2] = [(DATABASE, "a database"), (BUCKET, "a bucket")];

/// Every deployed function of this bundle, with its declaration.
fn known<'a>(deployment: &'a Deployment, limits: Limits<'a>) -> impl Iterator<Item = (&'a Deployed, &'a Declared)> {
    let functions = deployment.functions.iter();
    functions.filter_map(move |function| Some((function, limits.declared(function)?)))
}

/// Functions that read where a dependency is, and miss the variable, the role or the socket for it.
pub fn lack_what_they_read(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let has_cloud_sql = deployment.functions.iter().any(|function| function.cloud_sql);
    let mut places = Vec::new();
    for (function, declared) in known(deployment, limits) {
        let place = &function.place;
        for (names, word) in DEPENDENCIES {
            if declared.reads_any(names) && !function.sets_any(names) {
                places.push(format!(
                    "{place}: reads where {word} is, and none is given: {}",
                    names.join(" or ")
                ));
            }
        }
        if declared.reads_any(BUCKET) && function.bucket_role == Some(false) {
            places.push(format!("{place}: reads a bucket, and its role has no right on one"));
        }
        let on_cloud_run = function.platform == Platform::CloudRun;
        if declared.reads_any(DATABASE) && on_cloud_run && has_cloud_sql && !function.cloud_sql {
            places.push(format!(
                "{place}: reads where a database is, and has no socket of Cloud SQL"
            ));
        }
    }
    places
}

/// Functions with a variable, a role or a socket for a dependency that they never read.
pub fn have_what_they_do_not_read(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for (function, declared) in known(deployment, limits) {
        let place = &function.place;
        for (names, word) in DEPENDENCIES {
            if function.sets_any(names) && !declared.reads_any(names) {
                places.push(format!(
                    "{place}: is given {word}, and does not read {}",
                    names.join(" or ")
                ));
            }
        }
        if function.bucket_role == Some(true) && !declared.reads_any(BUCKET) {
            places.push(format!("{place}: its role has rights on a bucket, and it reads none"));
        }
        if function.cloud_sql && !declared.reads_any(DATABASE) {
            places.push(format!("{place}: has a socket of Cloud SQL, and reads no database"));
        }
    }
    places
}

/// Function URLs whose `InvokeMode` differs from how the function answers.
pub fn stream_otherwise(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let functions = known(deployment, limits);
    let differ = functions.filter(|(function, declared)| function.streams.is_some_and(|mode| mode != declared.streams));
    differ
        .map(|(function, declared)| {
            let (mode, does) = if declared.streams {
                ("BUFFERED", "streams")
            } else {
                ("RESPONSE_STREAM", "does not stream")
            };
            format!("{}: InvokeMode is {mode}, and the function {does}", function.place)
        })
        .collect()
}

/// Functions on Lambda with routes for larger bodies than it hands over.
pub fn take_what_lambda_does_not_hand_over(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let on_lambda = known(deployment, limits).filter(|(function, _)| function.platform == Platform::Lambda);
    let routes = on_lambda.flat_map(|(function, declared)| {
        let routes = declared.large_bodies.iter();
        routes.map(move |(route, limit)| (&function.place, route, limit))
    });
    routes
        .map(|(place, route, limit)| {
            format!("{place}: {route} takes {limit} bytes, and Lambda hands over {LAMBDA_LIMIT}")
        })
        .collect()
}

/// Function URLs of functions that stream, inside a VPC.
pub fn stream_inside_a_vpc(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let functions = known(deployment, limits);
    let inside =
        functions.filter(|(function, declared)| declared.streams && function.streams.is_some() && function.in_vpc);
    let named = inside.map(|(function, _)| format!("{}: streams, and has a VpcConfig", function.place));
    named.collect()
}

/// Functions of Cloud Run that share a service account, or have the project's default one.
pub fn share_an_account(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let mut places = Vec::new();
    for (function, declared) in
        known(deployment, limits).filter(|(function, _)| function.platform == Platform::CloudRun)
    {
        let Some(account) = &function.account else {
            places.push(format!("{}: runs as the project's default account", function.place));
            continue;
        };
        let owner = owners.entry(account).or_insert(&declared.name);
        if *owner != declared.name {
            places.push(format!("{}: runs as the account of {owner}", function.place));
        }
    }
    places
}

/// Functions that the platform ends before the deadline of their health check.
pub fn cut_checks(deployment: &Deployment, limits: Limits<'_>) -> Vec<String> {
    let mut places = Vec::new();
    for (function, declared) in known(deployment, limits) {
        let checks = health::Settings::from_env(&function.env()).timeout;
        let cut = function.timeout.filter(|timeout| *timeout <= checks);
        if let Some(timeout) = cut.filter(|_| declared.has(health::Settings::from_env)) {
            places.push(format!(
                "{}: ends at {timeout:?}, and its check takes up to {checks:?}",
                function.place
            ));
        }
    }
    places
}
