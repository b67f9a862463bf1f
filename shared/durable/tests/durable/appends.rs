//! What an append is refused for, and in which order.

use durable::{Log, append, create, within};
use shared::streams::{Append, Appended, Create, Created, Error, Form, Position, Producer, ReadFrom, Refusal, Stored};
use testing::{Postgres, execute, scalar};

async fn log() -> Log {
    let url = Postgres::shared().migrated_database().await;
    Log::at(&url, &[])
}

fn by(producer: &str, epoch: i64, seq: i64, append: Append) -> Append {
    Append {
        producer: Some(Producer {
            id: producer.to_owned(),
            epoch,
            seq,
        }),
        ..append
    }
}

fn close(path: &str) -> Append {
    Append {
        path: path.to_owned(),
        close: true,
        ..Append::default()
    }
}

fn refused<T: std::fmt::Debug>(done: Result<T, Error>) -> Refusal {
    match done {
        Err(Error::Refused(refusal)) => refusal,
        done => panic!("{done:?}"),
    }
}

async fn stored(log: &Log, append: Append) -> Appended {
    log.streams.append(&within(10), append).await.unwrap()
}

#[tokio::test]
async fn records_come_back_in_order_and_each_position_is_one_that_a_read_begins_at() {
    let log = log().await;
    let (created, head) = log.streams.create(&within(10), create("a")).await.unwrap();
    assert_eq!((created, head.tail.end, head.closed), (Created::New, 0, false));
    for text in ["one", "two", "three"] {
        stored(&log, append("a", text)).await;
    }
    let page = log.page("a", ReadFrom::Start, 1 << 20).await;
    let texts: Vec<&[u8]> = page.records.iter().map(|record| &record.data[..]).collect();
    assert_eq!(texts, [&b"one"[..], b"two", b"three"]);
    assert!(page.is_up_to_date());
    for (index, record) in page.records.iter().enumerate() {
        let rest = log.page("a", ReadFrom::At(record.position), 1 << 20).await;
        assert_eq!(rest.records, page.records[index + 1..]);
    }
    let small = log.page("a", ReadFrom::Start, 1).await;
    assert_eq!((small.records.len(), small.is_up_to_date()), (1, false));
    assert_eq!(log.read_all("a", 1).await, b"onetwothree");
    assert!(log.page("a", ReadFrom::Tail, 1).await.records.is_empty());
}

#[tokio::test]
async fn a_position_that_is_none_of_the_stream_is_refused() {
    let log = log().await;
    log.streams.create(&within(10), create("a")).await.unwrap();
    let end = stored(&log, append("a", "word")).await.tail;
    let within = &within(10);
    let from = |incarnation, end| {
        let from = ReadFrom::At(Position { incarnation, end });
        log.streams.page(within, "a", from, 10)
    };
    assert_eq!(refused(from(end.incarnation, 2).await), Refusal::Beyond);
    assert_eq!(refused(from(end.incarnation, 5).await), Refusal::Beyond);
    assert_eq!(refused(from(end.incarnation + 1, 4).await), Refusal::Beyond);
    log.streams.delete(within, "a").await.unwrap();
    assert_eq!(refused(from(end.incarnation, 4).await), Refusal::NotFound);
    log.streams.create(within, create("a")).await.unwrap();
    assert_eq!(refused(from(end.incarnation, 4).await), Refusal::Gone);
}

#[tokio::test]
async fn an_append_is_refused_for_the_first_of_its_reasons() {
    let log = log().await;
    let refusal = async |append| refused(log.streams.append(&within(10), append).await);
    assert_eq!(refusal(append("a", "x")).await, Refusal::NotFound);
    log.streams.create(&within(10), create("a")).await.unwrap();
    let html = Append {
        content_type: Some("text/html".to_owned()),
        ..append("a", "x")
    };
    assert_eq!(refusal(html.clone()).await, Refusal::ContentType);
    assert_eq!(refusal(by("p", 0, 1, html.clone())).await, Refusal::ContentType);
    assert_eq!(
        refusal(by("p", 0, 1, append("a", "x"))).await,
        Refusal::Gap { expected: 0 }
    );
    stored(&log, by("p", 3, 0, append("a", "x"))).await;
    assert_eq!(
        refusal(by("p", 2, 0, append("a", "x"))).await,
        Refusal::StaleEpoch { epoch: 3 }
    );
    assert_eq!(refusal(by("p", 4, 1, append("a", "x"))).await, Refusal::EpochStart);
    assert_eq!(
        refusal(by("p", 3, 2, append("a", "x"))).await,
        Refusal::Gap { expected: 1 }
    );
    let repeated = stored(&log, by("p", 3, 0, html.clone())).await;
    assert_eq!((repeated.stored, repeated.producer), (Stored::Repeated, Some((3, 0))));
    let seq = |seq: &str| Append {
        seq: Some(seq.to_owned()),
        ..append("a", "x")
    };
    stored(&log, seq("b")).await;
    assert_eq!(refusal(seq("b")).await, Refusal::StreamSeq);
    assert_eq!(refusal(seq("B")).await, Refusal::StreamSeq);
    let tail = stored(&log, seq("b1")).await.tail;
    assert!(stored(&log, by("p", 3, 1, close("a"))).await.closed);
    assert_eq!(refusal(html.clone()).await, Refusal::Closed { tail });
    assert_eq!(refusal(by("q", 0, 0, close("a"))).await, Refusal::Closed { tail });
    assert_eq!(stored(&log, by("p", 3, 1, close("a"))).await.stored, Stored::Repeated);
    assert_eq!(stored(&log, close("a")).await.tail, tail);
}

#[tokio::test]
async fn an_append_in_a_transaction_is_there_exactly_if_the_transaction_is() {
    let log = log().await;
    execute(&log.url, "CREATE TABLE business (id int)").await;
    log.streams.create(&within(10), create("a")).await.unwrap();
    for commits in [false, true] {
        let streams = log.streams.clone();
        let within = within(10);
        let done = log.database.transaction(&within, async move |transaction| {
            sqlx::query("INSERT INTO business VALUES (1)")
                .execute(&mut *transaction)
                .await?;
            streams.append_in(transaction, append("a", "event"), true).await?;
            if commits {
                Ok(())
            } else {
                Err(Error::Refused(Refusal::Differs))
            }
        });
        assert_eq!(done.await.is_ok(), commits);
        let rows = scalar(&log.url, "SELECT count(*) FROM business").await;
        assert_eq!(rows, i64::from(commits));
        assert_eq!(log.read_all("a", 100).await.len(), if commits { 5 } else { 0 });
    }
}

#[tokio::test]
async fn appends_of_many_streams_at_once_have_a_fate_each() {
    let log = log().await;
    for stream in 0..10 {
        log.streams
            .create(&within(10), create(&format!("s/{stream}")))
            .await
            .unwrap();
    }
    let (within, log) = (&within(30), &log);
    let appends = (0..200).map(|number| async move {
        let path = format!("s/{}", number % 11);
        log.streams
            .append(within, append(&path, format!("{number},")))
            .await
            .is_ok()
    });
    let done = futures_util::future::join_all(appends).await;
    for (number, done) in done.into_iter().enumerate() {
        assert_eq!(done, number % 11 != 10, "{number}");
    }
    for stream in 0..10 {
        let text = log.read_all(&format!("s/{stream}"), 7).await;
        let text = String::from_utf8(text).unwrap();
        let numbers: Vec<usize> = text
            .split_terminator(',')
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(
            numbers,
            (0..200).filter(|number| number % 11 == stream).collect::<Vec<_>>()
        );
    }
}

/// Functions append what they have, and not all of them check it.
#[tokio::test]
async fn a_body_becomes_the_record_of_its_stream_or_is_refused() {
    let log = log().await;
    let within = &within(10);
    let json = |path: &str, data: &'static str| Create {
        content_type: Some("application/json".to_owned()),
        data: Some(data.into()),
        form: Form::Body,
        ..create(path)
    };
    let body = move |data: &'static str| Append {
        content_type: None,
        form: Form::Body,
        ..append("j", data)
    };
    for wrong in ["", "/a", "a/../b"] {
        let error = log.streams.create(within, json(wrong, "1")).await.unwrap_err();
        assert!(format!("{error:?}").contains("stream_path"), "{error:?}");
    }
    assert!(log.streams.create(within, json("j", "1][2")).await.is_err());
    log.streams.create(within, json("j", "[ ]")).await.unwrap();
    log.streams.create(within, json("k", "[1, [2]]")).await.unwrap();
    assert_eq!(log.read_all("k", 100).await, b"1,[2]");
    let (good, wrong) = tokio::join!(
        log.streams.append(within, body("[1, 2]")),
        log.streams.append(within, body("not json")),
    );
    assert!(good.is_ok());
    assert!(matches!(wrong, Err(Error::Database(_))));
    assert_eq!(refused(log.streams.append(within, body("[]")).await), Refusal::Empty);
    let streams = log.streams.clone();
    let in_transaction = log.database.transaction(within, async move |transaction| {
        streams.append_in(transaction, body("[3, {}]"), true).await
    });
    in_transaction.await.unwrap();
    assert_eq!(log.read_all("j", 100).await, b"1,23,{}");
}
