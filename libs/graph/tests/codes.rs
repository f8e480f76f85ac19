//! `CODES.md` says what each of Meta's codes means here and what happens next. It is written from the table itself: `UPDATE_PAGES=1` writes it anew.
#![expect(
    clippy::expect_used,
    reason = "a test stops at the first thing that is not as it must be"
)]

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use outeract_graph::GraphError;
use outeract_graph::fault::{Class, Reaction, Row, Scope, TABLE, Verdict, classify};

const HEAD: &str = "# Meta's error codes, and what happens next

Written from the table in [`src/fault.rs`](src/fault.rs), which decides; a test keeps this page equal to it. Codes are Meta's (Cloud API error codes, autumn 2026). The same code means the same
whether it answers the call or comes hours later in a status webhook; then the message has been given to Meta, and nothing is tried again by itself.

`Reason` is what `SendError.reason` says. *Waits* counts no try: a message that waits ends EXPIRED when its `expire_time` comes. *Tried again* is counted.

| Meta's code | Reason | What it means | Class | What happens next |
|---|---|---|---|---|
";

#[test]
fn the_page_says_what_the_table_says() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CODES.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, &page).expect("CODES.md can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == page,
        "CODES.md is behind the table: run `UPDATE_PAGES=1 cargo test -p outeract-graph --test codes`"
    );
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for Row { codes, verdict } in TABLE {
        let codes = if codes.start() == codes.end() {
            codes.start().to_string()
        } else {
            format!("{}–{}", codes.start(), codes.end())
        };
        line(&mut page, &codes, verdict);
    }
    let unknown = |http_status, is_transient| {
        classify(&GraphError {
            is_transient,
            http_status,
            ..GraphError::from_code(i32::MAX)
        })
    };
    line(&mut page, "any other, HTTP 429", &unknown(429, false));
    line(&mut page, "any other, HTTP 5xx or `is_transient`", &unknown(500, true));
    line(&mut page, "any other", &unknown(400, false));
    page
}

fn line(page: &mut String, codes: &str, verdict: &Verdict) {
    let next = next(verdict);
    let class = match verdict.class {
        Class::Transient => "passes",
        Class::Wait => "limit",
        Class::Template => "needs a template",
        Class::Permanent => "permanent",
        Class::Authorisation => "connect again",
        Class::Configuration => "put right",
        Class::Policy => "policy",
    };
    let Verdict { reason, message, .. } = verdict;
    writeln!(page, "| {codes} | `{reason}` | {message} | {class} | {next} |").expect("a string takes everything");
}

fn next(verdict: &Verdict) -> String {
    if verdict.class == Class::Authorisation {
        return "Goes again at once if there is a younger token; else the number waits until the account is connected again.".to_owned();
    }
    match verdict.reaction {
        Reaction::Fail => "The message fails.".to_owned(),
        Reaction::Park { every, scope } => format!("{} waits, looked at every {}.", who(scope), span(every)),
        Reaction::Retry {
            first,
            factor,
            most,
            tries,
            scope,
        } => {
            let counted = verdict.class == Class::Transient && scope == Scope::Message;
            let grows = if factor > 1 && most > first {
                format!(", then {factor} times as long each time up to {}", span(most))
            } else {
                String::new()
            };
            let times = if counted { "Tried again" } else { "Waits and goes again" };
            let bound = if tries == u16::MAX {
                String::new()
            } else {
                format!(", {tries} {} at most", if tries == 1 { "time" } else { "times" })
            };
            let told = if verdict.heeds_usage() {
                ", or when Meta's usage header says"
            } else {
                ""
            };
            let slower = if verdict.slows() {
                " Then the number sends at seven tenths of its rate, and wins back a fiftieth each second."
            } else {
                ""
            };
            format!(
                "{times} after {}{grows}{told}{bound}; {} waits.{slower}",
                span(first),
                who(scope).replacen('E', "e", 1).replacen('T', "t", 1)
            )
        }
    }
}

fn who(scope: Scope) -> &'static str {
    match scope {
        Scope::Message => "This message",
        Scope::Contact => "Every message to this user",
        Scope::Number => "Every message of the number",
        Scope::NumberCampaigns => "Every campaign (priority BULK) of the number",
        Scope::Waba => "Every message of the account",
        Scope::WabaCampaigns => "Every campaign (priority BULK) of the account",
        Scope::App => "Every message of the Meta app",
    }
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        3_600.. if seconds.is_multiple_of(3_600) => (seconds / 3_600, "hour"),
        60..3_600 if seconds.is_multiple_of(60) => (seconds / 60, "minute"),
        _ => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
