//! What is asked before an intent: whether the recipient's window is open, and whether the recipient wants no marketing; and what Meta's refusals teach about both.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::problem::OUTCOME_UNKNOWN;

/// A message that is about to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub message: Uuid,
    pub application: Uuid,
    pub connection: Uuid,
    pub number: &'a str,
    pub contact: Uuid,
    pub waba: &'a str,
    pub portfolio: &'a str,
    /// Name and language of the template that it is, or that goes in its place.
    pub template: Option<(&'a str, &'a str)>,
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
    /// The template is marketing, as far as is known, and the recipient wants none from the connection.
    pub unwanted: bool,
    /// Meta limits the portfolio.
    pub limited: bool,
    /// It is noted that the template goes in the message's place.
    pub fell_back: bool,
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
    /// It has ended, and Meta did not accept it.
    pub unsent: bool,
}

/// A window as it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_field_names, reason = "what is left of the window")]
pub(crate) struct Window {
    pub last_inbound_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    /// Seconds until it closes; none: Meta closed it.
    pub window_left: Option<f64>,
}

/// What is known of recipients. A template whose category is not known counts as marketing.
pub(crate) async fn look(conn: &mut PgConnection, asked: &[Asked<'_>]) -> sqlx::Result<Vec<Standing>> {
    let messages: Vec<_> = asked.iter().map(|asked| asked.message).collect();
    let applications: Vec<_> = asked.iter().map(|asked| asked.application).collect();
    let connections: Vec<_> = asked.iter().map(|asked| asked.connection).collect();
    let numbers: Vec<_> = asked.iter().map(|asked| asked.number).collect();
    let contacts: Vec<_> = asked.iter().map(|asked| asked.contact).collect();
    let wabas: Vec<_> = asked.iter().map(|asked| asked.waba).collect();
    let portfolios: Vec<_> = asked.iter().map(|asked| asked.portfolio).collect();
    let names: Vec<_> = asked.iter().map(|asked| asked.template.map(|(name, _)| name)).collect();
    let languages: Vec<_> = asked
        .iter()
        .map(|asked| asked.template.map(|(_, language)| language))
        .collect();
    sqlx::query_as!(
        Standing,
        r#"
        SELECT asked.ordinal AS "ordinal!", who.contact AS "contact!",
               messaging.window_left(w.last_inbound_at, w.expires_at, w.closed_at, clock.now) AS "window_left?",
               asked.template IS NOT NULL AND EXISTS (
                   SELECT FROM messaging.suppression s
                   WHERE s.application_id = asked.application AND s.contact_id = who.contact
                     AND s.connection_id IN (asked.connection, '00000000-0000-0000-0000-000000000000')
               ) AND NOT EXISTS (
                   SELECT FROM messaging.template t
                   WHERE t.waba_id = asked.waba AND t.name = asked.template AND t.language = asked.language AND t.category IN (2, 3)
               ) AS "unwanted!",
               NOT EXISTS (SELECT FROM messaging.portfolio p WHERE p.id = asked.portfolio AND p.unique_users IS NULL) AS "limited!",
               asked.template IS NOT NULL AND EXISTS (SELECT FROM messaging.fallback f WHERE f.message_id = asked.message) AS "fell_back!"
        FROM (SELECT messaging.now_() AS now OFFSET 0) clock
        CROSS JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[]) WITH ORDINALITY
            AS asked (message, application, connection, number, contact, waba, portfolio, template, language, ordinal)
        CROSS JOIN LATERAL (
            SELECT coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = asked.contact LIMIT 1), asked.contact) AS contact OFFSET 0
        ) who
        LEFT JOIN LATERAL (
            SELECT * FROM messaging.service_window w WHERE w.phone_number_id = asked.number AND w.contact_id = who.contact LIMIT 1
        ) w ON true
        "#,
        &messages,
        &applications,
        &connections,
        numbers as _,
        &contacts,
        wabas as _,
        portfolios as _,
        names as _,
        languages as _,
    )
    .fetch_all(conn)
    .await
}

/// Notes of messages that their fallback template goes in their place, or not after all. In order.
pub(crate) async fn mark(conn: &mut PgConnection, marks: &[(Uuid, bool)]) -> sqlx::Result<()> {
    let messages: Vec<_> = marks.iter().map(|(message, _)| *message).collect();
    let fallbacks: Vec<_> = marks.iter().map(|(_, fallback)| *fallback).collect();
    sqlx::query!(
        r#"
        WITH marks AS (
            SELECT * FROM unnest($1::uuid[], $2::boolean[]) AS marks (message, fallback)
        ), off AS (
            DELETE FROM messaging.fallback f WHERE f.message_id = ANY (ARRAY(SELECT message FROM marks WHERE NOT fallback))
        )
        INSERT INTO messaging.fallback (message_id) SELECT message FROM marks WHERE fallback ON CONFLICT (message_id) DO NOTHING
        "#,
        &messages,
        &fallbacks,
    )
    .execute(conn)
    .await?;
    Ok(())
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

/// Whom messages go to.
pub(crate) async fn addressees(conn: &mut PgConnection, messages: &[Uuid]) -> sqlx::Result<Vec<Addressee>> {
    sqlx::query_as!(
        Addressee,
        r#"
        SELECT m.id AS message, m.application_id AS application, m.connection_id AS connection, m.phone_number_id AS number, m.contact_id AS addressed,
               coalesce((SELECT c.merged_into FROM messaging.contact c WHERE c.id = m.contact_id LIMIT 1), m.contact_id) AS "contact!",
               coalesce(e.duplicates, 0::smallint) AS "duplicates!", coalesce(e.state IN (5, 6, 7) AND e.reason IS DISTINCT FROM $2, false) AS "unsent!"
        FROM unnest($1::uuid[]) AS asked (id)
        CROSS JOIN LATERAL (SELECT * FROM messaging.message m WHERE m.id = asked.id LIMIT 1) m
        LEFT JOIN LATERAL (SELECT * FROM messaging.ending e WHERE e.message_id = asked.id LIMIT 1) e ON true
        "#,
        messages,
        OUTCOME_UNKNOWN,
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
