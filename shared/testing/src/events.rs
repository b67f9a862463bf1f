//! The events that AWS wraps an HTTP request into, as its documentation shows them.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// The origin of an event: the service in front of the function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventShape {
    /// A Function URL: payload 2.0 on the stage `$default`.
    FunctionUrl,
    /// API Gateway, HTTP API on a named stage: payload 2.0, the stage before the path.
    HttpApi,
    /// API Gateway, REST API on a named stage: payload 1.0.
    RestApi,
    /// An Application Load Balancer.
    LoadBalancer,
}

impl EventShape {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::FunctionUrl, Self::HttpApi, Self::RestApi, Self::LoadBalancer];

    /// A request without a body. `target` is a path, and a query after a `?`.
    pub fn event(self, method: &str, target: &str, headers: &[(&str, &str)]) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let headers: Map<String, Value> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        match self {
            Self::FunctionUrl => payload_v2(method, path, query, "$default", headers),
            Self::HttpApi => payload_v2(method, &format!("/live{path}"), query, "live", headers),
            Self::RestApi => payload_v1(method, path, query, headers),
            Self::LoadBalancer => load_balancer(method, path, query, headers),
        }
    }
}

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn payload_v2(method: &str, path: &str, query: &str, stage: &str, headers: Map<String, Value>) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.lambda-url.eu-west-1.on.aws",
            "domainPrefix": "id",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.1",
                "userAgent": "agent"
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": stage,
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1_583_348_638_390_i64
        },
        "isBase64Encoded": false
    })
}

fn payload_v1(method: &str, path: &str, query: &str, headers: Map<String, Value>) -> Value {
    let many: Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect();
    let query = parameters(query, |text| percent_decode_str(text).decode_utf8_lossy().into_owned());
    let query = Some(query).filter(|query| !query.is_empty());
    json!({
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": many,
        "queryStringParameters": query.as_ref().map(last),
        "multiValueQueryStringParameters": query,
        "pathParameters": {"proxy": path.trim_start_matches('/')},
        "stageVariables": null,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "domainName": "id.execute-api.eu-west-1.amazonaws.com",
            "httpMethod": method,
            "identity": {"sourceIp": "203.0.113.1"},
            "path": format!("/live{path}"),
            "protocol": "HTTP/1.1",
            "requestId": "id",
            "resourcePath": "/{proxy+}",
            "stage": "live"
        },
        "body": null,
        "isBase64Encoded": false
    })
}

/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>
fn load_balancer(method: &str, path: &str, query: &str, headers: Map<String, Value>) -> Value {
    json!({
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/lambda/id"}
        },
        "httpMethod": method,
        "path": path,
        "queryStringParameters": last(&parameters(query, str::to_owned)),
        "headers": headers,
        "body": "",
        "isBase64Encoded": false
    })
}

/// Each name of a query with its values, decoded where the origin does that.
fn parameters(query: &str, decode: fn(&str) -> String) -> Map<String, Value> {
    let mut parameters = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let values = parameters.entry(decode(name)).or_insert_with(|| json!([]));
        values.as_array_mut().expect("it is a list").push(decode(value).into());
    }
    parameters
}

/// The last value of each name.
fn last(parameters: &Map<String, Value>) -> Map<String, Value> {
    let last = |values: &Value| values.as_array().and_then(|values| values.last()).cloned();
    let pairs = parameters.iter();
    pairs
        .map(|(name, values)| (name.clone(), last(values).unwrap_or_default()))
        .collect()
}
