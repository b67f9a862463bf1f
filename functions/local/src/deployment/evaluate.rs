//! Converts YAML to JSON, and evaluates the intrinsic functions of a CloudFormation template with the defaults of its parameters.

use saphyr::{Scalar, Yaml};
use serde_json::{Map, Value, json};

/// YAML as JSON. A tag becomes an object of one member, which is CloudFormation's long form.
pub fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(values) => values.iter().map(plain).collect(),
        Yaml::Mapping(members) => {
            let members = members.iter().map(|(key, value)| {
                (
                    key.as_str().unwrap_or("a key that is not text").to_owned(),
                    plain(value),
                )
            });
            Value::Object(members.collect())
        }
        Yaml::Tagged(tag, value) => json!({tag.suffix.as_str(): plain(value)}),
        Yaml::Representation(text, ..) => json!(text),
        Yaml::Value(Scalar::Null) | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

/// A string, number or boolean as text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The template that intrinsic functions refer to.
pub struct Scope<'a> {
    template: &'a Value,
}

impl<'a> Scope<'a> {
    pub fn of(template: &'a Value) -> Self {
        Self { template }
    }

    /// The value with its intrinsic functions replaced by their results, and without members that are `AWS::NoValue`. A
    /// function whose result only a deployment knows stays, under its short name.
    pub fn evaluate(&self, value: &Value) -> Value {
        self.present(value).unwrap_or_default()
    }

    fn present(&self, value: &Value) -> Option<Value> {
        Some(match value {
            Value::Array(items) => items.iter().filter_map(|item| self.present(item)).collect(),
            Value::Object(members) => match intrinsic(members) {
                Some((name, argument)) => return self.call(name, argument),
                None => {
                    let members = members
                        .iter()
                        .filter_map(|(key, value)| Some((key.clone(), self.present(value)?)));
                    Value::Object(members.collect())
                }
            },
            scalar => scalar.clone(),
        })
    }

    fn call(&self, name: &str, argument: &Value) -> Option<Value> {
        let found = match (name, argument) {
            ("Ref", argument) if argument == "AWS::NoValue" => return None,
            ("Ref", Value::String(parameter)) => self.default(parameter),
            ("Sub", Value::String(text)) => Some(self.substitute(text)),
            ("If", Value::Array(parts)) => match (self.condition(&json!({"Condition": parts.first()})), &parts[..]) {
                (Some(true), [_, yes, _]) => return self.present(yes),
                (Some(false), [_, _, no]) => return self.present(no),
                _ => None,
            },
            ("Join", Value::Array(parts)) => self.join(parts),
            _ => None,
        };
        Some(found.unwrap_or_else(|| json!({name: self.evaluate(argument)})))
    }

    fn default(&self, parameter: &str) -> Option<Value> {
        let parameter = self.template["Parameters"].get(parameter)?;
        // The default is the name of a parameter in Systems Manager, which holds the value.
        let is_elsewhere = text(&parameter["Type"]).is_some_and(|kind| kind.starts_with("AWS::SSM::Parameter::Value<"));
        parameter.get("Default").filter(|_| !is_elsewhere).cloned()
    }

    /// The text, or `{"Sub": text}` if a reference has no value yet.
    fn substitute(&self, template: &str) -> Value {
        let mut parts = template.split("${");
        let mut substituted = parts.next().unwrap_or_default().to_owned();
        let mut open = false;
        for part in parts {
            let default = part
                .split_once('}')
                .and_then(|(name, rest)| Some((text(&self.default(name)?)?, rest)));
            match default {
                Some((value, rest)) => substituted += &(value + rest),
                None => {
                    open = true;
                    substituted += &format!("${{{part}");
                }
            }
        }
        if open {
            json!({"Sub": substituted})
        } else {
            json!(substituted)
        }
    }

    fn join(&self, parts: &[Value]) -> Option<Value> {
        let [separator, items] = parts else { return None };
        let items = match self.evaluate(items) {
            Value::Array(items) => items.iter().map(text).collect::<Option<Vec<_>>>()?,
            list => text(&list)?.split(',').map(str::to_owned).collect(),
        };
        Some(json!(items.join(separator.as_str()?)))
    }

    /// Whether a condition holds. `None` if only a deployment knows.
    pub fn condition(&self, condition: &Value) -> Option<bool> {
        let (name, argument) = intrinsic(condition.as_object()?)?;
        let mut sides = argument.as_array().into_iter().flatten();
        match name {
            "Condition" => self.condition(self.template["Conditions"].get(argument.as_str()?)?),
            "Not" => self.condition(sides.next()?).map(|holds| !holds),
            "And" => sides
                .map(|side| self.condition(side))
                .try_fold(true, |all, side| Some(all && side?)),
            "Or" => sides
                .map(|side| self.condition(side))
                .try_fold(false, |any, side| Some(any || side?)),
            "Equals" => {
                let mut sides = sides.map(|side| text(&self.evaluate(side)));
                Some(sides.next()?? == sides.next()??)
            }
            _ => None,
        }
    }
}

/// The short name of an intrinsic function, and its argument.
fn intrinsic(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    const NAMES: [&str; 19] = [
        "And",
        "Base64",
        "Cidr",
        "Condition",
        "Equals",
        "FindInMap",
        "GetAZs",
        "GetAtt",
        "If",
        "ImportValue",
        "Join",
        "Length",
        "Not",
        "Or",
        "Ref",
        "Select",
        "Split",
        "Sub",
        "Transform",
    ];
    let mut members = members.iter();
    let (key, argument) = members.next().filter(|_| members.len() == 0)?;
    let name = key.strip_prefix("Fn::").unwrap_or(key);
    (key.starts_with("Fn::") || NAMES.contains(&name)).then_some((name, argument))
}
