//! Items that wait for a connection, and the numbers whose items no longer wait.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// A parked item, oldest first.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    /// The post it came in.
    pub post_id: Uuid,
    /// Its place in the post.
    pub ordinal: i32,
    /// Where it stands in the JSON.
    pub pointer: String,
    /// The application that had the number, if one had, when the item was parked.
    pub application_id: Option<Uuid>,
    /// Size of the post.
    pub size: i32,
}

/// What became of parked items, column by column.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    /// The posts they came in.
    pub post_ids: Vec<Uuid>,
    /// Their places in their posts.
    pub ordinals: Vec<i32>,
    /// Where they stand in the JSON: a replay may have given the place to another item.
    pub pointers: Vec<String>,
    /// The contract's number of what became of them.
    pub outcomes: Vec<i16>,
    /// Why, where they were not applied.
    pub reasons: Vec<String>,
    /// Whose they are, where they were not applied.
    pub application_ids: Vec<Option<Uuid>>,
    /// The connection, where they were not applied.
    pub connection_ids: Vec<Option<Uuid>>,
}

/// How many items a number has parked already.
#[derive(Debug)]
pub(crate) struct Count {
    /// The number.
    pub phone_number_id: String,
    /// Its parked items, counted up to the limit asked for.
    pub parked: i64,
}

/// Keeps the activation of these numbers and the parking of their items apart until the transaction ends. What is read before this call may be stale after it.
pub(crate) async fn lock_numbers(connection: &mut PgConnection, numbers: &[String]) -> sqlx::Result<()> {
    sqlx::query!("select webhook.lock_numbers($1)", numbers)
        .execute(connection)
        .await?;
    Ok(())
}

/// How many items these numbers have parked, counting no further than `limit` each.
pub(crate) async fn counts(connection: &mut PgConnection, numbers: &[String], limit: i64) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"
        select n.number as "phone_number_id!", c.parked as "parked!"
        from unnest($1::text[]) n(number)
        cross join lateral (
          select count(*) as parked
          from (select from webhook.item i where i.phone_number_id = n.number and i.outcome = 3 limit $2) i
        ) c
        "#,
        numbers,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Starts applying the parked items of those of these numbers that can be routed and have any. Returns how many numbers were started.
pub(crate) async fn start(connection: &mut PgConnection, numbers: &[String]) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        insert into webhook.unpark (phone_number_id, since)
        select n.number, webhook.now_()
        from unnest($1::text[]) n(number)
        where exists (select from webhook.item i where i.phone_number_id = n.number and i.outcome = 3) and webhook.is_routable(n.number)
        order by n.number
        on conflict do nothing
        "#,
        numbers,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

/// Claims the number that waits longest for its turn, for `seconds`.
pub(crate) async fn claim(db: &PgPool, holder: Uuid, seconds: f64) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        r#"
        update webhook.unpark set holder = $1, held_until = webhook.now_() + make_interval(secs => $2)
        where phone_number_id = (
          select phone_number_id from webhook.unpark
          where held_until is null or held_until <= webhook.now_()
          order by held_until nulls first, since limit 1 for update skip locked
        )
        returning phone_number_id
        "#,
        holder,
        seconds,
    )
    .fetch_optional(db)
    .await
}

/// Gives a claimed number back; its next turn comes after `seconds`.
pub(crate) async fn give_back(db: &PgPool, holder: Uuid, number: &str, seconds: f64) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.unpark set holder = null, held_until = webhook.now_() + make_interval(secs => $3) where phone_number_id = $1 and holder = $2",
        number,
        holder,
        seconds,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The oldest parked items of a number, in the order they arrived.
pub(crate) async fn oldest(db: &PgPool, number: &str, limit: i64) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        r#"
        select i.post_id as "post_id!", i.ordinal as "ordinal!", i.pointer as "pointer!", i.application_id as "application_id?", p.size as "size!"
        from (
          select * from webhook.item i where i.phone_number_id = $1 and i.outcome = 3
          order by i.received_at, i.position, i.ordinal limit $2
        ) i
        join webhook.post p on p.id = i.post_id
        order by i.received_at, i.position, i.ordinal
        "#,
        number,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Writes what became of parked items and corrects the accounts of their posts. Items that are no longer parked are left as they are.
pub(crate) async fn settle(connection: &mut PgConnection, fates: &Fates) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with fate as (
          select * from unnest($1::uuid[], $2::integer[], $3::smallint[], $4::text[], $5::uuid[], $6::uuid[], $7::text[])
            f(post_id, ordinal, outcome, reason, application_id, connection_id, pointer)
        ), gone as (
          delete from webhook.item i using fate f
          where i.post_id = f.post_id and i.ordinal = f.ordinal and i.pointer = f.pointer and i.outcome = 3 and f.outcome in (1, 2)
          returning i.post_id, f.outcome
        ), kept as (
          update webhook.item i set outcome = f.outcome, reason = f.reason, application_id = f.application_id, connection_id = f.connection_id
          from fate f where i.post_id = f.post_id and i.ordinal = f.ordinal and i.pointer = f.pointer and i.outcome = 3 and f.outcome in (4, 5)
          returning i.post_id, f.outcome
        ), change as (
          select post_id, count(*)::integer as items,
                 (count(*) filter (where outcome = 1))::integer as applied, (count(*) filter (where outcome = 2))::integer as duplicate,
                 (count(*) filter (where outcome = 4))::integer as unsupported, (count(*) filter (where outcome = 5))::integer as quarantined
          from (select * from gone union all select * from kept) settled group by post_id
        )
        update webhook.post_account a set
          parked = a.parked - change.items, applied = a.applied + change.applied, duplicate = a.duplicate + change.duplicate,
          unsupported = a.unsupported + change.unsupported, quarantined = a.quarantined + change.quarantined
        from change where a.post_id = change.post_id
        "#,
        &fates.post_ids,
        &fates.ordinals,
        &fates.outcomes,
        &fates.reasons,
        &fates.application_ids as _,
        &fates.connection_ids as _,
        &fates.pointers,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends the turn of a number that has no parked items left, or can no longer be routed. Call it under the number's lock.
pub(crate) async fn finish(connection: &mut PgConnection, number: &str) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        delete from webhook.unpark
        where phone_number_id = $1
          and not (webhook.is_routable($1) and exists (select from webhook.item i where i.phone_number_id = $1 and i.outcome = 3))
        "#,
        number,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Numbers with items that have been parked for more than `days` and are not being applied.
pub(crate) async fn overdue(connection: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select distinct i.phone_number_id as "number!"
        from (
          select * from webhook.item i
          where i.outcome = 3 and i.post_id < webhook.first_id(webhook.now_() - make_interval(days => $1))
          order by i.post_id limit $2
        ) i
        where not exists (select from webhook.unpark u where u.phone_number_id = i.phone_number_id)
        "#,
        days,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Quarantines up to `limit` items of these numbers that have been parked for more than `days`. Call it under the numbers' locks. Returns how many posts changed.
pub(crate) async fn expire(
    connection: &mut PgConnection,
    numbers: &[String],
    days: i32,
    reason: &str,
    limit: i64,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        with old as (
          select i.post_id, i.ordinal from webhook.item i
          where i.outcome = 3 and i.post_id < webhook.first_id(webhook.now_() - make_interval(days => $2)) and i.phone_number_id = any($1)
            and not exists (select from webhook.unpark u where u.phone_number_id = i.phone_number_id)
          order by i.post_id, i.ordinal limit $4
        ), kept as (
          update webhook.item i set outcome = 5, reason = $3 from old where i.post_id = old.post_id and i.ordinal = old.ordinal and i.outcome = 3
          returning i.post_id
        ), change as (
          select post_id, count(*)::integer as items from kept group by post_id
        )
        update webhook.post_account a set parked = a.parked - change.items, quarantined = a.quarantined + change.items
        from change where a.post_id = change.post_id
        "#,
        numbers,
        days,
        reason,
        limit,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
