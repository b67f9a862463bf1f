//! What the deployment files say, as far as the doctor asks, and what of them the doctor does not understand.

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

/// Everything that was found in a folder.
#[derive(Default)]
pub struct Deployment {
    /// Functions, services and jobs.
    pub functions: Vec<Function>,
    /// Rules by which buckets delete objects.
    pub lifecycles: Vec<Lifecycle>,
    /// Files, and parts of files, that the doctor does not understand: they may be unsafe.
    pub unclear: Vec<String>,
    /// The parameter that has another value than its default.
    pub choice: Option<Choice>,
    /// Every value that a parameter allows beside its default.
    pub choices: Vec<Choice>,
    /// The parameters of the template, with their defaults.
    pub parameters: BTreeMap<String, Option<String>>,
    /// The names of the template's outputs.
    pub outputs: BTreeSet<String>,
}

/// A function, service or job as one file deploys it.
#[derive(Default)]
pub struct Function {
    /// The file, and the name in it.
    pub place: String,
    /// Where it runs.
    pub platform: Platform,
    /// The binaries that it runs: of a service or a job, one a container.
    pub binaries: Vec<String>,
    /// The account whose rights it has, on Cloud Run.
    pub account: Option<String>,
    /// Whether the platform mounts the socket of a Cloud SQL instance.
    pub cloud_sql: bool,
    /// Whether its role has rights on buckets, on Lambda; None where the role stands elsewhere.
    pub bucket_role: Option<bool>,
    /// Whether the platform streams answers; None where the file does not decide it.
    pub streams: Option<bool>,
    /// Whether it ends by itself, and answers nobody.
    pub is_job: bool,
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
    /// Secrets in plain text.
    pub secrets: Vec<Secret>,
}

impl Function {
    /// Whether one of these variables is set, here or by a secret.
    pub fn is_given(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.settings.contains_key(*name))
    }
}

/// A variable that holds a secret. Its text is not shown.
pub struct Secret {
    /// The variable.
    pub key: String,
    /// What it holds.
    pub text: String,
}

/// What decides how many connections an instance may open.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Platform {
    /// One request at a time, one connection.
    #[default]
    Lambda,
    /// A pool.
    CloudRun,
}

/// The rules by which a bucket deletes objects on its own: the prefixes, where "" is everything.
pub struct Lifecycle {
    /// The file, and the bucket in it.
    pub place: String,
    /// The prefixes.
    pub deletes: Vec<String>,
}

impl Deployment {
    /// Reads `template.yaml`, and of each function `service.yaml`, `job.yaml` and `lifecycle-*.json`, below `root`. What
    /// `envsubst` would put into a manifest is taken from `env`. Parameters of the template have their defaults, except that
    /// of `choice`.
    pub fn read(root: &Path, env: &Env, choice: Option<&Choice>) -> Self {
        let mut deployment = Self {
            choice: choice.cloned(),
            ..Self::default()
        };
        let functions = names(&root.join("functions"));
        let folders = functions.iter().map(|function| format!("functions/{function}/"));
        for folder in std::iter::once(String::new()).chain(folders) {
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

    /// Adds what one file says; None where it is not what its name promises.
    pub fn add(&mut self, file: &str, text: &str, env: &Env) -> Option<()> {
        if file.ends_with(".json") {
            let rules: Value = serde_json::from_str(text).ok()?;
            rules.is_object().then_some(())?;
            lifecycle::add(self, file, rules.get("lifecycle").unwrap_or(&rules));
            return Some(());
        }
        // A template goes to its cloud as it is.
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

    /// Names a part of a file that may be unsafe, because nobody looked at it.
    pub fn not_understood(&mut self, place: &str, part: &str) {
        self.unclear.push(format!("{place}: {part} is not understood"));
    }

    /// Names what is not in `keys`.
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

    /// A number; what stands there in its place is named.
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

/// What a file is for, by its name in the root (`""`) or in the folder of a function.
fn kind(folder: &str, name: &str) -> Kind {
    let is = |suffix: &str| name.ends_with(suffix);
    match name {
        "template.yaml" if folder.is_empty() => Kind::Deployment,
        "service.yaml" | "job.yaml" if !folder.is_empty() => Kind::Deployment,
        _ if name.starts_with("lifecycle") && is(".json") => Kind::Deployment,
        _ if name.starts_with('.') => Kind::Other,
        // Other names of templates and manifests, and settings of `sam deploy`.
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

/// What is in a folder, in the order of the names.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// `${NAME}` and `$NAME` by their values, where they have one.
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
