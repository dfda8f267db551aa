//! Comparing streams with their signed checkpoints.
//!
//! [`gatehouse_store::Snapshot::verify`] checks that every chain holds together. This checks that the chains are the
//! ones that were there when the checkpoints were signed: not rewritten, not cut at the end, and cut at the
//! beginning only where retention did it. Records behind the last checkpoint are not covered.

use crate::{
    Checkpoint, CheckpointKind,
    checkpoint::{CHECKPOINTS, row},
};
use gatehouse_pki::PublicKey;
use gatehouse_store::{Head, Position, ReadError, Snapshot, Stream};

/// How many streams are looked at a time.
const PAGE: usize = 256;
/// Tampering is counted in full, but only so much of it is told.
const TOLD: usize = 100;

/// What was compared, and what does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointReport {
    /// Streams looked at.
    pub streams: u64,
    /// Checkpoints that are signed by one of the keys and fit their stream.
    pub good: u64,
    /// Records that no checkpoint covers yet.
    pub uncovered: u64,
    /// How much does not fit. Zero is what you want.
    pub tampered: u64,
    /// What does not fit, up to a hundred.
    pub tampering: Vec<Tampering>,
}

impl CheckpointReport {
    fn tampering(&mut self, what: Tampering) {
        self.tampered += 1;
        if self.tampering.len() < TOLD {
            self.tampering.push(what);
        }
    }
}

/// A stream that is not what was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Tampering {
    /// The beginning is gone, and no seal says that it should be.
    #[error("stream {stream} was cut through {through} without a seal")]
    CutWithoutSeal {
        /// The stream.
        stream: Stream,
        /// The last place that is gone.
        through: Position,
    },
    /// The end is gone.
    #[error("stream {stream} ends at {end}, but it had come to {reached}")]
    EndMissing {
        /// The stream.
        stream: Stream,
        /// Where it ends now.
        end: Position,
        /// Where it ended when it was signed.
        reached: Position,
    },
    /// The records are others.
    #[error("stream {stream} has another history up to {position} than the one that was signed")]
    Rewritten {
        /// The stream.
        stream: Stream,
        /// The signed place.
        position: Position,
    },
    /// The checkpoint is not signed by a known key, or is none.
    #[error("the checkpoint of stream {stream} is not signed by a known key")]
    NotSigned {
        /// The stream.
        stream: Stream,
    },
}

/// Compares all streams of a snapshot with their checkpoints, which one of these keys must have signed.
pub async fn verify(snapshot: &Snapshot, keys: &[PublicKey]) -> Result<CheckpointReport, ReadError> {
    let mut report = CheckpointReport::default();
    let mut behind: Option<Stream> = None;
    loop {
        let page = snapshot.streams(behind.as_ref(), PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        behind = Some(last.clone());
        for (stream, head) in &page {
            verify_stream(snapshot, stream, head, keys, &mut report).await?;
        }
        tokio::task::yield_now().await;
    }
    // A stream whose head is gone as well has only its checkpoints left to speak for it.
    orphans(snapshot, &mut report).await?;
    Ok(report)
}

async fn verify_stream(
    snapshot: &Snapshot,
    stream: &Stream,
    head: &Head,
    keys: &[PublicKey],
    report: &mut CheckpointReport,
) -> Result<(), ReadError> {
    report.streams += 1;
    let mut covered = head.truncated;
    let mut sealed = Position::START;
    for kind in [CheckpointKind::Sealed, CheckpointKind::Reached] {
        let Some(entry) = snapshot.get(CHECKPOINTS, row(stream, kind)).await? else { continue };
        let checkpoint = Checkpoint::decode(stream, kind, &entry.value);
        let Some(checkpoint) = checkpoint.filter(|checkpoint| keys.iter().any(|key| checkpoint.is_signed_by(key))) else {
            report.tampering(Tampering::NotSigned { stream: stream.clone() });
            continue;
        };
        match compare(snapshot, head, &checkpoint).await? {
            None => {
                report.good += 1;
                covered = covered.max(checkpoint.position);
            }
            Some(tampering) => report.tampering(tampering),
        }
        if kind == CheckpointKind::Sealed {
            sealed = checkpoint.position;
        }
    }
    if head.truncated > sealed {
        report.tampering(Tampering::CutWithoutSeal { stream: stream.clone(), through: head.truncated });
    }
    report.uncovered += head.position.0.saturating_sub(covered.0);
    Ok(())
}

async fn compare(snapshot: &Snapshot, head: &Head, checkpoint: &Checkpoint) -> Result<Option<Tampering>, ReadError> {
    let Checkpoint { stream, position, hash, .. } = checkpoint;
    if *position > head.position {
        return Ok(Some(Tampering::EndMissing { stream: stream.clone(), end: head.position, reached: *position }));
    }
    let found = if *position == head.truncated {
        Some(head.truncated_hash)
    } else if *position < head.truncated {
        // Retention went past this place since; its seal covers everything before.
        return Ok(None);
    } else {
        snapshot.read(stream, *position, 1).await?.into_iter().find(|record| record.position == *position).map(|record| record.hash)
    };
    let same = found == Some(*hash);
    Ok((!same).then(|| Tampering::Rewritten { stream: stream.clone(), position: *position }))
}

async fn orphans(snapshot: &Snapshot, report: &mut CheckpointReport) -> Result<(), ReadError> {
    let mut range = gatehouse_store::Range::all();
    loop {
        let page = snapshot.scan(CHECKPOINTS, range.clone(), PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        range = range.after(last);
        for (key, entry) in &page {
            let Some((stream, kind)) = parse_row(key) else { continue };
            let Some(checkpoint) = Checkpoint::decode(&stream, kind, &entry.value) else { continue };
            if snapshot.head(&stream).await? == Head::EMPTY {
                report.tampering(Tampering::EndMissing { stream, end: Position::START, reached: checkpoint.position });
            }
        }
    }
}

fn parse_row(key: &[u8]) -> Option<(Stream, CheckpointKind)> {
    let end = key.windows(2).position(|pair| pair == [0, 1])?;
    let stream: Stream = std::str::from_utf8(&key[..end]).ok()?.parse().ok()?;
    let kind = [CheckpointKind::Sealed, CheckpointKind::Reached].into_iter().find(|kind| row(&stream, *kind).as_ref() == key)?;
    Some((stream, kind))
}
