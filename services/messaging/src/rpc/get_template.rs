//! `GetTemplate`.

use outeract_proto::messaging::v1::{GetTemplateRequest, GetTemplateResponse};
use outeract_rpc::{Fault, Reply, Violation, caller};
use tonic::{Request, Response};

use super::templates::{self, Templates};
use crate::store::{run, template as store};
use crate::templates::fault;

pub(super) async fn get_template(
    service: &Templates,
    request: Request<GetTemplateRequest>,
) -> Reply<GetTemplateResponse> {
    let application = caller::application(&request)?.id;
    let request = request.into_inner();
    let missing: Vec<_> = [("name", &request.name), ("language_code", &request.language_code)]
        .into_iter()
        .filter(|(_, text)| text.is_empty())
        .map(|(path, _)| Violation::new(path, "is required"))
        .collect();
    if !missing.is_empty() {
        return Err(Fault::invalid_many(missing).into());
    }
    let connection = templates::connection(&service.projection, application, &request.connection_id).await?;
    let (waba, name, language) = (&connection.waba, &request.name, &request.language_code);
    // No name of Meta's holds what Postgres cannot.
    let row = if name.contains('\0') || language.contains('\0') {
        None
    } else {
        let db = &service.context.db;
        run!(db, "template.get", |conn| store::get(conn, waba, name, language)).map_err(Fault::from)?
    };
    let template = templates::told(row.ok_or_else(fault::not_found)?)?;
    Ok(Response::new(GetTemplateResponse {
        template: Some(template),
    }))
}
