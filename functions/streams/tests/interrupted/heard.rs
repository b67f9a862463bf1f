//! What the doorbell is worth while it works, and that it is no longer believed once it is silent.

use crate::{Caller, reader::Reader, streams_in, writer::Writer};
use std::time::{Duration, Instant};
use testing::{Postgres, Process, Proxy};
use tokio::time::sleep;

/// Less than the time between two polls when nothing is found, and enough for a busy machine.
const SOON: Duration = Duration::from_millis(300);
/// Long enough for polls to become rare.
const PAUSE: Duration = Duration::from_millis(1700);

/// A stream that one instance appends to.
struct Written {
    writer: Writer,
    appended_at: Vec<Instant>,
}

impl Written {
    async fn by(server: &Process) -> Self {
        Caller::new().create(&server.url, "a").await;
        let (writer, appended_at) = (Writer::new(&[server], "a", "p"), Vec::new());
        Self { writer, appended_at }
    }

    async fn append(&mut self, count: usize, pause: Duration) {
        for _ in 0..count {
            sleep(pause).await;
            let message = i64::try_from(self.appended_at.len()).unwrap();
            self.writer.append(message).await;
            self.appended_at.push(Instant::now());
        }
    }

    /// How late each append came to a reader from the start, the shortest time first, without the first `skipped`.
    async fn late(&self, reader: &Reader, skipped: usize) -> Vec<Duration> {
        let seen = reader.until(|seen| seen.read.len() == self.appended_at.len()).await;
        let late = seen.read.iter().zip(&self.appended_at).skip(skipped);
        let mut late: Vec<Duration> = late
            .map(|((_, read_at), at)| read_at.saturating_duration_since(*at))
            .collect();
        late.sort();
        late
    }
}

/// Readers of the instance that appends need no doorbell. The control is an instance that hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn readers_do_not_wait_for_the_poll_where_their_instance_appends_or_hears_of_it() {
    let binary = streams_in(Postgres::shared().migrated_database().await);
    let deaf = binary
        .clone()
        .with("DATABASE_DIRECT_URL", Postgres::shared().empty_database().await);
    let [writing, hearing, deaf] = [deaf.serve(), binary.serve(), deaf.serve()];
    let mut written = Written::by(&writing).await;
    let readers = [&writing, &hearing, &deaf].map(|server| Reader::start(&[server], "a"));
    written.append(9, PAUSE).await;
    let [at_home, heard, unheard] = readers.each_ref().map(|reader| written.late(reader, 0));
    let (at_home, heard, unheard) = tokio::join!(at_home, heard, unheard);
    assert!(at_home[4] < SOON, "{at_home:?}");
    assert!(heard[4] < SOON, "{heard:?}");
    assert!(unheard[8] > SOON, "{unheard:?}");
}

/// The connection stays open and carries nothing any more, as where a firewall has forgotten it.
#[tokio::test(flavor = "multi_thread")]
async fn a_doorbell_that_has_fallen_silent_is_probed_and_replaced() {
    let postgres = Postgres::shared();
    let database = postgres.migrated_database().await;
    let proxy = Proxy::start(postgres.port()).await;
    let binary = streams_in(database.clone());
    let (writing, hearing) = (
        binary.serve(),
        binary.with("DATABASE_DIRECT_URL", proxy.url(&database).await).serve(),
    );
    let mut written = Written::by(&writing).await;
    let reader = Reader::start(&[&hearing], "a");
    written.append(5, PAUSE).await;
    let heard = written.late(&reader, 0).await;
    assert!(heard[2] < SOON, "{heard:?}");
    proxy.forget();
    written.append(5, PAUSE).await;
    let unheard = written.late(&reader, 5).await;
    assert!(unheard[4] > SOON, "{unheard:?} is no silence");
    // The silence that is believed, the probe that does not come back, and a new connection.
    sleep(Duration::from_secs(35)).await;
    written.append(9, PAUSE).await;
    let heard = written.late(&reader, 10).await;
    assert!(heard[4] < SOON, "{heard:?}");
}
