//! The table `idempotency_keys`.

use super::answer::Answer;
use crate::database::Transaction;
use sqlx::{FromRow, Row, postgres::PgRow};
use std::time::Duration;

/// Whose key it is, and what it was sent with.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Empty where the caller is not known.
    pub caller: String,
    pub key: String,
    pub fingerprint: [u8; 32],
}

/// What is stored under a key.
#[derive(Debug)]
pub struct Stored {
    pub fingerprint: Vec<u8>,
    pub answer: Answer,
}

impl Claim {
    /// Whether the key is new, and nobody else is working on it. It then belongs to this transaction.
    ///
    /// The primary key alone makes two effects impossible. The lock, which ends with the transaction, lets whoever comes second
    /// see that at once: without it, the insertion would wait for the other transaction.
    pub async fn take(&self, transaction: &mut Transaction) -> sqlx::Result<bool> {
        let insert = sqlx::query(
            "INSERT INTO idempotency_keys (caller, key, fingerprint)
             SELECT $1, $2, $3 WHERE pg_try_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))
             ON CONFLICT DO NOTHING",
        );
        let insert = insert.bind(&self.caller).bind(&self.key).bind(&self.fingerprint[..]);
        let inserted = insert.execute(transaction).await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// What is stored under the key; `None` while another transaction is working on it.
    pub async fn stored(&self, transaction: &mut Transaction) -> sqlx::Result<Option<Stored>> {
        let select = sqlx::query_as(
            "SELECT fingerprint, status, header_names, header_values, body FROM idempotency_keys
             WHERE caller = $1 AND key = $2",
        );
        select
            .bind(&self.caller)
            .bind(&self.key)
            .fetch_optional(transaction)
            .await
    }

    /// Stores the answer under the key, which belongs to this transaction.
    pub async fn store(&self, transaction: &mut Transaction, answer: &Answer) -> sqlx::Result<()> {
        let update = sqlx::query(
            "UPDATE idempotency_keys SET status = $3, header_names = $4, header_values = $5, body = $6
             WHERE caller = $1 AND key = $2",
        );
        let update = update.bind(&self.caller).bind(&self.key).bind(answer.status);
        let update = update
            .bind(&answer.header_names)
            .bind(&answer.header_values)
            .bind(&answer.body);
        update.execute(transaction).await.map(drop)
    }
}

impl<'r> FromRow<'r, PgRow> for Stored {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            fingerprint: row.try_get("fingerprint")?,
            answer: Answer::from_row(row)?,
        })
    }
}

/// Deletes up to `limit` answers that are older than `age`, and returns how many. Leaves out those that another transaction is
/// deleting.
///
/// # Errors
/// Of the query.
pub async fn delete_expired(transaction: &mut Transaction, age: Duration, limit: u32) -> sqlx::Result<u64> {
    // As an array: the planner could run a subquery again for each row, which would delete more than the limit.
    let delete = sqlx::query(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - make_interval(secs => $1)
             ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    );
    let delete = delete.bind(age.as_secs_f64()).bind(i64::from(limit));
    Ok(delete.execute(transaction).await?.rows_affected())
}
