use super::*;
use events::EventShape;
use http_body_util::BodyExt;
use serde_json::{Value, json};

// The kit of the tests stands on this crate: the one file of it that is needed here comes without it.
#[path = "../../../../testing/src/events.rs"]
mod events;

fn origin_of(event: &Value) -> Option<Origin> {
    Origin::of(event.to_string().as_bytes())
}

/// The request of the event, with some members replaced.
fn request_of(mut event: Value, members: Value) -> Option<Request<Body>> {
    let (event_members, members) = (event.as_object_mut().unwrap(), members.as_object().unwrap().clone());
    event_members.extend(members);
    let event: Event = serde_json::from_value(event).unwrap();
    let mut request = Request::default();
    event.read_into(&mut request).map(|()| request)
}

fn get(shape: EventShape, path: &str, members: Value) -> Option<Request<Body>> {
    request_of(shape.event("GET", path, &[("accept", "*/*")]), members)
}

fn uri(shape: EventShape, path: &str) -> Option<String> {
    get(shape, path, json!({})).map(|request| request.uri().to_string())
}

#[test]
fn each_origin_is_recognised_and_other_events_are_not_http() {
    let origins = [Origin::HttpApi, Origin::HttpApi, Origin::RestApi, Origin::LoadBalancer];
    for (shape, origin) in EventShape::ALL.into_iter().zip(origins) {
        assert_eq!(origin_of(&shape.event("GET", "/", &[])), Some(origin));
    }
    let web_socket = json!({
        "httpMethod": "GET", "path": "/",
        "requestContext": {"connectionId": "id=", "eventType": "CONNECT", "routeKey": "$connect", "stage": "live"}
    });
    assert_eq!(origin_of(&web_socket), None);
    for shape in EventShape::ALL {
        let mut for_an_authorizer = shape.event("GET", "/", &[]);
        for_an_authorizer["type"] = json!("REQUEST");
        assert_eq!(origin_of(&for_an_authorizer), None);
    }
    for not_an_event in [&b""[..], b"null", b"[]", b"{}", b"{\"requestContext\": null}", b"\xff"] {
        assert_eq!(Origin::of(not_an_event), None);
    }
}

/// Members of an event that JSON may have and no request.
const NOT_HTTP: &[&str] = &[
    r#""headers": {"x": 1}"#,
    r#""headers": {"x": null}"#,
    r#""headers": ["x"]"#,
    r#""headers": {"x": "\ud800"}"#,
    r#""headers": {"\udc00": "x"}"#,
    r#""headers": {}, "headers": {}"#,
    r#""multiValueHeaders": {"x": [true]}"#,
    r#""queryStringParameters": {"a": 1.5}"#,
    r#""rawQueryString": {}"#,
    r#""cookies": [1]"#,
    r#""body": "\ud83d""#,
    r#""body": 7"#,
    r#""isBase64Encoded": "true""#,
];

#[test]
fn the_origin_of_an_event_is_recognised_whatever_its_values_are() {
    for shape in EventShape::ALL {
        let event = shape.event("GET", "/", &[]);
        for member in NOT_HTTP {
            let mut rest = event.clone();
            let name = member.split('"').nth(1).unwrap();
            rest.as_object_mut().unwrap().remove(name);
            let odd = rest.to_string().replacen('{', &format!("{{{member}, "), 1);
            assert_eq!(Origin::of(odd.as_bytes()), origin_of(&event), "{odd}");
            assert!(Event::parse(odd.as_bytes()).is_none(), "{odd}");
        }
        let odd_method = event.to_string().replace(r#""GET""#, r#""\ud800""#);
        assert_eq!(Origin::of(odd_method.as_bytes()), origin_of(&event), "{odd_method}");
        assert!(Event::parse(odd_method.as_bytes()).is_none(), "{odd_method}");
    }
}

#[test]
fn the_path_is_what_the_client_asked_for_whether_or_not_it_was_decoded() {
    for shape in EventShape::ALL {
        for (path, expected) in [
            ("/a%20b%2Fc", "/a%20b%2Fc"),
            ("/a b", "/a%20b"),
            ("/100%", "/100%25"),
            ("/%zz%4", "/%25zz%254"),
            ("//host//health", "//host//health"),
            ("/\u{1f525}{}", "/%F0%9F%94%A5%7B%7D"),
            ("/\0\r\n", "/%00%0D%0A"),
            ("/../health/.", "/../health/."),
        ] {
            assert_eq!(uri(shape, path).as_deref(), Some(expected), "{shape:?}");
        }
        assert_eq!(uri(shape, &format!("/{}", "a".repeat(70_000))), None, "{shape:?}");
    }
    assert_eq!(uri(EventShape::RestApi, "*"), None);
    assert_eq!(uri(EventShape::LoadBalancer, ""), None);
}

#[test]
fn the_stage_of_an_http_api_is_removed_from_the_path() {
    let path = |raw: &str| {
        let request = get(EventShape::HttpApi, "/", json!({"rawPath": raw})).unwrap();
        request.uri().to_string()
    };
    assert_eq!(path("/live/health"), "/health");
    assert_eq!(path("/live"), "/");
    assert_eq!(path("/health"), "/health");
    assert_eq!(path("/lively/health"), "/lively/health");
}

#[test]
fn a_query_reaches_the_route_as_the_client_wrote_it() {
    for shape in EventShape::ALL {
        let uri = uri(shape, "/health?a=%22%3C&b=%26%3D%2B%20").unwrap();
        assert_eq!(uri, "/health?a=%22%3C&b=%26%3D%2B%20", "{shape:?}");
    }
    for shape in [EventShape::FunctionUrl, EventShape::HttpApi, EventShape::RestApi] {
        assert_eq!(uri(shape, "/?a=1&a=2").as_deref(), Some("/?a=1&a=2"), "{shape:?}");
    }
    let many = json!({"queryStringParameters": null, "multiValueQueryStringParameters": {"a": ["1", "%202"]}});
    let request = get(EventShape::LoadBalancer, "/", many).unwrap();
    assert_eq!(request.uri().query(), Some("a=1&a=%202"));
    let single = json!({"multiValueQueryStringParameters": null, "queryStringParameters": {"a": "1 2"}});
    let request = get(EventShape::RestApi, "/", single).unwrap();
    assert_eq!(request.uri().query(), Some("a=1%202"));
    assert!(get(EventShape::FunctionUrl, "/", json!({"rawQueryString": "a=\""})).is_none());
}

#[test]
fn repeated_headers_and_cookies_reach_the_route() {
    let headers = json!({"headers": {"x": "2"}, "multiValueHeaders": {"x": ["1", "2"]}});
    let request = get(EventShape::LoadBalancer, "/", headers).unwrap();
    let values: Vec<_> = request.headers().get_all("x").iter().collect();
    assert_eq!(values, ["1", "2"]);
    let request = get(EventShape::FunctionUrl, "/", json!({"cookies": ["a=1", "b=\u{e9}"]})).unwrap();
    assert_eq!(request.headers()["cookie"].as_bytes(), "a=1; b=\u{e9}".as_bytes());
}

#[test]
fn invalid_headers_and_methods_are_refused_and_unusual_ones_are_not() {
    for shape in EventShape::ALL {
        for (headers, is_http) in [
            (json!({"host": "a^b"}), true),
            (json!({"host": "x:99999", "x-forwarded-proto": "https,http"}), true),
            (json!({"host": "[::1", "cookie": ""}), true),
            (json!({"x": "\u{1f525}\t"}), true),
            (json!({"x": "a\nb"}), false),
            (json!({"x": "\u{0}"}), false),
            (json!({"": "empty"}), false),
            (json!({"a b": "blank"}), false),
        ] {
            let members = json!({"headers": headers, "multiValueHeaders": null});
            assert_eq!(get(shape, "/", members).is_some(), is_http, "{shape:?} {headers}");
        }
        for (method, is_http) in [("PROPFIND", true), ("get", true), ("", false), ("GE T", false)] {
            let event = shape.event(method, "/", &[]);
            assert_eq!(request_of(event, json!({})).is_some(), is_http, "{shape:?} {method:?}");
        }
    }
}

#[tokio::test]
async fn a_body_is_decoded_and_broken_base64_is_refused() {
    for (body, base64, expected) in [
        (json!("a\u{e9}"), false, Some("a\u{e9}")),
        (json!("YcOp"), true, Some("a\u{e9}")),
        (json!("YQ"), true, Some("a")),
        (json!("YQ=="), true, Some("a")),
        (json!(null), true, Some("")),
        (json!("not base64!"), true, None),
        (json!("YQ=x"), true, None),
    ] {
        let members = json!({"body": body, "isBase64Encoded": base64});
        let read = match get(EventShape::FunctionUrl, "/", members) {
            Some(request) => Some(request.into_body().collect().await.unwrap().to_bytes()),
            None => None,
        };
        assert_eq!(read.as_deref(), expected.map(str::as_bytes), "{body}");
    }
}

#[test]
fn a_refused_request_has_the_parts_before_the_invalid_one() {
    let mut event = EventShape::FunctionUrl.event("GET", "/", &[("x-request-id", "mine")]);
    event["rawQueryString"] = json!("<");
    let event: Event = serde_json::from_value(event).unwrap();
    let mut request = Request::default();
    assert!(event.read_into(&mut request).is_none());
    assert_eq!(request.headers()["x-request-id"], "mine");
}

#[tokio::test]
async fn every_origin_hands_over_text_and_bytes() {
    for shape in EventShape::ALL {
        for body in [&b"text"[..], b"\xff\x00", b""] {
            let event = shape.event_with_body("POST", "/", &[], body);
            let request = request_of(event, json!({})).unwrap();
            assert_eq!(
                request.into_body().collect().await.unwrap().to_bytes(),
                body,
                "{shape:?}"
            );
        }
    }
}
