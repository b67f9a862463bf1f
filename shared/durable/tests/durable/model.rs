//! Sequences of all operations do the same in Postgres and in the model.

use durable::{Log, Model, within};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use shared::streams::{Append, Create, Error, Expiry, Fork, Form, Position, Producer, ReadFrom, Refusal, delete_ended};
use std::fmt::Debug;
use testing::{Postgres, execute};

const PATHS: [&str; 4] = ["a", "b", "c", "d"];

/// An operation. A point is one of the positions that were returned before, or none if it is too large.
#[derive(Clone, Debug)]
enum Operation {
    Create(Create, Option<usize>),
    Append(Append),
    Head(&'static str),
    Page(&'static str, Option<usize>, usize),
    Delete(&'static str),
    Expire(&'static str),
    Sweep,
}

fn content_type() -> impl Strategy<Value = Option<String>> {
    select(vec![None, Some("text/plain"), Some("text/plain"), Some("text/html")]).prop_map(|it| it.map(str::to_owned))
}

fn data() -> impl Strategy<Value = Option<bytes::Bytes>> {
    prop_oneof![
        Just(None),
        "[a-z]{1,9}".prop_map(|text| Some(text.into())),
        "[a-z]{1,9}".prop_map(|text| Some(text.into()))
    ]
}

fn fork() -> impl Strategy<Value = (Option<Fork>, Option<usize>)> {
    let at = select(vec![None, Some(ReadFrom::Start), Some(ReadFrom::Tail)]);
    let sub = prop_oneof![3 => Just(0_u64), 1 => 1_u64..3];
    let fork = (select(&PATHS[..]), at, sub, "[A-Z]{1,2}").prop_map(|(source, at, sub_offset, prefix)| Fork {
        source: source.to_owned(),
        at,
        sub_offset,
        prefix: (sub_offset > 0).then(|| prefix.into()),
    });
    prop_oneof![
        Just((None, None)),
        (fork, proptest::option::of(0..60_usize)).prop_map(|(fork, point)| (Some(fork), point)),
    ]
}

fn create() -> impl Strategy<Value = Operation> {
    let expiry = select(vec![None, None, Some(Expiry::Ttl(1000)), Some(Expiry::Ttl(2000))]);
    let is_closed = prop_oneof![4 => Just(false), 1 => Just(true)];
    (select(&PATHS[..]), content_type(), expiry, is_closed, data(), fork()).prop_map(
        |(path, content_type, expiry, closed, data, (fork, point))| {
            let create = Create {
                path: path.to_owned(),
                content_type,
                expiry,
                closed,
                data,
                form: Form::Body,
                fork,
            };
            Operation::Create(create, point)
        },
    )
}

fn append() -> impl Strategy<Value = Operation> {
    let producer = (select(vec!["p", "q"]), 0..3_i64, 0..3_i64).prop_map(|(id, epoch, seq)| Producer {
        id: id.to_owned(),
        epoch,
        seq,
    });
    let seq = proptest::option::weighted(0.2, "[a-c]{1,2}");
    let close = prop_oneof![9 => Just(false), 1 => Just(true)];
    (
        select(&PATHS[..]),
        content_type(),
        data(),
        close,
        proptest::option::weighted(0.5, producer),
        seq,
    )
        .prop_map(|(path, content_type, data, close, producer, seq)| {
            Operation::Append(Append {
                path: path.to_owned(),
                content_type,
                close: close || data.is_none(),
                data,
                form: Form::Body,
                producer,
                seq,
            })
        })
}

fn operation() -> impl Strategy<Value = Operation> {
    let path = || select(&PATHS[..]);
    prop_oneof![
        4 => create(),
        8 => append(),
        1 => path().prop_map(Operation::Head),
        6 => (path(), proptest::option::of(0..60_usize), 1..40_usize).prop_map(|(path, from, limit)| Operation::Page(path, from, limit)),
        1 => path().prop_map(Operation::Delete),
        1 => path().prop_map(Operation::Expire),
        1 => Just(Operation::Sweep),
    ]
}

/// What both have done must be equal.
fn same<T: Debug + PartialEq>(real: Result<T, Error>, model: Result<T, Refusal>, operation: &Operation) -> Option<T> {
    let real = real.map_err(|error| match error {
        Error::Refused(refusal) => refusal,
        Error::Database(error) => panic!("{operation:?}: {error}"),
    });
    assert_eq!(real, model, "{operation:?}");
    real.ok()
}

struct Both {
    log: Log,
    model: Model,
    known: Vec<Position>,
}

impl Both {
    async fn run(&mut self, operation: &Operation) {
        let within = &within(20);
        match operation {
            Operation::Create(create, point) => {
                let mut create = create.clone();
                if let (Some(fork), Some(at)) = (&mut create.fork, point.and_then(|index| self.known.get(index))) {
                    fork.at = Some(ReadFrom::At(*at));
                }
                let real = self.log.streams.create(within, create.clone()).await;
                let done = same(real, self.model.create(&create), operation);
                self.known.extend(done.map(|(_, head)| head.tail));
            }
            Operation::Append(append) => {
                let real = self.log.streams.append(within, append.clone()).await;
                let done = same(real, self.model.append(append), operation);
                self.known.extend(done.map(|done| done.tail));
            }
            Operation::Head(path) => {
                same(
                    self.log.streams.head(within, path).await,
                    self.model.head(path),
                    operation,
                );
            }
            Operation::Page(path, from, limit) => {
                let from = from
                    .and_then(|index| self.known.get(index))
                    .map_or(ReadFrom::Start, |at| ReadFrom::At(*at));
                let real = self.log.streams.page(within, path, from, *limit).await;
                same(real, self.model.page(path, from, *limit), operation);
            }
            Operation::Delete(path) => {
                same(
                    self.log.streams.delete(within, path).await,
                    self.model.delete(path),
                    operation,
                );
            }
            Operation::Expire(path) => {
                let expire = format!("UPDATE streams.streams SET expires_at = now() WHERE path = '{path}' AND live");
                execute(&self.log.url, &expire).await;
                let _ = self.model.delete(path);
            }
            Operation::Sweep => {
                let swept = self
                    .log
                    .database
                    .transaction(within, async |transaction| delete_ended(transaction, 3).await);
                swept.await.unwrap();
            }
        }
    }
}

/// Operations run one after the other; incarnations are those of the model because only creations draw numbers.
async fn sequences(count: usize, length: usize) {
    let mut runner = TestRunner::default();
    let url = Postgres::shared().migrated_database().await;
    for _ in 0..count {
        execute(
            &url,
            "TRUNCATE streams.streams, streams.records, streams.producers RESTART IDENTITY",
        )
        .await;
        let mut both = Both {
            log: Log::at(&url, &[]),
            model: Model::default(),
            known: Vec::new(),
        };
        for _ in 0..length {
            let operation = operation().new_tree(&mut runner).unwrap().current();
            both.run(&operation).await;
        }
    }
}

#[tokio::test]
async fn sequences_of_operations_do_what_the_model_does() {
    sequences(20, 60).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn many_more_sequences_do_what_the_model_does() {
    sequences(60, 200).await;
}
