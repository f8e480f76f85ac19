//! What happens when there is no room for more webhooks.

use std::time::Duration;

use outeract_testkit::eventually;

use crate::bodies::one_text;
use crate::suite::{Number, Suite};

#[tokio::test]
async fn webhooks_beyond_the_budget_are_left_to_meta() {
    let mut suite = Suite::new().await;
    suite.settings = vec![("WEBHOOK_STORAGE_BUDGET_MIB", "2")];
    let instance = suite.start().await;
    instance.push(vec![Number::new("7", "1").active()]).await;
    // Random text: what can be compressed is not stored as it came.
    let long: String = (0..2_400_000_u64)
        .map(|n| char::from(b'a' + (n.wrapping_mul(n).wrapping_add(n / 7) % 26) as u8))
        .collect();
    instance.stored(long.as_bytes()).await;
    eventually(Duration::from_secs(30), async || {
        instance.http().await.post(&one_text("7", "1", "wamid.1")).await.status == 503
    })
    .await;
    let answer = instance.http().await.post(&one_text("7", "1", "wamid.1")).await;
    assert!(answer.has("retry-after: 60"), "{answer:?}");
    // What is stored is decoded all the same, and once there is room again Meta's next try is taken.
    suite.settled().await;
    sqlx::query("truncate webhook.post")
        .execute(suite.db.admin())
        .await
        .unwrap();
    eventually(Duration::from_secs(30), async || {
        instance.http().await.post(&one_text("7", "1", "wamid.1")).await.status == 200
    })
    .await;
}
