//! To-be-signed bytes taken apart into their fields, nothing interpreted yet.

use crate::der::{DerError, Element, Reader, tag};

/// The fields of a `TBSCertificate` (RFC 5280 §4.1), as they were written.
pub(super) struct Tbs<'a> {
    /// The content of the version's INTEGER; nothing for the default.
    pub(super) version: &'a [u8],
    pub(super) serial: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    pub(super) issuer: &'a [u8],
    /// The content of the validity.
    pub(super) validity: Reader<'a>,
    pub(super) subject: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) unique_ids: usize,
    pub(super) extensions: Vec<Extension<'a>>,
}

pub(super) struct Extension<'a> {
    pub(super) oid: &'a [u8],
    pub(super) critical: bool,
    pub(super) value: &'a [u8],
}

/// One attribute of a name.
pub(super) struct Attribute<'a> {
    pub(super) oid: &'a [u8],
    pub(super) value: Element<'a>,
    /// How many attributes are in its set.
    pub(super) in_set: usize,
}

impl<'a> Tbs<'a> {
    pub(super) fn read(to_be_signed: &'a [u8]) -> Result<Self, DerError> {
        let mut fields = Reader::only(to_be_signed, tag::SEQUENCE)?;
        let version = match fields.optional(tag::context_constructed(0))? {
            Some(explicit) => {
                let mut inside = Reader::new(explicit.content);
                let version = inside.expect(tag::INTEGER)?.content;
                inside.finish()?;
                version
            }
            None => &[],
        };
        let serial = fields.expect(tag::INTEGER)?.content;
        let signature_algorithm = fields.expect(tag::SEQUENCE)?.raw;
        let issuer = fields.expect(tag::SEQUENCE)?.raw;
        let validity = fields.nested(tag::SEQUENCE)?;
        let subject = fields.expect(tag::SEQUENCE)?.raw;
        let key = fields.expect(tag::SEQUENCE)?.raw;
        let mut unique_ids = 0;
        for number in [1, 2] {
            unique_ids += usize::from(fields.optional(tag::context(number))?.is_some());
        }
        let mut extensions = Vec::new();
        if let Some(explicit) = fields.optional(tag::context_constructed(3))? {
            let mut list = Reader::only(explicit.content, tag::SEQUENCE)?;
            while !list.is_empty() {
                let mut extension = list.nested(tag::SEQUENCE)?;
                let oid = extension.oid()?;
                let critical = extension.default_false()?;
                let value = extension.expect(tag::OCTET_STRING)?.content;
                extension.finish()?;
                extensions.push(Extension { oid, critical, value });
            }
        }
        fields.finish()?;
        Ok(Self { version, serial, signature_algorithm, issuer, validity, subject, key, unique_ids, extensions })
    }

    /// The value of the first extension of this kind.
    pub(super) fn extension(&self, oid: &[u8]) -> Option<&'a [u8]> {
        self.extensions.iter().find(|extension| extension.oid == oid).map(|extension| extension.value)
    }

    /// The subject's attributes.
    pub(super) fn attributes(&self) -> Result<Vec<Attribute<'a>>, DerError> {
        let mut sets = Reader::only(self.subject, tag::SEQUENCE)?;
        let mut attributes = Vec::new();
        while !sets.is_empty() {
            let mut set = sets.nested(tag::SET)?;
            let mut found = Vec::new();
            while !set.is_empty() {
                let mut attribute = set.nested(tag::SEQUENCE)?;
                found.push((attribute.oid()?, attribute.element()?));
                attribute.finish()?;
            }
            let in_set = found.len();
            attributes.extend(found.into_iter().map(|(oid, value)| Attribute { oid, value, in_set }));
        }
        Ok(attributes)
    }

    /// The purposes of the extended key usage, as contents of object identifiers.
    pub(super) fn purposes(&self) -> Result<Vec<&'a [u8]>, DerError> {
        let Some(value) = self.extension(crate::oid::extension::EXTENDED_KEY_USAGE) else { return Ok(Vec::new()) };
        let mut list = Reader::only(value, tag::SEQUENCE)?;
        let mut purposes = Vec::new();
        while !list.is_empty() {
            purposes.push(list.oid()?);
        }
        Ok(purposes)
    }

    /// The bits of the key usage, bit 0 first; none when there is no such extension.
    pub(super) fn key_usage(&self) -> Result<u16, DerError> {
        let Some(value) = self.extension(crate::oid::extension::KEY_USAGE) else { return Ok(0) };
        let mut inside = Reader::new(value);
        let bits = crate::der::named_bits(inside.expect(tag::BIT_STRING)?.content)?;
        inside.finish()?;
        Ok(bits)
    }

    /// The alternative names: their tags and contents.
    pub(super) fn alternative_names(&self) -> Result<Vec<Element<'a>>, DerError> {
        let Some(value) = self.extension(crate::oid::extension::SUBJECT_ALTERNATIVE_NAME) else { return Ok(Vec::new()) };
        let mut list = Reader::only(value, tag::SEQUENCE)?;
        let mut names = Vec::new();
        while !list.is_empty() {
            names.push(list.element()?);
        }
        Ok(names)
    }
}
