//! Files are taken and given out piece by piece: in a process of its own, memory is measured while hundreds of megabytes go through the service.

#![expect(clippy::expect_used, reason = "a test that cannot get what it needs fails at once")]
#![expect(dead_code, reason = "what it shares with other tests is not used whole")]

#[path = "../it/instance.rs"]
mod instance;
#[path = "../it/siblings.rs"]
mod siblings;
#[path = "../it/suite.rs"]
mod suite;
#[path = "../it/uploading.rs"]
mod uploading;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use outeract_proto::messaging::v1::DownloadFileRequest;
use outeract_proto::messaging::v1::UploadFileRequest;
use tokio::task::JoinSet;

use crate::instance::FileClient;
use crate::suite::Suite;
use crate::uploading::{CHUNK, NOTHING, chunk, delete, first, metadata};

const MIB: u64 = 1 << 20;
/// A document of Meta's largest size.
const LARGE: usize = 100 << 20;
/// Uploads at a time.
const AT_ONCE: usize = 4;
/// What all of them may take together: a part of 5 MiB each, once more while it grows, and what lies in HTTP/2's windows on both sides. Their bytes are four times as many.
const MOST: u64 = 96 * MIB;

/// Watches the memory of this process.
struct Watch {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn begin() -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(resident(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        Self {
            stop,
            most,
            thread: Some(thread),
        }
    }

    fn most(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it runs");
        thread.join().expect("it watched");
        self.most.load(Ordering::Relaxed)
    }
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    let kilobytes = line.split_whitespace().nth(1).expect("a figure");
    kilobytes.parse::<u64>().expect("a number") * 1_024
}

/// A PDF of so many bytes, made as it goes.
fn document(length: usize) -> impl Iterator<Item = UploadFileRequest> + Send + 'static {
    let body = (0..length.div_ceil(CHUNK)).map(move |index| {
        let mut bytes = vec![index as u8; CHUNK.min(length - index * CHUNK)];
        if index == 0 {
            bytes[..8].copy_from_slice(b"%PDF-1.7");
        }
        chunk(&bytes)
    });
    [first(metadata("application/pdf"))].into_iter().chain(body)
}

/// Uploads a document, downloads it, deletes it.
async fn life(client: FileClient, length: usize) {
    let file = uploading::send(&client, document(length)).await.expect("uploaded");
    assert_eq!(file.size_bytes, length as i64);
    let request = DownloadFileRequest { id: file.id.clone() };
    let mut parts = client
        .clone()
        .download_file(request)
        .await
        .expect("opened")
        .into_inner();
    let mut count = 0;
    while let Some(part) = parts.message().await.expect("downloaded") {
        count += usize::from(part.part.is_some());
    }
    // The file, and its chunks.
    assert!(count > length / CHUNK);
    delete(&client, &file.id).await.expect("deleted");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_is_flat_however_large_the_files_are() {
    let suite = Suite::new().await;
    let instance = suite.start().await;
    // What is allocated once is allocated.
    life(instance.files(&suite.key).await, 12 << 20).await;
    let before = resident();
    let watch = Watch::begin();
    let mut lives = JoinSet::new();
    for _ in 0..AT_ONCE {
        lives.spawn(life(instance.files(&suite.key).await, LARGE));
    }
    while lives.join_next().await.transpose().expect("no panic").is_some() {}
    let grown = watch.most().saturating_sub(before);
    println!(
        "{} MiB through the service, {} MiB more in memory at most",
        (AT_ONCE * LARGE) as u64 / MIB,
        grown / MIB
    );
    assert!(grown < MOST, "{} MiB", grown / MIB);
    suite.nothing_left().await;
    assert_eq!(suite.left().await, NOTHING);
}
