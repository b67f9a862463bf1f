//! The same request many times at once, over two processes.

use crate::shop::{Shop, at, begin, is_replayed, pay, pay_until_answered, post, slug};
use futures_util::future::join_all;
use serde_json::json;
use testing::{Exchange, Process};

const CLIENTS: usize = 20;

/// Twenty clients pay at once, half of them at each server. One is served, and all others are refused or get its answer.
pub async fn twenty_clients_pay_once(shop: &Shop, servers: [&Process; 2]) {
    let payment = json!({"amount": 5, "within_ms": 200});
    let at_once = (0..CLIENTS).map(|client| pay(&servers[client % 2].url, "k", &payment));
    let answers = join_all(at_once).await;
    let (refused, answered): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 409);
    assert_eq!(answered.iter().filter(|answer| !is_replayed(answer)).count(), 1);
    assert!(!refused.is_empty(), "nobody came while the first was being worked on");
    for answer in refused {
        assert_eq!(slug(answer), "request-in-progress");
        assert_eq!(answer.headers["retry-after"], "1");
    }
    let later = (0..CLIENTS).map(|client| pay(&servers[client % 2].url, "k", &payment));
    for answer in join_all(later).await {
        assert!(answer.status == 201 && is_replayed(&answer), "{}", answer.transcript());
        assert_eq!(answer.json(), json!({"id": answered[0].json()["id"]}));
    }
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}

#[tokio::test]
async fn twenty_equal_requests_over_two_processes_have_one_effect() {
    let shop = Shop::new().await;
    twenty_clients_pay_once(&shop, [&shop.binary().serve(), &shop.binary().serve()]).await;
}

/// Where every transaction sees the database as it was when it began, the one that comes second repeats.
#[tokio::test]
async fn isolation_by_default_makes_no_difference() {
    let shop = Shop::new().await;
    for level in ["repeatable read", "serializable"] {
        let database = testing::database_of(&shop.url).to_owned();
        let set = format!(
            "ALTER DATABASE {database} SET default_transaction_isolation = '{level}'; TRUNCATE payments, idempotency_keys"
        );
        testing::execute(&shop.url, &set).await;
        twenty_clients_pay_once(&shop, [&shop.binary().serve(), &shop.binary().serve()]).await;
    }
}

/// Whoever waits in the server for another's transaction occupies a session for as long.
#[tokio::test]
async fn requests_that_are_refused_hold_no_session_and_other_keys_are_free() {
    let shop = Shop::new().await;
    let server = shop.binary().with("DATABASE_MAX_CONNECTIONS", "2").serve();
    let slow = json!({"amount": 1, "within_ms": 60_000});
    let _first = begin(&server.url, "/payments/7", "slow", &slow).await;
    shop.until_working(1).await;
    let refused = join_all((0..CLIENTS).map(|_| pay(&server.url, "slow", &slow))).await;
    assert!(refused.iter().all(|answer| answer.status == 409));
    assert_eq!(pay(&server.url, "other", &json!({"amount": 1})).await.status, 201);
}

/// The control: the keys that a process remembers are not those of the other.
#[tokio::test]
async fn keys_in_memory_take_a_payment_in_each_process() {
    let shop = Shop::new().await;
    let servers = [shop.binary().serve(), shop.binary().serve()];
    let pay = |server: &Process| {
        let url = format!("{}/wrong/memory", server.url);
        async move { post(&url, "k", &json!({"amount": 5})).await }
    };
    let answers: Vec<Exchange> = join_all([pay(&servers[0]), pay(&servers[0]), pay(&servers[1])]).await;
    assert!(answers.iter().all(|answer| answer.status.is_success()));
    assert_eq!(shop.payments().await, 2, "one is taken twice");
}

#[tokio::test]
async fn a_deadlock_inside_of_the_work_costs_a_repetition() {
    let shop = Shop::new().await;
    let deadlock = "CREATE SEQUENCE attempts;
        CREATE FUNCTION refuse_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('attempts') = 1 THEN RAISE EXCEPTION 'first' USING ERRCODE = '40P01'; END IF;
            RETURN NEW; END $$;
        CREATE TRIGGER refuse_once BEFORE INSERT ON payments FOR EACH ROW EXECUTE FUNCTION refuse_once()";
    testing::execute(&shop.url, deadlock).await;
    let server = at(&shop.url).serve();
    let answer = pay_until_answered(&server.url, "k", &json!({"amount": 1})).await;
    assert!(answer.status == 201 && !is_replayed(&answer));
    assert_eq!(testing::scalar(&shop.url, "SELECT nextval('attempts')").await, 3);
    assert_eq!((shop.payments().await, shop.stored().await), (1, 1));
}
