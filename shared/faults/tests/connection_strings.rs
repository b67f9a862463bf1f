//! `DATABASE_URL` in the forms that providers and libpq have, on the real binary: each is honoured, or refused by its name.

#![allow(clippy::unwrap_used)]

#[path = "fixture/front.rs"]
mod front;
#[path = "fixture/probed.rs"]
mod probed;

use front::{Authority, Front, key_pem, pem, valid_for};
use probed::Probed;
use rcgen::date_time_ymd;
use shared::testing::{Postgres, execute};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};
use tempfile::TempDir;

/// A server with a role that has a password, and a folder for certificates.
struct World {
    database: String,
    port: u16,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let postgres = Postgres::shared();
        let url = postgres.migrated_database().await;
        let role = "DO $$ BEGIN CREATE ROLE \"hostile-user\" SUPERUSER LOGIN PASSWORD 'hostile-secret'; \
                    EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$";
        execute(&url, role).await;
        Self {
            database: url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned(),
            port: postgres.port(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// The path of a file with this content, as it stands in a URL.
    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_string_lossy().replace('/', "%2F")
    }

    fn url(&self, host: &str, port: u16, query: &str) -> String {
        let database = &self.database;
        format!("postgresql://hostile-user:hostile-secret@{host}:{port}/{database}?{query}")
    }
}

/// The reason of each, or `healthy`.
async fn all_are(cases: impl IntoIterator<Item = (String, &'static str)>) {
    for (url, expected) in cases {
        let server = Probed::database(&url);
        let report = server.probe().await.json();
        let found = report["reason"].as_str().unwrap_or("healthy");
        assert_eq!(found, expected, "{url} {}", server.log());
        assert!(!server.log().contains("hostile-secret"), "{}", server.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_means_what_it_means_in_libpq() {
    let world = World::new().await;
    let authority = Authority::new();
    let port = Front::with(authority.issue(valid_for("localhost")))
        .start("127.0.0.1", world.port)
        .await;
    let roots = world.file("ca.pem", &authority.pem());
    let others = world.file("others.pem", &Authority::new().pem());
    let own = format!("sslrootcert={roots}");
    let cases = [
        ("", "healthy"),
        ("sslmode=disable", "healthy"),
        ("sslmode=allow", "healthy"),
        ("sslmode=prefer", "healthy"),
        ("sslmode=require", "healthy"),
        ("sslmode=verify-ca", "tls_failed"),
        ("sslmode=verify-full", "tls_failed"),
        ("ssl=true", "healthy"),
        ("ssl=1", "healthy"),
        ("ssl=on", "healthy"),
        ("ssl=require", "healthy"),
        ("ssl=false", "healthy"),
        ("ssl=verify-full", "tls_failed"),
        ("sslmode=require&sslaccept=strict", "tls_failed"),
        ("sslmode=require&channel_binding=prefer", "healthy"),
        ("sslmode=require&channel_binding=require", "tls_failed"),
        ("sslcert=&sslkey=&sslrootcert=&sslcrl=", "healthy"),
        ("sslmode=verify-full&sslrootcert=system", "tls_failed"),
        ("sslrootcert=system", "tls_failed"),
        ("sslmode=require&sslrootcert=system", "misconfigured"),
        ("sslmode=verify-full&sslrootcert=%2Fnowhere%2Fca.pem", "misconfigured"),
        (
            "sslmode=require&sslcert=%2Fnowhere%2Fa.crt&sslkey=%2Fnowhere%2Fa.key",
            "misconfigured",
        ),
        ("sslmode=require&sslnegotiation=direct", "healthy"),
        ("sslmode=prefer&sslnegotiation=direct", "misconfigured"),
        ("sslmode=require&ssl_min_protocol_version=TLSv1.3&sslsni=0", "healthy"),
        ("sslmode=require&ssl_max_protocol_version=TLSv1.1", "misconfigured"),
        ("sslmode=no-verify", "misconfigured"),
    ];
    let urls = cases.map(|(query, expected)| (world.url("localhost", port, query), expected));
    all_are(urls).await;
    let with_roots = [
        ("localhost", "sslmode=prefer", "healthy"),
        ("localhost", "sslmode=require", "healthy"),
        ("127.0.0.1", "sslmode=require", "healthy"),
        ("127.0.0.1", "sslmode=verify-ca", "healthy"),
        ("127.0.0.1", "sslmode=verify-full", "tls_failed"),
        ("127.0.0.1", "channel_binding=require", "tls_failed"),
        ("localhost", "sslmode=verify-full&hostaddr=127.0.0.1", "healthy"),
        ("localhost", "channel_binding=require", "healthy"),
    ];
    let urls = with_roots.map(|(host, query, expected)| (world.url(host, port, &format!("{query}&{own}")), expected));
    all_are(urls).await;
    let with_others = ["require", "verify-ca", "verify-full"];
    let urls = with_others.map(|mode| {
        let query = format!("sslmode={mode}&sslrootcert={others}");
        (world.url("localhost", port, &query), "tls_failed")
    });
    all_are(urls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_in_one_way_is_tried_in_the_other_where_sslmode_has_two() {
    let world = World::new().await;
    let tls = Front::with(Authority::new().issue(valid_for("localhost")));
    let only_encrypted = Front {
        refuses_plain: true,
        ..tls.clone()
    };
    let only_plain = Front {
        refuses_encrypted: true,
        ..tls
    };
    for (front, modes) in [
        (only_encrypted, ["auth_failed", "healthy", "healthy", "healthy"]),
        (only_plain, ["healthy", "healthy", "healthy", "auth_failed"]),
        (Front::plain(), ["healthy", "healthy", "healthy", "tls_failed"]),
    ] {
        let port = front.start("127.0.0.1", world.port).await;
        let names = ["disable", "allow", "prefer", "require"];
        let urls = names.map(|mode| world.url("localhost", port, &format!("sslmode={mode}")));
        all_are(urls.into_iter().zip(modes)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_those_of_the_file_and_clients_have_their_own() {
    let world = World::new().await;
    let authority = Authority::new();
    let mut expired = valid_for("localhost");
    expired.not_after = date_time_ymd(2020, 1, 1);
    let expired = Front::with(authority.issue(expired))
        .start("127.0.0.1", world.port)
        .await;
    let roots = world.file("ca.pem", &authority.pem());
    let url = |port, mode: &str| world.url("localhost", port, &format!("sslmode={mode}&sslrootcert={roots}"));
    all_are(["require", "verify-ca", "verify-full"].map(|mode| (url(expired, mode), "tls_failed"))).await;
    // As `openssl req -x509` makes one: its own authority.
    let mut itself = valid_for("localhost");
    itself.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let itself = itself.self_signed(&key).unwrap();
    let own = world.file("itself.pem", &pem(&itself));
    let port = Front::with((itself, key)).start("127.0.0.1", world.port).await;
    let query = |mode: &str, roots: &str| format!("sslmode={mode}&sslrootcert={roots}");
    all_are([
        (world.url("localhost", port, &query("verify-full", &own)), "healthy"),
        (world.url("127.0.0.1", port, &query("verify-ca", &own)), "healthy"),
        (world.url("127.0.0.1", port, &query("verify-full", &own)), "tls_failed"),
        (
            world.url("localhost", port, &query("verify-full", &roots)),
            "tls_failed",
        ),
    ])
    .await;
    let front = Front::for_clients_of(&authority, authority.issue(valid_for("localhost")));
    let port = front.start("127.0.0.1", world.port).await;
    let (certificate, key) = authority.issue(valid_for("client"));
    let certificate = world.file("client.crt", &pem(&certificate));
    let key = world.file("client.key", &key_pem(&key));
    let query = format!("sslmode=verify-full&sslrootcert={roots}");
    all_are([
        (
            world.url(
                "localhost",
                port,
                &format!("{query}&sslcert={certificate}&sslkey={key}"),
            ),
            "healthy",
        ),
        (world.url("localhost", port, &query), "tls_failed"),
        (
            world.url("localhost", port, &format!("{query}&sslcert={certificate}")),
            "misconfigured",
        ),
        (
            world.url(
                "localhost",
                port,
                &format!("{query}&sslcert={key}&sslkey={certificate}"),
            ),
            "misconfigured",
        ),
    ])
    .await;
}

#[tokio::test]
async fn hosts_are_names_addresses_sockets_and_lists_of_them() {
    let world = World::new().await;
    let six = Front::plain().start("::1", world.port).await;
    let (port, database) = (world.port, &world.database);
    let folder = Postgres::shared().socket();
    let socket = folder.replace('/', "%2F");
    let who = "hostile-user:hostile-secret";
    all_are([
        (format!("postgresql://{who}@[::1]:{six}/{database}"), "healthy"),
        (format!("postgresql://{who}@/{database}?host=::1&port={six}"), "healthy"),
        (format!("postgresql://{who}@name.invalid:{six}/{database}?hostaddr=::1"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:1,127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@name.invalid,127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@/{database}?host=127.0.0.1,localhost&port=1,{port}&load_balance_hosts=random"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:1,127.0.0.1:2/{database}"), "unreachable"),
        (format!("postgresql://{who}@/{database}?host={socket}&port={port}&sslmode=require"), "healthy"),
        (format!("postgresql://{who}@:{port}/{database}?host={folder}"), "healthy"),
        (format!("postgresql://{who}@{socket}:{port}/{database}"), "healthy"),
        (format!("postgresql+asyncpg://{who}@/{database}?host={folder}&port={port}"), "healthy"),
        (format!("host=127.0.0.1 port={port} dbname='{database}' user=hostile-user password='hostile-secret'"), "healthy"),
        (format!("jdbc:postgresql://127.0.0.1:{port}/{database}?user=hostile-user&password=hostile-secret"), "healthy"),
        (format!("postgresql://%68ostile-user:hostile%2Dsecret@127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?options=-csearch_path%3Dnowhere"), "schema_behind"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?schema=nowhere"), "schema_behind"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?schema=public&connection_limit=1&pgbouncer=true"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?connect_timeout=10&keepalives=1&keepalives_idle=5&tcp_user_timeout=5000"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?target_session_attrs=any&gssencmode=prefer"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?target_session_attrs=read-write"), "misconfigured"),
        (format!("postgresql://{who}@127.0.0.1:port/{database}"), "misconfigured"),
    ])
    .await;
}

#[tokio::test]
async fn a_password_is_taken_from_a_file_that_nobody_else_may_read() {
    let world = World::new().await;
    let (port, database) = (world.port, &world.database);
    let line = format!("127.0.0.1:{port}:*:hostile-user:hostile-secret\n");
    let file = world.file("pgpass", &line);
    let url = format!("postgresql://hostile-user@127.0.0.1:{port}/{database}?passfile={file}");
    for (mode, expected) in [(0o600, "healthy"), (0o644, "auth_failed")] {
        fs::set_permissions(world.folder.path().join("pgpass"), Permissions::from_mode(mode)).unwrap();
        all_are([(url.clone(), expected)]).await;
    }
}

#[tokio::test]
async fn what_is_refused_is_named_and_no_value_and_no_password_is_logged() {
    for (url, name) in [
        ("postgresql://h/d?sslmode=hostile-secret", "`sslmode`"),
        ("postgresql://h/d?sslmode=no-verify", "`sslmode`"),
        ("postgresql://h/d?service=hostile-secret", "`service`"),
        ("postgresql://h/d?require_auth=hostile-secret", "`require_auth`"),
        ("postgresql://h/d?nonsense=hostile-secret", "`nonsense`"),
        ("postgresql://u:p?hostile-secret=1@h/d", "password"),
        ("postgresql://u:p?a=hostile-secret@h/d", "password"),
        ("postgresql://u:p/hostile-secret@h/d", "`port`"),
        ("postgresql://h/d?sslpassword=hostile-secret&sslcrl=x", "`sslcrl`"),
        ("postgresql://h/d?port=hostile-secret", "`port`"),
        ("postgresql://h/d?connect_timeout=hostile-secret", "`connect_timeout`"),
        ("host=h password=hostile hostile-secret=x", "password"),
        ("postgresql://h/d?password=p&hostile-secret=x", "password"),
        ("hostile-secret", "DATABASE_URL"),
    ] {
        let server = Probed::database(url);
        server.fails("misconfigured").await;
        server.forgets().await;
        let log = server.log();
        assert!(log.contains(name), "{url}: {log}");
        assert!(!log.contains("hostile-secret"), "{url}: {log}");
    }
    let missing = Probed::database("postgresql://u@localhost:1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    missing.fails("misconfigured").await;
    missing.forgets().await;
    assert!(missing.log().contains("/nowhere/ca.pem"), "{}", missing.log());
}
