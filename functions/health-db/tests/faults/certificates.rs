//! Postgres behind TLS: `sslmode`, `sslrootcert` and certificates mean what they mean in libpq.

use crate::front::{Authority, Front, key_pem, pem, valid_for};
use crate::probed::probed_with;
use crate::world::{World, all_are};
use rcgen::date_time_ymd;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslmode_means_the_same_as_in_libpq() {
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
async fn roots_come_from_the_file_and_clients_present_certificates() {
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
    let another = authority.issue(valid_for("another.test"));
    let another = Front::with(another).start("127.0.0.1", world.port).await;
    all_are([
        (url(another, "verify-ca"), "healthy"),
        (url(another, "verify-full"), "tls_failed"),
    ])
    .await;
    // A self-signed certificate, as `openssl req -x509` makes.
    let mut itself = valid_for("localhost");
    itself.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let itself = itself.self_signed(&key).unwrap();
    let root = world.file("itself.pem", &pem(&itself));
    let port = Front::with((itself, key)).start("127.0.0.1", world.port).await;
    let query = |mode: &str, roots: &str| format!("sslmode={mode}&sslrootcert={roots}");
    all_are([
        (world.url("localhost", port, &query("verify-full", &root)), "healthy"),
        (world.url("127.0.0.1", port, &query("verify-ca", &root)), "healthy"),
        (world.url("127.0.0.1", port, &query("verify-full", &root)), "tls_failed"),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_stand_in_for_what_the_url_does_not_say() {
    let world = World::new().await;
    let authority = Authority::new();
    let port = Front::with(authority.issue(valid_for("localhost")))
        .start("127.0.0.1", world.port)
        .await;
    let plain = Front::plain().start("127.0.0.1", world.port).await;
    let roots = world.folder.path().join("ca.pem");
    std::fs::write(&roots, authority.pem()).unwrap();
    let roots = roots.to_str().unwrap();
    for (variables, port, query, expected) in [
        (&[("PGSSLMODE", "require")][..], port, "", "healthy"),
        (&[("PGSSLMODE", "require")], plain, "", "tls_failed"),
        (&[("PGSSLMODE", "require")], plain, "sslmode=prefer", "healthy"),
        (
            &[("PGSSLMODE", "verify-full"), ("PGSSLROOTCERT", roots)],
            port,
            "",
            "healthy",
        ),
        (&[("PGSSLMODE", "verify-full")], port, "", "tls_failed"),
        // Variables do not weaken what the URL says in another form.
        (&[("PGSSLMODE", "disable")], plain, "ssl=true", "tls_failed"),
        (&[("PGSSLMODE", "prefer")], port, "ssl=verify-full", "tls_failed"),
        (&[("PGCHANNELBINDING", "require")], port, "", "tls_failed"),
        (&[("PGREQUIREAUTH", "scram-sha-256")], plain, "", "misconfigured"),
        (&[("PGTARGETSESSIONATTRS", "read-write")], plain, "", "misconfigured"),
        (&[("PGTARGETSESSIONATTRS", "any")], plain, "", "healthy"),
        (&[("PGOPTIONS", "-cnonsense=1")], plain, "", "error"),
        (&[("PGHOST", "name.invalid"), ("PGPORT", "1")], plain, "", "healthy"),
    ] {
        let server = probed_with(&world.url("localhost", port, query), variables);
        let report = server.probe().await.json();
        let found = report["reason"].as_str().unwrap_or("healthy");
        assert_eq!(found, expected, "{variables:?} {query} {}", server.log());
    }
}
