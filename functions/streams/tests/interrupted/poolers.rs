//! A pooler that is started again under load.

use crate::{Caller, reader::Reader, streams_in, writer::Writer};
use std::time::Duration;
use testing::{PgBouncer, Postgres};
use tokio::{task::JoinSet, time::sleep};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn a_pooler_that_starts_again_loses_and_doubles_nothing() {
    let direct = Postgres::shared().migrated_database().await;
    let settings = ["pool_mode = transaction", "default_pool_size = 4"];
    let mut pooler = PgBouncer::start(Postgres::shared(), &settings);
    let binary = streams_in(pooler.url(&direct));
    let servers = [
        binary.serve(),
        binary.clone().with("DATABASE_DIRECT_URL", &direct).serve(),
    ];
    let caller = Caller::new();
    let url = caller.create(&servers[0].url, "a").await;
    let readers = servers.each_ref().map(|server| Reader::start(&[server], "a"));
    let mut writing = JoinSet::new();
    for number in 0..4 {
        let mut writer = Writer::new(&servers.each_ref(), "a", &number.to_string());
        writing.spawn(async move {
            for append in 0..150 {
                writer.append(number * 1000 + append).await;
                sleep(Duration::from_millis(10)).await;
            }
            writer
        });
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(500)).await;
        pooler.restart();
    }
    let writers = writing.join_all().await;
    assert!(
        writers.iter().any(|writer| writer.answers.contains_key(&503)),
        "appends were in flight"
    );
    assert!(writers.iter().all(|writer| writer.slowest < Duration::from_secs(6)));
    writers[0].close().await;
    let stored = caller.messages(&url).await;
    for number in 0..4 {
        let of_this = stored.iter().copied().filter(|message| message / 1000 == number);
        assert_eq!(
            of_this.collect::<Vec<_>>(),
            Vec::from_iter(number * 1000..number * 1000 + 150)
        );
    }
    for reader in readers {
        let seen = reader.end().await;
        assert_eq!(seen.messages(), stored);
        assert_eq!(seen.connections, 1, "the event stream stays open");
    }
}
