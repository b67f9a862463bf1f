//! The connection is cut when the answer to an append begins: the client cannot know that it is stored, and repeats it.

use crate::{Caller, cutter::Cutter, producer, streams};
use hyper::Method;

const APPENDS: usize = 20;

/// Appends numbers through a proxy that cuts each connection before its answer, and then once more to the server itself.
async fn appended_twice(is_producer: bool) -> Vec<i64> {
    let server = streams().await.serve();
    let caller = Caller::new();
    let url = caller.create(&server.url, "a").await;
    let cutter = Cutter::before_answers(server.port()).await;
    for number in 0..APPENDS {
        let seq = number.to_string();
        let producer = producer(&seq);
        let headers = if is_producer { &producer[..] } else { &producer[..1] };
        cutter.post("/v1/stream/a", headers, &caller.authorization, &seq).await;
        let repeated = caller.ask(Method::POST, &url, headers, &seq).await;
        assert_eq!(repeated.status, 204, "{repeated:?}");
    }
    assert_eq!(cutter.cuts(), APPENDS, "the answers that were to be lost");
    caller.messages(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_lost_is_stored_once_when_it_is_repeated() {
    assert_eq!(appended_twice(true).await, Vec::from_iter(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn control_without_producer_headers_it_is_stored_twice() {
    let twice: Vec<i64> = (0..20).flat_map(|number| [number, number]).collect();
    assert_eq!(appended_twice(false).await, twice);
}
