//! Webhooks as Meta sent them.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// A stored webhook, its body still sealed.
#[derive(Debug)]
pub(crate) struct Post {
    /// Its id.
    pub id: Uuid,
    /// Its place in its lane.
    pub position: i64,
    /// When it was stored.
    pub received_at: OffsetDateTime,
    /// The sealed body.
    pub body: Vec<u8>,
}

/// Appends to one lane, in one statement that commits by itself: the lane's row is locked, positions are given, posts are inserted. Returns the lane's new head.
pub(crate) async fn append(
    connection: &mut PgConnection,
    lane: i16,
    ids: &[Uuid],
    sizes: &[i32],
    bodies: &[&[u8]],
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"
        with place as (
          update webhook.lane set head = head + cardinality($2::uuid[]) where lane = $1
          returning head, head - cardinality($2::uuid[]) as before, webhook.now_() as at
        ), posts as (
          insert into webhook.post (id, lane, position, received_at, size, body)
          select new.id, $1, place.before + new.ordinal, place.at, new.size, new.body
          from place, unnest($2::uuid[], $3::integer[], $4::bytea[]) with ordinality new(id, size, body, ordinal)
        )
        select head as "head!" from place
        "#,
        lane,
        ids,
        sizes,
        bodies as _,
    )
    .fetch_one(connection)
    .await
}

/// The posts of a lane after a position, in order: at most `count` of them, and no further one once they hold `bytes`.
pub(crate) async fn after(db: &PgPool, lane: i16, position: i64, count: i64, bytes: i64) -> sqlx::Result<Vec<Post>> {
    sqlx::query_as!(
        Post,
        r#"
        select id as "id!", position as "position!", received_at as "received_at!", body as "body!"
        from (
          select p.*, sum(p.size) over (order by p.position) - p.size as before
          from (select * from webhook.post where lane = $1 and position > $2 order by position limit $3) p
        ) p
        where before < $4
        order by position
        "#,
        lane,
        position,
        count,
        bytes,
    )
    .fetch_all(db)
    .await
}

/// Posts by id, in no order. Those that retention dropped are missing.
pub(crate) async fn by_ids(db: &PgPool, ids: &[Uuid]) -> sqlx::Result<Vec<Post>> {
    sqlx::query_as!(
        Post,
        "select id, position, received_at, body from webhook.post where id = any($1)",
        ids
    )
    .fetch_all(db)
    .await
}

/// One post by id.
pub(crate) async fn get(connection: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Post>> {
    sqlx::query_as!(
        Post,
        "select id, position, received_at, body from webhook.post where id = $1",
        id
    )
    .fetch_optional(connection)
    .await
}

/// Puts other bodies in the place of these posts'.
pub(crate) async fn replace_bodies(
    connection: &mut PgConnection,
    ids: &[Uuid],
    sizes: &[i32],
    bodies: &[Vec<u8>],
) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.post p set size = n.size, body = n.body
         from unnest($1::uuid[], $2::integer[], $3::bytea[]) n(id, size, body) where p.id = n.id",
        ids,
        sizes,
        bodies,
    )
    .execute(connection)
    .await?;
    Ok(())
}
