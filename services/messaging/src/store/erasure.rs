//! Erasures of users: the jobs, and the proof of what each erased.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Steps, as they stand in the table.
pub(crate) mod step {
    pub(crate) const WEBHOOKS: i16 = 1;
    pub(crate) const CANCEL: i16 = 2;
    pub(crate) const FORGET: i16 = 3;
    pub(crate) const DRAIN: i16 = 4;
    pub(crate) const MESSAGES: i16 = 5;
    pub(crate) const REST: i16 = 6;
    pub(crate) const EVENTS: i16 = 7;
}

/// Services, as they stand in the table of counts.
pub(crate) mod service {
    pub(crate) const WEBHOOK: i16 = 1;
    pub(crate) const MESSAGING: i16 = 2;
    pub(crate) const TRACKING: i16 = 3;
}

/// A job that is to be stored.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub id: Uuid,
    pub application: Uuid,
    pub contact: Option<Uuid>,
    pub contacts: &'a [Uuid],
    pub subject: &'a [u8],
    pub identities: &'a [u8],
    pub hashes: &'a [Vec<u8>],
}

/// A job that this process works on.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub id: Uuid,
    pub application: Uuid,
    pub contact: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub forgotten_at: Option<OffsetDateTime>,
    pub lease: Uuid,
    pub after: i64,
    pub place: i32,
    pub pass: i32,
    pub step: i16,
    pub rescan: bool,
    pub contacts: Vec<Uuid>,
    pub identities: Vec<u8>,
}

/// Where a job goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Next {
    pub step: i16,
    pub pass: i32,
    pub place: i32,
    pub after: i64,
    /// It begins a pass: what was found so far was found by the one before.
    pub anew: bool,
    /// In so many seconds.
    pub wait: f64,
}

/// A job as its application sees it.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    pub id: Uuid,
    pub contact: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub forgotten_at: Option<OffsetDateTime>,
    pub ended_at: Option<OffsetDateTime>,
    pub pass: i32,
    pub step: i16,
    pub digest: Option<Vec<u8>>,
}

/// What one service erased of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Count {
    pub erasure: Uuid,
    pub service: i16,
    pub what: String,
    pub rows: i64,
}

/// The unfinished erasure of a contact or, of an id that no contact has, of the id.
pub(crate) async fn under_way(
    conn: &mut PgConnection,
    application: Uuid,
    contact: Option<Uuid>,
    hash: Option<&[u8]>,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT e.id FROM messaging.erasure e
        WHERE e.application_id = $1 AND e.ended_at IS NULL AND ($2::uuid = ANY (e.contacts) OR ($2 IS NULL AND $3::bytea = ANY (e.hashes)))
        ORDER BY e.id LIMIT 1
        "#,
        application,
        contact,
        hash,
    )
    .fetch_optional(conn)
    .await
}

/// Stores a job, unless the application has `most` unfinished ones. Gives the unfinished one of the same subject, which may be older; none: there are too many.
pub(crate) async fn begin(conn: &mut PgConnection, new: &New<'_>, most: i64) -> sqlx::Result<Option<Uuid>> {
    sqlx::query!(
        r#"
        INSERT INTO messaging.erasure (id, application_id, contact_id, created_at, due_at, subject, contacts, identities, hashes)
        SELECT $1, $2, $3, messaging.now_(), messaging.now_(), $4, $5, $6, $7
        WHERE (SELECT count(*) FROM messaging.erasure e WHERE e.application_id = $2 AND e.ended_at IS NULL) < $8
        ON CONFLICT (application_id, subject) WHERE ended_at IS NULL DO NOTHING
        "#,
        new.id,
        new.application,
        new.contact,
        new.subject,
        new.contacts,
        new.identities,
        new.hashes,
        most,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query_scalar!(
        "SELECT id FROM messaging.erasure WHERE application_id = $1 AND subject = $2 AND ended_at IS NULL",
        new.application,
        new.subject,
    )
    .fetch_optional(conn)
    .await
}

/// Takes on the job that has waited longest, for `seconds`.
pub(crate) async fn claim(conn: &mut PgConnection, seconds: f64) -> sqlx::Result<Option<Job>> {
    sqlx::query_as!(
        Job,
        r#"
        WITH due AS (
            SELECT e.id FROM messaging.erasure e
            WHERE e.ended_at IS NULL AND e.due_at <= (SELECT messaging.now_()) ORDER BY e.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
        )
        UPDATE messaging.erasure e SET lease = gen_random_uuid(), due_at = messaging.now_() + make_interval(secs => $1)
        FROM due WHERE e.id = due.id
        RETURNING e.id, e.application_id AS application, e.contact_id AS contact, e.created_at, e.forgotten_at, e.lease AS "lease!", e.after, e.place, e.pass, e.step, e.rescan,
                  e.contacts, e.identities AS "identities!"
        "#,
        seconds,
    )
    .fetch_optional(conn)
    .await
}

/// Holds a job's row until the transaction ends. False: the job is not this process's any more, and nothing may be written for it.
pub(crate) async fn hold(conn: &mut PgConnection, job: &Job) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        r#"SELECT 1 AS "held!" FROM messaging.erasure WHERE id = $1 AND lease = $2 AND ended_at IS NULL FOR UPDATE"#,
        job.id,
        job.lease,
    )
    .fetch_optional(conn)
    .await?;
    Ok(held.is_some())
}

/// Adds to what was erased; it counts as found where that `matters`.
pub(crate) async fn add(
    conn: &mut PgConnection,
    job: &Job,
    service: i16,
    counts: &[(&str, i64)],
    matters: bool,
) -> sqlx::Result<()> {
    let whats: Vec<_> = counts.iter().map(|(what, _)| *what).collect();
    let rows: Vec<_> = counts.iter().map(|(_, rows)| *rows).collect();
    sqlx::query!(
        r#"
        WITH counted AS (
            INSERT INTO messaging.erasure_count AS c (erasure_id, service, what, rows)
            SELECT $1, $2, what, rows FROM unnest($3::text[], $4::bigint[]) AS n (what, rows)
            ON CONFLICT (erasure_id, service, what) DO UPDATE SET rows = c.rows + excluded.rows
        )
        UPDATE messaging.erasure SET found = found + (SELECT coalesce(sum(n.rows), 0) FROM unnest($4::bigint[]) AS n (rows)) WHERE id = $1 AND $5
        "#,
        job.id,
        service,
        whats as _,
        &rows,
        matters,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Notes what another service says that it erased in all; what is more than before counts as found.
pub(crate) async fn note(conn: &mut PgConnection, job: &Job, service: i16, counts: &[(&str, i64)]) -> sqlx::Result<()> {
    let whats: Vec<_> = counts.iter().map(|(what, _)| *what).collect();
    let rows: Vec<_> = counts.iter().map(|(_, rows)| *rows).collect();
    sqlx::query!(
        r#"
        WITH new AS MATERIALIZED (
            SELECT n.what, n.rows, n.rows - coalesce(c.rows, 0) AS more
            FROM unnest($3::text[], $4::bigint[]) AS n (what, rows)
            LEFT JOIN messaging.erasure_count c ON c.erasure_id = $1 AND c.service = $2 AND c.what = n.what
        ), counted AS (
            INSERT INTO messaging.erasure_count AS c (erasure_id, service, what, rows)
            SELECT $1, $2, what, rows FROM new
            ON CONFLICT (erasure_id, service, what) DO UPDATE SET rows = greatest(c.rows, excluded.rows)
        )
        UPDATE messaging.erasure SET found = found + (SELECT coalesce(sum(more), 0) FROM new WHERE more > 0) WHERE id = $1
        "#,
        job.id,
        service,
        whats as _,
        &rows,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Puts a job where it goes on. False: it is not this process's any more.
pub(crate) async fn go_on(conn: &mut PgConnection, job: &Job, next: Next) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        r#"
        UPDATE messaging.erasure
        SET step = $3, pass = $4, place = $5, after = $6, found = CASE WHEN $7 THEN 0 ELSE found END, lease = NULL, due_at = messaging.now_() + make_interval(secs => $8)
        WHERE id = $1 AND lease = $2 AND ended_at IS NULL
        "#,
        job.id,
        job.lease,
        next.step,
        next.pass,
        next.place,
        next.after,
        next.anew,
        next.wait,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Rows that this pass found.
pub(crate) async fn found(conn: &mut PgConnection, job: &Job) -> sqlx::Result<i64> {
    sqlx::query_scalar!("SELECT found FROM messaging.erasure WHERE id = $1", job.id)
        .fetch_one(conn)
        .await
}

/// What is known of the job when its contact is gone.
pub(crate) async fn forgotten(
    conn: &mut PgConnection,
    job: &Job,
    contacts: &[Uuid],
    identities: &[u8],
    hashes: &[Vec<u8>],
    rescan: bool,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        UPDATE messaging.erasure
        SET forgotten_at = coalesce(forgotten_at, messaging.now_()), contact_id = coalesce(contact_id, ($2::uuid[])[1]), contacts = $2, identities = $3, hashes = $4, rescan = rescan OR $5
        WHERE id = $1
        "#,
        job.id,
        contacts,
        identities,
        hashes,
        rescan,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// Ends a job at `at` and forgets whom it erased, and notes its event.
pub(crate) async fn end(
    conn: &mut PgConnection,
    job: &Job,
    at: OffsetDateTime,
    digest: &[u8],
    event: Uuid,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        WITH ended AS (
            UPDATE messaging.erasure SET ended_at = $2, digest = $3, identities = NULL, hashes = NULL, lease = NULL WHERE id = $1
            RETURNING id, application_id, contact_id
        )
        INSERT INTO messaging.contact_event (id, application_id, contact_id, connection_id, at, kind, other_id)
        SELECT $4, application_id, coalesce(contact_id, '00000000-0000-0000-0000-000000000000'), '00000000-0000-0000-0000-000000000000', $2, 4, id FROM ended
        "#,
        job.id,
        at,
        digest,
        event,
    )
    .execute(conn)
    .await
    .map(drop)
}

/// What the clock says, to the microsecond.
pub(crate) async fn now(conn: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(r#"SELECT messaging.now_() AS "now!""#)
        .fetch_one(conn)
        .await
}

/// What was erased, by services and kinds.
pub(crate) async fn counts(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as!(
        Count,
        r#"
        SELECT erasure_id AS erasure, service, what, rows FROM messaging.erasure_count
        WHERE erasure_id = ANY ($1::uuid[]) ORDER BY erasure_id, service, what
        "#,
        ids,
    )
    .fetch_all(conn)
    .await
}

/// One erasure of an application.
pub(crate) async fn get(conn: &mut PgConnection, application: Uuid, id: Uuid) -> sqlx::Result<Option<Shown>> {
    sqlx::query_as!(
        Shown,
        r#"
        SELECT id, contact_id AS contact, created_at, forgotten_at, ended_at, pass, step, digest FROM messaging.erasure WHERE id = $2 AND application_id = $1
        "#,
        application,
        id,
    )
    .fetch_optional(conn)
    .await
}

/// The application's erasures before `before`, the newest first.
pub(crate) async fn page(
    conn: &mut PgConnection,
    application: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Shown>> {
    sqlx::query_as!(
        Shown,
        r#"
        SELECT id, contact_id AS contact, created_at, forgotten_at, ended_at, pass, step, digest FROM messaging.erasure
        WHERE application_id = $1 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') ORDER BY id DESC LIMIT $3
        "#,
        application,
        before,
        limit,
    )
    .fetch_all(conn)
    .await
}

/// Contacts that were removed in the last so many seconds.
pub(crate) async fn lately(conn: &mut PgConnection, seconds: f64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        r#"
        SELECT DISTINCT unnest(e.contacts) AS "contact!" FROM messaging.erasure e
        WHERE e.forgotten_at >= (SELECT messaging.now_()) - make_interval(secs => $1)
        "#,
        seconds,
    )
    .fetch_all(conn)
    .await
}

/// How many jobs are unfinished, and how old the oldest is: for the metrics.
pub(crate) async fn backlog(conn: &mut PgConnection) -> sqlx::Result<(i64, f64)> {
    let row = sqlx::query!(
        r#"
        SELECT count(*) AS "count!", coalesce(extract(epoch FROM messaging.now_() - min(created_at)), 0)::float8 AS "age!"
        FROM messaging.erasure WHERE ended_at IS NULL
        "#
    )
    .fetch_one(conn)
    .await?;
    Ok((row.count, row.age))
}

/// Forgets proofs of more than `days` ago: at most `limit`. Gives how many.
pub(crate) async fn purge(conn: &mut PgConnection, days: i32, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        r#"
        DELETE FROM messaging.erasure e
        USING (
            SELECT id FROM messaging.erasure WHERE ended_at < (SELECT messaging.now_()) - make_interval(days => $1) LIMIT $2
        ) old
        WHERE e.id = old.id
        "#,
        days,
        limit,
    )
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}
