#![allow(warnings, clippy::all, clippy::pedantic)]
#[path = "../tests/it/suite.rs"]
mod suite;
use suite::*;
use outeract_proto::tracking::internal::v1::RecordEventsRequest;
use outeract_proto::tracking::v1::*;
use std::time::{Duration, Instant};
fn cpu_of(pid: i32) -> f64 {
    let mut sum = 0.0;
    if let Ok(dir) = std::fs::read_dir(format!("/proc/{pid}/task")) {
        for t in dir.flatten() {
            if let Ok(text) = std::fs::read_to_string(t.path().join("schedstat")) { sum += text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1000.0; }
        }
    }
    sum
}
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut suite = Suite::new().await;
    let instance = suite.start(&[]).await;
    let apps: Vec<App> = (0..20).map(|_| suite.app()).collect();
    let pids = || async { sqlx::query_scalar::<_, i32>("SELECT pid FROM pg_stat_activity WHERE datname=current_database() AND usename='outeract_tracking'").fetch_all(suite.db.admin()).await.unwrap() };
    instance.record(vec![apps[0].inbound(0)]).await;
    let mut n = 1_u32;
    for (callers, size) in [(1_u32, 1_u32), (64, 1), (64, 4), (8, 100), (2, 256)] {
        let pids0 = pids().await;
        let before: f64 = pids0.iter().map(|p| cpu_of(*p)).sum();
        let own = cpu_of(std::process::id() as i32);
        let began = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        let internal = instance.internal();
        for c in 0..callers {
            let (mut internal, apps) = (internal.clone(), apps.clone());
            let base = n + c * 1_000_000;
            set.spawn(async move {
                let end = Instant::now() + Duration::from_secs(3);
                let mut k = base; let mut done = 0_u64; let mut lat = Vec::new();
                while Instant::now() < end {
                    let events = (0..size).map(|_| { k += 1; apps[(k % 20) as usize].inbound(k) }).collect();
                    let b = Instant::now();
                    internal.record_events(RecordEventsRequest { events }).await.unwrap();
                    lat.push(b.elapsed());
                    done += u64::from(size);
                }
                (done, lat)
            });
        }
        let out = set.join_all().await;
        n += callers * 1_000_000;
        let took = began.elapsed().as_secs_f64();
        let events: u64 = out.iter().map(|o| o.0).sum();
        let mut lat: Vec<Duration> = out.into_iter().flat_map(|o| o.1).collect(); lat.sort();
        let after: f64 = pids().await.iter().map(|p| cpu_of(*p)).sum();
        println!("record {callers}x{size}: {:.0} ev/s, p50 {:?} p99 {:?}, PG {:.1} us/ev, service+client {:.1} us/ev", events as f64 / took, lat[lat.len()/2], lat[lat.len()*99/100], (after - before) / events as f64, (cpu_of(std::process::id() as i32) - own) / events as f64);
    }
    // Stream everything of one application.
    let mut events = instance.events(&apps[0]).await;
    let request = StreamEventsRequest { consumer: "m".into(), max_unacked: 10_000, ..Default::default() };
    let before: f64 = pids().await.iter().map(|p| cpu_of(*p)).sum();
    let own = cpu_of(std::process::id() as i32);
    let began = Instant::now();
    let mut stream = open(&mut events, request).await;
    let mut got = 0;
    while got < 2_000 { got += next(&mut stream).await.events.len(); }
    let took = began.elapsed().as_secs_f64();
    let after: f64 = pids().await.iter().map(|p| cpu_of(*p)).sum();
    println!("stream: {:.0} ev/s, PG {:.1} us/ev, service+client {:.1} us/ev", got as f64 / took, (after - before) / got as f64, (cpu_of(std::process::id() as i32) - own) / got as f64);
    // Live latency.
    let mut lat = Vec::new();
    drop(stream);
    let request = StreamEventsRequest { consumer: "l".into(), from: Some(stream_events_request::From::StartTime(outeract_events::timestamp::to_proto(now() + time::Duration::hours(1)))), ..Default::default() };
    let mut stream = open(&mut events, request).await;
    for i in 0..200 {
        let b = Instant::now();
        instance.record(vec![apps[0].inbound(n + i)]).await;
        next(&mut stream).await;
        lat.push(b.elapsed());
    }
    lat.sort();
    println!("record to stream: p50 {:?} p99 {:?}", lat[100], lat[197]);
    std::process::exit(0);
}
