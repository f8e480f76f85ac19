use std::time::Duration;

use outeract_graph::signature::sign;
use outeract_seal::Secret;
use outeract_testkit::{FaultProxy, eventually};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bodies::one_text;
use crate::http::{APP_SECRET, Answer, Http, PATH, PREVIOUS_SECRET};
use crate::suite::{Instance, LONG, Number, Suite, VERIFY_TOKEN};

const MIB: usize = 1 << 20;

fn signed(body: &[u8], secret: &str) -> String {
    format!("X-Hub-Signature-256: {}\r\n", sign(body, &Secret::from(secret)))
}

#[tokio::test]
async fn only_the_exact_signature_over_the_exact_bytes_is_stored() {
    let (suite, instance) = Suite::with_instance().await;
    let body = br#"{"object":"page","text":"gr\u00fc\u00dfe"}"#;
    let good = signed(body, APP_SECRET);
    let value = good.trim_end().split_once(": ").unwrap().1.to_owned();
    let header = |value: &str| format!("X-Hub-Signature-256: {value}\r\n");
    let bad = [
        String::new(),
        signed(body, "another secret"),
        header(&value[..value.len() - 1]),
        header(&format!("{value}0")),
        header(&value.to_uppercase()),
        header(&format!("sha256={}", value[7..].to_uppercase())),
        header(&value[7..]),
        header("sha256="),
        header(&format!("sha256={}", "g".repeat(64))),
        format!("{good}{good}"),
    ];
    for headers in bad {
        let answer = instance.http().await.post_with(body, &headers).await;
        assert_eq!((answer.status, answer.body.len()), (401, 0), "{headers}");
        assert!(!answer.head.contains("sha256"), "no oracle: {}", answer.head);
    }
    let reserialised = r#"{"object":"page","text":"grüße"}"#.as_bytes();
    assert_eq!(instance.http().await.post_with(reserialised, &good).await.status, 401);
    assert_eq!(suite.count("select count(*) from webhook.post").await, 0);

    let mut http = instance.http().await;
    for secret in [APP_SECRET, PREVIOUS_SECRET] {
        let answer = http.post_with(body, &signed(body, secret)).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{secret}");
    }
    assert_eq!(suite.count("select count(*) from webhook.post").await, 2);
    assert_eq!(
        suite
            .count("select count(*) from webhook.post where position(convert_to('page', 'UTF8') in body) > 0")
            .await,
        0
    );
}

#[tokio::test]
async fn four_mebibytes_and_no_byte_more() {
    let (suite, instance) = Suite::with_instance().await;
    let mut largest = br#"{"object":"page","x":""#.to_vec();
    largest.resize(4 * MIB - 2, b'x');
    largest.extend_from_slice(b"\"}");
    instance.stored(&largest).await;

    let mut larger = largest.clone();
    larger.push(b' ');
    assert_eq!(
        instance
            .http()
            .await
            .post_with(&larger, &signed(&larger, APP_SECRET))
            .await
            .status,
        413
    );

    for (body, status) in [(&largest, 200), (&larger, 413)] {
        let mut http = instance.http().await;
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{}\r\n",
            signed(body, APP_SECRET)
        );
        http.write(head.as_bytes()).await;
        for part in body.chunks(MIB - 1) {
            http.write(format!("{:x}\r\n", part.len()).as_bytes()).await;
            http.write(part).await;
            http.write(b"\r\n").await;
        }
        http.write(b"0\r\n\r\n").await;
        assert_eq!(http.answer().await.status, status);
    }
    assert_eq!(
        suite
            .count("select count(*) from webhook.post where size = 4 * 1024 * 1024")
            .await,
        2
    );
    suite.settled().await;
}

#[tokio::test]
async fn nothing_is_unpacked() {
    let (suite, instance) = Suite::with_instance().await;
    let body = b"{\"object\":\"page\"}";
    for encoding in ["gzip", "br", "identity, gzip", ""] {
        let headers = format!("{}Content-Encoding: {encoding}\r\n", signed(body, APP_SECRET));
        assert_eq!(
            instance.http().await.post_with(body, &headers).await.status,
            415,
            "{encoding}"
        );
    }
    let headers = format!("{}Content-Encoding: identity\r\n", signed(body, APP_SECRET));
    assert_eq!(instance.http().await.post_with(body, &headers).await.status, 200);
    assert_eq!(suite.count("select count(*) from webhook.post").await, 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let (_suite, instance) = Suite::with_instance().await;
    let mut http = instance.http().await;
    http.write(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{").as_bytes())
        .await;
    let began = Instant::now();
    assert_eq!(http.answer().await.status, 408);
    assert!((9..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn too_many_bodies_in_flight_are_sent_away_and_others_served_afterwards() {
    let (_suite, instance) = Suite::with_instance().await;
    // By bytes: 48 bodies that may each become 4 MiB fill 192 MiB.
    let mut held = Vec::new();
    for _ in 0..48 {
        let mut http = instance.http().await;
        http.write(
            format!(
                "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{{",
                4 * MIB
            )
            .as_bytes(),
        )
        .await;
        held.push(http);
    }
    let small = one_text("7", "1", "wamid.A");
    let refused = refused_in_time(&instance, &small).await;
    assert!(refused.has("retry-after: 1") && refused.body.is_empty(), "{refused:?}");
    drop(held);
    accepted_in_time(&instance, &small).await;

    // By count: 256.
    let mut held = Vec::new();
    for _ in 0..256 {
        let mut http = instance.http().await;
        http.write(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{{").as_bytes())
            .await;
        held.push(http);
    }
    refused_in_time(&instance, &small).await;
    drop(held);
    accepted_in_time(&instance, &small).await;
}

/// The held requests reach the server in their own time.
async fn refused_in_time(instance: &Instance, body: &[u8]) -> Answer {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = instance.http().await.post(body).await;
        if answer.status == 503 {
            return answer;
        }
        assert!(Instant::now() < end, "never refused");
    }
}

async fn accepted_in_time(instance: &Instance, body: &[u8]) {
    eventually(Duration::from_secs(5), async || {
        instance.http().await.post(body).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn handshake() {
    let (_suite, instance) = Suite::with_instance().await;
    let token = VERIFY_TOKEN.replace(' ', "%20");
    let mut http = instance.http().await;
    let answer = http
        .get(&format!(
            "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={token}"
        ))
        .await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"1158201444"[..]));
    assert!(
        answer.has("content-type: text/plain") && answer.has("x-content-type-options: nosniff"),
        "{}",
        answer.head
    );

    let long = "9".repeat(129);
    let bad = [
        String::new(),
        format!("hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}x"),
        "hub.mode=subscribe&hub.challenge=1&hub.verify_token=".to_owned(),
        "hub.mode=subscribe&hub.challenge=1".to_owned(),
        format!("hub.mode=unsubscribe&hub.challenge=1&hub.verify_token={token}"),
        format!("hub.challenge=1&hub.verify_token={token}"),
        format!("hub.mode=subscribe&hub.verify_token={token}"),
        format!("hub.mode=subscribe&hub.challenge=&hub.verify_token={token}"),
        format!("hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token={token}"),
        format!("hub.mode=subscribe&hub.challenge={long}&hub.verify_token={token}"),
        format!("hub.mode=subscribe&hub.challenge=1&hub.verify_token=no&hub.verify_token={token}"),
    ];
    for query in bad {
        let answer = http.get(&query).await;
        assert_eq!((answer.status, answer.body.len()), (403, 0), "{query}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_not_there() {
    let (_suite, instance) = Suite::with_instance().await;
    let mut http = instance.http().await;
    http.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(http.answer().await.status, 404);
    http.write(format!("DELETE {PATH} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .await;
    assert_eq!(http.answer().await.status, 405);
}

/// The suite's database, seen through a proxy.
async fn proxied(suite: &Suite) -> (FaultProxy, String) {
    let url = suite.db.url("webhook").expose().clone();
    let address = url.split_once('@').unwrap().1.split_once('/').unwrap().0.to_owned();
    let proxy = FaultProxy::start(address.parse().unwrap()).await;
    let through = url.replace(&address, &proxy.address().to_string());
    (proxy, through)
}

#[tokio::test]
async fn what_cannot_be_committed_is_answered_503_and_not_stored() {
    let mut suite = Suite::new().await;
    let (proxy, url) = proxied(&suite).await;
    let instance = suite.start_on(&url).await;
    let body = one_text("7", "1", "wamid.A");
    instance.stored(&body).await;

    proxy.refuse();
    proxy.reset();
    for _ in 0..6 {
        let answer = instance.http().await.post(&body).await;
        assert_eq!((answer.status, answer.body.len()), (503, 0));
        assert!(answer.has("retry-after: 1"));
    }
    assert_eq!(suite.count("select count(*) from webhook.post").await, 1);

    proxy.heal();
    accepted_in_time(&instance, &body).await;
    suite.settled().await;
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_is_answered_503_and_meta_sends_again() {
    let mut suite = Suite::new().await;
    let (proxy, url) = proxied(&suite).await;
    let number = Number::new("7", "1");
    let instance = suite.start_on(&url).await;
    instance.push(vec![number.active()]).await;
    let body = one_text("7", "1", "wamid.A");

    proxy.lose_responses();
    assert_eq!(instance.http().await.post(&body).await.status, 503);
    proxy.heal();
    proxy.reset();
    accepted_in_time(&instance, &body).await;
    suite.settled().await;
    // Whether or not the first one was committed, there is one event.
    assert_eq!(suite.siblings.recorded(), ["wamid.A"]);
}

#[tokio::test]
async fn what_was_answered_200_survives_a_kill() {
    let (mut suite, instance) = Suite::with_instance().await;
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let edge = instance.edge;
        clients.spawn(async move {
            let Some(mut http) = Http::try_connect(edge).await else {
                return 0;
            };
            let mut answered = 0;
            while http
                .try_post(&one_text("7", "1", &format!("wamid.{client}.{answered}")))
                .await
                == Some(200)
            {
                answered += 1;
            }
            answered
        });
    }
    eventually(LONG, async || {
        suite.count("select count(*) from webhook.post").await > 200
    })
    .await;
    instance.kill().await;
    let answered: i64 = clients.join_all().await.into_iter().sum();
    let stored = suite.count("select count(*) from webhook.post").await;
    assert!(stored >= answered, "{stored} stored, {answered} answered 200");

    let _again = suite.start().await;
    suite.settled().await;
    assert_eq!(suite.accounts().await[0], stored);
}

#[tokio::test]
async fn a_soft_stop_answers_what_has_begun() {
    let (suite, instance) = Suite::with_instance().await;
    let body = one_text("7", "1", "wamid.A");
    let mut http = instance.http().await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n",
        body.len(),
        signed(&body, APP_SECRET)
    );
    http.write(&[head.as_bytes(), &body[..10]].concat()).await;
    // The request is under way once the server has seen its head: the next one on another connection is answered after it.
    instance.stored(&body).await;
    let mut stopping = JoinSet::new();
    stopping.spawn(instance.stop());
    http.write(&body[10..]).await;
    assert_eq!(http.answer().await.status, 200);
    drop(http);
    assert_eq!(stopping.join_all().await, [outeract_runtime::Outcome::Finished]);
    assert_eq!(suite.count("select count(*) from webhook.post").await, 2);
}
