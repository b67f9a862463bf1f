//! An instance is killed in the middle of appends. What it has not acknowledged is sent to another one.

use crate::{Caller, producer, streams_in};
use durable::wrong;
use hyper::Method;
use std::time::{Duration, Instant};
use testing::{Binary, Client, Postgres, execute};
use tokio::sync::watch;

/// How often. By hand: `ROUNDS=1000`.
fn rounds() -> u32 {
    let rounds = std::env::var("ROUNDS").ok();
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(100)
}

/// Appends of one round, one after the other, by one producer.
const APPENDS: i64 = 12;

/// What became of the appends of many rounds, in each of which an instance was killed.
#[derive(Default)]
struct Rounds {
    /// Rounds in which appends were left to be repeated.
    in_flight: u32,
    /// Appends that were stored before, and were recognised.
    repeated: u32,
    /// Appends that were stored twice.
    doubled: usize,
}

impl Rounds {
    /// So many, and up to ten times as many until the fault has struck.
    async fn of(number: u32, database: String, has_struck: fn(&Self) -> bool) -> Self {
        let binary = streams_in(database);
        let (survivor, caller, mut rounds) = (binary.serve(), Caller::new(), Self::default());
        for round in 0..number * 10 {
            if round >= number && has_struck(&rounds) {
                break;
            }
            let url = caller.create(&survivor.url, &format!("rounds/{round}")).await;
            let acknowledged = until_killed(&binary, round, &caller.authorization).await;
            rounds.in_flight += u32::from(acknowledged < APPENDS);
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
    let Rounds { repeated, doubled, .. } = Rounds::of(rounds(), database, |rounds| rounds.repeated > 0).await;
    println!("{repeated} appends were stored before and sent again");
    assert!(repeated > 0, "killed between a commit and its answer in no round");
    assert_eq!(doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn control_where_the_producers_state_is_a_second_transaction_appends_are_stored_twice() {
    let database = Postgres::shared().migrated_database().await;
    execute(&database, wrong::PRODUCER_STATE_LATER).await;
    let Rounds { doubled, .. } = Rounds::of(rounds().min(60), database, |rounds| rounds.doubled > 0).await;
    println!("{doubled} appends were stored twice");
    assert!(doubled > 0, "killed between the two transactions in no round");
}

/// How many appends an instance acknowledges that is killed in the middle of one, as fast as this machine appends.
async fn until_killed(binary: &Binary, round: u32, authorization: &str) -> i64 {
    let doomed = binary.serve();
    let url = format!("{}/v1/stream/rounds/{round}", doomed.url);
    let caller = Caller {
        client: Client::http1(),
        authorization: authorization.to_owned(),
    };
    let (sender, mut acknowledged) = watch::channel((0, Duration::ZERO));
    let appending = tokio::spawn(async move {
        for number in 0..APPENDS {
            let start = Instant::now();
            // It fails when the instance dies.
            let Ok(status) = try_append(&caller, &url, number).await else {
                return;
            };
            assert_eq!(status, 200);
            sender.send_replace((number + 1, start.elapsed()));
        }
    });
    // The first append also connects.
    let before = 2 + i64::from(round) % (APPENDS - 2);
    let took = acknowledged.wait_for(|(count, _)| *count >= before).await.unwrap().1;
    std::thread::sleep(took * (round % 10) / 10);
    // Kills it by a system call: a command takes longer than an append.
    drop(doomed);
    appending.await.unwrap();
    acknowledged.borrow().0
}

async fn append(caller: &Caller, url: &str, number: i64) -> u16 {
    try_append(caller, url, number).await.expect("the server answers")
}

async fn try_append(caller: &Caller, url: &str, number: i64) -> Result<u16, String> {
    let seq = number.to_string();
    let answer = caller.try_ask(Method::POST, url, &producer(&seq), &seq).await?;
    Ok(answer.status.as_u16())
}
