//! The shapes of deployment files: SAM's and CloudFormation's, Knative's, and two clouds' lifecycles.

use super::deployment::{Function, Platform};
use saphyr::{Scalar, Yaml};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};

/// YAML as JSON; a tag as the one member of an object, as CloudFormation's long forms have it.
pub fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(values) => values.iter().map(plain).collect(),
        Yaml::Mapping(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), plain(value)));
            Value::Object(members.collect())
        }
        Yaml::Tagged(tag, value) => json!({tag.suffix.as_str(): plain(value)}),
        Yaml::Representation(text, ..) => json!(text),
        Yaml::Value(Scalar::Null) | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

/// A Lambda function, with what `Globals` says of all of them.
pub fn serverless(place: String, name: &str, properties: &Value, template: &Value) -> Function {
    let globals = &template["Globals"]["Function"];
    let property = |key: &str| resolved(properties.get(key).or(globals.get(key)), template);
    let url = &properties["FunctionUrlConfig"];
    let variables = [globals, properties].map(|of| of["Environment"]["Variables"].as_object());
    let open_to_all = |resource: &Value| {
        let permission = &resource["Properties"];
        let of_this = permission["FunctionName"].to_string().contains(&format!("\"{name}"));
        permission["Principal"] == "*" && resource.get("Condition").is_none() && of_this
    };
    let mut resources = template["Resources"].as_object().into_iter().flat_map(Map::values);
    let origins = url["Cors"]["AllowOrigins"].as_array().cloned().unwrap_or_default();
    Function {
        place,
        platform: Platform::Lambda,
        streams: url["InvokeMode"] == "RESPONSE_STREAM",
        is_public: resolved(url.get("AuthType"), template) == "NONE" || resources.any(open_to_all),
        platform_origins: origins
            .iter()
            .filter_map(|origin| origin.as_str().map(str::to_owned))
            .collect(),
        timeout: property("Timeout").as_u64().map(Duration::from_secs),
        instances: property("ReservedConcurrentExecutions").as_u64(),
        settings: variables
            .into_iter()
            .flatten()
            .flatten()
            .map(|(key, value)| (key.clone(), literal(&resolved(Some(value), template))))
            .collect(),
    }
}

/// A reference to a parameter by the parameter's default.
fn resolved(value: Option<&Value>, template: &Value) -> Value {
    let value = value.cloned().unwrap_or_default();
    match value["Ref"].as_str().and_then(|name| template["Parameters"].get(name)) {
        Some(parameter) => parameter["Default"].clone(),
        None => value,
    }
}

/// Text that stands in the file itself.
fn literal(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => value["Sub"].as_str()?.to_owned(),
    };
    (!text.contains("{{resolve:") && !text.contains("${")).then_some(text)
}

/// A Cloud Run service or job.
pub fn knative(file: &str, document: &Value) -> Function {
    let template = &document["spec"]["template"];
    let is_job = document["kind"] == "Job";
    let spec = if is_job {
        &template["spec"]["template"]["spec"]
    } else {
        &template["spec"]
    };
    let annotations = &template["metadata"]["annotations"];
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let variables = spec["containers"][0]["env"].as_array().into_iter().flatten();
    let settings: BTreeMap<String, Option<String>> = variables
        .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), literal(&variable["value"]))))
        .collect();
    Function {
        place: format!("{file}, {name}"),
        platform: Platform::CloudRun,
        streams: !is_job && settings.contains_key("SSE_MAX_AGE"),
        is_public: document["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"] == "true",
        platform_origins: Vec::new(),
        timeout: spec["timeoutSeconds"].as_u64().map(Duration::from_secs),
        instances: if is_job {
            Some(template["spec"]["parallelism"].as_u64().unwrap_or(1))
        } else {
            annotations["autoscaling.knative.dev/maxScale"]
                .as_str()
                .and_then(|scale| scale.parse().ok())
        },
        settings,
    }
}

/// The prefixes whose objects are deleted by age, in the shapes of GCS, of S3 and of CloudFormation.
pub fn lifecycle(rules: &Value) -> Vec<String> {
    let gcs = rules["rule"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule["action"]["type"] == "Delete");
    let gcs = gcs.flat_map(|rule| match rule["condition"]["matchesPrefix"].as_array() {
        Some(prefixes) if !prefixes.is_empty() => prefixes.clone(),
        _ => vec![json!("")],
    });
    const DELETIONS: [&str; 5] = [
        "Expiration",
        "ExpirationInDays",
        "ExpirationDate",
        "NoncurrentVersionExpiration",
        "NoncurrentVersionExpirationInDays",
    ];
    let s3 = rules["Rules"].as_array().into_iter().flatten();
    let s3 = s3.filter(|rule| rule["Status"] != "Disabled" && DELETIONS.iter().any(|key| rule.get(key).is_some()));
    let s3 = s3.map(|rule| {
        let filter = &rule["Filter"];
        let prefixes = [&filter["Prefix"], &filter["And"]["Prefix"], &rule["Prefix"]];
        prefixes
            .into_iter()
            .find(|prefix| prefix.is_string())
            .cloned()
            .unwrap_or(json!(""))
    });
    gcs.chain(s3)
        .filter_map(|prefix| prefix.as_str().map(str::to_owned))
        .collect()
}
