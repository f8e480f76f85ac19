//! Files on their way to Meta, against the simulator and a real Postgres.

use std::collections::HashSet;
use std::path::Path;

use outeract_clock::{SystemClock, SystemRandom};
use outeract_domain::ConnectionId;
use outeract_egress as egress;
use outeract_graph::Token;
use outeract_proto::connection::v1::ConnectionState;
use outeract_rpc::{Channel, ServiceCredential};
use outeract_seal::Secret;
use outeract_simulator::control::{Client as Control, NewWorld};
use outeract_simulator::{Config as SimulatorConfig, Effect, Handle, Match, Simulator};
use outeract_testkit::{TestDatabase, eventually};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use tempfile::TempDir;

use super::*;
use crate::files::location::FilesUrl;
use crate::store::file::NewFile;
use crate::vault::tests::vault;

/// A database, a store, a simulator, and what gives files to it.
struct World {
    database: TestDatabase,
    pool: PgPool,
    _directory: TempDir,
    _simulator: Handle,
    meta: Control,
    graph: Client,
    store: Store,
    media: Media,
    /// Two numbers of the application.
    connections: Vec<Arc<Connection>>,
    credential: Arc<Credential>,
    application: ApplicationId,
}

const SOON: Duration = Duration::from_secs(30);

impl World {
    async fn new() -> Self {
        let database = TestDatabase::create(&["messaging"]).await;
        let pool = database.pool("messaging").await;
        let directory = tempfile::tempdir().expect("a directory");
        let store = store_in(directory.path());
        let simulator = Simulator::start(SimulatorConfig::default()).await.expect("a simulator");
        let meta = simulator.client().expect("a client");
        let new = NewWorld {
            numbers_per_waba: 2,
            ..NewWorld::default()
        };
        let made = meta.create_world(&new).await.expect("a world");
        let secret = Secret::from(SimulatorConfig::default().app_secret.as_str());
        let token = Token::with_app_secret(Secret::from(made.token.as_str()), &secret);
        let application = ApplicationId::new(&SystemClock, &SystemRandom);
        let numbers = made.wabas[0].numbers.iter();
        let connections = numbers.map(|number| Arc::new(connection(application, &number.phone_number_id)));
        let graph = Client::new(
            egress::Client::new(&egress::Config::default()).expect("a client"),
            &simulator.url(),
            "v25.0",
        );
        let stop = Stop::new();
        // Nobody asks it for a token here.
        let credential = ServiceCredential::new("messaging", &"s".repeat(40)).expect("a credential");
        let channel = Channel::new("http://127.0.0.1:9", credential).expect("a channel");
        let media = Media::start(Parts {
            db: pool.clone(),
            tasks: Tasks::new(stop.clone()),
            stop,
            store: store.clone(),
            projection: Projection::new(pool.clone(), vault()),
            credentials: Credentials::new(channel),
            graph: graph.clone(),
        });
        Self {
            connections: connections.collect(),
            database,
            pool,
            _directory: directory,
            _simulator: simulator,
            meta,
            graph,
            store,
            media,
            credential: Arc::new(Credential { token, version: 1 }),
            application,
        }
    }

    /// A file of the application, in this state.
    async fn file(&self, state: State, bytes: &[u8]) -> FileId {
        let id = FileId::new(&SystemClock, &SystemRandom);
        let object = format!("{}/{}", self.application.uuid(), id.uuid());
        let mut writer = self.store.write(&object);
        let mut rest = bytes;
        writer.fill(&mut rest);
        while !rest.is_empty() {
            if writer.is_whole() {
                writer.begin().await.expect("begun");
            }
            writer.flush().await.expect("written");
            writer.fill(&mut rest);
        }
        writer.finish().await.expect("written");
        let mut conn = self.pool.acquire().await.expect("a connection");
        let application = self.application.uuid();
        assert!(
            store::begin(&mut conn, application, &object, 1, i64::MAX, 60.0)
                .await
                .expect("begun")
        );
        let row = NewFile {
            id: id.uuid(),
            object: &object,
            size_bytes: bytes.len() as i64,
            kind: 1,
            state: state.code(),
            mime_type: "image/jpeg",
            sha256: b"",
            name_sealed: b"",
        };
        assert!(store::finish(&mut conn, &row).await.expect("finished").is_some());
        id
    }

    async fn resolve(&self, number: usize, files: &[FileId]) -> Result<HashMap<FileId, String>, MediaProblem> {
        let connection = &self.connections[number];
        self.media
            .resolve(connection, &self.credential, self.application, files)
            .await
    }

    /// The id of a file that goes well.
    async fn id(&self, number: usize, file: FileId) -> String {
        let mut ids = self.resolve(number, &[file]).await.expect("resolved");
        ids.remove(&file).expect("its id")
    }

    async fn calls(&self) -> u64 {
        self.meta.stats().await.expect("stats").calls
    }

    /// Something goes wrong with the next uploads.
    async fn fault(&self, count: u64, effect: Effect) {
        let matches = Match {
            endpoint: Some("media".to_owned()),
            count: Some(count),
            ..Match::default()
        };
        self.meta.fault(matches, effect).await.expect("a rule");
    }

    async fn delete(&self, file: FileId) {
        let mut conn = self.pool.acquire().await.expect("a connection");
        let gone = store::delete(&mut conn, self.application.uuid(), file.uuid()).await;
        assert!(gone.expect("deleted").is_some());
    }

    /// Meta has it, for this number.
    async fn is_at_meta(&self, number: usize, id: &str) -> bool {
        let number = &self.connections[number].number;
        self.graph.media(&self.credential.token, number, id).await.is_ok()
    }
}

fn store_in(directory: &Path) -> Store {
    let url = FilesUrl::Directory {
        path: directory.to_owned(),
        shared: false,
    };
    Store::open(&url, []).expect("opens")
}

fn connection(application: ApplicationId, number: &str) -> Connection {
    Connection {
        id: ConnectionId::new(&SystemClock, &SystemRandom),
        application,
        version: 1,
        token_version: 1,
        state: ConnectionState::Active,
        paused: false,
        throughput_per_second: 80,
        number: number.parse().expect("a number"),
        waba: "1".to_owned(),
        display_number: "+14155550100".to_owned(),
        auto_mark_read: false,
        restricted_outside: false,
        portfolio: "1".into(),
    }
}

fn jpeg(length: usize) -> Vec<u8> {
    let mut bytes = b"\xFF\xD8\xFF\xE0\0\x10JFIF\0".to_vec();
    bytes.resize(length, 7);
    bytes
}

#[tokio::test]
async fn a_file_is_given_to_meta_once_for_however_many_messages() {
    let world = World::new().await;
    // Several parts in the store, one request to Meta.
    let bytes = jpeg(5 << 20);
    let file = world.file(State::Ready, &bytes).await;
    world
        .fault(
            1,
            Effect::Latency {
                before_ms: 300,
                after_ms: 0,
                jitter_ms: 0,
            },
        )
        .await;
    let before = world.calls().await;
    let many = (0..50).map(|_| world.id(0, file));
    let ids: HashSet<String> = futures_util::future::join_all(many).await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.id(0, file).await, *ids.iter().next().expect("one"));
    assert_eq!(world.calls().await - before, 1);
    let number = &world.connections[0].number;
    let medium = world
        .graph
        .media(&world.credential.token, number, &world.id(0, file).await)
        .await;
    let medium = medium.expect("it is there");
    assert_eq!(
        (medium.mime_type.as_str(), medium.file_size, medium.sha256),
        ("image/jpeg", bytes.len() as u64, hex::encode(Sha256::digest(&bytes)))
    );
}

#[tokio::test]
async fn each_number_has_its_own_id_and_each_file() {
    let world = World::new().await;
    let files = [
        world.file(State::Ready, &jpeg(100)).await,
        world.file(State::Ready, &jpeg(200)).await,
    ];
    let first = world.resolve(0, &files).await.expect("resolved");
    let second = world.resolve(1, &files).await.expect("resolved");
    let ids: HashSet<&String> = first.values().chain(second.values()).collect();
    assert_eq!((first.len(), second.len(), ids.len()), (2, 2, 4));
    assert!(world.is_at_meta(0, &first[&files[0]]).await);
    assert!(!world.is_at_meta(1, &first[&files[0]]).await);
    // Twice in a message is once.
    assert_eq!(
        world.resolve(0, &[files[0], files[0]]).await.expect("resolved").len(),
        1
    );
    assert_eq!(world.resolve(0, &[]).await.expect("nothing to do").len(), 0);
}

#[tokio::test]
async fn an_id_is_used_until_a_day_before_meta_lets_go_of_it() {
    let world = World::new().await;
    let file = world.file(State::Ready, &jpeg(100)).await;
    let first = world.id(0, file).await;
    world
        .database
        .advance(time::Duration::days(28) + time::Duration::hours(23))
        .await;
    assert_eq!(world.id(0, file).await, first);
    world.database.advance(time::Duration::hours(2)).await;
    let second = world.id(0, file).await;
    assert_ne!(second, first);
    assert_eq!(world.id(0, file).await, second);
    let mut conn = world.pool.acquire().await.expect("a connection");
    assert_eq!(store::purge_media(&mut conn, 10).await.expect("purged"), 0);
    world.database.advance(time::Duration::days(30)).await;
    assert_eq!(store::purge_media(&mut conn, 10).await.expect("purged"), 1);
}

#[tokio::test]
async fn what_is_gone_foreign_or_never_came_will_never_go() {
    let world = World::new().await;
    let mut other = world.file(State::Ready, &jpeg(100)).await;
    let id = world.id(0, other).await;
    let connection = &world.connections[0];
    let stranger = ApplicationId::new(&SystemClock, &SystemRandom);
    // Also while its owner asks for the same in the same moment.
    let files = [other];
    let (own, foreign) = tokio::join!(
        world.id(0, other),
        world.media.resolve(connection, &world.credential, stranger, &files)
    );
    assert_eq!(own, id);
    assert!(matches!(foreign, Err(MediaProblem::Gone)), "{foreign:?}");
    world.delete(other).await;
    assert!(matches!(world.resolve(0, &[other]).await, Err(MediaProblem::Gone)));
    other = world.file(State::Failed, &jpeg(100)).await;
    assert!(matches!(world.resolve(0, &[other]).await, Err(MediaProblem::Gone)));
    other = world.file(State::Pending, &jpeg(100)).await;
    assert!(matches!(world.resolve(0, &[other]).await, Err(MediaProblem::Later(_))));
    let (good, bad) = (
        world.file(State::Ready, &jpeg(100)).await,
        FileId::new(&SystemClock, &SystemRandom),
    );
    assert!(matches!(world.resolve(0, &[good, bad]).await, Err(MediaProblem::Gone)));
}

#[tokio::test]
async fn what_meta_refuses_is_told_and_what_is_unclear_is_tried_again() {
    let world = World::new().await;
    let file = world.file(State::Ready, &jpeg(100)).await;
    let refusal = Effect::Error {
        code: 131_053,
        http_status: None,
        details: None,
        subcode: None,
        is_transient: None,
    };
    world.fault(1, refusal).await;
    let refused = world.resolve(0, &[file]).await;
    assert!(
        matches!(refused, Err(MediaProblem::Refused(GraphError { code: 131_053, .. }))),
        "{refused:?}"
    );
    for unclear in [
        Effect::ResetBefore,
        Effect::ResponseLost,
        Effect::Truncated,
        Effect::NonJson,
    ] {
        world.fault(1, unclear.clone()).await;
        let told = world.resolve(0, &[file]).await;
        assert!(matches!(told, Err(MediaProblem::Later(_))), "{unclear:?}: {told:?}");
    }
    assert!(!world.id(0, file).await.is_empty());
}

#[tokio::test]
async fn a_message_does_not_hold_its_place_for_a_long_upload() {
    let world = World::new().await;
    let file = world.file(State::Ready, &jpeg(100)).await;
    let (before_ms, after_ms, jitter_ms) = (3_000, 0, 0);
    world
        .fault(
            1,
            Effect::Latency {
                before_ms,
                after_ms,
                jitter_ms,
            },
        )
        .await;
    let before = world.calls().await;
    let began = Instant::now();
    assert!(matches!(world.resolve(0, &[file]).await, Err(MediaProblem::Later(_))));
    assert!(began.elapsed() < Duration::from_millis(before_ms));
    // The upload goes on without it, and those that come later join it.
    eventually(SOON, async || world.resolve(0, &[file]).await.is_ok()).await;
    assert_eq!(world.calls().await - before, 1);
}

#[tokio::test]
async fn a_forgotten_id_is_replaced_and_a_younger_one_is_not_forgotten() {
    let world = World::new().await;
    let file = world.file(State::Ready, &jpeg(100)).await;
    let stale = world.resolve(0, &[file]).await.expect("resolved");
    world.media.forget(&world.connections[0], &stale).await;
    let fresh = world.resolve(0, &[file]).await.expect("resolved");
    assert_ne!(fresh, stale);
    // Another message that went with the first id says the same, later.
    world.media.forget(&world.connections[0], &stale).await;
    assert_eq!(world.resolve(0, &[file]).await.expect("resolved"), fresh);
}

#[tokio::test]
async fn a_file_that_is_deleted_on_its_way_to_meta_does_not_stay_there() {
    let world = World::new().await;
    let file = world.file(State::Ready, &jpeg(100)).await;
    world
        .fault(
            1,
            Effect::Latency {
                before_ms: 0,
                after_ms: 1_000,
                jitter_ms: 0,
            },
        )
        .await;
    let files = [file];
    let (told, ()) = tokio::join!(world.resolve(0, &files), async {
        // Uploaded, and the answer not there yet.
        eventually(SOON, async || world.calls().await > 0).await;
        world.delete(file).await;
    });
    assert!(matches!(told, Err(MediaProblem::Gone)), "{told:?}");
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM messaging.file_media")
        .fetch_one(world.database.admin())
        .await
        .expect("a count");
    assert_eq!(kept, 0);
    // The upload, and the deletion that followed it.
    eventually(SOON, async || world.calls().await == 2).await;
}
