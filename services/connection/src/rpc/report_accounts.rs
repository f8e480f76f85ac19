use outeract_proto::connection::internal::v1::{AccountNews, ReportAccountsRequest, ReportAccountsResponse};
use outeract_rpc::{Fault, Reply};
use tonic::{Request, Response};

use crate::desk::Desk;
use crate::fields::Fields;
use crate::news;
use crate::standing::{self, Report};

const MOST: usize = 1_000;
const MAX_WORD: usize = 512;
const MAX_RESTRICTIONS: usize = 32;

pub(super) async fn report_accounts(
    desk: &Desk,
    request: Request<ReportAccountsRequest>,
) -> Reply<ReportAccountsResponse> {
    let reports = check(request.into_inner().news)?;
    let outcomes = standing::take(desk, reports).await?;
    Ok(Response::new(ReportAccountsResponse {
        outcomes: outcomes.into_iter().map(i32::from).collect(),
    }))
}

fn check(news: Vec<AccountNews>) -> Result<Vec<Report>, Fault> {
    if news.len() > MOST {
        return Err(Fault::invalid("news", "must be at most 1000"));
    }
    let mut fields = Fields::default();
    let mut reports = Vec::with_capacity(news.len());
    for (index, news) in news.into_iter().enumerate() {
        let words = [
            ("waba_id", &news.waba_id),
            ("phone_number_id", &news.phone_number_id),
            ("phone_number", &news.phone_number),
            ("field", &news.field),
            ("event", &news.event),
            ("current", &news.current),
            ("status", &news.status),
            ("ban_state", &news.ban_state),
            ("partner_app_id", &news.partner_app_id),
        ];
        for (field, _) in words.iter().filter(|(_, word)| word.len() > MAX_WORD) {
            fields.add(format!("news[{index}].{field}"), "must be at most 512 bytes");
        }
        let long = news.restrictions.iter().any(|one| one.r#type.len() > MAX_WORD);
        if long || news.restrictions.len() > MAX_RESTRICTIONS {
            let path = format!("news[{index}].restrictions");
            fields.add(path, "must be at most 32, of at most 512 bytes each");
        }
        match news::occurred(&news) {
            Some(occurred_at) => reports.push(Report { news, occurred_at }),
            None => fields.add(format!("news[{index}].occur_time"), "must be a time"),
        }
    }
    if fields.are_valid() {
        Ok(reports)
    } else {
        Err(fields.fault())
    }
}
