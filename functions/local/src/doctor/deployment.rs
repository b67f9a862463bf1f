//! What the deployment files say, as far as the doctor asks.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};
use shared::config::Env;
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Everything that was found in a folder.
#[derive(Default)]
pub struct Deployment {
    pub functions: Vec<Function>,
    pub lifecycles: Vec<Lifecycle>,
    /// Files that say nothing, because they cannot be read.
    pub unreadable: Vec<String>,
}

/// A function, service or job as one file deploys it.
pub struct Function {
    /// The file, and the name in it.
    pub place: String,
    pub platform: Platform,
    /// Whether the file names something that streams.
    pub streams: bool,
    /// Whether everybody may call it.
    pub is_public: bool,
    /// Origins that the platform itself answers to.
    pub platform_origins: Vec<String>,
    /// When the platform ends a request.
    pub timeout: Option<Duration>,
    /// How many instances there can be; None without a bound.
    pub instances: Option<u64>,
    /// The variables; None for a value that is somewhere else, such as a secret.
    pub settings: BTreeMap<String, Option<String>>,
}

/// What decides how many connections an instance may open.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Platform {
    /// One request at a time, one connection.
    Lambda,
    CloudRun,
}

/// The rules by which a bucket deletes objects on its own: the prefixes, where "" is everything.
pub struct Lifecycle {
    pub place: String,
    pub deletes: Vec<String>,
}

impl Deployment {
    /// Reads `template.yaml`, and of each function `service.yaml`, `job.yaml` and `lifecycle-*.json`, below `root`. What
    /// `envsubst` would put into a manifest is taken from `env`.
    pub fn read(root: &Path, env: &Env) -> Self {
        let mut deployment = Self::default();
        deployment.file(root, "template.yaml", env);
        let folders = fs::read_dir(root.join("functions")).into_iter().flatten().flatten();
        let mut files: Vec<String> = folders
            .filter_map(|folder| folder.file_name().into_string().ok())
            .flat_map(|name| {
                ["service.yaml", "job.yaml", "lifecycle-gcs.json", "lifecycle-s3.json"]
                    .map(|file| format!("functions/{name}/{file}"))
            })
            .collect();
        files.sort();
        for file in files {
            deployment.file(root, &file, env);
        }
        deployment
    }

    fn file(&mut self, root: &Path, file: &str, env: &Env) {
        let Ok(text) = fs::read_to_string(root.join(file)) else {
            return;
        };
        if self.add(file, &text, env).is_none() {
            self.unreadable.push(file.to_owned());
        }
    }

    /// Adds what one file says; None where it is not what its name promises.
    pub fn add(&mut self, file: &str, text: &str, env: &Env) -> Option<()> {
        if file.ends_with(".json") {
            let rules = serde_json::from_str(text).ok()?;
            let deletes = lifecycle(&rules);
            let place = file.to_owned();
            self.lifecycles.push(Lifecycle { place, deletes });
            return Some(());
        }
        let substituted = envsubst(text, env);
        let document = Yaml::load_from_str(&substituted).ok()?;
        let document = plain(document.first()?);
        match document["kind"].as_str() {
            Some("Service" | "Job") => self.functions.push(knative(file, &document)),
            None if document["Resources"].is_object() => self.template(file, &document),
            _ => return None,
        }
        Some(())
    }

    fn template(&mut self, file: &str, template: &Value) {
        for (name, resource) in template["Resources"].as_object().into_iter().flatten() {
            let (place, properties) = (format!("{file}, {name}"), &resource["Properties"]);
            match resource["Type"].as_str() {
                Some("AWS::Serverless::Function") => self.functions.push(serverless(place, name, properties, template)),
                Some("AWS::S3::Bucket") => self.lifecycles.push(Lifecycle {
                    place,
                    deletes: lifecycle(&properties["LifecycleConfiguration"]),
                }),
                _ => {}
            }
        }
    }
}

/// `${NAME}` by its value, where it has one.
fn envsubst(text: &str, env: &Env) -> String {
    let mut parts = text.split("${");
    let mut substituted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let known = part
            .split_once('}')
            .and_then(|(name, rest)| Some((env.text(name)?, rest)));
        match known {
            Some((value, rest)) => substituted += &(value + rest),
            None => substituted += &format!("${{{part}"),
        }
    }
    substituted
}

/// YAML as JSON; a tag as the one member of an object, as CloudFormation's long forms have it.
fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Sequence(values) => values.iter().map(plain).collect(),
        Yaml::Mapping(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), plain(value)));
            Value::Object(members.collect())
        }
        Yaml::Tagged(tag, value) => json!({tag.suffix.as_str(): plain(value)}),
        Yaml::Representation(text, ..) => json!(text),
        Yaml::Value(Scalar::Null) | Yaml::Alias(_) | Yaml::BadValue => Value::Null,
    }
}

/// A Lambda function, with what `Globals` says of all of them.
fn serverless(place: String, name: &str, properties: &Value, template: &Value) -> Function {
    let globals = &template["Globals"]["Function"];
    let property = |key: &str| resolved(properties.get(key).or(globals.get(key)), template);
    let url = &properties["FunctionUrlConfig"];
    let variables = [globals, properties].map(|of| of["Environment"]["Variables"].as_object());
    let open_to_all = |resource: &Value| {
        let permission = &resource["Properties"];
        let of_this = permission["FunctionName"].to_string().contains(&format!("\"{name}"));
        permission["Principal"] == "*" && resource.get("Condition").is_none() && of_this
    };
    let mut resources = template["Resources"].as_object().into_iter().flat_map(Map::values);
    let origins = url["Cors"]["AllowOrigins"].as_array().cloned().unwrap_or_default();
    Function {
        place,
        platform: Platform::Lambda,
        streams: url["InvokeMode"] == "RESPONSE_STREAM",
        is_public: resolved(url.get("AuthType"), template) == "NONE" || resources.any(open_to_all),
        platform_origins: origins
            .iter()
            .filter_map(|origin| origin.as_str().map(str::to_owned))
            .collect(),
        timeout: property("Timeout").as_u64().map(Duration::from_secs),
        instances: property("ReservedConcurrentExecutions").as_u64(),
        settings: variables
            .into_iter()
            .flatten()
            .flatten()
            .map(|(key, value)| (key.clone(), literal(&resolved(Some(value), template))))
            .collect(),
    }
}

/// A reference to a parameter by the parameter's default.
fn resolved(value: Option<&Value>, template: &Value) -> Value {
    let value = value.cloned().unwrap_or_default();
    match value["Ref"].as_str().and_then(|name| template["Parameters"].get(name)) {
        Some(parameter) => parameter["Default"].clone(),
        None => value,
    }
}

/// Text that stands in the file itself.
fn literal(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        _ => value["Sub"].as_str()?.to_owned(),
    };
    (!text.contains("{{resolve:") && !text.contains("${")).then_some(text)
}

/// A Cloud Run service or job.
fn knative(file: &str, document: &Value) -> Function {
    let template = &document["spec"]["template"];
    let is_job = document["kind"] == "Job";
    let spec = if is_job {
        &template["spec"]["template"]["spec"]
    } else {
        &template["spec"]
    };
    let annotations = &template["metadata"]["annotations"];
    let name = document["metadata"]["name"].as_str().unwrap_or_default();
    let variables = spec["containers"][0]["env"].as_array().into_iter().flatten();
    let settings: BTreeMap<String, Option<String>> = variables
        .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), literal(&variable["value"]))))
        .collect();
    Function {
        place: format!("{file}, {name}"),
        platform: Platform::CloudRun,
        streams: !is_job && settings.contains_key("SSE_MAX_AGE"),
        is_public: document["metadata"]["annotations"]["run.googleapis.com/invoker-iam-disabled"] == "true",
        platform_origins: Vec::new(),
        timeout: spec["timeoutSeconds"].as_u64().map(Duration::from_secs),
        instances: if is_job {
            Some(template["spec"]["parallelism"].as_u64().unwrap_or(1))
        } else {
            annotations["autoscaling.knative.dev/maxScale"]
                .as_str()
                .and_then(|scale| scale.parse().ok())
        },
        settings,
    }
}

/// The prefixes whose objects are deleted by age, in the shapes of GCS, of S3 and of CloudFormation.
fn lifecycle(rules: &Value) -> Vec<String> {
    let gcs = rules["rule"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|rule| rule["action"]["type"] == "Delete");
    let gcs = gcs.flat_map(|rule| match rule["condition"]["matchesPrefix"].as_array() {
        Some(prefixes) if !prefixes.is_empty() => prefixes.clone(),
        _ => vec![json!("")],
    });
    const DELETIONS: [&str; 5] = [
        "Expiration",
        "ExpirationInDays",
        "ExpirationDate",
        "NoncurrentVersionExpiration",
        "NoncurrentVersionExpirationInDays",
    ];
    let s3 = rules["Rules"].as_array().into_iter().flatten();
    let s3 = s3.filter(|rule| rule["Status"] != "Disabled" && DELETIONS.iter().any(|key| rule.get(key).is_some()));
    let s3 = s3.map(|rule| {
        let filter = &rule["Filter"];
        let prefixes = [&filter["Prefix"], &filter["And"]["Prefix"], &rule["Prefix"]];
        prefixes
            .into_iter()
            .find(|prefix| prefix.is_string())
            .cloned()
            .unwrap_or(json!(""))
    });
    gcs.chain(s3)
        .filter_map(|prefix| prefix.as_str().map(str::to_owned))
        .collect()
}
