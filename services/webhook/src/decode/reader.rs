//! From stored posts to items.

use std::panic::catch_unwind;

use outeract_graph::webhook::{self, Kind};
use outeract_seal::{KeyRing, OpenError};

use super::account::{Head, Place};
use crate::store::post::Post;
use crate::{reason, sealed};

/// Posts, read into their items.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The posts.
    pub posts: Vec<Head>,
    /// Their items, in order.
    pub items: Vec<Item>,
}

/// One item on its way to its outcome.
#[derive(Debug)]
pub(crate) struct Item {
    /// Where it stands.
    pub place: Place,
    /// The WABA that the webhook names; empty when it names none.
    pub waba_id: String,
    /// What it is.
    pub kind: Kind,
}

/// The key of a body is not in the key ring: a mistake in this process's configuration, and no reason to give up what is stored.
#[derive(Debug, thiserror::Error)]
#[error("key {0} is missing in the key ring")]
pub(crate) struct KeyMissing(pub String);

/// Opens and reads posts. What cannot be read becomes an item that says so.
pub(crate) async fn read(posts: Vec<Post>, keyring: &KeyRing) -> Result<Batch, KeyMissing> {
    let mut batch = Batch::default();
    for post in posts {
        // Reading is plain work: between posts, others have their turn.
        tokio::task::consume_budget().await;
        let index = batch.posts.len();
        let items = read_one(&post, keyring)?;
        batch
            .items
            .extend(items.into_iter().enumerate().map(|(ordinal, item)| Item {
                place: Place {
                    post: index,
                    ordinal: ordinal as i32,
                    pointer: item.pointer,
                    field: item.field,
                    phone_number_id: item.phone_number_id.unwrap_or_default(),
                },
                waba_id: item.waba_id,
                kind: item.kind,
            }));
        batch.posts.push(Head {
            id: post.id,
            position: post.position,
            received_at: post.received_at,
        });
    }
    Ok(batch)
}

fn read_one(post: &Post, keyring: &KeyRing) -> Result<Vec<webhook::Item>, KeyMissing> {
    match keyring.open(&sealed::body(post.id.as_bytes()), &post.body) {
        // A reader that panics on one body would panic on it for ever, and hold up all behind it.
        Ok(body) => Ok(match catch_unwind(|| webhook::parse(&body, post.received_at)) {
            Ok(items) => items.unwrap_or_else(|_| whole(reason::MALFORMED_JSON)),
            Err(_) => whole(reason::BODY_UNREADABLE),
        }),
        Err(OpenError::UnknownKey(key)) => Err(KeyMissing(key)),
        Err(OpenError::Malformed | OpenError::Rejected) => Ok(whole(reason::BODY_UNREADABLE)),
    }
}

/// The whole body as one item that cannot be read.
fn whole(reason: &'static str) -> Vec<webhook::Item> {
    vec![webhook::Item {
        pointer: String::new(),
        waba_id: String::new(),
        field: String::new(),
        phone_number_id: None,
        kind: Kind::Broken { reason },
    }]
}
