#![allow(warnings, clippy::all, clippy::pedantic)]
use outeract_graph::signature::sign;
use outeract_seal::Secret;
use outeract_testkit::TestDatabase;
use outeract_webhook::*;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[global_allocator]
static A: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn body() -> Vec<u8> {
    let t = "x".repeat(420);
    format!(r#"{{"object":"whatsapp_business_account","entry":[{{"id":"7","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"1"}},"contacts":[{{"profile":{{"name":"Ann"}},"wa_id":"16505551234"}}],"messages":[{{"from":"16505551234","id":"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCMkE0","timestamp":"1795428000","type":"text","text":{{"body":"{t}"}}}}]}}}}]}}]}}"#).into_bytes()
}
async fn load(addr: String, conns: usize, secs: f64) {
    let b = body();
    let sig = sign(&b, &Secret::from("the app secret"));
    let req = [
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nX-Hub-Signature-256: {sig}\r\n\r\n",
            b.len()
        )
        .as_bytes(),
        &b,
    ]
    .concat();
    let req = std::sync::Arc::new(req);
    let stop = Instant::now() + Duration::from_secs_f64(secs);
    let mut js = tokio::task::JoinSet::new();
    for _ in 0..conns {
        let (req, addr) = (req.clone(), addr.clone());
        js.spawn(async move {
            let mut s = tokio::net::TcpStream::connect(&addr).await.unwrap();
            s.set_nodelay(true).unwrap();
            let (mut n, mut bad) = (0u64, 0u64);
            let mut lat = vec![];
            let mut buf = vec![0; 4096];
            while Instant::now() < stop {
                let t0 = Instant::now();
                s.write_all(&req).await.unwrap();
                let r = s.read(&mut buf).await.unwrap();
                if buf[..r].starts_with(b"HTTP/1.1 200") {
                    n += 1
                } else {
                    bad += 1
                }
                lat.push(t0.elapsed().as_micros() as u32);
            }
            (n, bad, lat)
        });
    }
    let r = js.join_all().await;
    let n: u64 = r.iter().map(|r| r.0).sum();
    let bad: u64 = r.iter().map(|r| r.1).sum();
    let mut l: Vec<u32> = r.into_iter().flat_map(|r| r.2).collect();
    l.sort_unstable();
    println!(
        "{} {} {} {}",
        n as f64 / secs,
        bad,
        l[l.len() / 2],
        l[l.len() * 99 / 100]
    );
}
fn ticks(pid: &str) -> f64 {
    let s = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some(r) = s.rsplit(") ").next() else { return 0. };
    let f: Vec<&str> = r.split(' ').collect();
    if f.len() < 15 {
        return 0.;
    }
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) * 10_000.
}
fn pg() -> f64 {
    let mut t = 0.;
    for e in std::fs::read_dir("/proc").unwrap().flatten() {
        let p = e.file_name().into_string().unwrap();
        if p.parse::<u32>().is_ok()
            && std::fs::read_to_string(format!("/proc/{p}/comm"))
                .unwrap_or_default()
                .starts_with("postgres")
        {
            t += ticks(&p);
        }
    }
    t
}
async fn run(name: &str, addr: String, conns: usize) {
    let (c0, p0) = (ticks("self"), pg());
    let out = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["load", &addr, &conns.to_string(), "2.0"])
        .output()
        .await
        .unwrap();
    let o = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let rate: f64 = o.split(' ').next().unwrap().parse().unwrap_or(0.);
    let n = rate * 2.0;
    println!(
        "{name:>10} x{conns:<4} {rate:>8.0}/s  [{o}] server {:.1} µs/op pg {:.1} µs/op",
        (ticks("self") - c0) / n,
        (pg() - p0) / n
    );
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    if a.get(1).map(String::as_str) == Some("load") {
        let rt = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        rt.block_on(load(a[2].clone(), a[3].parse().unwrap(), a[4].parse().unwrap()));
        return;
    }
    let rt = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    rt.block_on(async {
        let db = TestDatabase::create(&["webhook"]).await;
        if std::env::var("DECODE").is_err() {
            sqlx::query("update webhook.setting set decoding_paused = true")
                .execute(db.admin())
                .await
                .unwrap();
        }
        let url = db.url("webhook");
        let env = [
            ("WEBHOOK_DATABASE_URL", url.expose().as_str()),
            ("WEBHOOK_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_INTERNAL_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_OPS_LISTEN", "127.0.0.1:0"),
            ("WEBHOOK_EDGE_LISTEN", "127.0.0.1:0"),
            (
                "WEBHOOK_SEAL_KEYS",
                "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nhash:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
            ),
            ("WEBHOOK_SERVICE_SECRET", "a secret of a sibling, long enough to count"),
            ("WEBHOOK_CONNECTION_URL", "http://127.0.0.1:1"),
            ("WEBHOOK_MESSAGING_URL", "http://127.0.0.1:1"),
            ("WEBHOOK_TRACKING_URL", "http://127.0.0.1:1"),
            ("META_APP_SECRET", "the app secret"),
            ("META_VERIFY_TOKEN", "t"),
        ];
        let p = outeract_runtime::Process::start::<Webhook>(&env.into_iter().collect())
            .await
            .unwrap();
        let stored = p.addresses().edge.unwrap().to_string();
        let l = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let floor = l.local_addr().unwrap().to_string();
        let c = Credentials {
            app_secrets: vec![Secret::from("the app secret")],
            verify_token: Secret::from("t"),
        };
        tokio::spawn(axum::serve(l, router_without_storage(&c)).into_future());
        for round in 0..3 {
            for conns in [64, 256] {
                run("floor", floor.clone(), conns).await;
                run("stored", stored.clone(), conns).await;
            }
        }
        let n: i64 = sqlx::query_scalar("select count(*) from webhook.post")
            .fetch_one(db.admin())
            .await
            .unwrap();
        println!("{n} posts");
    });
}
