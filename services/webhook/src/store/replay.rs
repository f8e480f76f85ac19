//! Stored webhooks on their way through the decoder again.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// A replay has taken everything: the contract's number.
pub(crate) const DONE: i16 = 2;
/// An operator ended it.
pub(crate) const CANCELED: i16 = 3;

/// What to replay, as it was asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Posts received at this time or later.
    pub received_from: Option<OffsetDateTime>,
    /// Posts received before this time.
    pub received_to: Option<OffsetDateTime>,
    /// Only these posts; empty: all.
    pub post_ids: Vec<Uuid>,
    /// Only items that stand so: the contract's numbers; empty: all but discarded ones.
    pub outcomes: Vec<i16>,
    /// Only items of these fields; empty: all.
    pub fields: Vec<String>,
    /// Only items of these numbers; empty: all.
    pub phone_number_ids: Vec<String>,
}

/// A replay.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    /// Its id.
    pub id: Uuid,
    /// When it was asked for.
    pub created_at: OffsetDateTime,
    /// By which operator key.
    pub created_by: Uuid,
    /// Why.
    pub why: String,
    /// Where it stands.
    pub state: i16,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// As [`Selection`].
    pub received_from: Option<OffsetDateTime>,
    /// As [`Selection`].
    pub received_to: Option<OffsetDateTime>,
    /// As [`Selection`].
    pub post_ids: Vec<Uuid>,
    /// As [`Selection`].
    pub outcomes: Vec<i16>,
    /// As [`Selection`].
    pub fields: Vec<String>,
    /// As [`Selection`].
    pub phone_number_ids: Vec<String>,
    /// The last post that it has taken; nil or the start of its range before the first.
    pub reached: Uuid,
    /// Posts from here on are not taken.
    pub before: Uuid,
    /// Posts taken.
    pub posts: i64,
    /// Items that became events.
    pub applied: i64,
    /// Items that had been applied before.
    pub duplicate: i64,
    /// Items that are not understood.
    pub unsupported: i64,
    /// Items that could not be read or applied.
    pub quarantined: i64,
    /// Items that were left as they were.
    pub kept: i64,
}

/// Items that a replay was asked for, by what came of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Met {
    /// Became events.
    pub applied: i64,
    /// Had been applied before.
    pub duplicate: i64,
    /// Are not understood.
    pub unsupported: i64,
    /// Could not be read or applied.
    pub quarantined: i64,
    /// Were left as they were.
    pub kept: i64,
}

/// Writes a new replay, unless `most` are running already.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    id: Uuid,
    by: Uuid,
    why: &str,
    selection: &Selection,
    most: i64,
) -> sqlx::Result<bool> {
    // The range's ends as ids: one before the first, and the first after. A replay without an end takes what is stored when it begins.
    let done = sqlx::query!(
        r#"
        insert into webhook.replay (id, created_at, created_by, why, state, received_from, received_to, post_ids, outcomes, fields, phone_number_ids, reached, before)
        select $1, webhook.now_(), $2, $3, 1, $4, $5, $6, $7, $8, $9,
               coalesce(webhook.first_id($4), '00000000-0000-0000-0000-000000000000'), webhook.first_id(least($5, webhook.now_()))
        where (select count(*) from webhook.replay where state = 1) < $10
        "#,
        id,
        by,
        why,
        selection.received_from,
        selection.received_to,
        &selection.post_ids,
        &selection.outcomes,
        &selection.fields,
        &selection.phone_number_ids,
        most,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// One replay.
pub(crate) async fn get(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as!(
        Replay,
        "select id, created_at, created_by, why, state, ended_at, received_from, received_to, post_ids, outcomes, fields, phone_number_ids,
                reached, before, posts, applied, duplicate, unsupported, quarantined, kept
         from webhook.replay where id = $1",
        id
    )
    .fetch_optional(connection)
    .await
}

/// Replays before this id, newest first.
pub(crate) async fn list(db: &PgPool, before: Uuid, limit: i64) -> sqlx::Result<Vec<Replay>> {
    sqlx::query_as!(
        Replay,
        "select id, created_at, created_by, why, state, ended_at, received_from, received_to, post_ids, outcomes, fields, phone_number_ids,
                reached, before, posts, applied, duplicate, unsupported, quarantined, kept
         from webhook.replay where id < $1 order by id desc limit $2",
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The replay whose turn it is: the oldest that runs.
pub(crate) async fn next(db: &PgPool) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as!(
        Replay,
        "select id, created_at, created_by, why, state, ended_at, received_from, received_to, post_ids, outcomes, fields, phone_number_ids,
                reached, before, posts, applied, duplicate, unsupported, quarantined, kept
         from webhook.replay where state = 1 order by id limit 1",
    )
    .fetch_optional(db)
    .await
}

/// How many replays run or wait.
pub(crate) async fn running(db: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!(r#"select count(*) as "running!" from webhook.replay where state = 1"#)
        .fetch_one(db)
        .await
}

/// Moves a replay on to `to`. `false`, and nothing written, when it does not stand at `from` any more: it was ended, or another process was faster.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    id: Uuid,
    from: Uuid,
    to: Uuid,
    posts: i64,
    met: Met,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update webhook.replay set
           reached = $3, posts = posts + $4, applied = applied + $5, duplicate = duplicate + $6, unsupported = unsupported + $7,
           quarantined = quarantined + $8, kept = kept + $9
         where id = $1 and reached = $2 and state = 1",
        id,
        from,
        to,
        posts,
        met.applied,
        met.duplicate,
        met.unsupported,
        met.quarantined,
        met.kept,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a replay that runs. Whether it ran.
pub(crate) async fn end(connection: &mut PgConnection, id: Uuid, state: i16) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update webhook.replay set state = $2, ended_at = webhook.now_() where id = $1 and state = 1",
        id,
        state
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets replays that ended more than `days` ago.
pub(crate) async fn drop_older(db: &PgPool, days: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from webhook.replay where ended_at < webhook.now_() - make_interval(days => $1)",
        days
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The next posts of a replay, in order, at most `count` of them and no further one once they hold `bytes`. Some may not be decoded yet.
pub(crate) async fn posts(db: &PgPool, replay: &Replay, count: i64, bytes: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        select id as "id!"
        from (
          select p.id, sum(p.size) over (order by p.id) - p.size as before
          from (select id, size from webhook.post where id > $1 and id < $2 order by id limit $3) p
        ) p
        where before < $4
        order by id
        "#,
        replay.reached,
        replay.before,
        count,
        bytes,
    )
    .fetch_all(db)
    .await
}

/// As [`posts`], of those that the replay names.
pub(crate) async fn posts_named(db: &PgPool, replay: &Replay, count: i64, bytes: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        select id as "id!"
        from (
          select p.id, sum(p.size) over (order by p.id) - p.size as before
          from (
            select p.id, p.size from unnest($3::uuid[]) n(id) join webhook.post p on p.id = n.id
            where n.id > $1 and n.id < $2 order by p.id limit $4
          ) p
        ) p
        where before < $5
        order by id
        "#,
        replay.reached,
        replay.before,
        &replay.post_ids,
        count,
        bytes,
    )
    .fetch_all(db)
    .await
}

/// The next posts that have items listed with one of these outcomes, as [`posts`]. Posts that are no longer kept are among them: their items outlive them.
pub(crate) async fn posts_listed(
    db: &PgPool,
    replay: &Replay,
    outcomes: &[i16],
    count: i32,
    bytes: i64,
) -> sqlx::Result<Vec<Uuid>> {
    // For each outcome a walk from post to post; merged, the first of them are the first of all.
    sqlx::query_scalar!(
        r#"
        with recursive walk(outcome, post_id, n) as (
          select w.outcome, (
            select i.post_id from webhook.item i
            where i.outcome = w.outcome and i.post_id > $1 and i.post_id < $2 order by i.post_id limit 1
          ), 1
          from unnest($3::smallint[]) w(outcome)
          union all
          select w.outcome, (
            select i.post_id from webhook.item i
            where i.outcome = w.outcome and i.post_id > w.post_id and i.post_id < $2 order by i.post_id limit 1
          ), w.n + 1
          from walk w where w.post_id is not null and w.n < $4
        )
        select id as "id!"
        from (
          select w.id, sum(coalesce(p.size, 0)) over (order by w.id) - coalesce(p.size, 0) as before
          from (select distinct post_id as id from walk where post_id is not null order by post_id limit $4) w
          left join webhook.post p on p.id = w.id
        ) p
        where before < $5
        order by id
        "#,
        replay.reached,
        replay.before,
        outcomes,
        count,
        bytes,
    )
    .fetch_all(db)
    .await
}
