//! What operators switch.

use outeract_domain::KeyId;
use sqlx::PgConnection;

/// Stops or resumes decoding.
pub(crate) async fn set_decoding(
    connection: &mut PgConnection,
    paused: bool,
    why: &str,
    by: KeyId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update webhook.setting set decoding_paused = $1, why = $2, changed_by = $3, changed_at = webhook.now_()",
        paused,
        why,
        by.uuid(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
