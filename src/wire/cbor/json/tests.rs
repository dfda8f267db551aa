//! RFC 8949 §6, and what devices send.

use super::*;
use crate::cbor::to_diagnostic;
use proptest::prelude::*;
use serde_json::{Value, json};

fn json(cbor: &[u8]) -> String {
    to_json(cbor).unwrap_or_else(|error| panic!("{cbor:02x?}: {error}"))
}

#[test]
fn what_a_device_sends_becomes_json() {
    // {_ "state": false, "power": 42, "if": [_ "oic.if.rw"]}
    let cbor = b"\xbf\x65state\xf4\x65power\x18\x2a\x62if\x9f\x69oic.if.rw\xff\xff";
    assert_eq!(json(cbor), r#"{"state":false,"power":42,"if":["oic.if.rw"]}"#);
}

#[test]
fn section_6_1_what_json_has_no_word_for_becomes_the_nearest() {
    for (cbor, text) in [
        (&b"\x43\x01\xff\xfe"[..], r#""Af_-""#),
        (b"\xd5\x43\x01\xff\xfe", r#""Af_-""#),
        (b"\xd6\x42\xff\xfe", r#""//4=""#),
        (b"\xd7\x42\x01\xff", r#""01FF""#),
        (b"\xd7\x81\x42\x01\xff", r#"["01FF"]"#),
        (b"\xc2\x49\x01\0\0\0\0\0\0\0\0", r#""AQAAAAAAAAAA""#),
        (b"\xc3\x41\x01", r#""~AQ""#),
        (b"\xc0\x63now", r#""now""#),
        (b"\xf7", "null"),
        (b"\xf0", "null"),
        (b"\xf9\x7e\x00", "null"),
        (b"\xf9\x7c\x00", "null"),
        (b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
        (b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", "-18446744073709551616"),
        (b"\xf9\x3c\x00", "1.0"),
        (b"\xa2\x01\x02\x20\x03", r#"{"1":2,"-1":3}"#),
        (b"\x7f\x62a\"\x61b\xff", r#""a\"b""#),
        (b"\x5f\x41\x01\x41\xff\xff", r#""Af8""#),
        (b"\xbf\x7f\x61a\x61b\xff\xa0\xc1\x61c\x80\xff", r#"{"ab":{},"c":[]}"#),
    ] {
        assert_eq!(json(cbor), text, "{cbor:02x?}");
    }
}

#[test]
fn a_key_that_is_neither_text_nor_number_is_refused() {
    for cbor in [
        &b"\xa1\x41\x01\x02"[..],
        b"\xa1\xf5\x02",
        b"\xa1\x80\x02",
        b"\xa1\xa0\x02",
        b"\xa1\xc1\x80\x02",
        b"\xa1\x5f\xff\x02",
        b"\xa1\xf9\x3c\0\x02",
    ] {
        assert!(matches!(to_json(cbor), Err(JsonError::Key)), "{cbor:02x?}");
    }
}

#[test]
fn section_6_2_json_becomes_the_shortest_cbor_in_its_order() {
    let cbor = from_json(r#" {"z": [1, -1, 1.5, 1e300, null], "a": {"ü": true}} "#).unwrap();
    assert_eq!(to_diagnostic(&cbor).unwrap(), r#"{"z": [1, -1, 1.5, 1e300, null], "a": {"ü": true}}"#);
    assert_eq!(from_json("-9223372036854775808").unwrap(), b"\x3b\x7f\xff\xff\xff\xff\xff\xff\xff");
    assert_eq!(from_json("100000").unwrap(), b"\x1a\x00\x01\x86\xa0");
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, reason) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("1 2", "trailing"),
        ("{1:2}", "key must be a string"),
        (r#"{"a":1,"a":2}"#, "a key occurs twice"),
        ("nul", "EOF"),
    ] {
        let error = from_json(text).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("line 1"), "{text}: {error}");
    }
}

#[test]
fn as_deep_as_the_bound_is_written_and_one_level_more_is_not() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(json(&from_json(&nested(MAX_DEPTH)).unwrap()), nested(MAX_DEPTH));
    assert!(from_json(&nested(MAX_DEPTH + 1)).unwrap_err().to_string().contains("deeper than 64"));
    assert!(from_json(&nested(100_000)).is_err());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(|value| json!(value)),
        "\\PC{0,12}|[\\x00-\\x7f]{0,8}".prop_map(|value| json!(value)),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("\\PC{0,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn json_survives_the_way_through_cbor(value in value()) {
        let back = to_json(&from_json(&value.to_string()).unwrap()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&back).unwrap(), value);
    }
}
