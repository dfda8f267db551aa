//! How values become bytes under a seal. Rows are written as everywhere ([`gatehouse_store::codec`]).

use gatehouse_types::Random;

pub(crate) use gatehouse_store::codec::{Bytes, CodecError, decode, encode};

/// So many random bytes.
pub(crate) fn random(length: usize, random: &dyn Random) -> Bytes {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

/// Fields joined so that no two lists of fields give the same bytes: each is preceded by its length.
pub(crate) struct Bound(Vec<u8>);

impl Bound {
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::new()).field(label.as_bytes())
    }

    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}
