//! What is asked before an intent: whether the recipient's window is open, and whether the recipient wants no marketing; and what Meta's refusals teach about both.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A message that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub application: Uuid,
    pub connection: Uuid,
    pub number: &'a str,
    pub contact: Uuid,
    pub portfolio: &'a str,
    /// Whether a wish for no marketing concerns it.
    pub marketing: bool,
}

/// What is known of its recipient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    /// Where the question stood among the others, from 1.
    pub ordinal: i64,
    /// Whom the contact became, if it was merged into another.
    pub contact: Uuid,
    /// Seconds until the window closes; none: there is none, or Meta closed it.
    pub window_left: Option<f64>,
    pub suppressed: bool,
    /// Meta limits the portfolio.
    pub limited: bool,
}

/// A window that Meta says is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Closing<'a> {
    pub number: &'a str,
    pub contact: Uuid,
    /// When Meta said so: at a time of its clock, or so many seconds ago, whichever is later.
    pub at: Option<OffsetDateTime>,
    pub seconds_ago: Option<f64>,
}

/// A user who wants no marketing from a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suppression {
    pub application: Uuid,
    pub contact: Uuid,
    pub connection: Uuid,
}

/// Whom a message goes to.
#[derive(Debug, Clone)]
pub(crate) struct Addressee {
    pub message: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub number: String,
    pub addressed: Uuid,
    /// Whom that contact became, if it was merged into another.
    pub contact: Uuid,
    /// Acceptances by Meta beyond the first.
    pub duplicates: i16,
}

/// A window as it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Window {
    pub last_inbound_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    /// Seconds until it closes; none: Meta closed it.
    pub window_left: Option<f64>,
}

/// [`Suppression`]s that come from a refusal of Meta's.
const META_REFUSAL: i16 = 3;

/// What is known of recipients.
pub(crate) async fn look(conn: &mut PgConnection, asked: &[Asked<'_>]) -> sqlx::Result<Vec<Standing>> {
    let applications: Vec<_> = asked.iter().map(|asked| asked.application).collect();
    let connections: Vec<_> = asked.iter().map(|asked| asked.connection).collect();
    let numbers: Vec<_> = asked.iter().map(|asked| asked.number).collect();
    let contacts: Vec<_> = asked.iter().map(|asked| asked.contact).collect();
    let portfolios: Vec<_> = asked.iter().map(|asked| asked.portfolio).collect();
    let marketing: Vec<_> = asked.iter().map(|asked| asked.marketing).collect();
    sqlx::query_as!(
        Standing,
        r#"
        SELECT asked.ordinal AS "ordinal!", who.contact AS "contact!",
               messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, clock.now) AS "window_left?",
               asked.marketing AND EXISTS (
                   SELECT FROM messaging.suppression s
                   WHERE s.application_id = asked.application AND s.contact_id = who.contact
                     AND s.connection_id IN (asked.connection, '00000000-0000-0000-0000-000000000000')
               ) AS "suppressed!",
               NOT EXISTS (SELECT FROM messaging.portfolio p WHERE p.id = asked.portfolio AND p.unique_users IS NULL) AS "limited!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        CROSS JOIN unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::boolean[]) WITH ORDINALITY
            AS asked (application, connection, number, contact, portfolio, marketing, ordinal)
        CROSS JOIN LATERAL (
            SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = asked.contact LIMIT 1), asked.contact) AS contact OFFSET 0
        ) who
        LEFT JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = asked.number AND w.contact_id = who.contact LIMIT 1
        ) w ON true
        "#,
        &applications,
        &connections,
        numbers as _,
        &contacts,
        portfolios as _,
        &marketing,
    )
    .fetch_all(conn)
    .await
}

/// Meta said that windows are closed: they are until the user writes again. In the order of number and contact, each pair once.
pub(crate) async fn close_windows(conn: &mut PgConnection, closings: &[Closing<'_>]) -> sqlx::Result<()> {
    let numbers: Vec<_> = closings.iter().map(|closing| closing.number).collect();
    let contacts: Vec<_> = closings.iter().map(|closing| closing.contact).collect();
    let times: Vec<_> = closings.iter().map(|closing| closing.at).collect();
    let ago: Vec<_> = closings.iter().map(|closing| closing.seconds_ago).collect();
    sqlx::query!(
        r#"
        UPDATE messaging.service_window w
        SET closed_at = greatest(w.closed_at, least(clock.now, greatest(closing.at, clock.now - make_interval(secs => closing.ago))))
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        CROSS JOIN unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::float8[]) AS closing (number, contact, at, ago)
        WHERE w.phone_number_id = closing.number AND w.contact_id = closing.contact AND w.phone_number_id = ANY ($1) AND w.contact_id = ANY ($2)
        "#,
        numbers as _,
        &contacts,
        &times as _,
        &ago as _,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Meta refused marketing because users stopped it. In order.
pub(crate) async fn suppress(conn: &mut PgConnection, suppressions: &[Suppression]) -> sqlx::Result<()> {
    let applications: Vec<_> = suppressions.iter().map(|new| new.application).collect();
    let contacts: Vec<_> = suppressions.iter().map(|new| new.contact).collect();
    let connections: Vec<_> = suppressions.iter().map(|new| new.connection).collect();
    sqlx::query!(
        r#"
        INSERT INTO messaging.suppression (application_id, contact_id, connection_id, source, at)
        SELECT new.application, new.contact, new.connection, $4::smallint, messaging.now_()
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS new (application, contact, connection)
        ON CONFLICT (application_id, contact_id, connection_id) DO NOTHING
        "#,
        &applications,
        &contacts,
        &connections,
        META_REFUSAL,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whom messages go to.
pub(crate) async fn addressees(conn: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<Addressee>> {
    sqlx::query_as!(
        Addressee,
        r#"
        SELECT m.id AS message, m.application_id AS application, m.connection_id AS connection, m.phone_number_id AS number, m.contact_id AS addressed,
               coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = m.contact_id LIMIT 1), m.contact_id) AS "contact!",
               coalesce((SELECT e.duplicates FROM messaging.ending e WHERE e.message_id = asked.id LIMIT 1), 0::smallint) AS "duplicates!"
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id LIMIT 1) m
        "#,
        messages,
    )
    .fetch_all(conn)
    .await
}

/// One window.
pub(crate) async fn window(conn: &mut PgConnection, number: &str, contact: Uuid) -> sqlx::Result<Option<Window>> {
    sqlx::query_as!(
        Window,
        r#"
        SELECT w.last_inbound_at, w.expires_at, messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, messaging.now_()) AS window_left
        FROM messaging.service_window w WHERE w.phone_number_id = $1 AND w.contact_id = $2
        "#,
        number,
        contact,
    )
    .fetch_optional(conn)
    .await
}
