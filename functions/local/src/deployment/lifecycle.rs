//! Reads the lifecycle rules of a bucket, in the forms of GCS, S3 and CloudFormation.

use super::{Deployment, Lifecycle};
use serde_json::{Value, json};

/// Reads the rules of one bucket.
pub fn add(deployment: &mut Deployment, place: &str, rules: &Value) {
    deployment.known(place, rules, &["rule", "Rules", "TransitionDefaultMinimumObjectSize"]);
    let mut deletes = Vec::new();
    for (key, prefixes) in [("rule", gcs as Prefixes), ("Rules", s3)] {
        let list = &rules[key];
        if !list.is_array() && !list.is_null() {
            deployment.not_understood(place, key);
        }
        for rule in list.as_array().into_iter().flatten() {
            deletes.extend(prefixes(deployment, place, rule));
        }
    }
    if !deletes.iter().all(Value::is_string) {
        deployment.not_understood(place, "a prefix");
    }
    deployment.lifecycles.push(Lifecycle {
        place: place.to_owned(),
        deletes: deletes
            .iter()
            .filter_map(|prefix| prefix.as_str().map(str::to_owned))
            .collect(),
    });
}

/// The prefixes of the objects that a rule deletes.
type Prefixes = fn(&mut Deployment, &str, &Value) -> Vec<Value>;

fn gcs(deployment: &mut Deployment, place: &str, rule: &Value) -> Vec<Value> {
    deployment.known(place, rule, &["action", "condition"]);
    match rule["action"]["type"].as_str() {
        Some("AbortIncompleteMultipartUpload" | "SetStorageClass") => Vec::new(),
        Some("Delete") => match rule["condition"]["matchesPrefix"].as_array() {
            Some(prefixes) if !prefixes.is_empty() => prefixes.clone(),
            _ => vec![json!("")],
        },
        _ => {
            deployment.not_understood(place, "action");
            Vec::new()
        }
    }
}

const DELETIONS: [&str; 5] = [
    "Expiration",
    "ExpirationDate",
    "ExpirationInDays",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionExpirationInDays",
];

const OTHER_PARTS: [&str; 12] = [
    "AbortIncompleteMultipartUpload",
    "Filter",
    "ID",
    "Id",
    "NoncurrentVersionTransition",
    "NoncurrentVersionTransitions",
    "ObjectSizeGreaterThan",
    "ObjectSizeLessThan",
    "Prefix",
    "Status",
    "Transition",
    "Transitions",
];

fn s3(deployment: &mut Deployment, place: &str, rule: &Value) -> Vec<Value> {
    deployment.known(
        place,
        rule,
        &[
            &DELETIONS[..],
            &OTHER_PARTS,
            &["ExpiredObjectDeleteMarker", "TagFilters"],
        ]
        .concat(),
    );
    if rule["Status"] == "Disabled" || !DELETIONS.iter().any(|key| rule.get(key).is_some()) {
        return Vec::new();
    }
    let filter = &rule["Filter"];
    let prefixes = [&filter["Prefix"], &filter["And"]["Prefix"], &rule["Prefix"]];
    let prefix = prefixes.into_iter().find(|prefix| !prefix.is_null());
    vec![prefix.cloned().unwrap_or(json!(""))]
}
