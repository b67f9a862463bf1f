//! What the deployment files say, as far as the doctor asks.

use super::shapes::{knative, lifecycle, plain, serverless};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
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
