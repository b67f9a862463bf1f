use super::*;
use crate::config::Env;

type Outcome = oneshot::Receiver<Result<Appended, Error>>;

/// Without a database, so that each append fails.
fn gather() -> Arc<Gather> {
    let env = Env::new(|_| None);
    let database = Database::from_env(&env);
    Gather::new(database.clone(), Hub::new(&env, database), 1)
}

fn push(gather: &Gather, path: &str) -> (bool, Outcome) {
    let (done, outcome) = oneshot::channel();
    let append = Append {
        path: path.to_owned(),
        ..Append::default()
    };
    let starts_lane = gather.push(Waiting {
        append,
        turn: Turn::Together,
        end: Instant::now() + TIMEOUT,
        done,
    });
    (starts_lane, outcome)
}

#[tokio::test]
async fn an_append_to_a_busy_stream_starts_no_lane() {
    let gather = gather();
    let lane = Lane(Arc::clone(&gather));
    let (starts_lane, _first) = push(&gather, "a");
    let taken = lane.take().expect("it waits");
    assert!(starts_lane && taken.waiting.len() == 1);
    let [(for_same, _same), (for_other, _other)] = ["a", "b"].map(|path| push(&gather, path));
    assert!(!for_same, "that of the statement takes it next");
    assert!(for_other);
}

#[tokio::test]
async fn what_waits_behind_a_statement_that_panics_goes_in_its_lane() {
    let gather = gather();
    let lanes = gather.state().lanes;
    let (_, _first) = push(&gather, "a");
    let taken = Lane(Arc::clone(&gather)).take().expect("it waits");
    let running = Running::new(&gather, &taken);
    let (_, second) = push(&gather, "a");
    let statement = tokio::spawn(async move {
        let _running = running;
        panic!("of a statement");
    });
    assert!(statement.await.unwrap_err().is_panic());
    let second = timeout_at(Instant::now() + Duration::from_secs(5), second).await;
    let second = second.expect("it has its turn").expect("it is answered");
    assert!(matches!(second, Err(Error::Database(_))));
    assert_eq!(gather.state().lanes, lanes);
}
