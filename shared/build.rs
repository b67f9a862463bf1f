//! Rebuilds when a migration is added, because the embedded set would be stale otherwise, and refuses a wrong name. Hands the
//! name of the bundle over.

#[path = "src/database/migrations/names.rs"]
mod names;

fn main() {
    check_migrations();
    println!("cargo::rerun-if-changed={MANIFEST}");
    println!("cargo::rustc-env=BUNDLE={}", bundle());
}

const MANIFEST: &str = "../Cargo.toml";

/// `[workspace.metadata] name`.
fn bundle() -> String {
    let manifest = std::fs::read_to_string(MANIFEST).expect("the root manifest can be read");
    let metadata = manifest.split("\n[workspace.metadata]\nname = \"").nth(1);
    let name = metadata.and_then(|rest| rest.split('"').next());
    name.expect("the root manifest names the bundle").to_owned()
}

fn check_migrations() {
    const FOLDER: &str = "../migrations";
    println!("cargo::rerun-if-changed={FOLDER}");
    println!("cargo::rerun-if-changed=src/database/migrations/names.rs");
    let entries = std::fs::read_dir(FOLDER).expect("the folder of migrations can be read");
    let files: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if let Err(wrong) = names::check(files.iter().map(String::as_str)) {
        println!("cargo::error=migrations/: {wrong}");
    }
}
