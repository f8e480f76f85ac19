//! One try at a file: where Meta has it, its bytes, and what is noted down of the outcome.

use std::time::Duration;

use futures_util::StreamExt as _;
use outeract_domain::{ConnectionId, FileId};
use outeract_graph::Medium;
use tokio::time::{Instant, timeout};

use super::announce::sha256;
use super::meta::{Miss, reason};
use super::{Needs, application};
use crate::dispatch::Credential;
use crate::files::intake::{Declared, Upload};
use crate::files::{Kind, MimeType, State};
use crate::projection::Connection;
use crate::store::fetch::{self as store, Claimed};
use crate::store::run;

/// A whole try.
const WHOLE: Duration = Duration::from_mins(6);

/// Tries once, and notes down what came of it.
pub(super) async fn run(needs: &Needs, file: Claimed) {
    let start = Instant::now();
    let outcome = tokio::select! {
        () = needs.stop.soft().cancelled() => {
            release(needs, &file).await;
            return;
        }
        outcome = timeout(WHOLE, fetch(needs, &file)) => outcome.unwrap_or(Err(Miss::Later(Duration::ZERO))),
    };
    metrics::histogram!("messaging_file_fetch_seconds").record(start.elapsed());
    let outcome = match outcome {
        Ok(()) => {
            needs.ended.ring();
            "fetched"
        }
        Err(miss) => conclude(needs, &file, &miss).await,
    };
    metrics::counter!("messaging_file_fetches_total", "outcome" => outcome).increment(1);
}

/// Another process takes it on at once.
async fn release(needs: &Needs, file: &Claimed) {
    // Not noted down, the lease runs out.
    let _ = run!(needs.files.0.db, "fetch.postpone", |conn| store::postpone(
        conn, file.file, file.lease, 0.0
    ));
}

/// Notes down when it is tried again, or that it never will. Gives the outcome's name.
async fn conclude(needs: &Needs, file: &Claimed, miss: &Miss) -> &'static str {
    let db = &needs.files.0.db;
    if *miss == Miss::NotOurs {
        return "lost";
    }
    let mut byte = [0; 1];
    needs.files.0.random.fill(&mut byte);
    match miss.next(file.tries, file.age, f64::from(byte[0]) / 255.0) {
        Ok(wait) => {
            // Not noted down, the lease runs out.
            let _ = run!(db, "fetch.postpone", |conn| store::postpone(
                conn, file.file, file.lease, wait
            ));
            "later"
        }
        Err(reason) => {
            let failed = State::Failed.code();
            let noted = run!(db, "fetch.fail", |conn| store::fail(
                conn, file.file, file.lease, failed, reason
            ));
            if noted.is_ok_and(|noted| noted) {
                tracing::info!(file.id = %FileId::from_uuid(file.file), reason, "A user's medium will never be here");
                needs.ended.ring();
            }
            reason
        }
    }
}

async fn fetch(needs: &Needs, file: &Claimed) -> Result<(), Miss> {
    let connection = needs.projection.get(ConnectionId::from_uuid(file.connection)).await;
    let connection = connection.map_err(|_| Miss::Later(Duration::ZERO))?;
    let connection = connection.ok_or(Miss::Later(Duration::ZERO))?;
    if connection.application != application(file) {
        return Err(Miss::Never(reason::GONE));
    }
    let credential = needs.credentials.get(&connection).await;
    let credential = credential.map_err(|_| Miss::Later(Duration::ZERO))?;
    let medium = needs
        .graph
        .media(&credential.token, &connection.number, &file.media_id)
        .await;
    if let Err(outeract_graph::CallError::Refused(error)) = &medium
        && error.code == 190
    {
        // A younger token, if there is one, serves the next try.
        needs.credentials.younger(connection.id, credential.version).await;
    }
    let medium = medium.map_err(|cause| Miss::of_lookup(&cause))?;
    take_in(needs, file, &connection, &credential, &medium).await
}

async fn take_in(
    needs: &Needs,
    file: &Claimed,
    connection: &Connection,
    credential: &Credential,
    medium: &Medium,
) -> Result<(), Miss> {
    let max = needs.limits.max_bytes;
    if medium.file_size > max {
        return Err(Miss::Never(reason::TOO_LARGE));
    }
    let declared = declared(file, medium)?;
    let (id, application) = (FileId::from_uuid(file.file), application(file));
    let download = needs.graph.download(&credential.token, &medium.url).await;
    let mut body = download.map_err(|cause| Miss::of_download(&cause))?.body;
    let mut upload = Upload::fetched(needs.files.clone(), application, id, declared, (file.lease, max));
    let stall = needs.timing.upload_stall;
    let outcome = loop {
        match timeout(stall, body.next()).await {
            Ok(Some(Ok(bytes))) => {
                if let Err(fault) = upload.push(&bytes).await {
                    break Err(Miss::of_intake(&fault));
                }
            }
            Ok(None) => break upload.finish().await.map(drop).map_err(|fault| Miss::of_intake(&fault)),
            Ok(Some(Err(_))) | Err(_) => break Err(Miss::Later(Duration::ZERO)),
        }
    };
    if outcome.is_err() {
        upload.abandon().await;
    }
    tracing::debug!(connection.id = %connection.id, file.id = %id, fetched = outcome.is_ok(), "A user's medium was tried");
    outcome
}

/// What the bytes are to be, by the message and by what Meta tells now. These contradict one another: the bytes are not those of the message.
fn declared(file: &Claimed, medium: &Medium) -> Result<Declared, Miss> {
    let announced: Option<[u8; 32]> = file.sha256.as_slice().try_into().ok();
    let told = sha256(&medium.sha256);
    if announced.zip(told).is_some_and(|(announced, told)| announced != told) {
        return Err(Miss::Doubtful(reason::MISMATCH));
    }
    let known = MimeType::received(&file.mime_type);
    let mime_type = if known == MimeType::received("") {
        MimeType::received(&medium.mime_type)
    } else {
        known
    };
    Ok(Declared {
        // It has one already.
        name: String::new(),
        kind: mime_type.kind().unwrap_or(Kind::Document),
        mime_type,
        size: (medium.file_size > 0).then_some(medium.file_size),
        sha256: announced.or(told),
    })
}
