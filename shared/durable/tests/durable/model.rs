//! Sequences of all operations do the same in Postgres and in the model.

mod operation;

use bytes::Bytes;
use durable::{Log, Model, within};
use operation::{JSON, Operation, PATHS, operation};
use proptest::{prelude::Strategy, strategy::ValueTree, test_runner::TestRunner};
use shared::{
    config::Env,
    database::Transaction,
    streams::{Created, Error, Expiry, Fork, Page, Position, ReadFrom, Record, Refusal, Retention, delete_ended},
};
use std::{
    collections::BTreeSet,
    fmt::Debug,
    time::{Duration, SystemTime},
};
use testing::{Postgres, execute};

/// What must have come of operations, each at least once.
const OUTCOMES: [(&str, &str); 3] = [
    (
        "Create",
        "New Existing Differs Deleted SourceNotFound SourceDeleted ContentType Beyond Gone",
    ),
    (
        "Append",
        "New Repeated NotFound Deleted Closed ContentType StaleEpoch EpochStart Gap StreamSeq Empty",
    ),
    ("Page", "NotFound Deleted Gone Beyond"),
];
/// What must have come up that no outcome names.
const EVENTS: [&str; 11] = [
    "a page of several records of JSON",
    "a fork that begins with messages",
    "a fork that begins with bytes",
    "a fork that ends when its source does",
    "a stream that lives because an append has renewed it",
    "a stream that lives because a read has renewed it",
    "a time to live that is over",
    "a time that has come",
    "old records that are deleted",
    "old records that forks keep",
    "a position before the records that are kept",
];

struct Both {
    log: Log,
    model: Model,
    known: Vec<(String, Position)>,
    /// The beginning, which was the earlier the more time has passed.
    begin: SystemTime,
    seen: BTreeSet<String>,
}

impl Both {
    fn new(url: &str) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self {
            log: Log::at(url, &[]),
            model: Model::default(),
            known: Vec::new(),
            // Postgres knows no nanoseconds.
            begin: SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs()),
            seen: BTreeSet::new(),
        }
    }

    async fn run(&mut self, operation: &Operation) {
        let within = &within(20);
        match operation {
            Operation::Create(create, point) => {
                let mut create = create.clone();
                if let Some(Expiry::At(at)) = &mut create.expiry {
                    *at = self.begin + at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                }
                if let Some(fork) = &mut create.fork {
                    let at = point.and_then(|point| self.known_at(&fork.source, point));
                    fork.at = at.map(ReadFrom::At).or(fork.at);
                    self.cut(fork).await;
                }
                let real = self.log.streams.create(within, create.clone()).await;
                let model = self.model.create(&create);
                let done = self.same(real, model, operation, |(created, _)| word(created));
                if let Some((created, head)) = done {
                    self.known.push((create.path, head.tail));
                    let inherits = create.fork.is_some() && create.expiry.is_none();
                    if created == Created::New && inherits && matches!(head.expiry, Expiry::At(_)) {
                        self.seen.insert("a fork that ends when its source does".to_owned());
                    }
                    if created == Created::New && create.fork.is_some_and(|fork| fork.sub_offset > 0) {
                        let unit = if head.content_type == JSON { "messages" } else { "bytes" };
                        self.seen.insert(format!("a fork that begins with {unit}"));
                    }
                }
            }
            Operation::Append(append) => {
                let real = self.log.streams.append(within, append.clone()).await;
                let model = self.model.append(append);
                let done = self.same(real, model, operation, |done| word(&done.stored));
                self.known.extend(done.map(|done| (append.path.clone(), done.tail)));
            }
            Operation::Head(path) => {
                let real = self.log.streams.head(within, path).await;
                self.same(real, self.model.head(path), operation, word);
            }
            Operation::Page(path, from, limit) => {
                let from = from.and_then(|point| self.known_at(path, point));
                self.page(path, from.map_or(ReadFrom::Start, ReadFrom::At), *limit)
                    .await;
            }
            Operation::Delete(path) => {
                let real = self.log.streams.delete(within, path).await;
                let model = self.model.delete(path);
                self.same(real, model, operation, word);
            }
            Operation::Pass(time) => {
                let seconds = time.as_secs();
                let pass = format!("UPDATE streams.streams SET expires_at = expires_at - interval '{seconds} s'");
                execute(&self.log.url, &pass).await;
                self.model.pass(*time);
                self.begin -= *time;
            }
            Operation::Retain(path, bytes) => {
                self.retain(path, *bytes).await;
                self.model.retain(path, (*bytes).into());
            }
            Operation::Sweep => {
                let sweep = async || {
                    let database = &self.log.database;
                    let swept = database.transaction(within, async |transaction| delete_ended(transaction, 3).await);
                    swept.await.unwrap()
                };
                while sweep().await > 0 {}
                self.model.sweep();
            }
        }
    }

    /// One of the last positions that were returned at a path, or at any one for a fifth of the points.
    fn known_at(&self, path: &str, point: usize) -> Option<Position> {
        let known = self
            .known
            .iter()
            .filter(|(of, _)| of == path || point.is_multiple_of(5));
        let known: Vec<Position> = known.map(|(_, position)| *position).collect();
        known.into_iter().rev().nth(point / 5)
    }

    /// What both have done must be equal.
    fn same<T: Debug + PartialEq>(
        &mut self,
        real: Result<T, Error>,
        model: Result<T, Refusal>,
        operation: &Operation,
        name: impl Fn(&T) -> String,
    ) -> Option<T> {
        let real = real.map_err(|error| match error {
            Error::Refused(refusal) => refusal,
            Error::Database(error) => panic!("{operation:?}: {error}"),
        });
        assert_eq!(real, model, "{operation:?}");
        let outcome = real.as_ref().map_or_else(word, name);
        self.seen.insert(format!("{} {outcome}", word(operation)));
        real.ok()
    }

    async fn page(&mut self, path: &'static str, from: ReadFrom, limit: usize) -> Option<Page> {
        let real = self.log.streams.page(&within(20), path, from, limit).await;
        let model = self.model.page(path, from, limit);
        let is_gone = matches!(model, Err(Refusal::Gone));
        if let (true, ReadFrom::At(at), Ok(head)) = (is_gone, from, self.model.head(path))
            && at.incarnation == head.incarnation
        {
            self.seen
                .insert("a position before the records that are kept".to_owned());
        }
        let page = self.same(real, model, &Operation::Page(path, None, limit), word)?;
        if page.head.content_type == JSON && page.records.len() > 1 {
            self.seen.insert("a page of several records of JSON".to_owned());
        }
        Some(page)
    }

    /// Reads what the sub-offset names, as the function of streams does.
    async fn cut(&mut self, fork: &mut Fork) {
        let path = PATHS.into_iter().find(|path| *path == fork.source).unwrap();
        if fork.sub_offset == 0 {
            return;
        }
        let Some(page) = self.page(path, fork.at.unwrap_or(ReadFrom::Tail), 1).await else {
            return;
        };
        if let Some(Record { data, .. }) = page.records.first() {
            let count = usize::try_from(fork.sub_offset).unwrap();
            fork.prefix = if page.head.content_type == JSON {
                self.first_messages(data, count).await
            } else {
                data.get(..count).map(Bytes::copy_from_slice)
            };
            fork.at = Some(ReadFrom::At(page.begin));
        }
    }

    /// The first messages of a record, as Postgres reads them.
    async fn first_messages(&self, record: &[u8], count: usize) -> Option<Bytes> {
        let messages = "SELECT value::text FROM json_array_elements(('[' || convert_from($1, 'UTF8') || ']')::json)";
        let messages = sqlx::query_scalar::<_, String>(messages).bind(record);
        let messages = messages.fetch_all(&self.log.database.connection(&within(20))).await;
        Some(messages.unwrap().get(..count)?.join(",").into())
    }

    /// Deletes old records, as the job does, two in a transaction.
    async fn retain(&self, path: &str, bytes: u16) {
        let rule = format!("{path}={bytes}B");
        let rules = Retention::from_env(&Env::new(move |key| (key == "STREAM_RETENTION").then(|| rule.clone())));
        let (within, mut after) = (within(20), Some(0));
        while let Some(stream) = after {
            let rule = rules[0].clone();
            let delete = async move |transaction: &mut Transaction| rule.delete_old(transaction, stream, 2).await;
            (_, after) = self.log.database.transaction(&within, delete).await.unwrap();
        }
    }
}

/// The name of a variant.
fn word(value: &impl Debug) -> String {
    let value = format!("{value:?}");
    let end = value.find(|c: char| !c.is_alphanumeric());
    value[..end.unwrap_or(value.len())].to_owned()
}

/// Operations run one after the other; incarnations are those of the model because only creations draw numbers. There are so many
/// sequences, and more of them until everything has come up.
async fn sequences(count: usize, length: usize) {
    let mut runner = TestRunner::default();
    let url = Postgres::shared().migrated_database().await;
    let outcomes = OUTCOMES.into_iter().flat_map(|(operation, outcomes)| {
        let outcomes = outcomes.split(' ');
        outcomes.map(move |outcome| format!("{operation} {outcome}"))
    });
    let mut missing: BTreeSet<String> = outcomes.chain(EVENTS.map(str::to_owned)).collect();
    for number in 0..count + 200 {
        if number >= count && missing.is_empty() {
            break;
        }
        execute(
            &url,
            "TRUNCATE streams.streams, streams.records, streams.producers RESTART IDENTITY",
        )
        .await;
        let mut both = Both::new(&url);
        for _ in 0..length {
            let operation = operation().new_tree(&mut runner).unwrap().current();
            both.run(&operation).await;
        }
        missing.retain(|it| !both.seen.contains(it) && !both.model.seen.contains(&**it));
    }
    assert_eq!(missing, BTreeSet::new(), "never came up");
}

#[tokio::test]
async fn sequences_of_operations_do_what_the_model_does() {
    sequences(5, 240).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn many_more_sequences_do_what_the_model_does() {
    sequences(50, 240).await;
}
