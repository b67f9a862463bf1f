//! Problems in the API document: their schema, with the closed set of types, and the responses of each operation. Both come
//! from what routes declare, so that a function repeats nothing.

use crate::problems::{self, Answered};
use shared::{
    problem::{self, ProblemType, RUNTIME},
    runtime::Declared,
};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, ParameterIn, PathItem},
        schema::{ObjectBuilder, Schema, Type},
    },
};

/// Why a request was not served (RFC 9457). Some types have more members.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for its schema; a test compares it with what `shared::problem` writes"
)]
pub struct Problem {
    r#type: Types,
    /// The type in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What this request ran into.
    detail: String,
    /// Of `/problems/invalid-body` and the like: what does not fit.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// A part of a request that does not fit, in the body, a parameter or a header.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "for its schema; a test compares it with what `shared::problem` writes"
)]
struct FieldError {
    /// What is wrong with it.
    detail: String,
    /// Where it is in the body: a JSON pointer as a fragment (RFC 6901, section 6), such as `#/items/0/price`.
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// The name of the parameter.
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The name of the header.
    #[schema(nullable = false)]
    header: Option<String>,
}

/// The closed set of types.
struct Types;

impl PartialSchema for Types {
    fn schema() -> RefOr<Schema> {
        let problems = problems::all();
        let types = problems.iter().map(|problem| path(problem.kind.slug));
        let rows = problems.iter().map(|Answered { kind, .. }| {
            let (slug, status, detail) = (kind.slug, kind.status.as_u16(), kind.detail);
            format!("- [{slug}](/problems/{slug}), {status}: {detail}\n")
        });
        let about = "What kind of problem it is. An identifier: `local` has a page there, a deployed function has none. \
                     `about:blank` is what the status alone describes.\n\n";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(about.to_owned() + &rows.collect::<String>()))
            .enum_values(Some(types.chain(["about:blank".to_owned()])))
            .into()
    }
}

impl ToSchema for Types {
    fn name() -> Cow<'static, str> {
        "ProblemType".into()
    }
}

fn path(slug: &str) -> String {
    format!("/problems/{slug}")
}

/// Gives every operation the problems that its route declares and those that the runtime answers for such a route, each under
/// its status. `default` has those that any request may get.
pub fn add_responses<'a>(document: &mut OpenApi, routes: impl Iterator<Item = &'a Declared>) {
    for_each_route(document, routes, |operation, declared| {
        declared.problems.iter().for_each(|kind| add_declared(operation, kind));
        let usual = usual(operation, declared);
        let usual = usual.into_iter().filter(|kind| !declared.problems.contains(kind));
        usual.for_each(|kind| add_declared(operation, kind));
    });
    document
        .paths
        .paths
        .values_mut()
        .flat_map(operations)
        .for_each(add_runtime);
}

/// Visits the operation of every route.
pub fn for_each_route<'a>(
    document: &mut OpenApi,
    routes: impl Iterator<Item = &'a Declared>,
    visit: impl Fn(&mut Operation, &Declared),
) {
    let paths = &mut document.paths.paths;
    for declared in routes {
        // OpenAPI has no wildcards.
        let item = paths.get_mut(&declared.path.replace("{*", "{"));
        if let Some(operation) = item.and_then(|item| operation(item, declared)) {
            visit(operation, declared);
        }
    }
}

/// What the runtime answers for a route because of the body and the parameters that it takes, and for a handler that fails.
fn usual(operation: &Operation, declared: &Declared) -> Vec<&'static ProblemType> {
    const BODY: &[ProblemType] = &[
        problem::REQUEST_TIMEOUT,
        problem::BODY_TOO_LARGE,
        problem::UNSUPPORTED_BODY,
    ];
    const JSON: &[ProblemType] = &[problem::MALFORMED_JSON, problem::INVALID_BODY, problem::OVERLOADED];
    let mut parameters = operation.parameters.iter().flatten();
    let has_parameters = parameters
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in != ParameterIn::Header));
    let parts: [(bool, &[ProblemType]); 4] = [
        (has_parameters, &[problem::INVALID_PARAMETER]),
        (declared.content.is_some(), BODY),
        (
            declared
                .content
                .is_some_and(|content| content.media_types() == ["application/json"]),
            JSON,
        ),
        (true, &[problem::INTERNAL]),
    ];
    parts
        .into_iter()
        .filter(|(is_usual, _)| *is_usual)
        .flat_map(|(_, kinds)| kinds)
        .collect()
}

fn add_declared(operation: &mut Operation, kind: &ProblemType) {
    let about = format!("[{}](/problems/{}): {}", kind.title, kind.slug, kind.detail);
    let responses = &mut operation.responses.responses;
    match responses.get_mut(kind.status.as_str()) {
        // Another problem, or a report, has this status.
        Some(RefOr::T(known)) => {
            known.description += &format!(" {about}");
            add_content(known);
        }
        _ => {
            responses.insert(kind.status.as_str().to_owned(), response(&about).into());
        }
    }
}

/// `default` does not stand for a status that has a response of its own.
fn add_runtime(operation: &mut Operation) {
    let responses = &mut operation.responses.responses;
    for kind in RUNTIME {
        if let Some(RefOr::T(known)) = responses.get_mut(kind.status.as_str()) {
            add_content(known);
        }
    }
    responses.insert(
        "default".to_owned(),
        response("The request was not served: a [problem](/problems).").into(),
    );
}

fn add_content(response: &mut Response) {
    let content = &mut response.content;
    content.entry(MEDIA_TYPE.to_owned()).or_insert_with(|| problem().into());
}

const MEDIA_TYPE: &str = "application/problem+json";

fn response(about: &str) -> Response {
    let response = ResponseBuilder::new().description(about);
    response.content(MEDIA_TYPE, problem()).build()
}

fn problem() -> Content {
    let schema = Ref::from_schema_name("Problem");
    ContentBuilder::new().schema(Some(schema)).build()
}

fn operation<'a>(item: &'a mut PathItem, declared: &Declared) -> Option<&'a mut Operation> {
    match declared.method.as_str() {
        "GET" => item.get.as_mut(),
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "PATCH" => item.patch.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => None,
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        post,
        put,
        patch,
        delete,
        ..
    } = item;
    [get, post, put, patch, delete].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions;
    use serde_json::{Value, json};
    use shared::{body, config::Env, problem::NOT_FOUND, runtime::Route};

    static GONE: [ProblemType; 1] = [ProblemType {
        slug: "greeting-gone",
        detail: "It was deleted.",
        ..NOT_FOUND
    }];

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(read, write, add))]
    struct Api;

    #[utoipa::path(get, path = "/greetings/{name}", params(("name" = String, Path)), responses((status = 200, description = "It is there.")))]
    async fn read() {}

    #[utoipa::path(put, path = "/greetings/{name}", params(("page" = u8, Query)), responses(
        (status = 404, description = "Nothing is there.", body = String, content_type = "text/plain"),
    ))]
    async fn write() {}

    #[utoipa::path(post, path = "/greetings", params(("x-tenant" = String, Header)), responses((status = 202)))]
    async fn add() {}

    fn responses(method: &str) -> Value {
        let mut document = <Api as utoipa::OpenApi>::openapi();
        let get = Route::get("/greetings/{*name}", read).problems(&GONE);
        let put = Route::put("/greetings/{*name}", write)
            .problems(&GONE)
            .takes(body::json(100));
        let post = Route::post("/greetings", add).takes(body::stream(100));
        add_responses(&mut document, [&get, &put, &post].into_iter().map(Route::declared));
        let document = serde_json::to_value(&document).unwrap();
        let path = if method == "post" {
            "/greetings"
        } else {
            "/greetings/{name}"
        };
        document["paths"][path][method]["responses"].clone()
    }

    #[test]
    fn an_operation_has_the_problems_of_its_route_and_those_of_the_runtime() {
        let responses = responses("get");
        let schema = json!({"$ref": "#/components/schemas/Problem"});
        for (status, about) in [
            ("404", "[Not Found](/problems/greeting-gone): It was deleted."),
            ("default", "The request was not served: a [problem](/problems)."),
        ] {
            let response = &responses[status];
            assert_eq!(response["description"], about);
            assert_eq!(response["content"][MEDIA_TYPE]["schema"], schema, "{status}");
        }
        assert_eq!(responses["200"].get("content"), None);
    }

    #[test]
    fn an_operation_has_what_the_runtime_refuses_of_its_body_and_its_parameters_and_no_more() {
        for (method, statuses) in [
            ("get", &["200", "400", "404", "500"][..]),
            ("put", &["400", "404", "408", "413", "415", "422", "500", "503"]),
            ("post", &["202", "408", "413", "415", "500"]),
        ] {
            let responses = responses(method);
            let documented: Vec<&String> = responses.as_object().unwrap().keys().collect();
            assert_eq!(documented, [statuses, &["default"]].concat(), "{method}");
        }
        let about = responses("put")["400"]["description"].to_string();
        assert!(
            about.contains("/problems/invalid-parameter") && about.contains("/problems/malformed-json"),
            "{about}"
        );
    }

    #[test]
    fn a_problem_joins_the_response_that_has_its_status_already() {
        let response = &responses("put")["404"];
        let about = "Nothing is there. [Not Found](/problems/greeting-gone): It was deleted.";
        assert_eq!(response["description"], about);
        let media_types: Vec<&String> = response["content"].as_object().unwrap().keys().collect();
        assert_eq!(media_types, [MEDIA_TYPE, "text/plain"]);
    }

    #[tokio::test]
    async fn the_set_of_types_is_closed() {
        let service = functions::service(&Env::new(|_| None));
        let declared = problems::answered(service.routes());
        let declared: Vec<String> = declared.iter().map(|problem| path(problem.kind.slug)).collect();
        let schema = serde_json::to_value(Types::schema()).unwrap();
        let documented: Vec<String> = serde_json::from_value(schema["enum"].clone()).unwrap();
        assert_eq!(documented, [&declared[..], &["about:blank".to_owned()]].concat());
    }
}
