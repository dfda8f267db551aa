//! Encodings made by hand, for tests that need what no tool makes.

use crate::{
    der::{tag, write},
    key::{Signer, SoftwareKey},
};

/// One element, in the shortest form of length.
pub(crate) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    write::element(tag, &[content])
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    write::sequence(parts)
}

pub(crate) fn set(parts: &[&[u8]]) -> Vec<u8> {
    write::set(parts)
}

pub(crate) fn oid(content: &[u8]) -> Vec<u8> {
    element(tag::OID, content)
}

/// A name with one attribute in each set.
pub(crate) fn name(attributes: &[(&[u8], u8, &str)]) -> Vec<u8> {
    let sets: Vec<u8> =
        attributes.iter().flat_map(|(kind, tag, text)| set(&[&sequence(&[&oid(kind), &element(*tag, text.as_bytes())])])).collect();
    element(tag::SEQUENCE, &sets)
}

/// What is signed, the algorithm, and the signature.
pub(crate) fn signed(content: &[u8], key: &SoftwareKey) -> Vec<u8> {
    let signature = key.sign(content).expect("software keys sign");
    sequence(&[content, key.signature_algorithm().identifier_der(), &write::bits(&signature)])
}
