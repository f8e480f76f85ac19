//! The files that go with a message: Meta's ids of them are at hand before its intent is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outeract_domain::FileId;
use outeract_graph::GraphError;
use outeract_graph::fault::{classify, doubts_media};

use super::answer::{Next, missed};
use super::call::{Flight, Line, Mood};
use super::cargo::{Cargo, Parcel};
use super::credentials::Credential;
use super::gate::Pass;
use super::record::Finding;
use super::scheduler::Outcome;
use crate::files::MediaProblem;
use crate::problem::{self, FILE_GONE};
use crate::projection::Connection;

/// Meta's ids of a message's files, or why it will not go with them.
pub(super) type Attached = Result<HashMap<FileId, String>, Unsendable>;

/// Why a message will never go with its files, or not as they are.
#[derive(Debug)]
pub(super) enum Unsendable {
    /// A file is gone.
    Gone,
    /// Meta refused a file as it refuses messages: its answer says what follows for this one.
    Refused(GraphError),
}

// === impl Line ===

impl Line {
    /// Meta's ids of the files that a message carries. The error: it has to wait so long.
    pub(super) async fn attach(
        &self,
        parcel: &Parcel,
        pass: Pass,
        connection: &Arc<Connection>,
        credential: &Arc<Credential>,
    ) -> Result<Attached, Duration> {
        // Those of its own content, or of the template in its place.
        let files = pass.content(&parcel.letter).file_ids();
        if files.is_empty() {
            return Ok(Ok(HashMap::new()));
        }
        let resolved = if parcel.letter.sandbox {
            let there = self.media.are_there(connection, parcel.application, &files).await;
            there.map(|()| HashMap::new())
        } else {
            self.media
                .resolve(connection, credential, parcel.application, &files)
                .await
        };
        match resolved {
            Ok(ids) => Ok(Ok(ids)),
            Err(MediaProblem::Gone) => Ok(Err(Unsendable::Gone)),
            Err(MediaProblem::Refused(error)) => Ok(Err(Unsendable::Refused(error))),
            Err(MediaProblem::Later(wait)) => Err(wait),
        }
    }

    /// A file was deleted before the message went: it ends here, without a call.
    pub(super) async fn file_gone(&self, flight: Flight<'_>) -> (Outcome<Cargo>, Mood) {
        let row = missed(&flight, FILE_GONE, None);
        let error = problem::of_reason(FILE_GONE, None, false);
        let noted = self.note(&flight, Finding::Failed { row, error }).await;
        (self.after(&flight, noted, Duration::ZERO), Mood::Free)
    }

    /// Meta's answer casts doubt on the ids of the files: they are forgotten, and with its first try the message goes again at once, the files given to Meta anew. None: the answer means what it
    /// always means.
    pub(super) async fn doubted(&self, flight: &Flight<'_>, error: &GraphError) -> Option<Outcome<Cargo>> {
        let Ok(ids) = &flight.attached else { return None };
        if ids.is_empty() || !doubts_media(error) {
            return None;
        }
        self.media.forget(flight.connection, ids).await;
        if flight.begun.tries > 1 {
            return None;
        }
        let verdict = classify(error);
        let row = missed(flight, verdict.reason, Some(error));
        let told = problem::of_verdict(&verdict, error.code, true);
        let next = Next {
            wait: Duration::ZERO,
            refund: false,
        };
        Some(self.retry(flight, row, told, next).await)
    }
}
