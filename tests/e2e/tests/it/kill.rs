//! `kill -9` of each service, of Postgres, and an empty Redis, while messages flow: nothing promised is lost, nothing is sent twice, and four ledgers agree.
//! How fast the full rate comes back is measured by `cargo dev bench recovery`; here, in a debug build on whatever machine, half of it counts as full.

use std::time::Duration;

use outeract_e2e::{Load, Options, World, strike_and_compare};

const LOAD: Load = Load {
    rate: 200,
    in_flight: 200,
    full: 100,
    patience: Duration::from_mins(1),
};

#[tokio::test(flavor = "multi_thread")]
async fn four_ledgers_agree_after_every_death() {
    let world = World::start("kill", &Options::default()).expect("a world");
    let verdict = strike_and_compare(world, LOAD).await.expect("the ledgers agree");
    println!(
        "{} messages promised, {} accepted by Meta, {} held as unknown, 0 twice, 0 lost, {:.0} a second on the whole",
        verdict.promised,
        verdict.accepted,
        verdict.unknown,
        verdict.mean_rate()
    );
    for (fault, seconds) in verdict.recoveries(LOAD.full) {
        println!("{fault:?}: half of the rate after {seconds:?} s");
        assert!(
            seconds.is_some(),
            "{fault:?}: half of the rate did not come back and last"
        );
    }
    assert!(verdict.mean_rate() >= f64::from(LOAD.rate) / 2.0, "deaths and all");
}
