//! Which process sends from which number (design rule 6).

use sqlx::PgConnection;
use uuid::Uuid;

/// A process that lives, as far as its heartbeats tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worker {
    pub id: Uuid,
    pub url: String,
}

/// Who owns a number.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub number: String,
    pub worker: Option<Uuid>,
    pub epoch: i64,
}

/// Announces this process under its own URL. Whoever was announced under the same URL is dead: this process holds the address.
pub(crate) async fn announce(
    conn: &mut PgConnection,
    worker: Uuid,
    url: &str,
    expiry_seconds: f64,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH predecessor AS (DELETE FROM messaging.worker WHERE url = $2 AND id <> $1)
        INSERT INTO messaging.worker (id, url, heartbeat_at, expires_at)
        SELECT $1, $2, now, now + make_interval(secs => $3) FROM (SELECT messaging.now_() AS now) clock
        ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at, expires_at = excluded.expires_at
        "#,
        worker,
        url,
        expiry_seconds,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Says that this process lives. False: it was declared dead, and must begin anew.
pub(crate) async fn heartbeat(conn: &mut PgConnection, worker: Uuid, expiry_seconds: f64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE messaging.worker w SET heartbeat_at = clock.now, expires_at = clock.now + make_interval(secs => $2)
        FROM (SELECT messaging.now_() AS now) clock WHERE w.id = $1 AND w.expires_at > clock.now
        "#,
        worker,
        expiry_seconds,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes this process off the list, after it has released its numbers.
pub(crate) async fn leave(conn: &mut PgConnection, worker: Uuid) -> sqlx::Result<()> {
    sqlx::query!("DELETE FROM messaging.worker WHERE id = $1", worker)
        .execute(conn)
        .await?;
    Ok(())
}

/// The processes that live, and forgets those that have been dead for a minute.
pub(crate) async fn workers(conn: &mut PgConnection) -> sqlx::Result<Vec<Worker>> {
    sqlx::query_as!(
        Worker,
        r#"
        WITH dead AS (DELETE FROM messaging.worker WHERE expires_at < messaging.now_() - interval '1 minute')
        SELECT id, url FROM messaging.worker WHERE expires_at > messaging.now_() ORDER BY id
        "#
    )
    .fetch_all(conn)
    .await
}

/// Who owns each number that ever had an owner.
pub(crate) async fn owners(conn: &mut PgConnection) -> sqlx::Result<Vec<Owner>> {
    sqlx::query_as!(
        Owner,
        "SELECT phone_number_id AS number, worker, epoch FROM messaging.number_owner"
    )
    .fetch_all(conn)
    .await
}

/// Makes numbers known that never had an owner.
pub(crate) async fn introduce(conn: &mut PgConnection, numbers: &[&str]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.number_owner (phone_number_id, epoch)
        SELECT number, 0 FROM unnest($1::text[]) AS new (number) ORDER BY number
        ON CONFLICT (phone_number_id) DO NOTHING
        "#,
        numbers as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes numbers over, each with the next epoch, unless somebody else did since they were seen at the given epoch. Waits for intents of the owner before: see [`super::intent::begin`].
pub(crate) async fn acquire(conn: &mut PgConnection, worker: Uuid, seen: &[(&str, i64)]) -> sqlx::Result<Vec<Owner>> {
    let numbers: Vec<_> = seen.iter().map(|(number, _)| *number).collect();
    let epochs: Vec<_> = seen.iter().map(|(_, epoch)| *epoch).collect();
    sqlx::query_as!(
        Owner,
        r#"
        WITH locked AS MATERIALIZED (
            SELECT o.phone_number_id, o.epoch FROM messaging.number_owner o
            JOIN unnest($2::text[], $3::bigint[]) AS seen (number, epoch) ON seen.number = o.phone_number_id AND seen.epoch = o.epoch
            ORDER BY o.phone_number_id
            FOR NO KEY UPDATE OF o
        )
        UPDATE messaging.number_owner o SET worker = $1, epoch = o.epoch + 1
        FROM locked WHERE o.phone_number_id = locked.phone_number_id AND o.epoch = locked.epoch
        RETURNING o.phone_number_id AS number, o.worker, o.epoch
        "#,
        worker,
        numbers as _,
        &epochs,
    )
    .fetch_all(conn)
    .await
}

/// Gives numbers up that this process owns at these epochs.
pub(crate) async fn release(conn: &mut PgConnection, worker: Uuid, owned: &[(&str, i64)]) -> sqlx::Result<()> {
    let numbers: Vec<_> = owned.iter().map(|(number, _)| *number).collect();
    let epochs: Vec<_> = owned.iter().map(|(_, epoch)| *epoch).collect();
    sqlx::query!(
        r#"
        WITH locked AS MATERIALIZED (
            SELECT o.phone_number_id, o.epoch FROM messaging.number_owner o
            JOIN unnest($2::text[], $3::bigint[]) AS mine (number, epoch) ON mine.number = o.phone_number_id AND mine.epoch = o.epoch
            WHERE o.worker = $1
            ORDER BY o.phone_number_id
            FOR NO KEY UPDATE OF o
        )
        UPDATE messaging.number_owner o SET worker = NULL
        FROM locked WHERE o.phone_number_id = locked.phone_number_id AND o.epoch = locked.epoch
        "#,
        worker,
        numbers as _,
        &epochs,
    )
    .execute(conn)
    .await?;
    Ok(())
}
