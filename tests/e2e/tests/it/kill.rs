//! `kill -9` of each service, of Postgres, and an empty Redis, while messages flow: nothing promised is lost, nothing is sent twice, and four ledgers agree.
//! How fast the full rate comes back is measured by `cargo dev bench recovery`.

use std::time::Duration;

use outeract_e2e::{Load, Options, World, strike_and_compare};

#[tokio::test(flavor = "multi_thread")]
async fn four_ledgers_agree_after_every_death() {
    let world = World::start("kill", &Options::default()).expect("a world");
    let load = Load {
        rate: 200,
        in_flight: 64,
        between: Duration::from_secs(6),
    };
    let verdict = strike_and_compare(world, load).await.expect("the ledgers agree");
    println!(
        "{} messages promised, {} accepted by Meta, {} held as unknown, 0 twice, 0 lost",
        verdict.promised, verdict.accepted, verdict.unknown
    );
    assert!(verdict.accepted > 200, "messages flowed between the deaths");
}
