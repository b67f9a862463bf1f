//! Writes the list of functions: the packages beside this one that it depends on.

use std::{env, error::Error, fs, path::Path};
use toml::{Table, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let functions = functions(&manifest(Path::new("Cargo.toml"))?)?;
    let (jobs, functions): (Vec<_>, _) = functions.into_iter().partition(|(_, is_job)| *is_job);
    write("functions.rs", &functions, |name, krate| {
        format!("Function {{ name: {name:?}, service: {krate}::service, api: <{krate}::Api as OpenApi>::openapi }}")
    })?;
    write("jobs.rs", &jobs, |name, krate| format!("({name:?}, {krate}::job)"))
}

/// The name of each function, and whether it is a job.
fn functions(local: &Table) -> Result<Vec<(String, bool)>, Box<dyn Error>> {
    let mut functions = Vec::new();
    for (name, dependency) in local["dependencies"].as_table().into_iter().flatten() {
        let path = dependency.get("path").and_then(Value::as_str);
        if path == Some(&format!("../{name}")) {
            functions.push((name.clone(), is_job(name)?));
        }
    }
    Ok(functions)
}

/// A package without routes says so in its manifest.
fn is_job(name: &str) -> Result<bool, Box<dyn Error>> {
    let manifest = manifest(&Path::new("..").join(name).join("Cargo.toml"))?;
    let metadata = manifest["package"].get("metadata");
    let job = metadata.and_then(|metadata| metadata.get("job"));
    Ok(job.and_then(Value::as_bool) == Some(true))
}

fn manifest(path: &Path) -> Result<Table, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", path.display());
    Ok(fs::read_to_string(path)?.parse()?)
}

/// Writes an array, for `include!`.
fn write(file: &str, functions: &[(String, bool)], item: impl Fn(&str, &str) -> String) -> Result<(), Box<dyn Error>> {
    let items = functions.iter().map(|(name, _)| item(name, &name.replace('-', "_")));
    let list = format!("[{}]\n", items.collect::<Vec<_>>().join(",\n"));
    Ok(fs::write(Path::new(&env::var("OUT_DIR")?).join(file), list)?)
}
