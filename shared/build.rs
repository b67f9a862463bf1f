//! Rebuilds when a migration is added: the embedded set would be stale otherwise.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
}
