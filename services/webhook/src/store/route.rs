//! Which connection a phone number belongs to, as the connection service last said.

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use uuid::Uuid;

/// One connection's number.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The connection.
    pub connection_id: Uuid,
    /// Its application.
    pub application_id: Uuid,
    /// Meta's id of the WABA.
    pub waba_id: String,
    /// Meta's id of the number.
    pub phone_number_id: String,
    /// Where the connection stands: the contract's number.
    pub state: i16,
    /// The number in E.164 form, sealed.
    pub display_number: Vec<u8>,
    /// Since when it receives what comes for its number, without a break.
    pub since: OffsetDateTime,
    /// Parked items of the number are being applied: newer ones wait behind them.
    pub unparking: bool,
}

/// Snapshots of connections, column by column: one row per connection.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    /// The connections.
    pub connection_ids: Vec<Uuid>,
    /// Their applications.
    pub application_ids: Vec<Uuid>,
    /// How often they changed.
    pub versions: Vec<i64>,
    /// Their WABAs.
    pub waba_ids: Vec<String>,
    /// Their numbers' ids.
    pub phone_number_ids: Vec<String>,
    /// Where they stand.
    pub states: Vec<i16>,
    /// Their numbers, sealed.
    pub display_numbers: Vec<Vec<u8>>,
}

/// A connection whose snapshot is newer than what stands here.
#[derive(Debug)]
pub(crate) struct Change {
    /// The connection.
    pub connection_id: Uuid,
    /// The number it had, when it is known already.
    pub old_number: Option<String>,
}

/// The routes of these numbers, and of these WABAs.
pub(crate) async fn find(db: &PgPool, numbers: &[String], wabas: &[String]) -> sqlx::Result<Vec<Route>> {
    sqlx::query_as!(
        Route,
        r#"
        select connection_id, application_id, waba_id, phone_number_id, state, display_number, since,
               exists (select from webhook.unpark u where u.phone_number_id = r.phone_number_id) as "unparking!"
        from webhook.route r
        where phone_number_id = any($1) or waba_id = any($2)
        "#,
        numbers,
        wabas,
    )
    .fetch_all(db)
    .await
}

/// Which of these connections are not known in this version or a newer one.
pub(crate) async fn changes(
    connection: &mut PgConnection,
    ids: &[Uuid],
    versions: &[i64],
) -> sqlx::Result<Vec<Change>> {
    sqlx::query_as!(
        Change,
        r#"
        select new.connection_id as "connection_id!", r.phone_number_id as "old_number?"
        from unnest($1::uuid[], $2::bigint[]) new(connection_id, version) left join webhook.route r using (connection_id)
        where r.version is null or r.version < new.version
        "#,
        ids,
        versions,
    )
    .fetch_all(connection)
    .await
}

/// Takes over snapshots; the higher version wins.
pub(crate) async fn upsert(connection: &mut PgConnection, new: &Snapshots) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into webhook.route as r (connection_id, application_id, version, waba_id, phone_number_id, state, display_number)
        select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::smallint[], $7::bytea[]) order by 1
        on conflict (connection_id) do update set
          application_id = excluded.application_id, version = excluded.version, waba_id = excluded.waba_id,
          phone_number_id = excluded.phone_number_id, state = excluded.state, display_number = excluded.display_number,
          since = case
            when (r.application_id, r.waba_id, r.phone_number_id) = (excluded.application_id, excluded.waba_id, excluded.phone_number_id) and r.state in (1, 2, 3)
            then r.since else webhook.now_()
          end
        where r.version < excluded.version
        "#,
        &new.connection_ids,
        &new.application_ids,
        &new.versions,
        &new.waba_ids,
        &new.phone_number_ids,
        &new.states,
        &new.display_numbers,
    )
    .execute(connection)
    .await?;
    Ok(())
}
