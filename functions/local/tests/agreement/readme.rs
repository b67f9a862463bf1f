//! The pages: links, the map, and the commands of the deployment against the files that they name, and as a shell runs them.

use crate::checkout::{bundle, checkout, deployment, functions, functions_with, text};
use local::checkout::Checkout;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

/// The targets of a page's links, but for those outside of this repository.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let targets = prose.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let targets = targets.filter(|target| !target.contains("://"));
    targets.map(str::to_owned).collect()
}

/// The fragment by which a link names a heading, as GitHub makes it.
fn fragment(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let letters = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    letters.collect::<String>().replace(' ', "-")
}

fn assert_leads_somewhere(page: &Path, link: &str) {
    let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
    let mut target = page.parent().unwrap().join(file);
    if file.is_empty() {
        target = page.to_owned();
    }
    assert!(target.exists(), "{}: {link}", page.display());
    if !wanted.is_empty() {
        let text = fs::read_to_string(&target).unwrap();
        let prose = prose(&text);
        let mut headings = prose.lines().filter(|line| line.starts_with('#'));
        assert!(
            headings.any(|heading| fragment(heading) == wanted),
            "{}: {link}",
            page.display()
        );
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = Checkout::of_build().pages();
    assert!(pages.contains(&"README.md".to_owned()), "{pages:?}");
    for page in pages {
        for link in links(&text(&page)) {
            assert_leads_somewhere(&checkout().join(&page), &link);
        }
    }
}

#[test]
fn every_file_of_the_map_is_there() {
    let page = text("shared/README.md");
    let maps: String = page.split("```").skip(1).step_by(2).collect();
    let words = maps.split(|c: char| c.is_whitespace() || ",;".contains(c));
    let files: Vec<&str> = words.filter(|word| word.ends_with(".rs")).collect();
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let is_there = ["shared/src", ""].map(|folder| checkout().join(folder).join(file).exists());
        assert!(is_there.contains(&true), "{file} is not there");
    }
}

/// A section of a page, without those below it.
fn section(page: &str, title: &str) -> String {
    let text = text(page);
    let from = text
        .split(&format!("\n{title}\n"))
        .nth(1)
        .unwrap_or_else(|| panic!("no section {title}"));
    from.split("\n#").next().unwrap().to_owned()
}

/// A section of the page on deployment.
fn chapter(title: &str) -> String {
    section(".github/deploy/README.md", title)
}

/// The commands of a section.
fn commands(title: &str) -> String {
    let section = chapter(title);
    let blocks = section.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

const LAMBDA: &str = "## Lambda";
const CLOUD_RUN: &str = "## Cloud Run";

#[test]
fn every_file_that_a_command_names_is_there() {
    for title in [LAMBDA, CLOUD_RUN] {
        let commands = commands(title);
        let words = commands.split(|c: char| c.is_whitespace() || "\"';()".contains(c));
        let files = words.map(|word| word.trim_start_matches("file://"));
        let files: Vec<&str> = files
            .filter(|word| ["functions/", ".github/"].iter().any(|folder| word.starts_with(folder)))
            .collect();
        assert!(files.len() > 1, "{files:?}");
        for file in files.into_iter().filter(|file| !file.contains('*')) {
            assert!(checkout().join(file).exists(), "{file} is not there");
        }
    }
}

/// Names like `$NAME` and `${NAME}` in shell or in a manifest.
fn variables(text: &str) -> BTreeSet<String> {
    let names = text.split('$').skip(1).map(|rest| {
        let name = rest.trim_start_matches('{');
        name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .next()
            .unwrap()
            .to_owned()
    });
    names
        .filter(|name| name.chars().next().is_some_and(|first| first.is_ascii_uppercase()))
        .collect()
}

#[test]
fn every_variable_that_commands_and_manifests_take_is_exported_before() {
    let manifests: String = functions()
        .iter()
        .flat_map(|function| ["service.yaml", "job.yaml"].map(|file| format!("functions/{function}/{file}")))
        .filter_map(|file| fs::read_to_string(checkout().join(file)).ok())
        .collect();
    for (title, files) in [(LAMBDA, ""), (CLOUD_RUN, manifests.as_str())] {
        let section = chapter(title);
        // The scripts take the bundle's name from Cargo.toml.
        let exported = section.split("```sh").next().unwrap().to_owned() + "`BUNDLE`";
        for name in variables(&(commands(title) + files)) {
            assert!(
                exported.contains(&format!("`{name}")),
                "{title}: nobody says to export {name}"
            );
        }
    }
}

/// Runs the commands of a section, with programs that record how they are called in place of the clouds'.
fn recorded(title: &str) -> String {
    const RECORD: &str = "#!/bin/sh\nprintf '%s ' \"${0##*/}\" \"$@\" >>\"$RECORD\"\necho >>\"$RECORD\"\n\
                          case \"$*\" in *' describe '*) exit 1 ;; *'config get account'*) echo me@example.org ;; esac\n";
    let folder = tempfile::tempdir().unwrap();
    for program in ["aws", "docker", "gcloud", "pip", "rustup"] {
        let path = folder.path().join(program);
        fs::write(&path, RECORD).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = commands(title).replace("\n.github/", "\necho .github/");
    let record = folder.path().join("record");
    let mut shell = Command::new("bash");
    shell
        .args(["-euc", &script])
        .current_dir(checkout())
        .env("RECORD", &record);
    shell.env(
        "PATH",
        format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap()),
    );
    for name in [
        "AWS_REGION",
        "BUCKET",
        "DATABASE_URL",
        "IMAGES",
        "PROJECT",
        "REGION",
        "STACK",
        "TAG",
    ] {
        shell.env(name, name.to_lowercase());
    }
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(record).unwrap()
}

#[test]
fn every_account_is_made_before_it_is_named_and_has_the_roles_of_its_manifest() {
    let calls = recorded(CLOUD_RUN);
    let (bundle, deployment) = (bundle(), deployment());
    let mut made = BTreeSet::new();
    for call in calls.lines() {
        for account in call
            .split(&format!("{bundle}-"))
            .skip(1)
            .filter_map(|rest| rest.split_once("@project"))
        {
            let is_question = call.contains("service-accounts describe");
            assert!(
                is_question || made.contains(account.0),
                "{} is not made before: {call}",
                account.0
            );
        }
        made.extend(
            call.split(&format!("service-accounts create {bundle}-"))
                .nth(1)
                .map(|name| name.trim().to_owned()),
        );
    }
    for function in functions_with("job.yaml") {
        assert!(made.contains(function.as_str()), "{function} has no account");
        let is_given = |variable: &str| {
            let mut deployed = deployment.functions.iter();
            deployed.any(|deployed| deployed.binaries.contains(&function) && deployed.sets_any(&[variable]))
        };
        for (role, is_wanted) in [
            ("roles/cloudsql.client", is_given("DATABASE_URL")),
            ("roles/secretmanager.secretAccessor", is_given("DATABASE_URL")),
            ("roles/storage.objectViewer", is_given("GCS_BUCKET")),
        ] {
            let mut grants = calls.lines().filter(|call| call.contains(role));
            let granted = grants.any(|call| call.contains(&format!("serviceAccount:{bundle}-{function}@")));
            assert_eq!(granted, is_wanted, "{function}, {role}");
        }
    }
    let script = text(".github/deploy/cloud-run");
    assert!(made.contains("smoke") && script.contains("$BUNDLE-smoke@$PROJECT"));
}

#[test]
fn the_api_of_every_command_is_enabled_before() {
    let apis = BTreeMap::from([
        ("artifacts", "artifactregistry"),
        ("iam", "iam"),
        ("run", "run"),
        ("scheduler", "cloudscheduler"),
        ("secrets", "secretmanager"),
        ("storage", "storage"),
    ]);
    let calls = recorded(CLOUD_RUN);
    let (before, after) = calls.split_once("gcloud services enable ").unwrap();
    assert!(
        before.lines().all(|call| call.starts_with("gcloud config ")),
        "{before}"
    );
    let (enabled, after) = after.split_once('\n').unwrap();
    let enabled: BTreeSet<&str> = enabled
        .split_whitespace()
        .map(|api| api.trim_end_matches(".googleapis.com"))
        .collect();
    for call in after.lines().filter(|call| call.starts_with("gcloud ")) {
        let group = call.split(' ').nth(1).unwrap();
        let needs_none = ["auth", "config", "projects"].contains(&group);
        let api = apis.get(group).copied().unwrap_or_default();
        assert!(needs_none || enabled.contains(api), "{call}");
    }
    // An impersonated account, and the socket of Cloud SQL.
    assert!(enabled.contains("iamcredentials") && enabled.contains("sqladmin"));
}

#[test]
fn nothing_is_deployed_but_by_the_scripts_that_migrate_first() {
    for (title, script) in [
        (LAMBDA, "\n.github/deploy/lambda\n"),
        (CLOUD_RUN, "\n.github/deploy/cloud-run\n"),
    ] {
        let commands = commands(title);
        let before = commands.split(script).next().unwrap();
        assert!(commands.contains(script) && before.contains("secret"), "{title}");
        for other in ["sam deploy", "lambda invoke", "services replace", "jobs execute"] {
            assert!(!commands.contains(other), "{title}: {other}");
        }
    }
    assert!(!recorded(LAMBDA).contains("LocationConstraint"), "us-east-1 refuses it");
}

#[test]
fn the_table_of_parameters_is_that_of_the_template() {
    let section = chapter(LAMBDA);
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut table = BTreeMap::new();
    for row in rows {
        let mut cells = row.split('|').skip(1).map(str::trim);
        let (names, default) = (cells.next().unwrap(), cells.next().unwrap().trim_matches('`'));
        for name in names.split('`').skip(1).step_by(2) {
            table.insert(name.to_owned(), default.to_owned());
        }
    }
    let parameters = deployment().parameters.into_iter();
    let expected: BTreeMap<String, String> = parameters
        .map(|(name, default)| {
            let default = default.map(|text| if text.is_empty() { "none".to_owned() } else { text });
            (name, default.unwrap_or_default())
        })
        .collect();
    assert_eq!(table, expected);
}
