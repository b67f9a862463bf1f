//! What `new` has written, so that `remove` sees whether somebody has worked on it since.

use crate::checkout::Checkout;
use std::fs;

/// Ignored by git: only the checkout in which a function was made has its record.
const FOLDER: &str = ".local/new";

type Files = [(String, String)];

/// Records the files of a new function.
///
/// # Errors
/// The disk fails.
pub fn write(checkout: &Checkout, name: &str, files: &Files) -> Result<(), String> {
    let path = checkout.path(FOLDER).join(name);
    let written = fs::create_dir_all(checkout.path(FOLDER)).and_then(|()| fs::write(&path, text(files)));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Whether every file of a function is as `new` wrote it, and no file is beside them.
pub fn is_unchanged(checkout: &Checkout, name: &str) -> bool {
    let recorded = checkout.text(&format!("{FOLDER}/{name}"));
    let present = checkout.texts(&format!("functions/{name}"));
    matches!((recorded, present), (Ok(recorded), Ok(present)) if recorded == text(&present))
}

fn text(files: &Files) -> String {
    serde_json::json!(files).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_as_new_until_a_file_changes_appears_or_goes() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = Checkout::at(folder.path());
        let path = |file: &str| checkout.path("functions/orders").join(file);
        fs::create_dir_all(path("src")).unwrap();
        for file in ["Cargo.toml", "src/lib.rs"] {
            fs::write(path(file), file).unwrap();
        }
        assert!(!is_unchanged(&checkout, "orders"), "no record");
        write(&checkout, "orders", &checkout.texts("functions/orders").unwrap()).unwrap();
        assert!(is_unchanged(&checkout, "orders"));

        fs::write(path("src/lib.rs"), "work").unwrap();
        assert!(!is_unchanged(&checkout, "orders"), "changed");
        fs::write(path("src/lib.rs"), "src/lib.rs").unwrap();
        fs::write(path("notes"), [0xff]).unwrap();
        assert!(!is_unchanged(&checkout, "orders"), "another file");
        fs::remove_file(path("notes")).unwrap();
        assert!(is_unchanged(&checkout, "orders"));
        fs::remove_file(path("Cargo.toml")).unwrap();
        assert!(!is_unchanged(&checkout, "orders"), "gone");
    }
}
