//! What a sealed value promises.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use outeract_clock::SeededRandom;
use outeract_seal::{Aad, KeyRing, OpenError, ParseError};
use proptest::prelude::*;
use uuid::Uuid;

fn line(name: &str, fill: u8) -> String {
    format!("{name}:{}", STANDARD.encode([fill; 32]))
}

fn ring(names: &[(&str, u8)]) -> KeyRing {
    let lines: Vec<_> = names
        .iter()
        .map(|(name, fill)| line(name, *fill))
        .chain([line("hash", 0xff)])
        .collect();
    KeyRing::parse(&lines.join("\n")).unwrap()
}

fn aad(id: &[u8]) -> Aad<'_> {
    Aad::new(Some(Uuid::from_u128(1)), "message", "content", id)
}

#[test]
fn rings_are_read_strictly() {
    let (k1, hash) = (line("k1", 1), line("hash", 2));
    let parse = |text: &str| KeyRing::parse(text).map(|_| ());
    assert_eq!(parse(&format!("# ours\n\n  {k1}  \n{hash}\n")), Ok(()));
    assert_eq!(parse(""), Err(ParseError::NoKey));
    assert_eq!(parse(&hash), Err(ParseError::NoKey));
    assert_eq!(parse(&k1), Err(ParseError::NoHash));
    assert_eq!(parse(&format!("{k1}\n{k1}\n{hash}")), Err(ParseError::Twice(2)));
    assert_eq!(parse(&format!("{k1}\n{hash}\n{hash}")), Err(ParseError::Twice(3)));
    assert_eq!(parse("k1"), Err(ParseError::Line(1)));
    assert_eq!(parse(&line("k 1", 1)), Err(ParseError::Line(1)));
    assert_eq!(parse(&line("", 1)), Err(ParseError::Line(1)));
    assert_eq!(parse(&line(&"k".repeat(33), 1)), Err(ParseError::Line(1)));
    assert_eq!(parse("k1:AAAA"), Err(ParseError::Key(1)));
    assert_eq!(parse("k1:not base64"), Err(ParseError::Key(1)));
}

#[test]
fn rings_and_errors_show_no_keys() {
    let ring = ring(&[("k1", 1)]);
    assert_eq!(format!("{ring:?}"), r#"KeyRing { keys: ["k1"], .. }"#);
    let text = line("k1", 7).replace('=', "");
    let error = KeyRing::parse(&text).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("BwcH"));
}

#[test]
fn keys_rotate() {
    let random = SeededRandom::new(1);
    let (old, both, new) = (ring(&[("k1", 1)]), ring(&[("k2", 2), ("k1", 1)]), ring(&[("k2", 2)]));
    let before = old.seal(&aad(b"1"), b"text", &random);
    assert_eq!(both.open(&aad(b"1"), &before).unwrap(), b"text");
    assert!(!both.is_current(&before));

    let after = both.seal(&aad(b"1"), b"text", &random);
    assert!(both.is_current(&after));
    assert_eq!(new.open(&aad(b"1"), &after).unwrap(), b"text");
    assert_eq!(
        new.open(&aad(b"1"), &before),
        Err(OpenError::UnknownKey("k1".to_owned()))
    );
    // A key with the right name and other bytes.
    assert_eq!(ring(&[("k1", 9)]).open(&aad(b"1"), &before), Err(OpenError::Rejected));
}

#[test]
fn hashes_survive_rotation_and_differ_by_purpose() {
    let (old, new) = (ring(&[("k1", 1)]), ring(&[("k2", 2)]));
    let hash = old.keyed_hash("wamid", b"x");
    assert_eq!(hash, new.keyed_hash("wamid", b"x"));
    assert_ne!(hash, old.keyed_hash("log", b"x"));
    assert_ne!(old.keyed_hash("ab", b"c"), old.keyed_hash("a", b"bc"));
    let other = KeyRing::parse(&[line("k1", 1), line("hash", 3)].join("\n")).unwrap();
    assert_ne!(hash, other.keyed_hash("wamid", b"x"));

    assert!(old.hash_matches("wamid", b"x", &hash));
    assert!(old.hash_matches("wamid", b"x", &hash[..16]));
    assert!(
        !old.hash_matches("wamid", b"x", &hash[..15]),
        "too short to mean anything"
    );
    assert!(!old.hash_matches("wamid", b"x", b""));
    assert!(!old.hash_matches("wamid", b"y", &hash));
}

#[test]
fn the_keyed_hash_is_hmac_sha256() {
    // HMAC-SHA256(32 × 0xff, 00000001 "p" "data"), by `openssl dgst -sha256 -mac hmac -macopt hexkey:ff…`.
    let expected = "b91a047b3d8d1896dd9709c6f74825b0178f88d987d6a438acd005c867366608";
    let hash = ring(&[("k1", 1)]).keyed_hash("p", b"data");
    assert_eq!(hex::encode(hash), expected);
}

#[test]
fn secrets_open_as_text() {
    let (ring, random) = (ring(&[("k1", 1)]), SeededRandom::new(1));
    let blob = ring.seal(&aad(b"1"), b"token", &random);
    assert_eq!(ring.open_secret(&aad(b"1"), &blob).unwrap().expose(), "token");
    let blob = ring.seal(&aad(b"1"), &[0xff], &random);
    assert_eq!(ring.open_secret(&aad(b"1"), &blob).unwrap_err(), OpenError::Malformed);
}

#[test]
fn the_same_text_never_looks_the_same() {
    let (ring, random) = (ring(&[("k1", 1)]), SeededRandom::new(1));
    assert_ne!(
        ring.seal(&aad(b"1"), b"text", &random),
        ring.seal(&aad(b"1"), b"text", &random)
    );
}

type Place = (Option<u128>, usize, usize, Vec<u8>);

const NAMES: [&str; 4] = ["message", "messagecontent", "content", ""];

fn place() -> impl Strategy<Value = Place> {
    let application = proptest::option::of(0_u128..3);
    (
        application,
        0..NAMES.len(),
        0..NAMES.len(),
        proptest::collection::vec(0_u8..3, 0..20),
    )
}

fn at(place: &Place) -> Aad<'_> {
    Aad::new(place.0.map(Uuid::from_u128), NAMES[place.1], NAMES[place.2], &place.3)
}

proptest! {
    #[test]
    fn opens_where_it_was_sealed_and_nowhere_else(text: Vec<u8>, here in place(), there in place(), seed: u64) {
        let (ring, random) = (ring(&[("k1", 1), ("k2", 2)]), SeededRandom::new(seed));
        let blob = ring.seal(&at(&here), &text, &random);
        prop_assert_eq!(ring.open(&at(&here), &blob), Ok(text.clone()));
        let elsewhere = ring.open(&at(&there), &blob);
        prop_assert_eq!(elsewhere, if here == there { Ok(text) } else { Err(OpenError::Rejected) });
    }

    #[test]
    fn any_change_is_noticed(text: Vec<u8>, seed: u64, index: prop::sample::Index, bit in 0_u8..8) {
        let (ring, random) = (ring(&[("k1", 1), ("k2", 1)]), SeededRandom::new(seed));
        let mut blob = ring.seal(&aad(b"1"), &text, &random);
        let index = index.index(blob.len());
        blob[index] ^= 1 << bit;
        prop_assert!(ring.open(&aad(b"1"), &blob).is_err());
    }

    #[test]
    fn any_part_is_not_enough(text: Vec<u8>, seed: u64, index: prop::sample::Index) {
        let (ring, random) = (ring(&[("k1", 1)]), SeededRandom::new(seed));
        let blob = ring.seal(&aad(b"1"), &text, &random);
        prop_assert!(ring.open(&aad(b"1"), &blob[..index.index(blob.len())]).is_err());
    }

    #[test]
    fn nonsense_does_not_open_or_panic(blob: Vec<u8>) {
        let ring = ring(&[("k1", 1)]);
        prop_assert!(ring.open(&aad(b"1"), &blob).is_err());
        prop_assert!(!ring.is_current(&blob) || blob.len() > 40);
    }

    #[test]
    fn ring_texts_do_not_panic(text: String) {
        let _ = KeyRing::parse(&text);
    }
}
