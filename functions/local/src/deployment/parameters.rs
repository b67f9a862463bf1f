//! Reads the parameters of a template, and which other values they allow.

use super::{Deployment, evaluate::text};
use serde_json::{Value, json};

/// A value other than the default that a parameter allows.
#[derive(Clone, PartialEq)]
pub struct Choice {
    parameter: String,
    value: String,
}

impl Choice {
    /// Makes the value the default of its parameter.
    pub fn apply(&self, template: &mut Value) {
        let parameters = template.get_mut("Parameters");
        let parameter = parameters.and_then(|parameters| parameters.get_mut(&self.parameter));
        if let Some(Value::Object(parameter)) = parameter {
            parameter.insert("Default".to_owned(), json!(self.value));
        }
    }

    /// `PARAMETER=value`; without the value if a secret contains it.
    pub fn name(&self, deployment: &Deployment) -> String {
        let Self { parameter, value } = self;
        let mut secrets = deployment.functions.iter().flat_map(|function| &function.secrets);
        if secrets.any(|secret| secret.text.contains(value)) {
            format!("another allowed value of {parameter}")
        } else {
            format!("{parameter}={value}")
        }
    }
}

const PARAMETER: [&str; 11] = [
    "AllowedPattern",
    "AllowedValues",
    "ConstraintDescription",
    "Default",
    "Description",
    "MaxLength",
    "MaxValue",
    "MinLength",
    "MinValue",
    "NoEcho",
    "Type",
];

/// Reads the parameters of one template.
pub fn add(deployment: &mut Deployment, file: &str, template: &Value) {
    let parameters = &template["Parameters"];
    if !parameters.is_object() && !parameters.is_null() {
        deployment.not_understood(file, "Parameters");
    }
    for (name, parameter) in parameters.as_object().into_iter().flatten() {
        let place = format!("{file}, {name}");
        deployment.known(&place, parameter, &PARAMETER);
        let default = text(&parameter["Default"]);
        deployment.parameters.insert(name.clone(), default.clone());
        for value in allowed(deployment, &place, &parameter["AllowedValues"]) {
            if Some(&value) != default.as_ref() {
                let parameter = name.clone();
                deployment.choices.push(Choice { parameter, value });
            }
        }
    }
}

fn allowed(deployment: &mut Deployment, place: &str, values: &Value) -> Vec<String> {
    let texts = match values {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => values.iter().map(text).collect(),
        _ => None,
    };
    texts.unwrap_or_else(|| {
        deployment.not_understood(place, "AllowedValues");
        Vec::new()
    })
}
