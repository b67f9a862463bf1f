//! Who may call an operation, in the API document: the schemes by which a caller names itself, and which of them each operation
//! asks for.

use shared::runtime::{Declared, Policy};
use utoipa::openapi::{
    OpenApi,
    path::Operation,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

const BEARER: &str = "bearer";
const COOKIE: &str = "cookie";

/// Adds the schemes, where a route is not public.
pub fn add_schemes<'a>(document: &mut OpenApi, mut routes: impl Iterator<Item = &'a Declared>) {
    if routes.all(|declared| scopes(declared).is_none()) {
        return;
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token of one of the issuers in `TOKEN_ISSUERS`."))
        .build();
    let about = "The same token in the cookie that `TOKEN_COOKIE` names, for pages. A request that changes something comes from \
                 the same origin, or from one of `CORS_ORIGINS`.";
    let cookie = ApiKeyValue::with_description("__Host-token", about);
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
}

/// Says what the route of an operation asks for.
pub fn add_requirement(operation: &mut Operation, declared: &Declared) {
    operation.security = scopes(declared).map(|scopes| {
        let requirement = |scheme: &str| SecurityRequirement::new(scheme, scopes.iter().copied());
        vec![requirement(BEARER), requirement(COOKIE)]
    });
}

/// The scopes that a caller needs; `None`: anyone may call.
fn scopes(declared: &Declared) -> Option<&'static [&'static str]> {
    match &declared.policy {
        Some(Policy::Callers { scopes, .. }) => Some(scopes),
        Some(Policy::Public) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use shared::{callers::Callers, config::Env, runtime::Route};

    #[derive(utoipa::OpenApi)]
    #[openapi()]
    struct Api;

    fn documented(route: Route) -> (Value, Value) {
        let mut operation = Operation::default();
        add_requirement(&mut operation, route.declared());
        let mut document = <Api as utoipa::OpenApi>::openapi();
        add_schemes(&mut document, [route.declared()].into_iter());
        let [operation, document] = [
            serde_json::to_value(operation).unwrap(),
            serde_json::to_value(document).unwrap(),
        ];
        let schemes = document["components"]["securitySchemes"].clone();
        (operation["security"].clone(), schemes)
    }

    #[test]
    fn an_operation_asks_for_the_scopes_of_its_route_and_a_public_one_for_nothing() {
        let (route, callers) = (|| Route::get("/", async || {}), Callers::from_env(&Env::new(|_| None)));
        assert_eq!(documented(route().public()), (Value::Null, Value::Null));
        let (security, schemes) = documented(route().callers(&callers));
        assert_eq!(security, json!([{"bearer": []}, {"cookie": []}]));
        assert_eq!(
            (&schemes["bearer"]["scheme"], &schemes["cookie"]["in"]),
            (&json!("bearer"), &json!("cookie"))
        );
        let (security, _) = documented(route().scopes(&callers, &["a:read", "b:read"]));
        assert_eq!(
            security,
            json!([{"bearer": ["a:read", "b:read"]}, {"cookie": ["a:read", "b:read"]}])
        );
    }
}
