//! Places that must say the same: the route table, the folders, the routes of `local`, the page of settings.

use crate::checkout::{bundle, checkout, deployment, functions, jobs, services, table, text};
use local::{
    route_table::{declared, disagreements},
    settings,
};
use shared::{
    config::Env,
    problem::{ProblemType, RUNTIME},
    storage::SENTINEL_KEY,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

#[test]
fn every_folder_is_a_function_that_local_depends_on() {
    let listed = &services() | &jobs();
    let folders: BTreeSet<String> = functions()
        .into_iter()
        .filter(|name| name != env!("CARGO_PKG_NAME"))
        .collect();
    let unlisted: Vec<_> = folders.difference(&listed).collect();
    assert!(
        unlisted.is_empty(),
        "no line in functions/local/Cargo.toml for {unlisted:?}"
    );
}

#[test]
fn every_binary_has_the_name_of_its_folder() {
    for function in functions() {
        let manifest = fs::read_to_string(checkout().join("functions").join(&function).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some(function.as_str()));
    }
}

#[tokio::test]
async fn the_route_table_and_the_functions_have_the_same_routes() {
    assert_eq!(disagreements(&table(), &declared()), [""; 0]);
}

#[tokio::test]
async fn every_route_says_who_may_call_it() {
    for service in [local::functions::service(&Env::new(|_| None)), local::pages::declared()] {
        let undeclared: Vec<_> = service.undeclared().map(|route| (&route.method, route.path)).collect();
        assert!(undeclared.is_empty(), "{undeclared:?}");
    }
}

#[test]
fn every_function_with_a_route_is_in_the_route_table() {
    let routed: BTreeSet<String> = table().into_iter().map(|line| line.function).collect();
    let unrouted: Vec<_> = services().difference(&routed).cloned().collect();
    assert!(
        unrouted.is_empty(),
        "no line in the route table of Cargo.toml for {unrouted:?}; a job says `job = true` in its manifest"
    );
}

#[tokio::test]
async fn a_slug_is_one_kind_of_problem_whichever_function_answers_it() {
    let service = local::functions::service(&Env::new(|_| None));
    let mut kinds: BTreeMap<&str, &ProblemType> = RUNTIME.iter().map(|kind| (kind.slug, kind)).collect();
    for declared in service.routes() {
        for kind in &declared.problems {
            let first = kinds.entry(kind.slug).or_insert(kind);
            assert_eq!(first, kind, "{} {}", declared.method, declared.path);
        }
    }
}

#[test]
fn the_page_of_settings_names_every_setting_and_no_other() {
    let page = text(settings::PAGE);
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let named: BTreeSet<String> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    // Set by cargo for the binary that it runs.
    let internal = BTreeSet::from(["CARGO_MANIFEST_DIR".to_owned()]);
    let read = &settings::read_in(&checkout().join("shared/src")) | &settings::read_in(&checkout().join("functions"));
    assert_eq!(&read - &internal, named);
}

fn any_migration() -> PathBuf {
    let mut files = fs::read_dir(checkout().join("migrations")).unwrap().flatten();
    let file = files.find(|file| file.path().extension().is_some_and(|extension| extension == "sql"));
    Path::new("migrations").join(file.unwrap().file_name())
}

/// Every file below these paths that is not documentation, a dependency, or a test of another function.
fn files(paths: &[&str]) -> Vec<String> {
    let mut open: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    let mut files = Vec::new();
    while let Some(path) = open.pop() {
        let is_skipped = ["/tests", "/.venv", "/node_modules", "/__pycache__", ".md", ".png"]
            .iter()
            .any(|end| path.ends_with(end) && path != "functions/local/tests");
        if is_skipped {
            continue;
        }
        match fs::read_dir(checkout().join(&path)) {
            Ok(entries) => open.extend(entries.flatten().map(|entry| {
                let name = entry.file_name().into_string().unwrap();
                format!("{path}/{name}")
            })),
            Err(_) => files.push(path),
        }
    }
    files.sort();
    files
}

#[test]
fn the_name_of_the_bundle_stands_where_a_format_cannot_derive_it_and_nowhere_else() {
    let name = bundle();
    // The prefix of the storage in every bucket stays when the bundle is renamed.
    let (reserved, _) = SENTINEL_KEY.split_once('/').unwrap();
    let files = files(&[
        ".ci",
        ".github",
        "Cargo.toml",
        "Dockerfile",
        "functions",
        "template.yaml",
    ]);
    let named: Vec<String> = files
        .into_iter()
        .filter(|file| text(file).to_lowercase().replace(reserved, "").contains(&name))
        .collect();
    assert_eq!(named, ["Cargo.toml", "functions/local/openapi.json", "template.yaml"]);
    let secret = deployment().parameters["DatabaseUrlSecret"].clone();
    assert_eq!(secret, Some(format!("{name}/database-url")));
}

/// A migration as git checks it out on a machine that is set to CRLF, by the rules of `attributes`.
fn checked_out_with_crlf(attributes: &str) -> String {
    let migration = any_migration();
    let folder = tempfile::tempdir().unwrap();
    let (source, clone) = (folder.path().join("source"), folder.path().join("clone"));
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder.path())
            .args(["-c", "user.name=n", "-c", "user.email=e"]);
        let output = git.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "--quiet", "source"]);
    fs::create_dir(source.join("migrations")).unwrap();
    fs::copy(checkout().join(&migration), source.join(&migration)).unwrap();
    fs::write(source.join(".gitattributes"), attributes).unwrap();
    git(&["-C", "source", "add", "."]);
    git(&["-C", "source", "commit", "--quiet", "--message", "all"]);
    git(&["clone", "--quiet", "-c", "core.autocrlf=true", "source", "clone"]);
    fs::read_to_string(clone.join(migration)).unwrap()
}

#[test]
fn a_checkout_has_the_same_bytes_whatever_line_ends_git_is_set_to() {
    assert!(!checked_out_with_crlf(&text(".gitattributes")).contains('\r'));
    assert!(checked_out_with_crlf("").contains('\r'), "the control");
}
