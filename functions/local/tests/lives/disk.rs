//! A disk that is full from the start, and one that fills up, under `local`.

use crate::newcomer::{REPORT, paths};
use std::{fs::File, io::Write, path::PathBuf, time::Duration};
use testing::{Binary, Client, Process};

/// `local` on a separate disk, which no other process sees.
fn on_disk(megabytes: u32) -> Binary {
    let mount = format!("mount -t tmpfs -o size={megabytes}m,mode=0755 tmpfs /mnt && exec \"$0\"");
    Binary::new(env!("CARGO_BIN_EXE_local"))
        .with("CARGO_MANIFEST_DIR", "/mnt/functions/local")
        .with("PORT", "0")
        .under(&["unshare", "--mount", "sh", "-c", &mount])
}

#[test]
#[ignore = "needs the right to mount, as root has it; .ci/run runs it"]
fn a_disk_that_is_full_ends_local_with_a_sentence() {
    let output = on_disk(8).run(&[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
    assert!(said.lines().last().unwrap().starts_with("local: "), "{said}");
}

fn reports() -> Vec<String> {
    paths(REPORT)
}

async fn statuses(server: &Process) -> Vec<u16> {
    let mut statuses = Vec::new();
    for path in reports() {
        let answer = Client::http1().get(&format!("{}{path}", server.url)).await;
        statuses.push(answer.status.as_u16());
    }
    statuses
}

#[tokio::test]
#[ignore = "needs the right to mount, as root has it; .ci/run runs it"]
async fn a_disk_that_fills_up_takes_no_route_down() {
    let mut server = on_disk(120).start("Ctrl-C stops it all.");
    let log = server.log();
    let url = log.lines().find_map(|line| Some(line.split_once(" is lit: ")?.1));
    server.url = url.unwrap().to_owned();
    assert_eq!(statuses(&server).await, vec![200; reports().len()]);
    let filler = PathBuf::from(format!("/proc/{}/root/mnt/filler", server.pid()));
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 1 << 16]).is_ok() {}
    drop(file);
    for _ in 0..3 {
        assert_eq!(statuses(&server).await, vec![200; reports().len()], "{}", server.log());
        tokio::time::sleep(Duration::from_millis(1100)).await;
    }
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(statuses(&server).await, vec![200; reports().len()], "{}", server.log());
    server.signal("TERM");
    assert_eq!(server.exit_code(Duration::from_secs(20)), Some(0), "{}", server.log());
}
