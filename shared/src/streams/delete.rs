//! Deletion.

use super::{Error, Streams, facts::refusal, repeated};
use crate::deadline::Deadline;
use futures_util::FutureExt;

impl Streams {
    /// Deletes a stream. One that has forks stays readable through these alone, and its path stays taken.
    ///
    /// # Errors
    /// [`NotFound`](super::Refusal::NotFound), [`Deleted`](super::Refusal::Deleted).
    pub async fn delete(&self, deadline: &Deadline, path: &str) -> Result<(), Error> {
        let connection = self.0.database.connection(deadline);
        let verdict = repeated(|| {
            let delete = sqlx::query_scalar!(r#"SELECT streams.delete($1) AS "verdict!""#, path);
            delete.fetch_one(&connection).boxed()
        });
        match &*verdict.await? {
            "ok" => Ok(()),
            verdict => Err(refusal(verdict)),
        }
    }
}
