//! The sum of all accounts, and whether anything is missing in them.

use sqlx::PgPool;

/// Sums over every post looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Posts.
    pub posts: i64,
    /// Items in them.
    pub items: i64,
    /// Items of which their outcome is known.
    pub accounted: i64,
    /// Posts without an account though their lane is decoded.
    pub lost: i64,
    /// Posts whose account disagrees with the items that are listed.
    pub wrong: i64,
}

/// As it stands.
pub(crate) async fn get(db: &PgPool) -> sqlx::Result<Ledger> {
    sqlx::query_as!(
        Ledger,
        "select posts, items, accounted, lost, wrong from webhook.ledger"
    )
    .fetch_one(db)
    .await
}

/// Adds the next posts, at most `limit`, that came more than `minutes` ago, up to the first that is not decoded. Returns how many were added.
pub(crate) async fn add(db: &PgPool, minutes: i32, limit: i64) -> sqlx::Result<i64> {
    let added = sqlx::query_scalar!(
        r#"
        with old as (
          select reached from webhook.ledger for update
        ), next as (
          select p.id, p.position > c.decoded as pending
          from webhook.post p join webhook.cursor c using (lane)
          where p.id > (select reached from old) and p.id < (select webhook.first_id(webhook.now_() - make_interval(mins => $1)))
          order by p.id limit $2
        ), seen as (
          select id from next where id < coalesce((select id from next where pending order by id limit 1), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ), listed as (
          select i.post_id, count(*) filter (where i.outcome = 3) as parked, count(*) filter (where i.outcome = 4) as unsupported,
                 count(*) filter (where i.outcome = 5) as quarantined, count(*) filter (where i.outcome = 6) as discarded
          from webhook.item i join seen on seen.id = i.post_id group by i.post_id
        ), sums as (
          select count(*) as posts, coalesce(sum(a.items), 0)::bigint as items,
                 coalesce(sum(a.applied + a.duplicate + a.parked + a.unsupported + a.quarantined + a.discarded), 0)::bigint as accounted,
                 count(*) filter (where a.post_id is null) as lost,
                 count(*) filter (where (a.parked, a.unsupported, a.quarantined, a.discarded) is distinct from
                   (coalesce(l.parked, 0), coalesce(l.unsupported, 0), coalesce(l.quarantined, 0), coalesce(l.discarded, 0)) and a.post_id is not null) as wrong
          from seen left join webhook.post_account a on a.post_id = seen.id left join listed l on l.post_id = seen.id
        )
        update webhook.ledger t set
          reached = (select id from seen order by id desc limit 1), posts = t.posts + s.posts, items = t.items + s.items, accounted = t.accounted + s.accounted,
          lost = t.lost + s.lost, wrong = t.wrong + s.wrong
        from sums s where s.posts > 0
        returning s.posts as "posts!"
        "#,
        minutes,
        limit,
    )
    .fetch_optional(db)
    .await?;
    Ok(added.unwrap_or(0))
}
