//! Templates: read from Meta, listed, and sent.

mod agree;
mod given;
mod read;
mod send;
mod wait;

use outeract_proto::messaging::v1::{ListTemplatesRequest, SyncTemplatesRequest, Template};
use outeract_proto::r#type::v1::ErrorReason;
use outeract_rpc::reason;
use outeract_simulator::{Effect, Match};
use outeract_testkit::eventually;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

pub(crate) use self::given::short;
pub(crate) use self::wait::told;
use crate::instance::TemplateClient;
use crate::suite::{SOON, Suite};

/// Templates that an account has from the beginning.
const DEFAULTS: usize = 7;
/// A reading begins a minute after the one before at the earliest.
const MINUTE: time::Duration = time::Duration::seconds(61);

impl Suite {
    /// Waits until the account's templates were read.
    pub(crate) async fn templates_known(&self) {
        eventually(SOON, async || self.template_count().await >= DEFAULTS as i64).await;
    }

    async fn template_count(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT count(*) FROM messaging.template t JOIN messaging.template_sync s USING (waba_id) WHERE s.synced_at IS NOT NULL",
        )
        .fetch_one(self.database.admin())
        .await
        .expect("a count")
    }

    /// Something happens to calls for lists of templates. Gives the rule's number.
    async fn lists(&self, effect: Effect) -> u64 {
        let matches = Match {
            endpoint: Some("message_templates".to_owned()),
            ..Match::default()
        };
        self.meta.fault(matches, effect).await.expect("a rule")
    }

    /// Counts calls for lists of templates.
    async fn count_lists(&self) -> u64 {
        self.lists(Effect::Latency {
            before_ms: 0,
            after_ms: 0,
            jitter_ms: 0,
        })
        .await
    }

    async fn counted(&self, rule: u64) -> u64 {
        let rules = self.meta.faults().await.expect("rules");
        rules.iter().find(|found| found.id == rule).expect("known").applied
    }

    async fn sync(&self, client: &mut TemplateClient) -> Result<i32, Status> {
        let request = SyncTemplatesRequest {
            connection_id: self.numbers[0].connection.to_string(),
        };
        let answer = client.sync_templates(request).await?;
        Ok(answer.into_inner().template_count)
    }

    /// Every template, by pages of so many.
    async fn list(&self, client: &mut TemplateClient, page_size: i32) -> Vec<Vec<Template>> {
        let mut request = ListTemplatesRequest {
            connection_id: self.numbers[0].connection.to_string(),
            page_size,
            ..ListTemplatesRequest::default()
        };
        let mut pages = Vec::new();
        loop {
            let page = client
                .list_templates(request.clone())
                .await
                .expect("a page")
                .into_inner();
            pages.push(page.templates);
            if page.next_page_token.is_empty() {
                return pages;
            }
            request.page_token = page.next_page_token;
        }
    }
}

fn refused(status: &Status) -> (Code, ErrorReason) {
    (status.code(), reason(status).expect("a reason"))
}

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(refused(status), (Code::InvalidArgument, ErrorReason::InvalidField));
    let request = status.get_details_bad_request().expect("fields");
    request.field_violations.into_iter().map(|field| field.field).collect()
}
