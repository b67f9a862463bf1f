//! `DATABASE_URL` in the forms of libpq and of drivers, on the real binary: each parameter is honoured, or refused by name.

use crate::front::Front;
use crate::impatient::{database, session};
use crate::probed::probed;
use crate::world::{World, all_are};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};
use testing::Postgres;

#[tokio::test]
async fn hosts_are_names_addresses_sockets_and_lists_of_them() {
    let world = World::new().await;
    let six = Front::plain().start("::1", world.port).await;
    let (port, database) = (world.port, &world.database);
    let folder = Postgres::shared().socket();
    let socket = folder.replace('/', "%2F");
    let who = "hostile-user:hostile-secret";
    // Too long for a name: no resolver asks a server, which may be slow.
    let nowhere = format!("{}.invalid", "x".repeat(64));
    all_are([
        (format!("postgresql://{who}@[::1]:{six}/{database}"), "healthy"),
        (format!("postgresql://{who}@/{database}?host=::1&port={six}"), "healthy"),
        (format!("postgresql://{who}@name.invalid:{six}/{database}?hostaddr=::1"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:1,127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@{nowhere},127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@/{database}?host=127.0.0.1,localhost&port=1,{port}&load_balance_hosts=random"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:1,127.0.0.1:2/{database}"), "unreachable"),
        (format!("postgresql://{who}@/{database}?host={socket}&port={port}&sslmode=require"), "healthy"),
        (format!("postgresql://{who}@:{port}/{database}?host={folder}"), "healthy"),
        (format!("postgresql://{who}@{socket}:{port}/{database}"), "healthy"),
        (format!("postgresql+asyncpg://{who}@/{database}?host={folder}&port={port}"), "healthy"),
        (format!("host=127.0.0.1 port={port} dbname='{database}' user=hostile-user password='hostile-secret'"), "healthy"),
        (format!("jdbc:postgresql://127.0.0.1:{port}/{database}?user=hostile-user&password=hostile-secret"), "healthy"),
        (format!("postgresql://%68ostile-user:hostile%2Dsecret@127.0.0.1:{port}/{database}"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?options=-cnonsense%3D1"), "error"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?schema=public&connection_limit=1&pgbouncer=true"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?connect_timeout=10&keepalives=1&keepalives_idle=5&tcp_user_timeout=5000"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?target_session_attrs=any&gssencmode=prefer"), "healthy"),
        (format!("postgresql://{who}@127.0.0.1:{port}/{database}?target_session_attrs=read-write"), "misconfigured"),
        (format!("postgresql://{who}@127.0.0.1:port/{database}"), "misconfigured"),
    ])
    .await;
}

/// The table of migrations is found in any schema; the tables of a function are found by the search path only.
#[tokio::test]
async fn a_search_path_is_that_of_the_sessions_of_a_function_in_each_of_its_forms() {
    let url = Postgres::shared().migrated_database().await;
    for parameter in [
        "options=-csearch_path%3Dnowhere",
        "search_path=nowhere",
        "schema=nowhere",
        "currentSchema=nowhere",
    ] {
        let url = format!("{url}&{parameter}");
        let database = database(&url);
        let mut session = session(&database).await;
        let path = sqlx::query_scalar("SHOW search_path").fetch_one(&mut *session);
        let path: String = path.await.unwrap();
        assert_eq!(path, "nowhere", "{parameter}");
        all_are([(url, "healthy")]).await;
    }
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
        let server = probed(url);
        server.fails("misconfigured").await;
        server.forgets().await;
        let log = server.log();
        assert!(log.contains(name), "{url}: {log}");
        assert!(!log.contains("hostile-secret"), "{url}: {log}");
    }
    let missing = probed("postgresql://u@localhost:1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem");
    missing.fails("misconfigured").await;
    missing.forgets().await;
    assert!(missing.log().contains("/nowhere/ca.pem"), "{}", missing.log());
}
