//! As much DER as CMS needs: writing nested values, and reading them back without ever trusting a length.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// The constructed context-specific tag `[number]`.
pub(crate) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The primitive context-specific tag `[number]`.
pub(crate) const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// A value made of these parts.
pub(crate) fn value(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if let Some(short) = u8::try_from(length).ok().filter(|length| *length < 0x80) {
        out.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|b| **b == 0).count()..];
        out.push(0x80 | bytes.len() as u8);
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    value(SEQUENCE, parts)
}

/// An INTEGER below 128.
pub(crate) fn small(number: u8) -> [u8; 3] {
    debug_assert!(number < 0x80, "the sign bit is not set");
    [INTEGER, 1, number]
}

/// The bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

/// Reads values one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value's content, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], NotDer> {
        self.next(tag).map(|(_, content)| content)
    }

    /// The next value with its tag and length, if it has this tag.
    pub(crate) fn whole(&mut self, tag: u8) -> Result<&'a [u8], NotDer> {
        self.next(tag).map(|(whole, _)| whole)
    }

    /// A reader of the next value's content.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, NotDer> {
        self.take(tag).map(Self)
    }

    /// Demands that the next value is exactly this.
    pub(crate) fn expect(&mut self, value: &[u8]) -> Result<(), NotDer> {
        self.0 = self.0.strip_prefix(value).ok_or(NotDer)?;
        Ok(())
    }

    /// Demands that nothing follows.
    pub(crate) fn end(self) -> Result<(), NotDer> {
        if self.0.is_empty() { Ok(()) } else { Err(NotDer) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn next(&mut self, tag: u8) -> Result<(&'a [u8], &'a [u8]), NotDer> {
        let (&[found, first], rest) = self.0.split_first_chunk().ok_or(NotDer)?;
        let (header, length) = match first {
            0..=0x7f => (2, usize::from(first)),
            0x81..=0x84 => {
                let count = usize::from(first & 0x7f);
                let bytes = rest.get(..count).ok_or(NotDer)?;
                let length = bytes.iter().fold(0usize, |sum, b| sum << 8 | usize::from(*b));
                // X.690 §10.1: the shortest form and no other.
                if bytes[0] == 0 || length < 0x80 {
                    return Err(NotDer);
                }
                (2 + count, length)
            }
            _ => return Err(NotDer),
        };
        let end = header.checked_add(length).ok_or(NotDer)?;
        let whole = self.0.get(..end).ok_or(NotDer)?;
        if found != tag {
            return Err(NotDer);
        }
        self.0 = &self.0[end..];
        Ok((whole, &whole[header..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let whole = value(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&whole);
            prop_assert_eq!(reader.take(OCTET_STRING), Ok(content.as_slice()));
            prop_assert_eq!(reader.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            for tag in bytes.iter().copied() {
                if reader.take(tag).is_err() { break }
            }
        }
    }

    #[test]
    fn long_forms_of_short_lengths_are_refused() {
        for bytes in
            [&[4, 0x81, 1, 0][..], &[4, 0x82, 0, 200], &[4, 0x80, 0, 0], &[4, 0x85, 0, 0, 0, 0, 1, 0], &[4, 0x84, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Reader::new(bytes).take(OCTET_STRING), Err(NotDer), "{bytes:?}");
        }
    }

    #[test]
    fn another_tag_is_refused() {
        assert_eq!(Reader::new(&[4, 1, 0]).take(INTEGER), Err(NotDer));
    }
}
