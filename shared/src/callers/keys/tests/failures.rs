//! An issuer that is down or hangs, and a process that was frozen.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_leaves_time_for_the_answer() {
    for (millis, expected) in [(10, 0), (100, 80), (1000, 950), (4000, 3800), (60_000, 5000)] {
        let first_fetch = Issuer::with(&[1]);
        let search = Issuer::with(&[1]);
        assert_eq!(ask(&search.1, &token(1)).await, "ok");
        for (issuer, keys) in [first_fetch, search] {
            *issuer.takes.lock().unwrap() = 3600 * SECOND;
            let start = Instant::now();
            let deadline = Deadline::default().earlier(start + Duration::from_millis(millis));
            assert_eq!(ask_within(&keys, &token(2), &deadline).await, "unavailable");
            assert_eq!(start.elapsed().as_millis(), expected, "{millis}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_at_the_start_is_unavailable_and_left_alone_for_a_while() {
    let (issuer, keys) = Issuer::with(&[1]);
    issuer.set_down(true);
    for _ in 0..100 {
        assert_eq!(ask(&keys, &token(1)).await, "unavailable");
    }
    assert_eq!(issuer.fetches(), 1);
    let minutes = 10;
    for _ in 0..minutes * 60 {
        assert_eq!(ask(&keys, &token(1)).await, "unavailable");
        advance(SECOND).await;
    }
    assert!((10..=15).contains(&issuer.fetches()), "{}", issuer.fetches());
    issuer.set_down(false);
    advance(BACKOFF[1]).await;
    assert_eq!(ask(&keys, &token(1)).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn old_keys_are_used_for_a_day_while_the_issuer_is_down() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    issuer.set_down(true);
    for _ in 0..24 * 4 {
        advance(AGE).await;
        assert_eq!(ask(&keys, &token(1)).await, "ok");
    }
    advance(AGE).await;
    assert_eq!(ask(&keys, &token(1)).await, "unavailable");
    issuer.set_down(false);
    advance(BACKOFF[1]).await;
    assert_eq!(ask(&keys, &token(1)).await, "ok");
}

/// The control: a failure that leaves no keys.
#[tokio::test(start_paused = true)]
async fn keys_that_a_failure_drops_would_refuse_everybody() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    issuer.set_down(true);
    keys.flight.get(|_| false, |_| keys.fetched(None, false)).await;
    assert_eq!(ask(&keys, &token(1)).await, "unavailable");
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_costs_half_a_second_once_where_keys_are_at_hand() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    *issuer.takes.lock().unwrap() = 3600 * SECOND;
    advance(AGE).await;
    let start = Instant::now();
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    assert_eq!(start.elapsed().as_millis(), 500);
    advance(FETCH_TIMEOUT).await;
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(&keys, &token(1)).await, "ok");
        advance(SECOND).await;
    }
    assert!(start.elapsed() < 101 * SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_first_fetch_that_hangs_ends_at_the_deadline_of_the_request_and_is_no_verdict() {
    let (issuer, keys) = Issuer::with(&[1]);
    *issuer.takes.lock().unwrap() = 2 * SECOND;
    let start = Instant::now();
    let deadline = Deadline::default().earlier(start + SECOND);
    assert_eq!(ask_within(&keys, &token(1), &deadline).await, "unavailable");
    assert_eq!(start.elapsed().as_millis(), 950, "the answer has time to arrive");
    assert_eq!(ask(&keys, &token(1)).await, "ok", "the fetch went on for the others");
    assert_eq!((start.elapsed(), issuer.fetches()), (2 * SECOND, 1));
    let (issuer, keys) = Issuer::with(&[1]);
    *issuer.takes.lock().unwrap() = 3600 * SECOND;
    let start = Instant::now();
    assert_eq!(ask(&keys, &token(1)).await, "unavailable");
    assert_eq!(start.elapsed(), FETCH_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_missing_while_the_issuer_is_down_may_be_a_new_one() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    issuer.set_down(true);
    issuer.published.lock().unwrap().push(2);
    for _ in 0..100 {
        assert_eq!(ask(&keys, &token(2)).await, "unavailable");
        assert_eq!(ask(&keys, &token(1)).await, "ok");
    }
    assert_eq!(issuer.fetches(), 2);
    issuer.set_down(false);
    advance(SEARCH_INTERVAL).await;
    assert_eq!(ask(&keys, &token(2)).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn after_an_hour_in_the_freezer_the_first_request_works() {
    let (issuer, keys) = Issuer::with(&[1]);
    assert_eq!(ask(&keys, &token(1)).await, "ok");
    advance(3600 * SECOND).await;
    assert_eq!((ask(&keys, &token(1)).await, issuer.fetches()), ("ok", 2));
    // Frozen within the first fetch, whose request has gone.
    let (issuer, keys) = Issuer::with(&[1]);
    *issuer.takes.lock().unwrap() = 7200 * SECOND;
    let deadline = Deadline::default().earlier(Instant::now() + SECOND);
    assert_eq!(ask_within(&keys, &token(1), &deadline).await, "unavailable");
    *issuer.takes.lock().unwrap() = SECOND / 10;
    advance(3600 * SECOND).await;
    assert_eq!((ask(&keys, &token(1)).await, issuer.fetches()), ("ok", 2));
}
