//! The responses of a check, for the API document.

use super::HealthJson;
use std::{collections::BTreeMap, marker::PhantomData};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder},
};

/// The responses of a route that reports on a dependency: 200 and 503, each with the report `T` and with [`HealthJson`]. The
/// schemas of both are components of the function's part of the document.
pub struct Responses<T>(PhantomData<T>);

impl<T: ToSchema> IntoResponses for Responses<T> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let content = |name| ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
        let response = |about| {
            ResponseBuilder::new()
                .description(about)
                .content("application/json", content(T::name()))
                .content("application/health+json", content(HealthJson::name()))
                .build()
        };
        BTreeMap::from([
            (
                "200".to_owned(),
                response("It can be relied on; `degraded` where someone should look.").into(),
            ),
            (
                "503".to_owned(),
                response("It cannot be relied on; `reason` says why.").into(),
            ),
        ])
    }
}
