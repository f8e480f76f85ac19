//! Lanes: how far they reach, how far they are decoded, who decodes them.

use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// How far a lane reaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    /// Its number.
    pub lane: i16,
    /// The last position given.
    pub head: i64,
}

/// What a process asks for again and again.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// Every lane.
    pub lanes: Vec<Lane>,
    /// An operator has stopped decoding.
    pub paused: bool,
    /// Some number's parked items are being applied.
    pub unparking: bool,
}

/// How decoding stands as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backlog {
    /// When the oldest post that is not decoded, or whose parked items are being applied, was received.
    pub oldest: Option<OffsetDateTime>,
    /// Seconds since then by the database's clock.
    pub lag_seconds: Option<f64>,
    /// When the newest decoded post was received, if it is still here.
    pub newest: Option<OffsetDateTime>,
}

/// What a process asks for again and again, in one statement.
pub(crate) async fn state(db: &PgPool) -> sqlx::Result<State> {
    let rows = sqlx::query!(
        r#"select lane, head, (select decoding_paused from webhook.setting) as "paused!", exists (select from webhook.unpark) as "unparking!"
           from webhook.lane order by lane"#
    )
    .fetch_all(db)
    .await?;
    let first = rows.first();
    Ok(State {
        paused: first.is_some_and(|row| row.paused),
        unparking: first.is_some_and(|row| row.unparking),
        lanes: rows
            .iter()
            .map(|row| Lane {
                lane: row.lane,
                head: row.head,
            })
            .collect(),
    })
}

/// Takes or renews the lease of a lane for `seconds`. `Some(decoded)` when it is this process's.
pub(crate) async fn lease(db: &PgPool, lane: i16, holder: Uuid, seconds: f64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!(
        "update webhook.cursor set holder = $2, held_until = webhook.now_() + make_interval(secs => $3)
         where lane = $1 and (holder is null or holder = $2 or held_until <= webhook.now_()) returning decoded",
        lane,
        holder,
        seconds,
    )
    .fetch_optional(db)
    .await
}

/// Gives up the lease of a lane.
pub(crate) async fn release(db: &PgPool, lane: i16, holder: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.cursor set holder = null, held_until = null where lane = $1 and holder = $2",
        lane,
        holder
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is not decoded yet, over all lanes and all numbers whose parked items are being applied.
pub(crate) async fn backlog(db: &PgPool) -> sqlx::Result<Backlog> {
    sqlx::query_as!(
        Backlog,
        r#"
        select min(oldest.received_at) as oldest, extract(epoch from webhook.now_() - min(oldest.received_at))::float8 as lag_seconds,
               (select max(last.received_at) from webhook.cursor c
                cross join lateral (select p.received_at from webhook.post p where p.lane = c.lane and p.position = c.decoded limit 1) last) as newest
        from (
          select next.received_at
          from webhook.lane l join webhook.cursor c using (lane)
          cross join lateral (
            select p.received_at from webhook.post p
            where p.lane = l.lane and p.position > c.decoded and l.head > c.decoded order by p.position limit 1
          ) next
          union all
          select parked.received_at
          from webhook.unpark u
          cross join lateral (
            select i.received_at from webhook.item i
            where i.phone_number_id = u.phone_number_id and i.outcome = 3 order by i.received_at limit 1
          ) parked
        ) oldest
        "#,
    )
    .fetch_one(db)
    .await
}
