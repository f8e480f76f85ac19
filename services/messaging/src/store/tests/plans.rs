//! Plans and writes: every statement finds its rows by primary key, whatever the planner believes, and rows are rewritten in place.

use serde_json::Value;

use super::*;
use crate::store::record;

/// Tables that grow, or that are nearly empty one minute and full the next.
const LARGE: [&str; 10] = [
    "queue",
    "outbox",
    "message",
    "ending",
    "wamid",
    "idempotency",
    "identity",
    "service_window",
    "quota_member",
    "quota_minute",
];

/// Statements that read a table in part or whole on purpose, now and then.
const SWEEPS: [&str; 6] = [
    "GROUP BY state",
    "LIMIT 100000",
    "messaging.first_id(",
    "messaging.maintain_partitions()",
    "messaging.outbox o\n            WHERE (o.message_id, o.kind",
    "expires_at <",
];

#[tokio::test]
async fn every_statement_finds_its_rows_by_key_even_if_its_plan_was_made_over_empty_tables() {
    let world = World::new().await;
    // Those that are empty again and again. The others are not measured before they have grown.
    for table in ["queue", "outbox", "number_owner", "connection", "worker"] {
        execute(&world, format!("VACUUM (ANALYZE) messaging.{table}")).await;
    }
    let mut conn = world.database.admin().acquire().await.expect("a connection");
    sqlx::query("SET plan_cache_mode = force_generic_plan")
        .execute(&mut *conn)
        .await
        .expect("set");
    let mut checked = 0;
    for (index, (sql, parameters)) in statements().into_iter().enumerate() {
        if SWEEPS.iter().any(|sweep| sql.contains(sweep)) {
            continue;
        }
        raw(&mut conn, format!("PREPARE statement_{index} AS {sql}")).await;
        let nulls = vec!["NULL"; parameters].join(", ");
        let arguments = if parameters == 0 {
            String::new()
        } else {
            format!("({nulls})")
        };
        let plan = explain(
            &mut conn,
            format!("EXPLAIN (FORMAT JSON, COSTS OFF) EXECUTE statement_{index}{arguments}"),
        )
        .await;
        let mut bad = Vec::new();
        inspect(&plan, &mut bad);
        assert!(bad.is_empty(), "{bad:?} in the plan of\n{sql}");
        checked += 1;
    }
    assert!(checked > 30, "{checked} statements");
}

#[tokio::test]
async fn rows_of_the_queue_are_rewritten_in_place_and_those_of_messages_not_at_all() {
    let world = World::new().await;
    let epoch = world.own(WORKER).await;
    let mut conn = world.conn().await;
    for _ in 0..10 {
        let keys: Vec<Uuid> = (0..100).map(|_| new_id()).collect();
        let sealed = [7; 400];
        let drafts: Vec<_> = keys
            .iter()
            .map(|key| NewMessage {
                id: *key,
                first: *key,
                parts: 1,
                application: APPLICATION,
                connection: CONNECTION,
                contact: *key,
                number: NUMBER,
                key_hash: key.as_bytes(),
                fingerprint: key.as_bytes(),
                on_unknown: HOLD,
                priority: 2,
                send_at: None,
                expires_at: None,
                lifetime_seconds: 86_400.0,
                traceparent: None,
                sealed: &sealed,
            })
            .collect();
        accept::insert(&mut conn, &drafts).await.expect("stored");
        let intents: Vec<_> = keys
            .iter()
            .map(|key| Intent {
                number: NUMBER,
                message: *key,
                epoch,
                nonce: *key,
            })
            .collect();
        assert_eq!(
            intent::begin(&mut conn, WORKER, &intents).await.expect("begun").len(),
            100
        );
        let accepted: Vec<_> = keys
            .iter()
            .map(|key| Accepted {
                wamid_hash: *key.as_bytes(),
                wamid_sealed: vec![1; 140],
                ..acceptance(*key, 1, 1)
            })
            .collect();
        assert_eq!(
            record::accepted(&mut conn, &accepted).await.expect("recorded").len(),
            100
        );
    }
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(&mut *conn)
        .await
        .expect("flushed");
    let writes: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT relname::text, n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE schemaname = 'messaging' AND n_tup_upd > 100 ORDER BY relname",
    )
    .fetch_all(world.database.admin())
    .await
    .expect("statistics");
    assert_eq!(
        writes.iter().map(|(table, ..)| table.as_str()).collect::<Vec<_>>(),
        ["queue"]
    );
    for (table, updates, hot) in writes {
        assert!(hot * 100 >= updates * 95, "{table}: {hot} of {updates} in place");
    }
}

/// The checked statements of this crate, with the number of their parameters.
fn statements() -> Vec<(String, usize)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/.sqlx");
    let files = std::fs::read_dir(dir).expect("the folder of checked statements");
    files
        .map(|file| {
            let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
            let statement: Value = serde_json::from_str(&text).expect("JSON");
            let parameters = &statement["describe"]["parameters"]["Left"];
            (
                statement["query"].as_str().expect("SQL").to_owned(),
                parameters.as_array().map_or(0, Vec::len),
            )
        })
        .collect()
}

/// Notes scans of a large table that do not go by key.
fn inspect(node: &Value, bad: &mut Vec<String>) {
    let relation = node["Relation Name"].as_str().unwrap_or_default();
    let large = LARGE
        .iter()
        .any(|table| relation == *table || relation.starts_with(&format!("{table}_")));
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let by_key = node.get("Index Cond").is_some();
    if large && (kind == "Seq Scan" || (kind.starts_with("Index") && !by_key)) {
        bad.push(format!("{kind} on {relation}"));
    }
    match node {
        Value::Array(items) => items.iter().for_each(|item| inspect(item, bad)),
        Value::Object(fields) => fields
            .values()
            .filter(|value| value.is_array() || value.is_object())
            .for_each(|value| inspect(value, bad)),
        _ => {}
    }
}

async fn explain(conn: &mut sqlx::PgConnection, sql: String) -> Value {
    use sqlx::Row as _;
    #[expect(clippy::disallowed_methods, reason = "the statements are this crate's own")]
    let row = sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .fetch_one(conn)
        .await
        .expect("a plan");
    serde_json::from_str(&row.get_unchecked::<String, _>(0)).expect("JSON")
}

async fn raw(conn: &mut sqlx::PgConnection, sql: String) {
    #[expect(clippy::disallowed_methods, reason = "the statements are this crate's own")]
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(conn)
        .await
        .expect("prepared");
}

async fn execute(world: &World, sql: String) {
    let mut conn = world.database.admin().acquire().await.expect("a connection");
    raw(&mut conn, sql).await;
}
