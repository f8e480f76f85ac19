//! The store, in a directory and in a bucket.

use outeract_runtime::config::Value as _;
use tempfile::TempDir;

use super::bucket::Bucket;
use super::*;

/// Writes an object as an upload does. Gives the id of an upload in parts, and the most that was held in memory.
async fn write(store: &Store, key: &str, bytes: &[u8]) -> (Option<String>, usize) {
    let (writer, upload, held) = gather(store, key, bytes).await;
    writer.finish().await.expect("written");
    (upload, held)
}

/// As [`write`], and stops before the end.
async fn gather(store: &Store, key: &str, bytes: &[u8]) -> (Writer, Option<String>, usize) {
    let (mut writer, mut upload, mut held) = (store.write(key), None, 0);
    for mut chunk in bytes.chunks(60_000) {
        writer.fill(&mut chunk);
        while !chunk.is_empty() {
            if writer.is_whole() {
                upload = writer.begin().await.expect("begun");
            }
            writer.flush().await.expect("written");
            writer.fill(&mut chunk);
        }
        held = held.max(writer.held());
    }
    (writer, upload, held)
}

async fn read(store: &Store, key: &str) -> Result<Vec<u8>, StoreError> {
    let mut stream = store.read(key).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn directory() -> (TempDir, Store) {
    let directory = tempfile::tempdir().expect("a directory");
    // It is made when it is not there.
    let url = format!("file://{}/a/b", directory.path().display());
    let store = Store::open(&FilesUrl::parse(&url).expect("a URL"), []).expect("opens");
    (directory, store)
}

async fn bucket() -> (Bucket, Store) {
    let bucket = Bucket::start().await;
    let url = FilesUrl::parse("s3://files/in/here").expect("a URL");
    let store = Store::open(&url, bucket.variables()).expect("opens");
    (bucket, store)
}

/// Lengths around the borders of parts.
const LENGTHS: [usize; 6] = [0, 1, PART - 1, PART, PART + 1, 2 * PART + 1];

#[tokio::test]
async fn in_a_directory_what_was_written_is_read_and_no_more_than_a_part_is_held() {
    let (_directory, store) = directory();
    for length in LENGTHS {
        let (key, bytes) = (format!("app/{length}"), bytes(length));
        let (upload, held) = write(&store, &key, &bytes).await;
        assert!(held <= PART, "{held}");
        assert_eq!(upload, None);
        assert!(read(&store, &key).await.expect("read") == bytes, "{length}");
        store.discard(&key, None).await.expect("removed");
        store.discard(&key, None).await.expect("already");
        assert!(read(&store, &key).await.expect_err("gone").is_absent());
    }
}

#[tokio::test]
async fn in_a_directory_what_was_cut_off_is_removed() {
    let (directory, store) = directory();
    let (writer, _, _) = gather(&store, "app/1", &bytes(2 * PART)).await;
    let staged = directory.path().join("a/b/app/1#1");
    assert!(staged.exists());
    // As after a crash: nobody tidies up.
    std::mem::forget(writer);
    store.discard("app/1", None).await.expect("removed");
    assert!(!staged.exists());
    let (writer, _, _) = gather(&store, "app/2", &bytes(2 * PART)).await;
    drop(writer);
    store.discard("app/2", None).await.expect("removed");
    assert_eq!(
        std::fs::read_dir(directory.path().join("a/b/app"))
            .expect("readable")
            .count(),
        0
    );
}

#[tokio::test]
async fn in_a_bucket_what_was_written_is_read_and_no_request_is_larger_than_a_part() {
    let (bucket, store) = bucket().await;
    for length in LENGTHS {
        let (key, bytes) = (format!("app/{length}"), bytes(length));
        let (upload, held) = write(&store, &key, &bytes).await;
        assert!(held <= PART, "{held}");
        assert_eq!(upload.is_some(), length > PART, "{length}");
        assert!(read(&store, &key).await.expect("read") == bytes, "{length}");
        assert!(
            bucket
                .held
                .lock()
                .expect("whole")
                .objects
                .contains_key(&format!("in/here/{key}"))
        );
        store.discard(&key, upload.as_deref()).await.expect("removed");
        store.discard(&key, upload.as_deref()).await.expect("already");
        assert!(read(&store, &key).await.expect_err("gone").is_absent());
    }
    let held = bucket.held.lock().expect("whole");
    assert_eq!((held.objects.len(), held.uploads.len()), (0, 0));
    assert!(held.largest_body <= PART);
}

#[tokio::test]
async fn in_a_bucket_parts_that_were_cut_off_are_found_by_the_id_of_their_upload() {
    let (bucket, store) = bucket().await;
    let (writer, upload, _) = gather(&store, "app/1", &bytes(2 * PART + 1)).await;
    drop(writer);
    assert_eq!(bucket.held.lock().expect("whole").uploads.len(), 1);
    store.discard("app/1", upload.as_deref()).await.expect("removed");
    let held = bucket.held.lock().expect("whole");
    assert_eq!((held.objects.len(), held.uploads.len()), (0, 0));
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again_and_one_that_goes_on_failing_is_a_fault() {
    let (bucket, store) = bucket().await;
    bucket.held.lock().expect("whole").failures = 2;
    write(&store, "app/1", b"bytes").await;
    bucket.held.lock().expect("whole").failures = u32::MAX;
    let Err(cause) = store.read("app/1").await else {
        panic!("nothing to be read");
    };
    assert!(!cause.is_absent());
    let told = cause.to_string();
    assert!(!told.contains("secret"), "{told}");
    let fault = Fault::from(cause);
    assert_eq!(
        (fault.code(), fault.reason()),
        (Code::Unavailable, ErrorReason::StorageUnavailable)
    );
}

#[test]
fn each_provider_opens_with_its_own_variables() {
    let open = |url: &str, variables: &[(&str, &str)]| {
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Store::open(&FilesUrl::parse(url).expect("a URL"), variables)
    };
    let azure = [
        ("AZURE_STORAGE_ACCOUNT_NAME", "a"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "a2V5"),
    ];
    assert!(open("az://container/x", &azure).is_ok());
    assert!(open("az://container/x", &[]).is_err());
    assert!(open("gs://bucket", &[]).is_ok());
    assert!(open("s3://bucket", &[("AWS_REGION", "eu-central-1")]).is_ok());
    assert!(open("file:///proc/cannot/be/made", &[]).is_err());
}
