//! Rebuilds when a migration is added, because the embedded set would be stale otherwise, and refuses a wrong name.

#[path = "src/database/migrations/names.rs"]
mod names;

fn main() {
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
