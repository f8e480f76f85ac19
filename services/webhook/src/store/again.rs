//! What is listed and accounted of posts that are decoded already, to be written anew.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::account::Account;
use super::item::NewItems;

/// An item as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The post it came in.
    pub post_id: Uuid,
    /// Its place in the post.
    pub ordinal: i32,
    /// When the post was received.
    pub received_at: OffsetDateTime,
    /// The post's place in its lane.
    pub position: i64,
    /// Where it stands in the JSON.
    pub pointer: String,
    /// Meta's name of the field.
    pub field: String,
    /// What became of it: the contract's number.
    pub outcome: i16,
    /// Why.
    pub reason: String,
    /// The application, where known.
    pub application_id: Option<Uuid>,
    /// The connection, where known.
    pub connection_id: Option<Uuid>,
    /// The number it names; empty when it names none.
    pub phone_number_id: String,
}

/// The account of one post.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PostAccount {
    /// The post.
    pub post_id: Uuid,
    /// Its counts.
    pub account: Account,
}

/// The items that are listed of these posts, by post and place.
pub(crate) async fn rows(db: &PgPool, ids: &[Uuid]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select post_id, ordinal, received_at, position, pointer, field, outcome, reason, application_id, connection_id, phone_number_id
         from webhook.item where post_id = any($1) order by post_id, ordinal",
        ids,
    )
    .fetch_all(db)
    .await
}

/// As [`rows`], and nobody else changes them until the transaction ends. Before [`lock_accounts`], as whoever settles single items does it.
pub(crate) async fn lock_rows(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        "select post_id, ordinal, received_at, position, pointer, field, outcome, reason, application_id, connection_id, phone_number_id
         from webhook.item where post_id = any($1) order by post_id, ordinal for update",
        ids,
    )
    .fetch_all(connection)
    .await
}

/// The accounts of these posts, in their order, to be changed by this transaction only. A post that is not decoded has none.
pub(crate) async fn lock_accounts(connection: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<PostAccount>> {
    let rows = sqlx::query!(
        "select post_id, items, applied, duplicate, parked, unsupported, quarantined, discarded
         from webhook.post_account where post_id = any($1) order by post_id for update",
        ids,
    )
    .fetch_all(connection)
    .await?;
    let of_row = rows.into_iter().map(|row| PostAccount {
        post_id: row.post_id,
        account: Account {
            items: row.items,
            applied: row.applied,
            duplicate: row.duplicate,
            parked: row.parked,
            unsupported: row.unsupported,
            quarantined: row.quarantined,
            discarded: row.discarded,
        },
    });
    Ok(of_row.collect())
}

/// Which of these posts are decoded.
pub(crate) async fn decoded(db: &PgPool, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!("select post_id from webhook.post_account where post_id = any($1)", ids)
        .fetch_all(db)
        .await
}

/// Puts these items in the place of all that are listed of these posts, and writes the posts' accounts. Call it with the rows and accounts locked.
pub(crate) async fn rewrite(
    connection: &mut PgConnection,
    accounts: &[PostAccount],
    items: &NewItems,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = accounts.iter().map(|one| one.post_id).collect();
    sqlx::query!("delete from webhook.item where post_id = any($1)", &ids)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into webhook.item
           (post_id, ordinal, received_at, position, pointer, field, outcome, reason, application_id, connection_id, phone_number_id)
         select * from unnest($1::uuid[], $2::integer[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::smallint[],
                              $8::text[], $9::uuid[], $10::uuid[], $11::text[])",
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
    .execute(&mut *connection)
    .await?;
    let column = |of: fn(&Account) -> i32| accounts.iter().map(|one| of(&one.account)).collect::<Vec<i32>>();
    sqlx::query!(
        "update webhook.post_account a set
           items = n.items, applied = n.applied, duplicate = n.duplicate, parked = n.parked, unsupported = n.unsupported,
           quarantined = n.quarantined, discarded = n.discarded
         from unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::integer[], $6::integer[], $7::integer[], $8::integer[])
           n(post_id, items, applied, duplicate, parked, unsupported, quarantined, discarded)
         where a.post_id = n.post_id",
        &ids,
        &column(|account| account.items),
        &column(|account| account.applied),
        &column(|account| account.duplicate),
        &column(|account| account.parked),
        &column(|account| account.unsupported),
        &column(|account| account.quarantined),
        &column(|account| account.discarded),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Items by post and pointer that are listed, and nobody else changes them until the transaction ends.
pub(crate) async fn lock_named(
    connection: &mut PgConnection,
    post_ids: &[Uuid],
    pointers: &[String],
    application_id: Option<Uuid>,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"
        select i.post_id, i.ordinal, i.received_at, i.position, i.pointer, i.field, i.outcome, i.reason, i.application_id, i.connection_id, i.phone_number_id
        from webhook.item i join unnest($1::uuid[], $2::text[]) n(post_id, pointer) on i.post_id = n.post_id and i.pointer = n.pointer
        where $3::uuid is null or i.application_id = $3
        order by i.post_id, i.ordinal for update of i
        "#,
        post_ids,
        pointers,
        application_id,
    )
    .fetch_all(connection)
    .await
}

/// Marks items as not to be applied and corrects the accounts. A reason replaces the one that stands there. Call it with the rows locked.
pub(crate) async fn discard(
    connection: &mut PgConnection,
    post_ids: &[Uuid],
    ordinals: &[i32],
    reason: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        with before as (
          select i.post_id, i.ordinal, i.outcome
          from webhook.item i join unnest($1::uuid[], $2::integer[]) n(post_id, ordinal) on i.post_id = n.post_id and i.ordinal = n.ordinal
        ), done as (
          update webhook.item i set outcome = 6, reason = coalesce($3, i.reason)
          from before b where i.post_id = b.post_id and i.ordinal = b.ordinal
          returning b.post_id, b.outcome
        ), change as (
          select post_id, count(*)::integer as items, (count(*) filter (where outcome = 3))::integer as parked,
                 (count(*) filter (where outcome = 4))::integer as unsupported, (count(*) filter (where outcome = 5))::integer as quarantined
          from done where outcome <> 6 group by post_id
        )
        update webhook.post_account a set
          parked = a.parked - change.parked, unsupported = a.unsupported - change.unsupported, quarantined = a.quarantined - change.quarantined,
          discarded = a.discarded + change.items
        from change where a.post_id = change.post_id
        "#,
        post_ids,
        ordinals,
        reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

// === impl NewItems ===

impl NewItems {
    /// Adds an item as it is listed.
    pub(crate) fn push(&mut self, row: Row) {
        self.post_ids.push(row.post_id);
        self.ordinals.push(row.ordinal);
        self.received_at.push(row.received_at);
        self.positions.push(row.position);
        self.pointers.push(row.pointer);
        self.fields.push(row.field);
        self.outcomes.push(row.outcome);
        self.reasons.push(row.reason);
        self.application_ids.push(row.application_id);
        self.connection_ids.push(row.connection_id);
        self.phone_number_ids.push(row.phone_number_id);
    }
}
