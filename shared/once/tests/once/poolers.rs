//! Behind PgBouncer in transaction mode, where transactions change places.

use crate::shop::{Shop, at, pay};
use futures_util::future::join_all;
use serde_json::json;
use testing::{PgBouncer, Postgres, scalar};

const SETTINGS: &[&str] = &["pool_mode = transaction", "default_pool_size = 3"];

#[tokio::test]
#[ignore = "needs pgbouncer, which .ci/run installs"]
async fn twenty_equal_requests_have_one_effect_behind_a_pooler() {
    let shop = Shop::new().await;
    let pooler = PgBouncer::start(Postgres::shared(), SETTINGS);
    let url = pooler.url(&shop.url);
    crate::together::twenty_clients_pay_once(&shop, [&at(&url).serve(), &at(&url).serve()]).await;
    let server = at(&url).serve();
    let answers = join_all((0..200).map(|number| {
        let (url, key) = (server.url.clone(), format!("key-{}", number % 100));
        async move { pay(&url, &key, &json!({"amount": 1})).await.status.as_u16() }
    }));
    assert!(answers.await.iter().all(|status| [201, 409].contains(status)));
    assert_eq!(shop.payments().await, 101);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(scalar(&shop.url, locks).await, 0);
}
