//! Items that were not applied.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

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
