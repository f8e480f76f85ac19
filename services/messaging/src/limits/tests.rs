use proptest::prelude::*;

use super::*;

#[test]
fn every_name_of_a_limit_is_read() {
    for (word, users) in [
        ("TIER_50", 50),
        ("TIER_250", 250),
        ("TIER_1K", 1_000),
        ("TIER_2K", 2_000),
        ("TIER_10K", 10_000),
        ("TIER_100K", 100_000),
        ("TIER_1M", 1_000_000),
        ("2000", 2_000),
        (" 250 ", 250),
    ] {
        assert_eq!(tier(word), Some(Tier::Users(users)), "{word}");
    }
    for word in ["TIER_UNLIMITED", "-1"] {
        assert_eq!(tier(word), Some(Tier::Unlimited), "{word}");
    }
    for word in [
        "",
        "TIER_",
        "TIER_K",
        "TIER_NOT_SET",
        "TIER_-1",
        "TIER_+5",
        "TIER_0",
        "0",
        "-2",
        "UNLIMITED",
        "tier_250",
        "99999999999",
        "TIER_9999999999999999999K",
    ] {
        assert_eq!(tier(word), None, "{word}");
    }
}

#[test]
fn webhooks_tell_a_limit_by_word_or_number() {
    let capability = |json: &str| told_by("business_capability_update", json.as_bytes());
    assert!(matches!(
        capability(r#"{"max_daily_conversations_per_business": 2000, "max_phone_numbers_per_business": 25}"#),
        Ok(Some(Tier::Users(2_000)))
    ));
    assert!(matches!(
        capability(r#"{"max_daily_conversations_per_business": "TIER_100K"}"#),
        Ok(Some(Tier::Users(100_000)))
    ));
    assert!(matches!(
        capability(r#"{"max_daily_conversations_per_business": -1}"#),
        Ok(Some(Tier::Unlimited))
    ));
    for nothing in [
        "{}",
        r#"{"max_daily_conversations_per_business": null}"#,
        r#"{"max_daily_conversations_per_business": 1.5}"#,
        r#"{"max_daily_conversations_per_business": "LOTS"}"#,
        r#"{"max_phone_numbers_per_waba": 2}"#,
    ] {
        assert!(matches!(capability(nothing), Ok(None)), "{nothing}");
    }
    for broken in ["", "[]", "7", "{", "null"] {
        assert!(matches!(capability(broken), Err(Malformed)), "{broken}");
    }
    assert!(matches!(
        told_by(
            "phone_number_quality_update",
            br#"{"display_phone_number":"1","event":"THROUGHPUT_UPGRADE","max_daily_conversations_per_business":"TIER_10K","current_limit":"TIER_250"}"#
        ),
        Ok(Some(Tier::Users(10_000)))
    ));
    assert!(
        matches!(told_by("user_preferences", b"not JSON"), Ok(None)),
        "another's field is not read"
    );
}

proptest! {
    #[test]
    fn no_word_and_no_value_breaks_anything(word in ".{0,40}", json in "\\PC{0,200}") {
        if let Some(Tier::Users(users)) = tier(&word) {
            prop_assert!(users > 0);
        }
        let _ = told_by("business_capability_update", json.as_bytes());
    }
}
