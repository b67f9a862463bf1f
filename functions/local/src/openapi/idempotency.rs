//! `Idempotency-Key` in the API document: a parameter of each operation whose route asks for it.

use shared::runtime::Declared;
use utoipa::openapi::{
    Required,
    path::{Operation, ParameterBuilder, ParameterIn},
    schema::{ObjectBuilder, Type},
};

/// As a client sends it without quotes; a string in quotes is the same key.
const PATTERN: &str = r"^[!#-+\-.-:<-\[\]-~]+$";
const ABOUT: &str = "A new one for each operation, such as a UUID, and the same for its repetitions: they have one effect, and \
                     get the first answer with `Idempotent-Replayed: true`.";

/// Adds the parameter where the route asks for it.
pub fn add_parameter(operation: &mut Operation, declared: &Declared) {
    if !declared.once {
        return;
    }
    let key = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some(PATTERN));
    let parameter = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(ABOUT))
        .example(Some("2f1c9d0e-6d5b-4f7a-9a53-0c8e7d1b4a96".into()))
        .schema(Some(key));
    operation
        .parameters
        .get_or_insert_default()
        .push(parameter.build().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::runtime::Route;

    #[test]
    fn a_route_that_asks_for_a_key_documents_it_and_others_do_not() {
        let route = || Route::<()>::post("/", async || {});
        let documented = |route: Route| {
            let mut operation = Operation::default();
            add_parameter(&mut operation, route.declared());
            serde_json::to_value(operation).unwrap()["parameters"].clone()
        };
        assert!(documented(route()).is_null());
        let parameters = documented(route().once());
        assert_eq!(parameters[0]["name"], "Idempotency-Key");
        assert!(parameters[0]["example"].is_string(), "the smoke test asks with it");
        assert_eq!(
            (&parameters[0]["in"], &parameters[0]["required"]),
            (&"header".into(), &true.into())
        );
    }
}
