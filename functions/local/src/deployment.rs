//! Reads the deployment files: `template.yaml`, manifests and lifecycle rules. Lists what it does not understand, because that
//! may be unsafe.

mod cloud_run;
mod evaluate;
mod lambda;
mod lifecycle;
mod parameters;
mod settings;

use evaluate::{plain, text};
pub use parameters::Choice;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use shared::config::Env;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

/// What the files of a folder deploy.
#[derive(Default)]
pub struct Deployment {
    /// Functions, services and jobs.
    pub functions: Vec<Deployed>,
    /// The lifecycle rules of buckets.
    pub lifecycles: Vec<Lifecycle>,
    /// Files, and parts of files, that the reader does not understand.
    pub unclear: Vec<String>,
    /// A parameter with another value than its default.
    pub choice: Option<Choice>,
    /// Every other value that a parameter allows.
    pub choices: Vec<Choice>,
    /// The parameters of the template, with their defaults.
    pub parameters: BTreeMap<String, Option<String>>,
    /// The names of the template's outputs.
    pub outputs: BTreeSet<String>,
}

/// A Lambda function, or a service or job of Cloud Run, as one file deploys it.
#[derive(Default)]
pub struct Deployed {
    /// The file, and the name in it.
    pub place: String,
    /// Where it runs.
    pub platform: Platform,
    /// The binaries that it runs, one a container.
    pub binaries: Vec<String>,
    /// On Cloud Run, the service account.
    pub account: Option<String>,
    /// On Cloud Run, whether the socket of a Cloud SQL instance is mounted.
    pub cloud_sql: bool,
    /// On Lambda, whether its policies mention S3. `None` if it has a role of another template.
    pub bucket_role: Option<bool>,
    /// On Lambda, whether it is in a VPC.
    pub in_vpc: bool,
    /// On Lambda, whether its Function URL streams. `None` without a URL.
    pub streams: Option<bool>,
    /// Whether it is a Cloud Run job.
    pub is_job: bool,
    /// Whether everybody may call it.
    pub is_public: bool,
    /// Origins that the platform itself allows by CORS.
    pub platform_origins: Vec<String>,
    /// How long a request or a run of a job may take.
    pub timeout: Option<Duration>,
    /// The largest number of instances. `None` if there is no bound.
    pub instances: Option<u64>,
    /// Environment variables. `None` for a value outside of the file, such as a secret.
    pub settings: BTreeMap<String, Option<String>>,
    /// Secrets in plain text.
    pub secrets: Vec<Secret>,
}

impl Deployed {
    /// Whether the deployment sets one of these variables, in the file or by a secret.
    pub fn sets_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.settings.contains_key(*name))
    }
}

/// A secret in plain text. Findings name the variable and never show the text.
pub struct Secret {
    /// The variable.
    pub key: String,
    /// Its value.
    pub text: String,
}

/// Where a function runs.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Platform {
    /// AWS Lambda.
    #[default]
    Lambda,
    /// Cloud Run.
    CloudRun,
}

/// The lifecycle rules of a bucket that delete objects.
pub struct Lifecycle {
    /// The file, and the bucket in it.
    pub place: String,
    /// Their prefixes; `""` is every object.
    pub deletes: Vec<String>,
}

impl Deployment {
    /// Reads `template.yaml`, `service.yaml` and `job.yaml` of each function, and every `lifecycle-*.json` beside any of these
    /// or in `.github/deploy`, below `root`. Variables in manifests have their values from `env`, as `envsubst` would set
    /// them. Parameters of the template have their defaults, except the one that `choice` sets.
    pub fn read(root: &Path, env: &Env, choice: Option<&Choice>) -> Self {
        let mut deployment = Self {
            choice: choice.cloned(),
            ..Self::default()
        };
        let functions = names(&root.join("functions"));
        let folders = functions.iter().map(|function| format!("functions/{function}/"));
        let others = ["", ".github/deploy/"].map(str::to_owned);
        for folder in others.into_iter().chain(folders) {
            for name in names(&root.join(&folder)) {
                let file = format!("{folder}{name}");
                match kind(&folder, &name) {
                    Kind::Deployment => deployment.file(root, &file, env),
                    Kind::Unknown => deployment.not_understood(&file, "the file"),
                    Kind::Other => {}
                }
            }
        }
        deployment
    }

    fn file(&mut self, root: &Path, file: &str, env: &Env) {
        let text = fs::read_to_string(root.join(file)).ok();
        if text.and_then(|text| self.add(file, &text, env)).is_none() {
            self.not_understood(file, "the file");
        }
    }

    /// Reads one file. `None` if its content is not what its name says.
    pub fn add(&mut self, file: &str, text: &str, env: &Env) -> Option<()> {
        if file.ends_with(".json") {
            let rules: Value = serde_json::from_str(text).ok()?;
            rules.is_object().then_some(())?;
            lifecycle::add(self, file, rules.get("lifecycle").unwrap_or(&rules));
            return Some(());
        }
        // `envsubst` runs on manifests only.
        let is_template = file.ends_with("template.yaml");
        let substituted = if is_template {
            text.to_owned()
        } else {
            envsubst(text, env)
        };
        let documents = Yaml::load_from_str(&substituted).ok()?;
        let documents: Vec<Value> = documents
            .iter()
            .map(plain)
            .filter(|document| !document.is_null())
            .collect();
        documents.first()?;
        for mut document in documents {
            match document["kind"].as_str() {
                Some("Service" | "Job") => cloud_run::add(self, file, &document),
                None if document["Resources"].is_object() => {
                    parameters::add(self, file, &document);
                    if let Some(choice) = &self.choice {
                        choice.apply(&mut document);
                    }
                    lambda::add(self, file, &document);
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Notes a part of a file that no rule can look at.
    pub fn not_understood(&mut self, place: &str, part: &str) {
        self.unclear.push(format!("{place}: {part} is not understood"));
    }

    /// Notes every member that is not in `keys`.
    pub fn known(&mut self, place: &str, value: &Value, keys: &[&str]) {
        match value {
            Value::Object(members) => {
                let unknown = members.keys().filter(|key| !keys.contains(&key.as_str()));
                unknown.for_each(|key| self.not_understood(place, key));
            }
            Value::Null => {}
            _ => self.not_understood(place, &format!("what should hold {}", keys.join(", "))),
        }
    }

    /// The number at a key. Notes anything else that stands there.
    pub fn number(&mut self, place: &str, key: &str, value: &Value) -> Option<u64> {
        let number = text(value).and_then(|text| text.parse().ok());
        if number.is_none() && !value.is_null() {
            self.not_understood(place, key);
        }
        number
    }
}

enum Kind {
    Deployment,
    Unknown,
    Other,
}

/// The kind of a file, by its name and its folder: `""` is the root, others are those of functions.
fn kind(folder: &str, name: &str) -> Kind {
    let is = |suffix: &str| name.ends_with(suffix);
    match name {
        "template.yaml" if folder.is_empty() => Kind::Deployment,
        "service.yaml" | "job.yaml" if !folder.is_empty() => Kind::Deployment,
        _ if name.starts_with("lifecycle") && is(".json") => Kind::Deployment,
        _ if name.starts_with('.') => Kind::Other,
        // May be a template or a manifest under another name, or settings of `sam deploy`.
        _ if is(".yaml")
            || is(".yml")
            || is(".template")
            || name.starts_with("samconfig.")
            || name == "template.json" =>
        {
            Kind::Unknown
        }
        _ => Kind::Other,
    }
}

/// The sorted names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Replaces `${NAME}` and `$NAME` where the variable has a value.
fn envsubst(text: &str, env: &Env) -> String {
    let mut parts = text.split('$');
    let mut substituted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let braced = part.strip_prefix('{').and_then(|part| part.split_once('}'));
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = braced.unwrap_or_else(|| part.split_at(end.unwrap_or(part.len())));
        substituted += &env.text(name).map_or_else(|| format!("${part}"), |value| value + rest);
    }
    substituted
}
