//! Signed checkpoints, and dropping the beginning of a stream.
//!
//! The chain of a stream shows that nothing inside it was changed, but not that its beginning or its end was not cut
//! off: whoever can write to the disk can do that and leave a chain that holds. A checkpoint says, signed, "the
//! stream had this link at this place". Two are kept for each stream: the seal where retention cut it, and the last
//! one that says how far it came.

use crate::{
    EventError, Events,
    envelope::{from_bytes, to_bytes},
};
use ciborium::Value;
use gatehouse_pki::{PublicKey, SignatureAlgorithm, Signer};
use gatehouse_store::{Batch, ChainHash, Key, Position, Stream, Table};
use gatehouse_types::UnixTime;

pub(crate) const CHECKPOINTS: Table = Table::new("event-checkpoints");

/// How many records one batch drops.
const DROP: u64 = 5000;
const FORM: u64 = 1;

/// What a checkpoint says about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckpointKind {
    /// Everything up to here was dropped on purpose.
    Sealed,
    /// The stream came at least this far.
    Reached,
}

/// A signed statement about a place in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The stream.
    pub stream: Stream,
    /// What is said about the place.
    pub kind: CheckpointKind,
    /// The place.
    pub position: Position,
    /// The link of the chain there.
    pub hash: ChainHash,
    /// When it was signed.
    pub at: UnixTime,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
}

impl CheckpointKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Reached => "reached",
        }
    }
}

impl Checkpoint {
    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let message = message(&self.stream, self.kind, self.position, &self.hash, self.at);
        key.verify(self.algorithm, &message, &self.signature).is_ok()
    }

    fn sign(
        stream: &Stream,
        kind: CheckpointKind,
        (position, hash): (Position, ChainHash),
        signer: &dyn Signer,
        at: UnixTime,
    ) -> Result<Self, EventError> {
        let signature = signer.sign(&message(stream, kind, position, &hash, at))?;
        Ok(Self { stream: stream.clone(), kind, position, hash, at, algorithm: signer.signature_algorithm(), signature })
    }

    fn encode(&self) -> Vec<u8> {
        to_bytes(&Value::Array(vec![
            FORM.into(),
            self.position.0.into(),
            Value::Bytes(self.hash.as_bytes().to_vec()),
            self.at.millis().into(),
            Value::Bytes(self.algorithm.identifier_der().to_vec()),
            Value::Bytes(self.signature.clone()),
        ]))
    }

    pub(crate) fn decode(stream: &Stream, kind: CheckpointKind, bytes: &[u8]) -> Option<Self> {
        let items: [Value; 6] = from_bytes(bytes)?.into_array().ok()?.try_into().ok()?;
        let [form, position, hash, at, algorithm, signature] = items;
        (form.as_integer()? == FORM.into()).then_some(())?;
        Some(Self {
            stream: stream.clone(),
            kind,
            position: Position(position.as_integer()?.try_into().ok()?),
            hash: <[u8; 32]>::try_from(hash.into_bytes().ok()?).ok()?.into(),
            at: UnixTime::from_millis(at.as_integer()?.try_into().ok()?),
            algorithm: SignatureAlgorithm::from_identifier_der(&algorithm.into_bytes().ok()?).ok()?,
            signature: signature.into_bytes().ok()?,
        })
    }
}

fn message(stream: &Stream, kind: CheckpointKind, position: Position, hash: &ChainHash, at: UnixTime) -> Vec<u8> {
    to_bytes(&Value::Array(vec![
        "gatehouse checkpoint".into(),
        FORM.into(),
        kind.name().into(),
        stream.name().into(),
        position.0.into(),
        Value::Bytes(hash.as_bytes().to_vec()),
        at.millis().into(),
    ]))
}

impl Events {
    /// The checkpoint of this kind, if the stream has one.
    pub async fn find_checkpoint(&self, stream: &Stream, kind: CheckpointKind) -> Result<Option<Checkpoint>, EventError> {
        let Some(entry) = self.store.get(CHECKPOINTS, row(stream, kind)).await? else { return Ok(None) };
        let damaged = || EventError::DamagedRow { what: format!("a checkpoint of stream {stream}") };
        Checkpoint::decode(stream, kind, &entry.value).ok_or_else(damaged).map(Some)
    }

    /// Signs how far a stream has come. Answers nothing when it has not grown since the last time.
    pub async fn checkpoint(&self, stream: &Stream, signer: &dyn Signer, now: UnixTime) -> Result<Option<Checkpoint>, EventError> {
        let before = self.store.get(CHECKPOINTS, row(stream, CheckpointKind::Reached)).await?;
        let reached =
            self.find_checkpoint(stream, CheckpointKind::Reached).await?.map_or(Position::START, |checkpoint| checkpoint.position);
        let head = self.store.head(stream).await?;
        if head.position <= reached {
            return Ok(None);
        }
        let checkpoint = Checkpoint::sign(stream, CheckpointKind::Reached, (head.position, head.hash), signer, now)?;
        let row = row(stream, CheckpointKind::Reached);
        let batch = Batch::new().require_unchanged(CHECKPOINTS, row.clone(), before.as_ref());
        self.store.commit(batch.put(CHECKPOINTS, row, checkpoint.encode())).await?;
        Ok(Some(checkpoint))
    }

    /// Drops the events of a stream up to and with this position, and seals the place. Large pieces go in several
    /// batches, each with a seal of its own. Answers the last seal, or nothing when nothing was left to drop.
    pub async fn retain(
        &self,
        stream: &Stream,
        through: Position,
        signer: &dyn Signer,
        now: UnixTime,
    ) -> Result<Option<Checkpoint>, EventError> {
        let mut last = None;
        loop {
            let head = self.store.head(stream).await?;
            let place = Position(through.0.min(head.position.0).min(head.truncated.0 + DROP));
            if place <= head.truncated {
                return Ok(last);
            }
            let record = self.store.read(stream, place, 1).await?.pop().filter(|record| record.position == place);
            // Somebody else truncated meanwhile: look again.
            let Some(record) = record else { continue };
            let seal = Checkpoint::sign(stream, CheckpointKind::Sealed, (place, record.hash), signer, now)?;
            let row = row(stream, CheckpointKind::Sealed);
            self.store.commit(Batch::new().put(CHECKPOINTS, row, seal.encode()).truncate(stream, place)).await?;
            last = Some(seal);
        }
    }

    /// Drops the events of a stream that happened before this time, up to the first that did not. The newest stays in any
    /// case: it says when the stream was last written, which is how a clock that was set back is found out. See
    /// [`Events::retain`].
    pub async fn retain_since(
        &self,
        stream: &Stream,
        oldest: UnixTime,
        signer: &dyn Signer,
        now: UnixTime,
    ) -> Result<Option<Checkpoint>, EventError> {
        let mut through = Position::START;
        loop {
            let page = self.read(stream, through.next(), 256).await?;
            let old = page.iter().take_while(|event| event.at < oldest).last();
            through = old.map_or(through, |event| event.position);
            if page.is_empty() || old.map(|event| event.position) != page.last().map(|event| event.position) {
                let newest = self.store.head(stream).await?.position;
                return self.retain(stream, Position(through.0.min(newest.0.saturating_sub(1))), signer, now).await;
            }
        }
    }
}

pub(crate) fn row(stream: &Stream, kind: CheckpointKind) -> Key {
    Key::new().text(stream.name()).text(kind.name())
}
