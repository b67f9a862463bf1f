//! Deletion.

use super::{Error, Streams, facts::refusal, repeated};
use crate::deadline::Deadline;

impl Streams {
    /// Deletes a stream. One that has forks stays readable through these alone, and its path stays taken.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted).
    pub async fn delete(&self, deadline: &Deadline, path: &str) -> Result<(), Error> {
        let connection = self.0.database.connection(deadline);
        let verdict = repeated(async || {
            sqlx::query_scalar!(r#"SELECT streams.delete($1) AS "verdict!""#, path)
                .fetch_one(&connection)
                .await
        });
        match &*verdict.await? {
            "ok" => Ok(()),
            verdict => Err(refusal(verdict)),
        }
    }
}
