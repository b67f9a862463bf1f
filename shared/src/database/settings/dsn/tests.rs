//! Connection strings as providers and drivers hand them out.

use super::{super::SslMode, Dsn, Host};
use crate::config::{Env, tests::env};

fn dsn(text: &str) -> Dsn {
    let parsed = Dsn::parse(text, &Env::new(|_| None));
    parsed.unwrap_or_else(|expected| panic!("{text} must be {expected}"))
}

fn tcp(name: &str, port: u16) -> Host {
    Host::Tcp {
        name: name.to_owned(),
        address: None,
        port,
    }
}

#[test]
fn connection_strings_of_providers_and_drivers_are_parsed() {
    use SslMode::{Disable, Prefer, Require, VerifyFull};
    for (text, host, mode) in [
        // Neon, Supabase, Vercel, Heroku, Render, Railway, Fly, DigitalOcean, Aiven, Timescale.
        (
            "postgresql://u:p@ep-a-pooler.eu.aws.neon.tech/d?sslmode=require&channel_binding=require",
            tcp("ep-a-pooler.eu.aws.neon.tech", 5432),
            VerifyFull,
        ),
        (
            "postgresql://u:p@ep-a.neon.tech/d?sslmode=require&options=endpoint%3Dep-a",
            tcp("ep-a.neon.tech", 5432),
            Require,
        ),
        (
            "postgres://postgres.ref:p@aws-0-eu.pooler.supabase.com:6543/postgres?pgbouncer=true&supa=base-pooler.x",
            tcp("aws-0-eu.pooler.supabase.com", 6543),
            Prefer,
        ),
        (
            "postgres://u:p@ec2-1.compute-1.amazonaws.com:5432/d",
            tcp("ec2-1.compute-1.amazonaws.com", 5432),
            Prefer,
        ),
        ("postgresql://u:p@dpg-a/d", tcp("dpg-a", 5432), Prefer),
        (
            "postgres://u:p@app-db.flycast:5432/d?sslmode=disable",
            tcp("app-db.flycast", 5432),
            Disable,
        ),
        (
            "postgresql://doadmin:p@db.ondigitalocean.com:25060/defaultdb?sslmode=require",
            tcp("db.ondigitalocean.com", 25060),
            Require,
        ),
        (
            "postgres://tsdbadmin:p@a.tsdb.cloud.timescale.com:34000/tsdb?sslmode=require",
            tcp("a.tsdb.cloud.timescale.com", 34000),
            Require,
        ),
        // RDS with its bundle, CockroachDB, Azure's two forms.
        (
            "postgresql://u:p@a.rds.amazonaws.com/d?sslmode=verify-full&sslrootcert=/opt/global-bundle.pem",
            tcp("a.rds.amazonaws.com", 5432),
            VerifyFull,
        ),
        (
            "postgresql://u:p@a.cockroachlabs.cloud:26257/defaultdb?sslmode=verify-full&sslrootcert=system",
            tcp("a.cockroachlabs.cloud", 26257),
            VerifyFull,
        ),
        (
            "host=a.postgres.database.azure.com port=5432 dbname=d user=u password={p} sslmode=require",
            tcp("a.postgres.database.azure.com", 5432),
            Require,
        ),
        (
            "postgres://u@a:p@a.postgres.database.azure.com/d?sslmode=require",
            tcp("a.postgres.database.azure.com", 5432),
            Require,
        ),
        // Prisma, SQLAlchemy, JDBC, pgx.
        (
            "postgresql://u:p@h:5432/d?schema=public&connection_limit=1&sslaccept=strict",
            tcp("h", 5432),
            VerifyFull,
        ),
        (
            "postgresql+asyncpg://u:p@h/d?ssl=require&prepared_statement_cache_size=0",
            tcp("h", 5432),
            Require,
        ),
        (
            "postgresql+psycopg2://u:p@h/d?client_encoding=utf8",
            tcp("h", 5432),
            Prefer,
        ),
        (
            "jdbc:postgresql://h:5432/d?user=u&password=p&ssl=true&prepareThreshold=0",
            tcp("h", 5432),
            Require,
        ),
        (
            "postgres://u:p@h/d?pool_max_conns=10&default_query_exec_mode=simple_protocol",
            tcp("h", 5432),
            Prefer,
        ),
    ] {
        let dsn = dsn(text);
        assert_eq!((&dsn.hosts[..], dsn.tls.mode), (&[host][..], mode), "{text}");
        assert!(dsn.user.is_some() && dsn.password.is_some(), "{text}");
    }
}

#[test]
fn sockets_are_found_by_folder_and_port() {
    for text in [
        "postgresql://u:p@/d?host=/cloudsql/p:r:i&sslmode=require",
        "postgresql://u:p@%2Fcloudsql%2Fp%3Ar%3Ai/d",
        "postgresql://u:p@:5432/d?host=/cloudsql/p:r:i",
    ] {
        let socket = Host::Socket("/cloudsql/p:r:i/.s.PGSQL.5432".into());
        assert_eq!(dsn(text).hosts, [socket], "{text}");
    }
}

#[test]
fn hosts_of_a_list_share_a_port_or_have_one_each() {
    assert_eq!(dsn("postgresql://a,b:2/d").hosts, [tcp("a", 5432), tcp("b", 2)]);
    assert_eq!(dsn("host=a,b port=7").hosts, [tcp("a", 7), tcp("b", 7)]);
    assert!(Dsn::parse("host=a,b port=7,8,9", &Env::new(|_| None)).is_err());
    assert!(Dsn::parse("host=a,b hostaddr=::1", &Env::new(|_| None)).is_err());
}

#[test]
fn variables_of_libpq_apply_to_missing_parameters() {
    let env = env(&[
        ("PGPASSWORD", "secret"),
        ("PGSSLMODE", "require"),
        ("PGHOST", "elsewhere"),
    ]);
    let parsed = Dsn::parse("postgresql://u@h/d", &env);
    let dsn = parsed.unwrap_or_else(|expected| panic!("{expected}"));
    assert_eq!((dsn.hosts, dsn.tls.mode), (vec![tcp("h", 5432)], SslMode::Require));
    assert_eq!(dsn.password.as_deref(), Some("secret"));
}

#[test]
fn parameters_of_other_drivers_set_the_search_path() {
    assert_eq!(
        dsn("postgresql://h/d?schema=app").startup,
        [("search_path", "app".to_owned())]
    );
    assert_eq!(dsn("postgresql://h/d?currentSchema=public").startup, []);
}
