//! Callers that the platform has verified, and headers that only look like it.

use crate::{bearer, called, get, refusal, refused};
use serde_json::{Value, json};
use testing::{EventShape, FakeRuntimeApi, tokens};

const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/caller/session";

/// What IAM writes into the context of an event.
fn verified(shape: EventShape, path: &str, headers: &[(&str, &str)]) -> Value {
    let mut event = shape.event("GET", path, headers);
    let context = &mut event["requestContext"];
    match shape {
        EventShape::FunctionUrl | EventShape::HttpApi => context["authorizer"]["iam"] = iam(),
        EventShape::RestApi => context["identity"]["userArn"] = ROLE.into(),
        EventShape::LoadBalancer => {}
    }
    event
}

fn iam() -> Value {
    json!({"accessKey": "AKIA", "accountId": "123456789012", "callerId": "AROA:session", "cognitoIdentity": null,
        "principalOrgId": "o-1", "userArn": ROLE, "userId": "AROA:session"})
}

#[tokio::test]
async fn a_signed_request_is_of_its_role_where_the_origin_verifies_signatures() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = called().on_lambda(&api);
    let signature = [(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIA/20260101/eu-west-1/lambda/aws4_request",
    )];
    for shape in EventShape::ALL {
        let answer = api.exchange(&verified(shape, "/whoami", &signature)).await;
        if shape == EventShape::LoadBalancer {
            assert_eq!(refused(&answer), refusal(401, "token-missing"));
            continue;
        }
        assert_eq!(answer.status, 200, "{shape:?}: {}", answer.text());
        let expected = json!({"issuer": "aws-iam", "subject": ROLE, "email": null, "kind": "service", "scopes": []});
        assert_eq!(answer.json(), expected, "{shape:?}");
        let answer = api.exchange(&verified(shape, "/files/a", &signature)).await;
        assert_eq!(refused(&answer), refusal(403, "scope-missing"), "{shape:?}");
    }
}

#[tokio::test]
async fn a_token_counts_before_the_platform() {
    let api = FakeRuntimeApi::start().await;
    let _lambda = called().on_lambda(&api);
    let (token, expired) = (
        bearer(&tokens::token(json!({}))),
        bearer(&tokens::token(json!({"exp": 1}))),
    );
    let event = |token| verified(EventShape::FunctionUrl, "/whoami", &[("authorization", token)]);
    let answer = api.exchange(&event(&token)).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["subject"]),
        (200, &"alice".into())
    );
    assert_eq!(
        refused(&api.exchange(&event(&expired)).await),
        refusal(401, "token-expired")
    );
}

/// What a client may write, and what only looks like the platform's.
#[tokio::test]
async fn no_header_and_no_context_of_another_kind_makes_a_caller() {
    let api = FakeRuntimeApi::start().await;
    let (_lambda, server) = (called().on_lambda(&api), called().serve());
    let context = json!({"authorizer": {"iam": iam()}, "identity": {"userArn": ROLE}}).to_string();
    let headers = [
        ("x-amzn-request-context", &*context),
        ("requestcontext", &context),
        ("x-amzn-lambda-context", &context),
        ("x-goog-authenticated-user-email", "accounts.google.com:a@example.com"),
        ("x-goog-iap-jwt-assertion", "a.b.c"),
        ("x-serverless-authorization", "Bearer a.b.c"),
        ("x-forwarded-user", ROLE),
    ];
    let answer = get(&format!("{}/whoami", server.url), &headers).await;
    assert_eq!(refused(&answer), refusal(401, "token-missing"));
    for shape in EventShape::ALL {
        let answer = api.exchange(&shape.event("GET", "/whoami", &headers)).await;
        assert_eq!(refused(&answer), refusal(401, "token-missing"), "{shape:?}");
    }
    for (shape, part, value) in [
        (EventShape::HttpApi, "authorizer", json!({"lambda": {"iam": iam()}})),
        (
            EventShape::HttpApi,
            "authorizer",
            json!({"jwt": {"claims": {"userArn": ROLE}}}),
        ),
        (EventShape::HttpApi, "authorizer", json!("iam")),
        (EventShape::HttpApi, "identity", json!({"userArn": ROLE})),
        (
            EventShape::RestApi,
            "authorizer",
            json!({"iam": iam(), "principalId": "a"}),
        ),
        (EventShape::RestApi, "identity", json!([ROLE])),
        (EventShape::LoadBalancer, "authorizer", json!({"iam": iam()})),
        (EventShape::LoadBalancer, "identity", json!({"userArn": ROLE})),
    ] {
        let mut event = shape.event("GET", "/whoami", &[]);
        event["requestContext"][part] = value;
        assert_eq!(
            refused(&api.exchange(&event).await),
            refusal(401, "token-missing"),
            "{event}"
        );
    }
}
