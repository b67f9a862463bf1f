//! The caller as IAM has verified it. It stands in the context of an event, where no client can write.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>,
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>.

use super::Event;
use crate::{
    callers::{Caller, Kind},
    runtime::gate::PlatformCaller,
};
use serde_json::Value;

/// Who vouches for these callers.
const ISSUER: &str = "aws-iam";

impl Event {
    /// The caller that IAM has verified. Load balancers verify none, and a function that authorizes requests may write into
    /// `authorizer`: only what the origin itself writes counts.
    pub fn platform_caller(&self) -> Option<PlatformCaller> {
        let context = &self.request_context;
        let subject = if context.elb.is_some() {
            None
        } else if context.http.is_some() {
            let iam = context.authorizer.as_ref()?.get("iam")?;
            let guest = iam.pointer("/cognitoIdentity/amr").is_some_and(is_guest);
            subject(iam.get("userArn"), iam.pointer("/cognitoIdentity/identityId"), guest)
        } else {
            let identity = context.identity.as_ref()?;
            // A REST API names the type, and an HTTP API with payloads of version 1.0 the methods.
            let methods = ["cognitoAuthenticationType", "cognitoAmr"];
            let guest = methods.iter().any(|name| identity.get(name).is_some_and(is_guest));
            subject(identity.get("userArn"), identity.get("cognitoIdentityId"), guest)
        };
        let (subject, kind) = subject?;
        Some(PlatformCaller(Caller::from_platform(ISSUER, subject, kind)))
    }
}

/// The users of an identity pool are people who share a role: there, the identity says who calls. Its guests are nobody.
fn subject<'a>(arn: Option<&'a Value>, identity: Option<&'a Value>, is_guest: bool) -> Option<(&'a str, Kind)> {
    let arn = arn.and_then(Value::as_str).filter(|_| !is_guest)?;
    let identity = identity.and_then(Value::as_str);
    let (subject, kind) = identity.map_or((arn, Kind::Service), |identity| (identity, Kind::User));
    (!subject.is_empty()).then_some((subject, kind))
}

/// `unauthenticated`, as a word or in a list.
fn is_guest(methods: &Value) -> bool {
    let list = methods.as_array().map_or(std::slice::from_ref(methods), Vec::as_slice);
    list.iter().any(|method| method == "unauthenticated")
}

#[cfg(test)]
mod tests {
    use super::{super::Origin, *};
    use serde_json::json;

    fn verified(origin: Origin, context: Value) -> Option<(String, Kind)> {
        let mut event = json!({"requestContext": context, "httpMethod": "GET", "path": "/"});
        match origin {
            Origin::HttpApi => {
                event["rawPath"] = "/".into();
                event["requestContext"]["http"] = json!({"method": "GET"});
            }
            Origin::RestApi => {}
            Origin::LoadBalancer => event["requestContext"]["elb"] = json!({}),
        }
        let event = event.to_string();
        assert_eq!(Origin::of(event.as_bytes()), Some(origin));
        let event = Event::parse(event.as_bytes()).unwrap();
        let PlatformCaller(caller) = event.platform_caller()?;
        assert_eq!((caller.issuer(), caller.expires()), (ISSUER, None));
        Some((caller.subject().to_owned(), caller.kind()))
    }

    const ROLE: &str = "arn:aws:sts::123456789012:assumed-role/caller/session";

    #[test]
    fn a_context_that_names_no_caller_of_its_kind_names_none() {
        let iam = json!({"authorizer": {"iam": {"userArn": ROLE}}});
        let rest = json!({"identity": {"userArn": ROLE}});
        for (origin, context) in [
            (Origin::HttpApi, json!({})),
            (Origin::HttpApi, json!({"authorizer": null})),
            (Origin::HttpApi, json!({"authorizer": {"iam": null}})),
            (Origin::HttpApi, json!({"authorizer": {"iam": ROLE}})),
            (
                Origin::HttpApi,
                json!({"authorizer": {"lambda": {"iam": {"userArn": ROLE}}}}),
            ),
            (
                Origin::HttpApi,
                json!({"authorizer": {"jwt": {"claims": {"userArn": ROLE}}}}),
            ),
            (Origin::HttpApi, rest.clone()),
            (
                Origin::RestApi,
                json!({"identity": {"sourceIp": "203.0.113.1", "userArn": null}}),
            ),
            (Origin::RestApi, json!({"identity": {"userArn": ""}})),
            (
                Origin::RestApi,
                json!({"identity": {"cognitoIdentityId": "eu-west-1:1"}}),
            ),
            (Origin::RestApi, iam.clone()),
            (Origin::LoadBalancer, iam),
            (Origin::LoadBalancer, rest),
        ] {
            assert_eq!(verified(origin, context.clone()), None, "{origin:?} {context}");
        }
    }

    #[test]
    fn a_signature_names_its_role_and_an_identity_pool_its_user() {
        let user = "eu-west-1:1a2b";
        let pool = |amr: &str| {
            json!({"authorizer": {"iam": {
                "userArn": ROLE, "cognitoIdentity": {"amr": [amr], "identityId": user, "identityPoolId": "eu-west-1:3c"},
            }}})
        };
        let rest = |kind: &str| {
            json!({"identity": {
                "userArn": ROLE, "cognitoIdentityId": user, "cognitoAuthenticationType": kind,
            }})
        };
        let version_1 =
            |amr: Value| json!({"identity": {"userArn": ROLE, "cognitoIdentityId": user, "cognitoAmr": amr}});
        for (origin, context, subject) in [
            (
                Origin::HttpApi,
                json!({"authorizer": {"iam": {"userArn": ROLE, "cognitoIdentity": null}}}),
                Some(ROLE),
            ),
            (Origin::HttpApi, pool("authenticated"), Some(user)),
            (Origin::HttpApi, pool("unauthenticated"), None),
            (
                Origin::RestApi,
                json!({"identity": {"userArn": ROLE, "cognitoIdentityId": null}}),
                Some(ROLE),
            ),
            (Origin::RestApi, rest("authenticated"), Some(user)),
            (Origin::RestApi, rest("unauthenticated"), None),
            (Origin::RestApi, version_1(json!("unauthenticated")), None),
            (Origin::RestApi, version_1(json!(["unauthenticated"])), None),
            (
                Origin::RestApi,
                version_1(json!(["authenticated", "issuer"])),
                Some(user),
            ),
        ] {
            let kind = if subject == Some(user) {
                Kind::User
            } else {
                Kind::Service
            };
            let expected = subject.map(|subject| (subject.to_owned(), kind));
            assert_eq!(verified(origin, context), expected);
        }
    }
}
