//! A running moto: S3 as Python programmers fake it.

use shared::testing::{free_port, wait_for_port};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

/// One bucket, `evidence`, with Object Lock.
pub struct Moto {
    process: Child,
    pub port: u16,
}

impl Moto {
    pub fn start() -> Self {
        let port = free_port();
        let process = Command::new("moto_server")
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto_server is on the PATH");
        wait_for_port(port);
        request(port, "PUT", "/evidence", "x-amz-bucket-object-lock-enabled: true\r\n");
        Self { process, port }
    }
}

/// The uploads in parts that nobody has ended, and the objects on their way.
pub fn leftovers(port: u16) -> Vec<String> {
    let uploads = request(port, "GET", "/evidence?uploads", "");
    let staged = request(port, "GET", "/evidence?list-type=2&prefix=.pilotlight/", "");
    let names = [uploads, staged].map(|xml| {
        let keys = xml.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next());
        keys.map(str::to_owned).collect::<Vec<_>>()
    });
    names.concat()
}

fn request(port: u16, method: &str, target: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=a/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200"),
        "{answer}"
    );
    answer
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
