//! An instance is killed in the middle of appends. What it has not acknowledged is sent to another one.

use crate::{Caller, JSON, streams_in};
use durable::wrong;
use hyper::Method;
use std::time::Duration;
use testing::{Binary, Client, Postgres, execute};
use tokio::task::JoinSet;

/// How often. By hand: `ROUNDS=1000`.
fn rounds() -> u64 {
    let rounds = std::env::var("ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(100)
}

/// Appends of one round, one after the other, by one producer.
const APPENDS: i64 = 12;

/// What became of the appends of many rounds, in each of which an instance was killed.
#[derive(Default)]
struct Rounds {
    /// Rounds in which appends were left to be repeated.
    in_flight: u64,
    /// Appends that were stored before, and were recognised.
    repeated: u64,
    /// Appends that were stored twice.
    doubled: usize,
}

impl Rounds {
    async fn of(number: u64, database: String) -> Self {
        let binary = streams_in(database);
        let (survivor, caller, mut rounds) = (binary.serve(), Caller::new(), Self::default());
        for round in 0..number {
            let url = caller.create(&survivor.url, &format!("rounds/{round}")).await;
            let acknowledged = until_killed(&binary, round, &caller.authorization).await;
            rounds.in_flight += u64::from(acknowledged < APPENDS);
            for number in acknowledged..APPENDS {
                match append(&caller, &url, number).await {
                    200 => {}
                    // It was stored, and the instance died before it could say so.
                    204 => rounds.repeated += 1,
                    status => panic!("{status}"),
                }
            }
            let mut stored = caller.messages(&url).await;
            rounds.doubled += stored.len();
            stored.dedup();
            rounds.doubled -= stored.len();
            assert_eq!(stored, Vec::from_iter(0..APPENDS), "round {round}");
        }
        let in_flight = rounds.in_flight;
        assert!(
            in_flight > number / 2,
            "killed in the middle of {in_flight} rounds only"
        );
        rounds
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_killed_loses_and_doubles_nothing() {
    let database = Postgres::shared().migrated_database().await;
    let Rounds { repeated, doubled, .. } = Rounds::of(rounds(), database).await;
    println!(
        "{repeated} appends of {} rounds were stored before and sent again",
        rounds()
    );
    assert!(repeated > 0, "killed between a commit and its answer in no round");
    assert_eq!(doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_where_the_producers_state_is_a_second_transaction_appends_are_stored_twice() {
    let database = Postgres::shared().migrated_database().await;
    execute(&database, wrong::PRODUCER_STATE_LATER).await;
    let doubled = Rounds::of(rounds().min(60), database).await.doubled;
    println!("{doubled} appends were stored twice");
    assert!(doubled > 0, "killed between the two transactions in no round");
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
