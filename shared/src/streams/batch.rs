//! Appends as the database takes them: many in one statement and one commit.

use super::{
    Append, Appended, Error, Form, Position, Refusal, Stored,
    facts::{refusal, there},
};
use sqlx::PgExecutor;

/// What became of an append; `None` if its stream does not exist, or is locked and the database does not wait.
pub(super) type Outcome = Option<Result<Appended, Error>>;

/// Appends, those of each stream one after the other.
pub(super) struct Batch<'a> {
    appends: Vec<&'a Append>,
    /// The streams in which the appends are, and how many each has.
    paths: Vec<&'a str>,
    counts: Vec<i32>,
}

struct Row {
    item: i32,
    verdict: String,
    stream: Option<i64>,
    incarnation: Option<i64>,
    tail: Option<i64>,
    closed: Option<bool>,
    epoch: Option<i64>,
    seq: Option<i64>,
}

impl<'a> Batch<'a> {
    /// The appends of one path must be next to each other.
    pub fn new(appends: impl IntoIterator<Item = &'a Append>) -> Self {
        let appends: Vec<&Append> = appends.into_iter().collect();
        let of_one_stream = appends.chunk_by(|one, other| one.path == other.path);
        let (paths, counts) = of_one_stream
            .map(|appends| (&*appends[0].path, i32::try_from(appends.len()).unwrap_or(i32::MAX)))
            .unzip();
        Self { appends, paths, counts }
    }

    /// Appends in one statement. With `wait`, until the streams are not locked any more.
    pub async fn append(
        &self,
        database: impl PgExecutor<'_>,
        max_producers: i32,
        wait: bool,
    ) -> sqlx::Result<Vec<Outcome>> {
        let rows = self.rows(database, max_producers, wait).await?;
        let mut outcomes: Vec<Outcome> = self.appends.iter().map(|_| None).collect();
        for row in rows {
            let outcome = usize::try_from(row.item - 1)
                .ok()
                .and_then(|item| outcomes.get_mut(item));
            if let Some(outcome) = outcome {
                *outcome = Some(row.outcome());
            }
        }
        Ok(outcomes)
    }

    async fn rows(&self, database: impl PgExecutor<'_>, max_producers: i32, wait: bool) -> sqlx::Result<Vec<Row>> {
        let of_each = self.appends.iter().copied();
        let content_types: Vec<Option<&str>> = of_each.clone().map(|append| append.content_type.as_deref()).collect();
        let data: Vec<Option<&[u8]>> = of_each.clone().map(Append::data).collect();
        let bodies: Vec<bool> = of_each.clone().map(|append| append.form == Form::Body).collect();
        let closes: Vec<bool> = of_each.clone().map(|append| append.close).collect();
        let producers: Vec<_> = of_each.clone().map(|append| append.producer.as_ref()).collect();
        let ids: Vec<Option<&str>> = producers.iter().map(|producer| producer.map(|it| &*it.id)).collect();
        let epochs: Vec<Option<i64>> = producers.iter().map(|producer| producer.map(|it| it.epoch)).collect();
        let seqs: Vec<Option<i64>> = producers.iter().map(|producer| producer.map(|it| it.seq)).collect();
        let stream_seqs: Vec<Option<&str>> = of_each.map(|append| append.seq.as_deref()).collect();
        sqlx::query_as!(
            Row,
            r#"SELECT item AS "item!", verdict AS "verdict!", stream, incarnation, tail, closed, epoch, seq
            FROM streams.append_all($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"#,
            &self.paths as _,
            &self.counts,
            &content_types as _,
            &data as _,
            &bodies,
            &closes,
            &ids as _,
            &epochs as _,
            &seqs as _,
            &stream_seqs as _,
            max_producers,
            wait,
        )
        .fetch_all(database)
        .await
    }
}

impl Append {
    fn data(&self) -> Option<&[u8]> {
        self.data.as_deref().filter(|data| !data.is_empty())
    }
}

impl Row {
    fn outcome(self) -> Result<Appended, Error> {
        let tail = Position {
            incarnation: there(self.incarnation)?,
            end: there(self.tail)?,
        };
        let incarnation = there(self.stream)?;
        let appended = |stored| {
            Ok(Appended {
                stored,
                incarnation,
                tail,
                closed: self.closed.unwrap_or_default(),
                producer: self.epoch.zip(self.seq),
            })
        };
        let refused = |refusal| Err(Error::Refused(refusal));
        match &*self.verdict {
            "stored" => appended(Stored::New),
            "repeated" => appended(Stored::Repeated),
            "closed" => refused(Refusal::Closed { tail }),
            "stale_epoch" => refused(Refusal::StaleEpoch {
                epoch: there(self.epoch)?,
            }),
            // A producer that is not known yet begins with 0.
            "gap" => refused(Refusal::Gap {
                expected: self.seq.map_or(0, |seq| seq + 1),
            }),
            verdict => Err(refusal(verdict)),
        }
    }
}
