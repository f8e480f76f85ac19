//! From a draft to an order: whoever has to be asked is asked here, and everything that speaks against storing it is found at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use outeract_domain::{ApplicationId, Content, FileId, Priority, Recipient};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::{Fault, trace};

use super::draft::{Body, Draft};
use super::{Order, Part, Terms, carried};
use crate::files::{File, Files, State};
use crate::ids::{self, MessageIds};
use crate::projection::{Connection, Projection};
use crate::templates::{Definition, Templates};
use crate::vault::{Hash, Letter, Vault};

/// Makes orders. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Preparer {
    pub vault: Vault,
    pub ids: Arc<MessageIds>,
    pub projection: Projection,
    pub files: Files,
    pub templates: Templates,
}

/// What tells a request from others: the hash of its idempotency key, and of what it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub key_hash: Hash,
    pub fingerprint: Hash,
}

/// How long a message may wait by default.
const LIFETIME: Duration = Duration::from_hours(24);

// === impl Preparer ===

impl Preparer {
    /// An order, or everything that speaks against it.
    pub(crate) async fn prepare(
        &self,
        application: ApplicationId,
        draft: Draft,
        identity: Identity,
    ) -> Result<Order, Vec<Fault>> {
        let connection = self
            .connection(application, &draft)
            .await
            .map_err(|fault| vec![fault])?;
        let contents = self.contents(application, &draft).await?;
        let template = self.template(&connection, &draft, &contents).await?;
        let by_content = template
            .as_ref()
            .map_or(Priority::Normal, |template| template.priority());
        let terms = Terms {
            on_unknown: draft.on_unknown,
            priority: draft.priority.unwrap_or(by_content),
            send_at: draft.send_at,
            expires_at: draft.expires_at,
            lifetime: template.and_then(|template| template.lifetime()).unwrap_or(LIFETIME),
        };
        let id = self.ids.next();
        let letters = contents.into_iter().enumerate().map(|(number, content)| Letter {
            to: draft.to.clone(),
            content,
            sandbox: draft.sandbox,
            reply_to: draft.reply_to.clone().filter(|_| number == 0),
            fallback: draft.fallback.clone().filter(|_| number == 0),
        });
        let parts = letters.enumerate().map(|(number, letter)| Part {
            sealed: self
                .vault
                .seal_letter(application, ids::part(id, number).uuid(), &letter),
            letter: Arc::new(letter),
        });
        Ok(Order {
            id,
            application,
            connection,
            parts: parts.collect(),
            to: draft.to,
            terms,
            key_hash: identity.key_hash,
            fingerprint: identity.fingerprint,
            traceparent: trace::current_traceparent(),
            awaited: false,
        })
    }

    /// The application's connection, if it can send now.
    async fn connection(&self, application: ApplicationId, draft: &Draft) -> Result<Arc<Connection>, Fault> {
        let known = self.projection.get(draft.connection).await?;
        let connection = known
            .filter(|connection| connection.application == application)
            .ok_or_else(|| Fault::not_found("connection"))?;
        // Neither a pause nor a restriction is an end: messages are stored and wait.
        if connection.takes() {
            Ok(connection)
        } else {
            let state = connection.obstacle();
            Err(
                Fault::precondition(ErrorReason::ConnectionNotActive, format!("the connection is {state}"))
                    .with("state", state),
            )
        }
    }

    /// What each message of the request says.
    async fn contents(&self, application: ApplicationId, draft: &Draft) -> Result<Vec<Content>, Vec<Fault>> {
        match &draft.body {
            Body::Content(content) => {
                let files = content.file_ids();
                self.ready(application, &files, &|_| "content".to_owned()).await?;
                Ok(vec![content.clone()])
            }
            Body::Files { text, files } => {
                let path = |index: usize| format!("file_ids[{index}]");
                let found = self.ready(application, files, &path).await?;
                let files: Vec<_> = files.iter().filter_map(|id| found.get(id)).collect();
                carried::contents(text.as_deref(), &files).map_err(|violations| vec![Fault::invalid_many(violations)])
            }
        }
    }

    /// The files, if all of them are the application's and here. `path` is where each stands in the request.
    async fn ready(
        &self,
        application: ApplicationId,
        ids: &[FileId],
        path: &(dyn Fn(usize) -> String + Sync),
    ) -> Result<HashMap<FileId, File>, Vec<Fault>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.files.find(application, ids).await.map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            match found.get(id) {
                None => faults.push(Fault::not_found("file").with("field", path(index))),
                Some(file) if file.state != State::Ready => faults.push(file.not_here().with("field", path(index))),
                Some(_) => {}
            }
        }
        if faults.is_empty() { Ok(found) } else { Err(faults) }
    }

    /// The definition of the template that is to be sent, if it is one; and whether it, and one that may go in the message's place, can be sent.
    async fn template(
        &self,
        connection: &Connection,
        draft: &Draft,
        contents: &[Content],
    ) -> Result<Option<Arc<Definition>>, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut admit = async |content: Option<&Content>, path| {
            let template = content?.template()?;
            let admitted = self.templates.admit(&connection.waba, template, path).await;
            admitted.map_err(|fault| faults.push(fault)).ok()
        };
        let template = admit(contents.first(), "content.template").await;
        let fallback = admit(draft.fallback.as_ref(), "fallback_template").await;
        let code = [&template, &fallback]
            .into_iter()
            .flatten()
            .any(|template| template.is_one_time_code());
        if code && matches!(draft.to, Recipient::User(_)) {
            let description = "must be a phone number: Meta sends one-time codes to no user id";
            faults.push(Fault::invalid("to_external_id", description));
        }
        if faults.is_empty() { Ok(template) } else { Err(faults) }
    }
}
