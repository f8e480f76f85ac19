//! Room for files, and objects that belong to none.

use super::*;
use crate::store::file::{self, Grown, NewFile};

const OTHER: Uuid = Uuid::from_u128(0xb0b);
const QUOTA: i64 = 1_000;

fn new_file(object: &str) -> NewFile<'_> {
    NewFile {
        id: new_id(),
        object,
        size_bytes: 70,
        kind: 1,
        state: 2,
        mime_type: "image/jpeg",
        sha256: b"hash",
        name_sealed: b"name",
    }
}

impl World {
    async fn upload(&self, application: Uuid, object: &str, bytes: i64) -> bool {
        let conn = &mut *self.conn().await;
        file::begin(conn, application, object, bytes, QUOTA, 3_600.0)
            .await
            .expect("no error")
    }

    async fn room(&self, application: Uuid) -> i64 {
        sqlx::query_scalar("SELECT bytes FROM messaging.file_usage WHERE application_id = $1")
            .bind(application)
            .fetch_one(self.database.admin())
            .await
            .expect("a row")
    }
}

#[tokio::test]
async fn room_is_taken_to_the_byte_and_given_back_by_what_a_file_does_not_need() {
    let world = World::new().await;
    assert!(
        !world.upload(APPLICATION, "a/0", QUOTA + 1).await,
        "not even as the first"
    );
    assert!(world.upload(APPLICATION, "a/1", 400).await);
    assert!(world.upload(APPLICATION, "a/2", 600).await);
    assert!(!world.upload(APPLICATION, "a/3", 1).await);
    assert!(world.upload(OTHER, "b/1", QUOTA).await);
    let conn = &mut *world.conn().await;
    assert_eq!(
        file::grow(conn, "a/1", 1, QUOTA).await.expect("no error"),
        Grown::NoRoom
    );
    let file = new_file("a/2");
    assert!(file::finish(conn, &file).await.expect("no error").is_some());
    assert_eq!(world.room(APPLICATION).await, 470);
    assert_eq!(file::grow(conn, "a/1", 530, QUOTA).await.expect("no error"), Grown::Yes);
    assert_eq!(world.room(APPLICATION).await, QUOTA);
    assert!(file::finish(conn, &file).await.expect("no error").is_none(), "once");
    let (object, media) = file::delete(conn, APPLICATION, file.id)
        .await
        .expect("no error")
        .expect("there");
    assert_eq!((object.as_str(), media.len()), ("a/2", 0));
    assert_eq!(world.room(APPLICATION).await, 930);
}

#[tokio::test]
async fn an_upload_that_was_given_up_cannot_end_well() {
    let world = World::new().await;
    assert!(world.upload(APPLICATION, "a/1", 100).await);
    let conn = &mut *world.conn().await;
    assert!(file::note_upload(conn, "a/1", "upload").await.expect("no error"));
    file::forget(conn, "a/1").await.expect("no error");
    assert_eq!(world.room(APPLICATION).await, 100, "what is under way is not forgotten");
    let taken = file::discard(conn, &["a/1", "a/unknown"], 300.0)
        .await
        .expect("no error");
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].upload.as_deref(), Some("upload"));
    assert_eq!(world.room(APPLICATION).await, 0);
    assert_eq!(
        file::grow(conn, "a/1", 1, QUOTA).await.expect("no error"),
        Grown::GivenUp
    );
    assert!(!file::note_upload(conn, "a/1", "other").await.expect("no error"));
    assert!(file::finish(conn, &new_file("a/1")).await.expect("no error").is_none());
    // Given up twice, its room is given back once.
    assert_eq!(file::discard(conn, &["a/1"], 300.0).await.expect("no error").len(), 1);
    assert_eq!(world.room(APPLICATION).await, 0);
}

#[tokio::test]
async fn what_was_abandoned_comes_up_once_it_is_due_and_each_application_gets_its_room_back() {
    let world = World::new().await;
    for (application, object) in [(APPLICATION, "a/1"), (APPLICATION, "a/2"), (OTHER, "b/1")] {
        assert!(world.upload(application, object, 100).await);
    }
    let conn = &mut *world.conn().await;
    assert!(file::due(conn, 10).await.expect("no error").is_empty());
    world.database.advance(time::Duration::hours(1)).await;
    let due = file::due(conn, 10).await.expect("no error");
    assert_eq!(due.len(), 3);
    let due: Vec<&str> = due.iter().map(String::as_str).collect();
    assert_eq!(file::discard(conn, &due, 300.0).await.expect("no error").len(), 3);
    assert_eq!((world.room(APPLICATION).await, world.room(OTHER).await), (0, 0));
    assert!(file::due(conn, 10).await.expect("no error").is_empty());
    file::forget(conn, "a/1").await.expect("no error");
    // What was not deleted comes up again.
    world.database.advance(time::Duration::minutes(5)).await;
    assert_eq!(file::due(conn, 10).await.expect("no error").len(), 2);
}
