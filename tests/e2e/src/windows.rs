//! Users who have written a moment ago, without their messages: where replies are measured, not what they reply to.

use anyhow::Result;
use sqlx::PgPool;

/// Opens the window of each user with every connected number. `db`: the messaging service's database, as superuser. Only for users that no process has met yet.
pub async fn open_windows(db: &PgPool, users: impl IntoIterator<Item = String>) -> Result<()> {
    let users: Vec<String> = users.into_iter().collect();
    let steps = [
        "INSERT INTO messaging.identity (application_id, kind, value, contact_id)
         SELECT application_id, 1, value, md5(application_id::text || value)::uuid
         FROM (SELECT DISTINCT application_id FROM messaging.connection) a CROSS JOIN unnest($1::text[]) AS value ON CONFLICT DO NOTHING",
        "INSERT INTO messaging.contact (id, application_id, created_at)
         SELECT contact_id, application_id, messaging.now_() FROM messaging.identity WHERE kind = 1 AND value = ANY ($1::text[]) ON CONFLICT DO NOTHING",
        "INSERT INTO messaging.service_window (phone_number_id, contact_id, last_inbound_at, expires_at, last_wamid_sealed)
         SELECT c.phone_number_id, i.contact_id, messaging.now_(), messaging.now_() + interval '24 hours', ''
         FROM messaging.connection c JOIN messaging.identity i ON i.application_id = c.application_id AND i.kind = 1 AND i.value = ANY ($1::text[])
         ON CONFLICT (phone_number_id, contact_id) DO UPDATE SET last_inbound_at = excluded.last_inbound_at, expires_at = excluded.expires_at, closed_at = NULL",
    ];
    for step in steps {
        sqlx::query(step).bind(&users).execute(db).await?;
    }
    Ok(())
}
