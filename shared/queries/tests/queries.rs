//! The program in workspaces of functions with queries, without any, and with wrong ones.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

const READ: &str = r#"sqlx::query_scalar!("SELECT id FROM things")"#;
const ADD: &str = r#"sqlx::query!("INSERT INTO things (id) VALUES ($1)", 1)"#;
const WRONG: &str = r#"sqlx::query!("SELECT nothing FROM things")"#;

/// A workspace with one table, `things`.
struct Workspace(TempDir);

impl Workspace {
    fn new(functions: &[(&str, &[&str])]) -> Self {
        let workspace = Self(tempfile::tempdir().unwrap());
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for file in ["Cargo.lock", "functions/.env", "shared/.env"] {
            workspace.write(file, &fs::read_to_string(repository.join(file)).unwrap());
        }
        workspace.write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"functions/*\", \"shared\"]",
        );
        workspace.write("migrations/0001_things.up.sql", "CREATE TABLE things (id int NOT NULL)");
        workspace.write("migrations/0001_things.down.sql", "DROP TABLE things");
        workspace.package("shared", "shared", &[]);
        for (name, queries) in functions {
            workspace.package(&format!("functions/{name}"), name, queries);
        }
        workspace.done(workspace.cargo().args(["metadata", "--format-version=1"]));
        workspace
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// A package with these queries, the last one of which is of its tests.
    fn package(&self, folder: &str, name: &str, queries: &[&str]) {
        // Cargo takes packages of one name in two workspaces for one, where they share a folder for what is built.
        let test = std::thread::current().name().unwrap().to_owned();
        let manifest = format!(
            "[package]\nname = \"{name}-{test}\"\nedition = \"2024\"\n[dependencies.sqlx]\nversion = \"0.9\"
            default-features = false\nfeatures = [\"macros\", \"postgres\", \"runtime-tokio\"]"
        );
        self.write(&format!("{folder}/Cargo.toml"), &manifest);
        let (last, others) = queries.split_last().unwrap_or((&"()", &[]));
        let source = format!(
            "pub fn queries() {{ {} }}",
            others
                .iter()
                .map(|query| format!("let _ = {query};"))
                .collect::<String>()
        );
        self.write(&format!("{folder}/src/lib.rs"), &source);
        self.write(
            &format!("{folder}/tests/test.rs"),
            &format!("#[test] fn test() {{ let _ = {last}; }}"),
        );
    }

    fn cargo(&self) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(self.path()).env("CARGO_NET_OFFLINE", "true");
        cargo.env("CARGO_TARGET_DIR", target()).env_remove("SQLX_OFFLINE");
        cargo
    }

    /// A build, with the URL of a database that counts its connections.
    fn build(&self) -> (bool, String) {
        let database = TcpListener::bind("127.0.0.1:0").unwrap();
        database.set_nonblocking(true).unwrap();
        let url = format!("postgresql://{}/app", database.local_addr().unwrap());
        let built = run(self
            .cargo()
            .args(["check", "--workspace", "--all-targets"])
            .env("DATABASE_URL", url));
        assert!(database.accept().is_err(), "the build has connected to DATABASE_URL");
        built
    }

    fn queries(&self, arguments: &[&str]) -> (bool, String) {
        let mut queries = Command::new(env!("CARGO_BIN_EXE_queries"));
        queries
            .current_dir(self.path())
            .args(arguments)
            .env("CARGO_NET_OFFLINE", "true");
        queries
            .env("CARGO_TARGET_DIR", target())
            .env("DATABASE_URL", "postgresql://127.0.0.1:1/none");
        run(&mut queries)
    }

    fn renew(&self) {
        let (is_done, said) = self.queries(&[]);
        assert!(is_done, "{said}");
    }

    fn done(&self, command: &mut Command) {
        let (is_done, said) = run(command);
        assert!(is_done, "{said}");
    }

    /// The number of files in each function's `.sqlx`; `None` if there is no such folder.
    fn data<const N: usize>(&self, functions: [&str; N]) -> [Option<usize>; N] {
        functions.map(|name| {
            let folder = self.path().join("functions").join(name).join(".sqlx");
            fs::read_dir(folder).ok().map(Iterator::count)
        })
    }
}

/// Shared by all tests and later runs, because each would compile sqlx otherwise.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("queries")
}

fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
#[ignore = "compiles sqlx for another workspace, which takes a minute"]
fn the_data_of_queries_stands_beside_each_function_that_has_some() {
    let workspace = Workspace::new(&[("one", &[READ]), ("none", &[]), ("two", &[READ, ADD])]);
    let (is_built, said) = workspace.build();
    assert!(!is_built && said.contains("`SQLX_OFFLINE=true`"), "{said}");
    workspace.renew();
    assert_eq!(workspace.data(["one", "none", "two"]), [Some(1), None, Some(2)]);
    assert_eq!(workspace.queries(&["--check"]), (true, String::new()));
    let (is_built, said) = workspace.build();
    assert!(is_built, "{said}");
}

#[test]
#[ignore = "compiles sqlx for another workspace, which takes a minute"]
fn what_is_no_longer_used_goes_with_its_query_or_with_its_function() {
    let workspace = Workspace::new(&[("one", &[READ, ADD]), ("none", &[READ]), ("gone", &[READ])]);
    workspace.renew();
    workspace.package("functions/one", "one", &[ADD]);
    workspace.package("functions/none", "none", &[]);
    fs::remove_dir_all(workspace.path().join("functions/gone")).unwrap();
    workspace.done(workspace.cargo().args(["metadata", "--format-version=1"]));
    let (is_current, said) = workspace.queries(&["--check"]);
    assert!(!is_current && said.contains("functions/none/.sqlx/query-"), "{said}");
    workspace.renew();
    assert_eq!(workspace.data(["one", "none", "gone"]), [Some(1), None, None]);
    assert_eq!(workspace.queries(&["--check"]), (true, String::new()));
}

#[test]
#[ignore = "compiles sqlx for another workspace, which takes a minute"]
fn a_wrong_query_is_named_and_nothing_is_changed() {
    let workspace = Workspace::new(&[("one", &[READ]), ("two", &[WRONG, ADD])]);
    for arguments in [&[][..], &["--check"]] {
        let (is_done, said) = workspace.queries(arguments);
        assert!(!is_done && said.contains("functions/two/src/lib.rs:1:"), "{said}");
        assert!(said.contains("column \"nothing\" does not exist"), "{said}");
    }
    assert_eq!(workspace.data(["one", "two"]), [None, None]);
}

#[test]
#[ignore = "compiles sqlx for another workspace, which takes a minute"]
fn a_migration_makes_the_data_old_and_a_wrong_one_is_named() {
    let workspace = Workspace::new(&[("one", &[READ])]);
    workspace.renew();
    let dump = "\\restrict x\nSELECT set_config('search_path', '', false);
        ALTER TABLE public.things ALTER id TYPE bigint;\n\\unrestrict x\n";
    workspace.write("migrations/0002_dump.up.sql", dump);
    let index = "-- no-transaction\nCREATE INDEX CONCURRENTLY things_id ON things (id);";
    workspace.write("migrations/0003_index.up.sql", index);
    let (is_current, said) = workspace.queries(&["--check"]);
    assert!(!is_current && said.contains("cargo run -p queries"), "{said}");
    workspace.renew();
    assert_eq!(workspace.queries(&["--check"]), (true, String::new()));
    workspace.write("migrations/0004_wrong.up.sql", "SELECT 1;\nCOMMIT;");
    let (is_current, said) = workspace.queries(&["--check"]);
    assert!(
        !is_current && said.contains("migrations/0004_wrong.up.sql: line 2"),
        "{said}"
    );
}

/// Two functions may have the same query, and a hash is the name of its file.
#[test]
#[ignore = "compiles sqlx for another workspace, which takes a minute"]
fn the_same_query_in_two_functions_has_its_data_twice() {
    let workspace = Workspace::new(&[("one", &[READ]), ("two", &[READ])]);
    workspace.renew();
    let names = ["one", "two"].map(|name| {
        let files = fs::read_dir(workspace.path().join("functions").join(name).join(".sqlx")).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<BTreeSet<_>>()
    });
    assert_eq!(names[0].len(), 1);
    assert_eq!(names[0], names[1]);
}
