//! Looking up what messages carry, many at a time.

use std::collections::HashMap;

use outeract_batch::{Flush, FlushError};
use sqlx::PgPool;
use uuid::Uuid;

use super::MARGIN;
use crate::store::file::{self as store, Sendable};
use crate::store::{DbError, run};

/// A file that is to go from a number.
#[derive(Debug)]
pub(super) struct Wanted {
    pub application: Uuid,
    pub file: Uuid,
    pub number: String,
}

/// Looks files up. The output is none for what is no file of the application.
#[derive(Debug)]
pub(super) struct Lookup {
    pub db: PgPool,
}

impl Flush for Lookup {
    type Item = Wanted;
    type Output = Option<Sendable>;
    type Error = DbError;

    fn weight(&self, _: &Wanted) -> usize {
        64
    }

    async fn flush(&self, wanted: &[Wanted]) -> Result<Vec<Option<Sendable>>, FlushError<DbError>> {
        let applications: Vec<_> = wanted.iter().map(|wanted| wanted.application).collect();
        let files: Vec<_> = wanted.iter().map(|wanted| wanted.file).collect();
        let numbers: Vec<_> = wanted.iter().map(|wanted| wanted.number.as_str()).collect();
        let found = run!(self.db, "file.sendable", |conn| store::sendable(
            conn,
            &applications,
            &files,
            &numbers,
            MARGIN.as_secs_f64()
        ))
        .map_err(FlushError::Whole)?;
        let found: HashMap<_, _> = found
            .into_iter()
            .map(|file| ((file.application, file.id, file.phone_number_id.clone()), file))
            .collect();
        let of = |wanted: &Wanted| {
            found
                .get(&(wanted.application, wanted.file, wanted.number.clone()))
                .cloned()
        };
        Ok(wanted.iter().map(of).collect())
    }
}
