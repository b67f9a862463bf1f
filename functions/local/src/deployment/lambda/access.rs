//! Who may call a function on Lambda: its Function URL, its events, its CORS origins, and permissions beside it.

use crate::deployment::{Deployment, evaluate::text};
use serde_json::Value;

/// Notes a part that no rule can look at. Returns `false`, the value that is then assumed.
pub fn not_understood(deployment: &mut Deployment, place: &str, part: &str) -> bool {
    deployment.not_understood(place, part);
    false
}

/// Whether a Function URL is open to everybody.
pub fn is_open(deployment: &mut Deployment, place: &str, url: &Value) -> bool {
    match url["AuthType"].as_str() {
        Some("NONE") => true,
        Some("AWS_IAM") => false,
        _ if url.is_null() => false,
        _ => not_understood(deployment, place, "AuthType"),
    }
}

/// Whether an event opens the function to everybody: an API of API Gateway does unless it has an authorizer.
pub fn has_open_event(deployment: &mut Deployment, place: &str, events: &Value) -> bool {
    const OF_THE_PLATFORM: [&str; 9] = [
        "CloudWatchEvent",
        "CloudWatchLogs",
        "DynamoDB",
        "EventBridgeRule",
        "S3",
        "SNS",
        "SQS",
        "Schedule",
        "ScheduleV2",
    ];
    let mut is_open = false;
    for (name, event) in events.as_object().into_iter().flatten() {
        let authorizer = &event["Properties"]["Auth"]["Authorizer"];
        is_open |= match event["Type"].as_str() {
            Some("Api" | "HttpApi") if authorizer == "AWS_IAM" => false,
            Some("Api" | "HttpApi") => true,
            Some(kind) if OF_THE_PLATFORM.contains(&kind) => false,
            _ => not_understood(deployment, place, name),
        };
    }
    is_open
}

/// The origins that a Function URL allows by CORS.
pub fn origins(deployment: &mut Deployment, place: &str, cors: &Value) -> Vec<String> {
    let origins = match &cors["AllowOrigins"] {
        Value::Null if cors.is_null() || cors.is_object() => Some(Vec::new()),
        Value::Array(origins) => origins.iter().map(text).collect(),
        _ => None,
    };
    origins.unwrap_or_else(|| {
        deployment.not_understood(place, "Cors");
        Vec::new()
    })
}

/// Whether a permission opens this function to everybody, or to an API or a load balancer that may be open to everybody.
pub fn opens(permission: &Value, function: &str) -> bool {
    const CLOSED: [&str; 5] = ["events", "logs", "s3", "scheduler", "sns"];
    let principal = permission["Principal"].as_str().unwrap_or("*");
    let service = principal.strip_suffix(".amazonaws.com");
    let is_account = principal.contains("::") || principal.chars().all(|c| c.is_ascii_digit());
    let opens = !is_account && !service.is_some_and(|service| CLOSED.contains(&service));
    let target = &permission["FunctionName"];
    let target = ["Ref", "GetAtt", "Sub"].iter().find_map(|name| match &target[name] {
        Value::Array(parts) => parts.first()?.as_str(),
        text => text.as_str(),
    });
    // A plain name or ARN may belong to any function.
    let target = target.map(|target| {
        target
            .trim_start_matches("${")
            .split(['.', '}'])
            .next()
            .unwrap_or_default()
    });
    opens && target.is_none_or(|target| target == function)
}
