//! Users to be erased from stored webhooks.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::post::Post;

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// It has come to its end.
    pub done: bool,
    /// Parts blanked and items discarded.
    pub erased: i64,
    /// Posts looked through.
    pub scanned: i64,
}

/// An erasure under way.
#[derive(Debug, Clone)]
pub(crate) struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// The application.
    pub application_id: Uuid,
    /// Whom, sealed.
    pub identities: Vec<u8>,
    /// Lanes' heads when it was asked for: later posts are not looked through.
    pub heads: Vec<i64>,
    /// The last post that was looked through; nil before the first.
    pub reached: Uuid,
    /// Posts from here on came later.
    pub before: Uuid,
}

/// A post to look through.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The post.
    pub post: Post,
    /// Its lane.
    pub lane: i16,
}

/// What an erasure found in a chunk of posts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The erasure.
    pub id: Uuid,
    /// Where it stood.
    pub from: Uuid,
    /// Parts blanked and items discarded.
    pub erased: i64,
}

/// How far an erasure of this application is; `None` when it was never asked for.
pub(crate) async fn progress(db: &PgPool, id: Uuid, application_id: Uuid) -> sqlx::Result<Option<Progress>> {
    sqlx::query_as!(
        Progress,
        r#"select ended_at is not null as "done!", erased, scanned from webhook.erasure where id = $1 and application_id = $2"#,
        id,
        application_id,
    )
    .fetch_optional(db)
    .await
}

/// Begins an erasure of what was received between these times, unless it is there already or `most` are under way. Whether it is there now.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    id: Uuid,
    application_id: Uuid,
    identities: &[u8],
    (from, to): (Option<OffsetDateTime>, Option<OffsetDateTime>),
    most: i64,
) -> sqlx::Result<bool> {
    // Ids are made a moment before their posts are stored, by other clocks: the heads say which posts were there, the id only where to stop looking.
    sqlx::query!(
        r#"
        insert into webhook.erasure (id, application_id, created_at, identities, heads, reached, before)
        select $1, $2, webhook.now_(), $3, (select array_agg(head order by lane) from webhook.lane),
               coalesce(webhook.first_id($5::timestamptz - interval '10 minutes'), '00000000-0000-0000-0000-000000000000'),
               webhook.first_id(least($6::timestamptz, webhook.now_()) + interval '10 minutes')
        where (select count(*) from webhook.erasure where ended_at is null) < $4
        on conflict (id) do nothing
        "#,
        id,
        application_id,
        identities,
        most,
        from,
        to,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query_scalar!(
        r#"select exists (select from webhook.erasure where id = $1 and application_id = $2) as "there!""#,
        id,
        application_id
    )
    .fetch_one(connection)
    .await
}

/// Erasures whose posts are decoded and that stand where the hindmost stands, and where the next one stands: up to there they go together.
pub(crate) async fn hindmost(db: &PgPool, limit: i64) -> sqlx::Result<(Vec<Erasure>, Option<Uuid>)> {
    let open = sqlx::query_as!(
        Erasure,
        r#"
        select e.id, e.application_id, e.identities as "identities!", e.heads, e.reached, e.before
        from webhook.erasure e
        where e.ended_at is null
          and not exists (select from webhook.cursor c where c.decoded < e.heads[c.lane + 1])
        order by e.reached, e.id limit $1
        "#,
        limit,
    )
    .fetch_all(db)
    .await?;
    let Some(first) = open.first().map(|erasure| erasure.reached) else {
        return Ok((Vec::new(), None));
    };
    let next = open
        .iter()
        .map(|erasure| erasure.reached)
        .find(|reached| *reached != first);
    let group = open.into_iter().filter(|erasure| erasure.reached == first).collect();
    Ok((group, next))
}

/// The posts after `from` up to `to` (with it), in order: at most `count`, and no further one once they hold `bytes`.
pub(crate) async fn posts(db: &PgPool, from: Uuid, to: Uuid, count: i64, bytes: i64) -> sqlx::Result<Vec<Scanned>> {
    let rows = sqlx::query!(
        r#"
        select id as "id!", lane as "lane!", position as "position!", received_at as "received_at!", body as "body!"
        from (
          select p.*, sum(p.size) over (order by p.id) - p.size as ahead
          from (select * from webhook.post where id > $1 and id <= $2 order by id limit $3) p
        ) p
        where ahead < $4
        order by id
        "#,
        from,
        to,
        count,
        bytes,
    )
    .fetch_all(db)
    .await?;
    let scanned = rows.into_iter().map(|row| Scanned {
        lane: row.lane,
        post: Post {
            id: row.id,
            position: row.position,
            received_at: row.received_at,
            body: row.body,
        },
    });
    Ok(scanned.collect())
}

/// Moves erasures on to `to`. `false` when one does not stand where its step began: another process was faster, and nothing of this may be counted.
pub(crate) async fn advance(connection: &mut PgConnection, steps: &[Step], to: Uuid, posts: i64) -> sqlx::Result<bool> {
    let ids: Vec<Uuid> = steps.iter().map(|step| step.id).collect();
    let from: Vec<Uuid> = steps.iter().map(|step| step.from).collect();
    let erased: Vec<i64> = steps.iter().map(|step| step.erased).collect();
    let done = sqlx::query!(
        "update webhook.erasure e set reached = $4, scanned = e.scanned + $5, erased = e.erased + n.erased
         from unnest($1::uuid[], $2::uuid[], $3::bigint[]) n(id, reached, erased)
         where e.id = n.id and e.reached = n.reached and e.ended_at is null",
        &ids,
        &from,
        &erased,
        to,
        posts,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == steps.len() as u64)
}

/// Ends erasures that have looked through everything, and forgets whom they erased.
pub(crate) async fn end(db: &PgPool, ids: &[Uuid], reached: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.erasure set ended_at = webhook.now_(), identities = null where id = any($1) and reached = $2 and ended_at is null",
        ids,
        reached,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets erasures that ended more than `days` ago.
pub(crate) async fn drop_older(db: &PgPool, days: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from webhook.erasure where ended_at < webhook.now_() - make_interval(days => $1)",
        days
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The accounts of Meta that these numbers of the application belong to, and which of the numbers are or were the application's.
pub(crate) async fn scope(
    db: &PgPool,
    application_id: Uuid,
    numbers: &[String],
) -> sqlx::Result<Vec<(String, String)>> {
    let rows = sqlx::query!(
        "select distinct phone_number_id, waba_id from webhook.route where application_id = $1 and phone_number_id = any($2)",
        application_id,
        numbers,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.phone_number_id, row.waba_id)).collect())
}
