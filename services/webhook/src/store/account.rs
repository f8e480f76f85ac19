//! The end of a batch: what became of every item, and the cursor past it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::item::NewItems;

/// Counts of the items of posts, column by column.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    /// The posts.
    pub post_ids: Vec<Uuid>,
    /// Their items.
    pub items: Vec<i32>,
    /// Became events.
    pub applied: Vec<i32>,
    /// Were applied before.
    pub duplicate: Vec<i32>,
    /// Wait for a connection.
    pub parked: Vec<i32>,
    /// Are of a kind that is not understood.
    pub unsupported: Vec<i32>,
    /// Could not be read or applied.
    pub quarantined: Vec<i32>,
}

/// The counts of one post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Account {
    /// Items in all.
    pub items: i32,
    /// Became events.
    pub applied: i32,
    /// Were applied before.
    pub duplicate: i32,
    /// Wait for a connection.
    pub parked: i32,
    /// Are of a kind that is not understood.
    pub unsupported: i32,
    /// Could not be read or applied.
    pub quarantined: i32,
    /// Are not to be applied.
    pub discarded: i32,
}

/// Moves a lane's cursor from `from` to `to` and writes the accounts and items of what lies between, in one statement. `false`, and nothing written, when the
/// cursor does not stand at `from`: another decoder was faster.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    lane: i16,
    from: i64,
    to: i64,
    accounts: &Accounts,
    items: &NewItems,
) -> sqlx::Result<bool> {
    let moved = sqlx::query_scalar!(
        r#"
        with fence as (
          update webhook.cursor set decoded = $3 where lane = $1 and decoded = $2 returning webhook.now_() as at
        ), accounts as (
          insert into webhook.post_account (post_id, items, applied, duplicate, parked, unsupported, quarantined, decoded_at)
          select new.*, fence.at
          from fence, unnest($4::uuid[], $5::integer[], $6::integer[], $7::integer[], $8::integer[], $9::integer[], $10::integer[]) new
        ), items as (
          insert into webhook.item
            (post_id, ordinal, received_at, position, pointer, field, outcome, reason, application_id, connection_id, phone_number_id)
          select new.*
          from fence, unnest($11::uuid[], $12::integer[], $13::timestamptz[], $14::bigint[], $15::text[], $16::text[], $17::smallint[],
                             $18::text[], $19::uuid[], $20::uuid[], $21::text[]) new
        )
        select count(*) as "count!" from fence
        "#,
        lane,
        from,
        to,
        &accounts.post_ids,
        &accounts.items,
        &accounts.applied,
        &accounts.duplicate,
        &accounts.parked,
        &accounts.unsupported,
        &accounts.quarantined,
        &items.post_ids,
        &items.ordinals,
        &items.received_at,
        &items.positions,
        &items.pointers,
        &items.fields,
        &items.outcomes,
        &items.reasons,
        &items.application_ids as _,
        &items.connection_ids as _,
        &items.phone_number_ids,
    )
    .fetch_one(connection)
    .await?;
    Ok(moved == 1)
}

/// The counts of one post; `None` until it is decoded.
pub(crate) async fn get(connection: &mut PgConnection, post_id: Uuid) -> sqlx::Result<Option<Account>> {
    sqlx::query_as!(
        Account,
        "select items, applied, duplicate, parked, unsupported, quarantined, discarded from webhook.post_account where post_id = $1",
        post_id,
    )
    .fetch_optional(connection)
    .await
}
