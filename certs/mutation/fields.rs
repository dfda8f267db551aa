//! The fields of a certificate, and its bytes (RFC 5280 §4.1).

use super::{
    Change, Mutation,
    Places::{All, Anchor, Authorities, Below, Leaf},
    WITH_SHA1, draft,
};
use crate::{
    der,
    draft::{Extension, NOW, id},
    good::{dns, san},
};
use time::Duration;

const ACCEPT: &str = "accept";

pub(super) fn all() -> Vec<Mutation> {
    [serials_and_versions(), times(), algorithms(), names(), bytes()].into_iter().flatten().collect()
}

fn serials_and_versions() -> Vec<Mutation> {
    vec![
        draft("serial-other", All, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0x13; 12]))),
        draft("serial-20-octets", All, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0x7f; 20]))),
        draft("serial-21-octets", All, "serial", |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0x7f; 21]))),
        draft("serial-zero", All, "serial", |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0]))),
        draft("serial-negative", All, "serial", |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0xff; 1]))),
        draft("serial-padded", All, "encoding", |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[0, 0x42]))),
        draft("serial-empty", All, "encoding", |chain, at, _, _| Ok(chain.certificates[at].serial = der::integer(&[]))),
        draft("version-1", All, "version", |chain, at, _, _| Ok(chain.certificates[at].version.clear())),
        draft("version-1-without-extensions", All, "version", |chain, at, _, _| {
            chain.certificates[at].version.clear();
            chain.certificates[at].extensions.clear();
            Ok(())
        }),
        draft("version-1-written-out", All, "version", |chain, at, _, _| {
            Ok(chain.certificates[at].version = der::context(0, &der::integer(&[0])))
        }),
        draft("version-2", All, "version", |chain, at, _, _| Ok(chain.certificates[at].version = der::context(0, &der::integer(&[1])))),
        draft("version-4", All, "version", |chain, at, _, _| Ok(chain.certificates[at].version = der::context(0, &der::integer(&[3])))),
        draft("unique-id-of-issuer", All, "unique-id", |chain, at, _, _| Ok(chain.certificates[at].unique_ids = der::implicit(1, &[0, 9]))),
        draft(
            "unique-id-of-subject",
            All,
            "unique-id",
            |chain, at, _, _| Ok(chain.certificates[at].unique_ids = der::implicit(2, &[0, 9])),
        ),
    ]
}

fn times() -> Vec<Mutation> {
    vec![
        draft("ends-now", All, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].not_after = der::time(NOW))),
        draft("ended-a-second-ago", All, "expired", |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::time(NOW - Duration::seconds(1)))
        }),
        draft("begins-now", All, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].not_before = der::time(NOW))),
        draft("begins-in-a-second", All, "not-yet-valid", |chain, at, _, _| {
            Ok(chain.certificates[at].not_before = der::time(NOW + Duration::seconds(1)))
        }),
        draft("no-end", All, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].not_after = der::time(der::date("9999-12-31T23:59:59Z")))),
        draft("ends-in-2050", All, ACCEPT, |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::time(der::date("2050-01-01T00:00:00Z")))
        }),
        draft("validity-swapped", All, "validity", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            Ok(std::mem::swap(&mut draft.not_before, &mut draft.not_after))
        }),
        draft("generalized-time-in-2049", All, "validity", |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::generalized_time(der::date("2049-12-31T23:59:59Z")))
        }),
        draft("time-is-text", All, "validity", |chain, at, _, _| Ok(chain.certificates[at].not_after = der::utf8("491231235959Z"))),
        draft("utc-time-without-seconds", All, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::element(0x17, b"4912312359Z"))
        }),
        draft("utc-time-with-offset", All, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::element(0x17, b"491231235959+0000"))
        }),
        draft("time-with-fraction", All, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].not_after = der::element(0x18, b"20601231235959.5Z"))
        }),
        draft("month-13", All, "encoding", |chain, at, _, _| Ok(chain.certificates[at].not_after = der::element(0x17, b"491331235959Z"))),
        draft(
            "february-30",
            All,
            "encoding",
            |chain, at, _, _| Ok(chain.certificates[at].not_after = der::element(0x17, b"480230235959Z")),
        ),
        draft("hour-24", All, "encoding", |chain, at, _, _| Ok(chain.certificates[at].not_after = der::element(0x17, b"481230240000Z"))),
    ]
}

fn algorithms() -> Vec<Mutation> {
    vec![
        draft("algorithm-outside-differs", All, "algorithms-differ", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            Ok(draft.outer_algorithm = draft.algorithm.other().identifier())
        }),
        draft("algorithm-inside-differs", All, "algorithms-differ", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            Ok(draft.inner_algorithm = draft.algorithm.other().identifier())
        }),
        draft("algorithm-says-another", Below, "signature", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            draft.inner_algorithm = draft.algorithm.other().identifier();
            Ok(draft.outer_algorithm = draft.inner_algorithm.clone())
        }),
        // Nobody checks an anchor's own signature.
        draft("algorithm-says-another", Anchor, ACCEPT, |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            draft.inner_algorithm = draft.algorithm.other().identifier();
            Ok(draft.outer_algorithm = draft.inner_algorithm.clone())
        }),
        draft("algorithm-parameters", All, "signature-algorithm", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            // NULL becomes absent, and absent becomes NULL.
            let content = &draft.inner_algorithm[2..];
            let changed = match content.strip_suffix(&der::NULL) {
                Some(oid) => oid.to_vec(),
                None => [content, &der::NULL].concat(),
            };
            draft.inner_algorithm = der::element(0x30, &changed);
            Ok(draft.outer_algorithm = draft.inner_algorithm.clone())
        }),
        draft("algorithm-unknown", All, "signature-algorithm", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            draft.inner_algorithm = der::sequence(&[&der::oid("1.3.6.1.4.1.44924.99.3")]);
            Ok(draft.outer_algorithm = draft.inner_algorithm.clone())
        }),
        draft("sha-1", All, "signature-algorithm", |chain, at, _, _| {
            let draft = &mut chain.certificates[at];
            if let Some(sha1) = draft.algorithm.with_sha1() {
                draft.algorithm = sha1;
                (draft.inner_algorithm, draft.outer_algorithm) = (sha1.identifier(), sha1.identifier());
            }
            Ok(())
        })
        .with(WITH_SHA1),
    ]
}

fn names() -> Vec<Mutation> {
    vec![
        draft("issuer-other", Below, "unknown-issuer", |chain, at, _, _| Ok(chain.certificates[at].issuer = crate::draft::named("nobody"))),
        draft("issuer-other", Anchor, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].issuer = crate::draft::named("nobody"))),
        draft("issuer-in-upper-case", Below, "unknown-issuer", |chain, at, _, _| Ok(chain.certificates[at].issuer.make_ascii_uppercase())),
        draft("issuer-as-printable", Below, "unknown-issuer", |chain, at, _, _| {
            Ok(chain.certificates[at].issuer = printable(&chain.certificates[at].issuer))
        }),
        draft("issuer-empty", All, "issuer", |chain, at, _, _| Ok(chain.certificates[at].issuer = der::sequence(&[]))),
        draft("subject-other", Leaf, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].subject = crate::draft::named("another"))),
        draft("subject-other", Authorities, "unknown-issuer", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = crate::draft::named("another"))
        }),
        draft("subject-as-printable", Leaf, ACCEPT, |chain, at, _, _| {
            Ok(chain.certificates[at].subject = printable(&chain.certificates[at].subject))
        }),
        draft("subject-as-printable", Authorities, "unknown-issuer", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = printable(&chain.certificates[at].subject))
        }),
        draft("subject-empty", All, "subject", |chain, at, _, _| Ok(chain.certificates[at].subject = der::sequence(&[]))),
        draft("subject-empty-beside-names", Leaf, "subject", |chain, at, _, _| {
            chain.certificates[at].subject = der::sequence(&[]);
            Ok(chain.certificates[at].put(san(&[dns("host.example.com")])))
        }),
        draft("subject-empty-beside-critical-names", Leaf, ACCEPT, |chain, at, _, _| {
            chain.certificates[at].subject = der::sequence(&[]);
            let names = san(&[dns("host.example.com")]);
            Ok(chain.certificates[at].put(Extension::critical(id::SAN, names.value)))
        }),
        draft("subject-set-sorted", Leaf, ACCEPT, |chain, at, _, _| Ok(chain.certificates[at].subject = pair(false))),
        draft("subject-set-unsorted", Leaf, "encoding", |chain, at, _, _| Ok(chain.certificates[at].subject = pair(true))),
        draft(
            "subject-empty-set",
            Leaf,
            "subject",
            |chain, at, _, _| Ok(chain.certificates[at].subject = der::sequence(&[&der::set(&[])])),
        ),
        draft("subject-empty-text", Leaf, "subject", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::utf8("")))
        }),
        draft("subject-is-null", Leaf, "subject", |chain, at, _, _| Ok(chain.certificates[at].subject = with_common_name(&der::NULL))),
        draft("subject-not-utf8", Leaf, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::element(0x0c, b"caf\xe9")))
        }),
        draft("subject-not-printable", Leaf, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::printable("a@b")))
        }),
        draft("subject-teletex", Leaf, ACCEPT, |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::element(0x14, b"device")))
        }),
        draft("subject-bmp", Leaf, ACCEPT, |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::element(0x1e, b"\0d\0e")))
        }),
        draft("subject-half-bmp", Leaf, "encoding", |chain, at, _, _| {
            Ok(chain.certificates[at].subject = with_common_name(&der::element(0x1e, b"\0d\0")))
        }),
    ]
}

fn bytes() -> Vec<Mutation> {
    let change = |name, places, verdict, change: fn(&mut Vec<u8>, &mut super::Chance)| Mutation {
        name,
        places,
        change: Change::Bytes(change),
        verdict,
        bases: &[],
        variants: 1,
    };
    vec![
        change("trailing-byte", All, "encoding", |der, _| der.push(0)),
        change("truncated", All, "encoding", |der, chance| der.truncate(1 + chance.below(der.len() - 1))).times(3),
        change("length-padded", All, "encoding", |der, _| {
            der[1] = 0x83;
            der.insert(2, 0);
        }),
        change("length-indefinite", All, "encoding", |der, _| {
            der.splice(1..4, [0x80]);
            der.extend([0, 0]);
        }),
        change("outer-tag-set", All, "encoding", |der, _| der[0] = 0x31),
        change("outer-tag-primitive", All, "encoding", |der, _| der[0] = 0x10),
        change("signature-bit", Below, "signature", |der, chance| flip_in_signature(der, chance)).times(8),
        change("signature-bit", Anchor, ACCEPT, |der, chance| flip_in_signature(der, chance)),
        change("signed-bit", Below, "refuse", |der, chance| {
            let end = signature_start(der);
            // The first four bytes are the length of the whole.
            let at = 4 + chance.below(end - 4);
            der[at] ^= 1 << chance.below(8);
        })
        .times(12),
    ]
}

/// Any bit of the signature itself.
fn flip_in_signature(der: &mut [u8], chance: &mut super::Chance) {
    let start = signature_start(der);
    let at = start + chance.below(der.len() - start);
    der[at] ^= 1 << chance.below(8);
}

/// Where the content of the last element, a BIT STRING, begins, after its count of unused bits.
pub(super) fn signature_start(der: &[u8]) -> usize {
    let skip = |at: usize| match der[at + 1] {
        short @ 0..=0x7f => (2, usize::from(short)),
        0x81 => (3, usize::from(der[at + 2])),
        _ => (4, usize::from(der[at + 2]) << 8 | usize::from(der[at + 3])),
    };
    let mut at = skip(0).0;
    for _ in 0..2 {
        let (header, content) = skip(at);
        at += header + content;
    }
    at + skip(at).0 + 1
}

/// The same name with every UTF8String as PrintableString: one byte of each differs.
fn printable(name: &[u8]) -> Vec<u8> {
    let mut name = name.to_vec();
    for at in 4..name.len() {
        // The attribute types of these names end in 0x03 or 0x0a, and their texts have no control characters.
        if name[at] == 0x0c && matches!(name[at - 1], 0x03 | 0x0a) {
            name[at] = 0x13;
        }
    }
    name
}

/// The organisation, and then a set of two attributes in one order or the other.
fn pair(unsorted: bool) -> Vec<u8> {
    let (name, unit) = (der::attribute(der::COMMON_NAME, &der::utf8("device")), der::attribute("2.5.4.11", &der::utf8("unit")));
    let mut both = [name.as_slice(), unit.as_slice()];
    both.sort_unstable();
    if unsorted {
        both.reverse();
    }
    der::sequence(&[&der::set(&[&der::attribute(der::ORGANISATION, &der::utf8("Gatehouse Test"))]), &der::set(&both)])
}

fn with_common_name(value: &[u8]) -> Vec<u8> {
    let organisation = der::set(&[&der::attribute(der::ORGANISATION, &der::utf8("Gatehouse Test"))]);
    der::sequence(&[&organisation, &der::set(&[&der::attribute(der::COMMON_NAME, value)])])
}
