//! Typed queries against a migrated database.

use crate::accounts::database;
use shared::deadline::Deadline;
use testing::Postgres;
use time::macros::datetime;
use uuid::Uuid;

#[tokio::test]
async fn timestamps_uuids_and_json_come_back_as_they_were() {
    let database = database(&Postgres::shared().migrated_database().await, &[]);
    let began = datetime!(2026-11-26 12:34:56.789 UTC);
    let id = Uuid::from_u128(0x0189_d3e5_7a1c_7b2f_8c3d_4e5f_6a7b_8c9d);
    let json = serde_json::json!({"name": "Ada", "tags": [1, null]});
    let deadline = Deadline::default();
    let done = database.transaction(&deadline, async |transaction| {
        let id_of_run = rows::record(&mut *transaction, "1.2.3", began).await?;
        let run = rows::newest(transaction).await?;
        Ok::<_, sqlx::Error>((id_of_run, run, rows::echo(transaction, id, json.clone()).await?))
    });
    let (id_of_run, run, echo) = done.await.unwrap();
    let run = run.unwrap();
    assert_eq!((run.id, run.started_at, &*run.release), (id_of_run, began, "1.2.3"));
    assert_eq!(echo, (id, json));
}
