//! Distinguished names: the bytes that chains are built on, and the text that people read.
//!
//! Issuer and subject chain when their DER is equal (RFC 5280 §4.1.2.6 makes a CA write both alike). Comparing by
//! meaning, with case and spaces folded, happens for name constraints only.

use crate::{
    certificate::MAX_CERTIFICATE,
    der::{self, DerError, Element, Reader, tag},
    oid,
};
use std::{borrow::Cow, fmt};

/// An X.501 name whose form was checked.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DistinguishedName {
    der: Box<[u8]>,
}

/// One attribute of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    oid: &'a [u8],
    value: Cow<'a, str>,
}

impl DistinguishedName {
    /// Reads a complete DER `Name`.
    pub fn from_der(der: &[u8]) -> Result<Self, DerError> {
        der::check(der, MAX_CERTIFICATE)?;
        Self::from_checked(der)
    }

    /// Reads a `Name` in bytes that [`der::check`] found to be one element in DER.
    pub(crate) fn from_checked(der: &[u8]) -> Result<Self, DerError> {
        let mut names = Reader::only(der, tag::SEQUENCE)?;
        while !names.is_empty() {
            let mut attributes = names.nested(tag::SET)?;
            // RFC 5280 §4.1.2.4: a relative name has at least one attribute.
            if attributes.is_empty() {
                return Err(DerError::Truncated);
            }
            while !attributes.is_empty() {
                read_attribute(&mut attributes)?;
            }
        }
        Ok(Self { der: der.into() })
    }

    /// The DER, which is what chains are matched on.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether there is no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.der.len() <= 2
    }

    /// The attributes in the order in which they were written.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.relative_names().flatten().map(|(oid, value)| Attribute { oid, value: text(value).unwrap_or_else(|| hexadecimal(value)) })
    }

    /// The last common name, which is the most specific.
    pub fn common_name(&self) -> Option<Cow<'_, str>> {
        self.last(oid::attribute::COMMON_NAME)
    }

    /// The last serialNumber attribute: a device's serial number (IEEE 802.1AR §8), not the certificate's.
    pub fn serial_number(&self) -> Option<Cow<'_, str>> {
        self.last(oid::attribute::SERIAL_NUMBER)
    }

    /// Every value of one attribute, as text where it is text.
    pub(crate) fn values(&self, oid: &[u8]) -> impl Iterator<Item = Option<Cow<'_, str>>> {
        self.relative_names().flatten().filter(move |(found, _)| *found == oid).map(|(_, value)| text(value))
    }

    /// The name folded for comparison by meaning (RFC 5280 §7.1).
    pub(crate) fn folded(&self) -> FoldedName {
        let fold = |(oid, value): (&[u8], Element<'_>)| match text(value) {
            Some(text) => FoldedAttribute { oid: oid.to_vec(), exact: text.is_ascii(), value: fold_text(&text).into_bytes() },
            None => FoldedAttribute { oid: oid.to_vec(), exact: !is_text(value.tag), value: value.raw.to_vec() },
        };
        let sorted = |attributes: Vec<(&[u8], Element<'_>)>| {
            let mut folded: Vec<_> = attributes.into_iter().map(fold).collect();
            folded.sort();
            folded
        };
        FoldedName { relative_names: self.relative_names().map(sorted).collect() }
    }

    fn last(&self, oid: &[u8]) -> Option<Cow<'_, str>> {
        self.values(oid).last().flatten()
    }

    /// The form was checked when the name was read, so that nothing is left out here.
    fn relative_names(&self) -> impl Iterator<Item = Vec<(&[u8], Element<'_>)>> {
        let mut names = Reader::only(&self.der, tag::SEQUENCE).unwrap_or(Reader::new(&[]));
        std::iter::from_fn(move || names.nested(tag::SET).ok()).map(|mut attributes| {
            let mut read = Vec::with_capacity(1);
            while let Ok(attribute) = read_attribute(&mut attributes) {
                read.push(attribute);
            }
            read
        })
    }
}

impl<'a> Attribute<'a> {
    /// The attribute's type with dots, such as `2.5.4.3`.
    pub fn oid(&self) -> String {
        oid::dotted(self.oid)
    }

    /// What people call the attribute, such as `CN`, where it has such a name.
    pub fn short_name(&self) -> Option<&'static str> {
        oid::attribute::NAMES.iter().find(|(oid, _)| *oid == self.oid).map(|(_, name)| *name)
    }

    /// The value; in hexadecimal after a `#` where it is no text.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// For people and logs: `CN=…, O=…` as written, with everything escaped that could be taken for something else.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, attribute) in self.attributes().enumerate() {
            let separator = if at == 0 { "" } else { ", " };
            match attribute.short_name() {
                Some(name) => write!(out, "{separator}{name}=")?,
                None => write!(out, "{separator}{}=", attribute.oid())?,
            }
            for character in attribute.value().chars() {
                match character {
                    ',' | '=' | '+' | '"' | '\\' | '<' | '>' | ';' => write!(out, "\\{character}")?,
                    // Control characters and direction marks can rewrite a line of a log.
                    _ if character.is_control()
                        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                    {
                        write!(out, "{}", character.escape_unicode())?;
                    }
                    _ => write!(out, "{character}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "DistinguishedName({self})")
    }
}

/// A name that can be compared by meaning.
#[derive(Clone, Debug)]
pub(crate) struct FoldedName {
    relative_names: Vec<Vec<FoldedAttribute>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct FoldedAttribute {
    oid: Vec<u8>,
    value: Vec<u8>,
    /// Whether equal meaning certainly means equal bytes here: only ASCII folds the same way for everybody.
    exact: bool,
}

impl FoldedName {
    /// Whether this name lies in the subtree below `base`.
    pub(crate) fn is_below(&self, base: &Self) -> bool {
        self.relative_names.len() >= base.relative_names.len() && self.pairs(base).all(|(ours, theirs)| ours == theirs)
    }

    /// Whether this name could be meant to lie below `base`: where two values are not both ASCII their preparation
    /// (RFC 4518) might make them equal although our folding does not.
    pub(crate) fn may_be_below(&self, base: &Self) -> bool {
        let may_equal = |(ours, theirs): (&Vec<FoldedAttribute>, &Vec<FoldedAttribute>)| {
            ours == theirs
                || ours.len() == theirs.len()
                    && ours.iter().zip(theirs).all(|(a, b)| a.oid == b.oid)
                    && ours.iter().zip(theirs).all(|(a, b)| a == b || !a.exact || !b.exact)
        };
        self.relative_names.len() >= base.relative_names.len() && self.pairs(base).all(may_equal)
    }

    fn pairs<'a>(&'a self, base: &'a Self) -> impl Iterator<Item = (&'a Vec<FoldedAttribute>, &'a Vec<FoldedAttribute>)> {
        self.relative_names.iter().zip(&base.relative_names)
    }
}

fn read_attribute<'a>(attributes: &mut Reader<'a>) -> Result<(&'a [u8], Element<'a>), DerError> {
    let mut attribute = attributes.nested(tag::SEQUENCE)?;
    let oid = attribute.oid()?;
    let value = attribute.element()?;
    attribute.finish()?;
    // RFC 5280 appendix A.1: the usual attributes are texts, and every text has at least one character.
    let must_be_text = oid::attribute::NAMES.iter().any(|(usual, _)| *usual == oid);
    if must_be_text && !is_text(value.tag) || is_text(value.tag) && value.content.is_empty() {
        return Err(DerError::Text);
    }
    Ok((oid, value))
}

fn is_text(tag: u8) -> bool {
    matches!(
        tag,
        tag::UTF8_STRING
            | tag::PRINTABLE_STRING
            | tag::IA5_STRING
            | tag::NUMERIC_STRING
            | tag::VISIBLE_STRING
            | tag::TELETEX_STRING
            | tag::BMP_STRING
            | tag::UNIVERSAL_STRING
    )
}

/// The characters of a value, where its type says without doubt which they are.
fn text(value: Element<'_>) -> Option<Cow<'_, str>> {
    match value.tag {
        tag::UTF8_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING | tag::NUMERIC_STRING | tag::VISIBLE_STRING => {
            std::str::from_utf8(value.content).ok().map(Cow::Borrowed)
        }
        // Beyond ASCII nobody agrees on what a TeletexString says.
        tag::TELETEX_STRING if value.content.is_ascii() => std::str::from_utf8(value.content).ok().map(Cow::Borrowed),
        tag::BMP_STRING => {
            let units = value.content.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
            char::decode_utf16(units).collect::<Result<String, _>>().ok().map(Cow::Owned)
        }
        tag::UNIVERSAL_STRING => {
            let units = value.content.chunks_exact(4).map(|unit| char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]])));
            units.collect::<Option<String>>().map(Cow::Owned)
        }
        _ => None,
    }
}

fn hexadecimal<'a>(value: Element<'_>) -> Cow<'a, str> {
    let digits: String = value.raw.iter().map(|byte| format!("{byte:02x}")).collect();
    Cow::Owned(format!("#{digits}"))
}

/// Lower case, with runs of white space as one space and none at the ends (RFC 4518 §2.6.1).
fn fold_text(text: &str) -> String {
    text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        [&[tag, u8::try_from(content.len()).expect("short")], content.as_slice()].concat()
    }

    fn relative(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(tag::SET, &[&element(tag::SEQUENCE, &[&element(tag::OID, &[oid]), &element(tag, &[value])])])
    }

    fn name(parts: &[Vec<u8>]) -> DistinguishedName {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        DistinguishedName::from_der(&element(tag::SEQUENCE, &parts)).expect("a name")
    }

    fn common(tag: u8, value: &[u8]) -> Vec<u8> {
        relative(oid::attribute::COMMON_NAME, tag, value)
    }

    #[test]
    fn a_name_tells_its_attributes_and_keeps_its_bytes() {
        let name = name(&[
            relative(&[0x55, 4, 10], tag::PRINTABLE_STRING, b"Acme"),
            common(tag::UTF8_STRING, b"first"),
            common(tag::BMP_STRING, b"\0l\0a\0s\0t"),
            relative(oid::attribute::SERIAL_NUMBER, tag::PRINTABLE_STRING, b"0042"),
        ]);
        assert_eq!(name.common_name().as_deref(), Some("last"));
        assert_eq!(name.serial_number().as_deref(), Some("0042"));
        assert_eq!(name.to_string(), "O=Acme, CN=first, CN=last, serialNumber=0042");
        assert_eq!(DistinguishedName::from_der(name.der()), Ok(name));
    }

    #[test]
    fn a_name_cannot_forge_a_line_of_a_log() {
        let name = name(&[common(tag::UTF8_STRING, "a\nb,O=x\u{202e}".as_bytes()), relative(&[0x2a, 3], tag::OCTET_STRING, b"\xff")]);
        assert_eq!(name.to_string(), "CN=a\\u{a}b\\,O\\=x\\u{202e}, 1.2.3=#0401ff");
    }

    #[test]
    fn malformed_names_are_refused() {
        assert_eq!(DistinguishedName::from_der(&[0x30, 0x02, 0x31, 0x00]), Err(DerError::Truncated));
        assert_eq!(DistinguishedName::from_der(&[0x30, 0x02, 0x05, 0x00]), Err(DerError::Tag));
        assert_eq!(DistinguishedName::from_der(&element(0x30, &[&common(tag::UTF8_STRING, b"")])), Err(DerError::Text));
        assert!(DistinguishedName::from_der(&[0x30, 0x00]).expect("the empty name").is_empty());
    }

    #[test]
    fn case_spaces_and_string_types_do_not_hide_a_name_from_a_constraint() {
        // RFC 5280 §7.1
        let base = name(&[common(tag::PRINTABLE_STRING, b"Acme Ltd")]).folded();
        for same in [common(tag::UTF8_STRING, b" acme   LTD "), common(tag::TELETEX_STRING, b"ACME Ltd")] {
            assert!(name(std::slice::from_ref(&same)).folded().is_below(&base));
            assert!(name(&[same, common(tag::UTF8_STRING, b"x")]).folded().is_below(&base));
        }
        for other in [common(tag::UTF8_STRING, b"acmeltd"), relative(&[0x55, 4, 10], tag::UTF8_STRING, b"Acme Ltd")] {
            assert!(!name(std::slice::from_ref(&other)).folded().is_below(&base));
            assert!(!name(&[other]).folded().may_be_below(&base));
        }
        // Full-width letters become ordinary ones in RFC 4518's preparation, which is not done here.
        let wide = name(&[common(tag::UTF8_STRING, "Ａcme Ltd".as_bytes())]).folded();
        let german = name(&[common(tag::UTF8_STRING, "Äcme Ltd".as_bytes())]).folded();
        assert!(!wide.is_below(&german) && wide.may_be_below(&german));
    }
}
