//! Reads a SAM template: functions, with `Globals` merged into each, and the CloudFormation resources beside them.

mod access;

use super::{
    Deployed, Deployment, Platform,
    evaluate::{Scope, text},
    lifecycle, settings,
};
use access::{has_open_event, is_open, not_understood, opens, origins};
use serde_json::{Map, Value, json};
use std::time::Duration;

const TEMPLATE: [&str; 9] = [
    "AWSTemplateFormatVersion",
    "Conditions",
    "Description",
    "Globals",
    "Metadata",
    "Outputs",
    "Parameters",
    "Resources",
    "Transform",
];

const RESOURCE: [&str; 7] = [
    "Condition",
    "DeletionPolicy",
    "DependsOn",
    "Metadata",
    "Properties",
    "Type",
    "UpdateReplacePolicy",
];

const FUNCTION: [&str; 20] = [
    "Architectures",
    "CodeUri",
    "Description",
    "Environment",
    "EphemeralStorage",
    "Events",
    "FunctionName",
    "FunctionUrlConfig",
    "Handler",
    "LoggingConfig",
    "MemorySize",
    "PermissionsBoundary",
    "Policies",
    "ReservedConcurrentExecutions",
    "Role",
    "Runtime",
    "Tags",
    "Timeout",
    "Tracing",
    "VpcConfig",
];

const BUCKET: [&str; 9] = [
    "BucketEncryption",
    "BucketName",
    "LifecycleConfiguration",
    "ObjectLockConfiguration",
    "ObjectLockEnabled",
    "OwnershipControls",
    "PublicAccessBlockConfiguration",
    "Tags",
    "VersioningConfiguration",
];

/// Reads one template with the defaults of its parameters.
pub fn add(deployment: &mut Deployment, file: &str, template: &Value) {
    let scope = Scope::of(template);
    deployment.known(file, template, &TEMPLATE);
    if template["Transform"] != "AWS::Serverless-2016-10-31" {
        deployment.not_understood(file, "Transform");
    }
    deployment.known(file, &template["Globals"], &["Function"]);
    let globals = scope.evaluate(&template["Globals"]["Function"]);
    let deployed = deployed(&scope, template);
    if deployed.is_empty() {
        deployment.not_understood(file, "a template without resources");
    }
    let outputs = template["Outputs"].as_object();
    deployment
        .outputs
        .extend(outputs.into_iter().flatten().map(|(name, _)| name.clone()));
    let mut permissions = Vec::new();
    for (name, resource) in deployed {
        let place = format!("{file}, {name}");
        deployment.known(&place, resource, &RESOURCE);
        let properties = scope.evaluate(&resource["Properties"]);
        match resource["Type"].as_str() {
            Some("AWS::Serverless::Function") => {
                let binary = binary(deployment, &place, resource);
                function(deployment, place, binary, &merged(&globals, &properties));
            }
            Some("AWS::S3::Bucket") => {
                deployment.known(&place, &properties, &BUCKET);
                lifecycle::add(deployment, &place, &properties["LifecycleConfiguration"]);
            }
            Some("AWS::Lambda::Permission") => permissions.push(properties),
            Some("AWS::IAM::ManagedPolicy" | "AWS::Logs::LogGroup") => {}
            _ => deployment.not_understood(&place, "its type"),
        }
    }
    for function in &mut deployment.functions {
        let name = function.place.strip_prefix(&format!("{file}, "));
        function.is_public |= name.is_some_and(|name| permissions.iter().any(|permission| opens(permission, name)));
    }
}

/// The resources whose condition is not known to be false, by name.
fn deployed<'a>(scope: &Scope, template: &'a Value) -> Vec<(&'a String, &'a Value)> {
    let resources = template["Resources"].as_object();
    let deployed = resources.into_iter().flatten().filter(|(_, resource)| {
        let condition = resource.get("Condition").map(|name| json!({"Condition": name}));
        condition.is_none_or(|condition| scope.condition(&condition) != Some(false))
    });
    deployed.collect()
}

/// Merges `Globals` into a function as SAM does: objects member by member, lists by appending.
fn merged(globals: &Value, value: &Value) -> Value {
    match (globals, value) {
        (Value::Object(globals), Value::Object(members)) => {
            let mut all: Map<String, Value> = globals.clone();
            for (key, value) in members {
                let value = globals
                    .get(key)
                    .map_or_else(|| value.clone(), |global| merged(global, value));
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(globals), Value::Array(values)) => [&globals[..], values].concat().into(),
        (globals, Value::Null) => globals.clone(),
        (_, value) => value.clone(),
    }
}

/// The binary that SAM builds. Notes one that does not belong to the package in `CodeUri`.
fn binary(deployment: &mut Deployment, place: &str, resource: &Value) -> Option<String> {
    let built = text(&resource["Metadata"]["BuildProperties"]["Binary"]);
    let code = text(&resource["Properties"]["CodeUri"]);
    let package = code
        .as_deref()
        .and_then(|code| code.trim_end_matches('/').rsplit('/').next());
    if built.is_some() && built.as_deref() != package {
        deployment.not_understood(place, "another binary than that of CodeUri");
    }
    built.or(package.map(str::to_owned))
}

fn function(deployment: &mut Deployment, place: String, binary: Option<String>, properties: &Value) {
    let url = &properties["FunctionUrlConfig"];
    deployment.known(&place, properties, &FUNCTION);
    deployment.known(&place, url, &["AuthType", "Cors", "InvokeMode"]);
    deployment.known(&place, &properties["Environment"], &["Variables"]);
    let reserved = &properties["ReservedConcurrentExecutions"];
    let mut function = Deployed {
        platform: Platform::Lambda,
        binaries: binary.into_iter().collect(),
        bucket_role: properties["Role"]
            .is_null()
            .then(|| reach_buckets(&properties["Policies"])),
        in_vpc: !properties["VpcConfig"].is_null(),
        streams: match url["InvokeMode"].as_str() {
            _ if url.is_null() => None,
            Some("RESPONSE_STREAM") => Some(true),
            Some("BUFFERED") => Some(false),
            _ if url["InvokeMode"].is_null() => Some(false),
            _ => Some(not_understood(deployment, &place, "InvokeMode")),
        },
        is_public: is_open(deployment, &place, url) | has_open_event(deployment, &place, &properties["Events"]),
        platform_origins: origins(deployment, &place, &url["Cors"]),
        timeout: deployment
            .number(&place, "Timeout", &properties["Timeout"])
            .map(Duration::from_secs),
        instances: deployment.number(&place, "ReservedConcurrentExecutions", reserved),
        place,
        ..Deployed::default()
    };
    let variables = properties["Environment"]["Variables"].as_object();
    for (key, value) in variables.into_iter().flatten() {
        settings::add(deployment, &mut function, key, value);
    }
    deployment.functions.push(function);
}

/// Whether a policy mentions S3, by its name or by an action.
fn reach_buckets(policies: &Value) -> bool {
    match policies {
        Value::String(text) => text.starts_with("s3:") || text.contains("S3"),
        Value::Array(parts) => parts.iter().any(reach_buckets),
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| key.starts_with("S3") || (key != "Resource" && reach_buckets(value))),
        _ => false,
    }
}
