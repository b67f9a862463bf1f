//! The binary that ships, alone in an empty root: no libc, no resolver's files, no certificates, no time zones.

use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use testing::{Binary, Postgres, execute};

const NEEDS: &str = "needs root, port 53 and .ci/release health-db; .ci/run has all of them";

/// A folder that holds the binary and nothing else.
struct EmptyRoot(TempDir);

impl EmptyRoot {
    fn new() -> Self {
        let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release-static/health-db");
        let root = tempfile::tempdir().unwrap();
        fs::copy(binary, root.path().join("health-db")).expect(NEEDS);
        Self(root)
    }

    fn check(&self, url: &str) -> Check {
        let function = Binary::new("/health-db").under(&["chroot", self.0.path().to_str().unwrap()]);
        let function = function.with("DATABASE_URL", url).with("TZ", "America/New_York");
        let output = function.run(&["check"]);
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 1, "it wrote a file");
        let log = String::from_utf8(output.stderr).unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no report: {log}"));
        Check { report, log }
    }
}

struct Check {
    report: serde_json::Value,
    log: String,
}

/// The server that a resolver without files asks (resolver(3)): every name is 127.0.0.1, and has no IPv6 address.
fn name_server() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:53").expect(NEEDS);
    let server = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut query = [0; 512];
        while let Ok((length, client)) = server.recv_from(&mut query) {
            // RFC 1035, section 4.1: the header, one question, and after its name two bytes of type.
            let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
            let wants_v4 = query[name..name + 2] == [0, 1];
            let mut answer = query[..length.min(name + 4)].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[6..12].copy_from_slice(&[0, u8::from(wants_v4), 0, 0, 0, 0]);
            if wants_v4 {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
            }
            server.send_to(&answer, client).unwrap();
        }
    });
    socket
}

/// A server with a certificate that nobody signed.
fn with_its_client_certificate(folder: &Path) -> Postgres {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=database.test",
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:database.test",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    assert!(made.unwrap().status.success());
    // Postgres runs as one of these, and takes no key of anybody else's.
    let owned = ["postgres", "nobody"].iter().any(|user| {
        let chown = Command::new("chown").arg(user).args([folder, &key]).output();
        chown.unwrap().status.success()
    });
    assert!(owned, "{NEEDS}");
    let files = [("ssl_cert_file", &certificate), ("ssl_key_file", &key)];
    let files = files.map(|(name, file)| format!("{name}={}", file.display()));
    Postgres::start(&["ssl=on", &files[0], &files[1]])
}

#[tokio::test]
#[ignore = "needs root, port 53 and a static build; .ci/run has all of them"]
async fn it_resolves_names_verifies_certificates_and_knows_the_time_without_any_file() {
    let root = EmptyRoot::new();
    let folder = tempfile::tempdir().unwrap();
    let postgres = with_its_client_certificate(folder.path());
    execute(&postgres.url(), "CREATE ROLE app LOGIN PASSWORD 'password'").await;
    let url = |host: &str, mode: &str| {
        format!(
            "postgresql://app:password@{host}:{}/postgres?sslmode={mode}",
            postgres.port()
        )
    };

    let unresolved = root.check(&url("database.test", "disable"));
    assert_eq!(unresolved.report["reason"], "unreachable", "{}", unresolved.log);

    let _name_server = name_server();
    let plain = root.check(&url("database.test", "disable"));
    // The answer came from the database, which has no schema yet.
    assert_eq!(plain.report["reason"], "schema_behind", "{}", plain.log);
    let encrypted = root.check(&url("database.test", "require"));
    assert_eq!(encrypted.report["reason"], "schema_behind", "{}", encrypted.log);
    let verified = root.check(&url("database.test", "verify-full"));
    assert_eq!(verified.report["reason"], "tls_failed", "{}", verified.log);
    assert!(verified.log.contains("UnknownIssuer"), "{}", verified.log);

    let timestamp = plain.report["timestamp"].as_str().unwrap();
    let time = humantime::parse_rfc3339(timestamp).expect("it ends in Z");
    let late = SystemTime::now().duration_since(time).unwrap();
    assert!(late < Duration::from_secs(30), "{timestamp} is not the time in UTC");
}
