//! Readings of templates, and what webhooks and refusals change in between.

use time::Duration;

use super::*;
use crate::store::template::{self, Heard, Refused};
use crate::store::template_sync::{self as sync, Early, Listed, Reading};

const WABA: &str = "102290129340398";
const APPROVED: i16 = 1;
const REJECTED: i16 = 3;
const PAUSED: i16 = 4;
const HOUR: f64 = 3_600.0;

fn listed(name: &str) -> Listed {
    Listed {
        name: name.to_owned(),
        language: "en_US".to_owned(),
        meta_id: format!("id-{name}"),
        status: APPROVED,
        meta_status: "APPROVED".to_owned(),
        category: 2,
        quality: "GREEN".to_owned(),
        reason: String::new(),
        named: false,
        components: r#"[{"type":"BODY","text":"Hi"}]"#.to_owned(),
    }
}

fn heard<'a>(name: &'a str, status: i16, word: &'a str) -> Heard<'a> {
    Heard {
        name,
        language: "en_US",
        status: Some(status),
        meta_status: Some(word),
        reason: Some(""),
        ..Heard::default()
    }
}

impl World {
    async fn begin_reading(&self) -> Result<Reading, Early> {
        sync::begin(&mut *self.conn().await, WABA, Uuid::now_v7())
            .await
            .expect("no error")
    }

    /// Begins a reading, a minute after the last.
    async fn reading(&self) -> Reading {
        self.database.advance(Duration::seconds(61)).await;
        self.begin_reading().await.expect("begun")
    }

    async fn store_page(&self, reading: &mut Reading, templates: &[Listed]) -> bool {
        let stored = sync::take_over(&mut *self.conn().await, reading, templates)
            .await
            .expect("no error");
        reading.at = stored.unwrap_or(reading.at);
        stored.is_some()
    }

    async fn finish_reading(&self, reading: &Reading, found: &[Listed]) -> bool {
        let keys: Vec<_> = found
            .iter()
            .map(|template| (template.name.clone(), template.language.clone()))
            .collect();
        sync::finish(&mut *self.conn().await, reading, &keys, HOUR, 0.0)
            .await
            .expect("no error")
    }

    /// A whole reading that finds these.
    async fn read_all(&self, found: &[Listed]) {
        let mut reading = self.reading().await;
        assert!(self.store_page(&mut reading, found).await);
        assert!(self.finish_reading(&reading, found).await);
    }

    async fn template(&self, name: &str) -> Option<template::Template> {
        template::get(&mut *self.conn().await, WABA, name, "en_US")
            .await
            .expect("no error")
    }

    async fn hear(&self, heard: &Heard<'_>) {
        template::hear(&mut *self.conn().await, WABA, heard)
            .await
            .expect("no error");
    }

    /// Seconds until the next reading is due.
    async fn due_in(&self) -> f64 {
        sqlx::query_scalar(
            "SELECT extract(epoch FROM due_at - messaging.now_())::double precision FROM messaging.template_sync WHERE waba_id = $1",
        )
        .bind(WABA)
        .fetch_one(self.database.admin())
        .await
        .expect("a row")
    }

    async fn changed_at(&self) -> Option<time::OffsetDateTime> {
        let since = time::OffsetDateTime::UNIX_EPOCH;
        let (changed, _) = sync::changed(&mut *self.conn().await, since).await.expect("no error");
        changed.into_iter().find(|(waba, _)| waba == WABA).map(|(_, at)| at)
    }
}

#[tokio::test]
async fn one_reads_an_account_at_a_time_and_not_twice_a_minute() {
    let world = World::new().await;
    let mut first = world.begin_reading().await.expect("begun");
    let early = world.begin_reading().await.expect_err("one runs");
    assert!(early.runs && (50.0..=60.0).contains(&early.wait), "{early:?}");
    assert!(world.store_page(&mut first, &[listed("a")]).await);
    assert!(world.finish_reading(&first, &[listed("a")]).await);
    let early = world.begin_reading().await.expect_err("too early");
    assert!(!early.runs && (50.0..=60.0).contains(&early.wait), "{early:?}");

    // One that died holds its account for two minutes.
    let mut dead = world.reading().await;
    world.database.advance(Duration::seconds(121)).await;
    let mut heir = world.begin_reading().await.expect("begun");
    assert!(!world.store_page(&mut dead, &[listed("b")]).await);
    assert!(!world.finish_reading(&dead, &[]).await);
    assert_eq!(world.template("b").await, None);
    assert!(world.store_page(&mut heir, &[listed("c")]).await);
}

#[tokio::test]
async fn what_is_due_is_shared_out_and_rests_without_a_connection() {
    let world = World::new().await;
    let wabas: Vec<_> = (1..=5).map(|number| number.to_string()).collect();
    let (mut one, mut other) = (world.conn().await, world.conn().await);
    sync::introduce(&mut one, &wabas).await.expect("introduced");
    let (mine, theirs) = tokio::join!(
        sync::begin_due(&mut one, Uuid::from_u128(1), 3),
        sync::begin_due(&mut other, Uuid::from_u128(2), 3)
    );
    let mut begun: Vec<_> = mine.expect("mine").into_iter().chain(theirs.expect("theirs")).collect();
    begun.extend(
        sync::begin_due(&mut one, Uuid::from_u128(3), 10)
            .await
            .expect("the rest"),
    );
    begun.sort_by(|one, other| one.waba.cmp(&other.waba));
    let read: Vec<_> = begun.iter().map(|reading| reading.waba.clone()).collect();
    assert_eq!(read, wabas);

    for reading in &begun {
        sync::give_up(&mut one, reading, true).await.expect("rests");
    }
    world.database.advance(Duration::days(1)).await;
    let none = sync::begin_due(&mut one, Uuid::from_u128(4), 10).await.expect("none");
    assert_eq!(none, []);
    // A webhook wakes no account that rests; a connection that becomes active does.
    sync::want(&mut one, &wabas).await.expect("wanted");
    sync::introduce(&mut one, &wabas[..1]).await.expect("introduced");
    world.database.advance(Duration::days(1)).await;
    let awake = sync::begin_due(&mut one, Uuid::from_u128(5), 10).await.expect("one");
    assert_eq!(awake.len(), 1);
}

#[tokio::test]
async fn unchanged_templates_are_not_written_and_changed_ones_are_told() {
    let world = World::new().await;
    let both = [listed("a"), listed("b")];
    world.read_all(&both).await;
    let before = world.changed_at().await.expect("changed");
    let rows = "SELECT array_agg(xmin::text ORDER BY name) FROM messaging.template";
    let versions = async || -> Vec<String> {
        sqlx::query_scalar(rows)
            .fetch_one(world.database.admin())
            .await
            .expect("rows")
    };
    let first = versions().await;
    world.read_all(&both).await;
    assert_eq!(
        (versions().await, world.changed_at().await),
        (first.clone(), Some(before))
    );

    let edited = Listed {
        components: "[]".to_owned(),
        quality: "RED".to_owned(),
        ..listed("b")
    };
    // Of two entries with one key only one can be taken.
    world.read_all(&[listed("a"), edited.clone(), edited]).await;
    let now = versions().await;
    assert!(now[0] == first[0] && now[1] != first[1]);
    assert!(world.changed_at().await > Some(before));
    let template = world.template("b").await.expect("there");
    assert_eq!(
        (template.quality.as_str(), template.components.as_slice()),
        ("RED", &b"[]"[..])
    );
}

#[tokio::test]
async fn what_meta_lists_no_longer_is_gone_after_a_second_look() {
    let world = World::new().await;
    world.read_all(&[listed("a"), listed("b")]).await;
    assert!((HOUR - 10.0..=HOUR).contains(&world.due_in().await));
    world.read_all(&[listed("a")]).await;
    assert!(world.template("b").await.is_some(), "a list can skip one");
    assert!((50.0..=60.0).contains(&world.due_in().await), "the second look is soon");
    world.read_all(&[listed("a")]).await;
    assert_eq!(world.template("b").await, None);
    assert!(world.template("a").await.is_some());

    // One that was found again counts from the beginning.
    world.read_all(&[]).await;
    world.read_all(&[listed("a")]).await;
    world.read_all(&[]).await;
    assert!(world.template("a").await.is_some());
}

#[tokio::test]
async fn what_a_webhook_told_after_meta_was_asked_stays() {
    let world = World::new().await;
    world.read_all(&[listed("a")]).await;
    let mut reading = world.reading().await;
    world.database.advance(Duration::seconds(1)).await;
    let explained = Heard {
        reason: Some("For 3 hours."),
        ..heard("a", PAUSED, "PAUSED")
    };
    world.hear(&explained).await;
    assert!(world.store_page(&mut reading, &[listed("a")]).await);
    assert_eq!(world.template("a").await.expect("there").status, PAUSED);
    assert!(world.finish_reading(&reading, &[listed("a")]).await);
    assert!(
        (5.0..=10.0).contains(&world.due_in().await),
        "another look was wanted meanwhile"
    );

    // What Meta is asked for later it knows better; but webhooks explain more.
    let paused = Listed {
        status: PAUSED,
        meta_status: "PAUSED".to_owned(),
        ..listed("a")
    };
    world.read_all(std::slice::from_ref(&paused)).await;
    let template = world.template("a").await.expect("there");
    assert_eq!((template.status, template.reason.as_str()), (PAUSED, "For 3 hours."));
    world.read_all(&[listed("a")]).await;
    let template = world.template("a").await.expect("there");
    assert_eq!((template.status, template.reason.as_str()), (APPROVED, ""));
}

#[tokio::test]
async fn webhooks_find_their_template_by_id_or_by_name_and_change_nothing_twice() {
    let world = World::new().await;
    world.read_all(&[listed("a"), listed("b")]).await;
    let by_id = Heard {
        meta_id: "id-b",
        reason: Some("SCAM"),
        ..heard("a", REJECTED, "REJECTED")
    };
    world.hear(&by_id).await;
    assert_eq!(world.template("a").await.expect("there").status, APPROVED);
    assert_eq!(world.template("b").await.expect("there").status, REJECTED);
    assert!((5.0..=10.0).contains(&world.due_in().await));

    let before = world.changed_at().await;
    world.database.advance(Duration::seconds(1)).await;
    world.hear(&by_id).await;
    assert_eq!(world.changed_at().await, before);
    // Of an id that is not known, only the next reading can tell.
    let unknown = Heard {
        meta_id: "id-other",
        ..heard("a", PAUSED, "PAUSED")
    };
    world.hear(&unknown).await;
    world.hear(&heard("none", PAUSED, "PAUSED")).await;
    assert_eq!(world.changed_at().await, before);
    world.hear(&heard("a", PAUSED, "PAUSED")).await;
    assert_eq!(world.template("a").await.expect("there").status, PAUSED);

    let category = Heard {
        meta_id: "id-a",
        category: Some(1),
        quality: Some("YELLOW"),
        ..Heard::default()
    };
    world.hear(&category).await;
    let template = world.template("a").await.expect("there");
    assert_eq!(
        (template.category, template.quality.as_str(), template.status),
        (1, "YELLOW", PAUSED)
    );
}

#[tokio::test]
async fn a_refusal_changes_only_what_counted_as_approved() {
    let world = World::new().await;
    world.read_all(&[listed("a"), listed("b")]).await;
    world.hear(&heard("b", REJECTED, "REJECTED")).await;
    let refused = |name: &str| Refused {
        waba: WABA.to_owned(),
        name: name.to_owned(),
        language: "en_US".to_owned(),
        status: PAUSED,
        meta_status: "PAUSED",
    };
    let before = world.changed_at().await;
    world.database.advance(Duration::seconds(1)).await;
    let all = [refused("a"), refused("b"), refused("none")];
    template::refuse(&mut *world.conn().await, &all)
        .await
        .expect("no error");
    assert_eq!(world.template("a").await.expect("there").status, PAUSED);
    assert_eq!(world.template("b").await.expect("there").status, REJECTED);
    assert!(world.changed_at().await > before);
}

#[tokio::test]
async fn failures_and_limits_move_the_next_reading() {
    let world = World::new().await;
    let reading = world.reading().await;
    let mut conn = world.conn().await;
    sync::fail(&mut conn, &reading, 120.0, 600.0).await.expect("no error");
    assert!((110.0..=120.0).contains(&world.due_in().await));
    let early = world.begin_reading().await.expect_err("Meta said to wait");
    assert!(!early.runs && early.wait > 590.0, "{early:?}");
    world.database.advance(Duration::seconds(601)).await;
    let again = world.begin_reading().await.expect("begun");
    assert_eq!(again.failures, 1);
    assert!(world.finish_reading(&again, &[]).await);

    sync::pause_all(&mut conn, 300.0).await.expect("no error");
    let early = world.begin_reading().await.expect_err("the app has to wait");
    assert!(early.wait > 290.0, "{early:?}");
    sync::pause_all(&mut conn, 10.0).await.expect("no error");
    let early = world
        .begin_reading()
        .await
        .expect_err("a shorter wait does not shorten it");
    assert!(early.wait > 280.0, "{early:?}");
    assert_eq!(sync::failing(&mut conn).await.expect("a count"), 0);
}

#[tokio::test]
async fn lists_come_in_pages_of_so_many_and_of_so_many_bytes() {
    let world = World::new().await;
    let mut all: Vec<_> = ["a", "b", "c", "d", "e"].into_iter().map(listed).collect();
    all[1].status = PAUSED;
    all[4].language = "de".to_owned();
    all[3].components = format!("[\"{}\"]", "x".repeat(2 * 1024 * 1024));
    world.read_all(&all).await;
    let names = async |status, after, limit| {
        let (rows, more) = template::list(&mut *world.conn().await, WABA, status, after, limit)
            .await
            .expect("no error");
        (rows.into_iter().map(|row| row.name).collect::<Vec<_>>().concat(), more)
    };
    let page = |names: &str, more| (names.to_owned(), more);
    assert_eq!(names(None, ("", ""), 2).await, page("ab", true));
    assert_eq!(
        names(None, ("b", "en_US"), 2).await,
        page("c", true),
        "the next has too many bytes"
    );
    assert_eq!(
        names(None, ("c", "en_US"), 9).await,
        page("d", true),
        "one is always given"
    );
    assert_eq!(names(None, ("d", "en_US"), 9).await, page("e", false));
    assert_eq!(names(None, ("e", "a"), 9).await, page("e", false));
    assert_eq!(names(Some(PAUSED), ("", ""), 9).await, page("b", false));
    assert_eq!(names(None, ("z", ""), 9).await, page("", false));
    assert_eq!(
        template::list(&mut *world.conn().await, "1", None, ("", ""), 9)
            .await
            .expect("none"),
        (vec![], false)
    );
}
