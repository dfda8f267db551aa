//! The parser beside coap-lite, over a million messages: where the two disagree, the reason is in a table.

use crate::generator::{Draw, datagram, mutate};
use bytes::{Bytes, BytesMut};
use coap_lite::Packet;
use gatehouse_wire::coap::{Datagram, Limits, OptionRule, udp::Rule};
use std::collections::BTreeMap;

const SEED: u64 = 0x7252_8323;
const MESSAGES: usize = 1_000_000;

/// What we refuse and coap-lite takes. There is nothing that it refuses and we take.
const STRICTER: &[(Rule, &str)] = &[
    (Rule::Version, "RFC 7252 §3 has other versions ignored; coap-lite keeps the number and does not look at it"),
    (Rule::Class, "RFC 7252 §4.2 has the classes 1, 6 and 7 rejected; coap-lite calls them reserved and hands them on"),
    (Rule::Empty, "RFC 7252 §4.1 makes anything behind an empty message a format error; coap-lite reads it as token and options"),
    (Rule::Options(OptionRule::EmptyPayload), "RFC 7252 §3 makes a marker without payload a format error; coap-lite reads no payload"),
];

#[test]
fn a_million_messages_are_read_as_coap_lite_reads_them_or_the_reason_is_known() {
    let (mut draw, mut bytes) = (Draw::new(SEED), Vec::new());
    let (mut mutated, mut refused, mut stricter) = (0, 0, BTreeMap::new());
    for _ in 0..MESSAGES {
        datagram(&mut draw, &mut bytes);
        if draw.one_in(2) {
            mutate(&mut draw, &mut bytes);
            mutated += 1;
        }
        let ours = Datagram::parse(Bytes::copy_from_slice(&bytes), &Limits::default());
        match (ours, Packet::from_bytes(&bytes)) {
            (Ok(ours), Ok(theirs)) => same(&bytes, &ours, &theirs),
            (Err(_), Err(_)) => refused += 1,
            (Err(ours), Ok(_)) => {
                let known = STRICTER.iter().find(|(rule, _)| *rule == ours.rule);
                let (rule, _) = known.unwrap_or_else(|| panic!("only we refuse {bytes:02x?}: {ours}"));
                *stricter.entry(rule.to_string()).or_insert(0) += 1;
            }
            (Ok(_), Err(theirs)) => panic!("only coap-lite refuses {bytes:02x?}: {theirs}"),
        }
    }
    println!("{mutated} of {MESSAGES} mutated; both refuse {refused}; only we refuse {stricter:?}");
    assert!(mutated * 10 >= MESSAGES * 3, "at least 30 % are mutated");
    assert!(refused > MESSAGES / 100, "mutation reaches what both refuse");
    assert_eq!(stricter.len(), STRICTER.len(), "every line of the table is met: {stricter:?}");
}

fn same(bytes: &[u8], ours: &Datagram, theirs: &Packet) {
    let (message, header) = (&ours.message, &theirs.header);
    assert_eq!(ours.id.0, header.message_id, "{bytes:02x?}");
    assert_eq!(message.code.byte(), u8::from(header.code), "{bytes:02x?}");
    assert_eq!(ours.kind as u8, header.get_type() as u8, "{bytes:02x?}");
    assert_eq!(message.token.as_bytes(), theirs.get_token(), "{bytes:02x?}");
    assert_eq!(&message.payload[..], theirs.payload, "{bytes:02x?}");
    let flat = theirs.options().flat_map(|(number, values)| values.iter().map(|value| (*number, value.as_slice())));
    assert!(message.options.iter().map(|(number, value)| (number.0, value)).eq(flat), "{bytes:02x?}");
    let mut written = BytesMut::new();
    ours.encode(&mut written);
    assert_eq!(&written[..], bytes);
    assert_eq!(theirs.to_bytes_unlimited().expect("what it read"), bytes);
}

/// coap-lite counts bytes on writing, where we leave that to who knows the path: what it refuses to write is only long.
#[test]
fn what_coap_lite_refuses_to_write_is_longer_than_1280_bytes() {
    let (mut draw, mut bytes, mut long) = (Draw::new(SEED), Vec::new(), 0);
    for _ in 0..20_000 {
        datagram(&mut draw, &mut bytes);
        let packet = Packet::from_bytes(&bytes).expect("a good message");
        assert_eq!(packet.to_bytes().is_err(), bytes.len() > 1280);
        long += usize::from(bytes.len() > 1280);
    }
    assert!(long > 0);
}
