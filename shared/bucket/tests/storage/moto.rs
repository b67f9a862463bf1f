//! A running moto, the emulator of S3 in Python.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
};
use testing::{free_port, wait_for_port};

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
        let (made, answer) = request(port, "PUT", "/evidence", "x-amz-bucket-object-lock-enabled: true\r\n");
        assert_eq!(made, 200, "{answer}");
        Self { process, port }
    }
}

/// The uploads in parts that nobody has ended, and the objects on their way, in every version and with every marker.
pub fn leftovers(port: u16) -> Vec<String> {
    let uploads = request(port, "GET", "/evidence?uploads", "").1;
    [keys(&uploads), versions(port, ".pilotlight/")].concat()
}

/// The keys below a prefix, once for each version and each delete marker.
pub fn versions(port: u16, prefix: &str) -> Vec<String> {
    keys(&request(port, "GET", &format!("/evidence?versions&prefix={prefix}"), "").1)
}

fn keys(xml: &str) -> Vec<String> {
    let keys = xml.split("<Key>").skip(1).filter_map(|rest| rest.split('<').next());
    keys.map(str::to_owned).collect()
}

/// Sends a request as another client of the bucket would. Returns status and body.
pub fn request(port: u16, method: &str, target: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!(
        "{method} {target} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=a/20261123/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{answer}")), answer)
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
