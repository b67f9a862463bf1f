//! An instance is killed in the middle of appends. What it has not acknowledged is sent to another one.

use crate::{Caller, JSON, streams};
use hyper::Method;
use std::time::Duration;
use testing::{Binary, Client};
use tokio::task::JoinSet;

/// How often. By hand: `ROUNDS=1000`.
fn rounds() -> u64 {
    let rounds = std::env::var("ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(100)
}

/// Appends of one round, one after the other, by one producer.
const APPENDS: i64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_loses_and_doubles_nothing() {
    let binary = streams().await;
    let (survivor, caller) = (binary.serve(), Caller::new());
    let (mut in_flight, mut repeated) = (0, 0);
    for round in 0..rounds() {
        let url = caller.create(&survivor.url, &format!("rounds/{round}")).await;
        let acknowledged = until_killed(&binary, round, &caller.authorization).await;
        in_flight += u64::from(acknowledged < APPENDS);
        for number in acknowledged..APPENDS {
            match append(&caller, &url, number).await {
                200 => {}
                // It was stored, and the instance died before it could say so.
                204 => repeated += 1,
                status => panic!("{status}"),
            }
        }
        assert_eq!(caller.messages(&url).await, Vec::from_iter(0..APPENDS), "round {round}");
    }
    assert!(
        in_flight > rounds() / 2,
        "killed in the middle of {in_flight} rounds only"
    );
    println!(
        "{repeated} appends of {} rounds were stored before and sent again",
        rounds()
    );
    assert!(repeated > 0, "killed between a commit and its answer in no round");
}

/// How many appends an instance acknowledges that is killed meanwhile.
async fn until_killed(binary: &Binary, round: u64, authorization: &str) -> i64 {
    let doomed = binary.serve();
    let url = format!("{}/v1/stream/rounds/{round}", doomed.url);
    let authorization = authorization.to_owned();
    let mut appending = JoinSet::new();
    let (sender, acknowledged) = std::sync::mpsc::channel();
    appending.spawn(async move {
        let caller = Caller {
            client: Client::http1(),
            authorization,
        };
        for number in 0..APPENDS {
            let status = append(&caller, &url, number).await;
            assert_eq!(status, 200);
            let _ = sender.send(number);
        }
    });
    tokio::time::sleep(Duration::from_millis(4 + round * 7 % 40)).await;
    doomed.signal("KILL");
    // It panics when the connection breaks, which is what a client of a dead server sees.
    let _ = appending.join_next().await;
    acknowledged.try_iter().count().try_into().unwrap()
}

async fn append(caller: &Caller, url: &str, number: i64) -> u16 {
    let seq = number.to_string();
    let producer = [
        JSON,
        ("producer-id", "p"),
        ("producer-epoch", "0"),
        ("producer-seq", &*seq),
    ];
    caller.ask(Method::POST, url, &producer, &seq).await.status.as_u16()
}
