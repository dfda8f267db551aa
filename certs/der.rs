//! Writing DER, and what is not quite DER.
//!
//! On purpose this shares nothing with the reader in `pki`: a misunderstanding there must not be repeated here.

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// One element with the shortest form of length.
pub fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = content.len();
    let mut der = match len {
        0..=0x7f => vec![tag, len as u8],
        0x80..=0xff => vec![tag, 0x81, len as u8],
        0x100..=0xffff => vec![tag, 0x82, (len >> 8) as u8, len as u8],
        _ => vec![tag, 0x83, (len >> 16) as u8, (len >> 8) as u8, len as u8],
    };
    der.extend_from_slice(content);
    der
}

/// A SEQUENCE of these parts.
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

/// A SET of these parts, in this order.
pub fn set(parts: &[&[u8]]) -> Vec<u8> {
    element(0x31, &parts.concat())
}

/// A context-specific constructed element: `[n]` explicit, or implicit of a constructed type.
pub fn context(number: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | number, content)
}

/// A context-specific primitive element: `[n]` implicit.
pub fn implicit(number: u8, content: &[u8]) -> Vec<u8> {
    element(0x80 | number, content)
}

/// An INTEGER with exactly this content.
pub fn integer(content: &[u8]) -> Vec<u8> {
    element(0x02, content)
}

/// A BOOLEAN that is TRUE.
pub const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

/// A NULL.
pub const NULL: [u8; 2] = [0x05, 0x00];

/// An OCTET STRING.
pub fn octets(content: &[u8]) -> Vec<u8> {
    element(0x04, content)
}

/// A BIT STRING of whole bytes.
pub fn bits(content: &[u8]) -> Vec<u8> {
    element(0x03, &[&[0], content].concat())
}

/// A BIT STRING of named bits, by their numbers, without zeros at its end.
pub fn named_bits(numbers: &[u8]) -> Vec<u8> {
    let Some(last) = numbers.iter().max() else { return element(0x03, &[0]) };
    let mut content = vec![0; usize::from(last / 8) + 2];
    content[0] = 7 - last % 8;
    for number in numbers {
        content[usize::from(number / 8) + 1] |= 0x80 >> (number % 8);
    }
    element(0x03, &content)
}

/// An OBJECT IDENTIFIER from its dotted form.
///
/// # Panics
/// When the text is not one; the texts are in this crate.
pub fn oid(dotted: &str) -> Vec<u8> {
    element(0x06, &oid_content(dotted))
}

/// The content of an OBJECT IDENTIFIER.
///
/// # Panics
/// When the text is not one; the texts are in this crate.
pub fn oid_content(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u64> = dotted.split('.').map(|arc| arc.parse().expect("an arc is a number")).collect();
    let mut content = Vec::new();
    for (at, arc) in arcs.iter().enumerate().skip(1) {
        let mut arc = if at == 1 { arcs[0] * 40 + arc } else { *arc };
        let mut digits = vec![(arc & 0x7f) as u8];
        while arc > 0x7f {
            arc >>= 7;
            digits.push((arc & 0x7f) as u8 | 0x80);
        }
        content.extend(digits.iter().rev());
    }
    content
}

/// A UTF8String.
pub fn utf8(text: &str) -> Vec<u8> {
    element(0x0c, text.as_bytes())
}

/// A PrintableString.
pub fn printable(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// A time in the form that its year takes (RFC 5280 §4.1.2.5).
pub fn time(at: OffsetDateTime) -> Vec<u8> {
    if at.year() < 2050 { utc_time(at) } else { generalized_time(at) }
}

/// A UTCTime, whatever the year.
pub fn utc_time(at: OffsetDateTime) -> Vec<u8> {
    element(0x17, format!("{:02}{}", at.year().rem_euclid(100), after_year(at)).as_bytes())
}

/// A GeneralizedTime, whatever the year.
pub fn generalized_time(at: OffsetDateTime) -> Vec<u8> {
    element(0x18, format!("{:04}{}", at.year(), after_year(at)).as_bytes())
}

/// A moment from its usual text.
///
/// # Panics
/// When the text is not RFC 3339; the texts are in this crate.
pub fn date(text: &str) -> OffsetDateTime {
    OffsetDateTime::parse(text, &Rfc3339).expect("the text is RFC 3339")
}

fn after_year(at: OffsetDateTime) -> String {
    format!("{:02}{:02}{:02}{:02}{:02}Z", u8::from(at.month()), at.day(), at.hour(), at.minute(), at.second())
}

/// A name with one attribute in each relative name.
pub fn name(attributes: &[(&str, &str)]) -> Vec<u8> {
    let relative: Vec<Vec<u8>> = attributes.iter().map(|(kind, text)| set(&[&attribute(kind, &utf8(text))])).collect();
    element(0x30, &relative.concat())
}

/// One attribute, with its value as it is.
pub fn attribute(kind: &str, value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), value])
}

/// commonName.
pub const COMMON_NAME: &str = "2.5.4.3";
/// organizationName.
pub const ORGANISATION: &str = "2.5.4.10";
/// serialNumber.
pub const SERIAL_NUMBER: &str = "2.5.4.5";
/// emailAddress.
pub const EMAIL: &str = "1.2.840.113549.1.9.1";
