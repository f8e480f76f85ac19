//! Items that were not applied.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

use super::again::Row;

/// Items to write, column by column.
#[derive(Debug, Default)]
pub(crate) struct NewItems {
    /// The posts they came in.
    pub post_ids: Vec<Uuid>,
    /// Their places in their posts.
    pub ordinals: Vec<i32>,
    /// When the posts were received.
    pub received_at: Vec<OffsetDateTime>,
    /// The posts' places in their lanes.
    pub positions: Vec<i64>,
    /// Where they stand in the JSON.
    pub pointers: Vec<String>,
    /// Meta's names of their fields.
    pub fields: Vec<String>,
    /// What became of them.
    pub outcomes: Vec<i16>,
    /// Why.
    pub reasons: Vec<String>,
    /// Whose they are, where known.
    pub application_ids: Vec<Option<Uuid>>,
    /// The connection, where known.
    pub connection_ids: Vec<Option<Uuid>>,
    /// The numbers they name; empty where they name none.
    pub phone_number_ids: Vec<String>,
}

/// An item as it is listed.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    /// The post it came in.
    pub post_id: Uuid,
    /// Its place in the post.
    pub ordinal: i32,
    /// When the post was received.
    pub received_at: OffsetDateTime,
    /// Where it stands in the JSON.
    pub pointer: String,
    /// Meta's name of the field.
    pub field: String,
    /// What became of it.
    pub outcome: i16,
    /// Why.
    pub reason: String,
    /// The connection, where known.
    pub connection_id: Option<Uuid>,
}

/// Where a page starts: only items before this place are listed. Lists run from the newest post to the oldest, and backwards within a post.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// The post.
    pub post_id: Uuid,
    /// The place in it.
    pub ordinal: i32,
}

// === impl Before ===

impl Before {
    /// Before nothing: the first page.
    pub(crate) const START: Self = Self {
        post_id: Uuid::max(),
        ordinal: i32::MAX,
    };
}

/// Items of one application, newest first.
pub(crate) async fn of_application(
    db: &PgPool,
    application_id: Uuid,
    outcomes: &[i16],
    before: Before,
    limit: i64,
) -> sqlx::Result<Vec<Item>> {
    // One ordered scan per outcome, merged: each reads no more than the page.
    sqlx::query_as!(
        Item,
        r#"
        select i.post_id as "post_id!", i.ordinal as "ordinal!", i.received_at as "received_at!", i.pointer as "pointer!", i.field as "field!",
               i.outcome as "outcome!", i.reason as "reason!", i.connection_id as "connection_id?"
        from unnest($2::smallint[]) wanted(outcome)
        cross join lateral (
          select * from webhook.item i
          where i.application_id = $1 and i.outcome = wanted.outcome and (i.post_id, i.ordinal) < ($3, $4)
          order by i.post_id desc, i.ordinal desc limit $5
        ) i
        order by i.post_id desc, i.ordinal desc limit $5
        "#,
        application_id,
        outcomes,
        before.post_id,
        before.ordinal,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Items of every application and of none, newest first.
pub(crate) async fn of_all(
    connection: &mut PgConnection,
    outcomes: &[i16],
    before: Before,
    limit: i64,
) -> sqlx::Result<Vec<Item>> {
    sqlx::query_as!(
        Item,
        r#"
        select i.post_id as "post_id!", i.ordinal as "ordinal!", i.received_at as "received_at!", i.pointer as "pointer!", i.field as "field!",
               i.outcome as "outcome!", i.reason as "reason!", i.connection_id as "connection_id?"
        from unnest($1::smallint[]) wanted(outcome)
        cross join lateral (
          select * from webhook.item i
          where i.outcome = wanted.outcome and (i.post_id, i.ordinal) < ($2, $3)
          order by i.post_id desc, i.ordinal desc limit $4
        ) i
        order by i.post_id desc, i.ordinal desc limit $4
        "#,
        outcomes,
        before.post_id,
        before.ordinal,
        limit,
    )
    .fetch_all(connection)
    .await
}

/// One item by its place in the JSON; of any application when none is given.
pub(crate) async fn get(
    connection: &mut PgConnection,
    post_id: Uuid,
    pointer: &str,
    application_id: Option<Uuid>,
) -> sqlx::Result<Option<Row>> {
    sqlx::query_as!(
        Row,
        "select post_id, ordinal, received_at, position, pointer, field, outcome, reason, application_id, connection_id, phone_number_id
         from webhook.item where post_id = $1 and pointer = $2 and ($3::uuid is null or application_id = $3) order by ordinal limit 1",
        post_id,
        pointer,
        application_id,
    )
    .fetch_optional(connection)
    .await
}

// === impl Item ===

impl From<Row> for Item {
    fn from(row: Row) -> Self {
        Self {
            post_id: row.post_id,
            ordinal: row.ordinal,
            received_at: row.received_at,
            pointer: row.pointer,
            field: row.field,
            outcome: row.outcome,
            reason: row.reason,
            connection_id: row.connection_id,
        }
    }
}
