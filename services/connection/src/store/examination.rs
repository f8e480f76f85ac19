//! Which accounts Meta is asked about anew, and what it said.

use std::time::Duration;

use outeract_domain::ApplicationId;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// A connection of an account that Meta is to be asked about. All of one account have one token.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) id: Uuid,
    pub(crate) application: ApplicationId,
    pub(crate) waba_id: String,
    pub(crate) phone_number_id: String,
    pub(crate) grant_id: Uuid,
    pub(crate) token_sealed: Vec<u8>,
    /// When it was taken, by the database's clock.
    pub(crate) taken_at: OffsetDateTime,
}

/// What Meta says of a connection's number and of its account.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) id: Uuid,
    pub(crate) throughput_per_second: i32,
    pub(crate) quality_rating: String,
    pub(crate) verified_name: String,
    /// Empty: Meta did not say.
    pub(crate) portfolio_id: String,
    /// Empty: Meta did not say.
    pub(crate) messaging_limit: String,
}

/// Takes one account that is due, all its active connections. Whoever takes it and is gone leaves it due again after `lease`.
pub(crate) async fn take(db: &PgPool, lease: Duration) -> sqlx::Result<Vec<Due>> {
    let rows = sqlx::query!(
        r#"WITH first AS (
            SELECT application_id, waba_id, grant_id FROM connection.connection
            WHERE state = 1 AND examine_at <= (SELECT connection.now_()) ORDER BY examine_at LIMIT 1 FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE connection.connection AS c SET examine_at = connection.now_() + make_interval(secs => $1)
            FROM first WHERE c.state = 1 AND c.application_id = first.application_id AND c.waba_id = first.waba_id AND c.grant_id = first.grant_id
            RETURNING c.id, c.application_id, c.waba_id, c.phone_number_id, c.grant_id
        )
        SELECT taken.id, taken.application_id, taken.waba_id, taken.phone_number_id, taken.grant_id, g.token_sealed, connection.now_() AS "taken_at!"
        FROM taken JOIN connection.token_grant g ON g.id = taken.grant_id ORDER BY taken.id"#,
        lease.as_secs_f64()
    )
    .fetch_all(db)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        id: row.id,
        application: ApplicationId::from_uuid(row.application_id),
        waba_id: row.waba_id,
        phone_number_id: row.phone_number_id,
        grant_id: row.grant_id,
        token_sealed: row.token_sealed,
        taken_at: row.taken_at,
    });
    Ok(due.collect())
}

/// Notes what Meta said at `asked_at`; what it did not say stays as it was. Gives the connections of which something is to be told, with their new versions: one whose limit was read anew is,
/// though it be the same, so that it outranks older news.
pub(crate) async fn note(
    db: &mut PgConnection,
    findings: &[Finding],
    asked_at: OffsetDateTime,
    again_after: Duration,
) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
    let throughputs: Vec<_> = findings.iter().map(|finding| finding.throughput_per_second).collect();
    let qualities: Vec<_> = findings.iter().map(|finding| finding.quality_rating.clone()).collect();
    let names: Vec<_> = findings.iter().map(|finding| finding.verified_name.clone()).collect();
    let portfolios: Vec<_> = findings.iter().map(|finding| finding.portfolio_id.clone()).collect();
    let limits: Vec<_> = findings.iter().map(|finding| finding.messaging_limit.clone()).collect();
    let rows = sqlx::query!(
        r#"WITH new AS (
            SELECT new.*, new.messaging_limit <> '' OR new.portfolio NOT IN ('', c.portfolio_id)
                OR (c.throughput_per_second, c.quality_rating, c.verified_name) <> (new.throughput, new.quality, new.verified_name) AS told
            FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[])
                AS new (id, throughput, quality, verified_name, portfolio, messaging_limit)
            JOIN connection.connection c ON c.id = new.id AND c.state = 1
        )
        UPDATE connection.connection AS c
        SET throughput_per_second = new.throughput, quality_rating = new.quality, verified_name = new.verified_name,
            portfolio_id = coalesce(nullif(new.portfolio, ''), c.portfolio_id),
            messaging_limit = coalesce(nullif(new.messaging_limit, ''), c.messaging_limit),
            messaging_limit_at = CASE WHEN new.messaging_limit = '' THEN c.messaging_limit_at ELSE $7 END,
            examine_at = connection.now_() + make_interval(secs => $8), version = c.version + new.told::integer,
            updated_at = CASE WHEN new.told THEN connection.now_() ELSE c.updated_at END
        FROM new WHERE c.id = new.id AND c.state = 1
        RETURNING c.id, c.version, new.told AS "told!""#,
        &ids,
        &throughputs,
        &qualities,
        &names,
        &portfolios,
        &limits,
        asked_at,
        again_after.as_secs_f64()
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().filter(|row| row.told);
    Ok(told.map(|row| (row.id, row.version)).collect())
}
