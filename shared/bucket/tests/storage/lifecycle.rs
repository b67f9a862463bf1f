//! The lifecycle rules of buckets delete uploads that were killed, in every version, and nothing else.

use serde_json::Value;

const UPLOADS: &str = ".pilotlight/uploads/";

fn rules(file: &str, member: &str) -> Vec<Value> {
    let path = format!("{}/../../.github/deploy/{file}", env!("CARGO_MANIFEST_DIR"));
    let rules: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    rules[member].as_array().unwrap().clone()
}

#[test]
fn on_s3_an_upload_that_was_killed_goes_with_its_versions_and_its_delete_markers() {
    let rules = rules("lifecycle-s3.json", "Rules");
    let deletes = |rule: &&Value| {
        rule.get("Expiration")
            .or(rule.get("NoncurrentVersionExpiration"))
            .is_some()
    };
    let deleting: Vec<&Value> = rules.iter().filter(deletes).collect();
    assert!(
        deleting
            .iter()
            .all(|rule| rule["Filter"]["Prefix"] == UPLOADS && rule["Status"] == "Enabled")
    );
    let some = |found: fn(&Value) -> bool| deleting.iter().any(|rule| found(rule));
    assert!(some(|rule| rule["Expiration"]["Days"].is_u64()));
    assert!(some(
        |rule| rule["NoncurrentVersionExpiration"]["NoncurrentDays"].is_u64()
    ));
    assert!(some(|rule| rule["Expiration"]["ExpiredObjectDeleteMarker"] == true));
    // S3 refuses a rule that says both.
    assert!(!some(|rule| rule["Expiration"]
        .as_object()
        .is_some_and(|expiration| expiration.len() > 1)));
    assert!(
        rules
            .iter()
            .any(|rule| rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"].is_u64())
    );
}

#[test]
fn on_gcs_an_upload_that_was_killed_goes_with_its_versions() {
    let rules = rules("lifecycle-gcs.json", "rule");
    let deleting: Vec<&Value> = rules.iter().filter(|rule| rule["action"]["type"] == "Delete").collect();
    assert!(
        deleting
            .iter()
            .all(|rule| rule["condition"]["matchesPrefix"] == serde_json::json!([UPLOADS]))
    );
    for condition in ["age", "daysSinceNoncurrentTime"] {
        assert!(
            deleting.iter().any(|rule| rule["condition"][condition].is_u64()),
            "{condition}"
        );
    }
    assert!(
        rules
            .iter()
            .any(|rule| rule["action"]["type"] == "AbortIncompleteMultipartUpload")
    );
}
