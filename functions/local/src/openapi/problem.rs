//! Problems in the API document: their schema, with the closed set of types, and the responses of each operation. Both come
//! from what routes declare, so that a function repeats nothing.

use crate::{
    functions,
    problems::{self, Answered},
};
use shared::{config::Env, problem::FieldError, runtime::Declared};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Content, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::{Operation, PathItem},
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
    r#type: ProblemType,
    /// The type in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What this request ran into.
    detail: String,
    /// Of `/problems/invalid-body`: what does not fit.
    #[schema(nullable = false)]
    errors: Option<Vec<FieldError>>,
}

/// The closed set of types.
struct ProblemType;

impl PartialSchema for ProblemType {
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

impl ToSchema for ProblemType {
    fn name() -> Cow<'static, str> {
        "ProblemType".into()
    }
}

fn path(slug: &str) -> String {
    format!("/problems/{slug}")
}

/// Gives every operation the problems of its route, each under its status, and those of the runtime as `default`.
pub fn add_responses(document: &mut OpenApi) {
    let service = functions::service(&Env::new(|_| None));
    for declared in service.routes() {
        // OpenAPI has no wildcards.
        let path = declared.path.replace("{*", "{");
        let item = document.paths.paths.get_mut(&path);
        if let Some(operation) = item.and_then(|item| operation(item, declared)) {
            add_declared(operation, declared);
        }
    }
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        let response = response("The request was not served.");
        operation
            .responses
            .responses
            .entry("default".to_owned())
            .or_insert(response.into());
    }
}

fn add_declared(operation: &mut Operation, declared: &Declared) {
    for kind in &declared.problems {
        let about = format!("[{}](/problems/{}): {}", kind.title, kind.slug, kind.detail);
        let responses = &mut operation.responses.responses;
        match responses.get_mut(kind.status.as_str()) {
            // Several problems, or a report, have this status.
            Some(RefOr::T(known)) => {
                known.description += &format!(" {about}");
                known
                    .content
                    .entry(MEDIA_TYPE.to_owned())
                    .or_insert_with(|| content().into());
            }
            _ => {
                responses.insert(kind.status.as_str().to_owned(), response(&about).into());
            }
        }
    }
}

const MEDIA_TYPE: &str = "application/problem+json";

fn response(about: &str) -> Response {
    ResponseBuilder::new()
        .description(about)
        .content(MEDIA_TYPE, content())
        .build()
}

fn content() -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build()
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
